"""What a run did, as plain data: equity by bar, fills on price, what was blocked, costs and slippage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.reasons import REASON_REMEDIES, Reason
from trader_sdk.live.events import JournalEntry, bar_ns, parse_time, rfc3339
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.report import Summary, blocked_of, summarise
from trader_sdk.orders import Side

_ZERO = Decimal(0)
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Fill:
    """One booked part of an order; ``slippage_bps`` is positive where the price was worse than the decision's."""

    at: str
    bar: int
    side: str
    qty: float
    price: float
    slippage_bps: float


@dataclass(slots=True)
class SymbolTrack:
    """A symbol's closes, fills and costs; ``bar`` of a fill is an index into ``closes``."""

    symbol: str
    closes: list[float] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    turnover: Decimal = _ZERO
    fees: Decimal = _ZERO
    slippage: Decimal = _ZERO
    pnl: Decimal = _ZERO

    @property
    def slippage_bps(self) -> float | None:
        """Return slippage as basis points of the traded value, None before the first fill."""
        return float(self.slippage / self.turnover * _BPS) if self.turnover else None


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that the page, the pictures and ``report.json`` show.

    Attributes:
        summary: How the run stands or ended.
        at: Venue time of each bar.
        equity: After each bar, account currency.
        tracks: By symbol, the most traded first.
        blocked: Reason, count and remedy, most frequent first.
        ends: How orders ended, by status.
        models: What traded.
        is_finished: Whether the run said how it ended.
    """

    run_id: str
    account: str
    timeframe: str
    data_kind: str | None
    summary: Summary
    at: Sequence[str]
    equity: Sequence[float]
    tracks: Sequence[SymbolTrack]
    blocked: Sequence[tuple[str, int, str]]
    ends: Mapping[str, int]
    models: Sequence[Mapping[str, Any]]
    is_finished: bool

    @property
    def max_drawdown(self) -> float:
        """Return the deepest fall below an earlier peak, as a positive fraction."""
        peak = worst = 0.0
        for value in self.equity:
            peak = max(peak, value)
            worst = max(worst, 1 - value / peak) if peak > 0 else worst
        return worst

    @property
    def turnover(self) -> Decimal:
        """Return the value of everything that was traded."""
        return sum((track.turnover for track in self.tracks), _ZERO)

    @property
    def slippage_bps(self) -> float | None:
        """Return slippage against decision prices in basis points of the traded value."""
        slipped = sum((track.slippage for track in self.tracks), _ZERO)
        return float(slipped / self.turnover * _BPS) if self.turnover else None

    def fields(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        tracks = [
            {
                **asdict(track),
                "turnover": f"{track.turnover:.2f}",
                "fees": f"{track.fees:.2f}",
                "slippage": f"{track.slippage:.2f}",
                "pnl": f"{track.pnl:.2f}",
                "slippage_bps": track.slippage_bps,
            }
            for track in self.tracks
        ]
        return {
            "schema": 1,
            "run_id": self.run_id,
            "account": self.account,
            "timeframe": self.timeframe,
            "data_kind": self.data_kind,
            "finished": self.is_finished,
            "summary": self.summary.fields(),
            "max_drawdown": self.max_drawdown,
            "slippage_bps": self.slippage_bps,
            "at": list(self.at),
            "equity": list(self.equity),
            "symbols": tracks,
            "blocked": [{"reason": reason, "count": n, "remedy": remedy} for reason, n, remedy in self.blocked],
            "order_ends": dict(self.ends),
            "models": [dict(model) for model in self.models],
        }


class _Reading:
    """Folds entries into books and notes what a report shows beside them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.at: list[str] = []
        self.equity: list[float] = []
        self.tracks: dict[str, SymbolTrack] = {}
        self._bar = 0

    def take(self, entry: JournalEntry) -> None:
        """Apply one entry; a point of the curve is set when all symbols' bars of that time have been applied."""
        if self.ledger.newest_bar > self._bar and not self._is_of_the_bar(entry):
            self._point()
        self.ledger.apply(entry)
        if entry.event is JournalEvent.BAR_CLOSED:
            self._track(entry.body["symbol"]).closes.append(float(entry.body["close"]))
            self._when = rfc3339(entry.at)
        elif entry.event is JournalEvent.FILL_RECORDED:
            self._fill(entry)

    def _is_of_the_bar(self, entry: JournalEntry) -> bool:
        if entry.event is JournalEvent.BAR_CLOSED:
            return bar_ns(parse_time(entry.body["bar"])) <= self.ledger.newest_bar
        return entry.event is JournalEvent.DECISION_MADE

    def end(self) -> None:
        """Set the last point of the curve, after the last fills."""
        if self.ledger.newest_bar:
            if self.ledger.newest_bar > self._bar:
                self._point()
            self.equity[-1] = float(self.ledger.equity)

    def _point(self) -> None:
        self._bar = self.ledger.newest_bar
        self.at.append(self._when)
        self.equity.append(float(self.ledger.equity))

    def _track(self, symbol: str) -> SymbolTrack:
        return self.tracks.setdefault(symbol, SymbolTrack(symbol))

    def _fill(self, entry: JournalEntry) -> None:
        body, track = entry.body, self._track(entry.body["symbol"])
        qty, price, decided = (Decimal(body[name]) for name in ("qty", "price", "decision_price"))
        worse = Side(body["side"]).sign * (price - decided)
        bps = float(worse / decided * _BPS) if decided else 0.0
        bar = max(len(track.closes) - 1, 0)
        track.fills.append(Fill(rfc3339(entry.at), bar, body["side"], float(qty), float(price), bps))
        track.turnover += qty * price
        track.fees += Decimal(body["fee"])
        track.slippage += qty * worse


def report_of(entries: Iterable[JournalEntry], journal: str) -> RunReport:
    """Return the report of a journal.

    Args:
        entries: The whole journal, in order.
        journal: Where it lies, for the summary.
    """
    reading = _Reading()
    for entry in entries:
        reading.take(entry)
    reading.end()
    ledger = reading.ledger
    for symbol, sleeve in ledger.sleeves.items():
        if symbol in reading.tracks:
            reading.tracks[symbol].pnl = sleeve.equity(ledger.prices.get(symbol, _ZERO)) - sleeve.initial
    return RunReport(
        run_id=ledger.run_id,
        account=f"...{ledger.facts.get('account_suffix', '')}",
        timeframe=str(ledger.facts.get("timeframe", "")),
        data_kind=ledger.facts.get("data_kind"),
        summary=summarise(ledger, journal, ledger.exit_code or 0),
        at=reading.at,
        equity=reading.equity,
        tracks=sorted(reading.tracks.values(), key=lambda track: (-track.turnover, track.symbol)),
        blocked=[(name, n, REASON_REMEDIES[Reason(name)]) for name, n in blocked_of(ledger.totals.blocked).items()],
        ends=_ends(ledger),
        models=[ledger.models[symbol] for symbol in sorted(ledger.models)],
        is_finished=ledger.is_finished,
    )


def _ends(ledger: Ledger) -> dict[str, int]:
    counted = Counter(record.state.status.value for record in ledger.orders.values())
    return dict(counted.most_common())


def modelled_cost(turnover: Decimal) -> Decimal:
    """Return what the cost model says of a traded value."""
    return turnover * cost_model("us_equity@1").side_fraction


def slippage_by_size(tracks: Iterable[SymbolTrack], edges: Sequence[float]) -> list[tuple[str, int]]:
    """Return how many fills slipped how far: a label and a count for each range between ``edges``, in bps."""
    counts: defaultdict[int, int] = defaultdict(int)
    for track in tracks:
        for fill in track.fills:
            counts[sum(fill.slippage_bps >= edge for edge in edges)] += 1
    labels = [f"below {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges))]
    return [(label, counts[i]) for i, label in enumerate([*labels, f"from {edges[-1]:g}"])]
