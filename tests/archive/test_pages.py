"""What people read: recommendations, the report, and the pictures in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.archive.gate import FlagName
from trader_sdk.archive.pictures import HEIGHT, WIDTH, columns, curve, drawdown_curve, gauge
from trader_sdk.archive.wording import CLASS_MEANINGS, FLAG_MEANINGS, TIER_MEANINGS, flag_text, number_text
from trader_sdk.contract.verdicts import DeploymentTier, FlagRecord, GateClass

Archive = Callable[..., Any]
_VOID = {"meta", "link", "br", "img", "line", "circle", "rect", "polyline", "polygon"}


class Balance(HTMLParser):
    """Collects tags that are not closed and everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Balance:
    balance = Balance()
    balance.feed(html)
    assert balance.open == []
    return balance


def test_every_flag_class_and_tier_is_explained() -> None:
    """No name without its meaning."""
    assert set(FLAG_MEANINGS) == {flag.value for flag in FlagName}
    assert set(CLASS_MEANINGS) == set(GateClass)
    assert set(TIER_MEANINGS) == set(DeploymentTier)


def test_report_is_one_self_contained_file(samples: Any, archived: Archive) -> None:
    """Nothing is fetched, every tag is closed, the verdict and its evidence are there."""
    block = samples.gate_block(equity=[1.0, 1.02, 0.99, 1.05], shown={"sortino": 1.5, "cost_total": 0.012})
    run = archived(gate={"final": block, "best": None}, in_sample={"sortino": 4.25})
    html = (run.path / "report.html").read_text()
    page = parsed(html)
    assert page.fetched == []
    assert "url(" not in html
    for text in ("APPROVED", "tier LIVE", "1.270", "3.00 %", "3.400, needed 3.00", "4.250", "1.20 %", "2000-03-01"):
        assert text in html
    assert html.count("<svg") == 3
    assert "It passed: every bar is met, with 84 closed trades and a t of 3.400 (needed 3.00)." in html
    assert "Simulated market" not in html


def test_report_says_simulated_and_explains_flags(samples: Any, archived: Archive) -> None:
    """A generator's bars are never taken for a market's."""
    data = {**samples.data, "kind": "simulated"}
    run = archived(gate={"final": samples.gate_block(t=math.nan, n_trades=3), "best": None}, data=data)
    html = (run.path / "report.html").read_text()
    parsed(html)
    assert "Simulated market" in html
    assert FLAG_MEANINGS["TOO_FEW_TRADES"] in html
    assert "simulated market" in (run.path / "recommendations.md").read_text()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -5.0, 1e9])
def test_report_is_whole_whatever_the_numbers(samples: Any, archived: Archive, value: float) -> None:
    """Numbers that are none are drawn nowhere and break nothing."""
    metrics = {name: [value, value] for name in samples.good}
    run = archived(gate=None, metrics=metrics)
    assert run.dropped_count == 1
    parsed((run.path / "report.html").read_text())


def test_recommendations_sort_by_what_to_do_and_compare_with_the_run_before(
    samples: Any, archived: Archive, manager: Any, tmp_path: Any
) -> None:
    """Deploy, look at, drop; and what changed."""
    first = archived(0, symbol="AAPL").assessments[0]
    final = samples.write_checkpoint(tmp_path / "m.pt", 5)
    bad = {name: [0.2] for name in samples.good}
    run = manager.archive_training_run(
        samples.summary_of(
            samples.model_summary(final, symbol="ZZZ", gate=None, metrics=bad),
            samples.model_summary(final, symbol="MSFT", gate={"final": samples.gate_block(t=1.0), "best": None}),
            samples.model_summary(final, symbol="AAPL"),
        )
    )
    page = (run.path / "recommendations.md").read_text()
    assert "**Deploy:** `AAPL` 1Day. **Look at:** `MSFT` 1Day. **Drop:** `ZZZ` 1Day." in page
    lines = [line for line in page.splitlines() if line.startswith("#")]
    assert [line.split(" `")[0] for line in lines[1:]] == ["## Deploy", "###", "## Look at", "###", "## Drop", "###"]
    assert [line.split("`")[1] for line in lines if line.startswith("###")] == ["AAPL", "MSFT", "ZZZ"]
    assert f"since `{first.version_id}` (still APPROVED)" in page
    assert f"trader archive promote AAPL {run.assessments[2].version_id} --timeframe 1Day" in page
    assert f"trader archive override {run.assessments[1].id}" in page
    assert page.count("First run of this symbol") == 2
    assert "t statistic: 1.000, wanted at least 3.000." in page


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("profit_factor", math.inf, "no loss"),
        ("t", math.nan, "not known"),
        ("t", None, "not known"),
        ("n_trades", 84.0, "84"),
        ("n_bars", 12345.0, "12,345"),
        ("profit_factor", 932.061, "932.06"),
        ("consistency", 0.857142, "85.7 %"),
        ("max_drawdown", 0.0312, "3.12 %"),
        ("mean_market_return", 0.00012, "0.012 %"),
        ("fitness_score", -math.inf, "-inf"),
    ],
)
def test_figures_read_as_people_write_them(metric: str, value: float | None, text: str) -> None:
    """Percent, counts, and words where there is no number."""
    assert number_text(metric, value) == text


@given(st.lists(st.floats(), max_size=30), st.lists(st.integers(0, 29), max_size=3))
def test_pictures_stay_inside_their_frame(values: list[float], marks: list[int]) -> None:
    """Any numbers give coordinates inside the picture, or no picture."""
    bounded = [value if math.isinf(value) or math.isnan(value) else max(-1e12, min(1e12, value)) for value in values]
    drawn = curve(bounded, marks, zero=0.0)
    for x, y in (pair.split(",") for pair in drawn.points.split()) if drawn else ():
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT
    for column in columns(bounded):
        assert 0 <= column.x <= column.x + column.width <= WIDTH
        assert 0 <= column.y <= column.y + column.height <= HEIGHT


@given(st.one_of(st.none(), st.floats()), st.floats(0, 10), st.floats(0, 10))
def test_gauges_stay_on_their_track(value: float | None, review: float, approved: float) -> None:
    """Positions are shares of the track."""
    found = gauge(value, review, approved, higher_is_better=True)
    assert all(0 <= share <= 100 for share in (found.value, found.review, found.approved))


def test_drawdown_curve_falls_from_the_highest_before() -> None:
    """Never above zero, and zero at each new peak."""
    assert drawdown_curve([1.0, 0.5, 2.0, 1.5]) == [0.0, -0.5, 0.0, -0.25]


def test_report_says_why_a_model_is_not_approved(samples: Any, archived: Archive) -> None:
    """What keeps it from the next class, each with its number and its bar."""
    weak = samples.gate_block(t=2.5, profit_factor=1.5)
    html = (archived(gate={"final": weak, "best": None}).path / "report.html").read_text()
    assert "Not approved:" in html
    assert "profit factor 1.500 (APPROVED asks for at least 1.800)" in html
    assert "t statistic 2.500 (asked for at least 3.000)" in html
    bad = {name: [0.2] for name in samples.good}
    html = (archived(1, gate=None, metrics=bad).path / "report.html").read_text()
    assert "It failed:" in html
    assert "max drawdown 20.00 % (asked for at most 15.00 %)" in html


def test_report_of_many_models_begins_with_all_of_them(samples: Any, manager: Any, tmp_path: Any) -> None:
    """One table first, then a card each."""
    final = samples.write_checkpoint(tmp_path / "m.pt", 5)
    models = [samples.model_summary(final, symbol=symbol) for symbol in ("AAPL", "MSFT", "<b>&", "BTC/USD")]
    html = (manager.archive_training_run(samples.summary_of(*models)).path / "report.html").read_text()
    parsed(html)
    assert html.count("<article>") == 5
    assert html.index("All models") < html.index("BTC/USD")
    assert "&lt;b&gt;&amp;" in html
    assert "<b>&" not in html


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (FlagName.FITNESS_DECLINE, "fell by 0.061 from its peak, flagged above 0.05"),
        (FlagName.UNSTABLE_TRAINING, "swung by 0.061, flagged above 0.05"),
        (FlagName.HIGH_DRAWDOWN, "wanted at most 5.00 %"),
        (FlagName.LOW_CONSISTENCY, "wanted at least 5.0 %"),
    ],
)
def test_flags_say_which_way_their_bar_points(flag: FlagName, words: str) -> None:
    """An upper bound is not called a thing to reach."""
    metric = {"HIGH_DRAWDOWN": "max_drawdown", "LOW_CONSISTENCY": "consistency"}.get(flag.value, "fitness_history")
    assert words in flag_text(FlagRecord(name=flag.value, metric=metric, value=0.061, bar=0.05))
