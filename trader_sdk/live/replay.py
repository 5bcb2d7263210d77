"""Decide again what a journal holds, with the very bytes of its models, and compare to the last bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.reasons import Reason
from trader_sdk.live.events import JournalEntry, bar_ns, bar_time, parse_time, rfc3339
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.lines import NO_ACTION, Decided, SymbolLine
from trader_sdk.live.lineup import Lineup
from trader_sdk.live.models import LiveModel
from trader_sdk.live.start_store import read_start
from trader_sdk.plan import AssetRules
from trader_sdk.portfolio import Sleeve

Loader = Callable[[Mapping[str, Any]], LiveModel]
"""Returns the model that the body of a ``model_loaded`` entry names."""

_OF_THE_MOMENT: Final = frozenset({Reason.STALE_BAR, Reason.MODEL_FAILED, Reason.MODEL_QUARANTINED})
"""Reasons that hang on the clock or on how fast the machine was, and so do not come again."""
_MOVES_SLEEVES: Final = frozenset(
    {JournalEvent.FILL_RECORDED, JournalEvent.SLEEVE_CHANGED, JournalEvent.DRIFT_FOUND, JournalEvent.RUN_STARTED}
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that came out differently; ``what`` is the first link of the chain that did."""

    symbol: str
    bar: str
    what: str
    recorded: str
    again: str


@dataclass(slots=True)
class ReplayReport:
    """What came of deciding again.

    Attributes:
        decisions: Recorded decisions.
        identical: Decisions whose observation, logits and action are the recorded ones, bit for bit.
        passed_by: Bars that the model was not asked about, then and now for the same reason.
        of_the_moment: Bars that hung on the clock then, and are not compared, by reason.
        differences: Everything else.
    """

    decisions: int = 0
    identical: int = 0
    passed_by: int = 0
    of_the_moment: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """Return whether everything that can come again did."""
        return not self.differences

    def fields(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "decisions": self.decisions,
            "identical": self.identical,
            "passed_by": self.passed_by,
            "of_the_moment": dict(self.of_the_moment),
            "differences": len(self.differences),
            "models": self.models,
        }


@dataclass(slots=True)
class _Moment:
    """Bars that were committed together, and what was decided on them."""

    bars: dict[str, list[Bar]] = field(default_factory=dict)
    decisions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    at: datetime | None = None


class Replay:
    """Walks a journal and decides again at each moment; the same lines, in the same order, on the same bars.

    Args:
        folder: The journal's folder, with what its starts kept.
        load: Loads a model by the journal's entry of it.
    """

    def __init__(self, folder: Path, load: Loader) -> None:
        self._folder, self._load = folder, load
        self._ledger = Ledger()
        self._lines: Lineup | None = None
        self._models: dict[str, LiveModel] = {}
        self._sleeves: list[tuple[int, Mapping[str, Sleeve]]] = []
        self._moment = _Moment()
        self.report = ReplayReport()

    def run(self, entries: Iterable[JournalEntry]) -> ReplayReport:
        """Return what came of deciding again on everything in ``entries``.

        Raises:
            StorageError: What a start was given is not kept.
            SdkError: A model's file cannot be had.
        """
        for entry in entries:
            self._take(entry)
        self._decide()
        return self.report

    def _take(self, entry: JournalEntry) -> None:
        moment = self._moment
        match entry.event:
            case JournalEvent.BAR_CLOSED:
                if moment.decisions:
                    self._decide()
                self._moment.bars.setdefault(entry.body["symbol"], []).append(_bar(entry.body))
            case JournalEvent.DECISION_MADE:
                moment.decisions[entry.body["symbol"]] = entry.body
                moment.at = entry.at
            case JournalEvent.SHADOW_DECIDED:
                pass  # challengers decide on the same bars, between the champions' entries
            case _:
                self._decide()
                self._note(entry)
        self._ledger.apply(entry)
        if entry.event in _MOVES_SLEEVES:
            self._sleeves.append((entry.seq, dict(self._ledger.sleeves)))

    def _note(self, entry: JournalEntry) -> None:
        if entry.event is JournalEvent.RUN_STARTED:
            self._lines, self._models = None, {}
        elif entry.event is JournalEvent.MODEL_LOADED:
            live = self._load(entry.body)
            self._models[live.symbol] = live
            if self._lines is not None and live.symbol in self._lines:
                self._swapped(live, self._lines)
            self.report.models[live.symbol] = entry.body["sha256"]

    def _swapped(self, live: LiveModel, lines: Lineup) -> None:
        """Let a model take over in mid-session, as the run did."""
        lines.install(lines[live.symbol].succeeded_by(live))

    def _decide(self) -> None:
        moment, self._moment = self._moment, _Moment()
        if not moment.bars:
            return
        lines = self._started()
        corrected = moment.bars.keys() - moment.decisions.keys()
        for symbol in corrected:
            for bar in moment.bars[symbol]:
                lines.revise(bar)
        if moment.at is None:
            return
        bars = {symbol: moment.bars[symbol] for symbol in moment.decisions}
        decided = lines.take(bars, self._sleeves_at(moment), moment.at).decided
        for symbol, recorded in moment.decisions.items():
            self._compare(recorded, decided[symbol])
        for _ in lines.prepare(bars):
            pass
        self._forget(moment)

    def _sleeves_at(self, moment: _Moment) -> Mapping[str, Sleeve]:
        """Return the sleeves as they stood when the models were asked: fills may have been booked before the commit."""
        after = next(iter(moment.decisions.values())).get("decided_after")
        known = [sleeves for seq, sleeves in self._sleeves if after is None or seq <= after]
        return known[-1] if known else self._ledger.sleeves

    def _forget(self, moment: _Moment) -> None:
        """Keep the sleeves from this moment on: what has no order is written down after the orders, decided before."""
        after = next(iter(moment.decisions.values())).get("decided_after", self._ledger.seq)
        base = [kept for kept in self._sleeves if kept[0] <= after][-1:]
        later = [kept for kept in self._sleeves if kept[0] > after]
        # The bars of this moment have marked the sleeves by now.
        self._sleeves = [*base, *later, (self._ledger.seq, dict(self._ledger.sleeves))]

    def _started(self) -> Lineup:
        if self._lines is None:
            start = read_start(self._folder, self._ledger.epoch)
            made = {
                symbol: SymbolLine(live, AssetRules(symbol), start.schedule, budget_seconds=float("inf"))
                for symbol, live in sorted(self._models.items())
            }
            self._lines = Lineup(made)
            for symbol, history in start.history.items():
                self._lines.warm(symbol, history)
        return self._lines

    def _compare(self, recorded: Mapping[str, Any], again: Decided) -> None:
        self.report.decisions += 1
        reason = recorded["reason"]
        if recorded["logits"] is None and reason in _OF_THE_MOMENT:
            self.report.of_the_moment[reason] += 1
            return
        found = next(_differences(recorded, again), None)
        if found is not None:
            self.report.differences.append(Difference(recorded["symbol"], recorded["bar"], *found))
        elif recorded["logits"] is None:
            self.report.passed_by += 1
        else:
            self.report.identical += 1


def _bar(body: Mapping[str, Any]) -> Bar:
    numbers = (float(body[name]) for name in ("open", "high", "low", "close", "volume"))
    return Bar(body["symbol"], bar_ns(parse_time(body["bar"])), *numbers)


def _differences(recorded: Mapping[str, Any], again: Decided) -> Iterator[tuple[str, str, str]]:
    """Yield what differs, the earliest link of the chain first, as (what, recorded, again)."""
    bar = rfc3339(bar_time(again.bar.t))
    if recorded["bar"] != bar:
        yield "bar", recorded["bar"], bar
    if recorded["logits"] is None or again.decision is None:
        was = recorded["reason"] if recorded["logits"] is None else "decided"
        now = again.reason.value if again.decision is None and again.reason is not None else "decided"
        if was != now:
            yield "whether the model was asked", was, f"{now} {again.fault}".strip()
        return
    if recorded["observation_sha256"] != again.observation_sha256:
        yield "observation", str(recorded["observation_sha256"])[7:23], str(again.observation_sha256)[7:23]
    logits = [float(value) for value in again.decision.logits]
    if recorded["logits"] != logits:
        farthest = max(abs(a - b) for a, b in zip(recorded["logits"], logits, strict=True))
        yield "logits", _shown(recorded["logits"]), f"{_shown(logits)}, at most {farthest:.2g} apart"
    action = again.decision.name or NO_ACTION
    if recorded["action"] != action:
        yield "action", recorded["action"], action


def _shown(logits: Iterable[float]) -> str:
    return " ".join(f"{value:.9g}" for value in logits)
