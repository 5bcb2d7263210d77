"""Following a slot's pointer while trading: what the archive says now, and whether a candidate may take over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from trader_sdk.approved import ApprovedModel
from trader_sdk.archive.eligibility import HOUSE_ONLY, Terms
from trader_sdk.archive.slots import SlotKey
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import ActionError, LifecycleError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.demands import Demands, recalls_of
from trader_sdk.door import Door, Standing
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.lines import SymbolLine
from trader_sdk.live.models import LiveModel
from trader_sdk.loading import pins_of

PARITY_BARS: Final = 24
"""Closed bars on which a candidate is played before it may take over."""
LOOK_SECONDS: Final = 30.0
"""How often an archive is asked whose changes cannot be seen without asking."""
MOST_SHADOWS: Final = 4
"""Challengers of one slot that decide beside its champion, the newest."""
_CHAIN: Final = "audit.jsonl"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the archive found.

    Attributes:
        standings: By symbol, what became of the model that trades.
        challengers: By symbol, the models that wait, newest first.
    """

    standings: Mapping[str, Standing]
    challengers: Mapping[str, Sequence[ApprovedModel]]


class ArchiveWatch:
    """Looks at an archive again where it may have changed.

    Args:
        archive: Its folder, name or URL.
        config: On which terms models are loaded.
        mode: Where they trade.
    """

    def __init__(self, archive: Path, config: LiveConfig, mode: TradingMode) -> None:
        self._archive, self._config, self._mode = archive, config, mode
        self._seen: object = None
        self._looked_at = 0.0

    def may_have_changed(self, held: Mapping[str, LiveModel]) -> bool:
        """Return whether a look could find something new: cheap, for every bar."""
        ends = (live.model.approval.override for live in held.values())
        if any(override is not None and override.until <= datetime.now(UTC) for override in ends):
            return time.monotonic() - self._looked_at >= LOOK_SECONDS
        signature = tuple(_stamp(path) for path in (self._archive / _CHAIN, self._config.recalls) if path is not None)
        if signature[0] is None:  # no folder: a shared archive says what changed only when it is asked
            return time.monotonic() - self._looked_at >= LOOK_SECONDS
        changed, self._seen = signature != self._seen, signature
        return changed

    def look(self, held: Mapping[str, LiveModel]) -> Look:
        """Read the archive and load what its pointers name instead of ``held``; for a thread of its own.

        Raises:
            ArchiveError: The archive as a whole cannot be read, or does not answer.
            ConfigError: Pins or recalls cannot be read.
        """
        self._looked_at = time.monotonic()
        door = self._door(self._mode)
        standings = {
            symbol: door.standing(_key(live), self._config.follow, live.model.approval) for symbol, live in held.items()
        }
        # A shadow trades nothing, so what only paper may trade may be one.
        of_paper = self._door(TradingMode.PAPER_LOCAL) if self._config.shadow == "challengers" else None
        waiting = {
            symbol: [row.model for row in of_paper.challengers(_key(live), MOST_SHADOWS) if row.model is not None]
            for symbol, live in held.items()
            if of_paper is not None
        }
        return Look(standings, waiting)

    def _door(self, mode: TradingMode) -> Door:
        config = self._config
        age = timedelta(days=config.max_model_age) if config.max_model_age else None
        asked = Demands(
            config.strict_version,
            config.require_signature,
            age,
            pins_of(config.pins),
            recalls_of(config.recalls),
            mapped=False,
        )
        return Door.of(self._archive, Terms.of(mode, (*HOUSE_ONLY, *config.accept_policies), None), asked)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _key(live: LiveModel) -> SlotKey:
    return SlotKey(live.symbol, live.model.approval.verdict.timeframe)


def play_candidate(line: SymbolLine, history: Bars, newest: int) -> int:
    """Warm a candidate and let it decide on closed bars both ways: with sums made ahead, and on whole observations.

    Args:
        line: The candidate's, to which nothing was pushed.
        history: Closed bars, oldest first.
        newest: Start of the newest bar that the running model has seen; later ones are left out.

    Returns:
        How many decisions were compared.

    Raises:
        ActionError: E404 for an output that is no number, E405 where the two disagree or one takes too long.
    """
    known = history.slice(0, int(np.searchsorted(history.t, newest, side="right")))
    first = max(len(known) - PARITY_BARS, 0)
    line.warm(known.slice(0, first))
    stream, model = line.live.model.stream(), line.live.model
    at_rest = np.zeros(model.model_spec.n_account, np.float32)
    compared = 0
    for index in range(first, len(known)):
        line.push(known.at(index))
        if not line.live.observations.ready:
            continue
        observation = line.live.observations.observe(at_rest)
        began = time.perf_counter()
        ahead = stream.decide_on(observation)
        seconds, whole = time.perf_counter() - began, model.decide(observation)
        if seconds > line.budget_seconds:
            raise ActionError("E405", "the candidate is too slow", where=line.symbol, found=f"{seconds:.3f} s")
        if ahead.action != whole.action:
            raise ActionError(
                "E405", "the candidate's engines disagree", where=line.symbol, expected=whole.name, found=ahead.name
            )
        compared += 1
    return compared


def check_not_ahead(live: LiveModel, bar_at: datetime, mode: TradingMode) -> None:
    """Refuse a candidate that has seen the bars of the replay that it would trade.

    Raises:
        LifecycleError: E705.
    """
    if mode is TradingMode.PAPER_LOCAL and (live.data_end is None or live.data_end > bar_at):
        found = "no stated data_end" if live.data_end is None else f"data up to {live.data_end:%Y-%m-%d %H:%M}"
        raise LifecycleError(
            "E705",
            "the candidate has seen the bars that it would trade",
            where=live.symbol,
            expected=f"data before {bar_at:%Y-%m-%d %H:%M}",
            found=found,
        )
