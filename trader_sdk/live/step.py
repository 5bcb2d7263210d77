"""One bar: decide, plan, pass risk, and make everything durable in one transaction before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.reasons import Reason
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.events import Draft
from trader_sdk.live.late import Late
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.lines import Decided, Outcome, bar_draft, decision_draft, exact
from trader_sdk.live.lineup import Lineup, Taken
from trader_sdk.live.schedule import Schedule
from trader_sdk.live.views import foreign_orders, working_order
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.orders import OrderIntent
from trader_sdk.plan import AssetRules, Book, Plan, hold, plan
from trader_sdk.portfolio import Sleeve
from trader_sdk.risk import RiskDecision, RiskView, TradingState, assess_all, shrunk, why_no_longer

_ZERO = Decimal(0)
_MINUTE: Final = timedelta(minutes=1)

PreTrade = Callable[[OrderIntent], OrderIntent | None]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one bar brought.

    Attributes:
        at: Venue time.
        bar_at: Start of the newest bar, nanoseconds since the epoch.
        decided: By symbol.
        outcomes: By symbol, what is done about it; made when asked for where nothing is done.
    """

    at: datetime
    bar_at: int
    decided: Mapping[str, Decided]
    outcomes: Mapping[str, Outcome]

    @property
    def n_orders(self) -> int:
        """Return how many orders were made durable."""
        return sum(1 for outcome in self.outcomes.values() if outcome.client_order_id is not None)


class BarStep:
    """Turns closed bars into durable orders.

    Args:
        lines: Decide.
        desk: Commits, and later sends.
        broker: Asked for account, positions and open orders when there is something to order.
        worker: The thread for broker calls.
        schedule: Times of bars and orders.
        book: Stamped into order ids.
        config: Limits, and whether anything is sent.

    Attributes:
        pre_trade: The caller's hook.
        recorded: The newest bars that were written down, by symbol.
        is_disturbed: Says whether positions may not be opened for now.
    """

    def __init__(
        self,
        lines: Lineup,
        desk: OrderDesk,
        broker: port.BrokerPort,
        worker: BrokerWorker,
        schedule: Schedule,
        book: Book,
        config: LiveConfig,
    ) -> None:
        self._lines, self._desk = lines, desk
        self._broker, self._worker = broker, worker
        self._schedule, self._book, self._config = schedule, book, config
        self._unfinished: tuple[Mapping[str, Sequence[Bar]], Taken] | None = None
        self._unrecorded: tuple[StepReport, Mapping[str, Sequence[Bar]], Collection[str]] | None = None
        self._decided_after = 0
        self.recorded: Mapping[str, Sequence[Bar]] = {}
        self.pre_trade: PreTrade | None = None
        self.is_disturbed: Callable[[], bool] = lambda: False

    def correct(self, corrections: list[Bar], now: datetime) -> None:
        """Put corrected bars in their places, and forget them; no bar is decided on twice."""
        taken = [bar for bar in corrections if self._lines.revise(bar)]
        corrections.clear()
        self._desk.commit([bar_draft(bar, now) for bar in taken])

    async def run(self, bars: Mapping[str, Sequence[Bar]], ledger: Ledger, now: datetime) -> StepReport:
        """Decide on each symbol's newest bar and commit bars, decisions and intents together.

        Raises:
            BrokerError: Risk could not read the venue. Nothing was committed; :meth:`finish` goes on from there.
        """
        self._decided_after = ledger.seq
        self._unfinished = (bars, self._lines.take(bars, ledger.sleeves, now))
        return await self.finish(ledger, now)

    @property
    def is_unfinished(self) -> bool:
        """Return whether bars were decided on that are not committed yet."""
        return self._unfinished is not None

    async def finish(self, ledger: Ledger, now: datetime) -> StepReport:
        """Plan, pass risk and commit the symbols with an order; the others are committed by :meth:`record_rest`.

        A bar that is no longer fresh has no order.
        """
        assert self._unfinished is not None, "nothing was decided"
        bars, taken = self._unfinished
        decided = Late(bars, lambda symbol: self._aged(taken.decided[symbol], now))
        plans = {symbol: self._plan(decided[symbol], ledger, now) for symbol in taken.acting}
        intents = [p.intent for p in plans.values() if p is not None and p.intent is not None]
        passed = await self._pass_risk(intents, bars, ledger, now) if intents else {}
        outcomes = {symbol: self._outcome(decided[symbol], made, passed.get(symbol)) for symbol, made in plans.items()}
        sleeves = dict(ledger.sleeves)  # as they stand now, for the symbols that are looked at after the orders
        at_rest = Late(bars, lambda symbol: self._at_rest(decided[symbol], sleeves), outcomes)
        report = StepReport(now, max(new[-1].t for new in bars.values()), decided, at_rest)
        sent = [] if self._config.dry_run else [risk.intent for risk in passed.values() if risk.intent is not None]
        ordered = {intent.symbol for intent in sent}
        if ordered:
            self._desk.commit([*self._drafts(report, bars, ordered), *self._desk.record(sent, now)])
        self._unfinished, self._unrecorded = None, (report, bars, decided.keys() - ordered)
        return report

    def record_rest(self) -> None:
        """Commit what :meth:`finish` left for when its orders are on their way: the symbols without one."""
        if self._unrecorded is not None:
            report, self.recorded, symbols = self._unrecorded
            bars, self._unrecorded = self.recorded, None
            if symbols:
                self._desk.commit(self._drafts(report, bars, symbols))

    def _drafts(self, report: StepReport, bars: Mapping[str, Sequence[Bar]], symbols: Collection[str]) -> list[Draft]:
        """Return the bars and decisions of some symbols, in the order of the report."""
        named = [symbol for symbol in report.decided if symbol in symbols]
        drafts = [bar_draft(bar, report.at) for symbol in named for bar in bars[symbol]]
        return drafts + [self._decision(report.decided[symbol], report.outcomes[symbol], report.at) for symbol in named]

    def _aged(self, decided: Decided, now: datetime) -> Decided:
        if decided.decision is None or self._schedule.is_fresh(decided.bar.t, now):
            return decided
        return replace(decided, decision=None, reason=Reason.STALE_BAR)

    def _at_rest(self, decided: Decided, sleeves: Mapping[str, Sleeve]) -> Outcome:
        """Return what is done where a model holds or was not asked: nothing."""
        symbol, made = decided.symbol, None
        if decided.decision is not None:
            made = hold(self._lines[symbol].rules, sleeves[symbol], decided.close)
        return self._outcome(decided, made, None)

    def _plan(self, decided: Decided, ledger: Ledger, now: datetime) -> Plan | None:
        if decided.decision is None:
            return None
        symbol = decided.symbol
        if decided.decision.direction == 0:
            return hold(self._lines[symbol].rules, ledger.sleeves[symbol], decided.close)
        context = self._schedule.context(decided.bar.t, decided.close, now)
        return plan(
            decided.decision,
            ledger.sleeves[symbol].mark(decided.close),
            self._rules(symbol, ledger, now),
            context,
            self._book,
            limits=self._config.execution,
            attempt=ledger.next_attempt(symbol, decided.bar.t),
        )

    async def _pass_risk(
        self, intents: Sequence[OrderIntent], bars: Mapping[str, Sequence[Bar]], ledger: Ledger, now: datetime
    ) -> Mapping[str, RiskDecision]:
        prices = {**ledger.prices, **{symbol: exact(new[-1].close) for symbol, new in bars.items()}}
        view = await self._view(ledger, prices, now)
        rules = {symbol: self._rules(symbol, ledger, now) for symbol in {intent.symbol for intent in intents}}
        assessed = assess_all(intents, view, rules, self._config.risk)
        return {symbol: self._hooked(decision) for symbol, decision in assessed.items()}

    def _hooked(self, decision: RiskDecision) -> RiskDecision:
        """Ask the caller's hook; it may take an order away or make it smaller, nothing else."""
        if self.pre_trade is None or decision.intent is None:
            return decision
        answer = self.pre_trade(decision.intent)
        if answer is None:
            return replace(decision, intent=None, reason=Reason.HOOK_DENIED)
        return shrunk(decision, Decimal(answer.qty), self._lines[decision.intent.symbol].rules)

    async def _view(self, ledger: Ledger, prices: Mapping[str, Decimal], now: datetime) -> RiskView:
        broker = self._broker
        account, positions, listed = await self._worker.call(
            lambda: (broker.account(), broker.positions(), broker.open_orders())
        )
        ours = [working_order(r.intent, r.state.filled_qty, r.state.status) for r in ledger.working]
        today = ledger.sent_on(now.date())
        return RiskView(
            equity=account.equity,
            cash=account.cash,
            buying_power=account.buying_power,
            positions={view.symbol: view.qty for view in positions},
            prices={**{p.symbol: p.current_price for p in positions if p.current_price is not None}, **prices},
            working=(*ours, *foreign_orders(listed, ledger.orders, prices)),
            state=self._state(ledger),
            exits_only=ledger.exits_only,
            orders_last_minute=sent_since(ledger, now - _MINUTE, now),
            orders_today=len(today),
            turnover_today=sum((record.intent.qty * record.intent.worst_price for record in today), _ZERO),
            size_factor=ledger.memory.size_factor,
        )

    def _state(self, ledger: Ledger) -> TradingState:
        """Return what the account may do; while streams keep breaking it may only reduce."""
        disturbed = ledger.state is TradingState.ACTIVE and self.is_disturbed()
        return TradingState.REDUCING if disturbed else ledger.state

    async def check_again(self, intent: OrderIntent, ledger: Ledger, now: datetime) -> Reason | None:
        """Return why an order that had to wait may not be sent any more, None if it may."""
        view = await self._view(ledger, {intent.symbol: intent.decision_price, **ledger.prices}, now)
        others = [r for r in ledger.working if r.intent.client_order_id != intent.client_order_id]
        ours = tuple(working_order(r.intent, r.state.filled_qty, r.state.status) for r in others)
        without = replace(view, working=(*ours, *view.working[len(ledger.working) :]))
        return why_no_longer(intent, without, self._rules(intent.symbol, ledger, now), self._config.risk)

    def _rules(self, symbol: str, ledger: Ledger, now: datetime) -> AssetRules:
        rules = self._lines[symbol].rules
        if rules.band is not None and rules.band.at.date() != now.date():
            rules = replace(rules, band=None)
        return replace(rules, tradable=False) if ledger.is_halted(symbol, now) else rules

    def _outcome(self, decided: Decided, made: Plan | None, risk: RiskDecision | None) -> Outcome:
        if made is None or made.intent is None:
            return Outcome(made, decided.reason if made is None else made.reason, None)
        assert risk is not None  # every intent was assessed
        key = None if risk.intent is None or self._config.dry_run else risk.intent.client_order_id
        return Outcome(made, risk.reason, key)

    def _decision(self, decided: Decided, outcome: Outcome, now: datetime) -> Draft:
        sha256 = self._lines[decided.symbol].live.model.sha256
        return decision_draft(decided, outcome, sha256, now, decided_after=self._decided_after)


def sent_since(ledger: Ledger, at: datetime, now: datetime) -> int:
    """Return how many of our orders were sent, the last time, at ``at`` or after, which is at most a day ago."""
    days = {at.date(), now.date()}
    return sum(1 for day in days for r in ledger.sent_on(day) if r.sent_at is not None and r.sent_at >= at)
