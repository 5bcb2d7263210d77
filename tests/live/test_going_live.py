"""Going live: armed by the command, and a start with real money that stands on the record alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import deployable
from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live import LiveTrader
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
def house(day: Any, ask: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealMoney]:
    """Return the played venue as the place where real money is; commands reach it with the keys of the environment."""
    endpoint, credentials = day.broker._endpoint, day.broker._credentials
    monkeypatch.setattr("trader_sdk.broker.endpoint.alpaca_live", lambda: endpoint)
    monkeypatch.setattr("trader_sdk.broker.alpaca.AlpacaBroker", RealMoney)
    monkeypatch.setitem(LiveTrader.__init__.__kwdefaults__, "clock", day.clock)
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
    house: RealMoney, ask: Callable[..., Any], daily_archive: Path, tmp_path: Path
) -> None:
    """By the commands alone: not before the soak, not without the number, not with another symbol; then it trades."""
    state, number = tmp_path / "state", house.account().number
    archive = ("--archive", str(daily_archive))

    def arm(confirm: str) -> Any:
        return ask(state, "golive", "AAPL", *archive, "--arm", "1", "--confirm", confirm)

    def start(symbol: str, *more: str) -> Any:
        return ask(state, "run", "--paper", "0", *archive, "--symbols", symbol, "--max-bars", "2", *more)

    assert arm(number[-4:]).code == 1
    assert not (state / ARMED_FILE).exists()
    unarmed, wrong = start("AAPL"), start("AAPL", "--confirm-live", "0000")
    assert (unarmed.code, "--confirm-live" in unarmed.stderr) == (2, True)
    assert (wrong.code, number[-4:] in wrong.stderr, list(state.glob("live-*/journal.db"))) == (2, False, [])
    soaked(state, model_of(daily_archive, "AAPL"))
    assert arm("0000").code == 2
    assert not (state / ARMED_FILE).exists()
    armed = arm(number[-4:])
    assert armed.code == 0
    assert number not in (state / ARMED_FILE).read_text() + armed.stdout
    other = start("MSFT")
    assert (other.code, "other models are armed for MSFT" in other.stderr) == (2, True)
    traded = start("AAPL")
    (first, ended) = (traded.named("first_line")[0], traded.last)
    assert (first["mode"], first["strict"], first["local"]) == ("LIVE", True, False)
    assert (traded.code, ended["exit_code"], ended["bars"]) == (0, 0, 2)
    assert ended["orders"] > 0
    assert ask(state, "status").last["mode"] == "LIVE"
    assert ask(state, "flatten").code == 2
    assert ask(state, "flatten", "--confirm", number[-4:]).code == 0
