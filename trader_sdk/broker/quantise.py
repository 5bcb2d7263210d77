"""Rounding to what a venue takes: increments of quantity, cents of value, ticks of price.

Amounts are rounded down, so that an order never grows; a limit is rounded away from the market (a buy down, a sell
up), so that it never pays more than was decided.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from trader_sdk.broker.port import OrderRequest, Side
from trader_sdk.broker.views import AssetView

FRACTIONAL_INCREMENT: Final = Decimal("1e-9")
CENT: Final = Decimal("0.01")
TICK_UNDER_ONE_DOLLAR: Final = Decimal("0.0001")


def round_to(value: Decimal, increment: Decimal, rounding: str = ROUND_DOWN) -> Decimal:
    """Return ``value`` on the grid of ``increment``, as a plain number without an exponent.

    Example:
        >>> round_to(Decimal("1.23456"), Decimal("0.01")), round_to(Decimal("7"), Decimal("2"))
        (Decimal('1.23'), Decimal('6'))
    """
    steps = (value / increment).to_integral_value(rounding=rounding)
    return (steps * increment).quantize(increment)


def share_tick(price: Decimal) -> Decimal:
    """Return the tick of a share: a cent from one dollar up, a hundredth of a cent below.

    Source:
        US Regulation NMS, rule 612.
    """
    return CENT if price >= 1 else TICK_UNDER_ONE_DOLLAR


def round_price(price: Decimal, side: Side, tick: Decimal | None = None) -> Decimal:
    """Return ``price`` on ``tick`` (a share's own when omitted): a buy never pays more, a sell never gets less.

    Example:
        >>> round_price(Decimal("10.119"), Side.BUY), round_price(Decimal("10.111"), Side.SELL)
        (Decimal('10.11'), Decimal('10.12'))
    """
    return round_to(price, tick or share_tick(price), ROUND_DOWN if side is Side.BUY else ROUND_UP)


def round_qty(qty: Decimal, asset: AssetView | None = None) -> Decimal:
    """Return ``qty`` rounded down to the asset's increment (nine decimals when the asset is not known)."""
    return round_to(qty, asset.qty_increment if asset is not None else FRACTIONAL_INCREMENT)


def is_sendable(request: OrderRequest, asset: AssetView | None = None) -> bool:
    """Return whether every amount and price of ``request`` is still positive, and large enough, after rounding."""
    rounded = _rounded(request, asset)
    if any(value is not None and value <= 0 for value in rounded.values()):
        return False
    qty = rounded["qty"]
    return qty is None or asset is None or qty >= asset.min_qty


def quantised(request: OrderRequest, asset: AssetView | None = None) -> OrderRequest:
    """Return ``request`` on the venue's grid; doing it twice changes nothing.

    Args:
        request: The order as planned.
        asset: The venue's increments; without it shares' ticks and nine decimals.

    Raises:
        UsageError: Nothing is left after rounding (ask :func:`is_sendable` first).
    """
    done = _rounded(request, asset)
    if all(getattr(request, name) == value for name, value in done.items()):
        return request  # on the grid already, as the trader's plans are
    return replace(
        request,
        qty=done["qty"],
        notional=done["notional"],
        limit_price=done["limit_price"],
        stop_price=done["stop_price"],
    )


def _rounded(request: OrderRequest, asset: AssetView | None) -> dict[str, Decimal | None]:
    return {
        "qty": None if request.qty is None else round_qty(request.qty, asset),
        "notional": None if request.notional is None else round_to(request.notional, CENT),
        "limit_price": _on_tick(request.limit_price, request, asset),
        "stop_price": _on_tick(request.stop_price, request, asset),
    }


def _on_tick(price: Decimal | None, request: OrderRequest, asset: AssetView | None) -> Decimal | None:
    if price is None:
        return None
    tick = asset.price_increment if asset is not None else None
    if tick is None and "/" in request.symbol:
        tick = FRACTIONAL_INCREMENT  # a pair whose own increment is not known
    return round_price(price, request.side, tick)
