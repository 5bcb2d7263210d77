"""``trader reconcile``: journal, sleeves and venue side by side."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.status import Json, JsonFile, Run, StateDir
from trader_sdk.contract.errors import ERROR_TABLE, ConfigError

if TYPE_CHECKING:
    from trader_sdk.broker.port import BrokerPort
    from trader_sdk.exchange import LocalExchange
    from trader_sdk.live.ledger import Ledger
    from trader_sdk.reconcile import VenueSnapshot

_ZERO: Final = Decimal(0)
_LOOKS: Final = 3
_BEGINNING: Final = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Journal, sleeves and venue at one moment.

    Attributes:
        rows: A symbol each: fills of the journal folded, sleeve, external, venue, and whether they agree.
        faults: What does not agree, as text; empty where all is well.
    """

    rows: tuple[tuple[str, Decimal, Decimal, Decimal, Decimal, bool], ...]
    faults: tuple[str, ...]


def compare(ledger: Ledger, venue: VenueSnapshot, strategy: str = "main") -> Comparison:
    """Return where journal, sleeves and venue agree; pure.

    Args:
        ledger: The journal's books.
        venue: A complete round of reads, with every order since the run began.
        strategy: Whose orders are ours.
    """
    from trader_sdk.orders import is_ours

    rows, faults = [], []
    filled: defaultdict[str, Decimal] = defaultdict(Decimal)
    for record in ledger.orders.values():
        filled[record.intent.symbol] += record.intent.side.sign * record.state.filled_qty
    for symbol in sorted({*ledger.sleeves, *(s for s, qty in venue.positions.items() if qty)}):
        sleeve = ledger.sleeves[symbol].qty if symbol in ledger.sleeves else _ZERO
        external, held = ledger.external.get(symbol, _ZERO), venue.positions.get(symbol, _ZERO)
        agrees = sleeve + external == held
        rows.append((symbol, filled[symbol], sleeve, external, held, agrees))
        if not agrees:
            faults.append(f"{symbol}: sleeve {sleeve} + external {external} is not the venue's {held}")
    ids = Counter(order.client_order_id for order in venue.orders if is_ours(order.client_order_id, strategy))
    faults += [f"order {key} lives {count} times at the venue" for key, count in ids.items() if count > 1]
    faults += [f"order {key} is at the venue and not in the journal" for key in ids if key not in ledger.orders]
    known = {key: r for key, r in ledger.orders.items() if r.state.broker_order_id is not None}
    faults += [f"order {key} is in the journal and not at the venue" for key in known if key not in ids]
    for order in venue.orders:
        ours = known.get(order.client_order_id)
        if ours is not None and ours.state.filled_qty != order.report.filled_qty:
            booked, there = ours.state.filled_qty, order.report.filled_qty
            faults.append(f"order {order.client_order_id}: {booked} booked, {there} filled at the venue")
    doubts = [key for key, r in ledger.orders.items() if not r.state.is_terminal and r.state.broker_order_id is None]
    faults += [f"order {key} is in doubt; the next start resolves it" for key in doubts if key not in ids]
    return Comparison(tuple(rows), tuple(faults))


def reconcile(
    dry_run: Annotated[int, typer.Option(min=0, max=1, help="1: compare, change nothing.")] = 1,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Compare journal, sleeves and venue of a run, running or not; exit 9 if they differ."""
    from trader_sdk.live.config import state_dir_of
    from trader_sdk.live.events import plain
    from trader_sdk.live.state import find_run, read_ledger

    if not dry_run:
        raise ConfigError("CONFIG", "books change only inside a run", where="--dry-run 0", expected="`trader run`")
    folder = find_run(state_dir_of(state_dir), run)
    ledger = read_ledger(folder)
    with _venue(folder, ledger) as broker:
        found, ledger = _compared(folder, broker)
    out = Output(json_lines=json == 1, json_file=json_file, run_id=ledger.run_id)
    columns = ("symbol", "journal", "sleeve", "external", "venue", "agree")
    rows = [(row[0], *(plain(qty) for qty in row[1:5]), "yes" if row[5] else "NO") for row in found.rows]
    out.table("positions_compared", f"{ledger.mode} {ledger.run_id}", columns, rows)
    for fault in found.faults:
        out.event("difference", f"  {fault}", fault=fault)
    n_orders = ledger.orders_at_venue
    verdict = "agree" if not found.faults else f"differ in {len(found.faults)} places"
    text = f"journal, sleeves and venue {verdict}: {n_orders} orders, {ledger.totals.fills} fills"
    facts: dict[str, Any] = {"orders": n_orders, "fills": ledger.totals.fills, "differences": len(found.faults)}
    out.event("reconcile_finished", text, clean=not found.faults, **facts)
    out.close()
    return ERROR_TABLE["HALTED"].exit_code if found.faults else 0


def _compared(folder: Path, broker: BrokerPort) -> tuple[Comparison, Ledger]:
    """Return a comparison and the books it was made with.

    A trader that trades meanwhile moves both sides; what differs from the books before the reads and after them, look
    after look, is no movement.
    """
    from trader_sdk.live.state import is_running, read_ledger

    for _ in range(_LOOKS if is_running(folder) else 1):
        before = read_ledger(folder)
        snapshot = asyncio.run(_snapshot(broker, before))
        for ledger in (before, read_ledger(folder)):
            found = compare(ledger, snapshot)
            if not found.faults:
                return found, ledger
    return found, ledger


@contextmanager
def _venue(folder: Path, ledger: Ledger) -> Iterator[BrokerPort]:
    """Yield the venue of a run: its exchange, or Alpaca with the keys of the environment."""
    from trader_sdk.broker.alpaca import AlpacaBroker
    from trader_sdk.broker.credentials import Credentials, credentials_from_env
    from trader_sdk.broker.endpoint import alpaca_live, alpaca_paper, local_endpoint
    from trader_sdk.contract.modes import TradingMode

    if ledger.mode == TradingMode.PAPER_LOCAL:
        with _exchange(folder) as exchange:
            broker = AlpacaBroker(local_endpoint(exchange), Credentials.of(exchange.key, exchange.secret))
            try:
                yield broker
            finally:
                broker.close()
        return
    credentials = credentials_from_env(os.environ)
    if credentials is None:
        raise ConfigError("CONFIG", "an Alpaca run is compared with Alpaca, which needs API keys", where=ledger.mode)
    broker = AlpacaBroker(alpaca_live() if ledger.mode == TradingMode.LIVE else alpaca_paper(), credentials)
    try:
        yield broker
    finally:
        broker.close()


@contextmanager
def _exchange(folder: Path) -> Iterator[LocalExchange]:
    """Yield the exchange that a run trades on now, or one made anew from the log, which has one writer."""
    from trader_sdk.exchange import LocalExchange
    from trader_sdk.live.journal import lock_folder
    from trader_sdk.live.state import is_running

    if is_running(folder):
        yield LocalExchange.running_in(folder)
        return
    with lock_folder(folder.parent), LocalExchange(folder) as exchange:
        yield exchange


async def _snapshot(broker: BrokerPort, ledger: Ledger) -> VenueSnapshot:
    from trader_sdk.live.rounds import VenueReader
    from trader_sdk.live.worker import BrokerWorker

    worker = BrokerWorker()
    try:
        since = min((r.intent.send_at for r in ledger.orders.values()), default=ledger.started_at or _BEGINNING)
        return await VenueReader(broker, worker).snapshot(since - timedelta(days=1))
    finally:
        worker.close()
