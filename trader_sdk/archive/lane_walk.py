"""Trade many lanes side by side, bar after bar: a lane is one policy on one track, with a sleeve of its own.

Account columns depend on what was decided before, so bars come one after the other; what is done at a bar is done for
all lanes in the same few calls. The lanes of one policy lie together: lane ``policy * tracks + track``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.filling import ActionTable, fill_decisions
from trader_sdk.archive.notes import INITIAL_EQUITY, NO_DECISION, Closing, Notes, Step
from trader_sdk.archive.tracks import Block, Bools, Desk, Floats, Ints, Scene
from trader_sdk.contract.sleeve import SleeveArray
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.history import HistoryEngine, SplitPolicy
from trader_sdk.engine.lanes import LaneTail, joined
from trader_sdk.engine.ties import dense_logits, near_ties

Features = NDArray[np.float32]

_BARS_AHEAD: Final = 16
_BARS_OF_OTHERS: Final = 413


class Decider(Protocol):
    """Decides for every lane of a desk.

    Attributes:
        n_policies: Each stands on every track.
        bars_at_once: Most bars of a block.
    """

    n_policies: int
    bars_at_once: int

    def open(self, block: Block) -> None:
        """Compute what does not depend on the decisions of the block."""

    def actions(self, row: int, account: Features) -> Ints:
        """Return the actions (lanes,) on a bar of the block that is open, from account columns (lanes, n_account)."""


class JoinedDecider:
    """Policies of one shape, their first layers one filter; nearly tied actions are decided densely.

    Args:
        policies: Of one :attr:`DensePolicy.packed_shapes`, window and activation.
        desk: Its tracks are the markets.
    """

    def __init__(self, policies: Sequence[DensePolicy], desk: Desk) -> None:
        count, self._ahead = len(desk.tracks), desk.spec.n_account == 0
        self.n_policies, self._policies, self._desk = len(policies), policies, desk
        n_windows = sum(len(track.window) for track in desk.tracks)
        self._engine = HistoryEngine(joined(policies), n_windows, at_once=count)
        self.bars_at_once = self._engine.whole
        self._tail = LaneTail(policies, count * _BARS_AHEAD if self._ahead else count)

    def open(self, block: Block) -> None:
        """Compute the first layers' market part; without account columns, all that is to be computed."""
        self._block, segments = block, self._desk.segments(block)
        self._sums = self._engine.segment_sums(segments)
        ties = np.stack([self._engine.ties(segment) for segment in segments], axis=1)
        self._ties = np.tile(ties, (1, self.n_policies))
        if self._ahead:
            starts = range(0, len(self._sums), _BARS_AHEAD)
            self._logits = np.concatenate([self._without_account(self._sums[at : at + _BARS_AHEAD]) for at in starts])

    def actions(self, row: int, account: Features) -> Ints:
        """Return the actions of all lanes."""
        logits = self._logits[row] if self._ahead else self._tail.logits(self._sums[row], account)
        actions: Ints = logits.argmax(axis=1)
        for lane in np.flatnonzero(near_ties(logits, self._ties[row])).tolist():
            actions[lane] = self._decided_densely(lane, row, account[lane])
        return actions

    def _without_account(self, sums: Features) -> Features:
        """Return logits (bars, lanes, n_actions) of (bars, tracks, policies * hidden0)."""
        bars, tracks, width = sums.shape
        nothing = np.empty((self.n_policies * bars * tracks, 0), dtype=np.float32)
        logits = self._tail.logits(sums.reshape(-1, width), nothing).reshape(self.n_policies, bars, tracks, -1)
        return logits.transpose(1, 0, 2, 3).reshape(bars, self.n_policies * tracks, -1)

    def _decided_densely(self, lane: int, row: int, account: Features) -> int:
        policy, track = divmod(lane, self._block.n_tracks)
        window = self._desk.window_at(track, self._block.bars[row])
        return int(dense_logits(self._policies[policy], window[None], account[None])[0].argmax())


class SplitDecider:
    """One policy of a class that the engines do not know: its own arithmetic.

    Args:
        policy: Decides.
        desk: Its tracks are the markets.
    """

    n_policies, bars_at_once = 1, _BARS_OF_OTHERS

    def __init__(self, policy: SplitPolicy, desk: Desk) -> None:
        self._policy, self._desk = policy, desk

    def open(self, block: Block) -> None:
        """Compute the market part of the block."""
        self._sums = np.stack([self._policy.market_sums(each) for each in self._desk.segments(block)], axis=1)

    def actions(self, row: int, account: Features) -> Ints:
        """Return the actions of all lanes."""
        actions: Ints = self._policy.logits_from_sums(self._sums[row], account).argmax(axis=1)
        return actions


def walk_lanes(decider: Decider, desk: Desk, notes: Notes) -> None:
    """Walk every lane and note it.

    Args:
        decider: Decides for all lanes.
        desk: Tracks, the longest first, and what trading on them means.
        notes: What happened goes there, bar by bar.
    """
    table = ActionTable.of(desk.spec)
    sleeves = SleeveArray.start(np.full(decider.n_policies * len(desk.tracks), INITIAL_EQUITY))
    for block in desk.blocks(decider.bars_at_once):
        decider.open(block)
        scene = desk.scene(block, copies=decider.n_policies)
        for row, bar in enumerate(block.bars):
            actions = decider.actions(row, sleeves.columns(scene.close[row], desk.spec.n_account))
            step = _stepped(sleeves, actions, table, desk, scene, row)
            notes.note(bar + 1, step)
        if block.n_left < block.n_tracks:
            ends = np.arange(len(sleeves.cash)) % block.n_tracks >= block.n_left
            notes.close_out(block.bars.stop, _closed(sleeves, ends, desk, scene.close[-1], step.equity_at_open))
            sleeves = sleeves.only(~ends)


def _stepped(sleeves: SleeveArray, actions: Ints, table: ActionTable, desk: Desk, scene: Scene, row: int) -> Step:
    """Fill decisions on a close at the next open, and stand on the next close."""
    turn, next_close = scene.turn(row), scene.close[row + 1]
    before = sleeves.equity(turn.next_open)
    fills = fill_decisions(sleeves, actions, table, turn, desk.costs, desk.limits)
    weight = sleeves.position_value(turn.next_open) / before
    sleeves.mark(next_close)
    equity = sleeves.equity(next_close)
    return Step(
        actions=np.where(scene.asked[row], actions, NO_DECISION),
        equity_at_open=before,
        weight=weight,
        cost=fills.cost / before,
        trades=fills.closed_trade_net / before,
        equity=equity,
        position_weight=sleeves.position_value(next_close) / equity,
    )


def _closed(sleeves: SleeveArray, ends: Bools, desk: Desk, close: Floats, before: Floats) -> Closing:
    """Close the positions of the lanes that end."""
    borrow = sleeves.pay_borrow(close, desk.costs, np.where(ends, desk.last_years, 0.0))
    fills = sleeves.fill(np.where(ends, -sleeves.shares, 0.0), close, desk.costs)
    return Closing(ends, (fills.cost + borrow) / before, fills.closed_trade_net / before, sleeves.cash)
