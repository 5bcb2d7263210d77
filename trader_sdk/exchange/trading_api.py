"""REST endpoints about account, orders and positions (prefix ``/v2``)."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trader_sdk.exchange.endpoints import read_json, refused, route, whole_number
from trader_sdk.exchange.events import Cancel, OrderChanged, Refused, Submit
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.lifecycle import OrderEventKind
from trader_sdk.exchange.parse import (
    Unreadable,
    parse_configuration,
    parse_decimal,
    parse_order,
    parse_replace,
    parse_time,
)
from trader_sdk.exchange.rejections import invalid, no_position, not_found
from trader_sdk.exchange.values import (
    QTY_QUANTUM,
    Order,
    OrderId,
    OrderRequest,
    OrderType,
    Position,
    Side,
    TimeInForce,
)
from trader_sdk.exchange.venue import Outcome
from trader_sdk.exchange.wire import configuration_json, order_json, position_json

_MOST_ORDERS: Final = 500
_BOOKED: Final = (OrderEventKind.PENDING_NEW, OrderEventKind.ACCEPTED)


def trading_routes(hub: Hub) -> list[Route]:
    """Return the endpoints that change or list orders and positions."""
    return [
        route(hub, "POST", "/v2/orders", post_order),
        route(hub, "GET", "/v2/orders", get_orders),
        route(hub, "DELETE", "/v2/orders", delete_orders),
        route(hub, "GET", "/v2/orders:by_client_order_id", get_order_by_client_id),
        route(hub, "GET", "/v2/orders/{order_id}", get_order),
        route(hub, "PATCH", "/v2/orders/{order_id}", patch_order),
        route(hub, "DELETE", "/v2/orders/{order_id}", delete_order),
        route(hub, "GET", "/v2/positions", get_positions),
        route(hub, "DELETE", "/v2/positions", delete_positions),
        route(hub, "GET", "/v2/positions/{symbol:path}", get_position),
        route(hub, "DELETE", "/v2/positions/{symbol:path}", delete_position),
        route(hub, "PATCH", "/v2/account/configurations", patch_configuration),
    ]


async def post_order(hub: Hub, request: Request) -> Response:
    """Book an order; the reply shows it as booked, before anything traded."""
    order = parse_order(await read_json(request), default_id=_made_up_id(hub))
    return _booked(hub.apply(Submit(order)))


async def patch_order(hub: Hub, request: Request) -> Response:
    """Replace an order by a new one."""
    data = await read_json(request)
    command = parse_replace(data, request.path_params["order_id"], default_id=_made_up_id(hub))
    return _booked(hub.apply(command))


def _booked(outcome: Outcome) -> Response:
    event = _booking(outcome)
    return refused(event.rejection) if isinstance(event, Refused) else JSONResponse(order_json(event.order))


def _booking(outcome: Outcome) -> Refused | OrderChanged:
    """Return the event that booked a new order, or the refusal."""
    for event in outcome.events:
        if isinstance(event, Refused) or (isinstance(event, OrderChanged) and event.kind in _BOOKED):
            return event
    raise AssertionError("a submission is booked or refused")


async def get_orders(hub: Hub, request: Request) -> Response:
    """List orders by submission time."""
    query = request.query_params
    status = query.get("status") or "open"
    if status not in ("open", "closed", "all"):
        raise Unreadable(invalid(f"invalid status: {status}"))
    symbols = {symbol for symbol in (query.get("symbols") or "").split(",") if symbol}
    after = parse_time(query["after"]) if query.get("after") else -1
    until = parse_time(query["until"]) if query.get("until") else None
    limit = whole_number(request, "limit", 50, most=_MOST_ORDERS)

    def is_wanted(order: Order) -> bool:
        return (
            (status == "all" or order.is_open == (status == "open"))
            and (not symbols or order.symbol in symbols or order.symbol.replace("/", "") in symbols)
            and query.get("side") in (None, "", order.request.side)
            and order.created_at > after
            and (until is None or order.created_at < until)
        )

    orders = [order for order in hub.state.orders.values() if is_wanted(order)]
    if query.get("direction") != "asc":
        orders.reverse()
    return JSONResponse([order_json(order) for order in orders[:limit]])


async def get_order(hub: Hub, request: Request) -> Response:
    """Return one order by the venue's id."""
    order = hub.state.orders.get(OrderId(request.path_params["order_id"]))
    return refused(not_found("order")) if order is None else JSONResponse(order_json(order))


async def get_order_by_client_id(hub: Hub, request: Request) -> Response:
    """Return one order by the client's id."""
    order_id = hub.state.client_ids.get(request.query_params.get("client_order_id", ""))
    return refused(not_found("order")) if order_id is None else JSONResponse(order_json(hub.state.orders[order_id]))


async def delete_order(hub: Hub, request: Request) -> Response:
    """Cancel one order."""
    outcome = hub.apply(Cancel(OrderId(request.path_params["order_id"])))
    first = outcome.events[0]
    return refused(first.rejection) if isinstance(first, Refused) else Response(status_code=204)


async def delete_orders(hub: Hub, _request: Request) -> Response:
    """Cancel every open order."""
    return JSONResponse(_cancel_all(hub), 207)


def _cancel_all(hub: Hub) -> list[dict[str, Any]]:
    replies = []
    for order in hub.state.working():
        hub.apply(Cancel(order.id))
        replies.append({"id": order.id, "status": 200, "body": order_json(hub.state.orders[order.id])})
    return replies


async def get_positions(hub: Hub, _request: Request) -> Response:
    """List what is held."""
    return JSONResponse([position_json(hub.state, position) for position in hub.state.positions.values()])


async def get_position(hub: Hub, request: Request) -> Response:
    """Return one holding by symbol or asset id."""
    position = _position(hub, request.path_params["symbol"])
    return refused(no_position()) if position is None else JSONResponse(position_json(hub.state, position))


async def delete_position(hub: Hub, request: Request) -> Response:
    """Close a holding, or part of it, with a market order."""
    position = _position(hub, request.path_params["symbol"])
    if position is None:
        return refused(no_position())
    return _booked(hub.apply(_closing(hub, position, _part(request, position))))


async def delete_positions(hub: Hub, request: Request) -> Response:
    """Close every holding; with ``cancel_orders`` what holds them is cancelled first."""
    if request.query_params.get("cancel_orders", "").lower() == "true":
        _cancel_all(hub)
    replies = []
    for position in list(hub.state.positions.values()):
        event = _booking(hub.apply(_closing(hub, position, abs(position.qty))))
        symbol = position.asset.symbol.replace("/", "")
        if isinstance(event, Refused):
            replies.append({"symbol": symbol, "status": event.rejection.http_status, "body": event.rejection.body()})
        else:
            replies.append({"symbol": symbol, "status": 200, "body": order_json(event.order)})
    return JSONResponse(replies, 207)


async def patch_configuration(hub: Hub, request: Request) -> Response:
    """Change the account's settings."""
    hub.apply(parse_configuration(await read_json(request)))
    return JSONResponse(configuration_json(hub.state))


def _position(hub: Hub, name: str) -> Position | None:
    for position in hub.state.positions.values():
        if name in (position.asset.symbol, position.asset.symbol.replace("/", ""), position.asset.id):
            return position
    return None


def _part(request: Request, position: Position) -> Decimal:
    held = abs(position.qty)
    qty, percentage = (parse_decimal(request.query_params, name) for name in ("qty", "percentage"))
    if qty is not None:
        return qty
    if percentage is None:
        return held
    return (held * percentage / 100).quantize(QTY_QUANTUM if position.asset.fractionable else Decimal(1), ROUND_DOWN)


def _closing(hub: Hub, position: Position, qty: Decimal) -> Submit:
    return Submit(
        OrderRequest(
            symbol=position.asset.symbol,
            side=Side.SELL if position.qty > 0 else Side.BUY,
            type=OrderType.MARKET,
            time_in_force=TimeInForce.GTC if position.asset.is_crypto else TimeInForce.DAY,
            client_order_id=_made_up_id(hub),
            qty=qty,
        )
    )


def _made_up_id(hub: Hub) -> str:
    """Return a client order id for an order that came without one; the same in a rebuilt venue."""
    return hub.state.terms.identity("client-order", hub.venue.n_records + 1)
