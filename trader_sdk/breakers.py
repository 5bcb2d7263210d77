"""Limits that remember: drawdown and day loss of the account, and breakers of one model on one symbol; pure.

The base is the sum of the sleeves, not the account: deposits, withdrawals and foreign trades do not change it, so a
withdrawal is no drawdown. A sleeve that is armed in mid-session is a flow and moves the base along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

_ZERO = Decimal(0)
_ONE = Decimal(1)
_RECENT: Final = 20
"""Trades of one model that flips are counted over."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When trading is held back by what was lost or done; fractions.

    Attributes:
        day_loss_fraction: Of the day's first equity; the account reduces until the next day.
        halve_drawdown: From the highest equity; orders that open are halved until a new high, or a person resumes.
        halt_drawdown: The same; the account is halted until a person resumes.
        model_loss_fraction: Of a sleeve's highest equity since its model came.
        model_turnover_per_day: Traded value over the sleeve's equity.
        model_flips: Changes of direction in the last 20 trades.
        mix_distance: Total variation between a model's actions and those of its evaluation.
        mix_decisions: Decisions before the mix says anything.
    """

    day_loss_fraction: Decimal = Decimal("0.05")
    halve_drawdown: Decimal = Decimal("0.10")
    halt_drawdown: Decimal = Decimal("0.15")
    model_loss_fraction: Decimal = Decimal("0.15")
    model_turnover_per_day: Decimal = Decimal(10)
    model_flips: int = 15
    mix_distance: float = 0.6
    mix_decisions: int = 100


DEFAULT_BREAKERS: Final = BreakerLimits()


@dataclass(frozen=True, slots=True)
class Watermark:
    """What drawdown and day loss are measured from.

    Attributes:
        day: The session's day, New York.
        day_equity: Equity when it began.
        peak: Highest equity.
        invested: Sum of the sleeves' initial equity, so that a new sleeve is seen as a flow.
    """

    day: date
    day_equity: Decimal
    peak: Decimal
    invested: Decimal

    def drawdown(self, equity: Decimal) -> Decimal:
        """Return how far ``equity`` is below the peak, a fraction from 0 on."""
        return max(1 - equity / self.peak, _ZERO) if self.peak > 0 else _ZERO

    def day_loss(self, equity: Decimal) -> Decimal:
        """Return how far ``equity`` is below the day's first, a fraction from 0 on."""
        return max(1 - equity / self.day_equity, _ZERO) if self.day_equity > 0 else _ZERO


def moved(mark: Watermark | None, equity: Decimal, day: date, invested: Decimal) -> Watermark:
    """Return the watermark once ``equity`` was seen.

    Args:
        mark: The one before, None for the first.
        equity: Sum of the sleeves now.
        day: The session's day.
        invested: Sum of the sleeves' initial equity; what it grew by since ``mark`` is a flow, no profit.

    Example:
        >>> first = moved(None, Decimal(100), date(2026, 1, 5), Decimal(100))
        >>> moved(first, Decimal(150), date(2026, 1, 5), Decimal(150)).drawdown(Decimal(150))
        Decimal('0')
    """
    if mark is None:
        return Watermark(day, equity, equity, invested)
    flow = invested - mark.invested
    scale = equity / (equity - flow) if flow and equity - flow > 0 else _ONE
    mark = replace(mark, peak=mark.peak * scale, day_equity=mark.day_equity * scale, invested=invested)
    if day != mark.day:
        mark = replace(mark, day=day, day_equity=equity)
    return replace(mark, peak=max(mark.peak, equity))


class AccountTrip(StrEnum):
    """What the account's losses ask for, the gravest last."""

    NONE = "none"
    HALVE = "halve"
    DAY_LOSS = "day_loss"
    HALT = "halt"


def account_trips(
    mark: Watermark, equity: Decimal, limits: BreakerLimits = DEFAULT_BREAKERS
) -> Mapping[AccountTrip, str]:
    """Return what is tripped at ``equity``, with words for a person."""
    drawdown, day_loss = mark.drawdown(equity), mark.day_loss(equity)
    trips = {}
    if drawdown >= limits.halve_drawdown:
        trips[AccountTrip.HALVE] = f"drawdown {drawdown:.1%} of {limits.halve_drawdown:.0%}"
    if day_loss >= limits.day_loss_fraction:
        trips[AccountTrip.DAY_LOSS] = f"lost {day_loss:.1%} of {limits.day_loss_fraction:.0%} today"
    if drawdown >= limits.halt_drawdown:
        trips[AccountTrip.HALT] = f"drawdown {drawdown:.1%} of {limits.halt_drawdown:.0%}"
    return trips


@dataclass(frozen=True, slots=True)
class ModelTrack:
    """What one model did on one symbol since it came.

    Attributes:
        peak: Highest equity of the sleeve since then.
        day: Of the turnover.
        turnover: Traded value of that day, account currency.
        sides: Directions of the latest trades, oldest first.
        actions: How often it decided what.
    """

    peak: Decimal
    day: date
    turnover: Decimal = _ZERO
    sides: tuple[int, ...] = ()
    actions: Mapping[str, int] = field(default_factory=dict)

    def decided(self, action: str) -> ModelTrack:
        """Return the track after a decision."""
        return replace(self, actions={**self.actions, action: self.actions.get(action, 0) + 1})

    def traded(self, side: int, value: Decimal, day: date) -> ModelTrack:
        """Return the track after a fill of ``value``, ``side`` +1 or -1."""
        before = self.turnover if day == self.day else _ZERO
        return replace(self, day=day, turnover=before + value, sides=(*self.sides, side)[-_RECENT:])

    def marked(self, equity: Decimal) -> ModelTrack:
        """Return the track after a bar closed with the sleeve at ``equity``."""
        return self if equity <= self.peak else replace(self, peak=equity)

    @property
    def flips(self) -> int:
        """Return the changes of direction among the latest trades."""
        return sum(1 for one, other in zip(self.sides, self.sides[1:], strict=False) if one != other)


class ModelTrip(StrEnum):
    """Why one model may only reduce its symbol."""

    LOSS = "loss"
    TURNOVER = "turnover"
    FLIPS = "flips"
    MIX = "mix"


def mix_distance(actions: Mapping[str, int], archived: Mapping[str, float]) -> float:
    """Return the total variation between counted actions and archived shares, from 0 to 1.

    Example:
        >>> mix_distance({"HOLD": 3, "BUY_50%": 1}, {"HOLD": 0.5, "BUY_50%": 0.5})
        0.25
    """
    total, whole = sum(actions.values()), sum(archived.values())
    if not total or not whole:
        return 0.0
    names = actions.keys() | archived.keys()
    return sum(abs(actions.get(name, 0) / total - archived.get(name, 0.0) / whole) for name in names) / 2


def model_trips(
    track: ModelTrack,
    equity: Decimal,
    day: date,
    archived: Mapping[str, float],
    limits: BreakerLimits = DEFAULT_BREAKERS,
) -> Mapping[ModelTrip, str]:
    """Return what is tripped for one model and symbol, with words for a person.

    Args:
        track: What it did.
        equity: Its sleeve's, now.
        day: The session's day.
        archived: Share of each action in its evaluation; empty where nobody kept it, and then it trips nothing.
        limits: When.
    """
    trips = {}
    loss = 1 - equity / track.peak if track.peak > 0 else _ZERO
    if loss >= limits.model_loss_fraction:
        trips[ModelTrip.LOSS] = f"lost {loss:.1%} of its sleeve, {limits.model_loss_fraction:.0%} is the limit"
    turnover = track.turnover / equity if day == track.day and equity > 0 else _ZERO
    if turnover >= limits.model_turnover_per_day:
        trips[ModelTrip.TURNOVER] = f"traded {turnover:.1f} times its sleeve today"
    if track.flips >= limits.model_flips:
        trips[ModelTrip.FLIPS] = f"changed direction {track.flips} times in {len(track.sides)} trades"
    decisions = sum(track.actions.values())
    if archived and decisions >= limits.mix_decisions:
        distance = mix_distance(track.actions, archived)
        if distance >= limits.mix_distance:
            trips[ModelTrip.MIX] = f"its actions are {distance:.2f} away from those of its evaluation"
    return trips
