"""Why a symbol was or was not traded: the chain from a bar to its fill, and a remedy wherever it breaks."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trader_sdk.contract.reasons import REASON_REMEDIES
from trader_sdk.live.chain import ORDER_REMEDIES, chains_of
from trader_sdk.live.journal import read_events
from trader_sdk.live.state import find_run
from trader_sdk.orders import OrderStatus

Ask = Callable[..., Any]


def test_chain_of_a_traded_bar_runs_from_the_bar_to_the_fill(
    ended_run: tuple[Path, Any], ask: Ask, tmp_path: Path
) -> None:
    """Bar, features, decision, plan, risk, order and fill are all told, and nothing is left to be remedied."""
    state_dir, _ = ended_run
    shown = ask(state_dir, "why", "AAPL").named("why")[0]["rows"]
    bar = next(row["bar"] for row in shown if row["reason"] == "traded")
    chain = ask(state_dir, "why", "AAPL", "--at", bar).last
    (order,) = chain["orders"]
    assert (order["status"], chain["remedies"], chain["account_state"]) == ("FILLED", [], "ACTIVE")
    assert chain["decision"]["client_order_id"] == order["client_order_id"]
    assert len(chain["decision"]["logits"]) == 7
    (fill,) = order["fills"]
    table = tmp_path / "fills.csv"
    ask(state_dir, "fills", "--year", "2012", "--csv", str(table))
    with table.open() as file:
        row = next(row for row in csv.DictReader(file) if row["execution_id"] == fill["execution_id"])
    assert row["model_sha256"] == chain["decision"]["model_sha256"]
    assert (row["side"], row["quantity"], row["price"], row["fee"]) == tuple(
        fill[name] for name in ("side", "qty", "price", "fee")
    )
    assert ask(state_dir, "fills", "--year", "1999").last["rows"] == []


def test_every_bar_was_traded_whole_or_says_what_to_do(ended_run: tuple[Path, Any]) -> None:
    """No bar ends without an order or a reason, and each reason comes with its remedy."""
    entries = read_events(find_run(ended_run[0], None))
    chains = [chain for symbol in ("AAPL", "MSFT") for chain in chains_of(entries, symbol)]
    assert len(chains) == 16
    untold = [chain.at for chain in chains if not chain.remedies and not chain.orders]
    assert untold == []
    steps = {link.step for chain in chains for link in chain.links if chain.orders}
    assert steps >= {"bar", "features", "decision", "plan", "risk", "order", "fill"}
    for chain in chains:
        if chain.reason is not None:
            assert f"{chain.reason}: {REASON_REMEDIES[chain.reason]}" in chain.remedies


def test_every_end_of_an_order_but_a_fill_has_a_remedy() -> None:
    """A status that leaves something undone is answered; nothing is answered that cannot happen to a sent order."""
    assert set(ORDER_REMEDIES) == set(OrderStatus) - {OrderStatus.PLANNED, OrderStatus.FILLED}


def test_refused_model_is_the_answer_where_no_bar_was_seen(ask: Ask, daily_archive: Path, tmp_path: Path) -> None:
    """A symbol whose model was refused says so with the code and the remedy, not that it is unknown."""
    archive = str(daily_archive)
    run = ask(tmp_path, "run", "--archive", archive, "--symbols", "AAPL,IBM", "--once", "1", "--dry-run", "1")
    assert run.code == 0, run.stderr
    said = ask(tmp_path, "why", "IBM").last
    assert (said["event"], said["code"]) == ("model_refused", "E601")
    assert said["remedy"]
    unknown = ask(tmp_path, "why", "AAPL", "--at", "1999")
    assert unknown.code == 2
    assert "expected a bar from 2012-" in unknown.stderr
