"""One arithmetic of money: environment, backtest and shadow agree on equity at every close, short or long."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trader_sdk.archive.walk import NO_DECISION, walk_windows
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.live.shadow_account import ShadowAccount
from training.market import Market

SPEC, WINDOW = MODEL_SPECS["2.7.0"], range(120, 620)
LIMITS = ExecutionLimits(allow_short=True)


class Dice:
    """A policy that rolls dice of its own for each bar."""

    def market_sums(self, market: Any) -> Any:
        """Return the newest row of each window."""
        return market[SPEC.window - 1 :, : SPEC.n_actions]

    def logits_from_sums(self, sums: Any, account: Any) -> Any:
        """Return logits."""
        del account
        return sums


@pytest.mark.parametrize("costs", ["us_equity@1", "crypto@1"])
def test_environment_backtest_and_shadow_agree_at_every_close(
    make_market: Callable[..., Market], make_envs: Callable[..., Any], costs: str
) -> None:
    """The same decisions on a market with missing bars: three ways through, one equity, and it paid for its shorts."""
    market, model = make_market(missing=(300, 301, 302, 450)), cost_model(costs)
    (walk,) = walk_windows(Dice(), SPEC, market.features, market.prices, [WINDOW], costs=model, limits=LIMITS)
    actions = np.where(walk.actions == NO_DECISION, 0, walk.actions)
    envs = make_envs(market, num_envs=4, episode_bars=600, costs=model, limits=LIMITS)
    envs.bar[:], envs.age[:] = WINDOW.start, 0
    envs.sleeves.reset(np.ones(4, dtype=np.bool_), np.full(4, 10_000.0))
    shadow = ShadowAccount(10_000.0, model, LIMITS)
    equities = []
    for place, row in enumerate(WINDOW):
        bar = market.bars.at(row)
        shadowed = shadow.take(bar, follows=True).equity
        equities.append((walk.equity[place], envs.equity()[0], shadowed))
        if place == len(WINDOW) - 1:
            break
        if walk.actions[place] != NO_DECISION:
            shadow.order(SPEC.actions[actions[place]], bar.close)
        _step_without_a_restart(envs, actions[place])
    by_walk, by_env, by_shadow = np.array(equities[:-1]).T
    np.testing.assert_allclose(by_env, by_walk, rtol=1e-12)
    np.testing.assert_allclose(by_shadow, by_walk, rtol=1e-12)
    assert (walk.position_weight < -0.01).sum() > 50


def _step_without_a_restart(envs: Any, action: int) -> None:
    """Step over a missing bar too: what is compared here is money, not episodes."""
    start, place = envs._start_sleeves, envs._place
    envs._start_sleeves = envs._place = lambda *_: None
    envs.step(np.full(4, action))
    envs._start_sleeves, envs._place = start, place
