"""Many symbols decided together: what each would decide alone, whatever happens to their bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trader_sdk import NativeModelWrapper
from trader_sdk.approved import ApprovedModel
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.reasons import Reason
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import load_bars
from trader_sdk.features import Ohlcv53Provider, build_schema
from trader_sdk.features.observation import ObservationBuilder
from trader_sdk.live.lines import QUARANTINE_AFTER, Decided, SymbolLine
from trader_sdk.live.lineup import Lineup
from trader_sdk.live.models import LiveModel
from trader_sdk.live.schedule import Schedule
from trader_sdk.plan import AssetRules
from trader_sdk.portfolio import Sleeve, SleeveFill

GOLDEN = Path(__file__).parents[2] / "compat" / "golden"
NEW, OLD = (NativeModelWrapper(GOLDEN / version / "checkpoint.pt") for version in ("2.7.0", "2.4.0"))
MODELS = {"A": NEW, "B": NEW, "C": OLD, "D": NEW, "E": OLD}
WARM = 520
MINUTE = 60_000_000_000
SCHEDULE = Schedule.of(Timeframe.MIN_1, (), always_open=True)
SERIES = load_bars("planted:bars=640", "SIM", "1Min")


class Foreign(Ohlcv53Provider):
    """Somebody else's class, so that it is decided on by itself."""


class Bad(Ohlcv53Provider):
    """Features that drive the model's output beyond every number."""

    def observe(self, account: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return an observation that is finite and overflows in the first layer."""
        observation = super().observe(account).copy()
        observation[:] = np.float32(3e38)
        return observation


def bars_of(symbol: str) -> Bars:
    """Return the market of one symbol: the same bars at another level, so that windows differ."""
    shift = 3 * (ord(symbol[0]) - ord("A"))
    columns = {name: np.roll(getattr(SERIES, name), shift) for name in ("open", "high", "low", "close", "volume")}
    return replace(SERIES, symbol=symbol, **columns)


MARKETS = {symbol: bars_of(symbol) for symbol in (*MODELS, "F")}


def line(symbol: str, model: Any, provider: type[Ohlcv53Provider] = Ohlcv53Provider) -> SymbolLine:
    version = model.model_version
    schema = build_schema(version, "1Min", calendar=SERIES.calendar, feed=SERIES.feed, adjustment=SERIES.adjustment)
    live = LiveModel(symbol, cast(ApprovedModel, model), ObservationBuilder(provider(schema)))
    return SymbolLine(live, AssetRules(symbol), SCHEDULE)


class Alone:
    """The reference: every symbol by itself."""

    def __init__(self, lines: Mapping[str, SymbolLine]) -> None:
        self.lines = dict(lines)

    def take(self, bars: Mapping[str, Sequence[Bar]], sleeves: Mapping[str, Sleeve], now: datetime) -> Any:
        return {symbol: self.lines[symbol].take(new, sleeves[symbol], now) for symbol, new in bars.items()}


def pair(symbols: Sequence[str] = tuple(MODELS)) -> tuple[Lineup, Alone]:
    """Return both, warm."""
    together = Lineup({symbol: line(symbol, MODELS[symbol]) for symbol in symbols})
    alone = Alone({symbol: line(symbol, MODELS[symbol]) for symbol in symbols})
    for symbol in symbols:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
        alone.lines[symbol].warm(MARKETS[symbol].slice(0, WARM))
    return together, alone


def sleeve_at(step: int, symbol: str) -> Sleeve:
    """Return a sleeve that changes from bar to bar."""
    sleeve = Sleeve.start(Decimal(10_000))
    return sleeve.fill(SleeveFill(Decimal(step % 7 + ord(symbol[0]) % 3), Decimal("99.5"), Decimal("0.01")))


def facts(one: Decided) -> tuple[Any, ...]:
    """Return what must be equal: reason, digest of every bit the model saw, and the action."""
    action = None if one.decision is None else one.decision.name
    return one.symbol, one.bar, one.reason, one.observation_sha256, action, bool(one.fault)


def moment(bars: Mapping[str, Sequence[Bar]]) -> datetime:
    newest = max(new[-1].t for new in bars.values())
    return datetime.fromtimestamp((newest + MINUTE) / 1e9, UTC) + timedelta(seconds=1)


happenings = st.lists(
    st.tuples(
        st.sampled_from(["bar", "bar", "bar", "skip", "bad", "invalid", "revise", "old", "two", "stale"]),
        st.sampled_from(sorted(MODELS)),
    ),
    min_size=1,
    max_size=14,
)


def next_bars(what: str, whom: str, at: int) -> dict[str, list[Bar]]:
    """Return the bars of one close; one symbol's are missing, wrong, or two."""
    bars = {symbol: [MARKETS[symbol].at(at)] for symbol in MODELS}
    match what:
        case "skip":
            del bars[whom]
        case "bad":
            bars[whom] = [bars[whom][0]._replace(open=bars[whom][0].open * 9)]
        case "invalid":
            bars[whom] = [bars[whom][0]._replace(close=bars[whom][0].high * 1.5)]
        case "two":
            bars[whom] = [MARKETS[whom].at(at - 1), *bars[whom]]
    return bars


@settings(max_examples=8, deadline=None)
@given(happenings)
def test_lineup_decides_as_each_line_alone_whatever_happens_to_bars(story: list[tuple[str, str]]) -> None:
    """Missing, implausible, invalid, late, doubled, stale and corrected bars: same reasons, same bits, same actions."""
    together, alone = pair()
    for step, (what, whom) in enumerate(story):
        at = WARM + step
        bars = next_bars(what, whom, at)
        sleeves = {symbol: sleeve_at(step, symbol) for symbol in MODELS}
        now = moment(bars) + (timedelta(hours=2) if what == "stale" else timedelta())
        taken, other = together.take(bars, sleeves, now), alone.take(bars, sleeves, now)
        one = taken.decided
        assert list(one) == list(bars)
        assert {s for s, d in other.items() if d.fault or (d.decision and d.decision.direction)} == set(taken.acting)
        assert {s: facts(d) for s, d in one.items()} == {s: facts(d) for s, d in other.items()}
        if what in ("revise", "old"):
            seen = MARKETS[whom].at(at if what == "revise" else at - 40)
            corrected = seen._replace(volume=seen.volume * 1.25)
            assert together.revise(corrected)
            alone.lines[whom].revise(corrected)
        if step % 2:
            list(together.prepare(bars))


def test_lineup_decides_equally_after_a_symbol_came_in_mid_session() -> None:
    """A symbol that joins has its past, and the others keep theirs."""
    together, alone = pair(("A", "C"))
    for lines in (together, alone):
        added = line("F", NEW)
        if isinstance(lines, Lineup):
            lines.install(added)
            lines.warm("F", MARKETS["F"].slice(0, WARM))
        else:
            added.warm(MARKETS["F"].slice(0, WARM))
            lines.lines["F"] = added
    for step in range(3):
        bars = {symbol: [MARKETS[symbol].at(WARM + step)] for symbol in ("A", "C", "F")}
        sleeves = {symbol: sleeve_at(step, symbol) for symbol in bars}
        one, other = together.take(bars, sleeves, moment(bars)).decided, alone.take(bars, sleeves, moment(bars))
        assert {s: facts(d) for s, d in one.items()} == {s: facts(d) for s, d in other.items()}
        assert all(decided.decision is not None for decided in one.values())


@pytest.mark.parametrize(("before", "after"), [(NEW, OLD), (OLD, NEW)])
def test_lineup_decides_at_once_after_another_model_took_a_place(before: Any, after: Any) -> None:
    """A model of the same or of another version takes the window over; no bar is lost to warming up."""
    together = Lineup({"A": line("A", before), "B": line("B", NEW)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    bars = {symbol: [MARKETS[symbol].at(WARM)] for symbol in "AB"}
    sleeves = {symbol: sleeve_at(0, symbol) for symbol in "AB"}
    together.take(bars, sleeves, moment(bars))
    together.install(line("A", after))
    reference = line("A", after)
    reference.warm(MARKETS["A"].slice(0, WARM + 1))
    bars = {symbol: [MARKETS[symbol].at(WARM + 1)] for symbol in "AB"}
    decided = together.take(bars, sleeves, moment(bars)).decided
    assert facts(decided["A"]) == facts(reference.take(bars["A"], sleeves["A"], moment(bars)))
    assert decided["A"].decision is not None
    assert decided["B"].decision is not None


@pytest.mark.parametrize(("first", "second"), [(NEW, OLD), (OLD, NEW), (NEW, NEW)])
def test_lineup_decides_on_every_bar_after_a_model_came_back(first: Any, second: Any) -> None:
    """A model that gives its place back saw nothing meanwhile; the one before it decides on what it missed as well."""
    together = Lineup({"A": line("A", first), "B": line("B", NEW)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    sleeves = {symbol: sleeve_at(0, symbol) for symbol in "AB"}
    before = together["A"]
    together.install(before.succeeded_by(line("A", second).live))
    for step in range(3):
        bars = {symbol: [MARKETS[symbol].at(WARM + step)] for symbol in "AB"}
        if step == 2:
            together.install(together["A"].succeeded_by(before.live))
        decided = together.take(bars, sleeves, moment(bars)).decided
    reference = line("A", first)
    reference.warm(MARKETS["A"].slice(0, WARM + 2))
    assert facts(decided["A"]) == facts(reference.take(bars["A"], sleeves["A"], moment(bars)))


def test_line_without_the_past_of_foreign_features_asks_for_history_before_it_decides() -> None:
    """What somebody else's features saw is not known: no decision on an old window, and the history is read."""
    together = Lineup({"A": line("A", NEW), "B": line("B", NEW)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    own, foreign = together["A"], line("A", NEW, Foreign)
    foreign.warm(MARKETS["A"].slice(0, WARM))
    together.install(foreign)
    sleeves = {symbol: sleeve_at(0, symbol) for symbol in "AB"}
    bars = {symbol: [MARKETS[symbol].at(WARM)] for symbol in "AB"}
    together.take(bars, sleeves, moment(bars))
    together.install(foreign.succeeded_by(own.live))
    asks = together["A"].may_be_whole
    bars = {symbol: [MARKETS[symbol].at(WARM + 1)] for symbol in "AB"}
    decided = together.take(bars, sleeves, moment(bars)).decided
    assert (asks, decided["A"].decision, decided["A"].reason) == (True, None, Reason.WINDOW_GAP)
    together.restart("A", MARKETS["A"].slice(0, WARM + 2))
    bars = {symbol: [MARKETS[symbol].at(WARM + 2)] for symbol in "AB"}
    reference = line("A", NEW)
    reference.warm(MARKETS["A"].slice(0, WARM + 2))
    decided = together.take(bars, sleeves, moment(bars)).decided
    assert facts(decided["A"]) == facts(reference.take(bars["A"], sleeves["A"], moment(bars)))


def test_foreign_features_that_come_back_ask_for_the_bars_that_another_model_took() -> None:
    """Their window stopped when they gave their place away: no decision on it, and the history is read."""
    together = Lineup({"A": line("A", NEW, Foreign), "B": line("B", NEW)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    foreign, own = together["A"], line("A", NEW)
    own.warm(MARKETS["A"].slice(0, WARM))
    together.install(own)
    sleeves = {symbol: sleeve_at(0, symbol) for symbol in "AB"}
    bars = {symbol: [MARKETS[symbol].at(WARM)] for symbol in "AB"}
    together.take(bars, sleeves, moment(bars))
    together.reinstate(together["A"].succeeded_by(foreign.live))
    asks = together["A"].may_be_whole
    bars = {symbol: [MARKETS[symbol].at(WARM + 1)] for symbol in "AB"}
    decided = together.take(bars, sleeves, moment(bars)).decided
    assert (asks, decided["A"].decision, decided["A"].reason) == (True, None, Reason.WINDOW_GAP)


def test_foreign_features_are_decided_on_by_themselves() -> None:
    """Only the package's own columns share a step; both kinds stand in one lineup."""
    together = Lineup({"A": line("A", NEW), "B": line("B", NEW, Foreign)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    bars = {symbol: [MARKETS[symbol].at(WARM)] for symbol in "AB"}
    decided = together.take(bars, {symbol: sleeve_at(0, symbol) for symbol in "AB"}, moment(bars)).decided
    assert together.together == {"A"}
    assert [decided[symbol].decision is not None for symbol in "AB"] == [True, True]


def test_model_without_a_usable_answer_is_quarantined_and_stops_no_other() -> None:
    """F70: infinite logits are no decision; the third in a row and the model is not asked any more."""
    together = Lineup({"A": line("A", NEW), "B": line("B", NEW, Bad)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    reasons = []
    for step in range(QUARANTINE_AFTER + 1):
        bars = {symbol: [MARKETS[symbol].at(WARM + step)] for symbol in "AB"}
        decided = together.take(bars, {symbol: sleeve_at(step, symbol) for symbol in "AB"}, moment(bars)).decided
        assert decided["A"].decision is not None
        reasons.append(decided["B"].reason)
    assert reasons == [Reason.MODEL_FAILED] * QUARANTINE_AFTER + [Reason.MODEL_QUARANTINED]
    assert together["B"].is_quarantined


def test_decision_that_takes_too_long_is_none() -> None:
    """A model over its budget holds, and says how long it took; the answer counts as a failure."""
    slow = line("A", NEW)
    slow = SymbolLine(slow.live, slow.rules, SCHEDULE, budget_seconds=0.0)
    together = Lineup({"A": slow, "B": line("B", NEW)})
    for symbol in together:
        together.warm(symbol, MARKETS[symbol].slice(0, WARM))
    bars = {symbol: [MARKETS[symbol].at(WARM)] for symbol in "AB"}
    decided = together.take(bars, {symbol: sleeve_at(0, symbol) for symbol in "AB"}, moment(bars)).decided
    assert (decided["A"].decision, decided["A"].reason) == (None, Reason.MODEL_FAILED)
    assert "of 0 s" in decided["A"].fault
    assert decided["B"].decision is not None
