"""Why a symbol was not traded on a bar: a closed enumeration with a remedy each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """One reason for not trading; shown per symbol per bar and by ``trader why``."""

    WARMING_UP = "WARMING_UP"
    STALE_BAR = "STALE_BAR"
    WINDOW_GAP = "WINDOW_GAP"
    MARKET_CLOSED = "MARKET_CLOSED"
    HOLD = "HOLD"
    NO_CHANGE = "NO_CHANGE"
    SYMBOL_CAP = "SYMBOL_CAP"
    ACCOUNT_LIMIT = "ACCOUNT_LIMIT"
    BUYING_POWER = "BUYING_POWER"
    SHORT_NOT_ALLOWED = "SHORT_NOT_ALLOWED"
    NOT_TRADABLE = "NOT_TRADABLE"
    RATE_BUDGET = "RATE_BUDGET"
    IN_FLIGHT = "IN_FLIGHT"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    MODEL_FAILED = "MODEL_FAILED"
    MODEL_QUARANTINED = "MODEL_QUARANTINED"
    EXITS_ONLY = "EXITS_ONLY"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    MODEL_REFUSED = "MODEL_REFUSED"
    BAD_BAR = "BAD_BAR"
    PRICE_COLLAR = "PRICE_COLLAR"
    PRICE_BAND = "PRICE_BAND"
    WASH_TRADE = "WASH_TRADE"
    TURNOVER = "TURNOVER"
    HOOK_DENIED = "HOOK_DENIED"


REASON_REMEDIES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.WARMING_UP: "Wait until required_history bars have been seen, or fetch more history.",
        Reason.STALE_BAR: "The bar is older than its freshness bound; check the feed and the clock.",
        Reason.WINDOW_GAP: "Bars are missing inside the window; backfill them or wait until the gap has left it.",
        Reason.MARKET_CLOSED: "Wait for the next session.",
        Reason.HOLD: "The model decided to hold.",
        Reason.NO_CHANGE: "The action asks for the position that is already held.",
        Reason.SYMBOL_CAP: "The position is at 20 % of the sleeve's equity; it shrinks only by a SELL.",
        Reason.ACCOUNT_LIMIT: "An account-wide limit binds; reduce other positions or raise the limit.",
        Reason.BUYING_POWER: "Not enough buying power; free cash or reduce weights.",
        Reason.SHORT_NOT_ALLOWED: "Shorts are off or the asset cannot be borrowed; set allow_short if it is wanted.",
        Reason.NOT_TRADABLE: "The venue does not trade this asset now.",
        Reason.RATE_BUDGET: "The request budget is spent; fewer symbols or a longer timeframe need fewer requests.",
        Reason.IN_FLIGHT: "An order for this symbol is still working.",
        Reason.UNKNOWN_ORDER: "The outcome of an order is not known yet; reconciliation resolves it.",
        Reason.MODEL_FAILED: "The model gave no usable answer in time; three in a row and it is quarantined.",
        Reason.MODEL_QUARANTINED: "The model failed repeatedly; look at its errors, then enable it again.",
        Reason.EXITS_ONLY: "This symbol may only reduce; see `trader status` for why.",
        Reason.REDUCING: "The account may only reduce; see `trader status` for why.",
        Reason.HALTED: "Trading is halted; `trader status` says why. Remove the cause and start the trader again.",
        Reason.BELOW_MINIMUM: "The order is below the venue's minimum after rounding; more equity or larger size.",
        Reason.MODEL_REFUSED: "The model was refused when it was loaded; see the gate table.",
        Reason.BAD_BAR: "The bar is implausible and was quarantined; check the feed.",
        Reason.PRICE_COLLAR: "The price moved beyond the collar since the decision.",
        Reason.PRICE_BAND: "The price stands at its limit-up or limit-down band; wait until it trades within.",
        Reason.WASH_TRADE: "An opposite order is open; it must end first.",
        Reason.TURNOVER: "The turnover limit of the day is reached.",
        Reason.HOOK_DENIED: "The pre_trade hook denied the order.",
    }
)
