"""What a run measures, for Prometheus: counters and gauges that follow what the trader tells, served on loopback."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.contract.errors import ConfigError
from trader_sdk.risk import TradingState

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from trader_sdk.live.ledger import Ledger
    from trader_sdk.live.trader import LiveTrader

LOOPBACK: Final = "127.0.0.1"
_DECIDE_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_COUNTED_EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "order_refused": ("trader_orders_refused", "Orders that the venue refused."),
    "order_unknown": ("trader_orders_unknown", "Orders whose outcome was not known when they were sent."),
    "drift_found": ("trader_drifts", "Positions that were not what the books said."),
    "broker_trouble": ("trader_broker_troubles", "Reads of the venue that failed."),
    "reconcile_failed": ("trader_reconciles_failed", "Comparisons with the venue that could not be finished."),
    "stream_reopened": ("trader_streams_reopened", "Streams that were opened anew."),
}
_MOVED: Final = ("sent", "acked", "fills")


class Telemetry:
    """Metrics of one run.

    Args:
        registry: Where they are registered; one of its own for each run.
        wall: Seconds since the epoch.
    """

    def __init__(self, registry: CollectorRegistry, wall: Callable[[], float] = time.time) -> None:
        from prometheus_client import Counter, Gauge, Histogram, Info, ProcessCollector

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._wall = wall
        ProcessCollector(registry=registry)
        self._info = Info("trader", "Version, mode and run.", registry=registry)
        self._state = gauge("trader_state", "1 for the state that the account is in.", "state")
        self._equity = gauge("trader_equity", "Sum of all sleeves at the last closes, account currency.")
        self._drawdown = gauge("trader_drawdown_ratio", "Fall below the run's highest equity.")
        self._positions = gauge("trader_position_value", "Position at the last close, account currency.", "symbol")
        self._working = gauge("trader_orders_working", "Orders that are not at their end.")
        self._bar_at = gauge(
            "trader_last_bar_processed_timestamp_seconds", "When the last bar was finished, real time."
        )
        self._late = gauge("trader_bar_late_seconds", "How long after it was final the last bar was decided on.")
        self._symbols = gauge("trader_bar_symbols", "Symbols that had the last bar.")
        self._requests = gauge("trader_requests_left", "Requests that may go at once under the venue's limit, if any.")
        self._requests.set(math.nan)  # a zero would say that none is left
        self._decide = Histogram(
            "trader_decide_seconds", "From a closed bar to its durable orders.", buckets=_DECIDE_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._bars = counter("trader_bars", "Bar times that were decided on.")
        self._decisions = counter("trader_decisions", "Decisions by direction.", "direction")
        self._blocked = counter("trader_blocked", "Decisions without an order, by reason.", "reason")
        self._moved = {
            "sent": counter("trader_orders_sent", "Order requests sent."),
            "acked": counter("trader_orders_acknowledged", "Orders that the venue took."),
            "fills": counter("trader_fills", "Executions booked."),
        }
        self._reconciles = counter("trader_reconciles", "Comparisons with the venue, by whether all agreed.", "clean")
        self._events = {event: counter(name, text) for event, (name, text) in _COUNTED_EVENTS.items()}

    def observe(self, name: str, fields: Mapping[str, Any]) -> None:
        """Follow one fact that the trader tells."""
        if name in self._events:
            self._events[name].inc()
        elif name == "bar_finished":
            self._take_bar(fields)
        elif name == "reconcile_finished":
            self._reconciles.labels(clean=str(fields["clean"]).lower()).inc()
        elif name == "run_started":
            known = {"version": fields["sdk_version"], "mode": fields["mode"], "run_id": fields["run_id"]}
            self._info.info({label: str(value) for label, value in known.items()})

    def _take_bar(self, fields: Mapping[str, Any]) -> None:
        self._bars.inc()
        self._bar_at.set(self._wall())
        self._late.set(fields["late_seconds"])
        self._symbols.set(fields["symbols"])
        self._decide.observe(fields["decide_ms"] / 1e3)
        self._equity.set(float(fields["equity"]))
        self._drawdown.set(fields["drawdown"])
        for direction in ("buy", "sell", "hold"):
            self._decisions.labels(direction=direction).inc(fields[direction])
        for reason, count in fields["blocked"].items():
            self._blocked.labels(reason=reason).inc(count)
        for name in _MOVED:
            self._moved[name].inc(fields[name])
        if fields["requests_left"] is not None:
            self._requests.set(fields["requests_left"])

    def look(self, ledger: Ledger) -> None:
        """Take over what the books say now; called in the thread that owns them."""
        for state in TradingState:
            self._state.labels(state=state.value).set(ledger.state is state)
        self._working.set(len(ledger.working))
        for symbol, sleeve in ledger.sleeves.items():
            price = ledger.prices.get(symbol)
            self._positions.labels(symbol=symbol).set(0 if price is None else float(sleeve.position_value(price)))


_LOOKS_AFTER: Final = frozenset({"ready", "bar_finished", "fill_recorded", "state_changed", "idle", "run_finished"})


@contextmanager
def metrics_served(port: int | None, trader: LiveTrader) -> Iterator[int | None]:
    """Serve a trader's metrics on loopback for as long as the context lives; None serves none.

    Args:
        port: On 127.0.0.1; 0 takes a free one.
        trader: Observed from here on.

    Yields:
        The port that is served.

    Raises:
        ConfigError: The port is taken, or prometheus-client is not installed.
    """
    if port is None:
        yield None
        return
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise ConfigError(
            "CONFIG", "metrics need prometheus-client", where="--metrics-port", remedy='pip install "trader-sdk[live]"'
        ) from error
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    try:
        # A thread of its own answers scrapes: one that hangs must not hold up a decision.
        server, thread = start_http_server(port, LOOPBACK, registry)
    except OSError as error:
        raise ConfigError("CONFIG", "the port cannot be served", where=f"--metrics-port {port}", found=error) from error

    def follow(name: str, fields: Mapping[str, Any]) -> None:
        telemetry.observe(name, fields)
        if name in _LOOKS_AFTER:
            telemetry.look(trader.session.journal.ledger)

    trader.observe(follow)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
