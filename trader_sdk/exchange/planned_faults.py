"""A fault plan at work: counts what matches, strikes, and keeps a record of every strike and every write."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from trader_sdk.exchange import spoil
from trader_sdk.exchange.connections import transport_of
from trader_sdk.exchange.fault_plan import (
    ConnectionEffect,
    ConnectionFault,
    Fault,
    FaultPlan,
    HttpEffect,
    HttpFault,
    Stage,
    StreamEffect,
    StreamFault,
    VenueFault,
)
from trader_sdk.exchange.faults import CloseSocket, Frame, Garbage, Interfere, StreamName, Welcome

_KEPT: Final = 10_000
_WRITES: Final = frozenset({"POST", "PATCH", "DELETE"})
_INSTEAD: Final = frozenset({HttpEffect.STATUS, HttpEffect.HANG, HttpEffect.DRIP, HttpEffect.CUT, HttpEffect.RESET})
"""Effects after which the venue's own reply does not reach the client."""


class PlannedFaults:
    """Implement :class:`~trader_sdk.exchange.faults.Faults` by a plan.

    Counters live as long as the process: an exchange that is started again counts from the beginning.

    Args:
        plan: What goes wrong.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._matches: Counter[int] = Counter()
        self._fired: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._writes: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._requests: Counter[str] = Counter()
        self._connects: Counter[StreamName] = Counter()
        self._held: dict[StreamName, list[Frame]] = {name: [] for name in StreamName}
        self._late: dict[StreamName, list[Frame]] = {name: [] for name in StreamName}
        self._muted: dict[StreamName, set[str | None]] = {name: set() for name in StreamName}
        self._bars = 0
        self._interfere: Interfere = lambda _: None

    def bind(self, interfere: Interfere) -> None:
        """Learn how something is done at the venue itself."""
        self._interfere = interfere

    def describe(self) -> dict[str, Any]:
        """Return the plan, every strike, every write and how often each kind of request came."""
        return {
            "plan": self.plan.dump(),
            "fired": list(self._fired),
            "writes": list(self._writes),
            "requests": dict(self._requests),
            "connects": {name.value: count for name, count in self._connects.items()},
            "bars": self._bars,
        }

    def bars_released(self) -> None:
        """Do what the plan has at the venue after this bar."""
        self._bars += 1
        for index, fault in enumerate(self.plan.faults):
            if isinstance(fault, VenueFault) and fault.bar == self._bars:
                self._note(index, fault, {"bar": self._bars})
                for act in fault.acts:
                    self._interfere(act.command())

    async def http(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or spoil it as the first fault says that strikes it."""
        method, path = scope["method"], scope["path"]
        self._requests[f"{method} {path}"] += 1
        body = await spoil.whole_body(receive) if method in _WRITES else b""
        order = _order_of(scope, body)
        fault = self._http_fault(method, path, order)
        if fault is None:
            reply = await spoil.served(app, scope, body)
            self._note_write(method, path, order, None, reply.status)
            await reply.send(send)
            return
        await self._spoiled(fault, app, scope, body, receive, send, order)

    def _http_fault(self, method: str, path: str, order: Mapping[str, str]) -> HttpFault | None:
        struck: HttpFault | None = None
        for index, fault in enumerate(self.plan.faults):
            if not isinstance(fault, HttpFault) or not _matches_request(fault, method, path, order):
                continue
            self._matches[index] += 1
            if struck is None and fault.strikes(self._matches[index]):
                struck = fault
                self._note(index, fault, {"method": method, "path": path, **order})
        return struck

    async def _spoiled(
        self,
        fault: HttpFault,
        app: ASGIApp,
        scope: Scope,
        body: bytes,
        receive: Receive,
        send: Send,
        order: Mapping[str, str],
    ) -> None:
        for act in fault.before:
            self._interfere(act.command())
        is_booked = fault.stage is Stage.AFTER or fault.effect is HttpEffect.DELAY
        if fault.effect is HttpEffect.DELAY and fault.stage is Stage.BEFORE:
            await asyncio.sleep(fault.seconds)
        reply = await spoil.served(app, scope, body) if is_booked else spoil.answer(500, {}, "")
        status = reply.status if is_booked and fault.effect not in _INSTEAD else None
        self._note_write(scope["method"], scope["path"], order, fault, status, is_booked=is_booked)
        for act in fault.after:
            self._interfere(act.command())
        await self._replied(fault, reply, scope, receive, send)

    async def _replied(
        self, fault: HttpFault, reply: spoil.Captured, scope: Scope, receive: Receive, send: Send
    ) -> None:
        match fault.effect:
            case HttpEffect.STATUS:
                await spoil.answer(fault.status, fault.headers, fault.body).send(send)
            case HttpEffect.HANG:
                await spoil.hang(receive)
                spoil.reset(transport_of(scope["client"]))
            case HttpEffect.DRIP:
                await spoil.drip(reply, send, fault.seconds)
            case HttpEffect.CUT:
                await reply.send(send, keep=int(len(reply.body) * fault.keep))
                spoil.reset(transport_of(scope["client"]))
            case HttpEffect.RESET:
                spoil.reset(transport_of(scope["client"]))
            case _:
                await self._edited(fault, reply).send(send)

    @staticmethod
    def _edited(fault: HttpFault, reply: spoil.Captured) -> spoil.Captured:
        if fault.effect is HttpEffect.EMPTY:
            reply.body = b""
        elif fault.effect is HttpEffect.TRUNCATE:
            reply.body = reply.body[: int(len(reply.body) * fault.keep)]
        elif fault.effect is HttpEffect.EDIT:
            reply.body = json.dumps(spoil.merged(json.loads(reply.body or b"{}"), fault.patch)).encode()
        elif fault.effect is HttpEffect.SKEW:
            reply.body = json.dumps(spoil.skewed(json.loads(reply.body or b"{}"), fault.seconds)).encode()
        return reply

    def welcome(self, name: StreamName) -> Welcome:
        """Return what a connection meets; a new one hears again what was mute."""
        self._connects[name] += 1
        self._muted[name].clear()
        for index, fault in enumerate(self.plan.faults):
            if isinstance(fault, ConnectionFault) and fault.stream is name:
                self._matches[index] += 1
                if fault.strikes(self._matches[index]):
                    self._note(index, fault, {"connection": self._connects[name]})
                    return _welcome(fault)
        return Welcome()

    def stream(self, name: StreamName, message: dict[str, Any]) -> Sequence[Frame]:
        """Return what is sent instead of one message."""
        event, symbol = _event_of(message), _symbol_of(message)
        fault = self._stream_fault(name, event, symbol)
        frames = self._struck(name, message, fault)
        if not self._muted[name].isdisjoint({None, symbol}):
            return ()
        effect = None if fault is None else fault.effect
        held, self._held[name] = self._held[name], [message] if effect is StreamEffect.REORDER else []
        late, self._late[name] = self._late[name], []
        if fault is not None and effect is StreamEffect.DUPLICATE and fault.late:
            self._late[name] = [spoil.merged(message, fault.patch)]
        return (*late, *frames, *held)

    def _stream_fault(self, name: StreamName, event: str, symbol: str) -> StreamFault | None:
        struck: StreamFault | None = None
        for index, fault in enumerate(self.plan.faults):
            if not isinstance(fault, StreamFault) or fault.stream is not name:
                continue
            if not fnmatchcase(event, fault.event) or fault.symbol not in (None, symbol):
                continue
            self._matches[index] += 1
            if struck is None and fault.strikes(self._matches[index]):
                struck = fault
                self._note(index, fault, {"stream": name.value, "event": event, "symbol": symbol})
        return struck

    def _struck(self, name: StreamName, message: dict[str, Any], fault: StreamFault | None) -> tuple[Frame, ...]:
        match None if fault is None else fault.effect:
            case StreamEffect.DROP | StreamEffect.REORDER:
                return ()
            case StreamEffect.DUPLICATE if fault is not None and not fault.late:
                return message, spoil.merged(message, fault.patch)
            case StreamEffect.MUTE if fault is not None:
                self._muted[name].add(fault.symbol)
                return ()
            case StreamEffect.EDIT if fault is not None:
                return (spoil.merged(message, fault.patch),)
            case StreamEffect.SKEW if fault is not None:
                return (_moved(message, fault.seconds),)
            case StreamEffect.GARBAGE if fault is not None:
                return (Garbage(fault.body.encode()),)
            case StreamEffect.CLOSE if fault is not None:
                return (CloseSocket(fault.code),)
            case _:
                return (message,)

    def _note(self, index: int, fault: Fault, what: Mapping[str, Any]) -> None:
        effect = getattr(fault, "effect", None)
        name = fault.kind if effect is None else f"{fault.kind} {effect.value}"
        self._fired.append({"fault": index, "name": name, "bar": self._bars, **what})

    def _note_write(
        self,
        method: str,
        path: str,
        order: Mapping[str, str],
        fault: HttpFault | None,
        status: int | None,
        *,
        is_booked: bool = True,
    ) -> None:
        if method in _WRITES:
            name = None if fault is None else fault.effect.value
            said = {"method": method, "path": path, "bar": self._bars, "status": status, "fault": name}
            self._writes.append({**said, "reached": is_booked, **order})


def _matches_request(fault: HttpFault, method: str, path: str, order: Mapping[str, str]) -> bool:
    return (
        fault.method in ("*", method)
        and fnmatchcase(path, fault.path)
        and fault.symbol in (None, order.get("symbol"))
        and (fault.client_order_id is None or fnmatchcase(order.get("client_order_id", ""), fault.client_order_id))
    )


def _order_of(scope: Scope, body: bytes) -> dict[str, str]:
    """Return symbol and client order id of a request, from its body or its query."""
    try:
        data = json.loads(body) if body else {}
    except ValueError:
        data = {}
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    asked = {"symbol": query.get("symbols") or query.get("symbol"), "client_order_id": query.get("client_order_id")}
    found = {name: values[0] for name, values in asked.items() if values}
    if isinstance(data, dict):
        found |= {name: str(data[name]) for name in ("symbol", "client_order_id", "side") if name in data}
    return found


def _event_of(message: Mapping[str, Any]) -> str:
    return str(message["T"]) if "T" in message else str(message.get("data", {}).get("event", ""))


def _symbol_of(message: Mapping[str, Any]) -> str:
    if "S" in message:
        return str(message["S"])
    return str(message.get("data", {}).get("order", {}).get("symbol", ""))


def _moved(message: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return a message with its times moved; market data carries its own kind of time."""
    if "T" not in message:
        return dict(spoil.skewed(message, seconds))
    moment = message["t"]
    return {**message, "t": type(moment)(moment.seconds + int(seconds), moment.nanoseconds)}


def _welcome(fault: ConnectionFault) -> Welcome:
    said = (fault.code, fault.message)
    return {
        ConnectionEffect.REFUSE: Welcome(refused=said),
        ConnectionEffect.DENY: Welcome(denied=said),
        ConnectionEffect.CLOSE: Welcome(close_after_seconds=fault.seconds),
    }[fault.effect]
