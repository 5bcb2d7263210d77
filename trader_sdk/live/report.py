"""What a person and a program are told: the line a bar, the state, the summary; plain data, formatted elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from trader_sdk.approved import DeployRow
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.reasons import Reason
from trader_sdk.live.events import bar_time, plain, rfc3339
from trader_sdk.live.holds import Hold
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.step import StepReport

_ZERO = Decimal(0)
_NOT_BLOCKED = frozenset({Reason.HOLD.value, Reason.NO_CHANGE.value})


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands, for :meth:`LiveTrader.status` and ``trader status``."""

    run_id: str
    mode: str
    account_id: str
    state: str
    cause: str
    started_at: datetime | None
    last_at: datetime | None
    is_finished: bool
    exit_code: int | None
    bars: int
    decisions: int
    orders: int
    working: int
    fills: int
    equity: Decimal
    positions: Mapping[str, Decimal]
    exits_only: tuple[str, ...]
    holds: tuple[Hold, ...]


def status_of(ledger: Ledger) -> Status:
    """Return where the run of ``ledger`` stands."""
    return Status(
        run_id=ledger.run_id,
        mode=ledger.mode,
        account_id=ledger.account_id,
        state=ledger.state.value,
        cause=ledger.state_cause,
        started_at=ledger.started_at,
        last_at=ledger.last_at,
        is_finished=ledger.is_finished,
        exit_code=ledger.exit_code,
        bars=ledger.totals.bars,
        decisions=ledger.totals.decisions,
        orders=ledger.orders_at_venue,
        working=len(ledger.working),
        fills=ledger.totals.fills,
        equity=ledger.equity,
        positions={symbol: sleeve.qty for symbol, sleeve in ledger.sleeves.items() if sleeve.qty},
        exits_only=tuple(sorted(ledger.exits_only)),
        holds=tuple(ledger.holds),
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended; money as text in account currency.

    Attributes:
        costs: What the cost model says of the traded value, plus fees the venue charged beside the price.
        slippage: Fill prices against decision prices; a daily order carries the overnight move.
        blocked: How often a decision was not traded, by reason; HOLD and NO_CHANGE are not counted.
    """

    mode: str
    bars: int
    decisions: int
    orders: int
    fills: int
    trades: int
    wins: int
    initial: str
    equity: str
    pnl: str
    costs: str
    slippage: str
    turnover: str
    best_trade: str | None
    worst_trade: str | None
    positions: dict[str, str]
    actions: dict[str, int]
    blocked: dict[str, int]
    replay_from: str | None
    model_data_end: str | None
    journal: str
    exit_code: int

    def fields(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return asdict(self)


def summarise(ledger: Ledger, journal: str, exit_code: int) -> Summary:
    """Return how the run of ``ledger`` ended."""
    totals, sleeves = ledger.totals, ledger.sleeves.values()
    best = [sleeve.best_trade for sleeve in sleeves if sleeve.best_trade is not None]
    worst = [sleeve.worst_trade for sleeve in sleeves if sleeve.worst_trade is not None]
    return Summary(
        mode=ledger.mode,
        bars=totals.bars,
        decisions=totals.decisions,
        orders=ledger.orders_at_venue,
        fills=totals.fills,
        trades=sum(sleeve.closed for sleeve in sleeves),
        wins=sum(sleeve.wins for sleeve in sleeves),
        initial=cents(ledger.initial),
        equity=cents(ledger.equity),
        pnl=cents(ledger.equity - ledger.initial),
        costs=cents(totals.turnover * cost_model("us_equity@1").side_fraction + totals.fees),
        slippage=cents(totals.slippage),
        turnover=cents(totals.turnover),
        best_trade=cents(max(best)) if best else None,
        worst_trade=cents(min(worst)) if worst else None,
        positions={symbol: plain(s.qty) for symbol, s in sorted(ledger.sleeves.items()) if s.qty},
        actions=dict(sorted(totals.actions.items())),
        blocked=blocked_of(totals.blocked),
        replay_from=ledger.facts.get("replay_from"),
        model_data_end=ledger.facts.get("model_data_end"),
        journal=journal,
        exit_code=exit_code,
    )


def blocked_of(reasons: Mapping[str, int]) -> dict[str, int]:
    """Return what kept decisions from being traded, most frequent first."""
    counted = Counter({reason: count for reason, count in reasons.items() if reason not in _NOT_BLOCKED})
    return dict(counted.most_common())


def cents(amount: Decimal) -> str:
    """Return an amount in account currency with two decimals.

    Example:
        >>> cents(Decimal("1234.5678"))
        '1234.57'
    """
    return f"{amount:.2f}"


class Moved(NamedTuple):
    """What orders did: requests sent, orders that the venue took, executions."""

    sent: int
    acked: int
    fills: int

    def since(self, before: Moved) -> Moved:
        """Return what happened after ``before``."""
        return Moved(*(now - then for now, then in zip(self, before, strict=True)))


def moved(ledger: Ledger) -> Moved:
    """Return what orders did in the whole run."""
    return Moved(ledger.totals.sent, ledger.orders_at_venue, ledger.totals.fills)


class BarTeller:
    """Tells each bar as one line; keeps what it told before, because a line says what moved since.

    Args:
        ledger: The run's books.
        limit: Bars after which the run ends.
        n_symbols: Symbols that the run trades.
    """

    def __init__(self, ledger: Ledger, limit: int | None, n_symbols: int) -> None:
        self._ledger, self._limit, self._n_symbols = ledger, limit, n_symbols
        self._peak, self._told = ledger.equity, moved(ledger)

    def fields(
        self, step: StepReport, *, decide_ms: float, late_seconds: float, requests_left: int | None
    ) -> dict[str, Any]:
        """Return the line of one bar as plain data."""
        ledger = self._ledger
        told, self._told = self._told, moved(ledger)
        self._peak = max(self._peak, ledger.equity)
        drawdown = 1 - ledger.equity / self._peak if self._peak else _ZERO
        return {
            "bar": rfc3339(bar_time(step.bar_at)),
            "n": ledger.totals.bars,
            "of": self._limit,
            "symbols": len(step.decided),
            "of_symbols": self._n_symbols,
            "late_seconds": round(late_seconds, 3),
            "decide_ms": round(decide_ms, 2),
            **_counted(step),
            **self._told.since(told)._asdict(),
            "equity": cents(ledger.equity),
            "drawdown": round(float(drawdown), 5),
            "requests_left": requests_left,
        }


def _counted(step: StepReport) -> dict[str, Any]:
    directions = Counter(one.decision.direction for one in step.decided.values() if one.decision is not None)
    reasons = Counter(
        outcome.reason.value
        for outcome in step.outcomes.values()
        if outcome.reason is not None and outcome.client_order_id is None
    )
    counts = {"buy": directions[1], "sell": directions[-1], "hold": directions[0], "orders": step.n_orders}
    return {**counts, "blocked": blocked_of(reasons)}


def gate_fields(row: DeployRow) -> dict[str, Any]:
    """Return one row of the gate table as plain data."""
    return {
        "symbol": row.symbol,
        "timeframe": row.timeframe,
        "version": row.model.model_version if row.model is not None else None,
        "version_id": row.version_id,
        "class": row.gate_class,
        "tier": row.tier,
        "fitness": row.fitness_score,
        "profit_factor": row.profit_factor,
        "consistency": row.consistency,
        "max_drawdown": row.max_drawdown,
        "gate_policy": row.gate_policy,
        "sha8": row.sha8,
        "features": row.feature_hash,
        "data": row.data_kind,
        "override": f"{row.override.who} until {row.override.until:%Y-%m-%d %H:%M}Z" if row.override else None,
        "chosen": row.chosen,
        "why": row.why or None,
        "remedy": row.refusal.remedy if row.refusal is not None else None,
    }
