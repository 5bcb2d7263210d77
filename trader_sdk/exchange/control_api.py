"""The venue's own surface, which Alpaca does not have: time, pace and the fault seam (``/_control``, ``/_fault``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trader_sdk.contract.errors import ConfigError
from trader_sdk.exchange.endpoints import read_json, route
from trader_sdk.exchange.fault_plan import parse_plan
from trader_sdk.exchange.gatekeeper import is_count
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.parse import Unreadable, parse_time
from trader_sdk.exchange.planned_faults import PlannedFaults
from trader_sdk.exchange.rejections import invalid
from trader_sdk.exchange.venue import Outcome
from trader_sdk.exchange.wire import account_number, timestamp

_MOST_WAIT_SECONDS: Final = 30.0
Json = dict[str, Any]


def control_routes(hub: Hub, stop: Callable[[], None]) -> list[Route]:
    """Return the control endpoints; ``stop`` ends the process in good order."""

    async def post_stop(hub: Hub, _request: Request) -> Response:
        stop()
        return JSONResponse(control_state(hub))

    return [
        route(hub, "GET", "/_control/health", get_health),
        route(hub, "GET", "/_control/state", get_state),
        route(hub, "POST", "/_control/ready", post_ready),
        route(hub, "POST", "/_control/run", post_run),
        route(hub, "POST", "/_control/stop", post_stop),
        route(hub, "GET", "/_fault", get_fault),
        route(hub, "POST", "/_fault", post_fault),
    ]


async def get_health(_hub: Hub, _request: Request) -> Response:
    """Say that the process serves; needs no keys and tells nothing else."""
    return JSONResponse({"ok": True})


async def get_state(hub: Hub, request: Request) -> Response:
    """Return venue time and pace; with ``after`` wait until the venue has passed that instant."""
    query = request.query_params
    after = query.get("after")
    if after is not None:
        if not is_count(after):
            raise Unreadable(invalid(f"invalid after: {after}"))
        await _wait_past(hub, int(after))
    state = control_state(hub)
    if query.get("digest") == "1":
        state["state_sha256"] = hub.state.digest()
    return JSONResponse(state)


async def post_ready(hub: Hub, request: Request) -> Response:
    """Move venue time on, as far as the caller says it is done."""
    body = await read_json(request)
    wake_at = _moment(body, "wake_at")
    outcome = _advance(hub, body, wake_at)
    if outcome is not None:
        await announce(hub)
    reply = control_state(hub)
    reply["advanced"] = outcome is not None
    reply["order_events"] = 0 if outcome is None else outcome.n_order_events
    reply["bars"] = 0 if outcome is None else outcome.n_closed
    return JSONResponse(reply)


def _advance(hub: Hub, body: Json, wake_at: int | None) -> Outcome | None:
    """Return what moving on did, or None where the caller is not as far as the venue or the clock sets the pace."""
    venue = hub.venue
    expected, bar = _moment(body, "instant"), _moment(body, "t")
    if venue.is_finished or (expected is not None and expected != venue.instant):
        return None
    if bar is not None and bar < last_released(hub):
        return None
    upcoming = venue.next_instant_at()
    assert upcoming is not None
    is_nap = wake_at is not None and wake_at < upcoming
    if is_nap:
        assert wake_at is not None
        return hub.advance(wake_at) if wake_at > hub.state.now else None
    if hub.speed_seconds is not None:
        return None
    if body.get("until") not in (None, "instant", "bar"):
        raise Unreadable(invalid("until is instant or bar"))
    outcome = hub.advance(wake_at)
    if body.get("until") == "bar":
        outcome = _advance_to_bar(hub, outcome, wake_at)
    return outcome


def _advance_to_bar(hub: Hub, outcome: Outcome, wake_at: int | None) -> Outcome:
    while not outcome.n_closed and not hub.venue.is_finished:
        upcoming = hub.venue.next_instant_at()
        if wake_at is not None and upcoming is not None and upcoming > wake_at:
            break
        more = hub.advance()
        outcome = Outcome(
            outcome.events + more.events, outcome.released + more.released, outcome.n_closed + more.n_closed
        )
    return outcome


async def post_run(hub: Hub, request: Request) -> Response:
    """Set the pace: ``{"speed_seconds": 0.5}`` for a bar every half second, null for waiting on the trader."""
    value = (await read_json(request)).get("speed_seconds")
    if value is not None and (isinstance(value, bool | str) or value <= 0):
        raise Unreadable(invalid("speed_seconds is a positive number or null"))
    hub.speed_seconds = None if value is None else float(value)
    await announce(hub)
    return JSONResponse(control_state(hub))


async def get_fault(hub: Hub, _request: Request) -> Response:
    """Return the fault plan in force, and what it did so far."""
    return JSONResponse({**hub.faults.describe(), "throttled": hub.n_throttled})


async def post_fault(hub: Hub, request: Request) -> Response:
    """Put another fault plan in force; it counts from here on."""
    # read_json gives exact decimals, which pydantic takes wherever a plan has a number.
    try:
        plan = parse_plan(await read_json(request), where="POST /_fault")
    except ConfigError as error:
        raise Unreadable(invalid(str(error))) from error
    hub.use_faults(PlannedFaults(plan))
    return JSONResponse({**hub.faults.describe(), "throttled": hub.n_throttled})


async def announce(hub: Hub) -> None:
    """Wake whoever waits for the venue to move."""
    async with hub.moved:
        hub.moved.notify_all()


def control_state(hub: Hub) -> Json:
    """Return where the venue stands."""
    venue, state = hub.venue, hub.state
    upcoming = venue.next_instant_at()
    phase = venue.next_phase()
    return {
        "run_id": venue.setup.run_id,
        "account_number": account_number(state),
        "at": timestamp(state.now),
        "at_ns": state.now,
        "phase": venue.phase.value,
        "is_open": state.is_session_open,
        "instant": venue.instant,
        "instants": venue.n_instants,
        "next": None
        if upcoming is None or phase is None
        else {"at": timestamp(upcoming), "at_ns": upcoming, "phase": phase.value},
        "timeframe": venue.market.timeframe.value,
        "start_ns": venue.setup.start_ns,
        "released": _released_by_symbol(hub),
        "bars_released": venue.n_released,
        "order_events_total": venue.n_order_events,
        "finished": venue.is_finished,
        "speed_seconds": hub.speed_seconds,
    }


def last_released(hub: Hub) -> int:
    """Return the start of the newest bar that anybody may see; -1 when there is none."""
    return max(_released_by_symbol(hub).values(), default=-1)


def _released_by_symbol(hub: Hub) -> dict[str, int]:
    released = {}
    for symbol, track in hub.venue.market.tracks.items():
        count = track.visible(hub.state.now)
        if count:
            released[symbol] = int(track.bars.t[count - 1])
    return released


async def _wait_past(hub: Hub, instant: int) -> None:
    def has_moved() -> bool:
        return hub.venue.instant > instant or hub.venue.is_finished

    async with hub.moved:
        try:
            await asyncio.wait_for(hub.moved.wait_for(has_moved), _MOST_WAIT_SECONDS)
        except TimeoutError:
            return


def _moment(body: Mapping[str, Any], name: str) -> int | None:
    """Return a field as an integer: a number of nanoseconds or instants, or an RFC 3339 time."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, bool) or value != int(value):
        raise Unreadable(invalid(f"{name} is a whole number or a time"))
    return int(value)
