"""What happens between a bar's orders and the next bar: models watched and changed, losses weighed, shadows asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from trader_sdk.approved import ApprovedModel
from trader_sdk.archive.action_mix import mix_of
from trader_sdk.breakers import AccountTrip, ModelTrip, account_trips, model_trips, moved
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import SdkError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.reasons import Reason
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.events import Draft
from trader_sdk.live.following import ArchiveWatch, Look
from trader_sdk.live.holds import Cause
from trader_sdk.live.memory import session_day, watermark_draft
from trader_sdk.live.opening import Session
from trader_sdk.live.shadows import News, Role, ShadowModel, Shadows, Terms
from trader_sdk.live.step import StepReport
from trader_sdk.live.swaps import Swaps
from trader_sdk.risk import TradingState

Say = Callable[[str, Mapping[str, Any]], None]

SHADOW_WAIT_SECONDS: Final = 0.25
"""How long the loop waits for shadows after its orders went out; later ones are heard at the next bar."""
_LAST_WAIT_SECONDS: Final = 5.0
_HALF: Final = Decimal("0.5")
_CAUSE_OF: Final[Mapping[ModelTrip, Cause]] = {
    ModelTrip.LOSS: Cause.MODEL_LOSS,
    ModelTrip.TURNOVER: Cause.MODEL_TURNOVER,
    ModelTrip.FLIPS: Cause.MODEL_FLIPS,
    ModelTrip.MIX: Cause.MODEL_MIX,
}
_ASKED: Final = frozenset({None, Reason.MODEL_FAILED, Reason.MODEL_QUARANTINED})


class Beside:
    """Everything about models and losses that is not an order.

    Args:
        session: The open session.
        config: Limits, pointer and shadows of the run.
        say: Told what a person is told.
    """

    def __init__(self, session: Session, config: LiveConfig, say: Say) -> None:
        self._session, self._config, self._say = session, config, say
        self._swaps = Swaps(session, say)
        archive = session.selection.archive if session.selection is not None else None
        self._watch = None if archive is None else ArchiveWatch(archive, config, session.mode)
        self._theatre = _Theatre(session, config, say)

    async def start(self, now: datetime) -> None:
        """Lift what a model's revocation held back, since this start chose another; look for challengers."""
        for hold in list(self._session.journal.ledger.holds):
            if hold.cause is Cause.MODEL_REVOKED and hold.symbol in self._session.lines:
                self._session.states.lift(hold.cause, now, why="this start's model may trade", symbol=hold.symbol)
        await self._follow(now)

    async def after_bar(self, report: StepReport, bars: Mapping[str, Sequence[Bar]], now: datetime) -> None:
        """Follow up on a bar whose orders are on their way."""
        self._tell_faults(report, now)
        self._weigh_account(now)
        self._weigh_models(report, now)
        await self._theatre.play(report, bars, now)
        await self._follow(now)

    async def close(self) -> None:
        """Hear what the shadows still have to say."""
        await self._theatre.close()

    def _tell_faults(self, report: StepReport, now: datetime) -> None:
        lines, states = self._session.lines, self._session.states
        failed = [one for one in report.decided.values() if one.fault]
        for one in failed:
            line = lines[one.symbol]
            sha256 = line.live.model.sha256
            told = {"symbol": one.symbol, "sha256": sha256, "why": one.fault, "in_a_row": line.failures}
            self._say("model_failed", told)
        self._swaps.judge(report.decided.values(), now)
        for one in failed:
            if lines[one.symbol].is_quarantined:
                states.hold(Cause.MODEL_QUARANTINED, one.fault, now, symbol=one.symbol)

    def _weigh_account(self, now: datetime) -> None:
        ledger, states = self._session.journal.ledger, self._session.states
        memory, equity, day = ledger.memory, ledger.equity, session_day(now)
        mark = moved(memory.watermark, equity, day, ledger.initial)
        trips = account_trips(mark, equity, self._config.breakers)
        halved = AccountTrip.HALVE in trips or (memory.size_factor < 1 and mark.drawdown(equity) > 0)
        size_factor = _HALF if halved else Decimal(1)
        if (mark, size_factor) != (memory.watermark, memory.size_factor):
            cause = trips.get(AccountTrip.HALVE, "") if halved else ""
            self._session.desk.commit([watermark_draft(mark, size_factor, cause, now)])
        if AccountTrip.HALT in trips:
            states.hold(Cause.DRAWDOWN, trips[AccountTrip.HALT], now)
        if AccountTrip.DAY_LOSS in trips:
            states.hold(Cause.DAY_LOSS, trips[AccountTrip.DAY_LOSS], now, state=TradingState.REDUCING)
        elif any(hold.cause is Cause.DAY_LOSS and session_day(hold.since) != day for hold in ledger.holds):
            states.lift(Cause.DAY_LOSS, now, why="another day")

    def _weigh_models(self, report: StepReport, now: datetime) -> None:
        ledger, day = self._session.journal.ledger, session_day(now)
        for symbol, one in report.decided.items():
            track = ledger.memory.tracks.get(symbol)
            if track is None or one.decision is None:
                continue
            equity = ledger.sleeves[symbol].equity(one.close)
            mix = archived_mix(self._session.lines[symbol].live.model)
            for trip, why in model_trips(track, equity, day, mix, self._config.breakers).items():
                self._session.states.hold(_CAUSE_OF[trip], why, now, symbol=symbol)

    async def _follow(self, now: datetime) -> None:
        held = self._swaps.held
        if self._watch is None or not self._watch.may_have_changed(held):
            return
        try:
            # A thread, because an archive may be slow or away, and models are read and verified.
            look = await asyncio.to_thread(self._watch.look, held)
        except SdkError as error:
            self._say("archive_trouble", error.to_dict())
            return
        await self._obey(look, now)
        self._theatre.cast(look.challengers)

    async def _obey(self, look: Look, now: datetime) -> None:
        states = self._session.states
        for symbol, standing in look.standings.items():
            swapped = standing.named is not None and await self._swaps.consider(symbol, standing.named, now)
            if standing.revoked is not None and not swapped:
                states.hold(Cause.MODEL_REVOKED, str(standing.revoked), now, symbol=symbol)
            elif standing.revoked is None:
                states.lift(Cause.MODEL_REVOKED, now, why="the model may trade again", symbol=symbol)


def archived_mix(model: ApprovedModel) -> Mapping[str, float]:
    """Return the share of each action in a model's evaluation; empty where the archive does not say."""
    evidence = model.approval.verdict.evidence
    shown = evidence.shown if evidence is not None else {}
    return mix_of(shown)


class _Theatre:
    """Lets shadows play in a thread of their own and writes down what they did.

    Args:
        session: The open session; the shadows themselves never see it.
        config: Whether there are any.
        say: Told what a person is told.
    """

    def __init__(self, session: Session, config: LiveConfig, say: Say) -> None:
        self._session, self._config, self._say = session, config, say
        costs = cost_model("us_equity@1" if session.schedule.sessions else "crypto@1")
        budget = next((line.budget_seconds for line in session.lines.values()), 1.0)
        terms = Terms(costs, config.execution, budget)
        self._shadows = Shadows(terms)
        # A thread of its own: no challenger may keep the loop from its orders, however slow it is.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadows")
        self._playing: tuple[asyncio.Future[list[dict[str, Any]]], datetime] | None = None
        self._newest: dict[str, int] = {}

    def cast(self, challengers: Mapping[str, Sequence[ApprovedModel]]) -> None:
        """Let these challengers, and the champions that they wait for, be shadows from the next bar on."""
        ledger, chosen = self._session.journal.ledger, []
        for symbol, models in challengers.items():
            champion = self._session.lines[symbol].live
            fitting = [model for model in models if self._sees_the_same(symbol, model, champion.model)]
            if fitting:
                chosen.append(_shadow_of(symbol, champion.model, Role.CHAMPION))
                chosen += [_shadow_of(symbol, model, Role.CHALLENGER) for model in fitting]
        if {model.key for model in chosen} == {model.key for model in self._shadows.models}:
            return
        self._hear()
        equity = {
            symbol: float(sleeve.equity(ledger.prices.get(symbol, Decimal(0))))
            for symbol, sleeve in ledger.sleeves.items()
        }
        self._shadows.cast(chosen, equity, ledger.memory.shadows, ledger.memory.shadow_bars)
        names = [{"symbol": each.symbol, "version_id": each.version_id, "role": each.role.value} for each in chosen]
        self._say("shadows_cast", {"shadows": names})

    def _sees_the_same(self, symbol: str, model: ApprovedModel, champion: ApprovedModel) -> bool:
        """Return whether a challenger decides on the champion's market rows; others are said and left out."""
        ours, theirs = (_market_columns(each) for each in (champion, model))
        same = model.sha256 != champion.sha256 and ours is not None and ours == theirs
        if model.sha256 != champion.sha256 and not same:
            self._say("shadow_left_out", {"symbol": symbol, "sha256": model.sha256, "why": "other features"})
        return same

    async def play(self, report: StepReport, bars: Mapping[str, Sequence[Bar]], now: datetime) -> None:
        """Give the shadows a bar, unless they are still busy with the one before."""
        symbols = self._shadows.symbols & report.decided.keys()
        if not symbols:
            return
        if self._playing is not None and not self._hear():
            self._say("shadows_behind", {"symbols": sorted(symbols)})
            return
        for depth in range(max(len(bars[symbol]) for symbol in symbols)):
            news = {s: self._news(report, s, bars[s], depth) for s in sorted(symbols) if depth < len(bars[s])}
            await self._wait_for({s: told for s, told in news.items() if told is not None}, now)

    async def _wait_for(self, news: Mapping[str, News], now: datetime) -> None:
        self._hear()
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._shadows.take, news)
        self._playing = future, now
        await asyncio.wait({future}, timeout=SHADOW_WAIT_SECONDS)
        self._hear()

    def _news(self, report: StepReport, symbol: str, bars: Sequence[Bar], depth: int) -> News | None:
        decided, bar = report.decided[symbol], bars[depth]
        is_newest = depth == len(bars) - 1
        reason = decided.reason if is_newest else Reason.STALE_BAR
        if reason is Reason.BAD_BAR:
            return None
        last, self._newest[symbol] = self._newest.get(symbol), bar.t
        follows = last is None or not self._session.schedule.missing_between(last, bar.t)
        window = self._session.lines.market_window(symbol) if is_newest and reason in _ASKED else None
        return News(bar, window, None if reason in _ASKED else reason, follows)

    def _hear(self) -> bool:
        """Write down what the shadows have finished; return whether they are free."""
        if self._playing is None:
            return True
        future, at = self._playing
        if not future.done():
            return False
        self._playing = None
        error = future.exception()
        if error is not None:
            self._say("shadows_failed", {"why": repr(error)})
            self._shadows.cast([], {}, {}, {})
            return True
        self._session.desk.commit([Draft(JournalEvent.SHADOW_DECIDED, at, body) for body in future.result()])
        return True

    async def close(self) -> None:
        """Wait a little for the last bar, write it down, and let the thread end."""
        if self._playing is not None:
            await asyncio.wait({self._playing[0]}, timeout=_LAST_WAIT_SECONDS)
            if self._session.journal.is_usable:
                self._hear()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _shadow_of(symbol: str, model: ApprovedModel, role: Role) -> ShadowModel:
    return ShadowModel(symbol, model.sha256, model.approval.version_id, role, model.model_spec, model.stream)


def _market_columns(model: ApprovedModel) -> tuple[object, ...] | None:
    """Return what says that two models see the same market rows; None where the file states no schema."""
    stated = model.metadata.get("feature_schema")
    if not isinstance(stated, Mapping):
        return None
    rows = tuple(tuple(stated[name])[:MARKET_FEATURES] for name in ("names", "versions"))
    return (*rows, *(stated[name] for name in ("timeframe", "calendar", "feed", "adjustment", "window")))
