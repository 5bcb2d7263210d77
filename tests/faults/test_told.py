"""What happens to streams and limits reaches people, not only programs."""

from __future__ import annotations

import io
from typing import Any

import pytest

from trader_sdk.cli.output import Output
from trader_sdk.cli.run_screen import RunScreen


@pytest.mark.parametrize(
    ("name", "fields", "shown"),
    [
        ("limit_changed", {"symbol": "SIM", "limit": "rejects", "cause": "3 orders refused"}, "3 orders refused"),
        ("feed_degraded", {"code": 406, "message": "limit", "advice": "another client uses these keys"}, "another"),
        ("feed_degraded", {"code": 999, "message": "what", "advice": ""}, "999 what"),
        ("feed_recovered", {}, "back"),
        ("stream_reopened", {"stream": "market_data", "cause": "open and mute"}, "anew"),
        ("stream_flapping", {"stream": "trade_updates", "breaks": 3, "seconds": 60.0}, "no position"),
        ("frame_quarantined", {"stream": "trade_updates", "why": "no JSON", "file": "q.jsonl"}, "q.jsonl"),
    ],
)
def test_person_sees_what_happened(name: str, fields: dict[str, Any], shown: str) -> None:
    """Each event that the campaign knows is a line on the screen."""
    stream = io.StringIO()
    RunScreen(Output(stream=stream)).show(name, fields)
    assert shown in stream.getvalue()
