"""The vendored real bars: their bytes, sessions, splits and returns."""

import csv
import gzip
import hashlib
from datetime import date
from importlib.resources import files

import numpy as np
import pytest

from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.data import VENDORED_SYMBOLS, find_gaps, get_calendar, vendored_bars
from trader_sdk.data.calendar import day_start_ns
from trader_sdk.data.vendored import SPLITS, VENDORED_FILE, VENDORED_SHA256

RESOURCE = files("trader_sdk.data").joinpath("vendored")


def adjusted_returns(symbol: str) -> np.ndarray:
    """Return the file's own split- and dividend-adjusted daily returns."""
    rows = csv.reader(gzip.decompress((RESOURCE / VENDORED_FILE).read_bytes()).decode().splitlines())
    return np.diff(np.log([float(row[7]) for row in rows if row[0] == symbol]))


def test_vendored_file_is_the_one_its_provenance_names() -> None:
    """The bytes in the package have the digest that code and PROVENANCE.md state."""
    assert hashlib.sha256((RESOURCE / VENDORED_FILE).read_bytes()).hexdigest() == VENDORED_SHA256
    assert VENDORED_SHA256 in (RESOURCE / "PROVENANCE.md").read_text("utf-8")


@pytest.mark.parametrize("symbol", VENDORED_SYMBOLS)
def test_vendored_bars_are_real_and_miss_no_session(symbol: str) -> None:
    """Every symbol has exactly New York's sessions between its first and last bar."""
    bars = vendored_bars(symbol)
    assert bars.kind is DataKind.REAL
    assert not find_gaps(bars.t, bars.timeframe, get_calendar("XNYS"))


@pytest.mark.parametrize(("symbol", "split"), [(symbol, split) for symbol in SPLITS for split in SPLITS[symbol]])
def test_vendored_prices_do_not_jump_at_a_split(symbol: str, split: object) -> None:
    """On the first day after a split neither open nor close is 40 % away from the close before."""
    bars = vendored_bars(symbol)
    row = int(np.searchsorted(bars.t, day_start_ns(split.first_day)))
    assert bars.t[row] == day_start_ns(split.first_day)
    for price in (bars.open[row], bars.close[row]):
        assert abs(price / bars.close[row - 1] - 1) < 0.40


@pytest.mark.parametrize("symbol", VENDORED_SYMBOLS)
def test_vendored_returns_agree_with_the_files_own_adjusted_close(symbol: str) -> None:
    """Split-adjusted returns differ from fully adjusted ones on dividend days only, and by no more than 12 %."""
    difference = np.abs(np.diff(np.log(vendored_bars(symbol).close)) - adjusted_returns(symbol))
    assert np.mean(difference < 1e-4) > 0.98
    assert difference.max() < 0.12


def test_split_adjustment_keeps_the_traded_value() -> None:
    """Prices are divided and volumes multiplied by the same ratio: AAPL's first day traded 118.56 x 9,616,100."""
    bars = vendored_bars("AAPL")
    assert bars.open[0] * bars.volume[0] == pytest.approx(118.56 * 9_616_100, rel=1e-12)
    assert bars.open[0] == 118.56 / 4


def test_daily_bars_start_at_midnight_in_new_york() -> None:
    """Winter days start at 05:00 UTC, summer days at 04:00."""
    assert day_start_ns(date(2013, 1, 2)) % (86_400 * 10**9) == 5 * 3_600 * 10**9
    assert day_start_ns(date(2012, 7, 2)) % (86_400 * 10**9) == 4 * 3_600 * 10**9


def test_vendored_bars_refuse_another_symbol() -> None:
    """A symbol that is not in the file is a typed error that lists those that are."""
    with pytest.raises(DataError, match="AAPL, FB, GOOG, IBM, MSFT"):
        vendored_bars("TSLA")
