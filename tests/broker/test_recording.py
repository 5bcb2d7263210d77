"""A recording of real replies holds nothing private, and the exchange is compared with it place by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import alpaca_live
from trader_sdk.broker.recording import as_document, asks, record
from trader_sdk.cli import build_app, run_app
from trader_sdk.cli.exchange_record import ask_exchange
from trader_sdk.contract.errors import ConfigError


def compare(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    """Run the command and return its exit code and events."""
    argv = ["exchange", "compare", str(path), "--json", "1"]
    code = run_app(build_app(argv), argv)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_recording_is_compared_and_every_other_shape_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exchange agrees with itself; another status, a missing key and another kind of value are each found."""
    replies = ask_exchange("AAPL")
    document = json.loads(json.dumps(as_document("alpaca-paper", "AAPL", replies)))
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(document))
    code, events = compare(path, capsys)
    assert (code, events[-1]["replies"], events[-1]["differences"]) == (0, len(asks("AAPL", "n")), 0)
    by_name = {reply["name"]: reply for reply in document["replies"]}
    assert by_name["order"]["status"] == 200
    assert by_name["cancel"]["status"] == 204
    assert by_name["order after its cancel"]["body"]["status"] == "canceled"
    assert {by_name[name]["status"] for name in ("asset unknown", "position unknown", "order unknown")} == {404}
    for name, private in (("account", "account_number"), ("order", "client_order_id"), ("order", "id")):
        assert by_name[name]["body"][private] == "redacted"
    by_name["order with a used id"]["status"] = 409
    by_name["account"]["body"]["margin_of_the_future"] = "1"
    by_name["clock"]["body"]["is_open"] = "no"
    path.write_text(json.dumps(document))
    code, events = compare(path, capsys)
    assert code == 6
    found = {(row["request"], row["where"], row["recorded"], row["exchange"]) for row in events[0]["rows"]}
    assert found == {
        ("order with a used id", "status", "409", "422"),
        ("account", ".margin_of_the_future", "decimal text", "absent"),
        ("clock", ".is_open", "text", "bool"),
    }


def test_nothing_is_recorded_with_real_money_or_without_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The live endpoint is refused before a request; without keys the command says which it needs: exit 2."""
    with pytest.raises(ConfigError, match="real money"):
        record(alpaca_live(), Credentials.of("key-of-nobody", "secret-of-nobody"), asks("AAPL", "n"))
    for name in ("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_API_SECRET", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    argv = ["exchange", "record", str(tmp_path / "r.json")]
    assert run_app(build_app(argv), argv) == 2
    assert "ALPACA_API_KEY" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()
