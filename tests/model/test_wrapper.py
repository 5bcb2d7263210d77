"""NativeModelWrapper: what it accepts, what it gives, and that nothing can change it."""

import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import structlog
import torch

from trader_sdk import NativeModelWrapper, SdkError, interpret_action
from trader_sdk.contract.compatibility import Pin
from trader_sdk.loading import LoadOptions
from trader_sdk.model import load_quietly

GoldenPath = Callable[[str], Path]


def test_wrapper_has_the_signature_that_users_know() -> None:
    """Names, order and defaults of the contract."""
    parameters = inspect.signature(NativeModelWrapper).parameters
    assert {name: parameter.default for name, parameter in parameters.items() if name != "path"} == {
        "strict_version": False,
        "trader_version": None,
        "expected_sha256": None,
        "symbol": None,
        "activation": None,
        "pins": None,
        "backend": "numpy",
    }


@pytest.mark.parametrize("version", ["2.3.0", "2.4.0", "2.5.0", "2.6.0", "2.7.0"])
def test_decision_is_the_action_table_at_the_best_logit(golden: GoldenPath, version: str) -> None:
    """Index, direction, size and name agree with interpret_action for every version."""
    model = NativeModelWrapper(golden(version), strict_version=True)
    rows = np.random.default_rng(1).standard_normal((40, model.model_spec.obs_dim)).astype(np.float32)
    for decision in model.decide(rows):
        assert decision.action == int(np.argmax(decision.logits))
        assert (decision.direction, decision.size, decision.name) == interpret_action(decision.action, model.model_spec)
        assert decision.model_sha256 == model.sha256
        assert sum(decision.probabilities) == pytest.approx(1)
        assert np.argmax(decision.probabilities) == decision.action


def test_one_observation_decides_the_same_in_every_shape_and_type(model: NativeModelWrapper) -> None:
    """Flat, window by features, a batch of one, float64, a list and a tensor: one decision."""
    row = np.random.default_rng(2).standard_normal(5900).astype(np.float32)
    wanted = model.decide(row)
    assert model.decide(row.reshape(100, 59)) == wanted
    assert model.decide(row[None]) == [wanted]
    assert model.decide(row.astype(np.float64)) == wanted
    assert model.decide(row.astype(np.float64).tolist()) == wanted
    assert model.decide(torch.from_numpy(row)) == wanted
    assert model.decide(np.broadcast_to(row, (2, 5900))[0]) == wanted
    assert model.decide(np.zeros((0, 5900), np.float32)) == []


def test_lowest_index_wins_a_tie(tmp_path: Path) -> None:
    """A policy whose logits are all equal holds."""
    from trader_sdk import save

    state = {"trunk.0.weight": torch.zeros(2, 5900), "trunk.0.bias": torch.zeros(2), "actor.weight": torch.zeros(7, 2)}
    save(tmp_path / "m.pt", policy={**state, "actor.bias": torch.zeros(7)}, activation="tanh")
    decision = NativeModelWrapper(tmp_path / "m.pt").decide(np.zeros(5900, np.float32))
    assert (decision.action, decision.name) == (0, "HOLD")


@pytest.mark.parametrize(
    "observation",
    [
        np.zeros(5899, np.float32),
        np.zeros(5600, np.float32),
        np.zeros((59, 100), np.float32),
        np.zeros((2, 5600), np.float32),
        np.zeros((1, 1, 5900), np.float32),
        np.zeros(5900, np.int64),
        np.zeros(5900, bool),
        np.zeros(5900, np.float16),
        np.zeros(5900, complex),
        np.full(5900, np.nan, np.float32),
        np.full(5900, np.inf, np.float32),
        np.full(5900, -np.inf),
        np.full(5900, 1e300),
        np.float32(0),
        "observation",
        None,
        [["a"]],
        [[1.0], [1.0, 2.0]],
    ],
    ids=lambda value: f"{type(value).__name__}{getattr(value, 'shape', '')}{getattr(value, 'dtype', '')}",
)
def test_observation_that_is_not_one_is_refused(model: NativeModelWrapper, observation: object) -> None:
    """Wrong shapes and types, NaN and infinity: E405, never a decision."""
    with pytest.raises(SdkError) as caught:
        model.decide(observation)  # type: ignore[call-overload] # wrong types are the test
    assert caught.value.code == "E405"


def test_non_finite_output_is_refused(tmp_path: Path) -> None:
    """Finite weights and a finite observation can still overflow: E404."""
    from trader_sdk import save

    layers = {"trunk.0.weight": torch.full((2, 5900), 1e30), "trunk.0.bias": torch.zeros(2)}
    head = {"actor.weight": torch.full((7, 2), 1e30), "actor.bias": torch.zeros(7)}
    save(tmp_path / "m.pt", policy={**layers, **head}, activation="relu")
    with pytest.raises(SdkError) as caught:
        NativeModelWrapper(tmp_path / "m.pt")
    assert caught.value.code == "E404"


def test_wrapper_is_immutable_and_not_pickled(model: NativeModelWrapper) -> None:
    """Attributes, weights and copies: what was verified stays what it is."""
    with pytest.raises(AttributeError):
        model.sha256 = "x"  # type: ignore[misc] # the refusal is the test
    with pytest.raises(AttributeError):
        model.anything = 1  # type: ignore[attr-defined] # the refusal is the test
    with pytest.raises(ValueError, match="read-only"):
        model.policy.layers[0][0][0, 0] = 1
    with pytest.raises(TypeError):
        model.metadata["model_version"] = "9"  # type: ignore[index] # the refusal is the test
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SdkError, match="not pickled"):
            duplicate(model)


def test_threads_share_one_model(model: NativeModelWrapper) -> None:
    """Decisions made at once are those made one after the other."""
    rows = np.random.default_rng(3).standard_normal((64, 5900)).astype(np.float32)
    wanted = [model.decide(row) for row in rows]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.decide, rows)) == wanted


def test_expected_digest_binds_the_file(golden: GoldenPath, model: NativeModelWrapper) -> None:
    """The right digest loads with and without its prefix; another is E103."""
    for spelling in (model.sha256, model.sha256.removeprefix("sha256:")):
        NativeModelWrapper(golden("2.7.0"), expected_sha256=spelling)
    with pytest.raises(SdkError) as caught:
        NativeModelWrapper(golden("2.3.0"), expected_sha256=model.sha256)
    assert caught.value.code == "E103"


def test_error_names_the_file_and_carries_every_finding(golden: GoldenPath) -> None:
    """A refusal says which file, and all its faults at once."""
    path = golden("legacy/version-against-structure")
    with pytest.raises(SdkError) as caught:
        NativeModelWrapper(path)
    assert str(path) in str(caught.value)
    assert {finding.code for finding in caught.value.findings} == {"E302", "E303"}
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own error


def test_probe_is_run_with_the_stated_activation(tmp_path: Path, golden: GoldenPath) -> None:
    """A file whose weights were exchanged under its probe is refused, and says by how much they differ."""
    from trader_sdk import save

    torch.manual_seed(4)
    module = torch.nn.Sequential(torch.nn.Linear(5900, 2), torch.nn.Tanh(), torch.nn.Linear(2, 7))
    rows = np.random.default_rng(0).standard_normal((2, 5900)).astype(np.float32)
    path = save(tmp_path / "m.pt", policy=module, probe_observations=rows).path
    fields = torch.load(path, weights_only=True)
    fields["policy_state_dict"]["2.bias"] += 0.5
    torch.save(fields, path)
    with pytest.raises(SdkError, match=r"logits differ by 0\.5") as caught:
        NativeModelWrapper(path)
    assert caught.value.code == "E308"
    assert "2.7.0" in repr(NativeModelWrapper(golden("2.7.0")))


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    """Quantised weights are no policy that this engine computes."""
    state = {"t.weight": torch.ones(2, 5900, dtype=torch.int8), "t.bias": torch.ones(2, dtype=torch.int8)}
    head = {"pi.weight": torch.ones(7, 2, dtype=torch.int8), "pi.bias": torch.ones(7, dtype=torch.int8)}
    torch.save({"policy_state_dict": {**state, **head}}, tmp_path / "m.pt")
    with pytest.raises(SdkError, match="no floats"):
        NativeModelWrapper(tmp_path / "m.pt")


def test_double_weights_beyond_float32_are_refused(tmp_path: Path) -> None:
    """A float64 weight that has no float32 is non-finite to the engine: E105."""
    module = torch.nn.Sequential(torch.nn.Linear(5900, 2), torch.nn.Tanh(), torch.nn.Linear(2, 7)).double()
    with torch.no_grad():
        module[0].weight[0, 0] = 1e300
    torch.save({"policy_state_dict": module.state_dict()}, tmp_path / "m.pt")
    with pytest.raises(SdkError) as caught:
        NativeModelWrapper(tmp_path / "m.pt")
    assert caught.value.code == "E105"


def test_activation_argument_settles_what_the_file_leaves_unsaid(golden: GoldenPath) -> None:
    """Stated by the caller it is no assumption; against the file it is a conflict."""
    path = golden("legacy/no-activation")
    with pytest.raises(SdkError, match="W310"):
        NativeModelWrapper(path, strict_version=True)
    assert NativeModelWrapper(path, strict_version=True, activation="tanh").activation == "tanh"
    with pytest.raises(SdkError) as caught:
        NativeModelWrapper(golden("2.7.0"), activation="relu")
    assert caught.value.code == "E301"
    with pytest.raises(SdkError, match="no such activation"):
        NativeModelWrapper(path, activation="swish")


def test_pin_settles_an_ambiguous_version(golden: GoldenPath, tmp_path: Path) -> None:
    """A pin for these bytes loads in strict mode; for others it changes nothing."""
    path = golden("legacy/no-metadata-5600-3-ambiguous")
    digest = NativeModelWrapper(path).sha256
    model = NativeModelWrapper(path, True, pins=[Pin(digest, version="2.6.0", who="ann", why="her run")])
    assert model.model_version == "2.6.0"
    (tmp_path / "pins.toml").write_text(f'[[pin]]\nsha256 = "{digest}"\nversion = "2.5.0"\nwho = "a"\nwhy = "b"\n')
    assert NativeModelWrapper(path, True, pins=tmp_path / "pins.toml").model_version == "2.5.0"
    with pytest.raises(SdkError, match="E202"):
        NativeModelWrapper(path, True, pins=[Pin("0" * 64, version="2.6.0")])


def test_symbol_of_another_model_is_refused(tmp_path: Path, golden: GoldenPath) -> None:
    """A file that names its symbol is bound to it; one that does not is not."""
    from trader_sdk import save

    torch.manual_seed(0)
    state = {
        "t.weight": torch.rand(2, 5900),
        "t.bias": torch.rand(2),
        "pi.weight": torch.rand(7, 2),
        "pi.bias": torch.rand(7),
    }
    save(tmp_path / "m.pt", policy=state, activation="tanh", symbol="AAPL")
    assert NativeModelWrapper(tmp_path / "m.pt", symbol="AAPL").metadata["symbol"] == "AAPL"
    with pytest.raises(SdkError, match="another symbol"):
        NativeModelWrapper(tmp_path / "m.pt", symbol="IBM")
    NativeModelWrapper(golden("2.7.0"), symbol="IBM")


@pytest.mark.parametrize(
    ("version", "trader", "loads"),
    [("2.7.0", "2.6.0", False), ("2.7.0", "2.10.0", True), ("2.4.0", "2.4.0", True), ("2.3.0", "2.7.0", True)],
)
def test_trader_version_is_compared_as_a_version(golden: GoldenPath, version: str, trader: str, loads: bool) -> None:
    """2.10.0 is newer than 2.7.0, and an older trader is refused in strict mode."""
    if loads:
        NativeModelWrapper(golden(version), True, trader_version=trader)
    else:
        with pytest.raises(SdkError, match="E501"):
            NativeModelWrapper(golden(version), True, trader_version=trader)


def test_warning_is_shown_once_for_each_file_and_code(golden: GoldenPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is loaded on every bar does not repeat itself."""
    monkeypatch.setattr("trader_sdk.warnings_shown._shown", set())
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            NativeModelWrapper(golden("legacy/no-activation"))
            NativeModelWrapper(golden("legacy/only-weights"))
            NativeModelWrapper(golden("2.7.0"))
    assert [(event["event"], event["code"]) for event in events] == [("model_loaded_with_finding", "W310")] * 2


def test_quiet_load_reports_without_warning_or_refusing_policy(golden: GoldenPath) -> None:
    """A report is a value: what strict would refuse is in it."""
    with structlog.testing.capture_logs() as events:
        model = load_quietly(golden("legacy/bad-trader"), LoadOptions())
    assert "E503" in {finding.code for finding in model.report.findings}
    assert not events
