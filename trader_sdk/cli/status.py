"""``trader status``, ``orders``, ``positions``, ``fills``: what a run's journal says, also when it is down."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.output import Output

if TYPE_CHECKING:
    from trader_sdk.live.events import JournalEntry
    from trader_sdk.live.ledger import Ledger

StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Where journals lie; the platform's if omitted.")]
Run = Annotated[str | None, typer.Option("--run", help="Run id or account folder; the newest if omitted.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events here.")]


def read_run(state_dir: Path | None, run: str | None) -> tuple[Path, list[JournalEntry], Ledger]:
    """Return the folder, the entries and the books of the run that a command is about."""
    from trader_sdk.live.config import state_dir_of
    from trader_sdk.live.journal import read_events
    from trader_sdk.live.ledger import fold
    from trader_sdk.live.state import find_run

    folder = find_run(state_dir_of(state_dir), run)
    entries = read_events(folder)
    return folder, entries, fold(entries)


def output_of(json: int, json_file: Path | None, ledger: Ledger) -> Output:
    """Return where a command about a run says what it found."""
    return Output(json_lines=json == 1, json_file=json_file, run_id=ledger.run_id)


def status(state_dir: StateDir = None, run: Run = None, json: Json = 0, json_file: JsonFile = None) -> int:
    """Say what the last run did, also when the trader is down."""
    from trader_sdk.live.state import is_running

    folder, _, ledger = read_run(state_dir, run)
    out = output_of(json, json_file, ledger)
    facts = _status_fields(ledger, folder, is_running=is_running(folder))
    text = "\n".join(_hanging(name, value) for name, value in _status_lines(facts))
    out.event("status", text, **{name: value for name, value in facts.items() if name != "run_id"})
    out.close()
    return 0


def _status_fields(ledger: Ledger, folder: Path, *, is_running: bool) -> dict[str, Any]:
    from trader_sdk.live.events import plain, rfc3339
    from trader_sdk.live.report import blocked_of, cents, status_of

    now = status_of(ledger)
    facts = asdict(now)
    return {
        **facts,
        "running": is_running,
        "started_at": rfc3339(now.started_at) if now.started_at else None,
        "last_at": rfc3339(now.last_at) if now.last_at else None,
        "equity": cents(now.equity),
        "positions": {symbol: plain(qty) for symbol, qty in now.positions.items()},
        "exits_only": list(now.exits_only),
        "holds": [{**asdict(hold), "since": rfc3339(hold.since)} for hold in now.holds],
        "blocked": blocked_of(ledger.totals.blocked),
        "journal": str(folder),
    }


def _status_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    how = "running" if facts["running"] else "not running: it was killed; the same command resumes it"
    ended = f"ended with {facts['exit_code']}" if facts["is_finished"] else how
    return [
        ("mode", facts["mode"]),
        ("run", f"{facts['run_id']}, {ended}"),
        ("state", f"{facts['state']} {facts['cause']}".strip()),
        *(("" if number else "held by", text) for number, text in enumerate(_holds(facts["holds"]))),
        ("venue time", f"{facts['last_at']} at the last entry"),
        ("bars", str(facts["bars"])),
        ("decisions", str(facts["decisions"])),
        ("orders", f"{facts['orders']}, {facts['working']} working"),
        ("fills", str(facts["fills"])),
        ("equity", facts["equity"]),
        ("positions", ", ".join(f"{symbol} {qty}" for symbol, qty in facts["positions"].items()) or "flat"),
        ("exits only", ", ".join(facts["exits_only"]) or "none"),
        ("blocked", ", ".join(f"{name} {n}" for name, n in facts["blocked"].items()) or "nothing"),
        ("journal", facts["journal"]),
    ]


def _holds(holds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each hold, the account's first: state, whose, why, who and since when."""
    ordered = sorted(holds, key=lambda hold: (hold["symbol"] or "", hold["since"]))
    return [
        f"{hold['state']} {hold['symbol'] or 'account'} {hold['cause']}"
        f"{': ' if hold['detail'] else ''}{hold['detail']} (by {hold['who']}, {hold['since']})"
        for hold in ordered
    ]


def _hanging(name: str, value: str) -> str:
    lines = textwrap.wrap(value, 66, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join([f"{name:<12} {lines[0]}", *(f"{'':<12} {line}" for line in lines[1:])])


def orders(
    working: Annotated[int, typer.Option(min=0, max=1, help="1: only those that are not at their end.")] = 0,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """List the orders of a run."""
    from trader_sdk.live.events import bar_time

    _, _, ledger = read_run(state_dir, run)
    records = ledger.working if working else list(ledger.orders.values())
    rows = [
        (
            f"{bar_time(record.intent.bar_at):%Y-%m-%d %H:%M}",
            *(record.intent.symbol, record.intent.side.value, record.intent.qty, record.state.status.value),
            *(record.state.filled_qty, record.state.filled_avg_price, record.intent.client_order_id),
        )
        for record in records
    ]
    out = output_of(json, json_file, ledger)
    columns = ("bar", "symbol", "side", "qty", "status", "filled", "price", "client_order_id")
    out.table("orders", f"{len(rows)} orders", columns, rows)
    out.close()
    return 0


def positions(state_dir: StateDir = None, run: Run = None, json: Json = 0, json_file: JsonFile = None) -> int:
    """List the sleeves of a run and what they hold."""
    from trader_sdk.live.events import plain
    from trader_sdk.live.report import cents

    _, _, ledger = read_run(state_dir, run)
    rows = []
    for symbol, sleeve in sorted(ledger.sleeves.items()):
        price = ledger.prices.get(symbol, sleeve.qty * 0)
        external = ledger.external.get(symbol, sleeve.qty * 0)
        money = (cents(sleeve.position_value(price)), cents(sleeve.cash), cents(sleeve.equity(price)))
        rows.append((symbol, plain(sleeve.qty), *money, f"{sleeve.wins}/{sleeve.closed}", plain(external)))
    out = output_of(json, json_file, ledger)
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
    from trader_sdk.contract.journal_events import JournalEvent

    _, entries, ledger = read_run(state_dir, run)
    filled = [e for e in entries if e.event is JournalEvent.FILL_RECORDED and year in (None, e.at.year)]
    decided_by = _models_of_bars(entries)
    columns = ("date", "symbol", "side", "quantity", "price", "fee", "execution_id", "model_sha256")
    rows = [
        (
            f"{entry.at:%Y-%m-%dT%H:%M:%SZ}",
            *(entry.body[name] for name in ("symbol", "side", "qty", "price", "fee", "execution_id")),
            decided_by.get((entry.body["symbol"], ledger.orders[entry.body["client_order_id"]].intent.bar_at)),
        )
        for entry in filled
    ]
    out = output_of(json, json_file, ledger)
    if csv is not None:
        _write_csv(csv, columns, rows)
        out.event("fills_written", f"{len(rows)} fills written to {csv}", path=str(csv), fills=len(rows))
    else:
        shown = len(columns) if out.json_lines else len(columns) - 2  # ids and digests do not fit a terminal
        out.table("fills", f"{len(rows)} fills", columns[:shown], [row[:shown] for row in rows])
    out.close()
    return 0


def _models_of_bars(entries: Sequence[JournalEntry]) -> dict[tuple[str, int], str]:
    """Return which model decided on each bar: a slot's champion may have changed since."""
    from trader_sdk.contract.journal_events import JournalEvent
    from trader_sdk.live.events import bar_ns, parse_time

    made = (entry.body for entry in entries if entry.event is JournalEvent.DECISION_MADE)
    return {(body["symbol"], bar_ns(parse_time(body["bar"]))): body["model_sha256"] for body in made}


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
