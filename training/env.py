"""The trading environment, all copies at once: sleeves that stand on shared bars."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.walk import ActionTable, Turn, fill_decisions
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits
from trader_sdk.contract.sleeve import Fills, SleeveArray
from trader_sdk.contract.spec import ModelSpec
from training.market import Market
from training.reward import Composite, Outcome, RewardKind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

INITIAL_EQUITY: Final = 10_000.0
RUIN_FRACTION: Final = 0.01
"""An episode terminates when equity falls to this fraction of its start."""
PAST_LOG_GROWTH: Final = (-0.2, 0.7)
PAST_DRAWDOWN: Final = 0.1
PAST_TRADES: Final = 500
"""What half of the sleeves are given as a past: growth since they were armed, drawdown, closed trades."""
SHORTEST_EPISODE: Final = 32
"""Steps that a fresh episode has before it at least, where bars are missing; less only where no stretch has so many."""
_FREE: Final = CostModel("free", Decimal(0), Decimal(0), Decimal(0), Decimal(0))


class Observation(NamedTuple):
    """What N environments on M bars see: market ``rows`` int64 (M,) and ``account`` columns float32 (N, k)."""

    rows: Ints
    account: NDArray[np.float32]


class StepResult(NamedTuple):
    """What one step gave.

    ``rewards`` are float64 (N,); ``terminated`` and ``truncated`` bool (N,), never both; ``final`` is what was seen
    before the environments whose episode ended were reset.
    """

    rewards: Floats
    terminated: Bools
    truncated: Bools
    final: Observation


@dataclass(frozen=True, slots=True)
class Standing:
    """Where episodes may start and go on.

    Attributes:
        first: First row of the block.
        ahead: Steps that may be made from each row of the block, (len(block),).
        starts: Rows with a step before them, those with the most first.
        rooms: Their steps, not increasing.
        needed: Steps that a fresh episode asks for at most.
    """

    first: int
    ahead: Ints
    starts: Ints
    rooms: Ints
    needed: int

    @classmethod
    def on(cls, market: Market, block: range, episode_bars: int) -> Standing:
        """Return where episodes of ``block`` may stand.

        Raises:
            DataError: No two of its bars follow each other with whole windows.
        """
        ahead = market.steps_ahead(block)
        order = np.argsort(-ahead, kind="stable")
        starts = order[ahead[order] > 0]
        if not len(starts):
            raise DataError("BARS", "bars are missing in every window of the block", found=block)
        # Where no bar is missing an episode is never cut short by the end of the block.
        needed = episode_bars if ahead[0] == len(block) - 1 else min(SHORTEST_EPISODE, int(ahead.max()))
        return cls(block.start, ahead, starts + block.start, ahead[starts], needed)

    def goes_on(self, rows: Ints) -> Bools:
        """Return whether a step may be made from each of ``rows``."""
        return self.ahead[rows - self.first] > 0

    def draw(self, steps: Ints, rng: np.random.Generator) -> Ints:
        """Return random rows that episodes of so many ``steps`` (M,) may start on."""
        count = np.searchsorted(-self.rooms, -np.minimum(steps, self.needed), side="right")
        return self.starts[rng.integers(0, count)]


class TradingEnvs:
    """Step N sleeves at once; groups of ``envs_per_bar`` stand on the same bar.

    A decision on the close of a bar fills at the next bar's open. Episodes start at random bars of the block and are
    truncated after ``episode_bars``, or before a bar that is missing; half of them start with a random position, and
    half with a sleeve that has a past. A ruined environment terminates and goes on beside its group. Observations are
    indices into ``market.features``.

    Args:
        market: Features and prices.
        block: Rows that episodes may stand on.
        spec: Contract row.
        num_envs, envs_per_bar, episode_bars: As in :class:`~training.config.TrainConfig`.
        costs: Cost model.
        rng: Draws starts and positions.
        limits: Sizing constants.
        shift: What the rewarded return of each row differs by from the bar's own, (T,); None for nothing.
        reward: What is rewarded.

    Raises:
        DataError: The block is too short to stand on.
    """

    def __init__(
        self,
        market: Market,
        block: range,
        spec: ModelSpec,
        *,
        num_envs: int,
        envs_per_bar: int,
        episode_bars: int,
        costs: CostModel,
        rng: np.random.Generator,
        limits: ExecutionLimits = DEFAULT_LIMITS,
        shift: Floats | None = None,
        reward: RewardKind = RewardKind.NET_LOG_RETURN,
    ) -> None:
        if len(block) < 3 or block.start < spec.window - 1 or block.stop > len(market.features):
            raise DataError("BARS", "the block is too short or lies outside the market", found=block)
        self.market, self.block, self.spec = market, block, spec
        self.num_envs, self.envs_per_bar, self.num_bars = num_envs, envs_per_bar, num_envs // envs_per_bar
        self.episode_bars = min(episode_bars, len(block) - 2)
        self.costs, self.limits, self.rng = costs, limits, rng
        self.table, self.shift = ActionTable.of(spec), shift
        self._prices, self._years = market.prices, market.prices.years
        self._standing = Standing.on(market, block, self.episode_bars)
        # The standard deviation of a sleeve's return at its largest position: rewards come out at O(1).
        cap = float(limits.cap_fraction)
        self.reward_unit = max(cap * market.volatility(block), 1e-12)
        composite = Composite(num_envs, spec.n_actions, cap, float(costs.side_fraction))
        self.composite = composite if reward is RewardKind.COMPOSITE_V25 else None
        self.reset()

    def reset(self) -> Observation:
        """Start every episode anew, at random ages so that they do not all end together."""
        self.age = self.rng.integers(0, self.episode_bars, self.num_bars)
        self.bar = np.zeros(self.num_bars, dtype=np.int64)
        self.sleeves = SleeveArray.start(np.full(self.num_envs, INITIAL_EQUITY))
        self._place(np.ones(self.num_bars, dtype=np.bool_), self.age)
        self._start_sleeves(np.ones(self.num_envs, dtype=np.bool_))
        return self.observe()

    @property
    def rows(self) -> Ints:
        """Return the market row of each environment, (N,)."""
        return np.repeat(self.bar, self.envs_per_bar)

    def observe(self) -> Observation:
        """Return what every environment sees now."""
        close = self._prices.close[self.rows]
        return Observation(self.bar.copy(), self.sleeves.columns(close, self.spec.n_account))

    def gather(self, seen: Observation) -> NDArray[np.float32]:
        """Return whole observations, float32 (N, obs_dim): what other trainers and golden probes need; PPO does not."""
        rows = np.repeat(seen.rows, self.envs_per_bar)
        market = self.market.features[rows[:, None] + np.arange(1 - self.spec.window, 1)]  # (N, window, 53)
        account = np.broadcast_to(seen.account[:, None, :], (*market.shape[:2], seen.account.shape[1]))
        return np.concatenate([market, account], axis=2).reshape(self.num_envs, -1)

    def equity(self) -> Floats:
        """Return each sleeve's equity at the close of its bar, (N,)."""
        return self.sleeves.equity(self._prices.close[self.rows])

    def step(self, actions: Ints) -> StepResult:
        """Fill the decisions ``actions`` (N,) at the next open, and stand on the next close."""
        before = self.equity()
        rows = self.rows
        turn = self._prices.turn(rows, self._years)
        fills = fill_decisions(self.sleeves, actions, self.table, turn, self.costs, self.limits)
        self.bar += 1
        self.age += 1
        self.sleeves.mark(self._prices.close[self.rows])
        equity = self.equity()
        rewarded = equity if self.shift is None else equity + self.sleeves.position_value(turn.close) * self.shift[rows]
        rewards = np.log(np.maximum(rewarded, 1e-6 * INITIAL_EQUITY) / before) / self.reward_unit
        if self.composite is not None:
            rewards = self.composite.rewards(self._outcome(actions, turn, fills, before, rewards))
        terminated = equity <= RUIN_FRACTION * self.sleeves.initial
        over = (self.age >= self.episode_bars) | ~self._standing.goes_on(self.bar)
        truncated = np.repeat(over, self.envs_per_bar) & ~terminated
        final = self.observe()
        if over.any() or terminated.any():
            self.age[over] = 0
            self._place(over, self.age)
            self._start_sleeves(terminated | np.repeat(over, self.envs_per_bar))
        return StepResult(rewards, terminated, truncated, final)

    def _outcome(self, actions: Ints, turn: Turn, fills: Fills, before: Floats, growth: Floats) -> Outcome:
        close, sleeves = self._prices.close[self.rows], self.sleeves
        deviation = self.reward_unit / float(self.limits.cap_fraction)
        return Outcome(
            actions,
            weight=sleeves.position_value(turn.next_open) / before,
            move=np.log(close / turn.next_open) / deviation,
            growth=growth,
            closed=fills.closed_trade_net / before,
            cost=fills.cost / before,
            traded=fills.cost > 0.0,
            drawdown=np.clip(1.0 - sleeves.equity(close) / sleeves.peak, 0.0, 1.0),
        )

    def _place(self, where: Bools, age: Ints) -> None:
        starts = self._standing.draw(self.episode_bars - age, self.rng)
        self.bar = np.where(where, starts, self.bar)

    def _start_sleeves(self, where: Bools) -> None:
        self.sleeves.reset(where, np.full(self.num_envs, INITIAL_EQUITY))
        if self.composite is not None:
            self.composite.forget(where)
        cap = float(self.limits.cap_fraction)
        weight = self.rng.uniform(-cap if self.limits.allow_short else 0.0, cap, self.num_envs)
        weight *= where & (self.rng.random(self.num_envs) < 0.5)
        close = self._prices.close[self.rows]
        self.sleeves.fill(weight * INITIAL_EQUITY / close, close, _FREE)
        self._give_a_past(where & (self.rng.random(self.num_envs) < 0.5))

    def _give_a_past(self, where: Bools) -> None:
        # A sleeve lives for years and an episode for 512 bars: without a past, the account columns of an old sleeve
        # would be values that training never showed, and the policy's answer to them noise.
        count, sleeves = self.num_envs, self.sleeves
        growth = np.exp(self.rng.uniform(*PAST_LOG_GROWTH, count))
        drawdown = self.rng.uniform(0.0, PAST_DRAWDOWN, count)
        closed = self.rng.integers(1, PAST_TRADES, count)
        wins = self.rng.binomial(closed, self.rng.uniform(0.2, 1.0, count))
        sleeves.initial = np.where(where, INITIAL_EQUITY / growth, sleeves.initial)
        sleeves.peak = np.where(where, INITIAL_EQUITY / (1.0 - drawdown), sleeves.peak)
        sleeves.closed = np.where(where, closed, sleeves.closed)
        sleeves.wins = np.where(where, wins, sleeves.wins)
