"""Client of the embedded exchange's own surface, ``/_control``: venue time, and the word that lets time move on.

No other file of the package knows this surface; Alpaca has none like it.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import requests
import stamina

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Timeouts, is_loopback
from trader_sdk.broker.transport import BoundedSession
from trader_sdk.contract.errors import BrokerError, ConfigError

LONG_POLL: Final = Timeouts(connect_seconds=3.0, read_seconds=35.0, total_seconds=40.0)
"""The exchange answers a wait after at most 30 seconds."""

Until = Literal["instant", "bar"]


@dataclass(frozen=True, slots=True)
class VenueState:
    """Where the replay stands.

    Args:
        run_id: Which run of the exchange this is.
        account_number: Its account.
        at: Venue time, aware UTC.
        at_ns: The same in nanoseconds since the epoch.
        phase: What has just happened: ``start open bar close final evening wait``.
        is_open: Whether the regular session runs.
        instant: Index of the last instant; it grows by one each time the market moves.
        next_at: When it moves next, None at the end.
        next_phase: What happens then.
        released: Start of the newest visible bar by symbol, nanoseconds UTC.
        bars_released: How many bars have become visible since the start.
        order_events: How many order events the venue has emitted; a listener that saw as many has seen all.
        is_finished: Whether the replay has no further instant.
        speed_seconds: Seconds a bar when the wall clock sets the pace, None when the trader does.
    """

    run_id: str
    account_number: str
    at: dt.datetime
    at_ns: int
    phase: str
    is_open: bool
    instant: int
    next_at: dt.datetime | None
    next_phase: str | None
    released: Mapping[str, int]
    bars_released: int
    order_events: int
    is_finished: bool
    speed_seconds: float | None


@dataclass(frozen=True, slots=True)
class Advance:
    """What became of a ``ready``: the state after it, whether time moved, and what was emitted on the way."""

    state: VenueState
    advanced: bool
    bars: int
    order_events: int


class LocalControl:
    """Tell the exchange that we are done with an instant, and learn where it stands.

    Args:
        control_url: As ``LocalExchange.control_url`` gives it.
        credentials: The keys of its account.
        timeouts: Bounds of each request.

    Raises:
        ConfigError: The address is not on loopback.
    """

    def __init__(self, control_url: str, credentials: Credentials, *, timeouts: Timeouts = LONG_POLL) -> None:
        if not is_loopback(control_url):
            raise ConfigError("CONFIG", "the control channel must be on loopback", where=control_url)
        self._url = control_url.rstrip("/")
        self._credentials, self._timeouts = credentials, timeouts
        # One request may wait for the venue to move while another thread asks where it stands.
        self._of_thread = threading.local()
        self._sessions: list[BoundedSession] = []

    def state(self) -> VenueState:
        """Return where the venue stands now."""
        return _state(self._call("GET", "/state"))

    def wait_past(self, instant: int) -> VenueState:
        """Return the state once the venue is past ``instant``, or as it is after about 30 seconds."""
        return _state(self._call("GET", "/state", params={"after": str(instant)}))

    def ready(self, instant: int, *, wake_at: dt.datetime | None = None, until: Until = "instant") -> Advance:
        """Say that everything up to ``instant`` is dealt with, which lets the venue move on.

        Saying it twice moves the venue once: it compares ``instant`` with its own.

        Args:
            instant: The last state's ``instant``.
            wake_at: Do not move beyond this time, at which we want to act.
            until: ``instant`` moves to the next thing that happens, ``bar`` to the next bar that becomes visible.
        """
        body: dict[str, Any] = {"instant": instant, "until": until}
        if wake_at is not None:
            body["wake_at"] = _nanoseconds(wake_at)
        reply = self._call("POST", "/ready", json=body)
        try:
            return Advance(_state(reply), bool(reply["advanced"]), int(reply["bars"]), int(reply["order_events"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _not_understood(reply) from error

    def run(self, speed_seconds: float | None) -> VenueState:
        """Let the wall clock set the pace, ``speed_seconds`` a bar; None hands it back to :meth:`ready`."""
        return _state(self._call("POST", "/run", json={"speed_seconds": speed_seconds}))

    def stop(self) -> None:
        """Ask the exchange to end in good order."""
        self._call("POST", "/stop")

    def close(self) -> None:
        """Close the connections; the exchange runs on."""
        while self._sessions:
            self._sessions.pop().close()
        self._of_thread = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, path: str, **options: Any) -> Mapping[str, Any]:
        """Send a request, once more if the connection broke: every request here may be repeated."""
        try:
            for attempt in stamina.retry_context(on=requests.exceptions.ConnectionError, attempts=2, wait_initial=0.05):
                with attempt:
                    return self._once(method, path, options)
        except requests.exceptions.RequestException as error:
            raise BrokerError("E802", "the embedded exchange is gone", where=self._url) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _session(self) -> BoundedSession:
        session: BoundedSession | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = self._of_thread.session = BoundedSession(self._url, self._timeouts)
            session.headers["APCA-API-KEY-ID"] = self._credentials.key_id.reveal()
            session.headers["APCA-API-SECRET-KEY"] = self._credentials.secret_key.reveal()
            self._sessions.append(session)
        return session

    def _once(self, method: str, path: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        where = f"{method} /_control{path}"
        try:
            response = self._session().request(method, self._url + path, **options)
            body = response.json()
        except requests.exceptions.InvalidJSONError as error:
            raise BrokerError("E803", "the exchange's control channel sent no JSON", where=where) from error
        except requests.exceptions.Timeout as error:
            raise BrokerError("E802", "the exchange's control channel did not answer", where=where) from error
        if response.status_code >= 400:
            raise BrokerError("E801", f"the exchange refused: {body}", where=where, found=response.status_code)
        if not isinstance(body, dict):
            raise _not_understood(body)
        return body


def _state(raw: Mapping[str, Any]) -> VenueState:
    try:
        upcoming = raw["next"]
        return VenueState(
            run_id=str(raw["run_id"]),
            account_number=str(raw["account_number"]),
            at=_time(raw["at_ns"]),
            at_ns=int(raw["at_ns"]),
            phase=str(raw["phase"]),
            is_open=bool(raw["is_open"]),
            instant=int(raw["instant"]),
            next_at=None if upcoming is None else _time(upcoming["at_ns"]),
            next_phase=None if upcoming is None else str(upcoming["phase"]),
            released={str(symbol): int(t) for symbol, t in raw["released"].items()},
            bars_released=int(raw["bars_released"]),
            order_events=int(raw["order_events_total"]),
            is_finished=bool(raw["finished"]),
            speed_seconds=None if raw["speed_seconds"] is None else float(raw["speed_seconds"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_understood(raw) from error


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _time(nanoseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=int(nanoseconds) // 1000)


def _nanoseconds(at: dt.datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _not_understood(found: object) -> BrokerError:
    return BrokerError("E803", "the exchange's control channel was not understood", found=repr(found)[:200])
