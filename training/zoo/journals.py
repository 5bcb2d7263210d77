"""What shadows did on live bars, from the journals of traders: each on a sleeve of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.data.journal import read_journal
from training.zoo.plays import Play

CHAMPION: Final = "champion"
_EPOCH: Final = np.datetime64(0, "ns")


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What one or more journals say of shadows.

    Attributes:
        plays: One a version and symbol, on the bars that it saw.
        champions: Version that held each symbol's slot on the newest bar.
        policies: Digest of each version's file.
    """

    plays: tuple[Play, ...]
    champions: Mapping[str, str]
    policies: Mapping[str, str]


def shadowed(folders: Iterable[Path | str]) -> Shadowed:
    """Return what shadows did, from the journals in ``folders``.

    A bar that two journals tell of, as after a restart elsewhere, is taken from the first.

    Raises:
        StorageError: A folder holds no journal, or one whose chain is broken.
    """
    bodies: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    champions: dict[str, tuple[int, str]] = {}
    for folder in folders:
        for row in read_journal(folder):
            if row.event is JournalEvent.SHADOW_DECIDED:
                _take(row.body, bodies, champions)
    plays = tuple(
        _play(version, symbol, [told[at] for at in sorted(told)]) for (version, symbol), told in bodies.items()
    )
    policies = {version: next(iter(told.values()))["model_sha256"] for (version, _), told in bodies.items()}
    return Shadowed(plays, {symbol: version for symbol, (_, version) in champions.items()}, policies)


def _take(
    body: Mapping[str, Any],
    bodies: dict[tuple[str, str], dict[int, Mapping[str, Any]]],
    champions: dict[str, tuple[int, str]],
) -> None:
    at, symbol, version = _ns(body["bar"]), body["symbol"], body["version_id"]
    bodies.setdefault((version, symbol), {}).setdefault(at, body)
    if body["role"] == CHAMPION and at >= champions.get(symbol, (0, ""))[0]:
        champions[symbol] = (at, version)


def _play(version: str, symbol: str, told: Sequence[Mapping[str, Any]]) -> Play:
    # What a bar's holding earned is known at the next open and written there; the newest bar is marked at its close.
    newest = float(told[-1]["price"]) / float(told[-1]["open"]) - 1.0
    returns = [float(body["market_return"] or 0.0) for body in told[1:]]
    return Play(
        name=version,
        symbol=symbol,
        start_at=np.array([_ns(body["bar"]) for body in told], dtype=np.int64),
        weight=np.array([float(body["weight"]) for body in told]),
        market_return=np.array([*returns, newest]),
        cost=np.array([float(body["cost"]) for body in told]),
    )


def _ns(text: str) -> int:
    return int((np.datetime64(text.removesuffix("Z").removesuffix("+00:00"), "ns") - _EPOCH).astype(np.int64))
