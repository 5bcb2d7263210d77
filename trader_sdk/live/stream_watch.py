"""Health of the two streams: breaks, refusals and silence, told once each, and what must be done about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from trader_sdk.broker.port import StreamEvent, StreamKind, StreamName

Say = Callable[[str, Mapping[str, Any]], None]

FLAPS: Final = 3
"""Breaks of one stream within :data:`FLAPS_WITHIN_SECONDS` after which no position is opened."""
FLAPS_WITHIN_SECONDS: Final = 60.0
SILENT_BARS: Final = 2
"""Bars that came over REST and not over an open stream before it is opened anew."""
_ADVICE: Final[Mapping[int, str]] = {
    405: "fewer symbols, or a larger plan",
    406: "another client uses these keys: one stream each account",
    407: "this machine is too slow for so many symbols",
    409: "the plan does not include this feed",
    410: "the stream does not take this subscription",
}


class StreamWatch:
    """Follows what the streams' threads report.

    Args:
        say: Told of what a person should know.
        monotonic: Seconds; the clock that events are stamped with.
    """

    def __init__(self, say: Say, monotonic: Callable[[], float]) -> None:
        self.say, self._monotonic = say, monotonic
        self._breaks: dict[StreamName, deque[float]] = {name: deque(maxlen=FLAPS) for name in StreamName}
        self._told_flapping = False
        self._silent_bars = 0
        self.is_degraded = False

    def saw(self, event: StreamEvent) -> None:
        """Take one event of a stream."""
        match event.kind:
            case StreamKind.DISCONNECTED:
                self._breaks[event.stream].append(event.received_monotonic_seconds)
                self._tell_flapping(event.stream)
            case StreamKind.ERROR if event.stream is StreamName.MARKET_DATA and "code" in event.raw:
                self._degrade(event.raw)
            case StreamKind.BAR:
                self._recover()
            case _:
                pass

    def is_flapping(self) -> bool:
        """Return whether a stream broke so often lately that no position should be opened."""
        since = self._monotonic() - FLAPS_WITHIN_SECONDS
        return any(len(breaks) == FLAPS and breaks[0] >= since for breaks in self._breaks.values())

    def bars_came(self, *, streamed: bool) -> bool:
        """Note where the bars of a moment came from; return whether the stream is open, mute, and to be opened anew."""
        self._silent_bars = 0 if streamed or self.is_degraded else self._silent_bars + 1
        if self._silent_bars < SILENT_BARS:
            return False
        self._silent_bars = 0
        return True

    def _tell_flapping(self, stream: StreamName) -> None:
        flapping = self.is_flapping()
        if flapping and not self._told_flapping:
            self.say("stream_flapping", {"stream": stream.value, "breaks": FLAPS, "seconds": FLAPS_WITHIN_SECONDS})
        self._told_flapping = flapping

    def _degrade(self, raw: Mapping[str, Any]) -> None:
        if not self.is_degraded:
            code = raw.get("code")
            advice = _ADVICE.get(code, "") if isinstance(code, int) else ""
            self.say("feed_degraded", {"code": code, "message": str(raw.get("msg", "")), "advice": advice})
        self.is_degraded = True

    def _recover(self) -> None:
        self._silent_bars = 0
        if self.is_degraded:
            self.say("feed_recovered", {})
        self.is_degraded = False
