"""What limits and shadows remember: a fold over the journal beside the books, so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from trader_sdk.breakers import ModelTrack, Watermark
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.data.calendar import new_york
from trader_sdk.live.events import Draft, JournalEntry, bar_ns, parse_time, plain
from trader_sdk.live.holds import Cause
from trader_sdk.orders import Side
from trader_sdk.portfolio import Sleeve

WATERMARK: Final = "watermark"
"""Name of the ``limit_changed`` entries that keep what drawdown and day loss are measured from."""
_WHOLE_ACCOUNT: Final = "*"
_ONE: Final = Decimal(1)
ShadowKey = tuple[str, str]


@dataclass(slots=True)
class Memory:
    """What :meth:`apply` made of the entries so far; nothing else changes it.

    Attributes:
        watermark: What drawdown and day loss are measured from; None before the first bar and after a resume.
        size_factor: What orders that open are multiplied by.
        tracks: By symbol, what its model did since it came.
        shadows: By symbol and digest, the newest entry of a shadow.
        shadow_bars: When its bar began, ns UTC.
    """

    watermark: Watermark | None = None
    size_factor: Decimal = _ONE
    tracks: dict[str, ModelTrack] = field(default_factory=dict)
    shadows: dict[ShadowKey, Mapping[str, Any]] = field(default_factory=dict)
    shadow_bars: dict[ShadowKey, int] = field(default_factory=dict)
    _models: dict[str, str] = field(default_factory=dict)

    def apply(self, entry: JournalEntry, sleeves: Mapping[str, Sleeve], prices: Mapping[str, Decimal]) -> None:
        """Fold one entry in, after the books have taken it.

        Args:
            entry: The entry.
            sleeves, prices: Of the books, by symbol.
        """
        fold = _FOLDS.get(entry.event)
        if fold is not None:
            fold(self, entry, _Money(sleeves, prices))

    def start_track(self, symbol: str, equity: Decimal, day: date) -> None:
        """Judge a symbol's model from now on."""
        self.tracks[symbol] = ModelTrack(equity, day)


@dataclass(frozen=True, slots=True)
class _Money:
    sleeves: Mapping[str, Sleeve]
    prices: Mapping[str, Decimal]

    def equity(self, symbol: str) -> Decimal:
        sleeve = self.sleeves.get(symbol)
        return Decimal(0) if sleeve is None else sleeve.equity(self.prices.get(symbol, Decimal(0)))


def session_day(entry_at: Any) -> date:
    """Return the New York day of a moment."""
    day: date = entry_at.astimezone(new_york()).date()
    return day


def watermark_draft(mark: Watermark, size_factor: Decimal, cause: str, at: Any) -> Draft:
    """Return the entry that keeps a watermark."""
    body = {
        "limit": WATERMARK,
        "symbol": _WHOLE_ACCOUNT,
        "cause": cause,
        "day": mark.day.isoformat(),
        "day_equity": plain(mark.day_equity),
        "peak": plain(mark.peak),
        "invested": plain(mark.invested),
        "size_factor": plain(size_factor),
    }
    return Draft(JournalEvent.LIMIT_CHANGED, at, body)


def _limit_changed(memory: Memory, entry: JournalEntry, _: _Money) -> None:
    body = entry.body
    if body["limit"] == WATERMARK:
        money = (Decimal(body[name]) for name in ("day_equity", "peak", "invested"))
        memory.watermark = Watermark(date.fromisoformat(body["day"]), *money)
        memory.size_factor = Decimal(body["size_factor"])


def _state_changed(memory: Memory, entry: JournalEntry, money: _Money) -> None:
    lifted, symbol = entry.body.get("lifts", ()), entry.body.get("symbol")
    if Cause.DRAWDOWN.value in lifted:
        # A person resumed: losses count from here.
        memory.watermark, memory.size_factor = None, _ONE
    if symbol in memory.tracks and any(str(cause).startswith("MODEL_") for cause in lifted):
        memory.start_track(symbol, money.equity(symbol), session_day(entry.at))


def _model_loaded(memory: Memory, entry: JournalEntry, money: _Money) -> None:
    symbol, sha256 = entry.body["symbol"], entry.body["sha256"]
    if memory._models.get(symbol) != sha256:
        memory._models[symbol] = sha256
        memory.start_track(symbol, money.equity(symbol), session_day(entry.at))


def _decision_made(memory: Memory, entry: JournalEntry, _: _Money) -> None:
    track = memory.tracks.get(entry.body["symbol"])
    if track is not None and entry.body["logits"] is not None:
        memory.tracks[entry.body["symbol"]] = track.decided(entry.body["action"])


def _fill_recorded(memory: Memory, entry: JournalEntry, _: _Money) -> None:
    body = entry.body
    track = memory.tracks.get(body["symbol"])
    if track is not None:
        value = Decimal(body["qty"]) * Decimal(body["price"])
        memory.tracks[body["symbol"]] = track.traded(Side(body["side"]).sign, value, session_day(entry.at))


def _bar_closed(memory: Memory, entry: JournalEntry, money: _Money) -> None:
    symbol = entry.body["symbol"]
    track = memory.tracks.get(symbol)
    if track is not None:
        memory.tracks[symbol] = track.marked(money.equity(symbol))


def _shadow_decided(memory: Memory, entry: JournalEntry, _: _Money) -> None:
    key = entry.body["symbol"], entry.body["model_sha256"]
    memory.shadows[key] = entry.body
    memory.shadow_bars[key] = bar_ns(parse_time(entry.body["bar"]))


_FOLDS: Final[Mapping[JournalEvent, Callable[[Memory, JournalEntry, _Money], None]]] = {
    JournalEvent.LIMIT_CHANGED: _limit_changed,
    JournalEvent.STATE_CHANGED: _state_changed,
    JournalEvent.MODEL_LOADED: _model_loaded,
    JournalEvent.DECISION_MADE: _decision_made,
    JournalEvent.FILL_RECORDED: _fill_recorded,
    JournalEvent.BAR_CLOSED: _bar_closed,
    JournalEvent.SHADOW_DECIDED: _shadow_decided,
}
