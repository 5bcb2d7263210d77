"""The composite reward: each term within its range, the weights as stated, and nothing of it in a metric."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.execution import ExecutionLimits
from training.config import preset
from training.env import TradingEnvs
from training.reward import COMPOSITE_V25, INCENTIVE, Composite, Outcome, RewardKind

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "training.md"
EnvMaker = Callable[..., TradingEnvs]


def outcome(**changes: Any) -> Outcome:
    """Return one sleeve's step: long a tenth in a bar that rose by one deviation, nothing traded."""
    usual = {
        "actions": [0],
        "weight": [0.1],
        "move": [1.0],
        "growth": [0.5],
        "closed": [np.nan],
        "cost": [0.0],
        "traded": [False],
        "drawdown": [0.0],
    }
    return Outcome(**{name: np.array(value) for name, value in (usual | changes).items()})


def composite() -> Composite:
    """Return the reward of one sleeve with seven actions, a cap of a fifth and 2.5 bps a side."""
    return Composite(1, 7, 0.2, 0.00025)


def test_weights_of_the_terms_sum_to_one_and_the_incentive_is_beside_them() -> None:
    """To the cent, and as they were given."""
    assert sum(term.weight for term in COMPOSITE_V25.values()) == Decimal("1.00")
    assert [str(term.weight) for term in COMPOSITE_V25.values()] == [
        "0.40",
        "0.05",
        "0.25",
        "0.10",
        "0.15",
        "0.02",
        "0.03",
    ]
    assert Decimal("0.02") == INCENTIVE


def test_reward_is_the_weighted_sum_by_hand() -> None:
    """A step worked out with pencil: every term, the incentive, the penalty."""
    step = outcome(traded=[True], cost=[0.2 * 0.00025 / 2], closed=[0.002], drawdown=[0.25], move=[-1.0])
    terms = composite().terms(step)
    by_hand = {
        "direction": -1.0,
        "magnitude": -0.25,
        "pnl": np.tanh(0.5),
        "stop_take_profit": 0.5,
        "exploration": 0.0,
        "slippage": -0.5,
        "drawdown": -1.0,
    }
    assert {name: value[0] for name, value in terms.items()} == pytest.approx(by_hand)
    weighted = -0.4 - 0.0125 + 0.25 * np.tanh(0.5) + 0.05 + 0.0 - 0.01 - 0.03
    assert composite().rewards(step)[0] == pytest.approx(weighted + 0.02 - 10 * 0.1**2)


def test_exploration_counts_the_actions_of_the_episode_only() -> None:
    """Another action is worth more than the same again; a new episode begins at nothing."""
    reward = composite()
    shares = [float(reward.terms(outcome(actions=[action]))["exploration"][0]) for action in (2, 2, 5)]
    reward.forget(np.array([True]))
    assert shares == pytest.approx([0.0, 0.0, 2 / 3])
    assert reward.chosen.sum() == 0


def test_every_term_stays_within_its_range_whatever_happens(make_envs: EnvMaker) -> None:
    """Five hundred random steps with shorts: no term leaves the table's range, and rewards are of the size of one."""
    envs = make_envs(
        reward=RewardKind.COMPOSITE_V25, limits=ExecutionLimits(allow_short=True), costs=cost_model("crypto@1")
    )
    assert envs.composite is not None
    seen: list[dict[str, np.ndarray]] = []
    terms = envs.composite.terms
    envs.composite.terms = lambda step: seen.append(terms(step)) or seen[-1]  # type: ignore[method-assign,func-returns-value] # a spy
    rng = np.random.default_rng(0)
    rewards = np.array([envs.step(rng.integers(0, 7, envs.num_envs)).rewards for _ in range(500)])
    for name, term in COMPOSITE_V25.items():
        values = np.array([each[name] for each in seen])
        assert term.low <= values.min() <= values.max() <= term.high, name
        assert values.std() > 0, name
    assert np.abs(rewards).max() < 2


def test_composite_and_a_target_contradict_each_other() -> None:
    """Both say what is rewarded."""
    with pytest.raises(ConfigError, match="reward"):
        preset("laptop", reward="composite_v25", horizon=5)
    with pytest.raises(ConfigError, match="reward"):
        preset("laptop", reward="composite_v26")


def test_guide_shows_the_table_of_terms() -> None:
    """Weight, formula and range of each term, as the code has them."""
    text = GUIDE.read_text("utf-8").replace("\\|", "|")
    for name, term in COMPOSITE_V25.items():
        assert f"| `{name}` | {term.weight} | {term.low:g} .. {term.high:g} | {term.formula} |" in text
