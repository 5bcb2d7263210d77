"""The example bot runs in its caller's own event loop, which goes on doing other things."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trader_sdk.contract.bars import Bar
from trader_sdk.data import load_bars
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.orders import OrderStatus

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_loop_bot.py"


@pytest.fixture(scope="module")
def bot() -> ModuleType:
    """Return the example as a module."""
    spec = importlib.util.spec_from_file_location("own_loop_bot", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_is_forty_lines() -> None:
    """What embedding takes fits on a screen."""
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 42


def test_bot_trades_in_its_own_loop(
    bot: ModuleType, day: Any, daily_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It brings the bars, its hook caps the order, and neither signals nor logging were touched."""
    series = load_bars("vendored", "AAPL", "1Day")
    newest = int((series.t < day.now().timestamp() * 1e9).sum()) - 1
    before = signal.getsignal(signal.SIGINT), list(logging.getLogger().handlers)
    config = LiveConfig.of(archive=str(daily_archive), symbols=("AAPL",), state_dir=tmp_path, reconcile_seconds=3_600)
    beats: list[float] = []

    async def bars() -> AsyncIterator[list[Bar]]:
        for index in (newest, newest + 1):
            yield [series.at(index)]
            for hours in (4, 16):
                await day.sleep(hours * 3600)
                yield []

    async def beating() -> None:
        while True:
            beats.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.001)

    async def own_program() -> Any:
        other = asyncio.create_task(beating())
        try:
            return await bot.trade(config, day.broker, bars(), day.clock)
        finally:
            other.cancel()

    loop = asyncio.new_event_loop()
    try:
        status = loop.run_until_complete(own_program())
    finally:
        loop.close()
    shown = capsys.readouterr().out
    assert (status.decisions, status.exit_code) == (2, 0)
    assert shown.count("AAPL") == 2
    assert status.orders >= 1
    assert len(beats) > 10
    assert before == (signal.getsignal(signal.SIGINT), list(logging.getLogger().handlers))


def test_halt_from_another_thread_and_a_hook_that_caps(
    day: Any, daily_archive: Path, tmp_path: Path, bot: ModuleType
) -> None:
    """`run(until)` in the caller's loop, `halt()` from a thread: what waits is cancelled, nothing opens any more."""
    config = LiveConfig.of(
        archive=str(daily_archive),
        symbols=("AAPL",),
        state_dir=tmp_path,
        reconcile_seconds=3_600,
        unknown_grace_seconds=0.05,
    )

    async def own_program() -> LiveTrader:
        trader = LiveTrader(config, archive=daily_archive, broker=day.broker, clock=day.clock)
        trader.pre_trade = bot.capped

        def halt(event: Any) -> None:
            if event["report"] == "acknowledged":
                thread = threading.Thread(target=trader.halt)
                thread.start()
                thread.join()

        trader.on("order", halt)
        async with trader:
            await trader.run(day.now() + timedelta(days=1, hours=18))
        return trader

    trader = asyncio.run(own_program())
    records = list(trader.session.journal.ledger.orders.values())
    assert [record.state.status for record in records] == [OrderStatus.CANCELED]
    assert records[0].intent.qty <= bot.MOST_SHARES
    assert trader.status().state == "HALTED"
