"""An order of the port becomes alpaca-py's own request, exact to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
)
from alpaca.trading.requests import OrderRequest as AlpacaOrderRequest

from trader_sdk.broker.port import OrderRequest, OrderType
from trader_sdk.contract.errors import UsageError

_REQUEST_CLASSES: Final[Mapping[OrderType, type[AlpacaOrderRequest]]] = {
    OrderType.MARKET: MarketOrderRequest,
    OrderType.LIMIT: LimitOrderRequest,
    OrderType.STOP: StopOrderRequest,
    OrderType.STOP_LIMIT: StopLimitOrderRequest,
}


class ReadyOrder:
    """An order as alpaca-py's client takes it, with the fields that it asks for made already.

    Args:
        request: On the venue's grid.

    Raises:
        UsageError: As :func:`order_fields`.
    """

    def __init__(self, request: OrderRequest) -> None:
        self._fields: dict[str, Any] = order_fields(request).to_request_fields()

    def to_request_fields(self) -> dict[str, Any]:
        """Return the fields that are sent."""
        return self._fields


def order_fields(request: OrderRequest) -> AlpacaOrderRequest:
    """Return alpaca-py's request for an order that is already on the venue's grid.

    Raises:
        UsageError: An amount does not survive the float that alpaca-py sends, or alpaca-py refuses the combination.
    """
    amounts: dict[str, Any] = {
        name: _exact_float(name, value)
        for name in ("qty", "notional", "limit_price", "stop_price")
        if (value := getattr(request, name)) is not None
    }
    try:
        return _REQUEST_CLASSES[request.type](
            symbol=request.symbol,
            side=OrderSide(request.side.value),
            time_in_force=TimeInForce(request.time_in_force.value),
            client_order_id=request.client_order_id,
            extended_hours=request.extended_hours or None,
            **amounts,
        )
    except ValueError as error:
        raise UsageError("USAGE", "alpaca-py refuses the order", where=request.client_order_id, found=error) from error


def _exact_float(name: str, value: Decimal) -> float:
    number = float(value)
    if Decimal(repr(number)) != value:
        raise UsageError("USAGE", "the amount has more digits than can be sent exactly", where=name, found=value)
    return number
