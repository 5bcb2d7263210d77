"""Going live: armed by the command, and a start with real money that stands on the record alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import deployable
from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.live.arming import SOAK_DAYS
from trader_sdk.live.config import ARMED_FILE
from trader_sdk.live.events import Draft, rfc3339
from trader_sdk.live.journal import Journal, Stamp


class RealMoney(AlpacaBroker):
    """The local exchange under the name of Alpaca's house for real money."""

    @property
    def name(self) -> str:
        """Return that name."""
        return "alpaca-live"


@pytest.fixture
def house(day: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealMoney]:
    """Return the played venue as the place where real money is; commands that ask for it reach it too."""
    endpoint, credentials = day.broker._endpoint, day.broker._credentials
    monkeypatch.setattr("trader_sdk.broker.endpoint.alpaca_live", lambda: endpoint)
    for name in [name for name in os.environ if name.startswith(("ALPACA_", "APCA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALPACA_API_KEY", credentials.key_id.reveal())
    monkeypatch.setenv("ALPACA_SECRET_KEY", credentials.secret_key.reveal())
    broker = RealMoney(endpoint, credentials)
    yield broker
    broker.close()


def model_of(archive: Path, symbol: str) -> str:
    """Return the digest of the model that an archive's slot deploys."""
    row = next(row for row in deployable(archive) if row.symbol == symbol and row.model is not None)
    assert row.model is not None
    return row.model.sha256


def soaked(state_dir: Path, sha256: str) -> None:
    """Write a paper account's journal in which a model of AAPL decided for as many days as going live needs."""
    start = datetime(2026, 1, 5, 21, 5, tzinfo=UTC)
    with Journal.open(state_dir / "paper-alpaca-a1", Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        for day in range(SOAK_DAYS):
            at = start + timedelta(days=day)
            decided: dict[str, Any] = {
                "symbol": "AAPL",
                "bar": rfc3339(at),
                "action": "HOLD",
                "reason": "HOLD",
                "logits": [0.0],
            }
            decided |= {"model_sha256": sha256, "price": "1", "client_order_id": None}
            journal.append([Draft(JournalEvent.DECISION_MADE, at, decided)])


def test_real_money_starts_on_the_record_that_golive_wrote_and_on_nothing_else(
    house: RealMoney, day: Any, daily_archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not before the soak, not without the account's number, not with another symbol; then it starts and trades."""
    state = tmp_path / "state"
    ready = ("golive", "AAPL", "--archive", str(daily_archive), "--state-dir", str(state), "--arm", "1")

    def ask(*more: str) -> int:
        return run_app(build_app(ready), [*ready, *more])

    def start(*symbols: str) -> LiveTrader:
        config = LiveConfig.of(paper=False, archive=str(daily_archive), symbols=symbols, state_dir=state)
        trader = LiveTrader(config, archive=daily_archive, broker=house, clock=day.clock)

        async def run() -> None:
            async with trader:
                await trader.run(day.now() + timedelta(days=1, hours=15))

        asyncio.run(run())
        return trader

    number = house.account().number
    assert ask("--confirm", number[-4:]) == 1
    assert not (state / ARMED_FILE).exists()
    with pytest.raises(ConfigError, match="nothing is armed"):
        start("AAPL")
    soaked(state, model_of(daily_archive, "AAPL"))
    assert ask("--confirm", "0000") == 2
    assert not (state / ARMED_FILE).exists()
    assert ask("--confirm", number[-4:]) == 0
    assert number not in (state / ARMED_FILE).read_text() + capsys.readouterr().out
    with pytest.raises(ConfigError, match="other models are armed for MSFT"):
        start("MSFT")
    trader = start("AAPL")
    assert (trader.status().mode, trader.status().exit_code) == ("LIVE", 0)
    assert trader.status().decisions > 0
