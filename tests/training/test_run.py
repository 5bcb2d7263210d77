"""Whole runs: from bars to a verdict, the same twice, stopped in the middle, and past repair."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper
from trader_sdk.archive.action_mix import mix_of
from trader_sdk.archive.blocks import equal_windows
from trader_sdk.archive.gate import GateClass
from trader_sdk.archive.metrics import HouseMetrics, house_metrics
from trader_sdk.backtest import backtest
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError, InvariantViolated, SdkError, StorageError, UsageError
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.contract.summary import Summary
from trader_sdk.data import bars_per_year, load_bars
from trader_sdk.features import ObservationBuilder
from training.config import TrainConfig, preset
from training.market import Market, blocks_of
from training.rollout import collect
from training.run import TrainResult, train
from training.run_log import MetricsLog, Silent, read_metrics
from training.verify import verify

SMALL: dict[str, Any] = {
    "num_envs": 16,
    "num_steps": 32,
    "hidden_dims": (8,),
    "total_steps": 16 * 32 * 4,
    "episode_bars": 64,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="session")
def small_bars() -> Bars:
    """Return bars that make a run short and prove nothing."""
    return load_bars("planted:bars=3500", "SIM", "1Min")


@pytest.fixture(scope="session")
def small_run(small_bars: Bars, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Return a finished short run, archived."""
    folder = tmp_path_factory.mktemp("small")
    config = preset("laptop", **SMALL)
    return train(small_bars, config, out=folder / "run", source="planted:bars=3500", archive=folder / "archive")


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """Return what each optimizer step logged."""
    return [fact for fact in read_metrics(folder) if fact["event"] == "optimizer_step"]


def gate_metrics(checkpoint: Path, bars: Bars) -> HouseMetrics:
    """Return what a saved file earns on the GATE windows, traded again by the backtest."""
    wrapper = NativeModelWrapper(checkpoint)
    provider = ObservationBuilder.for_model(wrapper).provider
    market = Market.build(bars, provider)
    ledgers = []
    for window in equal_windows(blocks_of(market, MODEL_SPECS["2.7.0"], None, 7).gate, 7):
        seen = bars.slice(0, market.warm_up + window.stop)
        first = int(bars.t[market.warm_up + window.start])
        ledgers.append(backtest(wrapper, seen, provider=provider, first_bar_ns=first, in_sample=True).ledger)
    return house_metrics(ledgers, n_trials=1, bars_per_year=bars_per_year(bars.timeframe, bars.calendar))


def learn(source: str, symbol: str, folder: Path, seed: int) -> TrainResult:
    """Train eight updates on 25,000 bars with the honesty table's settings."""
    config = preset(
        "laptop",
        hidden_dims=(16, 16),
        learning_rate=2e-3,
        gamma=0.9,
        num_envs=256,
        num_steps=32,
        validation_interval=4,
        total_steps=8 * 8192,
        blocks=(25_000, 2_000, 6_000),
        seed=seed,
    )
    return train(
        load_bars(source, symbol, "1Min"), config, out=folder / "run", source=source, archive=folder / "archive"
    )


@pytest.mark.slow
def test_ppo_learns_a_planted_edge_and_is_approved_and_noise_is_not(tmp_path: Path) -> None:
    """The same budget on bars with an edge and on bars without: held out, one is far beyond luck, the other is not."""
    planted = learn("planted:bars=33700", "SIM", tmp_path / "planted", seed=11)
    noise = learn("noise:bars=33700", "SIMNOISE", tmp_path / "noise", seed=11)
    t = {}
    for name, result in (("planted", planted), ("noise", noise)):
        (model,) = result.summary.models.values()
        assert model.gate is not None
        t[name] = (model.gate.best or model.gate.final).t or 0.0
    assert t["planted"] > 5.0
    assert t["noise"] < 3.0
    assert planted.archived is not None
    assert noise.archived is not None
    assert planted.archived.approved_count == 1
    assert noise.archived.approved_count == 0


def test_gate_of_a_run_equals_the_backtest_of_its_checkpoint(small_bars: Bars, small_run: TrainResult) -> None:
    """Each GATE window, traded again by the saved file: the metrics of the verdict to the last digits."""
    (model,) = small_run.summary.models.values()
    assert model.gate is not None
    again = gate_metrics(small_run.folder / model.final, small_bars)
    final = model.gate.final
    for name in ("fitness_score", "profit_factor", "consistency", "max_drawdown", "t"):
        assert getattr(again, name) == pytest.approx(getattr(final, name), abs=1e-9, nan_ok=True)
    assert again.n_trades == final.n_trades
    assert again.equity == pytest.approx(final.equity, abs=1e-9)


def test_summary_says_how_often_each_action_was_chosen(small_run: TrainResult) -> None:
    """The trader's breaker on the mix of actions reads these shares: every action of the model, one together."""
    (model,) = small_run.summary.models.values()
    assert model.gate is not None
    mix = mix_of(model.gate.final.shown)
    assert set(mix) == {action.name for action in MODEL_SPECS["2.7.0"].actions}
    assert sum(mix.values()) == pytest.approx(1.0)


def test_gate_judges_the_best_checkpoint_itself_when_the_final_declined(
    small_bars: Bars, small_run: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``gate.best`` is what the file of the best validation earns, not what the final weights do; else it is empty."""
    assert small_run.archived is not None
    (usual,), (verdict,) = small_run.summary.models.values(), small_run.archived.assessments
    assert usual.gate is not None
    assert (usual.gate.best is not None) == verdict.use_checkpoint
    monkeypatch.setattr("training.loop.best_index", lambda _: 0)
    monkeypatch.setattr("training.setup.assess_model_quality", lambda *_: (GateClass.DROP, [], True, 0))
    result = train(small_bars, preset("laptop", **SMALL), out=tmp_path / "run", source="planted")
    (model,) = result.summary.models.values()
    assert model.gate is not None
    assert model.gate.best is not None
    earned = {update: gate_metrics(result.folder / "ckpt" / f"u{update}.pt", small_bars) for update in (2, 4)}
    assert model.gate.best.t == pytest.approx(earned[2].t, abs=1e-9)
    assert model.gate.final.t == pytest.approx(earned[4].t, abs=1e-9)
    assert abs(earned[2].t - earned[4].t) > 1e-6


def test_same_seed_gives_the_same_run_and_another_seed_another(
    small_bars: Bars, small_run: TrainResult, tmp_path: Path
) -> None:
    """INV-TRAIN-006: the first 100 steps are equal; a different seed differs within ten, so the check can fail."""
    config = preset("laptop", **SMALL)
    train(small_bars, config, out=tmp_path / "same", source="planted")
    train(small_bars, preset("laptop", **SMALL, seed=8), out=tmp_path / "other", source="planted")
    first, same, other = (
        np.array([[step["loss"], step["grad_norm"]] for step in steps_of(folder)])
        for folder in (small_run.folder, tmp_path / "same", tmp_path / "other")
    )
    assert len(first) >= 100
    assert np.abs(first[:100] - same[:100]).max() <= 1e-6
    assert np.abs(first[:10] - other[:10]).max() > 1e-4


def test_run_writes_what_it_promises(small_run: TrainResult) -> None:
    """Config, metrics, the best and the last checkpoints with their records, and a summary that reads back."""
    folder = small_run.folder
    summary = Summary.model_validate_json((folder / "summary.json").read_text("utf-8"))
    (model,) = summary.models.values()
    assert (model.symbol, model.outcome, model.invariants) == ("SIM", "BUDGET_SPENT", "passed")
    assert model.data is not None
    assert model.data.kind == "simulated"
    assert model.regime == {"kind": "from_scratch", "vocab_size": 7}
    assert len(model.metrics.fitness_score) == 2
    assert {(folder / reference.path).name for reference in model.checkpoints} == {"u2.pt", "u4.pt"}
    assert (folder / "ckpt" / "u4.json").is_file()
    events = [fact["event"] for fact in read_metrics(folder)]
    assert events.count("validation") == 2
    assert events.count("gate_opened") == 1
    assert events[-1] == "run_finished"


def test_checkpoint_says_where_it_comes_from(small_bars: Bars, small_run: TrainResult) -> None:
    """Symbol, features, the range of everything it saw, simulated data, and a probe that every load passes."""
    (model,) = small_run.summary.models.values()
    wrapper = NativeModelWrapper(small_run.folder / model.final, strict_version=True)
    assert wrapper.metadata["symbol"] == "SIM"
    assert wrapper.metadata["lineage"]["data_kind"] == "simulated"
    assert wrapper.metadata["lineage"]["data_digest"] == small_bars.digest
    assert len(wrapper.metadata["golden_probe"]["observations"]) == 2
    assert wrapper.metadata["data_end"] == model.data.end


def test_run_is_archived_whatever_its_verdict(small_run: TrainResult) -> None:
    """One verdict, bound to the checkpoint's policy."""
    assert small_run.archived is not None
    (verdict,) = small_run.archived.assessments
    assert verdict.symbol == "SIM"
    assert verdict.n_trials == 1


def test_gate_of_one_bar_less_is_another_look_at_the_same_bars(
    small_bars: Bars, small_run: TrainResult, tmp_path: Path
) -> None:
    """As with another ``--until``: the digest of the data is new, the bars that judge are not."""
    assert small_run.archived is not None
    archive = tmp_path / "archive"
    shutil.copytree(small_run.archived.path.parent, archive)
    fewer = small_bars.slice(0, len(small_bars) - 1)
    config = preset("laptop", **{**SMALL, "total_steps": 16 * 32 * 2})
    again = train(fewer, config, out=tmp_path / "run", source="planted:bars=3500", archive=archive)
    assert again.archived is not None
    (verdict,), (before,) = again.archived.assessments, small_run.archived.assessments
    assert verdict.data is not None
    assert before.data is not None
    assert verdict.data.digest != before.data.digest
    assert (before.n_trials, verdict.n_trials) == (1, 2)


def test_verify_run_accepts_a_finished_run(small_run: TrainResult) -> None:
    """Each invariant that applies is named."""
    assert {"001", "002", "003", "005p", "007", "008", "010"} <= set(verify(small_run.folder).checked)


class Interrupting(Silent):
    """Press Ctrl-C after the third update."""

    def advanced(self, facts: dict[str, Any]) -> None:
        """Interrupt."""
        if facts["update"] == 3:
            raise KeyboardInterrupt


def test_interrupted_run_leaves_a_checkpoint_and_never_opens_gate(small_bars: Bars, tmp_path: Path) -> None:
    """Ctrl-C: the weights of that moment are on disk, the log ends with ABORTED, and there is no summary."""
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(small_bars, preset("laptop", **SMALL), out=out, source="planted", reporter=Interrupting())
    facts = list(read_metrics(out))
    assert facts[-1]["event"] == "run_finished"
    assert facts[-1]["outcome"] == "ABORTED"
    assert not any(fact["event"] == "gate_opened" for fact in facts)
    assert not (out / "summary.json").exists()
    assert NativeModelWrapper(out / "ckpt" / "u3.pt").metadata["global_step"] == 3 * 512


def test_interrupted_run_leaves_a_validated_checkpoint_as_it_was(
    small_bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C inside an update: the half-updated weights get a name of their own."""
    validated: dict[str, bytes] = {}

    def interrupt(*arguments: Any) -> Any:
        records = sorted((tmp_path / "run" / "ckpt").glob("u*.*"))
        if records:
            validated.update({path.name: path.read_bytes() for path in records})
            raise KeyboardInterrupt
        return collect(*arguments)

    monkeypatch.setattr("training.loop.collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(small_bars, preset("laptop", **SMALL), out=tmp_path / "run", source="planted")
    left = {path.name: path.read_bytes() for path in (tmp_path / "run" / "ckpt").iterdir()}
    assert set(left) == {"u2.pt", "u2.json", "u3.pt", "u3.json", "resume.pt"}
    assert {name: left[name] for name in validated} == validated


def test_run_stops_with_a_typed_error_when_the_disk_refuses_the_log(tmp_path: Path) -> None:
    """A full disk ends the run; nothing that could not be proven goes on, and nothing is a traceback."""
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError), MetricsLog(tmp_path) as log:
        log.write("update", update=1)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"label": "my label"}, UsageError),
        ({"label": "../x"}, UsageError),
        ({"archive": "taken/archive"}, StorageError),
    ],
)
def test_train_refuses_before_the_first_update_what_could_not_be_archived(
    small_bars: Bars, tmp_path: Path, wrong: dict[str, str], error: type[SdkError]
) -> None:
    """A label or an archive that would fail after hours, with GATE opened, fails at once, and nothing is written."""
    (tmp_path / "taken").write_text("a file")
    options: dict[str, Any] = {"label": "model", "archive": tmp_path / "archive", **wrong}
    options["archive"] = tmp_path / options["archive"]
    with pytest.raises(error):
        train(small_bars, preset("laptop", **SMALL), out=tmp_path / "run", source="planted", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_diverging_run_recovers_three_times_and_then_stops(small_bars: Bars, tmp_path: Path) -> None:
    """A learning rate of 500 throws the policy far beyond the target: three recoveries on record, then the end."""
    config = preset("laptop", **{**SMALL, "learning_rate": 500.0, "total_steps": 16 * 32 * 20, "target_kl": 0.01})
    out = tmp_path / "run"
    with pytest.raises(InvariantViolated) as caught:
        train(small_bars, config, out=out, source="planted")
    assert caught.value.evidence["inv"] in ("INV-TRAIN-005p", "INV-TRAIN-007")
    facts = list(read_metrics(out))
    recoveries = [fact for fact in facts if fact["event"] == "recovery"]
    assert (facts[-1]["outcome"], facts[-1]["error"]["code"]) == ("ABORTED", "E900")
    assert len(recoveries) == 3
    assert all(fact["inv"] in ("INV-TRAIN-005p", "INV-TRAIN-007") for fact in recoveries)


def test_no_recovery_is_taken_when_none_is_allowed(small_bars: Bars, tmp_path: Path) -> None:
    """``max_recoveries = 0``: the first violation ends the run."""
    config = preset("laptop", **{**SMALL, "learning_rate": 500.0, "max_recoveries": 0, "target_kl": 0.01})
    with pytest.raises(InvariantViolated):
        train(small_bars, config, out=tmp_path / "run", source="planted")


def test_metrics_hold_no_nan(small_run: TrainResult) -> None:
    """Every number in ``metrics.jsonl`` is one; what is undefined is null."""
    text = (small_run.folder / "metrics.jsonl").read_text("utf-8")
    assert "NaN" not in text
    assert all(math.isfinite(step["loss"]) for step in steps_of(small_run.folder))


def test_train_refuses_a_folder_that_is_in_use(small_bars: Bars, tmp_path: Path) -> None:
    """An earlier run is never overwritten."""
    (tmp_path / "old").write_text("something")
    with pytest.raises(UsageError):
        train(small_bars, preset("laptop", **SMALL), out=tmp_path, source="planted")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_train_refuses_too_few_bars_before_the_first_update(tmp_path: Path) -> None:
    """Fewer bars than three honest blocks need: one clear line, no metrics."""
    bars = load_bars("planted:bars=1200", "SIM", "1Min")
    with pytest.raises(DataError, match="block"):
        train(bars, preset("laptop", **SMALL), out=tmp_path / "run", source="planted:bars=1200")
    assert not (tmp_path / "run").exists()


def test_config_of_a_run_reads_back(small_run: TrainResult) -> None:
    """``config.json`` rebuilds the configuration."""
    document = json.loads((small_run.folder / "config.json").read_text("utf-8"))
    assert TrainConfig.model_validate(document["config"]) == preset("laptop", **SMALL)
