"""One symbol's way from closed bars to a decision: its model, its features, and why it may not decide."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.documents import JournalEvent
from trader_sdk.contract.errors import ActionError, DataError
from trader_sdk.contract.reasons import Reason
from trader_sdk.data.gaps import OBSERVED_BARS
from trader_sdk.decision_stream import StreamReport
from trader_sdk.live.events import Draft, bar_time, plain, rfc3339
from trader_sdk.live.feed import implausible
from trader_sdk.live.models import LiveModel
from trader_sdk.live.schedule import Schedule
from trader_sdk.model import Decision
from trader_sdk.plan import AssetRules, Plan
from trader_sdk.portfolio import Sleeve

QUARANTINE_AFTER: Final = 3
"""Failures of a model in a row after which it no longer decides in this run."""
NO_ACTION: Final = "NONE"


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a symbol's newest bar.

    Attributes:
        bar: The closed bar.
        decision: The model's, None if it was not asked.
        reason: Why it was not asked, None if it was.
        observation_sha256: Digest of what the model saw.
    """

    symbol: str
    bar: Bar
    decision: Decision | None
    reason: Reason | None
    observation_sha256: str | None = None

    @property
    def close(self) -> Decimal:
        """Return the decision price."""
        return exact(self.bar.close)


def exact(value: float) -> Decimal:
    """Return a float64 price as the shortest decimal that reads back as it."""
    return Decimal(repr(float(value)))


class SymbolLine:
    """A symbol's model and window.

    Args:
        live: The model with its features.
        rules: What the venue takes of the asset.
        schedule: Says which bars are missing, and which are too old.
    """

    def __init__(self, live: LiveModel, rules: AssetRules, schedule: Schedule) -> None:
        self.live, self.rules = live, rules
        self._stream = live.model.stream()
        self._schedule = schedule
        self._last: Bar | None = None
        self._gap_left = 0
        self._failures = 0

    @property
    def symbol(self) -> str:
        """Return whose line it is."""
        return self.live.symbol

    def warm(self, history: Bars) -> None:
        """Fill the window from bars that are not decided on."""
        if not len(history):
            return
        self.live.observations.extend(history)
        for index in range(max(len(history) - OBSERVED_BARS, 0), len(history)):
            self._follow(history.at(index))
        if self.live.observations.ready:
            at_rest = np.zeros(self.live.model.model_spec.n_account, np.float32)
            self._stream.hold(self.live.observations.observe(at_rest))
            self.prepare()

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
            bad = self._push(bar)
        newest = bars[-1]
        reason = Reason.BAD_BAR if bad else self._why_not(newest, now)
        if reason is not None:
            return Decided(self.symbol, newest, None, reason)
        return self._decide(newest, sleeve)

    def _push(self, bar: Bar) -> str | None:
        bad = implausible(bar, self._last.close if self._last is not None else None)
        if bad is not None:
            self._gap_left = OBSERVED_BARS
            return bad
        try:
            self.live.observations.push(bar)
        except DataError as error:
            return error.message
        self._follow(bar)
        return None

    def _follow(self, bar: Bar) -> None:
        missing = self._last is not None and self._schedule.missing_between(self._last.t, bar.t)
        self._gap_left = OBSERVED_BARS - 1 if missing else max(self._gap_left - 1, 0)
        self._last = bar

    def _why_not(self, bar: Bar, now: datetime) -> Reason | None:
        checks = (
            (bar.volume <= 0, Reason.BAD_BAR),
            (not self._schedule.is_fresh(bar.t, now), Reason.STALE_BAR),
            (not self.live.observations.ready, Reason.WARMING_UP),
            (self._gap_left > 0, Reason.WINDOW_GAP),
            (self._failures >= QUARANTINE_AFTER, Reason.MODEL_QUARANTINED),
        )
        return next((reason for failed, reason in checks if failed), None)

    def _decide(self, bar: Bar, sleeve: Sleeve) -> Decided:
        close = exact(bar.close)
        columns = sleeve.mark(close).columns(close, self.live.model.model_spec.n_account)
        observation = self.live.observations.observe(columns)
        digest = f"sha256:{hashlib.sha256(np.ascontiguousarray(observation).tobytes()).hexdigest()}"
        try:
            decision = self._stream.decide_on(observation)
        except ActionError:
            self._failures += 1
            return Decided(self.symbol, bar, None, Reason.MODEL_QUARANTINED, digest)
        self._failures = 0
        return Decided(self.symbol, bar, decision, None, digest)


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


def decision_draft(decided: Decided, outcome: Outcome, model_sha256: str, at: datetime) -> Draft:
    """Return the entry of what was decided on a bar and what is done about it."""
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
    }
    return Draft(JournalEvent.DECISION_MADE, at, body)
