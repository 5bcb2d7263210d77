"""The simulation that validation, gate and backtest share, against the trader's own sleeves in Decimal."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trader_sdk.archive.walk import NO_DECISION, Prices, Walk, walk_windows
from trader_sdk.contract.costs import CostModel, cost_model
from trader_sdk.contract.execution import ExecutionLimits, target_notional
from trader_sdk.contract.spec import CURRENT_MODEL_VERSION, MODEL_SPECS
from trader_sdk.portfolio import Sleeve, SleeveFill

SPEC = MODEL_SPECS[CURRENT_MODEL_VERSION]
BARS = 400
WINDOWS = [range(110, 200), range(200, 290), range(290, 380)]
DAY_SECONDS = 86_400


class Whimsical:
    """A policy of random weights on the newest row and the account: it buys, sells and looks at its sleeve."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.market = rng.normal(size=(53, SPEC.n_actions)).astype(np.float32)
        self.account = rng.normal(0.0, 3.0, (SPEC.n_account, SPEC.n_actions)).astype(np.float32)

    def market_sums(self, market: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the newest row of each window."""
        return market[SPEC.window - 1 :]

    def logits_from_sums(self, sums: NDArray[np.float32], account: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits."""
        return sums @ self.market + account @ self.account


def gapping_market(seed: int) -> tuple[NDArray[np.float32], Prices]:
    """Return features and prices whose opens are far from the closes before them, with weekends and unasked bars."""
    rng = np.random.default_rng(seed)
    days = np.arange(BARS) + np.arange(BARS) // 5 * 2
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, BARS)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.02, BARS))
    prices = Prices(days * DAY_SECONDS * 10**9, opens, close, DAY_SECONDS, rng.random(BARS) > 0.1)
    return rng.normal(size=(BARS, 53)).astype(np.float32), prices


def traded_in_decimal(
    policy: Whimsical, market: Any, prices: Prices, window: range, costs: CostModel, limits: ExecutionLimits
) -> tuple[list[int], list[float], Sleeve]:
    """Trade one window as the trader does: decide on the close, fill at the next open, close out at the last bar."""
    sleeve, order = Sleeve.start(Decimal(10_000)), Decimal(0)
    actions, equity = [], []
    assert prices.asked is not None
    for bar in window:
        close, opened = (Decimal(str(column[bar])) for column in (prices.close, prices.open))
        if bar > window.start:
            sleeve = borrowed(sleeve, opened, int(prices.t[bar] - prices.t[bar - 1]), costs)
        if order:
            sleeve = sleeve.fill(filled(order, opened, costs))
        sleeve = sleeve.mark(close)
        if bar == window.stop - 1:
            break
        equity.append(float(sleeve.equity(close)))
        order = Decimal(0)
        if not prices.asked[bar]:
            actions.append(NO_DECISION)
            continue
        account = sleeve.columns(close, SPEC.n_account)[None]
        actions.append(int(policy.logits_from_sums(market[bar : bar + 1], account)[0].argmax()))
        position = sleeve.position_value(close)
        target = target_notional(
            SPEC.actions[actions[-1]], equity=sleeve.equity(close), position=position, limits=limits
        )
        order = -sleeve.qty if target == 0 else (target - position) / close
    sleeve = borrowed(sleeve, close, prices.seconds * 10**9, costs)
    if sleeve.qty:
        sleeve = sleeve.fill(filled(-sleeve.qty, close, costs))
    return actions, [*equity, float(sleeve.cash)], sleeve


def filled(qty: Decimal, price: Decimal, costs: CostModel) -> SleeveFill:
    """Return a fill that is worse by spread and slippage, with its commission beside it."""
    paid = price * (1 + costs.price_fraction) if qty > 0 else price * (1 - costs.price_fraction)
    return SleeveFill(qty, paid, abs(qty) * paid * costs.commission_fraction)


def borrowed(sleeve: Sleeve, price: Decimal, held_ns: int, costs: CostModel) -> Sleeve:
    """Return the sleeve after the borrow fee of what it held for so long."""
    years = Decimal(held_ns) / (365 * 86_400 * 10**9)
    fee = max(-sleeve.qty * price, Decimal(0)) * costs.borrow_bps_per_year / 10_000 * years
    return replace(sleeve, cash=sleeve.cash - fee, trade_cash=sleeve.trade_cash - fee)


@pytest.mark.parametrize("allow_short", [False, True])
@pytest.mark.parametrize("costs", ["us_equity@1", "crypto@1"])
def test_walk_decides_and_earns_what_the_traders_sleeve_does(costs: str, allow_short: bool) -> None:
    """Every decision, every close's equity, every closed trade, over nights, weekends and bars nobody decides on."""
    market, prices = gapping_market(seed=3)
    policy, model = Whimsical(np.random.default_rng(4)), cost_model(costs)
    limits = ExecutionLimits(allow_short=allow_short)
    walks = walk_windows(policy, SPEC, market, prices, WINDOWS, costs=model, limits=limits)
    for window, walk in zip(WINDOWS, walks, strict=True):
        actions, equity, sleeve = traded_in_decimal(policy, market, prices, window, model, limits)
        assert walk.actions.tolist() == [*actions, NO_DECISION]
        np.testing.assert_allclose(walk.equity, equity, rtol=1e-12)
        assert len(walk.ledger.trades) == sleeve.closed > 0
        assert np.prod(1.0 + walk.ledger.net_return) == pytest.approx(float(sleeve.cash) / 10_000, rel=1e-12)


def test_walk_ledger_is_weight_times_return_from_open_to_open_less_costs() -> None:
    """``R[t] = open[t+1] / open[t] - 1``, the last bar's to its close, and nothing is held over the first bar."""
    market, prices = gapping_market(seed=5)
    walk: Walk = walk_windows(
        Whimsical(np.random.default_rng(6)), SPEC, market, prices, WINDOWS[:1], costs=cost_model("us_equity@1")
    )[0]
    window = WINDOWS[0]
    exits = [*prices.open[window.start + 1 : window.stop], prices.close[window.stop - 1]]
    np.testing.assert_allclose(walk.ledger.market_return, exits / prices.open[window.start : window.stop] - 1.0)
    assert (walk.ledger.weight[0], walk.ledger.cost[0]) == (0.0, 0.0)
