"""Health of the streams: told once, acted on in time, over when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from trader_sdk.broker.port import StreamEvent, StreamKind, StreamName
from trader_sdk.live.stream_watch import FLAPS, FLAPS_WITHIN_SECONDS, SILENT_BARS, StreamWatch


class Watched:
    """A watch on a clock of ours."""

    def __init__(self) -> None:
        self.now, self.told = 0.0, list[str]()
        self.watch = StreamWatch(lambda name, _: self.told.append(name), lambda: self.now)

    def see(self, kind: StreamKind, stream: StreamName = StreamName.MARKET_DATA, **raw: Any) -> None:
        """Let an event come."""
        body: Mapping[str, Any] = raw
        self.watch.saw(StreamEvent(stream, kind, datetime.now(UTC), self.now, body))


@pytest.fixture
def seen() -> Watched:
    """Return a watch that has seen nothing."""
    return Watched()


def test_positions_are_not_opened_while_a_stream_keeps_breaking(seen: Watched) -> None:
    """Three breaks in a minute gate, fewer or slower ones do not, and a quiet minute lifts it."""
    for _ in range(FLAPS):
        seen.now += FLAPS_WITHIN_SECONDS
        seen.see(StreamKind.DISCONNECTED)
        assert not seen.watch.is_flapping()
    for _ in range(FLAPS - 1):
        seen.now += 1
        seen.see(StreamKind.DISCONNECTED)
    assert seen.watch.is_flapping()
    assert seen.told == ["stream_flapping"]
    seen.now += FLAPS_WITHIN_SECONDS + 1
    assert not seen.watch.is_flapping()


def test_breaks_of_different_streams_are_not_added_up(seen: Watched) -> None:
    """Each stream is judged by itself."""
    for stream in (*StreamName, *StreamName):
        seen.see(StreamKind.DISCONNECTED, stream)
    assert not seen.watch.is_flapping()


@pytest.mark.parametrize("code", [405, 406, 407, 409, 410, 999])
def test_refused_stream_is_named_once_and_recovers_with_the_first_bar(seen: Watched, code: int) -> None:
    """A refusal is told once, whatever the library tries; a bar ends it."""
    for _ in range(3):
        seen.see(StreamKind.ERROR, code=code, msg="no")
    assert seen.watch.is_degraded
    seen.see(StreamKind.BAR, S="SIM")
    assert not seen.watch.is_degraded
    assert seen.told == ["feed_degraded", "feed_recovered"]


def test_open_stream_without_bars_is_opened_anew(seen: Watched) -> None:
    """Bars that REST has and the stream did not bring, twice in a row; one that came starts the count again."""
    assert [seen.watch.bars_came(streamed=False) for _ in range(SILENT_BARS)] == [False] * (SILENT_BARS - 1) + [True]
    assert not seen.watch.bars_came(streamed=False)
    assert not seen.watch.bars_came(streamed=True)
    assert not seen.watch.bars_came(streamed=False)


def test_refused_stream_is_not_opened_again_and_again(seen: Watched) -> None:
    """The library itself tries a refused connection; opening another one would storm."""
    seen.see(StreamKind.ERROR, code=406, msg="connection limit exceeded")
    assert not any(seen.watch.bars_came(streamed=False) for _ in range(5 * SILENT_BARS))
