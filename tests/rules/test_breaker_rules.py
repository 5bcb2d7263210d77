"""Limits that remember: what trips them, and that nothing else does."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.breakers import (
    DEFAULT_BREAKERS,
    AccountTrip,
    ModelTrack,
    ModelTrip,
    Watermark,
    account_trips,
    mix_distance,
    model_trips,
    moved,
)

DAY = date(2026, 1, 5)
money = st.integers(1, 10_000_000).map(lambda cents: Decimal(cents) / 100)
equities = st.lists(money, min_size=1, max_size=40)


def walked(values: list[Decimal]) -> Watermark:
    """Return the watermark after one day of equities without flows."""
    mark = None
    for value in values:
        mark = moved(mark, value, DAY, Decimal(1))
    assert mark is not None
    return mark


@given(equities)
def test_drawdown_is_that_of_the_running_peak(values: list[Decimal]) -> None:
    """The peak is the largest equity so far and never falls; the day's base is its first."""
    mark = walked(values)
    assert (mark.peak, mark.day_equity) == (max(values), values[0])
    assert mark.drawdown(values[-1]) == 1 - values[-1] / max(values)


@given(equities, money)
def test_flow_is_no_drawdown_and_no_profit(values: list[Decimal], deposit: Decimal) -> None:
    """A sleeve that is armed moves the base along: drawdown and day loss stay what they were."""
    mark, equity = walked(values), values[-1]
    after = moved(mark, equity + deposit, DAY, Decimal(1) + deposit)
    tolerance = Decimal("1e-20")
    assert abs(after.drawdown(equity + deposit) - mark.drawdown(equity)) < tolerance
    assert abs(after.day_loss(equity + deposit) - mark.day_loss(equity)) < tolerance


@given(money, money)
def test_new_day_starts_from_its_own_equity(one: Decimal, other: Decimal) -> None:
    """Yesterday's loss is not today's; the peak remains."""
    mark = moved(walked([one]), other, DAY + timedelta(days=1), Decimal(1))
    assert (mark.day_equity, mark.day_loss(other)) == (other, Decimal(0))
    assert mark.peak == max(one, other)


@given(st.integers(0, 10_000))
def test_account_trips_exactly_at_its_bounds(basis_points: int) -> None:
    """10 % halves, 15 % halts, 5 % in a day reduces; the bounds are inclusive."""
    equity = Decimal(10_000 - basis_points)
    trips = account_trips(Watermark(DAY, Decimal(10_000), Decimal(10_000), Decimal(1)), equity)
    lost = Decimal(basis_points) / 10_000
    assert (AccountTrip.HALVE in trips) == (lost >= DEFAULT_BREAKERS.halve_drawdown)
    assert (AccountTrip.HALT in trips) == (lost >= DEFAULT_BREAKERS.halt_drawdown)
    assert (AccountTrip.DAY_LOSS in trips) == (lost >= DEFAULT_BREAKERS.day_loss_fraction)


@given(st.lists(st.sampled_from([1, -1]), max_size=60))
def test_flips_are_those_of_the_latest_twenty_trades(sides: list[int]) -> None:
    """Older trades are forgotten."""
    track = ModelTrack(Decimal(100), DAY)
    for side in sides:
        track = track.traded(side, Decimal(1), DAY)
    recent = sides[-20:]
    assert track.flips == sum(1 for i in range(1, len(recent)) if recent[i] != recent[i - 1])


@given(st.lists(st.tuples(st.integers(0, 3), money), max_size=30))
def test_turnover_is_that_of_the_newest_day(fills: list[tuple[int, Decimal]]) -> None:
    """Each day counts anew."""
    track = ModelTrack(Decimal(100), DAY)
    days = sorted(fills, key=lambda fill: fill[0])
    for offset, value in days:
        track = track.traded(1, value, DAY + timedelta(days=offset))
    newest = days[-1][0] if days else 0
    assert track.turnover == sum((value for offset, value in days if offset == newest), Decimal(0))


counts = st.dictionaries(st.sampled_from(["HOLD", "BUY_50%", "SELL_50%"]), st.integers(1, 100), min_size=1)


@given(counts, counts)
def test_mix_distance_is_a_distance(one: dict[str, int], other: dict[str, int]) -> None:
    """Zero for the same shares, symmetric, never above one."""
    shares = {name: float(count) for name, count in other.items()}
    mirrored = {name: float(count) for name, count in one.items()}
    assert abs(mix_distance(one, mirrored)) < 1e-12
    assert abs(mix_distance(one, shares) - mix_distance(other, mirrored)) < 1e-12
    assert -1e-12 <= mix_distance(one, shares) <= 1 + 1e-12


def test_model_trips_name_what_happened() -> None:
    """Each breaker by itself, and none for a model that does what it did in its evaluation."""
    calm = ModelTrack(Decimal(100), DAY, actions={"HOLD": 80, "BUY_50%": 40})
    archived = {"HOLD": 0.7, "BUY_50%": 0.3}
    assert model_trips(calm, Decimal(99), DAY, archived) == {}
    assert set(model_trips(calm, Decimal(85), DAY, archived)) == {ModelTrip.LOSS}
    busy = calm.traded(1, Decimal(1000), DAY)
    assert set(model_trips(busy, Decimal(100), DAY, archived)) == {ModelTrip.TURNOVER}
    assert model_trips(busy, Decimal(100), DAY + timedelta(days=1), archived) == {}
    nervous = calm
    for number in range(20):
        nervous = nervous.traded(1 if number % 2 else -1, Decimal(1), DAY)
    assert set(model_trips(nervous, Decimal(100), DAY, archived)) == {ModelTrip.FLIPS}
    stuck = ModelTrack(Decimal(100), DAY, actions={"SELL_50%": 120})
    assert set(model_trips(stuck, Decimal(100), DAY, archived)) == {ModelTrip.MIX}
    assert model_trips(stuck, Decimal(100), DAY, {}) == {}
