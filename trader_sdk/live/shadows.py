"""Shadows: a slot's challengers decide beside its champion, on the same rows and on paper sleeves of their own.

Nothing here knows a broker, a journal or the session: windows and bars go in, plain data comes out. The champion has a
shadow too, so that its paper ledger and its challengers' are made by one fill model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import ActionError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.reasons import Reason
from trader_sdk.contract.spec import MARKET_FEATURES, ModelSpec
from trader_sdk.decisions import Decision
from trader_sdk.live.events import bar_time, rfc3339
from trader_sdk.live.shadow_account import FILL_MODEL, ShadowAccount

Rows = NDArray[np.float32]

MOST_FAILURES: Final = 3
"""Failures in a row after which a shadow is not asked any more in this run."""


class Role(StrEnum):
    """What a shadow's model is in its slot."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


class Stream(Protocol):
    """Decides on observations one after the other."""

    def decide_on(self, obs: Any) -> Decision:
        """Return the decision."""


@dataclass(frozen=True, slots=True)
class ShadowModel:
    """A model that decides beside a slot's champion.

    Attributes:
        symbol: The slot's.
        sha256: Digest of its file.
        version_id: Its name in the archive.
        role: What it is in the slot.
        spec: What its actions and account columns mean.
        stream: Makes what decides.
    """

    symbol: str
    sha256: str
    version_id: str
    role: Role
    spec: ModelSpec
    stream: Callable[[], Stream]

    @property
    def key(self) -> tuple[str, str]:
        """Return symbol and digest."""
        return self.symbol, self.sha256


@dataclass(frozen=True, slots=True)
class News:
    """One symbol's closed bar, as the champion saw it.

    Attributes:
        bar: The bar.
        window: float32 (100, 53), the market rows; None where no window is full.
        reason: Why the champion was not asked for reasons of the bar; None where it was.
        follows: Whether no bar is missing before it.
    """

    bar: Bar
    window: Rows | None
    reason: Reason | None
    follows: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """What shadows trade on: the same for all.

    Attributes:
        costs: What a fill costs.
        limits: Sizing constants.
        budget_seconds: How long one decision may take.
    """

    costs: CostModel
    limits: ExecutionLimits
    budget_seconds: float


class Shadow:
    """One model beside the champion: its stream, its paper sleeve, its failures.

    Args:
        model: Decides.
        account: Its paper sleeve.
        terms: What it trades on.
        last_bar: Start of the last bar that it saw before a restart, ns UTC.
    """

    def __init__(self, model: ShadowModel, account: ShadowAccount, terms: Terms, last_bar: int | None = None) -> None:
        self.model, self.account, self._terms = model, account, terms
        self._stream: Stream | None = None
        self._failures = 0
        self._last_bar = last_bar

    def take(self, news: News) -> dict[str, Any] | None:
        """Book one bar and decide on it; return what happened as plain data, None for a bar that was seen."""
        bar = news.bar
        if self._last_bar is not None and bar.t <= self._last_bar:
            return None
        self._last_bar = bar.t
        row = self.account.take(bar, follows=news.follows)
        decision, reason, fault = self._decide(news)
        if decision is not None:
            self.account.order(decision, bar.close)
        return {
            "symbol": self.model.symbol,
            "bar": rfc3339(bar_time(bar.t)),
            "model_sha256": self.model.sha256,
            "version_id": self.model.version_id,
            "role": self.model.role.value,
            "action": None if decision is None else decision.name,
            "logits": None if decision is None else list(decision.logits),
            "reason": None if reason is None else reason.value,
            "fault": fault,
            "open": bar.open,
            "price": bar.close,
            **asdict(row),
            "fill_model": FILL_MODEL,
            "cost_model": self._terms.costs.id,
            "sleeve": self.account.state(),
        }

    def _decide(self, news: News) -> tuple[Decision | None, Reason | None, str]:
        if news.reason is not None or news.window is None:
            return None, news.reason or Reason.WARMING_UP, ""
        if self._failures >= MOST_FAILURES:
            return None, Reason.MODEL_QUARANTINED, ""
        began = time.perf_counter()
        try:
            decision = self._answer(news.window, news.bar.close)
        except Exception as error:  # noqa: BLE001 - whatever a challenger does wrong stays with it
            return self._failed(f"{error.code} {error.message}" if isinstance(error, ActionError) else repr(error))
        seconds = time.perf_counter() - began
        if seconds > self._terms.budget_seconds:
            return self._failed(f"took {seconds:.3f} s of {self._terms.budget_seconds:g} s")
        self._failures = 0
        return decision, None, ""

    def _answer(self, window: Rows, close: float) -> Decision:
        if self._stream is None:
            self._stream = self.model.stream()
        columns = self.account.columns(close, self.model.spec.n_account)
        observation = np.empty((len(window), MARKET_FEATURES + len(columns)), np.float32)
        observation[:, :MARKET_FEATURES], observation[:, MARKET_FEATURES:] = window, columns
        return self._stream.decide_on(observation)

    def _failed(self, fault: str) -> tuple[None, Reason, str]:
        self._failures += 1
        return None, Reason.MODEL_FAILED, fault[:300]


class Shadows:
    """All shadows of a session.

    Args:
        terms: What they trade on.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._cast: dict[tuple[str, str], Shadow] = {}

    @property
    def models(self) -> tuple[ShadowModel, ...]:
        """Return who decides beside the champions."""
        return tuple(shadow.model for shadow in self._cast.values())

    @property
    def symbols(self) -> frozenset[str]:
        """Return the symbols that have shadows."""
        return frozenset(symbol for symbol, _ in self._cast)

    def cast(
        self,
        models: Sequence[ShadowModel],
        initial: Mapping[str, float],
        kept: Mapping[tuple[str, str], Mapping[str, Any]],
        last_bars: Mapping[tuple[str, str], int],
    ) -> None:
        """Let exactly these models be shadows; those that are already go on with their sleeves.

        Args:
            models: Who.
            initial: By symbol, equity of a new sleeve.
            kept: Newest ``shadow_decided`` entries by symbol and digest, of shadows that a restart continues.
            last_bars: When the bars of those entries began, ns UTC.
        """
        self._cast = {model.key: self._known(model, initial, kept, last_bars) for model in models}

    def _known(
        self,
        model: ShadowModel,
        initial: Mapping[str, float],
        kept: Mapping[tuple[str, str], Mapping[str, Any]],
        last_bars: Mapping[tuple[str, str], int],
    ) -> Shadow:
        before, terms = self._cast.get(model.key), self._terms
        if before is not None:
            before.model = model
            return before
        if model.key in kept:
            state = kept[model.key]["sleeve"]
            account = ShadowAccount.restored(state, terms.costs, terms.limits)
            return Shadow(model, account, terms, last_bars[model.key])
        return Shadow(model, ShadowAccount(initial[model.symbol], terms.costs, terms.limits), terms)

    def take(self, news: Mapping[str, News]) -> list[dict[str, Any]]:
        """Let every shadow book and decide on its symbol's bar; return what happened."""
        told = (shadow.take(news[symbol]) for (symbol, _), shadow in self._cast.items() if symbol in news)
        return [body for body in told if body is not None]
