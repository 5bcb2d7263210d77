"""The gate's policy: its values, its hash, and every way to write one that must be refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from trader_sdk.archive.policy import (
    HOUSE_POLICY_HASH,
    ModelGatingConfig,
    hash_of_values,
    load_gate_policy,
)
from trader_sdk.contract.errors import ConfigError


def test_house_policy_hash_is_the_released_one() -> None:
    """Verdicts of earlier releases are accepted by this hash: it changes only with the house's own bars."""
    assert HOUSE_POLICY_HASH == "sha256:6533e83c6fcd8aad99d640a100c81020de84abf47f9811d3ce8821b2919e1b0f"


def test_house_policy_holds_the_published_bars() -> None:
    """The table of docs/guide/archive.md."""
    values = ModelGatingConfig().values
    assert [values[f"approved_{name}"] for name in ("min_fitness", "min_pf", "min_consistency")] == [0.7, 1.8, 0.85]
    assert [values[f"review_{name}"] for name in ("min_fitness", "min_pf", "min_consistency")] == [0.5, 1.3, 0.65]
    assert (values["approved_max_drawdown"], values["review_max_drawdown"]) == (0.08, 0.15)
    assert (values["min_trades"], values["min_t"], values["max_real_drawdown"]) == (20, 3.0, 0.15)


def test_hash_ignores_the_name_and_follows_every_value() -> None:
    """A name is for people; each value decides and so each value counts."""
    base = ModelGatingConfig()
    assert ModelGatingConfig(name="other").policy_hash == base.policy_hash
    changed = {
        "approved_min_fitness": 0.71,
        "approved_min_pf": 1.9,
        "approved_min_consistency": 0.9,
        "approved_max_drawdown": 0.07,
        "review_min_fitness": 0.4,
        "review_min_pf": 1.2,
        "review_min_consistency": 0.6,
        "review_max_drawdown": 0.2,
        "fitness_decline_threshold": 0.06,
        "fitness_decline_mode": "absolute",
        "fitness_oscillation_threshold": 0.2,
        "fitness_oscillation_mode": "relative",
        "min_trades": 21,
        "min_t": 2.0,
        "false_approval_rate": 0.01,
        "metric_set": "desk@1",
        "extra": {"calmar": {"approved": 1.0, "review": 0.5}},
        "max_real_drawdown": 0.2,
    }
    assert set(changed) == set(base.values)
    hashes = {ModelGatingConfig.model_validate({name: value}).policy_hash for name, value in changed.items()}
    assert len(hashes) == len(changed)
    assert base.policy_hash not in hashes


def test_hash_is_the_same_after_a_trip_through_json() -> None:
    """A verdict's stored values give back the policy and its hash."""
    policy = ModelGatingConfig(approved_min_pf=2, extra={"calmar": {"approved": 1, "review": 0.5}})
    assert hash_of_values(policy.values) == policy.policy_hash
    assert ModelGatingConfig.model_validate(policy.values).policy_hash == policy.policy_hash


def test_only_the_house_is_called_house() -> None:
    """Nobody lends the house's name to other bars."""
    assert ModelGatingConfig().label == "house"
    assert ModelGatingConfig(name="desk").label == "house"
    assert ModelGatingConfig(name="house", min_trades=1).label == "custom"
    assert ModelGatingConfig(name="desk", min_trades=1).label == "desk"


@pytest.mark.parametrize(
    "values",
    [
        {"approved_min_fitness": 0.3, "review_min_fitness": 0.5},
        {"approved_min_pf": 1.0},
        {"approved_min_consistency": 0.5},
        {"approved_max_drawdown": 0.2},
        {"approved_min_fitness": math.nan},
        {"approved_min_pf": math.inf},
        {"approved_min_consistency": 1.1},
        {"approved_max_drawdown": -0.1},
        {"min_trades": 0},
        {"min_trades": True},
        {"min_t": -1.0},
        {"false_approval_rate": 0.0},
        {"false_approval_rate": 1.0},
        {"fitness_decline_mode": "sometimes"},
        {"metric_set": ""},
        {"approved_fitness": 0.7},
        {"extra": {"calmar": {"approved": 0.5, "review": 1.0}}},
        {"extra": {"dd": {"approved": 0.2, "review": 0.1, "higher_is_better": False}}},
        {"extra": {"fitness_score": {"approved": 1.0, "review": 0.5}}},
        {"extra": {"calmar": {"approved": 1.0}}},
        {"name": "../etc"},
    ],
)
def test_policy_is_refused_when_it_is_contradictory_or_out_of_range(values: dict) -> None:
    """An invalid policy is an error, never a pass."""
    with pytest.raises(ConfigError) as caught:
        ModelGatingConfig.model_validate(values)
    assert caught.value.exit_code == 2


def test_policy_cannot_be_changed() -> None:
    """A verdict's policy is a value."""
    with pytest.raises(ValueError, match="frozen"):
        ModelGatingConfig().min_trades = 1  # type: ignore[misc] # the assignment is what is tested


def test_gate_file_is_read_with_its_name_and_keeps_the_houses_other_bars(tmp_path: Path) -> None:
    """A desk writes down what differs."""
    path = tmp_path / "gate.toml"
    path.write_text('name = "desk-2026"\napproved_min_pf = 1.4\n[extra.calmar]\napproved = 1.0\nreview = 0.5\n')
    policy = load_gate_policy(path)
    assert (policy.label, policy.approved_min_pf, policy.review_min_pf) == ("desk-2026", 1.4, 1.3)
    assert policy.extra["calmar"].higher_is_better


@pytest.mark.parametrize(
    "text",
    [
        "",
        'name = "desk"',
        "min_trades = 5",
        'name = "house"\nmin_trades = 5',
        'name = "desk"\nmin_trade = 5',
        'name = "desk"\nmin_trades = "5"',
        'name = "desk"\napproved_min_pf = 1.0',
        "name = ",
    ],
)
def test_gate_file_is_refused_when_it_is_empty_unnamed_or_wrong(tmp_path: Path, text: str) -> None:
    """Unknown keys and empty policies are errors that name the file."""
    path = tmp_path / "gate.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_gate_policy(path)


def test_gate_file_is_refused_when_it_is_missing(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match=r"gate\.toml"):
        load_gate_policy(tmp_path / "gate.toml")
