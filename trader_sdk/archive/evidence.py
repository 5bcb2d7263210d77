"""The verdict's class from everything that is known: the four bars, the floors of evidence, the deployment tier.

The archive judges with this when a run is written and the loader when it is read; both see the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from trader_sdk.archive.blocks import MAX_WINDOWS, MIN_WINDOW_BARS, MIN_WINDOWS
from trader_sdk.archive.folds import tier_of
from trader_sdk.archive.gate import Flag, FlagName, GateClass, Tier, classify, worst
from trader_sdk.archive.metrics import min_active_windows, required_t
from trader_sdk.archive.policy import HOUSE_METRIC_SET, ModelGatingConfig
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.summary import GateBlock

UNSTATED: Final = "unstated"
"""Metric set of a summary that does not name one."""
PROXY_REWARD_SCALE: Final = 0.001
"""The only reward scale that bars on a proxy drawdown were calibrated for."""

_TIERS: Final = (Tier.LIVE, Tier.PAPER, Tier.RETRAIN)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How the numbers came about.

    Attributes:
        metric_set: Name of the metric set, or :data:`UNSTATED`.
        drawdown_kind: ``equity``, or ``proxy`` over rewards.
        reward_scale: Scale of a proxy's rewards; NaN where nobody said.
        n_trials: How often this data was opened for judging, this time included.
        data_kind: Real or simulated, ``None`` where nobody said.
        has_policy: Whether the checkpoint could be read at all.
    """

    metric_set: str
    drawdown_kind: str
    reward_scale: float
    n_trials: int
    data_kind: DataKind | None
    has_policy: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """Class, tier and why.

    Attributes:
        gate_class: The class.
        tier: How far it may go; ``None`` for DROP.
        tiers: Tier that each gated metric reached.
        flags: Everything that lowered the class.
    """

    gate_class: GateClass
    tier: Tier | None
    tiers: Mapping[str, GateClass]
    flags: tuple[Flag, ...]


def judge(
    values: Mapping[str, float | None],
    evidence: GateBlock | None,
    circumstances: Circumstances,
    policy: ModelGatingConfig,
) -> Judgement:
    """Judge one model.

    Args:
        values: The gated metrics by name.
        evidence: What the GATE block gave; ``None`` where the numbers were not measured on one.
        circumstances: Metric set, kind of drawdown, trials and data.
        policy: Bars and floors.

    Returns:
        The judgement; the same arguments always give the same one.
    """
    bars = classify(values, policy, n_trades=evidence.n_trades if evidence else None)
    floors = [
        *_nothing_to_deploy(circumstances),
        *_measured_differently(circumstances, policy),
        *_floors(evidence, circumstances, policy),
    ]
    flags = tuple(_unique([*bars.flags, *floors]))
    gate_class = worst(bars.gate_class, *(_class_below(flag) for flag in floors))
    folds = [fold.sharpe for fold in evidence.folds] if evidence else []
    tier = None if gate_class is GateClass.DROP else capped(tier_of(folds), _ceiling(circumstances))
    return Judgement(gate_class, tier, bars.tiers, flags)


def capped(tier: Tier, ceiling: Tier) -> Tier:
    """Return the lower of two tiers.

    Example:
        >>> capped(Tier.LIVE, Tier.PAPER)
        <DeploymentTier.PAPER: 'PAPER'>
    """
    return max(tier, ceiling, key=_TIERS.index)


def _ceiling(circumstances: Circumstances) -> Tier:
    # What was never measured on a real market is not fit for real money, whatever its folds say.
    return Tier.LIVE if circumstances.data_kind is DataKind.REAL else Tier.PAPER


def _class_below(flag: Flag) -> GateClass:
    return GateClass.DROP if flag.tier_missed is GateClass.REVIEW else GateClass.REVIEW


def _unique(flags: list[Flag]) -> Iterator[Flag]:
    seen: set[tuple[str, str]] = set()
    for flag in flags:
        if (str(flag), flag.metric) not in seen:
            seen.add((str(flag), flag.metric))
            yield flag


def _nothing_to_deploy(circumstances: Circumstances) -> Iterator[Flag]:
    if not circumstances.has_policy:
        yield Flag(FlagName.CHECKPOINT_REFUSED, "checkpoint", None, None, GateClass.REVIEW)


def _measured_differently(circumstances: Circumstances, policy: ModelGatingConfig) -> Iterator[Flag]:
    if circumstances.metric_set == UNSTATED:
        yield _weak("metric_set")
    elif circumstances.metric_set != policy.metric_set:
        # Bars made for another metric set say nothing about these numbers.
        yield Flag(FlagName.INVALID_METRIC, "metric_set", None, None, GateClass.REVIEW)
    if circumstances.drawdown_kind == "proxy" and circumstances.reward_scale != PROXY_REWARD_SCALE:
        yield _weak("reward_scale", circumstances.reward_scale, PROXY_REWARD_SCALE)


def _floors(evidence: GateBlock | None, circumstances: Circumstances, policy: ModelGatingConfig) -> Iterator[Flag]:
    if evidence is None:
        yield _weak("gate")
        return
    yield from _real_drawdown(evidence.real_drawdown, policy.max_real_drawdown)
    yield from _trades(evidence, policy.min_trades)
    yield from _windows(evidence, policy.metric_set)
    needed = required_t(circumstances.n_trials, policy.min_t, policy.false_approval_rate)
    if evidence.t is None or not math.isfinite(evidence.t) or evidence.t < needed:
        yield _weak("t", evidence.t, needed)


def _real_drawdown(value: float | None, bound: float) -> Iterator[Flag]:
    if value is None:
        return
    if math.isnan(value) or value < 0:
        yield Flag(FlagName.INVALID_METRIC, "real_drawdown", value, bound, GateClass.REVIEW)
    elif value > bound:
        yield Flag(FlagName.HIGH_DRAWDOWN, "real_drawdown", value, bound, GateClass.REVIEW)


def _trades(evidence: GateBlock, min_trades: int) -> Iterator[Flag]:
    if evidence.n_trades is None:
        yield _weak("n_trades", None, min_trades)
    elif evidence.n_trades == 0:
        yield Flag(FlagName.INVALID_METRIC, "n_trades", 0.0, float(min_trades), GateClass.REVIEW)
    elif evidence.n_trades < min_trades:
        yield Flag(FlagName.TOO_FEW_TRADES, "n_trades", float(evidence.n_trades), float(min_trades), GateClass.APPROVED)
    active = evidence.shown.get("active_windows")
    if active is not None and evidence.n_windows and active < min_active_windows(evidence.n_windows):
        needed = float(min_active_windows(evidence.n_windows))
        yield Flag(FlagName.TOO_FEW_TRADES, "active_windows", active, needed, GateClass.APPROVED)


def _windows(evidence: GateBlock, metric_set: str) -> Iterator[Flag]:
    if metric_set != HOUSE_METRIC_SET:
        return  # the house's windows belong to its own metric set
    count, bars = evidence.n_windows, evidence.n_bars
    if count is None or not MIN_WINDOWS <= count <= MAX_WINDOWS:
        yield _weak("n_windows", count, MIN_WINDOWS)
    if bars is None or bars < (count or MIN_WINDOWS) * MIN_WINDOW_BARS:
        yield _weak("n_bars", bars, (count or MIN_WINDOWS) * MIN_WINDOW_BARS)


def _weak(metric: str, value: float | None = None, bar: float | None = None) -> Flag:
    return Flag(FlagName.INSUFFICIENT_EVIDENCE, metric, value, bar, GateClass.APPROVED)
