"""REST endpoints that only read: account, clock, calendar, assets, activities, history (prefix ``/v2``)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trader_sdk.exchange.endpoints import refused, route, whole_number
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.parse import Unreadable, parse_time
from trader_sdk.exchange.rejections import invalid, not_found
from trader_sdk.exchange.sessions import at_new_york, utc
from trader_sdk.exchange.values import Asset, Fill
from trader_sdk.exchange.wire import (
    account_json,
    activity_id,
    asset_json,
    clock_json,
    configuration_json,
    fill_activity_json,
    history_json,
    session_json,
)

_MOST_ACTIVITIES: Final = 100


def account_routes(hub: Hub) -> list[Route]:
    """Return the endpoints that describe account, assets and time."""
    return [
        route(hub, "GET", "/v2/account", get_account),
        route(hub, "GET", "/v2/account/configurations", get_configuration),
        route(hub, "GET", "/v2/account/portfolio/history", get_history),
        route(hub, "GET", "/v2/account/activities", get_activities),
        route(hub, "GET", "/v2/account/activities/{kind}", get_activities),
        route(hub, "GET", "/v2/clock", get_clock),
        route(hub, "GET", "/v2/calendar", get_calendar),
        route(hub, "GET", "/v2/assets", get_assets),
        route(hub, "GET", "/v2/assets/{symbol:path}", get_asset),
    ]


async def get_account(hub: Hub, _request: Request) -> Response:
    """Return the account."""
    return JSONResponse(account_json(hub.state))


async def get_configuration(hub: Hub, _request: Request) -> Response:
    """Return the account's settings."""
    return JSONResponse(configuration_json(hub.state))


async def get_history(hub: Hub, request: Request) -> Response:
    """Return equity over time: a point a session, or a point a bar for any timeframe below a day."""
    return JSONResponse(history_json(hub.state, is_daily=request.query_params.get("timeframe") in (None, "", "1D")))


async def get_clock(hub: Hub, _request: Request) -> Response:
    """Return venue time and the sessions around it."""
    return JSONResponse(clock_json(hub.state, hub.venue.market.sessions))


async def get_calendar(hub: Hub, request: Request) -> Response:
    """List sessions by date."""
    query = request.query_params
    start = _date(query.get("start"), default=date(1970, 1, 1))
    end = _date(query.get("end"), default=date(2100, 1, 1))
    first, last = at_new_york(start, _MIDNIGHT), at_new_york(end + timedelta(days=1), _MIDNIGHT)
    return JSONResponse([session_json(session) for session in hub.venue.market.sessions.between(first, last)])


async def get_assets(hub: Hub, request: Request) -> Response:
    """List the instruments."""
    query = request.query_params

    def is_wanted(asset: Asset) -> bool:
        status = "active" if asset.tradable else "inactive"
        return (
            query.get("status") in (None, "", "all", status)
            and query.get("asset_class") in (None, "", asset.asset_class)
            and query.get("exchange") in (None, "", asset.exchange)
        )

    return JSONResponse([asset_json(asset) for asset in hub.state.assets.values() if is_wanted(asset)])


async def get_asset(hub: Hub, request: Request) -> Response:
    """Return one instrument by symbol or id."""
    name = request.path_params["symbol"]
    for asset in hub.state.assets.values():
        if name in (asset.symbol, asset.symbol.replace("/", ""), asset.id):
            return JSONResponse(asset_json(asset))
    return refused(not_found(f"asset {name}"))


async def get_activities(hub: Hub, request: Request) -> Response:
    """List fills by time, there is no other activity; ``page_token`` is the id of the last row of the page before."""
    query = request.query_params
    kinds = request.path_params.get("kind") or query.get("activity_types") or "FILL"
    if "FILL" not in kinds.split(","):
        return JSONResponse([])
    size = whole_number(request, "page_size", _MOST_ACTIVITIES, most=_MOST_ACTIVITIES)
    fills = _fills_between(hub, request)
    if query.get("direction") != "asc":
        fills.reverse()
    token = query.get("page_token")
    if token:
        ids = [activity_id(fill) for fill in fills]
        if token not in ids:
            raise Unreadable(invalid("invalid page_token"))
        fills = fills[ids.index(token) + 1 :]
    return JSONResponse([fill_activity_json(fill) for fill in fills[:size]])


def _fills_between(hub: Hub, request: Request) -> list[Fill]:
    query = request.query_params
    after = parse_time(query["after"]) if query.get("after") else -1
    until = parse_time(query["until"]) if query.get("until") else None
    fills = [fill for fill in hub.state.fills if fill.at > after and (until is None or fill.at < until)]
    if query.get("date"):
        day = _date(query["date"], default=date.min)
        fills = [fill for fill in fills if utc(fill.at).date() == day]
    return fills


_MIDNIGHT: Final = utc(0).time()


def _date(text: str | None, *, default: date) -> date:
    if not text:
        return default
    try:
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise Unreadable(invalid(f"invalid date: {text}")) from error
