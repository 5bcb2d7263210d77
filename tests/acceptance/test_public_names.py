"""The names and signatures that users know."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import trader_sdk

SIGNATURES: dict[str, list[str]] = {
    "get_checkpoint_metadata": ["version", "*policy"],
    "detect_version_from_checkpoint": ["checkpoint"],
    "check_compatibility": [
        "detection", "trader", "*sha256", "*pins", "*recalls", "*at", "*forward_compat", "*max_model_age",
    ],
    "assert_compatibility": ["checkpoint", "strict", "*trader_version"],
    "interpret_action": ["action", "spec"],
    "NativeModelWrapper": [
        "path", "strict_version", "*trader_version", "*expected_sha256", "*symbol", "*activation", "*pins", "*backend",
    ],
    "target_notional": ["decision", "*equity", "*position", "*limits"],
    "load_approved": ["archive", "symbol", "timeframe", "*strict_version", "*follow"],
    "save": [
        "path", "*policy", "*optimizer", "*global_step", "*config", "*model_version", "*activation", "*feature_schema",
        "*constants", "*symbol", "*timeframe", "*probe_observations", "*extra",
    ],
    "assess_model_quality": [
        "final_fitness", "final_pf", "final_consistency", "final_max_dd", "fitness_history", "config",
    ],
    "archive_run": ["archive", "*checkpoints", "*metrics", "*symbol", "*timeframe", "*gate"],
}  # fmt: skip

DEFAULTS: dict[str, dict[str, Any]] = {
    "load_approved": {"timeframe": "1Day", "strict_version": False, "follow": "champion"},
    "NativeModelWrapper": {"strict_version": False, "backend": "numpy", "activation": None},
    "assert_compatibility": {"strict": False, "trader_version": None},
    "check_compatibility": {"trader": "2.7.0", "sha256": None, "forward_compat": None},
    "get_checkpoint_metadata": {"version": "2.7.0", "policy": None},
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_public_callable_has_the_signature_users_know(name: str) -> None:
    """Known parameters come first, in order, keyword-only where marked; more may follow by keyword."""
    parameters = list(inspect.signature(getattr(trader_sdk, name)).parameters.values())
    shown = [("*" if each.kind is each.KEYWORD_ONLY else "") + each.name for each in parameters]
    known = SIGNATURES[name]
    assert [each for each in shown if each in known] == known
    extra = [each for each in parameters if ("*" if each.kind is each.KEYWORD_ONLY else "") + each.name not in known]
    assert all(each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) for each in extra)


@pytest.mark.parametrize("name", DEFAULTS)
def test_public_callable_has_the_defaults_users_know(name: str) -> None:
    """Warn is the library's default, the champion the door's."""
    parameters = inspect.signature(getattr(trader_sdk, name)).parameters
    assert {key: parameters[key].default for key in DEFAULTS[name]} == DEFAULTS[name]


def test_public_constants_and_methods_are_there() -> None:
    """Versions, matrices, and what a model can be asked."""
    assert (trader_sdk.CURRENT_MODEL_VERSION, trader_sdk.CURRENT_TRADER_VERSION) == ("2.7.0", "2.7.0")
    assert set(trader_sdk.MODEL_TRADER_COMPATIBILITY) == set(trader_sdk.MODEL_SPECS)
    with pytest.raises(TypeError):
        trader_sdk.MODEL_SPECS["2.8.0"] = trader_sdk.MODEL_SPECS["2.7.0"]  # type: ignore[index] # read-only is the subject
    wrapper = trader_sdk.NativeModelWrapper
    for name in (
        "model_spec",
        "model_version",
        "report",
        "sha256",
        "policy_sha256",
        "decide",
        "stream",
        "decide_history",
    ):
        assert hasattr(wrapper, name)
    fields = {"action", "direction", "size", "name", "logits", "probabilities", "model_sha256"}
    assert fields <= set(trader_sdk.Decision.__dataclass_fields__)
    assert {"archive_training_run", "get_approved_models", "get_symbol_history"} <= set(
        dir(trader_sdk.TrainingArchiveManager)
    )


def test_training_re_exports_what_other_trainers_need() -> None:
    """One import in a training loop is enough."""
    import training

    for name in ("Finetune", "FromScratch", "check_non_divergence", "save", "assess_model_quality",
                 "ModelGatingConfig", "TrainingArchiveManager", "archive_run"):  # fmt: skip
        assert getattr(training, name) is not None
