"""A bar close of hundreds of symbols in the live trader, from the last bar frame received to the last order written.

The exchange is a process of its own and the trader is the real one, through alpaca-py and a journal on disk.

Own share is the processor time, in user and kernel mode, of the trader's whole process between the two moments: parsing
frames that wait, features, decisions, plans, reads for risk, the journal's transaction, all POSTs by alpaca-py, and
what other threads do meanwhile, above all the order stream, which brings events of the first orders before the
last are written. Not in it: waiting for the exchange's replies and for the disk, frames before the last one, what
follows the last POST (its reply, the journal of symbols without an order), and waiting for a core. Wall time, with all
of that waiting, stands in the note. Stages are processor time of the thread that runs them, so they leave out what
runs between them, as the event loop and handing calls to the broker's thread; some are parts of others.

Both processes share one core. On a core of its own the trader's would sleep between an order and its reply, and on a
virtual machine waking up, with cold caches, can double the processor time of an order.

``python scripts/bench/live_bar.py [--quick] [--json-file F]``
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from rows import Row, limit, main

SYMBOLS, ORDERS, BARS, THROWN_AWAY = 500, 20, 9, 2
QUICK_SYMBOLS, QUICK_BARS = 40, 4
GOAL_MS = 50.0
HIDDEN = (512, 256)
STAGES = {
    "frames": ("trader_sdk.live.stream_events", "StreamInbox", "_drain"),
    "reads": ("trader_sdk.broker.alpaca_http", "AlpacaHttp", "read"),
    "submit": ("trader_sdk.broker.alpaca", "AlpacaBroker", "submit"),
    "features": ("trader_sdk.features.many", "UniverseProvider", "rows_of"),
    "decisions": ("trader_sdk.decision_streams", "DecisionStreams", "decide"),
    "lineup": ("trader_sdk.live.lineup", "Lineup", "take"),
    "plan": ("trader_sdk.live.step", "BarStep", "_plan"),
    "risk": ("trader_sdk.live.step", "", "assess_all"),
    "journal": ("trader_sdk.live.journal", "Journal", "append"),
}


@dataclass
class Moment:
    """Wall time, and processor time of the process and of its threads by name."""

    wall: float
    cpu: float
    threads: dict[str, float]

    @classmethod
    def now(cls) -> Moment:
        """Return this moment."""
        threads = {
            each.name: time.clock_gettime(time.pthread_getcpuclockid(each.ident))
            for each in threading.enumerate()
            if each.ident is not None
        }
        return cls(time.perf_counter(), time.process_time(), threads)


@dataclass
class Bar:
    """What one bar close took, in milliseconds."""

    total: float
    own: float
    orders: int
    stages: dict[str, float]
    threads: dict[str, float]


@dataclass
class Watch:
    """Notes when the last frame came, the last order was written, and what each stage took in between.

    Only those two moments are taken: reading the clocks of all threads takes a tenth of what sending an order does.
    """

    symbols: int
    frames: int = 0
    frame: Moment = field(default_factory=Moment.now)
    written: Moment | None = None
    orders: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    bars: list[Bar] = field(default_factory=list)

    def saw_frame(self) -> None:
        """A bar came: what was measured before belongs to the bar before."""
        self.frames += 1
        if self.frames % self.symbols == 1:
            self.close()
        if self.frames % self.symbols == 0:
            self.stages.clear()
            self.frame = Moment.now()

    def wrote(self) -> None:
        """An order's last byte was handed to the system."""
        self.orders += 1
        if self.orders == ORDERS:
            self.written, self.noted = Moment.now(), dict(self.stages)

    def close(self) -> None:
        """Keep the bar that was measured, if any."""
        if self.written is not None:
            total, own = self.written.wall - self.frame.wall, self.written.cpu - self.frame.cpu
            before = self.frame.threads
            threads = {name: (used - before.get(name, 0.0)) * 1e3 for name, used in self.written.threads.items()}
            stages = {name: used * 1e3 for name, used in self.noted.items()}
            self.bars.append(Bar(total * 1e3, own * 1e3, self.orders, stages, threads))
        self.written, self.orders = None, 0


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of a bar close."""
    symbols, bars = (QUICK_SYMBOLS, QUICK_BARS) if quick else (SYMBOLS, BARS)
    watch = Watch(symbols)
    _instrument(watch)
    with tempfile.TemporaryDirectory() as folder:
        _trade(Path(folder), symbols, bars + THROWN_AWAY, watch)
    kept = watch.bars[THROWN_AWAY:]
    assert all(bar.orders == ORDERS for bar in kept), [bar.orders for bar in kept]
    own, total = (statistics.median(getattr(bar, name) for bar in kept) for name in ("own", "total"))
    named = (*STAGES, "garbage")
    stages = {name: statistics.median(bar.stages.get(name, 0.0) for bar in kept) for name in named}
    shown = ", ".join(f"{name} {value:.1f}" for name, value in stages.items())
    note = f"{symbols} symbols, {ORDERS} orders, {len(kept)} bars; wall {total:.0f} ms; own by stage: {shown}"
    names = sorted({name for bar in kept for name in bar.threads})
    threads = {name: statistics.median(bar.threads.get(name, 0.0) for bar in kept) for name in names}
    note += "; by thread: " + ", ".join(f"{name} {value:.1f}" for name, value in threads.items() if value >= 0.1)
    yield limit("live bar close, own share", f"limit of {GOAL_MS:g} ms", GOAL_MS, own, "ms", note=note)


def _instrument(watch: Watch) -> None:
    import urllib3.connection

    from trader_sdk.broker import direct
    from trader_sdk.broker.port import StreamKind
    from trader_sdk.live.stream_events import StreamInbox

    gc.callbacks.append(_collections_timed(watch))
    for stage, (module, owner, name) in STAGES.items():
        home = __import__(module, fromlist=["_"])
        kind = getattr(home, owner) if owner else home
        setattr(kind, name, _timed(getattr(kind, name), stage, watch))
    put, request, write = StreamInbox.put, urllib3.connection.HTTPConnection.request, direct.write

    def seen(self: Any, event: Any) -> None:
        if event.kind is StreamKind.BAR:
            watch.saw_frame()
        put(self, event)

    def written(self: Any, method: str, url: str, *given: Any, **named: Any) -> None:
        request(self, method, url, *given, **named)
        if method == "POST" and url.endswith("/orders"):
            watch.wrote()

    def written_directly(sock: Any, data: bytes) -> None:
        write(sock, data)
        if data.startswith(b"POST ") and data.split(b" ", 2)[1].endswith(b"/orders"):
            watch.wrote()

    direct.write = written_directly
    StreamInbox.put = seen  # type: ignore[method-assign]  # the bench listens in
    urllib3.connection.HTTPConnection.request = written  # type: ignore[method-assign]  # the bench listens in


def _collections_timed(watch: Watch) -> Callable[[str, dict[str, int]], None]:
    began = 0.0

    def collected(phase: str, _: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            watch.stages["garbage"] += time.thread_time() - began

    return collected


def _timed(work: Callable[..., Any], stage: str, watch: Watch) -> Callable[..., Any]:
    @wraps(work)
    def called(*given: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return work(*given, **named)
        finally:
            watch.stages[stage] += time.thread_time() - began

    return called


def _trade(folder: Path, n_symbols: int, n_bars: int, watch: Watch) -> None:
    from trader_sdk.faults.scenario import Scenario
    from trader_sdk.faults.stage import PlayedVenue, opened
    from trader_sdk.live import LiveConfig, LiveTrader
    from trader_sdk.live.events import bar_time

    symbols = [f"S{number:03}" for number in range(n_symbols)]
    moves = {symbol: "." + ("DU" * n_bars)[:n_bars] if i < ORDERS else "." for i, symbol in enumerate(symbols)}
    scenario = Scenario(id="BENCH", title="a bar close", right="no order is late", moves=moves, pace_seconds=0.05)
    archive = _archive(folder, symbols)
    until = bar_time(scenario.market.replay_start()) + timedelta(minutes=n_bars + 1, seconds=30)
    logging.getLogger("alpaca").setLevel(logging.CRITICAL)
    with opened(folder / "exchange", scenario, own_process=True) as address:
        venue = PlayedVenue(address, scenario)
        config = LiveConfig.of(archive=str(archive), state_dir=folder / "state", shadow="none")
        trader = LiveTrader(config, archive=archive, broker=venue.broker, clock=venue.clock)

        async def run() -> None:
            async with trader:
                print(f"ready with {len(trader.session.lines)} symbols")
                _share_a_core()
                await trader.run(until)
                watch.close()

        asyncio.run(run())
        venue.close()


def _share_a_core() -> None:
    """Put the trader and the exchange's process, all their threads, on one core, which then never sleeps meanwhile."""
    if hasattr(os, "sched_setaffinity"):
        first = min(os.sched_getaffinity(0))
        for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
            for thread in Path(f"/proc/{process}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {first})


def _archive(folder: Path, symbols: list[str]) -> Path:
    """Archive one model of the reference shape for all symbols; it buys what fell and sells what rose."""
    from trader_sdk.archive.manager import TrainingArchiveManager
    from trader_sdk.contract.timeframe import Timeframe
    from trader_sdk.faults.model import summary_of, write_checkpoint

    rng = np.random.default_rng(0)
    path = write_checkpoint(
        folder / "one.safetensors", None, Timeframe.MIN_1, hidden=HIDDEN, gain=50.0, hold=0.5, noise=rng
    )
    models = {symbol: summary_of(path, symbol, Timeframe.MIN_1) for symbol in symbols}
    TrainingArchiveManager(folder / "archive", who="bench").archive_training_run(
        {"schema": 1, "run": {}, "models": models}
    )
    return folder / "archive"


if __name__ == "__main__":
    raise SystemExit(main(measure))
