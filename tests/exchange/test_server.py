from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from trader_sdk.contract.errors import ConfigError, StorageError
from trader_sdk.exchange import LocalExchange
from trader_sdk.exchange.testing import crypto_bars, daily_bars, minute_bars, rising, setup_for

DAILY = {"AAPL": daily_bars("AAPL", rising(5)), "MSFT": daily_bars("MSFT", rising(5, start=30))}
ORDER = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
TRADER = (sys.executable, "-c", "from trader_sdk.cli import main; main()")
Starter = Callable[..., LocalExchange]


class Caller:
    """Speaks HTTP to one exchange with its keys."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.exchange = exchange
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"APCA-API-KEY-ID": exchange.key, "APCA-API-SECRET-KEY": exchange.secret})

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request."""
        return self.session.request(method, self.exchange.rest_url + path, timeout=10, **options)

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a GET."""
        return self.call("GET", path, params=params).json()

    def ready(self, **body: Any) -> Any:
        """Move the venue on."""
        return self.call("POST", "/_control/ready", json=body).json()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Give one daily exchange for tests that do not mind each other."""
    setup = setup_for(DAILY)
    with LocalExchange(tmp_path_factory.mktemp("shared"), setup, DAILY) as exchange:
        yield Caller(exchange)


@pytest.mark.parametrize("path", ["/v2/account", "/v2/orders", "/_control/state", "/_fault", "/v2/stocks/bars"])
@pytest.mark.parametrize(
    "headers", [{}, {"APCA-API-KEY-ID": "a", "APCA-API-SECRET-KEY": "b"}, {"Authorization": "Basic !"}]
)
def test_every_surface_needs_the_keys(shared: Caller, path: str, headers: dict[str, str]) -> None:
    """Without the right pair there is a 401 and nothing else, the control channel included."""
    reply = requests.get(shared.exchange.rest_url + path, headers=headers, timeout=10)
    assert reply.status_code == 401
    assert reply.json()["code"] == 40110000


def test_basic_authorization_is_taken(shared: Caller) -> None:
    """The pair may come as user and password."""
    auth = (shared.exchange.key, shared.exchange.secret)
    assert requests.get(shared.exchange.rest_url + "/v2/clock", auth=auth, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/nothing", 404, 40410000),
        ("GET", "/v2/orders/nobody", 404, 40410000),
        ("DELETE", "/v2/orders/nobody", 404, 40410000),
        ("PATCH", "/v2/orders/nobody", 404, 40410000),
        ("GET", "/v2/orders:by_client_order_id?client_order_id=nobody", 404, 40410000),
        ("GET", "/v2/positions/AAPL", 404, 40410000),
        ("DELETE", "/v2/positions/AAPL", 404, 40410000),
        ("GET", "/v2/assets/NONE", 404, 40410000),
        ("POST", "/v2/orders", 422, 40010001),
        ("GET", "/v2/orders?limit=0", 422, 40010001),
        ("GET", "/v2/orders?limit=²", 422, 40010001),
        ("GET", "/v2/orders?limit=99999999999999999999", 422, 40010001),
        ("GET", "/v2/orders?after=yesterday", 422, 40010001),
        ("GET", "/v2/calendar?start=tomorrow", 422, 40010001),
        ("GET", "/v2/stocks/bars?symbols=AAPL&timeframe=1Week", 422, 40010001),
        ("GET", "/v2/stocks/bars?symbols=AAPL&timeframe=1Min", 422, 40010001),
        ("GET", "/v2/stocks/bars", 422, 40010001),
        ("GET", "/v2/stocks/quotes?symbols=AAPL", 422, 42210000),
        ("GET", "/_control/state?after=x", 422, 40010001),
    ],
)
def test_bad_request_gets_its_code(shared: Caller, method: str, path: str, status: int, code: int) -> None:
    """Unknown things are 404, malformed ones 422, never a 500."""
    reply = shared.call(method, path)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_long_body_is_refused_unread(shared: Caller) -> None:
    """64 KiB is far more than an order needs, announced or not."""
    assert shared.call("POST", "/v2/orders", data=b"x" * 70_000).status_code == 413
    chunks = (b"x" * 10_000 for _ in range(10))
    assert shared.call("POST", "/v2/orders", data=chunks).status_code == 413


@pytest.mark.parametrize("path", ["/v2/clock", "/v2/nothing"])
def test_every_reply_has_rate_headers(shared: Caller, path: str) -> None:
    """Limit, remaining and reset, also on errors."""
    headers = shared.call("GET", path).headers
    assert headers["X-RateLimit-Limit"] == "200"
    assert headers["X-RateLimit-Remaining"].isdigit()
    assert headers["X-RateLimit-Reset"].isdigit()


def test_rate_limit_answers_429_without_a_code(start_exchange: Starter) -> None:
    """In venue time, which stands still here, the third request of a minute is one too many; control is free."""
    caller = Caller(start_exchange(DAILY, requests_per_minute=2, rate_clock="venue"))
    replies = [caller.call("GET", "/v2/clock") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json() == {"message": "too many requests."}
    assert replies[2].headers["X-RateLimit-Remaining"] == "0"
    caller.ready()
    assert caller.call("GET", "/v2/clock").status_code == 200


def test_order_lives_through_a_day(start_exchange: Starter) -> None:
    """Booked in the evening, filled at the open, in the position, in the activities, in the equity curve."""
    caller = Caller(start_exchange(DAILY))
    booked = caller.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "mine"}).json()
    assert booked["status"] == "accepted"
    reply = caller.ready(until="bar")
    assert (reply["phase"], reply["bars"], reply["order_events"]) == ("final", 2, 2)
    assert caller.get(f"/v2/orders/{booked['id']}")["status"] == "filled"
    assert caller.get("/v2/orders:by_client_order_id", client_order_id="mine")["id"] == booked["id"]
    (position,) = caller.get("/v2/positions")
    assert (position["qty"], position["current_price"]) == ("10", "101.5")
    (fill,) = caller.get("/v2/account/activities/FILL")
    assert (fill["price"], fill["order_id"]) == ("101.0252", booked["id"])
    history = caller.get("/v2/account/portfolio/history")
    assert history["equity"][-1] == float(caller.get("/v2/account")["equity"])


def test_position_is_closed_in_part_and_in_whole(start_exchange: Starter) -> None:
    """By percentage, by quantity, and all at once with what holds them."""
    caller = Caller(start_exchange(DAILY))
    caller.call("POST", "/v2/orders", json=ORDER)
    caller.ready(until="bar")
    assert caller.call("DELETE", "/v2/positions/AAPL", params={"percentage": "40"}).json()["qty"] == "4"
    caller.call("POST", "/v2/orders", json={**ORDER, "side": "sell", "qty": 6, "type": "stop", "stop_price": 1})
    (held,) = caller.call("DELETE", "/v2/positions").json()
    assert (held["status"], held["body"]["code"], held["body"]["available"]) == (403, 40310000, "0")
    reply = caller.call("DELETE", "/v2/positions", params={"cancel_orders": True})
    assert (reply.status_code, reply.json()[0]["body"]["qty"]) == (207, "10")
    caller.ready(until="bar")
    assert caller.get("/v2/positions") == []


def test_orders_are_listed_by_status_time_side_and_symbol(start_exchange: Starter) -> None:
    """Filters combine, newest first unless asked otherwise, times are exclusive."""
    caller = Caller(start_exchange(DAILY))
    names = [
        caller.call("POST", "/v2/orders", json={**ORDER, "symbol": symbol, "client_order_id": symbol}).json()
        for symbol in ("AAPL", "MSFT")
    ]
    caller.call("DELETE", f"/v2/orders/{names[0]['id']}")

    def listed(**query: Any) -> list[str]:
        return [order["client_order_id"] for order in caller.get("/v2/orders", **query)]

    assert listed() == ["MSFT"]
    assert listed(status="closed") == ["AAPL"]
    assert listed(status="all") == ["MSFT", "AAPL"]
    assert listed(status="all", direction="asc", limit=1) == ["AAPL"]
    assert listed(status="all", after=names[0]["submitted_at"]) == ["MSFT"]
    assert listed(status="all", until=names[1]["submitted_at"]) == ["AAPL"]
    assert listed(status="all", symbols="AAPL,NONE") == ["AAPL"]
    assert listed(status="all", side="sell") == []


def test_activities_are_paged_by_the_last_id(start_exchange: Starter) -> None:
    """Following the token gives each fill once."""
    caller = Caller(start_exchange(DAILY))
    for _ in range(3):
        caller.call("POST", "/v2/orders", json=ORDER)
    caller.ready(until="bar")
    seen: list[str] = []
    while rows := caller.get(
        "/v2/account/activities/FILL", page_size=2, direction="asc", page_token=seen[-1] if seen else None
    ):
        seen += [row["id"] for row in rows]
    assert len(seen) == len(set(seen)) == 3


def test_ready_is_safe_to_repeat(start_exchange: Starter) -> None:
    """A repeated or stale word moves nothing; an unknown field of time is refused."""
    caller = Caller(start_exchange(DAILY))
    state = caller.get("/_control/state")
    first = caller.ready(instant=state["instant"])
    again = caller.ready(instant=state["instant"])
    assert (first["advanced"], again["advanced"], again["instant"]) == (True, False, first["instant"])
    caller.ready(until="bar")
    stale = caller.ready(t=state["released"]["AAPL"])
    assert not stale["advanced"]
    assert caller.call("POST", "/_control/ready", json={"until": "doomsday"}).status_code == 422
    assert caller.call("POST", "/_control/ready", json={"wake_at": "soon"}).status_code == 422


def test_wake_up_stops_between_two_instants(start_exchange: Starter) -> None:
    """Five seconds after the open the session runs, and time says so."""
    caller = Caller(start_exchange(DAILY))
    while (state := caller.ready())["phase"] != "open":
        pass
    woken = caller.ready(wake_at=state["at_ns"] + 5_000_000_000)
    assert (woken["at_ns"], woken["phase"], woken["instant"]) == (
        state["at_ns"] + 5_000_000_000,
        "wait",
        state["instant"],
    )
    order = caller.call("POST", "/v2/orders", json={**ORDER, "qty": None, "notional": 500}).json()
    assert caller.get(f"/v2/orders/{order['id']}")["status"] == "filled"


def test_clock_sets_the_pace_when_asked(start_exchange: Starter) -> None:
    """With a speed the venue runs by itself to its end, and waiting for it needs no polling."""
    caller = Caller(start_exchange({"AAPL": minute_bars("AAPL", rising(8))}, speed_seconds=0.01))
    state = caller.get("/_control/state")
    while not state["finished"]:
        state = caller.get("/_control/state", after=state["instant"])
    assert state["bars_released"] == 7
    assert caller.ready()["advanced"] is False


def test_pace_can_be_handed_back(start_exchange: Starter) -> None:
    """After null the venue waits for the trader."""
    caller = Caller(start_exchange(DAILY, speed_seconds=1_000))
    assert caller.ready()["advanced"] is False
    assert caller.call("POST", "/_control/run", json={"speed_seconds": None}).json()["speed_seconds"] is None
    assert caller.ready()["advanced"] is True
    assert caller.call("POST", "/_control/run", json={"speed_seconds": -1}).status_code == 422


def test_crypto_is_served_under_its_own_paths(start_exchange: Starter) -> None:
    """Bars, latest values and books of coins, around the clock."""
    caller = Caller(start_exchange({"BTC/USD": crypto_bars("BTC/USD", rising(5, start=20_000))}))
    prefix = "/v1beta3/crypto/us"
    assert len(caller.get(f"{prefix}/bars", symbols="BTC/USD", start="2012-01-01")["bars"]["BTC/USD"]) == 1
    quote = caller.get(f"{prefix}/latest/quotes", symbols="BTC/USD")["quotes"]["BTC/USD"]
    assert quote["bp"] < 20_001 < quote["ap"]
    assert caller.get(f"{prefix}/snapshots", symbols="BTC/USD")["snapshots"]["BTC/USD"]["latestTrade"]["p"] == 20_001
    body = {**ORDER, "symbol": "BTC/USD", "qty": 0.5, "time_in_force": "gtc"}
    assert caller.call("POST", "/v2/orders", json=body).status_code == 200
    assert caller.get("/v2/positions/BTCUSD")["qty"] == "0.49875"


def test_calendar_lists_new_yorks_sessions(shared: Caller) -> None:
    """Real ones: Thanksgiving is missing, the day after closes at 13:00."""
    days = {
        row["date"]: (row["open"], row["close"])
        for row in shared.get("/v2/calendar", start="2012-11-21", end="2012-11-23")
    }
    assert days == {"2012-11-21": ("09:30", "16:00"), "2012-11-23": ("09:30", "13:00")}


def test_killed_exchange_comes_back_as_it_was(start_exchange: Starter, tmp_path: Path) -> None:
    """After kill -9 the same folder gives the same orders, money, ids, time and keys."""
    folder = tmp_path / "run"
    exchange = start_exchange(DAILY, folder=folder)
    caller = Caller(exchange)
    caller.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "kept"})
    caller.ready(until="bar")
    caller.call("POST", "/v2/orders", json={**ORDER, "side": "sell", "qty": 3})
    before = caller.get("/_control/state", digest=1)
    exchange.kill()
    with LocalExchange(folder) as again:
        back = Caller(again)
        assert (again.key, again.secret) == (exchange.key, exchange.secret)
        assert back.get("/_control/state", digest=1) == before
        reply = back.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "kept"})
        assert reply.json()["message"] == "client_order_id must be unique"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process can be set on Linux only")
def test_full_disk_stops_the_exchange_before_it_acknowledges(start_exchange: Starter, tmp_path: Path) -> None:
    """The order is answered with an error, the process exits 8, and the rebuilt venue has never heard of it."""
    folder = tmp_path / "run"
    exchange = start_exchange(DAILY, folder=folder)
    caller = Caller(exchange)
    caller.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "kept"})
    size = (folder / "exchange-events.jsonl").stat().st_size
    resource.prlimit(exchange.pid, resource.RLIMIT_FSIZE, (size + 10, size + 10))
    assert caller.call("POST", "/v2/orders", json={**ORDER, "client_order_id": "lost"}).status_code >= 500
    assert exchange.stop() == 8
    with LocalExchange(folder) as again:
        assert [order["client_order_id"] for order in Caller(again).get("/v2/orders")] == ["kept"]


def test_folder_of_another_run_is_refused(start_exchange: Starter, tmp_path: Path) -> None:
    """A run is resumed as itself or not at all."""
    start_exchange(DAILY, folder=tmp_path / "run").stop()
    with pytest.raises(ConfigError, match="another run"):
        LocalExchange(tmp_path / "run", setup_for(DAILY, run_id="other"), DAILY)
    with pytest.raises(ConfigError, match="no exchange was set up"):
        LocalExchange(tmp_path / "empty")


def test_damaged_log_keeps_the_exchange_down(start_exchange: Starter, tmp_path: Path) -> None:
    """The parent gets the child's own error."""
    start_exchange(DAILY, folder=tmp_path / "run").stop()
    log = tmp_path / "run" / "exchange-events.jsonl"
    log.write_bytes(b"nonsense\n" + log.read_bytes())
    with pytest.raises(StorageError) as caught:
        LocalExchange(tmp_path / "run").start()
    assert caught.value.code == "JOURNAL"


def test_keys_are_readable_by_their_owner_only(start_exchange: Starter, tmp_path: Path) -> None:
    """The setup is private, and the log and output hold no secret."""
    exchange = start_exchange(DAILY, folder=tmp_path / "run")
    assert (tmp_path / "run" / "exchange.json").stat().st_mode & 0o077 == 0
    exchange.stop()
    for name in ("exchange-events.jsonl", "exchange-output.log"):
        assert exchange.secret not in (tmp_path / "run" / name).read_text()
    assert exchange.secret not in repr(exchange.setup)


def test_exchange_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed takes the exchange with it, and the folder can be served again."""
    LocalExchange(tmp_path, setup_for(DAILY), DAILY)
    code = (
        "import sys, time, pathlib\nfrom trader_sdk.exchange import LocalExchange\n"
        "print(LocalExchange(pathlib.Path(sys.argv[1])).start().pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert int(parent.stdout.readline()) > 0
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    # The folder's lock is free only once the orphan has gone; starting waits for it.
    with LocalExchange(tmp_path) as again:
        assert Caller(again).get("/_control/state")["instant"] == 0


def test_second_server_of_a_folder_is_refused(
    start_exchange: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process a run: the second says LOCKED."""
    from trader_sdk.exchange import server

    start_exchange(DAILY, folder=tmp_path / "run")
    monkeypatch.setattr(server, "_LOCK_SECONDS", 0.05)
    with pytest.raises(StorageError) as caught:
        server.serve(tmp_path / "run", on_ready=lambda _host, _port: None)
    assert caught.value.code == "LOCKED"


def test_stop_ends_the_process_in_good_order(start_exchange: Starter) -> None:
    """The control channel's stop and a closed input both exit 0."""
    exchange = start_exchange(DAILY)
    assert Caller(exchange).call("POST", "/_control/stop").status_code == 200
    assert exchange.stop() == 0
    assert start_exchange(DAILY).stop() == 0


def test_exchange_process_stays_light(tmp_path: Path) -> None:
    """Serving needs none of the heavy libraries, so that a run starts in well under a second."""
    code = (
        "import json, sys\nimport trader_sdk.exchange.server\n"
        "heavy = {'pandas', 'torch', 'alpaca', 'scipy', 'exchange_calendars', 'requests'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--host", "0.0.0.0"], 2), (["--host", "0.0.0.0", "--token", "short"], 2), (["--market", "nowhere.csv"], 2)],  # noqa: S104 - what must be refused
)
def test_serving_is_refused_before_anything_starts(tmp_path: Path, arguments: list[str], code: int) -> None:
    """An open address without a token and a market that is not there are usage errors."""
    command = [*TRADER, "exchange", "serve", "--state-dir", str(tmp_path / "run"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert not (tmp_path / "run").exists()


def test_serve_command_says_where_it_serves_and_ends_on_interrupt(tmp_path: Path) -> None:
    """One JSON event with address and symbols; Ctrl-C ends it with 130."""
    command = [
        *(*TRADER, "exchange", "serve", "--market", "real-daily", "--symbols", "AAPL"),
        *("--bars", "5", "--json", "1", "--state-dir", str(tmp_path / "run")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout is not None
    event = json.loads(process.stdout.readline())
    assert (event["event"], event["symbols"], event["is_loopback"]) == ("exchange_ready", ["AAPL"], True)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    process.stdout.close()
