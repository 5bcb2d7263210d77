"""Files of bars: they read back equal, and every fault is one clear line."""

from pathlib import Path

import numpy as np
import pytest

from trader_sdk.contract.errors import DataError, SdkError, UsageError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import load_bars, read_bars, write_bars

HEAD = "timestamp,open,high,low,close,volume"
OPEN = "2021-01-04T14:30:00Z,1,2,1,1,5"


def load(folder: Path, *lines: str, name: str = "bars.csv", timeframe: str = "1Min") -> object:
    """Write lines to a file and load it."""
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return load_bars(str(folder / name), "X", timeframe)


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz", "bars.parquet"])
@pytest.mark.parametrize(
    ("source", "symbol", "timeframe"), [("vendored", "AAPL", "1Day"), ("planted:bars=500", "SIM", "1Min")]
)
def test_written_bars_read_back_equal(tmp_path: Path, name: str, source: str, symbol: str, timeframe: str) -> None:
    """Digest, kind, feed and adjustment survive every format, so simulated bars stay simulated."""
    bars = load_bars(source, symbol, timeframe)
    write_bars(bars, tmp_path / name)
    read = load_bars(str(tmp_path / name), symbol, timeframe)
    assert (read.digest, read.kind) == (bars.digest, bars.kind)


def test_equal_bars_write_equal_bytes(tmp_path: Path) -> None:
    """No time of writing is hidden in the file."""
    bars = load_bars("planted:bars=100", "SIM", "1Min")
    for name in ("a.csv.gz", "b.csv.gz"):
        write_bars(bars, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((HEAD, OPEN, "2021-01-04T14:32:00Z,1,2,1,1,5"), "the bars have gaps: 1 missing, first 2021-01-04T14:31:00Z"),
        ((HEAD, OPEN, "2021-01-04T14:31:00Z,1,nan,1,1,5"), "high is not a finite number at line 3: 'nan' (1 lines)"),
        ((HEAD, OPEN, "2021-01-04T14:31:00Z,1,2,1,,5"), "close is not a finite number at line 3: '' (1 lines)"),
        ((HEAD, "2021-01-04T14:31:00Z,1,2,1,1,5", OPEN), "time goes backwards at line 3"),
        ((HEAD, OPEN, OPEN), "time repeats at line 3"),
        ((HEAD, "2021-01-04T14:30:00,1,2,1,1,5"), "time is not an RFC 3339 time with a zone at line 2"),
        ((HEAD, "2021-01-04,1,2,1,1,5"), "time is not an RFC 3339 time with a zone at line 2"),
        ((HEAD, "soon,1,2,1,1,5"), "time is not an RFC 3339 time with a zone at line 2"),
        ((HEAD, OPEN, "2021-01-04T14:30:30Z,1,2,1,1,5"), "bars are closer than 1Min at line 3"),
        ((HEAD, "2021-01-04T14:30:00Z,1,2,1,3,5"), "close lies outside low..high at row 0"),
        ((HEAD, "2021-01-04T14:30:00Z,1,2,1,1,-5"), "volume is negative at row 0"),
        ((HEAD, "2021-01-04T14:30:00Z,0,2,0,1,5"), "open is not positive at row 0"),
        ((HEAD, "2021-01-04T14:30:00Z,1,2,1,1"), "line 2 has 5 cells"),
        (("timestamp,open,high,low,close", "2021-01-04T14:30:00Z,1,2,1,1"), "wrong columns"),
        ((HEAD,), "the file has no bars of this symbol"),
        (("",), "wrong columns"),
        (("# trader-sdk bars {", HEAD, OPEN), "the header line is damaged"),
        (('# trader-sdk bars {"symbol": "X"}', HEAD, OPEN), "the header line is damaged"),
    ],
)
def test_a_faulty_file_is_one_typed_line(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    """The error says what is wrong and in which row, in one line."""
    with pytest.raises(DataError) as caught:
        load(tmp_path, *lines)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_sorts_of_faults_come_together(tmp_path: Path) -> None:
    """A person repairs a file once, not fault by fault."""
    with pytest.raises(DataError) as caught:
        load(tmp_path, HEAD, "2021-01-04 14:30:00,1,x,1,1,5", "2021-01-04T14:31:00Z,1,2,y,1,z")
    for name in ("time", "high", "low", "volume"):
        assert f"{name} is not" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv.gz", b"no gzip"), ("a.parquet", b"no parquet"), ("a.csv", b"\xff\xfe\x00")]
)
def test_an_unreadable_file_is_a_typed_error(tmp_path: Path, name: str, content: bytes) -> None:
    """Bytes of another format are no traceback."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read|wrong columns"):
        load_bars(str(tmp_path / name), "X", "1Min")


def test_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(DataError, match="no such file"):
        load_bars(str(tmp_path / "none.csv"), "X", "1Min")


def test_gaps_are_accepted_when_asked(tmp_path: Path) -> None:
    """They stay gaps: nothing is filled."""
    write_bars(load_bars("planted:bars=50", "SIM", "1Min"), tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join(lines[:20] + lines[21:]))
    assert len(load_bars(str(tmp_path / "a.csv"), "SIM", "1Min", allow_gaps=True)) == 49


def test_rows_of_other_symbols_are_left_out(tmp_path: Path) -> None:
    """One file may hold several symbols."""
    lines = (f"Symbol,{HEAD}", f"X,{OPEN}", "Y,2021-01-04T14:30:00Z,7,7,7,7,7", "X,2021-01-04T14:31:00Z,1,2,1,2,5")
    bars = load(tmp_path, *lines)
    np.testing.assert_array_equal(bars.close, [1.0, 2.0])


@pytest.mark.parametrize("time_name", ["timestamp", "time", "Date", "t"])
def test_daily_files_may_hold_plain_dates(tmp_path: Path, time_name: str) -> None:
    """A date is a session: its bar starts at midnight in New York."""
    head = HEAD.replace("timestamp", time_name)
    bars = load(tmp_path, head, "2021-01-04,1,2,1,1,5", "2021-01-05,1,2,1,1,5", timeframe="1Day")
    assert bars.t[0] == 1_609_736_400 * 10**9


def test_symbols_with_a_slash_trade_around_the_clock(tmp_path: Path) -> None:
    """A weekend night is no gap for BTC/USD."""
    (tmp_path / "b.csv").write_text(f"{HEAD}\n2021-01-02T03:00:00Z,1,2,1,1,5\n2021-01-02T04:00:00Z,1,2,1,1,5\n")
    assert load_bars(str(tmp_path / "b.csv"), "BTC/USD", "1Hour").calendar == "24/7"


def test_a_file_of_another_symbol_or_timeframe_is_refused(tmp_path: Path) -> None:
    """What the file says of itself is held against what is asked."""
    write_bars(load_bars("planted:bars=50", "SIM", "1Min"), tmp_path / "a.csv")
    for symbol, timeframe in (("SIM2", Timeframe.MIN_1), ("SIM", Timeframe.MIN_5)):
        with pytest.raises(DataError, match="the file holds another"):
            read_bars(tmp_path / "a.csv", symbol, timeframe)


@pytest.mark.parametrize(
    "source", ["planted:edge=two", "planted:colour=1", "planted:seed", "vendored:seed=1", "stocks", "", "noise:edge=1"]
)
def test_an_unknown_source_or_setting_is_a_typed_error(source: str) -> None:
    """Nothing is guessed about where bars come from."""
    with pytest.raises(DataError):
        load_bars(source, "SIM", "1Min")


@pytest.mark.parametrize(("source", "symbol", "timeframe"), [("vendored", "AAPL", "1Min"), ("planted", "SIM", "1Day")])
def test_a_source_refuses_timeframes_it_cannot_give(source: str, symbol: str, timeframe: str) -> None:
    """Real daily bars are never split into minutes, minutes never joined into days."""
    with pytest.raises(DataError):
        load_bars(source, symbol, timeframe)


def test_an_unknown_timeframe_lists_the_legal_ones() -> None:
    """The message is enough to correct the command."""
    with pytest.raises(UsageError, match="1Min, 5Min"):
        load_bars("vendored", "AAPL", "2Min")


def test_a_file_of_another_kind_cannot_be_written(tmp_path: Path) -> None:
    """Nothing is written under a name that cannot be read back."""
    with pytest.raises(SdkError, match="told by its name"):
        write_bars(load_bars("planted:bars=50", "SIM", "1Min"), tmp_path / "a.xlsx")
    assert not list(tmp_path.iterdir())
