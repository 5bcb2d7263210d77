"""Detection of model versions and compatibility with traders, on shapes alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from trader_sdk import (
    MODEL_SPECS,
    SdkError,
    assert_compatibility,
    check_compatibility,
    detect_version_from_checkpoint,
    get_checkpoint_metadata,
)
from trader_sdk.contract.compatibility import Mode, Pin, Recall, enforce
from trader_sdk.contract.detect import equivalent, parse_model_version

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DIGEST = "ab" * 32


def policy(obs_dim: int, n_actions: int) -> dict[str, np.ndarray]:
    layers = {"trunk.0": (4, obs_dim), "actor_head": (n_actions, 4), "critic_head": (1, 4)}
    weights = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in layers.items()}
    return weights | {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in layers.items()}


def checkpoint(version: str = "2.7.0", **changes: Any) -> dict[str, Any]:
    spec = MODEL_SPECS[version]
    state = policy(spec.obs_dim, spec.n_actions)
    made = {
        "policy_state_dict": state,
        "optimizer_state_dict": {},
        "global_step": 1,
        "config": {},
        "activation": "tanh",
        **get_checkpoint_metadata(version, policy=state),
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def legacy(obs_dim: int, n_actions: int, **more: Any) -> dict[str, Any]:
    return {"policy_state_dict": policy(obs_dim, n_actions), **more}


@pytest.mark.parametrize("version", MODEL_SPECS)
def test_detect_reads_the_stated_version_of_every_release(version: str) -> None:
    """A file that states its version is that version, in both modes without a refusal."""
    detection = detect_version_from_checkpoint(checkpoint(version))
    found, spec = detection
    assert (found, spec) == (version, MODEL_SPECS[version])
    assert check_compatibility(detection).loads(Mode.STRICT)


@pytest.mark.parametrize(
    ("shape", "candidates", "strict"),
    [((5300, 3), ("2.3.0",), True), ((5600, 3), ("2.4.0", "2.5.0", "2.6.0"), False), ((5900, 7), ("2.7.0",), True)],
)
def test_detect_tells_legacy_files_by_structure(
    shape: tuple[int, int], candidates: tuple[str, ...], strict: bool
) -> None:
    """Several candidates are an answer: warn loads, strict asks for a pin."""
    detection = detect_version_from_checkpoint(legacy(*shape, activation="relu"))
    assert detection.candidates == candidates
    assert detection.version == "|".join(candidates)
    assert detection.spec.version == detection.version
    report = check_compatibility(detection)
    assert (report.loads(Mode.WARN), report.loads(Mode.STRICT)) == (True, strict)


@pytest.mark.parametrize("shape", [(5900, 3), (5600, 7), (5000, 3), (5900, 8), (53, 3)])
def test_detect_refuses_shapes_of_no_version(shape: tuple[int, int]) -> None:
    """Without a version, shapes that fit none are not guessed."""
    with pytest.raises(SdkError) as caught:
        detect_version_from_checkpoint(legacy(*shape))
    assert caught.value.code == "E204"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("E303", {"n_actions": 3}),
        ("E302", {"obs_dim": 5600}),
        ("E301", {"n_features": 56}),
        ("E301", {"n_actions": True}),
        ("E301", {"obs_dim": "5900"}),
        ("E301", {"obs_dim": 5900.0}),
        ("E301", {"n_features": ...}),
        ("E301", {"action_meanings": ...}),
        ("E301", {"hidden_dims": [8]}),
        ("E301", {"symbol": 7}),
        ("E301", {"requires_trader": "not a range"}),
        ("E401", {"action_meanings": {**MODEL_SPECS["2.7.0"].action_meanings, 1: "SELL_25%", 4: "BUY_25%"}}),
        ("E401", {"action_meanings": dict(MODEL_SPECS["2.6.0"].action_meanings)}),
        ("E401", {"action_meanings": ["HOLD"]}),
        ("E307", {"requires": ["execution/absolute@1"]}),
        ("E307", {"activation": "softsign"}),
        ("E302", {"model_version": "2.6.0"}),
        ("E203", {"model_version": 2.7}),
        ("E203", {"model_version": "2.7.0.post1"}),
        ("E203", {"model_version": "1!2.7.0"}),
        ("E203", {"model_version": "2.7.0+local"}),
        ("E203", {"model_version": "2.7.0" + "0" * 40}),
        ("E203", {"model_version": "२.७.०"}),
        ("E207", {"model_version": "2.2.9"}),
        ("E504", {"model_version": "2.5.1"}),
        ("E504", {"model_version": "2.6.9"}),
        ("E504", {"model_version": "2.7.0rc1"}),
        ("E205", {"model_version": "2.10.0"}),
        ("E205", {"model_version": "3.0.0"}),
        ("E208", {"contract_schema": 2}),
    ],
)
def test_detect_refuses_a_file_that_contradicts_itself(code: str, changes: dict[str, Any]) -> None:
    """Every conflict is fatal in both modes and has its own code."""
    with pytest.raises(SdkError) as caught:
        enforce(check_compatibility(detect_version_from_checkpoint(checkpoint(**changes))), Mode.WARN)
    assert caught.value.code == code


def test_detect_names_every_conflict_together() -> None:
    """Two wrong numbers and a turned table come in one error."""
    wrong = checkpoint(n_features=56, obs_dim=5600, action_meanings=dict(MODEL_SPECS["2.6.0"].action_meanings))
    with pytest.raises(SdkError) as caught:
        detect_version_from_checkpoint(wrong)
    assert {finding.code for finding in caught.value.findings} == {"E301", "E302", "E401"}


@pytest.mark.parametrize(
    ("text", "normal"), [("v2.7", "2.7.0"), ("2.7", "2.7.0"), ("2.7.0", "2.7.0"), ("2.8.0rc1", "2.8.0rc1")]
)
def test_version_spelling_is_read_with_a_note(text: str, normal: str) -> None:
    """Common spellings are understood; only the exact form is silent."""
    version, notes = parse_model_version(text)
    assert version == normal
    assert [note.code for note in notes] == ([] if text == normal else ["W209"])


def newer(**changes: Any) -> dict[str, Any]:
    return checkpoint(
        model_version="2.8.0", requires_trader=">=2.7.0", feature_schema={"feature_sets": ["ohlcv53@2"]}, **changes
    )


def test_newer_model_loads_in_warn_when_it_carries_its_whole_contract() -> None:
    """A self-contained newer model of the same major is a POLICY finding, settled by forward_compat."""
    detection = detect_version_from_checkpoint(newer())
    report = check_compatibility(detection)
    assert (report.loads(Mode.WARN), report.loads(Mode.STRICT)) == (True, False)
    assert check_compatibility(detection, forward_compat="same-major").loads(Mode.STRICT)


@pytest.mark.parametrize("missing", ["requires_trader", "requires", "feature_schema", "contract_schema"])
def test_newer_model_is_refused_when_a_part_of_its_contract_is_missing(missing: str) -> None:
    """Half a contract is none."""
    with pytest.raises(SdkError) as caught:
        detect_version_from_checkpoint({key: value for key, value in newer().items() if key != missing})
    assert caught.value.code == "E205"


@pytest.mark.parametrize(
    ("trader", "version", "codes"),
    [
        ("2.7.0", "2.7.0", set()),
        ("2.10.0", "2.7.0", set()),
        ("3.0.0", "2.7.0", set()),
        ("2.6.9", "2.7.0", {"E501"}),
        ("2.3.0", "2.4.0", {"E501"}),
        ("2.4.0", "2.6.0", set()),
        ("2.0.0", "2.3.0", {"E501"}),
        ("2.7.0rc1", "2.7.0", {"E501"}),
    ],
)
def test_compatibility_follows_the_matrix(trader: str, version: str, codes: set[str]) -> None:
    """Numbers compare as versions, not as text: trader 2.10.0 runs model 2.7.0."""
    report = check_compatibility(detect_version_from_checkpoint(checkpoint(version)), trader)
    assert {finding.code for finding in report.refusals(Mode.STRICT)} == codes
    assert report.loads(Mode.WARN)


@pytest.mark.parametrize(
    ("changes", "trader", "codes"),
    [
        ({"requires_trader": ">=2.7,<2.9"}, "2.10.0", {"E502", "W506"}),
        ({"requires_trader": ">=2.9"}, "2.7.0", {"E501", "W506"}),
        ({"requires_trader": "==2.7.*"}, "2.7.5", set()),
        ({"bad_traders": ["2.7.1"]}, "2.7.1", {"E503"}),
        ({"min_trader_version": "2.6.0"}, "2.7.0", {"W506"}),
        ({"activation": ...}, "2.7.0", {"W310"}),
        ({"semantics": "unproven"}, "2.7.0", {"W311"}),
    ],
)
def test_compatibility_findings_of_class_policy_load_in_warn_only(
    changes: dict[str, Any], trader: str, codes: set[str]
) -> None:
    """What is doubtful is a finding in warn and a refusal in strict."""
    report = check_compatibility(detect_version_from_checkpoint(checkpoint(**changes)), trader)
    assert {finding.code for finding in report.refusals(Mode.STRICT)} == codes
    assert report.loads(Mode.WARN)


def test_recalled_model_is_refused_in_both_modes() -> None:
    """A recall by digest or by version is fatal."""
    detection = detect_version_from_checkpoint(checkpoint())
    for recall in (Recall(sha256=DIGEST, who="desk", why="bad fill data"), Recall(version="2.7.0")):
        report = check_compatibility(detection, sha256=DIGEST, recalls=[recall])
        assert [finding.code for finding in report.refusals(Mode.WARN)] == ["E505"]


def test_pin_settles_an_ambiguous_file_until_it_expires() -> None:
    """A person's word about these bytes counts in strict, no longer than it says."""
    detection = detect_version_from_checkpoint(legacy(5600, 3))
    pin = Pin(DIGEST, version="2.5.0", activation="tanh", who="desk", until=NOW)
    early = check_compatibility(detection, sha256=DIGEST, pins=[pin], at=NOW - timedelta(seconds=1))
    assert (early.model_version, early.loads(Mode.STRICT)) == ("2.5.0", True)
    assert not check_compatibility(detection, sha256=DIGEST, pins=[pin], at=NOW).loads(Mode.STRICT)
    assert not check_compatibility(detection, sha256="cd" * 32, pins=[pin], at=NOW - timedelta(days=1)).loads(
        Mode.STRICT
    )


def test_stale_model_is_a_policy_finding() -> None:
    """A model whose data ended too long ago is refused in strict when an age is set."""
    detection = detect_version_from_checkpoint(checkpoint(data_end="2026-01-01T00:00:00Z"))
    report = check_compatibility(detection, at=NOW, max_model_age=timedelta(days=90))
    assert [finding.code for finding in report.refusals(Mode.STRICT)] == ["W706"]
    assert check_compatibility(detection, at=NOW, max_model_age=timedelta(days=400)).loads(Mode.STRICT)


@pytest.mark.parametrize("stated", [{}, {"data_end": "last spring"}])
def test_model_of_unknown_age_is_stale_when_an_age_is_set(stated: dict[str, str]) -> None:
    """A desk that sets a limit hears of the models that it cannot be held to."""
    detection = detect_version_from_checkpoint(checkpoint(**stated))
    report = check_compatibility(detection, at=NOW, max_model_age=timedelta(days=90))
    assert [finding.code for finding in report.refusals(Mode.STRICT)] == ["W706"]
    assert check_compatibility(detection, at=NOW).loads(Mode.STRICT)


def test_recall_reaches_the_stamped_copies() -> None:
    """Stamping changes the bytes of a recalled file, not what it does."""
    for lineage in ({"stamped_from": f"sha256:{DIGEST}"}, {"stamped_from": "no", "stamped_earlier": [DIGEST]}):
        detection = detect_version_from_checkpoint(checkpoint(lineage=lineage))
        report = check_compatibility(detection, sha256="cd" * 32, recalls=[Recall(sha256=DIGEST, who="a", why="b")])
        assert [finding.code for finding in report.refusals(Mode.WARN)] == ["E505"]


def test_proven_needs_the_proof_in_the_file() -> None:
    """A file that calls itself proven and holds no golden probe is unproven."""
    report = check_compatibility(detect_version_from_checkpoint(checkpoint(semantics="proven")))
    assert [finding.code for finding in report.refusals(Mode.STRICT)] == ["W311"]


def test_assert_compatibility_raises_the_refusing_code() -> None:
    """The one-call form gives the spec or the error."""
    assert assert_compatibility(checkpoint()) is MODEL_SPECS["2.7.0"]
    with pytest.raises(SdkError) as caught:
        assert_compatibility(checkpoint(), strict=True, trader_version="2.6.0")
    assert (caught.value.code, caught.value.exit_code) == ("E501", 4)


def test_candidates_that_mean_different_things_are_not_equivalent() -> None:
    """Equivalence looks at features, actions and capabilities."""
    assert equivalent([MODEL_SPECS["2.4.0"], MODEL_SPECS["2.6.0"]])
    assert not equivalent([MODEL_SPECS["2.6.0"], MODEL_SPECS["2.7.0"]])


def test_metadata_of_a_policy_is_measured() -> None:
    """Metadata is what the tensors are, or nothing."""
    assert get_checkpoint_metadata(policy=policy(5900, 7))["hidden_dims"] == [4]
    with pytest.raises(SdkError) as caught:
        get_checkpoint_metadata("2.7.0", policy=policy(5600, 3))
    assert {finding.code for finding in caught.value.findings} == {"E302", "E303"}
