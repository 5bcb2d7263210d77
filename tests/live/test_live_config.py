"""Whose money is at stake: one function decides, and never falls back."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.config import LiveConfig, check_confirmation, resolve_mode

CASES = list(product((True, False), ("auto", "alpaca", "local"), (True, False), (None, "archive"), (None, "1234")))


@pytest.mark.parametrize(("paper", "broker", "has_keys", "archive", "confirm"), CASES)
def test_mode_follows_from_what_was_asked_and_nothing_else(
    paper: bool, broker: Any, has_keys: bool, archive: str | None, confirm: str | None
) -> None:
    """Every combination: real money and Alpaca need keys, archive and confirmation; the twin needs none of them."""
    fields: dict[str, Any] = {"paper": paper, "broker": broker, "archive": archive, "confirm_live": confirm}
    if not paper and broker == "local":
        with pytest.raises(UsageError):
            LiveConfig.of(**fields)
        return
    config = LiveConfig.of(**fields)
    wants_alpaca = not paper or broker == "alpaca" or (broker == "auto" and has_keys)
    allowed = not wants_alpaca or (has_keys and archive is not None and (paper or confirm is not None))
    if not allowed:
        with pytest.raises(ConfigError) as caught:
            resolve_mode(config, has_keys=has_keys)
        assert caught.value.exit_code == 2
        return
    expected = TradingMode.PAPER_ALPACA if wants_alpaca else TradingMode.PAPER_LOCAL
    assert resolve_mode(config, has_keys=has_keys) is (expected if paper else TradingMode.LIVE)


@pytest.mark.parametrize("confirm", [None, "", "234", "01234", "9999"])
def test_confirmation_is_the_last_four_of_this_account(confirm: str | None) -> None:
    """Anything but the account's own last four characters is refused."""
    config = LiveConfig.of(paper=False, archive="archive", confirm_live=confirm)
    with pytest.raises(ConfigError):
        check_confirmation(config, "PA0001234")
    check_confirmation(config.model_copy(update={"confirm_live": "1234"}), "PA0001234")
    check_confirmation(LiveConfig.of(), "PA0001234")


def test_config_names_every_fault_at_once() -> None:
    """Several wrong values are one error that lists them."""
    with pytest.raises(UsageError) as caught:
        LiveConfig.of(symbols=("aapl",), max_bars=0, timeframe="2Day")
    assert all(flag in str(caught.value) for flag in ("--symbols", "--max-bars", "--timeframe"))
