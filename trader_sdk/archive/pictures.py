"""Points of the report's inline pictures: plain numbers in, SVG coordinates out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 480.0
HEIGHT: Final = 120.0
_MARGIN: Final = 8.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One line.

    Attributes:
        points: ``x,y`` pairs for an SVG polyline.
        area: The same closed down to the zero line, for a filled shape.
        zero_y: Height of the zero line; clipped to the picture.
        marks: ``(x, y)`` of each asked-for index.
        low, high: Range of the values shown.
    """

    points: str
    area: str
    zero_y: float
    marks: tuple[tuple[float, float], ...]
    low: float
    high: float

    @property
    def spots(self) -> tuple[tuple[float, float], ...]:
        """Return each mark as ``(left, top)`` in percent of the picture."""
        return tuple((round(100 * x / WIDTH, 2), round(100 * y / HEIGHT, 2)) for x, y in self.marks)

    @property
    def zero_percent(self) -> float:
        """Return the height of the zero line in percent of the picture."""
        return round(100 * self.zero_y / HEIGHT, 2)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a column chart: position, size, and whether it points up."""

    x: float
    y: float
    width: float
    height: float
    positive: bool


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric against its two bars, positions in percent of the track.

    Attributes:
        value: The metric; beyond the track it sticks to its end.
        review, approved: The bars.
        higher_is_better: Direction in which the metric improves.
        known: Whether there is a number to mark.
    """

    value: float
    review: float
    approved: float
    higher_is_better: bool
    known: bool = True


def curve(values: Sequence[float], marks: Sequence[int] = (), *, zero: float | None = None) -> Curve | None:
    """Return a line through the finite values; ``None`` for fewer than two.

    Args:
        values: In order of time.
        marks: Indices to mark.
        zero: A value that the range must include, where the area closes.
    """
    finite = [(index, value) for index, value in enumerate(values) if math.isfinite(value)]
    if len(finite) < 2:
        return None
    shown = [value for _, value in finite] + ([zero] if zero is not None else [])
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0

    def place(index: int, value: float) -> tuple[float, float]:
        x = _MARGIN + index / (len(values) - 1) * (WIDTH - 2 * _MARGIN)
        return round(x, 2), round(HEIGHT - _MARGIN - (value - low) / span * (HEIGHT - 2 * _MARGIN), 2)

    placed = [place(index, value) for index, value in finite]
    base = place(0, zero if zero is not None else low)[1]
    points = " ".join(f"{x},{y}" for x, y in placed)
    area = f"{placed[0][0]},{base} {points} {placed[-1][0]},{base}"
    return Curve(points, area, base, tuple(place(i, v) for i, v in finite if i in marks), low, high)


def columns(values: Sequence[float]) -> tuple[Column, ...]:
    """Return columns around a zero line in the middle of the picture."""
    if not values:
        return ()
    tallest = max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    step = (WIDTH - 2 * _MARGIN) / len(values)
    middle = HEIGHT / 2
    drawn = []
    for index, value in enumerate(values):
        height = abs(value) / tallest * (middle - _MARGIN) if math.isfinite(value) else 0.0
        top = middle - height if value > 0 else middle
        x = _MARGIN + index * step + 0.15 * step
        drawn.append(Column(round(x, 2), round(top, 2), round(0.7 * step, 2), round(height, 2), value > 0))
    return tuple(drawn)


def gauge(
    value: float | None, review: float, approved: float, *, higher_is_better: bool, end: float | None = None
) -> Gauge:
    """Return positions on a track from 0 to ``end``; values beyond stick to its ends.

    Args:
        value: The metric, None where it is missing.
        review, approved: Its bars.
        higher_is_better: Direction in which it improves.
        end: The track's end; twice the farther bar when omitted.
    """
    last = end or 2.0 * max(abs(review), abs(approved)) or 1.0

    def percent(number: float) -> float:
        return round(100.0 * min(max(number / last, 0.0), 1.0), 2)

    known = value is not None and not math.isnan(value)
    shown = 0.0 if value is None or not known else math.copysign(last, value) if math.isinf(value) else value
    return Gauge(percent(shown), percent(review), percent(approved), higher_is_better, known)


def drawdown_curve(equity: Sequence[float]) -> list[float]:
    """Return how far each point lies below the highest before it, as a negative fraction.

    Example:
        >>> drawdown_curve([1.0, 2.0, 1.5])
        [0.0, 0.0, -0.25]
    """
    falls, peak = [], -math.inf
    for value in equity:
        peak = max(peak, value)
        falls.append(value / peak - 1.0 if peak > 0 else 0.0)
    return falls
