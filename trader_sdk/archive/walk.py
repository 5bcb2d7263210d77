"""Let policies trade past bars on sleeves: the one simulation that validation, the gate, backtest and zoo share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.filling import ActionTable, fill_decisions
from trader_sdk.archive.lane_walk import JoinedDecider, SplitDecider, walk_lanes
from trader_sdk.archive.lone_walk import walk_alone
from trader_sdk.archive.notes import NO_DECISION, Notes, Recorder, Walk
from trader_sdk.archive.tracks import Desk, Prices, Track, Turn, check_windows, common_length
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.history import HistoryEngine, SplitPolicy

__all__ = [
    "NO_DECISION",
    "ActionTable",
    "Prices",
    "Track",
    "Turn",
    "Walk",
    "fill_decisions",
    "walk_policies",
    "walk_tracks",
    "walk_windows",
]

_FEW: Final = 6
"""Tracks up to which walking one after the other is faster than side by side: numpy's calls cost as much as six."""
_SIDE_BY_SIDE: Final = 64
"""Tracks at once: their sums of 413 bars take 54 MB at 512 units."""


def walk_windows(
    policy: SplitPolicy,
    spec: ModelSpec,
    market: NDArray[np.float32],
    prices: Prices,
    windows: Sequence[range],
    *,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> list[Walk]:
    """Let the argmax policy trade windows of equal length, side by side, a sleeve each.

    Args:
        policy: Decides.
        spec: What its actions and account columns mean.
        market: float32 (T, 53) feature rows.
        prices: (T,) each, aligned with ``market``.
        windows: Row ranges of one length; before each start there are ``spec.window - 1`` rows.
        costs: Cost model.
        limits: Sizing constants.

    Returns:
        One walk a window. The first decision is taken on the close of a window's first bar.

    Raises:
        DataError: A window is out of range or of another length than the first, or shorter than two bars.
    """
    return walk_tracks(policy, spec, [Track(market, prices, window) for window in windows], costs=costs, limits=limits)


def walk_tracks(
    policy: SplitPolicy,
    spec: ModelSpec,
    tracks: Sequence[Track],
    *,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> list[Walk]:
    """Let one policy trade many tracks of equal length, as of a universe's symbols, a sleeve each.

    The market part of the first layer is computed for a few hundred bars at a time, so memory does not grow with the
    length but by the results. A few tracks are walked one after the other, many side by side.

    Args:
        policy: Decides.
        spec: What its actions and account columns mean.
        tracks: Markets, prices and windows of one length; before each start there are ``spec.window - 1`` rows.
        costs: Cost model.
        limits: Sizing constants.

    Returns:
        One walk a track.

    Raises:
        DataError: A window is out of range or of another length than the first, or shorter than two bars.
    """
    length = common_length(tracks, first=spec.window - 1)
    alone = policy if isinstance(policy, DensePolicy) and len(tracks) <= _FEW else None
    engine = HistoryEngine(alone, length * len(tracks)) if alone is not None else None
    size = _SIDE_BY_SIDE if alone is None else 1
    walks: list[Walk] = []
    for first in range(0, len(tracks), size):
        desk = Desk(spec, tracks[first : first + size], costs, limits)
        recorder = Recorder.empty(length, len(desk.tracks))
        if alone is not None and engine is not None:
            walk_alone(alone, engine, desk, recorder.lone())
        elif isinstance(policy, DensePolicy):
            walk_lanes(JoinedDecider([policy], desk), desk, recorder)
        else:
            walk_lanes(SplitDecider(policy, desk), desk, recorder)
        walks += [recorder.walk(column, track) for column, track in enumerate(desk.tracks)]
    return walks


def walk_policies(
    policies: Sequence[DensePolicy],
    spec: ModelSpec,
    tracks: Sequence[Track],
    notes: Notes,
    *,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> None:
    """Let many policies of one shape trade many tracks at once, a sleeve for each pair of them.

    Memory, whatever the length: 110 kB for each unit of all first layers together, and 4 kB for each of them and each
    track.

    Args:
        policies: Of one :attr:`DensePolicy.packed_shapes`, window and activation.
        spec: What their actions and account columns mean.
        tracks: Markets, prices and windows, the longest first; each ends when its bars do.
        notes: Hears what happens, bar by bar; lane ``policy * tracks + track``.
        costs: Cost model.
        limits: Sizing constants.

    Raises:
        DataError: A window is out of range or shorter than two bars.
    """
    check_windows(tracks, first=spec.window - 1)
    desk = Desk(spec, tracks, costs, limits)
    walk_lanes(JoinedDecider(policies, desk), desk, notes)
