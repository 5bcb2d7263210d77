"""Bars that were fetched from Alpaca: what was asked for, and the file of this host that holds the answer.

Nothing here asks anybody: ``trader data fetch`` does, and writes what :func:`read_fetched` reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError, StorageError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data.files import read_bars, write_bars

SOURCE: Final = "alpaca"
CACHE_VARIABLE: Final = "TRADER_DATA_CACHE"
FEEDS: Final = ("iex", "sip")
ADJUSTMENTS: Final = ("split", "all", "dividend", "raw")
FORM: Final = "alpaca:start=2024-01-02,end=2024-06-28[,feed=iex|sip][,adjustment=split][,url=http://127.0.0.1:PORT]"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which bars were asked for.

    Attributes:
        symbol, timeframe: Whose, and how long.
        start, end: First and last day, both included.
        feed, adjustment: As Alpaca calls them.
        url: An exchange on this machine instead of Alpaca, empty for Alpaca.
    """

    symbol: str
    timeframe: Timeframe
    start: date
    end: date
    feed: str = "iex"
    adjustment: str = "split"
    url: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, str], symbol: str, timeframe: Timeframe) -> Self:
        """Return what the settings of a source ask for.

        Raises:
            DataError: Unknown, missing or contradictory settings.
        """
        known = {"start", "end", "feed", "adjustment", "url"}
        try:
            start, end = (date.fromisoformat(settings[name]) for name in ("start", "end"))
        except (KeyError, ValueError) as error:
            raise _unreadable(settings) from error
        options = {name: value for name, value in settings.items() if name in ("feed", "adjustment", "url")}
        asked = cls(symbol, timeframe, start, end, **options)
        fits = asked.feed in FEEDS and asked.adjustment in ADJUSTMENTS and asked.start <= asked.end
        if not (fits and set(settings) <= known):
            raise _unreadable(settings)
        return asked

    @property
    def path(self) -> Path:
        """Return where the answer lies on this host."""
        words = (self.symbol, self.timeframe, self.start, self.end, self.feed, self.adjustment, self.url)
        digest = hashlib.sha256("|".join(map(str, words)).encode()).hexdigest()[:12]
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.symbol)
        return cache_folder() / f"{name}_{self.timeframe}_{self.start}_{self.end}_{digest}.csv.gz"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where fetched bars lie on this host: ``TRADER_DATA_CACHE``, or the user's cache folder."""
    from platformdirs import user_cache_path

    stated = environment.get(CACHE_VARIABLE)
    return Path(stated).expanduser() if stated else user_cache_path("trader-sdk", appauthor=False) / "bars"


def read_fetched(asked: Asked) -> Bars:
    """Return what was fetched.

    Raises:
        DataError: Nothing was fetched yet, or the file is not what was fetched.
    """
    path = asked.path
    if not path.is_file():
        raise DataError(
            "BARS",
            "these bars were not fetched yet",
            where=f"{asked.symbol} {asked.timeframe}, {asked.start} to {asked.end}",
            expected=str(path),
            remedy="Fetch them with `trader data fetch`; it takes the same source.",
        )
    bars = read_bars(path, asked.symbol, asked.timeframe)
    try:
        expected = json.loads(_note(path).read_text("utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, None, error) from error
    if bars.digest != expected:
        raise _damaged(path, expected, bars.digest)
    return bars


def keep_fetched(asked: Asked, bars: Bars) -> Path:
    """Keep an answer, whole or not at all, with its digest beside it; return its path.

    Raises:
        StorageError: The disk refused.
    """
    path = asked.path
    partial = path.with_name(f".{os.getpid()}_{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bars(bars, partial)
        _note(path).write_text(json.dumps({"digest": bars.digest, "rows": len(bars)}) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError("STORAGE", "fetched bars cannot be kept", where=str(path), found=error) from error
    return path


def _note(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".csv.gz") + ".json")


def _damaged(path: Path, expected: object, found: object) -> DataError:
    return DataError(
        "BARS",
        "the file is not what was fetched",
        where=str(path),
        expected=expected,
        found=found,
        remedy="Fetch the bars again with `trader data fetch --again 1`.",
    )


def _unreadable(settings: Mapping[str, str]) -> DataError:
    found = ",".join(f"{key}={value}" for key, value in settings.items())
    return DataError("BARS", "unreadable settings", where="source", expected=FORM, found=f"{SOURCE}:{found}")
