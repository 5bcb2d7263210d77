"""What a stream's frame holds besides the data that handlers receive: refusals, confirmations, and the unreadable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trader_sdk.broker.port import StreamKind

QUARANTINE_CHARACTERS: Final = 4096
DATA_TYPES: Final = frozenset("tqobudslncx")
_CONTROL_TYPES: Final[Mapping[str, StreamKind | None]] = {
    "success": None,
    "subscription": StreamKind.SUBSCRIBED,
    "error": StreamKind.ERROR,
}

Note = tuple[StreamKind, Mapping[str, Any]]


def quarantined(frame: object, why: str) -> Note:
    """Return a note of a frame that nobody understands, shortened."""
    return StreamKind.QUARANTINED, {"frame": repr(frame)[:QUARANTINE_CHARACTERS], "why": why}


def order_frame_notes(frame: Any) -> Iterator[Note]:
    """Yield what is to be said of a decoded frame of the order stream, nothing for an order event.

    An order event reaches its reader whatever its shape; the reader's parser judges it.

    Example:
        >>> list(order_frame_notes({"stream": "trade_updates", "data": {"event": "fill", "order": {}}}))
        []
        >>> next(order_frame_notes([1]))[0]
        <StreamKind.QUARANTINED: 'quarantined'>
    """
    stream = frame.get("stream") if isinstance(frame, dict) else None
    if stream == "trade_updates":
        return
    data = frame.get("data") if stream is not None else None
    if not isinstance(data, dict):
        yield quarantined(frame, "no data object")
        return
    match stream:
        case "listening":
            yield StreamKind.SUBSCRIBED, data
        case "authorization":
            if data.get("status") != "authorized":
                yield StreamKind.ERROR, data
        case _:
            yield quarantined(frame, "unknown stream")


def bar_frame_notes(frame: Any) -> Iterator[Note]:
    """Yield what is to be said of a decoded frame of the market data stream, nothing for data.

    Example:
        >>> list(bar_frame_notes([{"T": "error", "code": 406, "msg": "connection limit exceeded"}]))
        [(<StreamKind.ERROR: 'error'>, {'T': 'error', 'code': 406, 'msg': 'connection limit exceeded'})]
    """
    if not isinstance(frame, list):
        yield quarantined(frame, "not an array")
        return
    for message in frame:
        yield from _message_notes(message)


def _message_notes(message: Any) -> Iterator[Note]:
    kind = message.get("T") if isinstance(message, dict) else None
    if not isinstance(kind, str):
        yield quarantined(message, "no type")
    elif kind in _CONTROL_TYPES:
        if (note := _CONTROL_TYPES[kind]) is not None:
            yield note, message
    elif kind not in DATA_TYPES:
        yield quarantined(message, "unknown type")
    elif kind != "n" and "S" not in message:
        yield quarantined(message, "no symbol")
