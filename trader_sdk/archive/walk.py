"""Let a policy trade past bars on sleeves: the one simulation that validation, the gate and the backtest share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.lone_walk import walk_alone
from trader_sdk.archive.tracks import (
    INITIAL_EQUITY,
    NO_DECISION,
    Desk,
    Floats,
    Ints,
    Prices,
    Recorder,
    Track,
    Turn,
    Walk,
    common_length,
)
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits, target_notional_array
from trader_sdk.contract.sleeve import Fills, SleeveArray
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.history import HistoryEngine, SplitPolicy
from trader_sdk.engine.tail import BatchTail
from trader_sdk.engine.ties import dense_logits, near_ties

__all__ = [
    "NO_DECISION",
    "ActionTable",
    "Prices",
    "Track",
    "Turn",
    "Walk",
    "fill_decisions",
    "walk_tracks",
    "walk_windows",
]

_FEW: Final = 6
"""Tracks up to which walking one after the other is faster than side by side: numpy's calls cost as much as six."""
_SIDE_BY_SIDE: Final = 64
"""Tracks at once: their sums of 413 bars take 54 MB at 512 units."""


class ActionTable(NamedTuple):
    """A contract row's actions as arrays: direction int8 (A,) and size float64 (A,), by action index."""

    direction: NDArray[np.int8]
    size: Floats

    @classmethod
    def of(cls, spec: ModelSpec) -> ActionTable:
        """Return the table of ``spec``."""
        directions = np.array([action.direction for action in spec.actions], dtype=np.int8)
        return cls(directions, np.array([action.size for action in spec.actions]))


def fill_decisions(
    sleeves: SleeveArray,
    actions: Ints,
    table: ActionTable,
    turn: Turn,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> Fills:
    """Turn decisions on a close into fills at the next open; shorts pay there for the time since the open before.

    Args:
        sleeves: N sleeves, changed in place.
        actions: (N,) action indices; ignored where nobody was asked.
        table: What they mean.
        turn: Prices and time between decisions and fills.
        costs: Spread, slippage, commission and borrow.
        limits: Sizing constants.

    Returns:
        What was closed, and what all of it cost, borrow included.
    """
    direction = table.direction[actions]
    if turn.asked is not None:
        direction = np.where(turn.asked, direction, 0)
    position = sleeves.position_value(turn.close)
    target = target_notional_array(direction, table.size[actions], sleeves.equity(turn.close), position, limits)
    borrow = sleeves.pay_borrow(turn.next_open, costs, turn.years)
    fills = sleeves.fill((target - position) / turn.close, turn.next_open, costs)
    return Fills(fills.cost + borrow, fills.closed_trade_net)


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
    engine = HistoryEngine(policy, length * len(tracks), window=spec.window)
    walks: list[Walk] = []
    size = 1 if isinstance(policy, DensePolicy) and len(tracks) <= _FEW else _SIDE_BY_SIDE
    for first in range(0, len(tracks), size):
        group = tracks[first : first + size]
        desk = Desk(spec, group, costs, limits, Recorder.empty(length, len(group)))
        if size == 1 and isinstance(policy, DensePolicy):
            walk_alone(policy, engine, desk)
        else:
            _walk_together(engine, desk)
        walks += [desk.recorder.walk(column, track.prices, track.window) for column, track in enumerate(group)]
    return walks


def _walk_together(engine: HistoryEngine, desk: Desk) -> None:
    spec, costs, recorder = desk.spec, desk.costs, desk.recorder
    table, scene = ActionTable.of(spec), desk.scene()
    sleeves = SleeveArray.start(np.full(len(desk.tracks), INITIAL_EQUITY))
    policy = engine.policy
    logits_of = (
        BatchTail(policy, len(desk.tracks)).logits if isinstance(policy, DensePolicy) else policy.logits_from_sums
    )
    for bar, sums, ties in _sums_by_bar(engine, desk):
        turn, next_close = scene.turn(bar), scene.close[bar + 1]
        account = sleeves.columns(turn.close, spec.n_account)
        logits = logits_of(sums, account)
        actions = logits.argmax(axis=1)
        if isinstance(policy, DensePolicy):
            for column in np.flatnonzero(near_ties(logits, ties)).tolist():
                actions[column] = _decided_densely(policy, desk.tracks[column], bar, account[column])
        before = sleeves.equity(turn.next_open)
        fills = fill_decisions(sleeves, actions, table, turn, costs, desk.limits)
        recorder.actions[bar] = np.where(scene.asked[bar], actions, NO_DECISION)
        recorder.fill(bar + 1, fills, before, sleeves.position_value(turn.next_open))
        sleeves.mark(next_close)
        recorder.mark(bar + 1, sleeves, next_close)
    borrow = sleeves.pay_borrow(scene.close[-1], costs, desk.last_years)
    fills = sleeves.fill(-sleeves.shares, scene.close[-1], costs)
    recorder.close_out(Fills(fills.cost + borrow, fills.closed_trade_net), sleeves.cash)


def _decided_densely(policy: DensePolicy, track: Track, bar: int, account: NDArray[np.float32]) -> int:
    stop = track.window.start + bar + 1
    window = track.market[stop - policy.window : stop]
    return int(dense_logits(policy, window[None], account[None])[0].argmax())


def _sums_by_bar(engine: HistoryEngine, desk: Desk) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float64]]]:
    """Yield each bar but the last with the sums of all tracks, (tracks, hidden), and what counts as tied, (tracks,)."""
    before = desk.spec.window - 1
    for first in range(0, desk.length - 1, engine.whole):
        stop = min(first + engine.whole, desk.length - 1)
        segments = [t.market[t.window.start + first - before : t.window.start + stop] for t in desk.tracks]
        sums = engine.segment_sums(np.stack(segments)).transpose(1, 0, 2)
        ties = np.stack([engine.ties(segment) for segment in segments], axis=1)
        yield from zip(range(first, stop), sums, ties, strict=True)
