"""Pretraining by imitation through the real path, and every invariant that binds it: held once, broken once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trader_sdk import NativeModelWrapper, save
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import ConfigError, ContractError, InvariantViolated, UsageError
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.data import load_bars
from training.cli import run_app
from training.imitation import Passes
from training.invariants import Outcome
from training.labels import forward_returns, hindsight_labels, size_bounds
from training.modes import Mode, check_mode, mode_row, pretrain_config
from training.parent import Parent, check_parent_loss
from training.patience import check_patience
from training.pretrain import PretrainResult, pretrain
from training.verify import verify

SOURCE = "planted:bars=4000"
SMALL = {"hidden_dims": (8,), "warmup_steps": 5, "epochs": 2, "horizon": 3}
SPEC = MODEL_SPECS["2.7.0"]


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Return bars that are enough for three blocks."""
    return load_bars(SOURCE, "SIM", "1Min")


@pytest.fixture(scope="module")
def scratch(bars: Bars, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    """Return a run from scratch that held."""
    out = tmp_path_factory.mktemp("pretrain") / "scratch"
    return pretrain(bars, pretrain_config("from-scratch", **SMALL), out=out, source=SOURCE)


def finetune_of(parent: Path, **changes: Any) -> Any:
    """Return the configuration of a short finetune."""
    return pretrain_config("finetune", parent=str(parent), epochs=1, horizon=3, **changes)


def broken_rule(act: Callable[[], object]) -> str:
    """Return the id of the invariant that ``act`` breaks."""
    with pytest.raises(InvariantViolated) as caught:
        act()
    assert caught.value.exit_code == 7
    return str(caught.value.evidence["inv"]).removeprefix("INV-TRAIN-")


def test_from_scratch_holds_every_invariant_and_says_how_it_ended(scratch: PretrainResult) -> None:
    """Each epoch wrote a checkpoint that loads, the log proves the rules, and the target was out of reach."""
    checked = verify(scratch.folder).checked
    assert set(checked) == {"001", "002", "003", "004", "005", "007", "008", "009", "010", "011"}
    assert scratch.outcome is Outcome.TARGET_MISSED
    assert len(scratch.history) == 2
    wrapper = NativeModelWrapper(scratch.best)
    assert wrapper.metadata["lineage"]["regime"] == "from_scratch"
    assert wrapper.metadata["lineage"]["data_kind"] == "simulated"


def test_finetune_starts_at_its_parents_loss(scratch: PretrainResult, bars: Bars, tmp_path: Path) -> None:
    """012 holds: the network's loss before the first update is the one that the deployed engine has."""
    result = pretrain(bars, finetune_of(scratch.best), out=tmp_path / "run", source=SOURCE)
    assert "started at" in verify(result.folder).checked["012"]
    assert NativeModelWrapper(result.best).metadata["lineage"]["parent"] == NativeModelWrapper(scratch.best).sha256


def test_finetune_from_random_weights_is_caught(
    scratch: PretrainResult, bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """012 breaks where the parent is not loaded, though guessing stays far under the regime's 10.0, and afterwards."""
    louder = finetune_of(_louder(scratch.best, tmp_path / "louder.pt"))
    monkeypatch.setattr(Parent, "load_into", lambda *_: None)
    out = tmp_path / "run"
    assert broken_rule(lambda: pretrain(bars, louder, out=out, source=SOURCE)) == "012"
    assert broken_rule(lambda: verify(out)) == "012"


def _louder(parent: Path, path: Path) -> Path:
    state = torch.load(parent, weights_only=True)["policy_state_dict"]
    state["actor_head.weight"] = 30 * state["actor_head.weight"]
    schema = NativeModelWrapper(parent).metadata["feature_schema"]
    return save(path, policy=state, model_version="2.7.0", activation="tanh", feature_schema=schema).path


def test_finetune_refuses_a_parent_of_other_features(scratch: PretrainResult, tmp_path: Path) -> None:
    """E309: daily bars are not minutes."""
    daily = load_bars("vendored", "AAPL", "1Day")
    with pytest.raises(ContractError, match="other features"):
        pretrain(daily, finetune_of(scratch.best), out=tmp_path / "run", source="vendored")
    assert not (tmp_path / "run").exists()


def test_run_without_improvement_ends_early_and_one_that_goes_on_is_caught(
    bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """004: a learning rate of nothing improves nothing; patience ends it, and without patience the check does."""
    still = pretrain_config("from-scratch", **{**SMALL, "epochs": 8, "learning_rate": 1e-30, "samples_per_epoch": 64})
    stopped = pretrain(bars, still, out=tmp_path / "held", source=SOURCE)
    assert (stopped.outcome, len(stopped.history)) == (Outcome.EARLY_STOP, 4)
    assert verify(stopped.folder).checked["004"] == "ended as EARLY_STOP"
    monkeypatch.setattr("training.pretrain.out_of_patience", lambda _: False)
    out = tmp_path / "broken"
    assert broken_rule(lambda: pretrain(bars, still, out=out, source=SOURCE)) == "004"
    assert broken_rule(lambda: verify(out)) == "004"


@pytest.mark.parametrize(("learning_rate", "rule"), [(30.0, "005"), (1e38, "007")])
def test_run_that_diverges_stops(bars: Bars, tmp_path: Path, learning_rate: float, rule: str) -> None:
    """005 by a loss that leaps, 007 by one that is no number; the run says that it was aborted, and where."""
    config = pretrain_config("from-scratch", **{**SMALL, "learning_rate": learning_rate, "activation": "relu"})
    assert broken_rule(lambda: pretrain(bars, config, out=tmp_path / "run", source=SOURCE)) == rule
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
    assert (last["outcome"], last["error"]["evidence"]["inv"]) == ("ABORTED", f"INV-TRAIN-{rule}")


def test_mode_sets_its_numbers_together_and_mixed_rows_are_caught(bars: Bars, tmp_path: Path) -> None:
    """009: what is named wins and is written down; a number of another row that nobody named stops the run."""
    row = mode_row(Mode.FINETUNE, 7)
    assert (row.learning_rate, row.warmup_steps, round(row.target_loss, 3)) == (5e-5, 100, 1.751)
    assert [mode_row(mode, 50_257).target_loss for mode in Mode] == [2.2, 3.0]
    assert round(mode_row(Mode.FROM_SCRATCH, 3).target_loss, 3) == 0.989
    named = pretrain_config("from-scratch", learning_rate=1e-3)
    check_mode(named)
    assert named.explicit == ("learning_rate",)
    mixed = named.model_copy(update={"explicit": ()})
    assert broken_rule(lambda: pretrain(bars, mixed, out=tmp_path / "run", source=SOURCE)) == "009"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"mode": "sideways"}, "mode"),
        ({"mode": "finetune"}, "parent"),
        ({"mode": "from-scratch", "parent": "x"}, "parent"),
    ],
)
def test_impossible_modes_are_refused(settings: dict[str, str], found: str) -> None:
    """One clear line each, before anything is loaded."""
    with pytest.raises(ConfigError, match=found):
        pretrain_config(**settings)


def changed(folder: Path, target: Path, name: str, change: Callable[[str], str]) -> Path:
    """Return a copy of a run in which one file was changed."""
    shutil.copytree(folder, target)
    (target / name).write_text(change((target / name).read_text("utf-8")), "utf-8")
    return target


@pytest.mark.parametrize(
    ("name", "before", "after", "rule"),
    [
        ("metrics.jsonl", '"grad_norm"', '"norm"', "001"),
        ("ckpt/e0.json", "sha256:", "sha256:0", "003"),
        ("metrics.jsonl", '"val_loss": ', '"val_loss": 9', "005"),
        ("metrics.jsonl", '"samples_per_second": ', '"samples_per_second": -', "008"),
        ("config.json", '"learning_rate": 0.0003', '"learning_rate": 0.3', "009"),
        ("config.json", '"kind": "simulated"', '"kind": "nice"', "010"),
        ("metrics.jsonl", '"event": "data_cycled"', '"event": "nothing"', "011"),
    ],
)
def test_verify_run_names_the_rule_that_a_pretraining_broke(
    scratch: PretrainResult, tmp_path: Path, name: str, before: str, after: str, rule: str
) -> None:
    """What was tampered with is found by its own rule."""
    copy = changed(scratch.folder, tmp_path / "copy", name, lambda text: text.replace(before, after))
    assert broken_rule(lambda: verify(copy)) == rule


def test_run_that_does_not_name_its_source_never_starts(bars: Bars, tmp_path: Path) -> None:
    """010 at the door, before a folder is made."""
    config = pretrain_config("from-scratch", **SMALL)
    assert broken_rule(lambda: pretrain(bars, config, out=tmp_path / "run", source="")) == "010"
    assert not (tmp_path / "run").exists()


def test_missing_checkpoint_of_an_epoch_is_found(scratch: PretrainResult, tmp_path: Path) -> None:
    """002: every epoch has one."""
    shutil.copytree(scratch.folder, tmp_path / "copy")
    (tmp_path / "copy" / "ckpt" / "e1.pt").unlink()
    assert broken_rule(lambda: verify(tmp_path / "copy")) == "002"


def test_same_seed_takes_the_same_steps_and_another_does_not(
    scratch: PretrainResult, bars: Bars, tmp_path: Path
) -> None:
    """006 over real runs, both ways; a log that claims another seed for the same steps is caught."""
    folders = {}
    for seed in (7, 8):
        config = pretrain_config("from-scratch", **{**SMALL, "seed": seed})
        folders[seed] = pretrain(bars, config, out=tmp_path / str(seed), source=SOURCE).folder
    assert "are those of" in verify(scratch.folder, folders[7]).checked["006"]
    assert "differ within" in verify(scratch.folder, folders[8]).checked["006"]
    liar = changed(folders[7], tmp_path / "liar", "config.json", lambda text: text.replace('"seed": 7', '"seed": 9'))
    assert broken_rule(lambda: verify(scratch.folder, liar)) == "006"
    drifted = changed(
        folders[7], tmp_path / "drift", "metrics.jsonl", lambda text: text.replace('"loss": 1.', '"loss": 1.1', 1)
    )
    assert broken_rule(lambda: verify(scratch.folder, drifted)) == "006"


def test_hindsight_buys_before_a_rise_sells_before_a_fall_and_pays_for_its_trade() -> None:
    """Returns below a round trip's cost are HOLD; larger moves get larger sizes; every class of the head occurs."""
    costs = cost_model("us_equity@1")
    returns = np.array([-0.04, -0.02, -0.001, -0.0004, 0.0, 0.0004, 0.001, 0.02, 0.04])
    labels = hindsight_labels(returns, SPEC, size_bounds(returns, SPEC, costs))
    directions = [SPEC.actions[label].direction for label in labels]
    sizes = [SPEC.actions[label].size for label in labels]
    assert directions == [-1, -1, -1, 0, 0, 0, 1, 1, 1]
    assert sizes[6:] == sorted(sizes[6:])
    assert len(set(labels.tolist())) == SPEC.n_actions


def test_labels_read_no_price_outside_their_block(make_market: Any) -> None:
    """Changing every price after the block changes no label."""
    market = make_market()
    block = range(100, 400)
    rows, returns = forward_returns(market, block, 5)
    changed_close = np.where(np.arange(800) < 400, market.bars.close, 3.0)
    changed_open = np.where(np.arange(800) < 400, market.bars.open, 3.0)
    again = forward_returns(make_market(changed_close, changed_open), block, 5)
    assert (rows == again[0]).all()
    assert (returns == again[1]).all()
    assert rows[-1] == 393


def test_passes_count_every_example_once_a_pass() -> None:
    """Nothing is left out or made up, whatever the batch."""
    passes = Passes(10, np.random.default_rng(0))
    drawn = np.concatenate([passes.batch(4) for _ in range(6)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert passes.begun == 2


def test_parent_loss_may_differ_by_a_hundredth_or_a_thousandth() -> None:
    """The limit itself passes, more does not, and NaN never."""
    check_parent_loss(1.01, 1.0, regime="finetune")
    check_parent_loss(0.011, 0.010, regime="finetune")
    for initial in (1.0101, 0.98, float("nan")):
        assert broken_rule(lambda initial=initial: check_parent_loss(initial, 1.0, regime="finetune")) == "012"


def test_early_stop_must_be_called_one_and_nothing_else() -> None:
    """004: an end that history does not ask for, or that it asks for and that has another name."""
    assert broken_rule(lambda: check_patience([1.0, 0.9, 0.8, 0.7], "EARLY_STOP", regime="finetune")) == "004"
    assert broken_rule(lambda: check_patience([1.0, 0.9, 0.9, 0.9], "CONVERGED", regime="finetune")) == "004"
    check_patience([1.0, 1.0, 1.0], "CONVERGED", regime="finetune")


def test_command_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The outcome, the best checkpoint as JSON, and one line for what cannot be."""
    common = ["pretrain", "--data", SOURCE, "--symbol", "SIM", "--timeframe", "1Min", "--hidden", "4"]
    short = ["--epochs", "1", "--samples-per-epoch", "256", "--target-loss", "5", "--json", "1"]
    assert run_app([*common, "--mode", "from-scratch", *short, "--out", str(tmp_path / "run")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["outcome"] == "CONVERGED"
    assert torch.load(said["best"], weights_only=True)["model_version"] == "2.7.0"
    assert run_app([*common, "--mode", "finetune"]) == 2
    assert "a finetune names its parent" in capsys.readouterr().err


def test_parent_that_is_no_network_of_ours_is_refused(scratch: PretrainResult, bars: Bars, tmp_path: Path) -> None:
    """Another trainer's layer names, though its features are the same and a trader could run it."""
    schema = NativeModelWrapper(scratch.best).metadata["feature_schema"]
    theirs = torch.nn.Sequential(torch.nn.Linear(5900, 4), torch.nn.Tanh(), torch.nn.Linear(4, 7))
    save(tmp_path / "theirs.pt", policy=theirs, model_version="2.7.0", feature_schema=schema)
    with pytest.raises(UsageError, match="no network of this trainer"):
        pretrain(bars, finetune_of(tmp_path / "theirs.pt"), out=tmp_path / "run", source=SOURCE)
