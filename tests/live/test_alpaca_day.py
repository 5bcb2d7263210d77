"""Alpaca's path on a day shaped like the wall clock's: the same trader, the exchange playing Alpaca, time injected."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from trader_sdk.contract.errors import ConfigError, StorageError
from trader_sdk.data import load_bars
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.orders import OrderStatus, TimeInForce

NEW_YORK = ZoneInfo("America/New_York")
START = datetime(2012, 7, 10, tzinfo=UTC)


def trade(day: Any, archive: Path, state_dir: Path, until: datetime) -> LiveTrader:
    """Trade AAPL until ``until`` and return the trader that did."""
    config = LiveConfig.of(
        archive=str(archive), symbols=("AAPL",), state_dir=state_dir, reconcile_seconds=3_600, strict_version=True
    )
    trader = LiveTrader(config, archive=archive, broker=day.broker, clock=day.clock)

    async def run() -> None:
        async with trader:
            await trader.run(until)

    asyncio.run(run())
    return trader


def test_daily_decision_is_made_after_the_close_and_sent_before_the_next_open(
    day: Any, daily_archive: Path, tmp_path: Path
) -> None:
    """A day: decided five minutes after the close, in the auction's hours at the venue, filled at the open."""
    trader = trade(day, daily_archive, tmp_path / "state", START + timedelta(days=2, hours=15))
    ledger = trader.session.journal.ledger
    assert trader.status().mode == "PAPER-ALPACA"
    assert ledger.totals.bars == 3
    filled = [r for r in ledger.orders.values() if r.state.status is OrderStatus.FILLED]
    assert filled
    bars = load_bars("vendored", "AAPL", "1Day")
    for record in filled:
        intent = record.intent
        assert intent.time_in_force is TimeInForce.OPG
        assert record.sent_at is not None
        sent = record.sent_at.astimezone(NEW_YORK).time()
        assert sent >= time(19, 0) or sent <= time(9, 27)
        assert record.sent_at > trader.session.schedule.closes_at(intent.bar_at)
        next_open = float(bars.open[bars.t > intent.bar_at][0])
        assert float(record.state.filled_avg_price or 0) == pytest.approx(next_open, rel=0.001)
    assert day.slept_seconds > 2 * 86_400


def test_last_completed_session_is_decided_on_when_the_trader_starts_in_the_evening(
    day: Any, daily_archive: Path, tmp_path: Path
) -> None:
    """Started at 16:05 the trader decides on the day's bar at once, and again after the next close."""
    trader = trade(day, daily_archive, tmp_path / "state", START + timedelta(hours=20, minutes=30))
    decided = [record.intent.bar_at for record in trader.session.journal.ledger.orders.values()]
    assert trader.session.journal.ledger.totals.bars == 2
    assert len(decided) == len(set(decided))


def test_second_start_continues_the_accounts_journal(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """A restart on the same day decides on no bar twice and finds its own order in order."""
    state_dir = tmp_path / "state"
    first = trade(day, daily_archive, state_dir, START)
    bars, orders = first.status().bars, first.status().orders
    again = trade(day, daily_archive, state_dir, START + timedelta(hours=1))
    ledger = again.session.journal.ledger
    assert (again.status().bars, len(ledger.orders)) == (bars, len(first.session.journal.ledger.orders))
    assert ledger.epoch == 2
    assert orders <= again.status().orders


def test_foreign_shares_are_never_taken_into_a_sleeve(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """A position bought by hand is external: the sleeve starts flat, the symbol is exits-only until a clean round."""
    from decimal import Decimal

    from trader_sdk.broker.port import OrderRequest, Side

    day.broker.submit(OrderRequest("by-hand-1", "AAPL", Side.BUY, qty=Decimal(3)))
    asyncio.run(day.sleep(3 * 86_400))
    seen: list[dict[str, Any]] = []
    config = LiveConfig.of(
        archive=str(daily_archive), symbols=("AAPL",), state_dir=tmp_path / "state", reconcile_seconds=3_600
    )
    trader = LiveTrader(config, archive=daily_archive, broker=day.broker, clock=day.clock)
    trader.observe(lambda name, fields: seen.append({"name": name, **fields}))

    async def look() -> None:
        async with trader:
            ledger = trader.session.journal.ledger
            assert ledger.sleeves["AAPL"].qty == 0
            assert ledger.external["AAPL"] == 3
            assert trader.status().exits_only == ("AAPL",)

    asyncio.run(look())
    assert [event["found"] for event in seen if event["name"] == "drift_found"] == ["3"]


def test_trader_refuses_real_money_that_was_not_confirmed(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--confirm-live must name the account that the keys open; otherwise nothing is written and nothing is sent."""
    monkeypatch.setattr(type(day.broker), "name", "alpaca-live")
    config = LiveConfig.of(
        paper=False,
        archive=str(daily_archive),
        symbols=("AAPL",),
        state_dir=tmp_path / "state",
        reconcile_seconds=3_600,
        confirm_live="0000",
    )

    async def start() -> None:
        async with LiveTrader(config, archive=daily_archive, broker=day.broker, clock=day.clock):
            pytest.fail("it started")

    with pytest.raises(ConfigError) as caught:
        asyncio.run(start())
    assert caught.value.exit_code == 2
    assert not (tmp_path / "state").exists()
    assert not day.broker.open_orders()


def test_journal_of_an_account_has_one_trader_at_a_time(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """Two traders on one account: the second is refused while the first holds the folder."""
    config = LiveConfig.of(
        archive=str(daily_archive), symbols=("AAPL",), state_dir=tmp_path / "state", reconcile_seconds=3_600
    )

    async def both() -> None:
        first, second = (
            LiveTrader(config, archive=daily_archive, broker=day.broker, clock=day.clock) for _ in range(2)
        )
        async with first, second:
            pytest.fail("the second started")

    with pytest.raises(StorageError) as caught:
        asyncio.run(both())
    assert (caught.value.code, caught.value.exit_code) == ("LOCKED", 8)
