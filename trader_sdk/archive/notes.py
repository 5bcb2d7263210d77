"""What is noted on the way along tracks: step by step, and the record that becomes a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.archive.tracks import Floats, Ints, Track

NO_DECISION: Final = -1
"""Stands in :attr:`Walk.actions` where nobody was asked: at a window's last bar, and beside a missing one."""
INITIAL_EQUITY: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Walk:
    """What a policy did in one window of n bars, flat at its start and closed at its last bar.

    Attributes:
        ledger: Bar returns and trades, the input of the metric set.
        actions: int64 (n,) action decided on each close; ``NO_DECISION`` at the last and where nobody was asked.
        equity: float64 (n,) sleeve equity at each close, the forced close's costs included.
        position_weight: float64 (n,) position value as a fraction of equity at each close.
    """

    ledger: Ledger
    actions: Ints
    equity: Floats
    position_weight: Floats


class Step(NamedTuple):
    """What lanes did from one close to the next; (lanes,) each.

    Attributes:
        actions: int64, decided on the close.
        equity_at_open: Before the fill at the next open.
        weight: Held over the bar that follows, after the fill.
        cost: Of the fill and of borrowing, over that equity.
        trades: Net results of trades that became flat, over that equity; NaN where none did.
        equity: At the bar's close.
        position_weight: Position over equity there.
    """

    actions: Ints
    equity_at_open: Floats
    weight: Floats
    cost: Floats
    trades: Floats
    equity: Floats
    position_weight: Floats


class Closing(NamedTuple):
    """Lanes whose track ended and whose positions were closed at the last close; (lanes,) each, zero for the others.

    Attributes:
        lanes: Which.
        cost: Of closing, over equity at the last fill.
        trades: As in :class:`Step`.
        cash: What is left.
    """

    lanes: NDArray[np.bool_]
    cost: Floats
    trades: Floats
    cash: Floats


class Notes(Protocol):
    """Who hears what lanes do."""

    def note(self, bar: int, step: Step) -> None:
        """Hear what was decided on the bar before, and what ``bar`` brought."""

    def close_out(self, bar: int, closing: Closing) -> None:
        """Hear which lanes ended on ``bar``, noted already; the others go on in the same order."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """What happened bar by bar on each track: (bars, tracks) arrays, and a list of trades each."""

    actions: Ints
    weight: Floats
    cost: Floats
    equity: Floats
    position_weight: Floats
    equity_at_open: Floats
    trades: list[list[float]]

    @classmethod
    def empty(cls, length: int, count: int) -> Recorder:
        """Return a recorder of ``count`` sleeves at rest."""
        shape = (length, count)
        return cls(
            actions=np.full(shape, NO_DECISION, dtype=np.int64),
            weight=np.zeros(shape),
            cost=np.zeros(shape),
            equity=np.full(shape, INITIAL_EQUITY),
            position_weight=np.zeros(shape),
            equity_at_open=np.full(shape, INITIAL_EQUITY),
            trades=[[] for _ in range(count)],
        )

    def note(self, bar: int, step: Step) -> None:
        """Note what was decided on the bar before, and what ``bar`` brought."""
        self.actions[bar - 1] = step.actions
        self.equity_at_open[bar], self.weight[bar], self.cost[bar] = step.equity_at_open, step.weight, step.cost
        self.equity[bar], self.position_weight[bar] = step.equity, step.position_weight
        self._close_trades(step.trades)

    def close_out(self, bar: int, closing: Closing) -> None:
        """Note the fills that close every position at the last bar, the same for all."""
        self.cost[bar] += closing.cost
        self.equity[bar] = closing.cash
        self.position_weight[bar] = 0.0
        self._close_trades(closing.trades)

    def lone(self) -> LoneNotes:
        """Return the columns of the only track, to be written bar by bar."""
        return LoneNotes(
            actions=self.actions[:, 0],
            equity_at_open=self.equity_at_open[:, 0],
            weight=self.weight[:, 0],
            cost=self.cost[:, 0],
            equity=self.equity[:, 0],
            position_weight=self.position_weight[:, 0],
            trades=self.trades[0],
        )

    def _close_trades(self, trades: Floats) -> None:
        for column in np.flatnonzero(~np.isnan(trades)).tolist():
            self.trades[column].append(float(trades[column]))

    def walk(self, column: int, track: Track) -> Walk:
        """Return what one track's columns tell."""
        ledger = Ledger(
            weight=self.weight[:, column],
            market_return=track.market_return(),
            cost=self.cost[:, column],
            trades=np.array(self.trades[column]),
            start_at=track.start_at,
        )
        return Walk(ledger, self.actions[:, column], self.equity[:, column], self.position_weight[:, column])


class LoneNotes(NamedTuple):
    """The columns of one track, written bar by bar."""

    actions: Ints
    equity_at_open: Floats
    weight: Floats
    cost: Floats
    equity: Floats
    position_weight: Floats
    trades: list[float]

    def bar(
        self, bar: int, action: int, before: float, weight: float, cost: float, equity: float, position: float
    ) -> None:
        """Note what was decided on ``bar`` and what the next one brought."""
        self.actions[bar] = action
        self.equity_at_open[bar + 1], self.weight[bar + 1], self.cost[bar + 1] = before, weight, cost
        self.equity[bar + 1], self.position_weight[bar + 1] = equity, position

    def close_out(self, cost: float, net: float | None, cash: float) -> None:
        """Note the fill that closes the position at the last bar."""
        before = float(self.equity_at_open[-1])
        self.cost[-1] += cost / before
        self.equity[-1], self.position_weight[-1] = cash, 0.0
        if net is not None:
            self.trades.append(net / before)
