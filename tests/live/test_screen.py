"""What a person sees of a run: the table at the foot of a terminal, and a sign of life while nothing happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console

from trader_sdk.cli.output import Output
from trader_sdk.cli.run_board import table_of
from trader_sdk.cli.run_screen import RunScreen
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.live.board import Board, BoardRow, board_of

NIGHT = datetime(2012, 7, 11, 2, tzinfo=UTC)


def test_idle_trader_says_when_the_market_opens_and_what_it_holds(
    day: Any, daily_archive: Path, tmp_path: Path, capsys: Any
) -> None:
    """Over night it speaks every half hour, in a line of at most 79 columns, and its table knows the bar's age."""
    config = LiveConfig.of(
        archive=str(daily_archive), symbols=("AAPL",), state_dir=tmp_path / "state", reconcile_seconds=3_600
    )
    trader = LiveTrader(config, archive=daily_archive, broker=day.broker, clock=day.clock)
    told: list[dict[str, Any]] = []
    trader.observe(lambda name, fields: told.append({"name": name, **fields}))

    async def over_night() -> Board:
        async with trader:
            session = trader.session
            (fresh,) = board_of(session.journal.ledger, session.schedule, session.clock.now()).rows
            assert (fresh.symbol, fresh.action, fresh.is_busy) == ("AAPL", None, False)
            await trader.run(NIGHT)
            return board_of(trader.session.journal.ledger, trader.session.schedule, NIGHT)

    board = asyncio.run(over_night())
    idle = [fields for fields in told if fields["name"] == "idle"]
    last = idle[-1]
    assert (last["next_open"], last["next_bar"]) == ("2012-07-11T13:30:00Z", "2012-07-11T20:05:00Z")
    assert not last["is_open"]
    assert len([fields for fields in idle if fields["venue_time"] > "2012-07-11"]) == 4
    (row,) = board.rows
    assert row.gate.startswith("APPROVED ")
    assert row.bar_age_seconds == timedelta(hours=6).total_seconds()
    capsys.readouterr()
    RunScreen(Output()).show("idle", last)
    lines = capsys.readouterr().out.splitlines()
    assert "market closed, opens 07-11 13:30Z" in lines[0]
    assert max(map(len, lines)) < 80


def test_board_shows_what_is_busy_first_and_counts_what_it_leaves_out() -> None:
    """Five hundred symbols on a small terminal: held ones and open orders are seen, the rest is a number."""
    rows = [BoardRow(f"S{i:03}", "APPROVED PAPER", Decimal(0), Decimal(0), "", "HOLD", None, 3.0) for i in range(499)]
    busy = BoardRow("ZZZ", "APPROVED PAPER", Decimal("7.5"), Decimal(750), "buy 2 live", "BUY_50%", None, 61.0)
    board = Board(NIGHT, "ACTIVE", Decimal(100_000), (busy, *rows))
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as shown:
        console.print(table_of(board, 5, 1.0))
    text = shown.get()
    assert "equity 100000.00" in text
    assert "7.5" in text
    assert "buy 2 live" in text
    assert "1m" in text
    assert "and 495 symbols that hold nothing" in text
    assert max(len(line) for line in text.splitlines()) <= 80
