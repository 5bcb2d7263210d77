"""alpaca-py's REST clients on a leash: one set a thread, bounded in time, never retrying on their own."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import requests
import stamina
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.trading.client import TradingClient
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Timeouts, Venue
from trader_sdk.broker.port import Priority, RefusalKind, UnknownCause
from trader_sdk.broker.replies import LONGEST_TEXT, Failure, failure_of
from trader_sdk.broker.request_budget import RequestBudget
from trader_sdk.broker.transport import BoundedSession, RedirectedError
from trader_sdk.contract.errors import BrokerError, ConfigError

C = TypeVar("C")

_UNREACHABLE: Final = frozenset(
    {UnknownCause.TIMEOUT, UnknownCause.CONNECTION, UnknownCause.SERVER_ERROR, RefusalKind.NOT_SENT}
)
_WORTH_REPEATING: Final = _UNREACHABLE | {UnknownCause.BAD_BODY, RefusalKind.RATE_LIMITED}
LONGEST_RETRY_AFTER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ReadRetry:
    """How often a read is repeated; writes never are.

    Args:
        attempts: Requests at most.
        total_seconds: No further attempt starts after this.
        wait_seconds: First pause, doubled each time.
        budget_patience_seconds: How long a request waits for the request budget.
    """

    attempts: int = 3
    total_seconds: float = 20.0
    wait_seconds: float = 0.25
    budget_patience_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the venue's own, decoded."""

    body: Any


class AlpacaHttp:
    """Calls alpaca-py and says what came of it.

    Args:
        endpoint: Where the venue is.
        credentials: Sent in headers, shown nowhere.
        timeouts: Bounds of each request.
        retry: How often reads are repeated.
        budget: Shared by all callers of the account.
        order_patience_seconds: How long an order waits for the request budget.
        wall: Unix seconds, read only to interpret the venue's rate limit headers.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        timeouts: Timeouts,
        retry: ReadRetry,
        budget: RequestBudget,
        order_patience_seconds: float = 2.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint, self._credentials, self._timeouts = endpoint, credentials, timeouts
        self._retry, self._budget, self._wall = retry, budget, wall
        self._order_patience_seconds = order_patience_seconds
        # requests.Session is not documented to be thread-safe, so each thread has clients of its own.
        self._of_thread = threading.local()
        self._sessions: list[BoundedSession] = []
        self._lock = threading.Lock()
        self._stated_date: str | None = None

    def write(self, call: Callable[[TradingClient], Any], priority: Priority) -> Reply | Failure:
        """Run ``call`` exactly once, or not at all if the request budget is spent."""
        if not self._budget.spend(priority, patience_seconds=self._order_patience_seconds):
            return Failure(RefusalKind.RATE_BUDGET, message="our own request budget is spent")
        return self._once(self._client(TradingClient), call)

    def read(self, call: Callable[[TradingClient], Any], priority: Priority, *, where: str) -> Any:
        """Return the reply's body, repeating the idempotent ``call`` on passing faults.

        Raises:
            BrokerError: The venue refused, did not answer in time, or answered something else.
        """
        return self._repeatedly(TradingClient, call, priority, where)

    def read_stocks(self, call: Callable[[StockHistoricalDataClient], Any], *, where: str) -> Any:
        """Return a market data reply's body; see :meth:`read`."""
        return self._repeatedly(StockHistoricalDataClient, call, Priority.DATA, where)

    def read_crypto(self, call: Callable[[CryptoHistoricalDataClient], Any], *, where: str) -> Any:
        """Return a crypto data reply's body; see :meth:`read`."""
        return self._repeatedly(CryptoHistoricalDataClient, call, Priority.DATA, where)

    def close(self) -> None:
        """Close every thread's connections."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()

    def _repeatedly(self, kind: type[C], call: Callable[[C], Any], priority: Priority, where: str) -> Any:
        client = self._client(kind)
        for attempt in stamina.retry_context(
            on=_pause_before_repeating,
            attempts=self._retry.attempts,
            timeout=self._retry.total_seconds,
            wait_initial=self._retry.wait_seconds,
            wait_jitter=self._retry.wait_seconds,
        ):
            with attempt:
                return self._read_once(client, call, priority, where)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _read_once(self, client: C, call: Callable[[C], Any], priority: Priority, where: str) -> Any:
        if not self._budget.spend(priority, patience_seconds=self._retry.budget_patience_seconds):
            raise error_of(Failure(RefusalKind.RATE_BUDGET, message="our own request budget is spent"), where)
        outcome = self._once(client, call)
        if isinstance(outcome, Failure):
            raise error_of(outcome, where)
        return outcome.body

    def _once(self, client: C, call: Callable[[C], Any]) -> Reply | Failure:
        try:
            return Reply(call(client))
        except APIError as error:
            failure = self._from_venue(error)
        except (requests.exceptions.InvalidJSONError, RecursionError):
            failure = Failure(UnknownCause.BAD_BODY, message="the body is not JSON")
        except RedirectedError as error:
            failure = Failure(UnknownCause.REDIRECT, message=str(error))
        except requests.exceptions.RequestException as error:
            failure = Failure(_meaning_of(error), message=self._credentials.redact(str(error))[:LONGEST_TEXT])
        if failure.meaning is RefusalKind.RATE_LIMITED:
            self._budget.drain()
        return failure

    def _from_venue(self, error: APIError) -> Failure:
        response: requests.Response = error.response
        text = self._credentials.redact(response.text)
        return failure_of(response.status_code, text, response.headers, now_unix_seconds=self._wall())

    @property
    def date_header(self) -> dt.datetime | None:
        """Return when the venue's server says that it answered last, to the second; None where it does not say."""
        with suppress(ValueError):  # a server that writes no date tells nothing about clocks
            return parsedate_to_datetime(self._stated_date) if self._stated_date else None
        return None

    def _note_date(self, reply: requests.Response) -> None:
        self._stated_date = reply.headers.get("Date") or self._stated_date

    def _client(self, kind: type[C]) -> C:
        client: C | None = getattr(self._of_thread, kind.__name__, None)
        if client is None:
            client = self._leashed(kind)
            setattr(self._of_thread, kind.__name__, client)
        return client

    def _leashed(self, kind: type[C]) -> C:
        """Return a client without retries of its own: it would send an order four times on 429 and 504."""
        url = self._endpoint.rest_url if kind is TradingClient else self._endpoint.data_url
        options: dict[str, Any] = {"raw_data": True, "url_override": url}
        if kind is TradingClient:
            options["paper"] = self._endpoint.venue is not Venue.LIVE
        keys = (self._credentials.key_id.reveal(), self._credentials.secret_key.reveal())
        client: Any = kind(*keys, **options)  # type: ignore[call-arg]  # alpaca-py's clients share these arguments
        if not (hasattr(client, "_retry") and hasattr(client, "_session")):
            raise ConfigError("CONFIG", "this alpaca-py cannot be told not to repeat orders", expected="alpaca-py 0.44")
        client._retry = 0
        client._session = session = BoundedSession(url, self._timeouts, on_reply=self._note_date)
        with self._lock:
            self._sessions.append(session)
        leashed: C = client
        return leashed


def _meaning_of(error: requests.exceptions.RequestException) -> RefusalKind | UnknownCause:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return RefusalKind.NOT_SENT
    if isinstance(error, requests.exceptions.Timeout):
        return UnknownCause.TIMEOUT
    cause = error.args[0] if error.args else None
    if isinstance(cause, ReadTimeoutError):
        return UnknownCause.TIMEOUT
    if isinstance(getattr(cause, "reason", None), NewConnectionError):
        return RefusalKind.NOT_SENT
    return UnknownCause.CONNECTION


def error_of(failure: Failure, where: str) -> BrokerError:
    """Return the error that a failed read raises: E801 refused, E802 unreachable, E803 not understood."""
    if failure.meaning in _UNREACHABLE:
        code, message = "E802", "the broker did not answer"
    elif failure.is_certain:
        code, message = "E801", "the broker refused"
    else:
        code, message = "E803", "the broker answered something else"
    return BrokerError(
        code,
        f"{message}: {failure.message}" if failure.message else message,
        where=where,
        found=failure.http_status,
        kind=failure.meaning,
        broker_code=failure.code,
        extras=failure.extras,
    )


def _pause_before_repeating(error: Exception) -> bool | float:
    if not isinstance(error, BrokerError) or error.evidence.get("kind") not in _WORTH_REPEATING:
        return False
    pause = error.evidence["extras"].get("retry_after_seconds")
    if pause is None:
        return True
    return float(pause) if pause <= LONGEST_RETRY_AFTER_SECONDS else False
