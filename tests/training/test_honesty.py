"""The honesty table: made as it says, goes on where it was stopped, and says what its lines say."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "reference" / "honesty.json"


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """Return the scripts, found where they are run from."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        names = ("honesty", "honesty_runs", "honesty_page", "honesty_oracle", "oracle_share", "shared_bars")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_campaign_goes_on_where_it_was_stopped(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that was cut short is done again, no other is; each kind has its runs, and the control its own bars."""
    small = scripts.honesty_runs.Scale((4_000, 400, 400), 5_100, 8_192)
    monkeypatch.setitem(scripts.honesty_runs.SETTINGS, "validation_interval", 1)
    lines = tmp_path / "lines.jsonl"
    scripts.honesty.run(lines, 1, small)
    whole = lines.read_text("utf-8")
    lines.write_text(whole[:-20], "utf-8")
    scripts.honesty.run(lines, 2, small)
    done = scripts.honesty.read(lines)
    assert Counter(line.population for line in done) == dict.fromkeys(scripts.honesty_page.names(), 2)
    assert [line.seed for line in done] == [1] * 5 + [2] * 5
    assert [json.loads(text)["t"] for text in whole.splitlines()] == [line.t for line in done[:5]]
    assert [line.t == line.in_sample_t for line in done] == [line.population == "control" for line in done]


def test_oracle_of_the_whole_edge_has_the_sharpe_it_should(scripts: SimpleNamespace) -> None:
    """2.0 a year after costs, give or take a tenth; without an edge it earns nothing."""
    oracle = scripts.honesty_oracle
    best = oracle.Oracle(4e-4, 0.0)
    markets = [oracle.PlantedMarket(seed=seed, n_bars=58_700) for seed in range(1, 7)]
    sharpes = [oracle.Seen.of(market).sharpe(best) for market in markets]
    assert sum(sharpes) / len(sharpes) == pytest.approx(2.0, abs=0.1)
    assert oracle.Seen.of(oracle.PlantedMarket(seed=1, edge=0.0, n_bars=2_000)).sharpe(best) <= 0


def test_published_table_says_what_was_promised() -> None:
    """Noise is never approved, the whole edge nearly always, and noise judged on its own training bars is."""
    rows = {row["population"]: row for row in json.loads(PUBLISHED.read_text("utf-8"))["rows"]}
    assert rows["noise"]["runs"] >= 200
    assert rows["noise"]["APPROVED"] == 0
    assert {rows[name]["runs"] for name in ("control", "edge 1/4", "edge 1/2", "edge 1")} == {50}
    assert rows["edge 1"]["APPROVED"] >= 45
    assert rows["control"]["APPROVED"] > 25


def test_page_is_what_its_figures_say(scripts: SimpleNamespace) -> None:
    """The page is rendered from the JSON beside it."""
    figures = json.loads(PUBLISHED.read_text("utf-8"))
    assert PUBLISHED.with_suffix(".md").read_text("utf-8") == scripts.honesty_page.page(figures)


def test_policy_and_oracle_trade_the_same_windows(scripts: SimpleNamespace) -> None:
    """On a small market the share is one return over the other; the oracle earns, and nothing without an edge."""
    small = scripts.honesty_runs.Scale((4_000, 400, 2_000), 7_100, 32_768)
    share = scripts.oracle_share.measured(3, small)
    assert share.share == pytest.approx(share.policy / share.oracle)
    assert share.oracle > 0.02
    run = scripts.honesty_runs.prepared(1.0, 3, small)
    never = scripts.honesty_oracle.Oracle(1.0, -1.0)
    market = scripts.honesty_oracle.PlantedMarket(seed=3, n_bars=7_100)
    assert scripts.oracle_share.oracle_net(run, never, market) == 0.0


def test_published_share_is_most_of_the_oracle(scripts: SimpleNamespace) -> None:
    """At least five markets, more than half of the oracle's net return in each, and the page says so."""
    published = PUBLISHED.with_name("oracle-share.json")
    figures = json.loads(published.read_text("utf-8"))
    assert len(figures["rows"]) >= 5
    assert min(row["share"] for row in figures["rows"]) > 0.5
    assert published.with_suffix(".md").read_text("utf-8") == scripts.oracle_share.page(figures)


def test_published_curves_say_that_sharing_bars_costs_no_learning(scripts: SimpleNamespace) -> None:
    """With 4 and 8 environments a bar a run ends within a tenth of where it ends with one; the page says so."""
    published = PUBLISHED.with_name("shared-bars.json")
    figures = json.loads(published.read_text("utf-8"))
    ends = scripts.shared_bars.ends(figures)
    assert len(ends[1]) >= 5
    alone, four, eight = (mean(ends[shared]) for shared in (1, 4, 8))
    assert min(four, eight) > 0.9 * alone > 0
    assert published.with_suffix(".md").read_text("utf-8") == scripts.shared_bars.page(figures)


def test_curve_of_a_run_has_every_validation(scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small run: one net return a validation, the same for the same seed, another for another sharing."""
    monkeypatch.setattr(scripts.shared_bars, "SCALE", scripts.honesty_runs.Scale((4_000, 400, 400), 5_100, 32_768))
    monkeypatch.setattr(scripts.shared_bars, "HIDDEN", (8,))
    first, again, other = (scripts.shared_bars.curve(1, shared, 32_768)["net_returns"] for shared in (8, 8, 4))
    assert len(first) == 1
    assert first == again
    assert first != other
