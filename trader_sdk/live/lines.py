"""One symbol's way from closed bars to a decision: its model, its features, and why it may not decide."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ActionError, DataError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.reasons import Reason
from trader_sdk.data.gaps import OBSERVED_BARS
from trader_sdk.decision_stream import DecisionStream, StreamReport
from trader_sdk.live.events import Draft, bar_time, plain, rfc3339
from trader_sdk.live.models import LiveModel
from trader_sdk.live.plausible import PriceLevel
from trader_sdk.live.schedule import Schedule
from trader_sdk.model import Decision
from trader_sdk.plan import AssetRules, Plan
from trader_sdk.portfolio import Sleeve

QUARANTINE_AFTER: Final = 3
"""Failures of a model in a row after which it no longer decides in this run."""
DECISION_BUDGET_SECONDS: Final = 1.0
"""How long a model may take for one decision."""
NO_ACTION: Final = "NONE"


class Seen:
    """What a model saw; its digest is made when somebody writes it down, before the next bar is taken.

    Args:
        observation: Returns it.
    """

    def __init__(self, observation: Callable[[], NDArray[np.float32]]) -> None:
        self._observation = observation

    @cached_property
    def sha256(self) -> str:
        """Return ``sha256:<hex>`` of its bytes."""
        return f"sha256:{hashlib.sha256(np.ascontiguousarray(self._observation()).data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a symbol's newest bar.

    Attributes:
        bar: The closed bar.
        decision: The model's, None if it was not asked.
        reason: Why it was not asked, None if it was.
        seen: What the model saw.
        fault: What was wrong with the model's answer, empty if nothing.
    """

    symbol: str
    bar: Bar
    decision: Decision | None
    reason: Reason | None
    seen: Seen | None = None
    fault: str = ""

    @property
    def observation_sha256(self) -> str | None:
        """Return the digest of what the model saw, None if it was not asked."""
        return None if self.seen is None else self.seen.sha256

    @property
    def close(self) -> Decimal:
        """Return the decision price."""
        return exact(self.bar.close)


@lru_cache(maxsize=4096)
def exact(value: float) -> Decimal:
    """Return a float64 price as the shortest decimal that reads back as it."""
    return Decimal(repr(float(value)))


class SymbolLine:
    """A symbol's model and window.

    Args:
        live: The model with its features.
        rules: What the venue takes of the asset.
        schedule: Says which bars are missing, and which are too old.
        budget_seconds: How long the model may take for one decision.

    Attributes:
        may_be_whole: Whether the newest bar was doubted or left a gap, so that the venue's history may know better.
    """

    def __init__(
        self, live: LiveModel, rules: AssetRules, schedule: Schedule, budget_seconds: float = DECISION_BUDGET_SECONDS
    ) -> None:
        self.live, self.rules = live, rules
        self._schedule, self.budget_seconds = schedule, budget_seconds
        self._last: Bar | None = None
        self._gap_left = 0
        self._level = PriceLevel()
        self.may_be_whole = False
        self.failures = 0

    @property
    def symbol(self) -> str:
        """Return whose line it is."""
        return self.live.symbol

    @property
    def is_quarantined(self) -> bool:
        """Return whether the model failed so often that it is not asked any more."""
        return self.failures >= QUARANTINE_AFTER

    @property
    def newest(self) -> int | None:
        """Return when the newest bar of the window began, None before the first."""
        return None if self._last is None else self._last.t

    @cached_property
    def _stream(self) -> DecisionStream:
        # Made where the line decides by itself; beside others it has none.
        return self.live.model.stream()

    def warm(self, history: Bars) -> None:
        """Fill the window from bars that are not decided on."""
        if not len(history):
            return
        self.live.observations.extend(history)
        self.follow_all(history)
        self.hold()

    def hold(self) -> None:
        """Take the window as it is for the next decision's past."""
        if self.live.observations.ready:
            self._stream.hold(self.live.observations.observe(self._at_rest()))
            self.prepare()

    def follow_all(self, history: Bars) -> None:
        """Note bars that were taken, so that gaps among them and after them are seen."""
        for index in range(max(len(history) - OBSERVED_BARS, 0), len(history)):
            self.follow(history.at(index))

    def _at_rest(self) -> NDArray[np.float32]:
        return np.zeros(self.live.model.model_spec.n_account, np.float32)

    @property
    def engine(self) -> StreamReport:
        """Return which engine decides, and why."""
        return self._stream.report

    def prepare(self) -> None:
        """Do ahead what the next decision does not need its bar for; nothing where rows change after their close."""
        self._stream.prepare()

    def take(self, bars: Sequence[Bar], sleeve: Sleeve, now: datetime) -> Decided:
        """Push new bars, oldest first, and decide on the newest if it may be acted on."""
        bad: str | None = None
        for bar in bars:
            bad = self.push(bar)
        newest = bars[-1]
        reason = self.why_not(newest, now, is_bad=bad is not None, is_ready=self.live.observations.ready)
        if reason is not None:
            return Decided(self.symbol, newest, None, reason)
        return self._decide(newest, sleeve)

    def push(self, bar: Bar) -> str | None:
        """Take one bar, or return why it is not to be acted on."""
        bad = self.admit(bar)
        if bad is not None:
            return bad
        try:
            self.live.observations.push(bar)
        except DataError as error:
            return error.message
        self.follow(bar)
        return None

    def revise(self, bar: Bar) -> None:
        """Take the correction of a bar that was taken; the next decision is made on the corrected window.

        Raises:
            DataError: The bar is none; nothing changed.
        """
        self.live.observations.revise(bar)
        if self._last is not None and bar.t == self._last.t:
            self._last = bar

    def admit(self, bar: Bar) -> str | None:
        """Return why a bar is not believed, None if it is; one that is not leaves a gap."""
        bad = self.doubt(bar)
        if bad is not None:
            self.distrust()
        return bad

    def distrust(self) -> None:
        """Decide on nothing before the window was made anew, or has moved past the bars that it lacks."""
        self._gap_left, self.may_be_whole = OBSERVED_BARS, True

    def doubt(self, bar: Bar) -> str | None:
        """Return why a bar would not be believed; nothing changes."""
        return self._level.doubt(bar)

    def forget(self) -> None:
        """Know of no bar; a history follows."""
        self._last, self._gap_left, self._level, self.may_be_whole = None, 0, PriceLevel(), False

    def follow(self, bar: Bar) -> None:
        """Note a bar that the features took."""
        missing = self._last is not None and self._schedule.missing_between(self._last.t, bar.t)
        self._gap_left = OBSERVED_BARS - 1 if missing else max(self._gap_left - 1, 0)
        self._last, self.may_be_whole = bar, bool(missing)
        self._level.note(bar)

    def succeeded_by(self, live: LiveModel) -> SymbolLine:
        """Return a line of another model that stands where this one stands."""
        line = SymbolLine(live, self.rules, self._schedule, self.budget_seconds)
        line.take_over(self)
        return line

    def take_over(self, before: SymbolLine) -> None:
        """Stand where the line before stands: the same bars, gaps and rules."""
        self._last, self._gap_left, self._level = before._last, before._gap_left, before._level
        self.may_be_whole, self.rules = before.may_be_whole, before.rules

    def why_not(self, bar: Bar, now: datetime, *, is_bad: bool, is_ready: bool) -> Reason | None:
        """Return why the model is not asked about its newest bar, None if it is."""
        if is_bad or bar.volume <= 0:
            return Reason.BAD_BAR
        if not self._schedule.is_fresh(bar.t, now):
            return Reason.STALE_BAR
        if not is_ready:
            return Reason.WARMING_UP
        if self._gap_left > 0:
            return Reason.WINDOW_GAP
        return Reason.MODEL_QUARANTINED if self.is_quarantined else None

    def _decide(self, bar: Bar, sleeve: Sleeve) -> Decided:
        close = exact(bar.close)
        columns = sleeve.mark(close).columns(close, self.live.model.model_spec.n_account)
        observation = self.live.observations.observe(columns)
        began = time.perf_counter()
        try:
            decision: Decision | ActionError = self._stream.decide_on(observation)
        except ActionError as error:
            decision = error
        return self.answered(bar, decision, time.perf_counter() - began, Seen(lambda: observation))

    def answered(self, bar: Bar, answer: Decision | ActionError, seconds: float, seen: Seen) -> Decided:
        """Return what comes of the model's answer: one that is late or no answer counts as a failure."""
        if isinstance(answer, ActionError):
            return self._failed(bar, f"{answer.code} {answer.message}", seen)
        if seconds > self.budget_seconds:
            return self._failed(bar, f"took {seconds:.3f} s of {self.budget_seconds:g} s", seen)
        self.failures = 0
        return Decided(self.symbol, bar, answer, None, seen)

    def _failed(self, bar: Bar, fault: str, seen: Seen) -> Decided:
        self.failures += 1
        return Decided(self.symbol, bar, None, Reason.MODEL_FAILED, seen, fault)


def bar_draft(bar: Bar, at: datetime) -> Draft:
    """Return the entry of a closed bar."""
    prices = {name: plain(exact(getattr(bar, name))) for name in ("open", "high", "low", "close", "volume")}
    return Draft(JournalEvent.BAR_CLOSED, at, {"symbol": bar.symbol, "bar": rfc3339(bar_time(bar.t)), **prices})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is done about a decision: an order, or the reason for none; an order made smaller has both."""

    plan: Plan | None
    reason: Reason | None
    client_order_id: str | None


def decision_draft(decided: Decided, outcome: Outcome, model_sha256: str, at: datetime, *, decided_after: int) -> Draft:
    """Return the entry of what was decided on a bar, after which entry, and what is done about it."""
    plan, reason = outcome.plan, outcome.reason
    decision = decided.decision
    body: dict[str, Any] = {
        "symbol": decided.symbol,
        "bar": rfc3339(bar_time(decided.bar.t)),
        "action": decision.name if decision is not None else NO_ACTION,
        "reason": reason.value if reason is not None else None,
        "client_order_id": outcome.client_order_id,
        "model_sha256": model_sha256,
        "observation_sha256": decided.observation_sha256,
        "logits": [float(value) for value in decision.logits] if decision is not None else None,
        "price": plain(decided.close),
        "target": plain(plan.target) if plan is not None else None,
        "position": plain(plan.position) if plan is not None else None,
        "decided_after": decided_after,
    }
    return Draft(JournalEvent.DECISION_MADE, at, body)
