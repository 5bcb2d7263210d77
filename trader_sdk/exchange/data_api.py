"""REST endpoints of market data: bars with paging, latest values, snapshots."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trader_sdk.exchange.bars_query import (
    MAX_PAGE,
    BarsQuery,
    Columns,
    Seen,
    page,
    timeframe_seconds,
    visible_columns,
)
from trader_sdk.exchange.endpoints import refused, route, whole_number
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.parse import Unreadable, parse_time
from trader_sdk.exchange.rejections import invalid, unprocessable
from trader_sdk.exchange.sessions import at_new_york, new_york
from trader_sdk.exchange.stream_messages import quote_values
from trader_sdk.exchange.wire import timestamp

_DAY_SECONDS: Final = 86_400
Json = dict[str, Any]


def data_routes(hub: Hub) -> list[Route]:
    """Return the endpoints of stocks and crypto."""
    routes = []
    for prefix, latest in (("/v2/stocks", "{kind}/latest"), ("/v1beta3/crypto/us", "latest/{kind}")):
        routes += [
            route(hub, "GET", f"{prefix}/bars", get_bars),
            route(hub, "GET", f"{prefix}/quotes", not_replayed),
            route(hub, "GET", f"{prefix}/trades", not_replayed),
            route(hub, "GET", f"{prefix}/snapshots", get_snapshots),
            route(hub, "GET", f"{prefix}/{latest}", get_latest),
        ]
    return routes


async def get_bars(hub: Hub, request: Request) -> Response:
    """Return a page of closed bars; nothing later than venue time is ever shown."""
    query, now = request.query_params, hub.state.now
    today = at_new_york(new_york(now).date(), new_york(now).time().min)
    wanted = BarsQuery(
        symbols=_symbols(request),
        timeframe=query.get("timeframe") or "1Min",
        start=parse_time(query["start"]) if query.get("start") else today,
        end=parse_time(query["end"]) if query.get("end") else now,
        limit=whole_number(request, "limit", 1_000, most=MAX_PAGE),
        descending=query.get("sort") == "desc",
        adjustment=query.get("adjustment") or "raw",
        page_token=query.get("page_token") or None,
    )
    return JSONResponse(page(hub.venue.market, wanted, Seen.by(hub.state)))


async def not_replayed(_hub: Hub, request: Request) -> Response:
    """Refuse: a replay of bars has no history of single quotes and trades."""
    kind = request.url.path.rsplit("/", 1)[-1]
    return refused(unprocessable(f"the embedded exchange replays bars and has no historical {kind}"))


async def get_latest(hub: Hub, request: Request) -> Response:
    """Return the newest bar, quote, trade or book of each symbol."""
    kind = request.path_params["kind"]
    makers = {"bars": _latest_bar, "quotes": _quote, "trades": _trade, "orderbooks": _orderbook}
    if kind not in makers:
        raise Unreadable(invalid(f"there is no latest/{kind}"))
    found = {symbol: makers[kind](hub, symbol) for symbol in _symbols(request) if symbol in hub.state.marks}
    return JSONResponse({kind: {symbol: value for symbol, value in found.items() if value is not None}})


async def get_snapshots(hub: Hub, request: Request) -> Response:
    """Return everything newest of each symbol; stocks by symbol, crypto under ``snapshots``."""
    found = {symbol: _snapshot(hub, symbol) for symbol in _symbols(request) if symbol in hub.state.marks}
    return JSONResponse({"snapshots": found} if "/crypto/" in request.url.path else found)


def _symbols(request: Request) -> list[str]:
    symbols = [symbol.strip() for symbol in request.query_params.get("symbols", "").split(",") if symbol.strip()]
    if not symbols:
        raise Unreadable(invalid("symbols is required"))
    return symbols


def _latest_bar(hub: Hub, symbol: str) -> Json | None:
    return _last(visible_columns(hub.venue.market, symbol, hub.venue.market.timeframe.seconds, Seen.by(hub.state)))


def _last(columns: Columns, back: int = 1) -> Json | None:
    return columns.row(len(columns) - back) if len(columns) >= back else None


def _quote(hub: Hub, symbol: str) -> Json:
    quote = quote_values(hub.state, symbol)
    return {**quote, "t": timestamp(hub.state.marks[symbol].at)}


def _trade(hub: Hub, symbol: str) -> Json:
    mark = hub.state.marks[symbol]
    values = {"x": "V", "p": float(mark.price), "s": 1.0, "c": ["@"], "i": 0, "z": "C"}
    return {**values, "t": timestamp(mark.at)}


def _orderbook(hub: Hub, symbol: str) -> Json:
    quote = _quote(hub, symbol)
    return {
        "t": quote["t"],
        "b": [{"p": quote["bp"], "s": quote["bs"]}],
        "a": [{"p": quote["ap"], "s": quote["as"]}],
    }


def _snapshot(hub: Hub, symbol: str) -> Json:
    market = hub.venue.market
    days = visible_columns(market, symbol, timeframe_seconds("1Day"), Seen.by(hub.state))
    is_intraday = market.timeframe.is_intraday
    return {
        "latestTrade": _trade(hub, symbol),
        "latestQuote": _quote(hub, symbol),
        "minuteBar": _latest_bar(hub, symbol) if is_intraday else None,
        "dailyBar": _last(days),
        "prevDailyBar": _last(days, back=2),
    }
