"""A run's picture and page: drawn from what the run wrote, with the deployed checkpoint named."""

from __future__ import annotations

from pathlib import Path

import pytest

from trader_sdk.contract.errors import UsageError
from trader_sdk.data import load_bars
from training.cli import run_app
from training.config import preset
from training.report import chosen_update, write_report
from training.run import train


@pytest.mark.parametrize(
    ("best", "history", "chosen"), [(None, [0.1, 0.9, 0.5], 6), ({}, [0.1, 0.9, 0.5], 4), ({}, [float("nan"), 0.2], 4)]
)
def test_chosen_update_is_the_one_that_is_deployed(best: object, history: list[float], chosen: int) -> None:
    """The final one, or where SELECT said that it declined, the earliest best."""
    model = {"validation_interval": 2, "metrics": {"fitness_score": history}, "gate": {"best": best}}
    assert chosen_update(model) == chosen


def test_finished_run_is_drawn_and_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture and one self-contained page; the command says where, and a folder without a summary is refused."""
    out = tmp_path / "run"
    config = preset("laptop", num_envs=16, num_steps=32, hidden_dims=(8,), total_steps=1024, episode_bars=64)
    train(load_bars("planted:bars=3500", "SIM", "1Min"), config, out=out, source="planted:bars=3500")
    assert run_app(["report", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "report.png"), str(out / "report.html")]
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text("utf-8")
    assert "update 2 is the one that is deployed" in page
    assert "simulated data from planted:bars=3500" in page
    assert "without the market's mean return" in page
    assert 'src="http' not in page
    (out / "summary.json").unlink()
    with pytest.raises(UsageError, match="has no summary"):
        write_report(out)
