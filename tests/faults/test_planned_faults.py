"""The plan's format, and what it does to messages and connections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from trader_sdk.contract.errors import ConfigError
from trader_sdk.exchange.fault_plan import FaultPlan, load_plan, parse_plan
from trader_sdk.exchange.faults import CloseSocket, Garbage, StreamName
from trader_sdk.exchange.planned_faults import PlannedFaults
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.stage import opened, struck_at

ORDERS = StreamName.TRADE_UPDATES


def planned(*faults: dict[str, Any]) -> PlannedFaults:
    return PlannedFaults(parse_plan({"faults": list(faults)}, where="test"))


def message(number: int, event: str = "fill") -> dict[str, Any]:
    return {"stream": "trade_updates", "data": {"event": event, "n": number, "order": {"symbol": "SIM"}}}


def sent(faults: PlannedFaults, count: int) -> list[Any]:
    """Return what of ``count`` messages is sent: their numbers, or what a fault made of them."""
    frames = [frame for number in range(1, count + 1) for frame in faults.stream(ORDERS, message(number))]
    return [frame["data"]["n"] if isinstance(frame, dict) else frame for frame in frames]


def stream_fault(effect: str, **more: Any) -> dict[str, Any]:
    return {"kind": "stream", "stream": "trade_updates", "effect": effect, "nth": 2, **more}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (stream_fault("drop"), [1, 3, 4]),
        (stream_fault("drop", times=0), [1]),
        (stream_fault("drop", times=2), [1, 4]),
        (stream_fault("drop", event="new"), [1, 2, 3, 4]),
        (stream_fault("drop", symbol="DUO"), [1, 2, 3, 4]),
        (stream_fault("duplicate"), [1, 2, 2, 3, 4]),
        (stream_fault("duplicate", patch={"data": {"n": 9}}), [1, 2, 9, 3, 4]),
        (stream_fault("duplicate", late=True), [1, 2, 2, 3, 4]),
        (stream_fault("reorder"), [1, 3, 2, 4]),
        (stream_fault("mute"), [1]),
        (stream_fault("edit", patch={"data": {"n": 0}}), [1, 0, 3, 4]),
        (stream_fault("garbage", body="{"), [1, Garbage(b"{"), 3, 4]),
        (stream_fault("close", code=1011), [1, CloseSocket(1011), 3, 4]),
    ],
)
def test_stream_effect_changes_what_is_sent(fault: dict[str, Any], expected: list[Any]) -> None:
    """Each effect, from the second match on, as often as it says."""
    assert sent(planned(fault), 4) == expected


def test_late_copy_comes_with_the_next_message() -> None:
    """When the first was dealt with, and before anything that follows it, so that a play has one outcome."""
    faults = planned(stream_fault("duplicate", late=True))
    assert [sent(faults, 1) for _ in range(3)] == [[1], [1], [1, 1]]


def test_mute_stream_speaks_again_on_a_new_connection() -> None:
    """Mute but open: only a new connection hears again."""
    faults = planned(stream_fault("mute"))
    assert sent(faults, 3) == [1]
    assert faults.welcome(ORDERS).refused is None
    assert sent(faults, 2) == [1, 2]


def test_first_matching_fault_strikes_and_all_count() -> None:
    """Two faults on one message: the first strikes, both have counted it."""
    faults = planned(stream_fault("drop", nth=1), stream_fault("duplicate", nth=2))
    assert sent(faults, 3) == [2, 2, 3]
    assert [strike["name"] for strike in faults.describe()["fired"]] == ["stream drop", "stream duplicate"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http", "effect": "explode"},
        {"kind": "http", "effect": "truncate", "stage": "before"},
        {"kind": "http", "effect": "reset", "nth": 0},
        {"kind": "stream", "effect": "drop"},
        {"kind": "venue", "bar": 1, "acts": []},
        {"kind": "http", "effect": "reset", "colour": "red"},
        {"effect": "reset"},
    ],
)
def test_plan_is_refused_when_it_is_not_valid(fault: dict[str, Any]) -> None:
    """The format is strict: a misspelt plan would test nothing."""
    with pytest.raises(ConfigError, match="not a fault plan"):
        planned(fault)


def test_plan_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """TOML and JSON say the same, and what is dumped can be loaded."""
    toml = tmp_path / "plan.toml"
    toml.write_text(
        'name = "two"\n[[faults]]\nkind = "http"\nmethod = "POST"\neffect = "reset"\nstage = "before"\n'
        '[[faults]]\nkind = "kill"\npoint = "submit"\nnth = 2\n'
    )
    plan = load_plan(toml)
    written = tmp_path / "plan.json"
    written.write_text(json.dumps(plan.dump()))
    assert load_plan(written) == plan
    assert isinstance(plan, FaultPlan)


def test_plan_that_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    """A missing file, bad syntax and a list are each named."""
    bad = tmp_path / "bad.json"
    bad.write_text("[1]")
    for path in (bad, tmp_path / "missing.toml"):
        with pytest.raises(ConfigError):
            load_plan(path)


def test_fault_surface_replaces_the_plan_and_tells_what_it_did(tmp_path: Path) -> None:
    """``POST /_fault`` puts another plan in force; a write is noted with its fate; a bad plan changes nothing."""
    with opened(tmp_path, Scenario(id="X", title="t", right="r"), own_process=False) as address:
        url, headers = address.rest_url, address.headers
        plan = {"faults": [{"kind": "http", "method": "DELETE", "effect": "status", "status": 418, "body": "tea"}]}
        assert requests.post(f"{url}/_fault", json=plan, headers=headers, timeout=5).json()["writes"] == []
        reply = requests.delete(f"{url}/v2/orders", headers=headers, timeout=5)
        assert (reply.status_code, reply.text) == (418, "tea")
        assert requests.post(f"{url}/_fault", json={"x": 1}, headers=headers, timeout=5).status_code == 422
        struck = struck_at(address)
        assert [write["fault"] for write in struck["writes"]] == ["status"]
        assert struck["fired"][0]["method"] == "DELETE"
        assert requests.get(f"{url}/_fault", timeout=5).status_code == 401
