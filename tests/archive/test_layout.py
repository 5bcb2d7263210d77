"""Names inside an archive never leave it and never meet."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.archive.layout import (
    escape_symbol,
    is_run_timestamp,
    model_key,
    run_folder,
    run_timestamp,
    unescape_symbol,
    version_id,
)
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.timeframe import Timeframe

symbols = st.text(min_size=1, max_size=32).filter(lambda text: not re.search("[\ud800-\udfff]", text))


@pytest.mark.parametrize(
    ("symbol", "escaped"),
    [
        ("AAPL", "AAPL"),
        ("BTC/USD", "BTC%2FUSD"),
        ("BRK.B", "BRK.B"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("CON", "%43ON"),
        ("CON.X", "%43ON.X"),
        ("COM1", "%43OM1"),
        ("A B", "A%20B"),
        ("A_1Day", "A%5F1%44%61%79".replace("%44", "D")),
        ("ß", "%C3%9F"),
        ("A\0", "A%00"),
        ("%41", "%2541"),
    ],
)
def test_symbol_is_escaped_where_a_file_system_could_misread_it(symbol: str, escaped: str) -> None:
    """Separators, devices, dots at the ends, lower case, and the separator of keys."""
    assert escape_symbol(symbol) == escaped


@given(symbols)
def test_escaped_symbol_is_a_plain_name_that_gives_the_symbol_back(symbol: str) -> None:
    """One name, one symbol, nothing but letters, digits, dash, dot and percent."""
    escaped = escape_symbol(symbol)
    assert re.fullmatch(r"[A-Z0-9%.-]+", escaped)
    assert unescape_symbol(escaped) == symbol
    assert not escaped.startswith(".")
    assert not escaped.endswith(".")
    assert Path(escaped).name == escaped
    assert escaped.split(".")[0] not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


@given(symbols, symbols)
def test_two_symbols_never_share_a_name_when_case_is_folded(one: str, other: str) -> None:
    """On file systems that fold case neither."""
    if one != other:
        assert escape_symbol(one).casefold() != escape_symbol(other).casefold()


@pytest.mark.parametrize("symbol", ["", "A" * 33, "\ud800"])
def test_symbol_is_refused_when_it_is_none(symbol: str) -> None:
    """Empty, over-long, or not text."""
    with pytest.raises(ArchiveError) as caught:
        escape_symbol(symbol)
    assert caught.value.code == "E609"


def test_key_joins_symbol_and_timeframe() -> None:
    """The key of summaries and verdict ids."""
    assert model_key("BRK.B", Timeframe.DAY_1) == "BRK.B_1Day"


def test_timestamp_is_utc_whatever_the_zone() -> None:
    """The same moment has one name."""
    moment = datetime(2026, 11, 21, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert run_timestamp(moment) == "20261121_093000"
    assert run_timestamp(moment, 3) == "20261121_093000_3"


@pytest.mark.parametrize(
    "name",
    ["", "..", "../20261121_093000", "20261121_093000/..", "20261121-093000", "20261121_093000_0", "２0261121_093000"],
)
def test_run_folder_is_refused_when_the_name_is_no_timestamp(tmp_path: Path, name: str) -> None:
    """No path leaves the archive through a timestamp."""
    assert not is_run_timestamp(name)
    with pytest.raises(ArchiveError):
        run_folder(tmp_path, name)


@given(st.text(max_size=60))
def test_version_id_is_a_plain_name_whatever_the_label(label: str) -> None:
    """Labels are free text; ids are not."""
    found = version_id(label, datetime(2026, 11, 21, tzinfo=UTC), "ab" * 32)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*-20261121-abababab", found)
