"""What a start gave its windows, kept beside the journal: with it and the journal every decision can be made again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.broker.port import SessionView
from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import StorageError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data.calendar import new_york
from trader_sdk.live.events import bar_ns, bar_time
from trader_sdk.live.schedule import Schedule

_COLUMNS: Final = ("t", "open", "high", "low", "close", "volume")


class Start(NamedTuple):
    """The bars that each window was filled from, by symbol, and the calendar of the run."""

    history: Mapping[str, Bars]
    schedule: Schedule


def start_path(folder: Path, epoch: int) -> Path:
    """Return where the start number ``epoch`` of a journal is kept."""
    return folder / f"start-{epoch}.npz"


def save_start(folder: Path, epoch: int, start: Start) -> None:
    """Keep a start; a reader sees the whole file or none.

    Raises:
        StorageError: The disk failed.
    """
    path = start_path(folder, epoch)
    heads = [
        [symbol, bars.timeframe, bars.kind, bars.feed, bars.adjustment, bars.calendar]
        for symbol, bars in start.history.items()
    ]
    facts = {"timeframe": start.schedule.timeframe, "bars": heads}
    arrays: dict[str, NDArray[Any]] = {
        f"{name}{number}": getattr(bars, name)
        for number, bars in enumerate(start.history.values())
        for name in _COLUMNS
    }
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    arrays["sessions"] = _rows(start.schedule.sessions)
    partial = path.with_suffix(".tmp")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub's keyword is a flag of savez
        partial.replace(path)
    except OSError as error:
        raise StorageError("STORAGE", "the start of the run cannot be kept", where=str(path), found=error) from error


def read_start(folder: Path, epoch: int) -> Start:
    """Return what :func:`save_start` kept.

    Raises:
        StorageError: It is missing or damaged.
    """
    path = start_path(folder, epoch)
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("no archive")
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes())
            columns = [{name: file[f"{name}{i}"] for name in _COLUMNS} for i in range(len(facts["bars"]))]
            sessions = tuple(_session(row) for row in file["sessions"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StorageError(
            "JOURNAL",
            "the bars that this start filled its windows from are not here",
            where=str(path),
            found=error,
            remedy="Only runs whose whole folder was kept can be decided again.",
        ) from error
    bars = [_bars(head, arrays) for head, arrays in zip(facts["bars"], columns, strict=True)]
    return Start({one.symbol: one for one in bars}, Schedule(Timeframe(facts["timeframe"]), sessions))


def _rows(sessions: Sequence[SessionView]) -> NDArray[np.int64]:
    rows = [(bar_ns(session.open_at), bar_ns(session.close_at)) for session in sessions]
    return np.array(rows, np.int64).reshape(-1, 2)


def _session(row: NDArray[np.int64]) -> SessionView:
    opens, closes = bar_time(int(row[0])), bar_time(int(row[1]))
    return SessionView(opens.astimezone(new_york()).date(), opens, closes)


def _bars(head: Sequence[str], columns: Mapping[str, NDArray[Any]]) -> Bars:
    symbol, timeframe, kind, feed, adjustment, calendar = head
    return Bars(
        symbol=symbol,
        timeframe=Timeframe(timeframe),
        kind=DataKind(kind),
        feed=feed,
        adjustment=adjustment,
        calendar=calendar,
        **columns,
    )
