"""``trader backtest`` as a person calls it."""

import json
from pathlib import Path

import pytest

from trader_sdk.cli import build_app, run_app
from trader_sdk.demo import demo_archive_path


@pytest.fixture(scope="module")
def file() -> Path:
    """Return the file of the simulated market's model."""
    verdicts = [json.loads(path.read_text("utf-8")) for path in demo_archive_path().glob("*/model_assessments.json")]
    (verdict,) = [v for document in verdicts for v in document["assessments"] if v["symbol"] == "SIM"]
    (digest,) = [s["sha256"] for s in verdict["subjects"] if s["role"] == "policy_safetensors"]
    return next(demo_archive_path().glob(f"*/models/{digest}.safetensors"))


def trader(*arguments: str) -> int:
    """Run ``trader`` in this process."""
    return run_app(build_app(arguments), arguments)


SIM = ("--data", "planted:bars=62390", "--symbol", "SIM", "--timeframe", "1Min")
FROM = ("--from", "2021-08-19T19:50:00Z")


def test_backtest_prints_figures_with_buy_and_hold_beside(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees net, drawdown, trades, costs, and that the bars are simulated."""
    assert trader("backtest", str(file), *SIM, *FROM) == 0
    text = capsys.readouterr().out
    assert "390 simulated SIM 1Min bars" in text
    for word in ("net return", "buy and hold", "max drawdown", "trades", "costs"):
        assert word in text


def test_backtest_gives_one_json_event(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program gets the same figures as one line."""
    assert trader("backtest", str(file), *SIM, *FROM, "--json", "1") == 0
    (line,) = capsys.readouterr().out.strip().splitlines()
    event = json.loads(line)
    assert event["event"] == "backtest_finished"
    assert event["bars"] == 390
    assert event["data_kind"] == "simulated"
    assert event["in_sample"] is False
    assert set(event["actions"]) >= {"HOLD", "BUY_50%"}


def test_backtest_page_holds_both_curves_and_the_warning(file: Path, tmp_path: Path) -> None:
    """One file without links; an in-sample look says that it proves nothing."""
    page = tmp_path / "page.html"
    short = ("--data", "planted:bars=3000", *SIM[2:])
    assert trader("backtest", str(file), *short, "--in-sample", "1", "--html", str(page)) == 0
    html = page.read_text("utf-8")
    assert html.count("<path class=") == 2
    assert "This proves nothing" in html
    assert "http" not in html


def test_backtest_inside_the_training_range_exits_5(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """E705 in one line that names the way out."""
    assert trader("backtest", str(file), *SIM) == 5
    error = capsys.readouterr().err
    assert "E705" in error
    assert "--from 2021-08-19T19:50:00Z" in error


@pytest.mark.parametrize(
    "changed",
    [
        ("--data", "planted", "--symbol", "AAPL", "--timeframe", "1Min"),
        ("--data", "planted", "--symbol", "SIM", "--timeframe", "1Day"),
        ("--data", "nowhere", "--symbol", "SIM", "--timeframe", "1Min"),
        (*SIM, "--from", "yesterday"),
        (*SIM, "--in-sample", "2"),
        ("--symbol", "SIM", "--timeframe", "1Min"),
    ],
)
def test_backtest_refuses_bad_arguments_with_one_line_and_exit_2(
    file: Path, changed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown source, symbol or timeframe, unreadable time, flags out of range."""
    assert trader("backtest", str(file), *changed) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_backtest_of_a_missing_file_exits_3(tmp_path: Path) -> None:
    """A checkpoint that is not there is a checkpoint error."""
    assert trader("backtest", str(tmp_path / "none.pt"), *SIM) == 3
