"""The broker port over alpaca-py: Alpaca's paper and live houses, and the local exchange that speaks as they do."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import structlog
from alpaca.common.enums import Sort
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import QueryOrderStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest, GetOrdersRequest

from trader_sdk.broker.alpaca_data import AlpacaBars
from trader_sdk.broker.alpaca_http import AlpacaHttp, ReadRetry, Reply
from trader_sdk.broker.alpaca_orders import ReadyOrder
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Timeouts
from trader_sdk.broker.parsing import (
    parse_account,
    parse_asset,
    parse_clock,
    parse_fill,
    parse_order,
    parse_position,
    parse_session,
)
from trader_sdk.broker.port import (
    Accepted,
    AccountView,
    AssetView,
    CancelOutcome,
    CancelRequested,
    ClockView,
    EventSink,
    FillView,
    OrderRequest,
    OrderStatus,
    OrderView,
    PositionView,
    Priority,
    RefusalKind,
    Refused,
    SessionView,
    StreamHandle,
    Submission,
    Unknown,
    UnknownCause,
)
from trader_sdk.broker.quantise import quantised
from trader_sdk.broker.replies import Failure
from trader_sdk.broker.request_budget import RequestBudget
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import BrokerError, UsageError
from trader_sdk.contract.timeframe import Timeframe

ORDERS_PER_PAGE: Final = 500
FILLS_PER_PAGE: Final = 100
ASSETS_ONE_BY_ONE: Final = 20
_ABSENT: Final = frozenset({RefusalKind.NOT_FOUND, RefusalKind.NOT_TRADABLE})

_log = structlog.get_logger(__name__)


class AlpacaBroker:
    """Implement :class:`~trader_sdk.broker.port.BrokerPort` over alpaca-py.

    Args:
        endpoint: Paper, live or local.
        credentials: The account's keys.
        timeouts: Bounds of each HTTP request.
        retry: How often reads are repeated; orders and cancels never are.
        budget: Request budget; one of the endpoint's size when omitted.
        wall: Unix seconds, for the venue's rate limit headers.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        timeouts: Timeouts | None = None,
        retry: ReadRetry | None = None,
        budget: RequestBudget | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint, self._credentials = endpoint, credentials
        self._timeouts, self._retry = timeouts, retry
        self._budget = budget or RequestBudget(endpoint.requests_per_minute)
        self._http = AlpacaHttp(
            endpoint,
            credentials,
            timeouts=timeouts or Timeouts(),
            retry=retry or ReadRetry(),
            budget=self._budget,
            wall=wall,
        )
        self._bars = AlpacaBars(endpoint, self._http)
        self._assets: dict[str, AssetView] = {}
        self._announced: dict[str, tuple[OrderRequest, ReadyOrder]] = {}
        self._strange_words: set[str] = set()

    def __repr__(self) -> str:
        return f"AlpacaBroker({self.name}, {self._endpoint.rest_url})"

    @property
    def name(self) -> str:
        """Return ``alpaca-paper``, ``alpaca-live`` or ``local``."""
        return self._endpoint.venue.value

    def twin(self) -> AlpacaBroker:
        """Return a second port to the same account, with connections and a request budget of its own."""
        return type(self)(self._endpoint, self._credentials, timeouts=self._timeouts, retry=self._retry)

    @property
    def requests_left(self) -> int | None:
        """Return how many requests may go at once now, None where the venue sets no limit."""
        return None if self._endpoint.requests_per_minute is None else int(self._budget.tokens)

    def clock(self) -> ClockView:
        """Return the venue's time and session state."""
        raw = self._read(TradingClient.get_clock, Priority.RECONCILE, "GET /clock")
        return replace(parse_clock(_mapping(raw, "clock")), date_header=self._http.date_header)

    def calendar(self, start: dt.date, end: dt.date) -> tuple[SessionView, ...]:
        """Return the sessions from ``start`` to ``end``, both inclusive."""
        asked = GetCalendarRequest(start=start, end=end)
        rows = self._read(lambda client: client.get_calendar(asked), Priority.RECONCILE, "GET /calendar")
        return tuple(parse_session(row) for row in _rows(rows, "calendar"))

    def account(self) -> AccountView:
        """Return the account."""
        return parse_account(
            _mapping(self._read(TradingClient.get_account, Priority.RECONCILE, "GET /account"), "account")
        )

    def assets(self, symbols: Sequence[str]) -> Mapping[str, AssetView]:
        """Return what the venue knows of ``symbols``; an unknown symbol is absent."""
        if len(symbols) <= ASSETS_ONE_BY_ONE:
            views = [view for view in map(self._asset, symbols) if view is not None]
        else:
            rows = self._read(
                lambda client: client.get_all_assets(GetAssetsRequest()), Priority.RECONCILE, "GET /assets"
            )
            views = [parse_asset(row) for row in _rows(rows, "assets")]
        wanted = set(symbols)
        found = {view.symbol: view for view in views if view.symbol in wanted}
        self._assets.update(found)
        return found

    def positions(self) -> tuple[PositionView, ...]:
        """Return all open positions."""
        rows = self._read(TradingClient.get_all_positions, Priority.RECONCILE, "GET /positions")
        return tuple(parse_position(row) for row in _rows(rows, "positions"))

    def open_orders(self) -> tuple[OrderView, ...]:
        """Return every order that may still fill, oldest first."""
        return self._orders(QueryOrderStatus.OPEN, None)

    def orders_since(self, after: dt.datetime) -> tuple[OrderView, ...]:
        """Return every order submitted after ``after`` in any state, oldest first."""
        return self._orders(QueryOrderStatus.ALL, after)

    def order_by_client_id(self, client_order_id: str) -> OrderView | None:
        """Return the order with our id, None if the venue says that there is none."""
        return self._order(
            lambda client: client.get_order_by_client_id(client_order_id), f"GET order {client_order_id}"
        )

    def order_by_id(self, broker_order_id: str) -> OrderView | None:
        """Return the order with the venue's id, None if the venue says that there is none."""
        return self._order(lambda client: client.get("/orders/" + quote(broker_order_id, safe="")), "GET /orders/{id}")

    def announce(self, requests: Sequence[OrderRequest]) -> None:
        """Make ready what is submitted next."""
        self._announced = {}
        for request in requests:
            with suppress(UsageError):  # said when it is submitted
                self._announced[request.client_order_id] = request, self._ready(request)

    def _ready(self, request: OrderRequest) -> ReadyOrder:
        return ReadyOrder(quantised(request, self._assets.get(request.symbol)))

    def submit(self, request: OrderRequest) -> Submission:
        """Send ``request`` at most once, whatever happens."""
        announced, ready = self._announced.pop(request.client_order_id, (None, None))
        if ready is None or announced != request:
            try:
                ready = self._ready(request)
            except UsageError as error:
                return Refused(RefusalKind.INVALID, None, None, error.message)
        order: Any = ready  # what alpaca-py's client asks of it, it has
        outcome = self._http.write(lambda client: client.submit_order(order), request.priority)
        if isinstance(outcome, Failure):
            return _not_accepted(outcome)
        try:
            view = self._seen(parse_order(_mapping(outcome.body, "order")))
        except BrokerError as error:
            return Unknown(UnknownCause.BAD_BODY, str(error))
        if view.client_order_id != request.client_order_id:
            return Unknown(UnknownCause.BAD_BODY, f"the reply is about {view.client_order_id}")
        return Accepted(view)

    def cancel(self, broker_order_id: str) -> CancelOutcome:
        """Ask once for the cancel of an order."""
        path = "/orders/" + quote(broker_order_id, safe="")
        outcome = self._http.write(lambda client: client.delete(path), Priority.CANCEL)
        return CancelRequested() if isinstance(outcome, Reply) else _not_accepted(outcome)

    def fills_since(self, after: dt.datetime) -> tuple[FillView, ...]:
        """Return every execution after ``after``, oldest first."""
        asked = {"after": after.isoformat(), "direction": "asc", "page_size": FILLS_PER_PAGE}
        rows: dict[str, FillView] = {}
        while True:
            page = self._read(_fills_page(asked), Priority.RECONCILE, "GET /account/activities/FILL")
            fresh = {str(row.get("id")): parse_fill(row) for row in _rows(page, "activities")}
            grown = rows | fresh
            if len(fresh) < FILLS_PER_PAGE or len(grown) == len(rows):
                return tuple(grown.values())
            rows, asked = grown, {**asked, "page_token": list(fresh)[-1]}

    def bars(
        self, symbol: str, timeframe: Timeframe, start: dt.datetime, end: dt.datetime, *, adjustment: str = "split"
    ) -> Bars:
        """Return bars that start within ``start`` to ``end``, both inclusive; may be empty."""
        return self._bars.history(symbol, timeframe, start, end, adjustment=adjustment)

    def histories(
        self,
        symbols: Sequence[str],
        timeframe: Timeframe,
        start: dt.datetime,
        end: dt.datetime,
        *,
        adjustment: str = "split",
    ) -> Mapping[str, Bars]:
        """Return :meth:`bars` of each of ``symbols``, with as few requests as the venue's pages allow."""
        return self._bars.histories(symbols, timeframe, start, end, adjustment=adjustment)

    def latest_bars(self, symbols: Sequence[str]) -> Mapping[str, Bar]:
        """Return the last minute bar of each symbol that has one."""
        return self._bars.latest(symbols)

    def stream(self, symbols: Sequence[str], sink: EventSink) -> StreamHandle:
        """Start the order stream and the bar stream of ``symbols``."""
        from trader_sdk.broker.streams import open_streams  # websockets is not needed for reads and orders

        return open_streams(self._endpoint, self._credentials, symbols, sink)

    def close(self) -> None:
        """Release connections."""
        self._http.close()

    def _read(self, call: Callable[[TradingClient], Any], priority: Priority, where: str) -> Any:
        return self._http.read(call, priority, where=where)

    def _asset(self, symbol: str) -> AssetView | None:
        path = "/assets/" + quote(symbol, safe="")
        try:
            raw = self._read(lambda client: client.get(path), Priority.RECONCILE, f"GET {path}")
        except BrokerError as error:
            if error.evidence.get("kind") in _ABSENT:
                return None
            raise
        return parse_asset(_mapping(raw, "asset"))

    def _order(self, call: Callable[[TradingClient], Any], where: str) -> OrderView | None:
        try:
            raw = self._read(call, Priority.BY_ID, where)
        except BrokerError as error:
            if error.evidence.get("kind") is RefusalKind.NOT_FOUND:
                return None
            raise
        return self._seen(parse_order(_mapping(raw, "order")))

    def _orders(self, status: QueryOrderStatus, after: dt.datetime | None) -> tuple[OrderView, ...]:
        """Page by submission time, a microsecond back each time because pages may split equal times."""
        orders: dict[str, OrderView] = {}
        while True:
            asked = GetOrdersRequest(status=status, limit=ORDERS_PER_PAGE, direction=Sort.ASC, after=after)
            page = self._order_page(asked)
            known = len(orders)
            orders |= {order.broker_order_id: order for order in page}
            if len(page) < ORDERS_PER_PAGE:
                return tuple(orders.values())
            last = page[-1].submitted_at
            if len(orders) == known or last is None:
                raise BrokerError("E803", "the list of orders cannot be paged", where="GET /orders", found=len(page))
            after = last - dt.timedelta(microseconds=1)

    def _order_page(self, asked: GetOrdersRequest) -> list[OrderView]:
        rows = self._read(lambda client: client.get_orders(asked), Priority.RECONCILE, "GET /orders")
        return [self._seen(parse_order(row)) for row in _rows(rows, "orders")]

    def _seen(self, order: OrderView) -> OrderView:
        if order.status is OrderStatus.UNKNOWN_OPEN and order.raw_status not in self._strange_words:
            self._strange_words.add(order.raw_status)
            _log.warning("order_status_unknown", status=order.raw_status, client_order_id=order.client_order_id)
        return order


def _not_accepted(failure: Failure) -> Refused | Unknown:
    if isinstance(failure.meaning, RefusalKind):
        return Refused(failure.meaning, failure.http_status, failure.code, failure.message, failure.extras)
    status = "" if failure.http_status is None else f"HTTP {failure.http_status}: "
    return Unknown(failure.meaning, status + failure.message)


def _fills_page(asked: dict[str, Any]) -> Callable[[TradingClient], Any]:
    return lambda client: client.get("/account/activities/FILL", asked)


def _mapping(body: object, what: str) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        return body
    raise BrokerError("E803", "a reply could not be read", where=what, expected="an object", found=repr(body)[:80])


def _rows(body: object, what: str) -> Iterable[Mapping[str, Any]]:
    if isinstance(body, list):
        return [_mapping(row, what) for row in body]
    raise BrokerError("E803", "a reply could not be read", where=what, expected="a list", found=repr(body)[:80])
