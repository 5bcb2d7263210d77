"""The published figures of the gate: simulated as they say, rendered from their JSON, and no run lost on the way."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from trader_sdk.archive.gate import GateClass
from trader_sdk.archive.metrics import house_metrics
from trader_sdk.archive.policy import HOUSE_POLICY_HASH

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    """Return the script and its populations, found where it is run from."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        yield importlib.import_module("gate_power"), importlib.import_module("gate_populations")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.mark.parametrize("name", ["noise", "drift 15 % a year", "never realises a loss"])
def test_populations_keep_the_gates_conventions(scripts: Any, name: str) -> None:
    """Flat at each window's start, every change of weight paid for, the forced close too; t is the metric set's own."""
    _, populations = scripts
    runs = populations.SKILL_LESS[name](np.random.default_rng(1), 20, 700)
    t = runs.t()
    for run in range(20):
        windows = runs.ledgers(run)
        assert [len(window) for window in windows] == [100] * 7
        for window in windows:
            assert window.weight[0] == 0
            paid = np.abs(np.diff(window.weight, prepend=0.0)).sum() + abs(window.weight[-1])
            assert window.cost.sum() == pytest.approx(populations.SIDE * paid)
            assert window.trades.sum() == pytest.approx(window.net_return.sum())
        assert house_metrics(windows, n_trials=1, bars_per_year=252).t == pytest.approx(t[run], nan_ok=True)


def test_policies_that_never_realise_a_loss_do_not_but_when_they_are_forced(scripts: Any) -> None:
    """Every losing trade ends with its window."""
    _, populations = scripts
    runs = populations.never_realise_a_loss(np.random.default_rng(2), 30, 700)
    for run in range(30):
        for window in runs.ledgers(run):
            losing = window.trades[:-1] < -2 * populations.WEIGHT * populations.SIDE
            assert not losing.any()


def test_runs_below_the_lowest_t_are_never_approved(scripts: Any) -> None:
    """What is left out of the metrics changes no share, whichever way it is counted."""
    script, populations = scripts
    for draw in (populations.noise, lambda rng, n, bars: populations.with_edge(rng, n, bars, 2.0, 30)):
        with_all = script.cell("x", 500, 120, np.random.default_rng(3), draw, lowest_t=-np.inf)
        assert script.cell("x", 500, 120, np.random.default_rng(3), draw) == with_all


def test_edge_has_the_t_it_was_made_for(scripts: Any) -> None:
    """On average, after costs."""
    _, populations = scripts
    for true_t in (0.0, 3.0):
        runs = populations.with_edge(np.random.default_rng(4), 400, 1050, true_t, 40)
        raw = runs.weight * runs.market_return - runs.cost
        measured = raw.mean(axis=1) / raw.std(axis=1, ddof=1) * np.sqrt(raw.shape[1])
        assert measured.mean() == pytest.approx(true_t, abs=0.25)


def test_no_block_under_350_bars_is_ever_approved(scripts: Any) -> None:
    """Windows of 35 bars are no evidence, whatever the edge."""
    script, populations = scripts
    strong = populations.with_edge(np.random.default_rng(5), 5, 245, 12.0, 30)
    classes = [script.judged(strong, run) for run in range(5)]
    assert {archive for _, archive in classes} == {GateClass.REVIEW}
    assert GateClass.APPROVED in {alone for alone, _ in classes}


def test_script_writes_the_same_figures_for_the_same_seed(scripts: Any) -> None:
    """A seed names a result."""
    script, _ = scripts
    one, two = (list(script.false_approvals(20, 9)) for _ in range(2))
    assert one == two
    assert [cell.n_bars for cell in one] == [250, 500, 1000, 2100] * 3


def test_published_page_is_what_its_figures_say(scripts: Any) -> None:
    """The page is rendered from the JSON beside it, of the house's policy as it is now, and keeps what is promised."""
    script, _ = scripts
    figures = json.loads((ROOT / "docs" / "reference" / "gate-power.json").read_text("utf-8"))
    assert (ROOT / "docs" / "reference" / "gate-power.md").read_text("utf-8") == script.page(figures)
    assert figures["policy"] == HOUSE_POLICY_HASH
    skill_less = [cell for cell in figures["cells"] if cell["true_t"] is None]
    assert max(cell["approved"] for cell in skill_less) <= 0.0003
    assert all(cell["runs"] >= 30_000 for cell in skill_less)
    at = {(cell["n_bars"], cell["trades"], cell["true_t"]): cell["approved"] for cell in figures["cells"]}
    assert at[2100, 84, 4.3] >= 0.85
    assert at[2100, 84, 6.0] > at[2100, 84, 4.0] > at[2100, 84, 3.0] > at[2100, 84, 2.0]
