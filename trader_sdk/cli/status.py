"""``trader status``, ``why``, ``orders``, ``positions``, ``fills``: what a run's journal says, also when it is down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import UsageError

if TYPE_CHECKING:
    from trader_sdk.live.events import JournalEntry
    from trader_sdk.live.ledger import Ledger

StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Where journals lie; the platform's if omitted.")]
Run = Annotated[str | None, typer.Option("--run", help="Run id or account folder; the newest if omitted.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events here.")]


def _read(state_dir: Path | None, run: str | None) -> tuple[Path, list[JournalEntry], Ledger]:
    from trader_sdk.live.config import state_dir_of
    from trader_sdk.live.journal import read_events
    from trader_sdk.live.ledger import fold
    from trader_sdk.live.state import find_run

    folder = find_run(state_dir_of(state_dir), run)
    entries = read_events(folder)
    return folder, entries, fold(entries)


def _output(json: int, json_file: Path | None, ledger: Ledger) -> Output:
    return Output(json_lines=json == 1, json_file=json_file, run_id=ledger.run_id)


def status(state_dir: StateDir = None, run: Run = None, json: Json = 0, json_file: JsonFile = None) -> int:
    """Say what the last run did, also when the trader is down."""
    from trader_sdk.live.report import blocked_of, cents, status_of

    folder, _, ledger = _read(state_dir, run)
    now, out = status_of(ledger), _output(json, json_file, ledger)
    ended = f"ended with {now.exit_code}" if now.is_finished else "not finished: running, or killed"
    rows: list[tuple[str, Any]] = [
        ("mode", now.mode),
        ("run", f"{now.run_id}, {ended}"),
        ("state", f"{now.state} {now.cause}".strip()),
        ("last", now.last_at.isoformat() if now.last_at else None),
        ("bars", now.bars),
        ("decisions", now.decisions),
        ("orders", f"{now.orders}, {now.working} working"),
        ("fills", now.fills),
        ("equity", cents(now.equity)),
        ("positions", ", ".join(f"{symbol} {qty}" for symbol, qty in now.positions.items()) or "flat"),
        ("exits only", ", ".join(now.exits_only) or "none"),
        ("blocked", ", ".join(f"{name} {n}" for name, n in blocked_of(ledger.totals.blocked).items()) or "nothing"),
        ("journal", str(folder)),
    ]
    out.table("status", "Status", ("what", "value"), rows)
    out.close()
    return 0


def why(
    symbol: Annotated[str, typer.Argument(help="Whose decisions.")],
    at: Annotated[str | None, typer.Option(help="Only bars whose start begins with this, such as 2012-03-05.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest bars.")] = 10,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Say why a symbol was or was not traded, bar by bar."""
    from trader_sdk.contract.documents import JournalEvent
    from trader_sdk.contract.reasons import REASON_REMEDIES, Reason

    _, entries, ledger = _read(state_dir, run)
    made = [e.body for e in entries if e.event is JournalEvent.DECISION_MADE and e.body["symbol"] == symbol.upper()]
    made = [body for body in made if at is None or body["bar"].startswith(at)]
    if not made:
        known = ", ".join(sorted(ledger.decided)) or "none"
        raise UsageError("USAGE", "no decision found", where=symbol, expected=f"one of {known}", found=at or "nothing")
    rows = [
        (b["bar"], b["action"], b["price"], b["reason"] or "traded", _became(ledger, b["client_order_id"]))
        for b in made[-last:]
    ]
    out = _output(json, json_file, ledger)
    out.table("why", f"{symbol.upper()}: the newest bar last", ("bar", "action", "price", "reason", "order"), rows)
    reason = made[-1]["reason"]
    if reason is not None:
        out.event("remedy", f"{reason}: {REASON_REMEDIES[Reason(reason)]}", reason=reason)
    out.close()
    return 0


def _became(ledger: Ledger, client_order_id: str | None) -> str:
    if client_order_id is None:
        return ""
    record = ledger.orders[client_order_id]
    return f"{record.intent.side} {record.intent.qty} {record.state.status}"


def orders(
    working: Annotated[int, typer.Option(min=0, max=1, help="1: only those that are not at their end.")] = 0,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """List the orders of a run."""
    from trader_sdk.live.events import bar_time

    _, _, ledger = _read(state_dir, run)
    records = ledger.working if working else list(ledger.orders.values())
    rows = [
        (
            f"{bar_time(record.intent.bar_at):%Y-%m-%d %H:%M}",
            *(record.intent.symbol, record.intent.side.value, record.intent.qty, record.state.status.value),
            *(record.state.filled_qty, record.state.filled_avg_price, record.intent.client_order_id),
        )
        for record in records
    ]
    out = _output(json, json_file, ledger)
    columns = ("bar", "symbol", "side", "qty", "status", "filled", "price", "client_order_id")
    out.table("orders", f"{len(rows)} orders", columns, rows)
    out.close()
    return 0


def positions(state_dir: StateDir = None, run: Run = None, json: Json = 0, json_file: JsonFile = None) -> int:
    """List the sleeves of a run and what they hold."""
    from trader_sdk.live.events import plain
    from trader_sdk.live.report import cents

    _, _, ledger = _read(state_dir, run)
    rows = []
    for symbol, sleeve in sorted(ledger.sleeves.items()):
        price = ledger.prices.get(symbol, sleeve.qty * 0)
        external = ledger.external.get(symbol, sleeve.qty * 0)
        money = (cents(sleeve.position_value(price)), cents(sleeve.cash), cents(sleeve.equity(price)))
        rows.append((symbol, plain(sleeve.qty), *money, f"{sleeve.wins}/{sleeve.closed}", plain(external)))
    out = _output(json, json_file, ledger)
    columns = ("symbol", "qty", "value", "cash", "equity", "won/closed", "external")
    out.table("positions", "Sleeves", columns, rows)
    out.close()
    return 0


def fills(
    year: Annotated[int | None, typer.Option(help="Only this calendar year, UTC.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write them here instead of showing them.")] = None,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """List or export the fills of a run; the broker's own statement is the authority."""
    from trader_sdk.contract.documents import JournalEvent

    _, entries, ledger = _read(state_dir, run)
    filled = [e for e in entries if e.event is JournalEvent.FILL_RECORDED and year in (None, e.at.year)]
    columns = ("at", "symbol", "side", "qty", "price", "fee", "execution_id", "model_sha256")
    rows = [
        (
            f"{entry.at:%Y-%m-%dT%H:%M:%SZ}",
            *(entry.body[name] for name in ("symbol", "side", "qty", "price", "fee", "execution_id")),
            ledger.models.get(entry.body["symbol"], {}).get("sha256"),
        )
        for entry in filled
    ]
    out = _output(json, json_file, ledger)
    if csv is not None:
        _write_csv(csv, columns, rows)
        out.event("fills_written", f"{len(rows)} fills written to {csv}", path=str(csv), fills=len(rows))
    else:
        out.table("fills", f"{len(rows)} fills", columns[:-2], [row[:-2] for row in rows])
    out.close()
    return 0


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
