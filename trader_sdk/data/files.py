"""Bars in files: CSV, gzipped CSV, parquet. Every fault is one line that names its rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import ConfigError, DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data.calendar import ALWAYS_OPEN, XNYS
from trader_sdk.data.gaps import time_text
from trader_sdk.data.rows import order_faults, parse_numbers, parse_times

PRICE_COLUMNS: Final = ("open", "high", "low", "close", "volume")
TIME_COLUMNS: Final = ("timestamp", "time", "date", "t")
SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
_HEADER_KEYS: Final = ("symbol", "timeframe", "kind", "feed", "adjustment", "calendar")
_HEADER_MARK: Final = "# trader-sdk bars "
_PARQUET_KEY: Final = b"trader-sdk bars"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file says of its own bars, or what the caller says where it is silent."""

    symbol: str
    timeframe: Timeframe
    kind: DataKind = DataKind.REAL
    feed: str = "file"
    adjustment: str = "split"
    calendar: str = XNYS


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's columns as read, not judged: times as text, date or number, the rest as text or number."""

    times: Sequence[Any]
    symbols: Sequence[Any] | None
    numbers: Mapping[str, Sequence[Any]]
    first_row: int
    header: Mapping[str, str]


def is_bar_file(source: str) -> bool:
    """Return whether ``source`` is named like a file of bars.

    Example:
        >>> is_bar_file("bars/AAPL.csv.gz"), is_bar_file("vendored")
        (True, False)
    """
    return source.endswith(SUFFIXES)


def read_bars(path: Path, symbol: str, timeframe: Timeframe, *, calendar: str | None = None) -> Bars:
    """Read one symbol's bars from a file.

    Args:
        path: ``.csv``, ``.csv.gz`` or ``.parquet`` with the columns ``timestamp`` (also ``time``, ``date``, ``t``),
            ``open, high, low, close, volume`` and optionally ``symbol``. Times are bar starts with a zone (RFC 3339)
            or integer ns UTC; daily bars may be plain dates. Order of columns and letter case are free.
        symbol: Whose bars; rows of other symbols are left out where there is a ``symbol`` column.
        timeframe: Length of the bars.
        calendar: ``XNYS`` or ``24/7``; None takes the file's own, else ``24/7`` for symbols with a slash.

    Returns:
        Valid bars. What a file of our own export says of kind, feed and adjustment is kept.

    Raises:
        DataError: Unreadable, wrong columns, or invalid rows; all sorts of faults in one line, with row numbers.
        ConfigError: Parquet without pyarrow.
    """
    table = _read_table(path)
    origin = _origin(table, path, symbol, timeframe, calendar)
    keep = _rows_of_symbol(table, path, symbol)
    faults: list[str] = []
    lines = keep + table.first_row
    t = parse_times([table.times[row] for row in keep], lines, timeframe, origin.calendar, faults)
    columns = {
        name: parse_numbers([table.numbers[name][row] for row in keep], lines, name, faults) for name in PRICE_COLUMNS
    }
    if not faults:
        faults += order_faults(t, lines, timeframe)
    if faults:
        raise DataError("BARS", "; ".join(faults), where=str(path))
    try:
        return Bars(
            symbol=symbol,
            timeframe=timeframe,
            t=t,
            **columns,
            kind=origin.kind,
            feed=origin.feed,
            adjustment=origin.adjustment,
            calendar=origin.calendar,
        )
    except DataError as error:
        where = f"{path}, row 0 is line {table.first_row}"
        raise DataError("BARS", error.message, where=where, remedy=error.remedy) from error


def write_bars(bars: Bars, path: Path) -> None:
    """Write bars to a file that :func:`read_bars` reads back equal, digest included.

    Args:
        bars: What to write.
        path: ``.csv``, ``.csv.gz`` or ``.parquet``.

    Raises:
        DataError: Another suffix.
        ConfigError: Parquet without pyarrow.
    """
    header = {key: str(getattr(bars, key)) for key in _HEADER_KEYS}
    if path.name.endswith(".parquet"):
        _write_parquet(bars, path, header)
    elif path.name.endswith(".csv"):
        path.write_text(_csv_text(bars, header), "utf-8")
    elif path.name.endswith(".csv.gz"):
        # No time stamp in the gzip header: equal bars give equal bytes.
        path.write_bytes(gzip.compress(_csv_text(bars, header).encode(), mtime=0))
    else:
        raise _unknown_suffix(path)


def _unknown_suffix(path: Path) -> DataError:
    return DataError(
        "BARS",
        "a file of bars is told by its name",
        where=str(path),
        expected=", ".join(SUFFIXES),
        found=path.name,
        remedy="Rename or convert the file.",
    )


def _read_table(path: Path) -> _Table:
    try:
        if path.name.endswith(".parquet"):
            return _read_parquet(path)
        if path.name.endswith(".csv.gz"):
            return _parse_csv(gzip.decompress(path.read_bytes()).decode("utf-8-sig"), path)
        if path.name.endswith(".csv"):
            return _parse_csv(path.read_text("utf-8-sig"), path)
    except FileNotFoundError as error:
        raise DataError("BARS", "there is no such file", where=str(path), remedy="Correct the path.") from error
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("BARS", "the file cannot be read", where=str(path), found=error) from error
    raise _unknown_suffix(path)


def _parse_csv(text: str, path: Path) -> _Table:
    header: Mapping[str, str] = {}
    first_row = 2
    if text.startswith(_HEADER_MARK):
        line, _, text = text.partition("\n")
        header = _parse_header(line.removeprefix(_HEADER_MARK), path)
        first_row = 3
    names, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    width = len(names)
    for number, row in enumerate(rows, first_row):
        if len(row) != width:
            raise DataError(
                "BARS", f"line {number} has {len(row)} cells", where=str(path), expected=width, found=len(row)
            )
    cells: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * width
    return _table(dict(zip((name.strip().lower() for name in names), cells, strict=True)), first_row, header, path)


def _parse_header(text: str, path: Path) -> Mapping[str, str]:
    try:
        header = json.loads(text)
    except ValueError as error:
        raise DataError("BARS", "the header line is damaged", where=f"{path}, line 1", found=text[:80]) from error
    if not isinstance(header, dict) or set(header) != set(_HEADER_KEYS):
        raise DataError("BARS", "the header line is damaged", where=f"{path}, line 1", found=text[:80])
    return header


def _table(columns: Mapping[str, Sequence[Any]], first_row: int, header: Mapping[str, str], path: Path) -> _Table:
    time_names = [name for name in TIME_COLUMNS if name in columns]
    absent = [name for name in PRICE_COLUMNS if name not in columns]
    if absent or len(time_names) != 1:
        raise DataError(
            "BARS",
            "wrong columns",
            where=str(path),
            expected=f"{', '.join(PRICE_COLUMNS)} and one of {', '.join(TIME_COLUMNS)}",
            found=", ".join(columns) or "no columns",
            remedy="Rename the columns of the file.",
        )
    numbers = {name: columns[name] for name in PRICE_COLUMNS}
    return _Table(columns[time_names[0]], columns.get("symbol"), numbers, first_row, header)


def _read_parquet(path: Path) -> _Table:
    parquet = _pyarrow_parquet(path)
    import pyarrow

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise DataError("BARS", "the file cannot be read", where=str(path), found=str(error)[:120]) from error
    packed = (table.schema.metadata or {}).get(_PARQUET_KEY)
    header = _parse_header(packed.decode(), path) if packed else {}
    columns = {name.strip().lower(): table.column(name).to_pylist() for name in table.column_names}
    return _table(columns, 0, header, path)


def _write_parquet(bars: Bars, path: Path, header: Mapping[str, str]) -> None:
    parquet = _pyarrow_parquet(path)
    import pyarrow

    columns = {"t": bars.t, **{name: getattr(bars, name) for name in PRICE_COLUMNS}}
    table = pyarrow.table(columns).replace_schema_metadata({_PARQUET_KEY: json.dumps(header)})
    parquet.write_table(table, path)


def _pyarrow_parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "CONFIG",
            "parquet needs the package pyarrow",
            where=str(path),
            remedy='Install it with `pip install "trader-sdk[train]"`, or use CSV.',
        ) from error
    return pyarrow.parquet


def _csv_text(bars: Bars, header: Mapping[str, str]) -> str:
    lines = [_HEADER_MARK + json.dumps(header), ",".join(("timestamp", *PRICE_COLUMNS))]
    columns = (getattr(bars, name).tolist() for name in PRICE_COLUMNS)
    # repr of a float reads back as the same float.
    rows = zip(map(time_text, bars.t.tolist()), *(map(repr, column) for column in columns), strict=True)
    return "\n".join([*lines, *map(",".join, rows)]) + "\n"


def _origin(table: _Table, path: Path, symbol: str, timeframe: Timeframe, calendar: str | None) -> Origin:
    if not table.header:
        return Origin(symbol, timeframe, calendar=calendar or (ALWAYS_OPEN if "/" in symbol else XNYS))
    asked = {"symbol": symbol, "timeframe": str(timeframe), **({"calendar": calendar} if calendar else {})}
    for key, wanted in asked.items():
        if table.header[key] != wanted:
            raise DataError(
                "BARS",
                f"the file holds another {key}",
                where=str(path),
                expected=wanted,
                found=table.header[key],
                remedy="Ask for what the file holds, or name another file.",
            )
    try:
        kind = DataKind(table.header["kind"])
    except ValueError as error:
        raise DataError("BARS", "the header line is damaged", where=str(path), found=table.header["kind"]) from error
    return Origin(symbol, timeframe, kind, *(table.header[key] for key in ("feed", "adjustment", "calendar")))


def _rows_of_symbol(table: _Table, path: Path, symbol: str) -> NDArray[np.int64]:
    if table.symbols is None:
        keep = np.arange(len(table.times))
    else:
        keep = np.flatnonzero(np.array([str(cell).strip() == symbol for cell in table.symbols], np.bool_))
    if not len(keep):
        there = sorted({str(cell) for cell in table.symbols or ()})[:10]
        raise DataError(
            "BARS", "the file has no bars of this symbol", where=str(path), expected=symbol, found=", ".join(there)
        )
    return keep
