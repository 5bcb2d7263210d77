"""The gate: four numbers, two tiers each, the worst tier is the class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from trader_sdk.archive.policy import HOUSE_POLICY, meets
from trader_sdk.archive.policy import ModelGatingConfig as ModelGatingConfig
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.verdicts import DeploymentTier
from trader_sdk.contract.verdicts import GateClass as GateClass

Tier = DeploymentTier


class FlagName(StrEnum):
    """Every name that a flag can have."""

    LOW_FITNESS = "LOW_FITNESS"
    LOW_PF = "LOW_PF"
    LOW_CONSISTENCY = "LOW_CONSISTENCY"
    HIGH_DRAWDOWN = "HIGH_DRAWDOWN"
    FITNESS_DECLINE = "FITNESS_DECLINE"
    UNSTABLE_TRAINING = "UNSTABLE_TRAINING"
    TOO_FEW_TRADES = "TOO_FEW_TRADES"
    INSUFFICIENT_EVIDENCE = "INSUFFICIENT_EVIDENCE"
    INVALID_METRIC = "INVALID_METRIC"
    LOW_EXTRA_METRIC = "LOW_EXTRA_METRIC"
    CHECKPOINT_REFUSED = "CHECKPOINT_REFUSED"


class Flag(str):
    """One remark of the gate: a string equal to its name that carries its evidence.

    Args:
        name: One of :class:`FlagName`.
        metric: What was looked at.
        value: What it was; ``None`` where it is missing or no number.
        bar: What was asked for.
        tier_missed: The tier that is out of reach because of it; ``None`` for a recommendation.

    Example:
        >>> flag = Flag(FlagName.LOW_PF, "profit_factor", 1.1, 1.3, GateClass.REVIEW)
        >>> flag == "LOW_PF", flag.bar
        (True, 1.3)
    """

    __slots__ = ("bar", "metric", "tier_missed", "value")

    metric: str
    value: float | None
    bar: float | None
    tier_missed: GateClass | None

    def __new__(
        cls,
        name: FlagName,
        metric: str,
        value: float | None = None,
        bar: float | None = None,
        tier_missed: GateClass | None = None,
    ) -> Flag:
        """Make a string of the name and hang the evidence on it."""
        flag = super().__new__(cls, name.value)
        flag.metric, flag.value, flag.bar, flag.tier_missed = metric, value, bar, tier_missed
        return flag

    @property
    def name(self) -> FlagName:
        """Return the flag's name as a member of the closed set."""
        return FlagName(str(self))

    def __getnewargs__(self) -> tuple[FlagName, str, float | None, float | None, GateClass | None]:  # type: ignore[override] # str promises only its text
        return self.name, self.metric, self.value, self.bar, self.tier_missed


@dataclass(frozen=True, slots=True)
class MetricBar:
    """The two bars of one metric and the flag that says the lower one was missed."""

    metric: str
    approved: float
    review: float
    higher_is_better: bool
    flag: FlagName


@dataclass(frozen=True, slots=True)
class Classified:
    """What the bars alone say.

    Attributes:
        gate_class: The worst tier.
        tiers: Metric name to the tier it reached.
        flags: Metrics below the REVIEW bar, and invalid ones.
    """

    gate_class: GateClass
    tiers: Mapping[str, GateClass]
    flags: tuple[Flag, ...]


METRICS: Final = ("fitness_score", "profit_factor", "consistency", "max_drawdown")
# Two equal numbers may differ by this after a subtraction; a swing of exactly the threshold raises no flag.
_ROUNDING: Final = 1e-12
_ORDER: Final = (GateClass.APPROVED, GateClass.REVIEW, GateClass.DROP)


def worst(*classes: GateClass) -> GateClass:
    """Return the worst of some classes; APPROVED for none."""
    return max(classes, key=_ORDER.index, default=GateClass.APPROVED)


def assess_model_quality(
    final_fitness: float | None,
    final_pf: float | None,
    final_consistency: float | None,
    final_max_dd: float | None,
    fitness_history: Sequence[float],
    config: ModelGatingConfig | None = None,
) -> tuple[GateClass, list[Flag], bool, int]:
    """Judge four numbers; the archive applies the floors of evidence, which four numbers cannot show.

    Args:
        final_fitness: Fitness of the final model, dimensionless.
        final_pf: Profit factor; +Inf only counts where the number of trades is known to be enough.
        final_consistency: Share of windows, 0..1.
        final_max_dd: Maximum drawdown, a fraction of equity, 0..1.
        fitness_history: Fitness by validation, oldest first.
        config: The policy; the house's when omitted.

    Returns:
        ``(classification, flags, use_checkpoint, best_idx)``: ``use_checkpoint`` where the final declined past the
        threshold, ``best_idx`` the earliest maximum of the history, 0 for an empty one.

    Raises:
        ConfigError: ``config`` is no policy; an empty mapping is none either.

    Source:
        docs/guide/archive.md, "The gate"

    Example:
        >>> assess_model_quality(0.75, 1.9, 0.88, 0.06, [0.70, 0.75, 0.78, 0.75])[0]
        <GateClass.APPROVED: 'APPROVED'>
    """
    policy = _checked_policy(config)
    values = dict(zip(METRICS, (final_fitness, final_pf, final_consistency, final_max_dd), strict=True))
    judged = classify(values, policy)
    course = training_flags(final_fitness, fitness_history, policy)
    declined = has_flag(course, FlagName.FITNESS_DECLINE)
    return judged.gate_class, [*judged.flags, *course], declined, best_index(fitness_history)


def _checked_policy(config: object) -> ModelGatingConfig:
    # Told from None with care: something empty must not quietly become the house's policy.
    if config is None:
        return HOUSE_POLICY
    if not isinstance(config, ModelGatingConfig):
        found = type(config).__name__ if config else f"an empty {type(config).__name__}"
        raise ConfigError("CONFIG", "not a gate policy", where="config", expected="ModelGatingConfig", found=found)
    return config


def classify(
    values: Mapping[str, float | None], config: ModelGatingConfig, *, n_trades: int | None = None
) -> Classified:
    """Give each metric its tier and return the worst.

    Args:
        values: The four metrics by name, and the policy's own; a missing one is invalid.
        config: The policy.
        n_trades: Closed trades behind the profit factor, ``None`` where nobody said.

    Returns:
        Class, tiers and flags.
    """
    tiers: dict[str, GateClass] = {}
    flags: list[Flag] = []
    for bar in metric_bars(config):
        tiers[bar.metric], raised = _judge(values.get(bar.metric), bar, config.min_trades, n_trades)
        flags += raised
    return Classified(worst(*tiers.values()), tiers, tuple(flags))


def metric_bars(config: ModelGatingConfig) -> Iterator[MetricBar]:
    """Yield the bars of the four metrics, then those of the desk's own."""
    c = config
    yield MetricBar("fitness_score", c.approved_min_fitness, c.review_min_fitness, True, FlagName.LOW_FITNESS)
    yield MetricBar("profit_factor", c.approved_min_pf, c.review_min_pf, True, FlagName.LOW_PF)
    yield MetricBar("consistency", c.approved_min_consistency, c.review_min_consistency, True, FlagName.LOW_CONSISTENCY)
    yield MetricBar("max_drawdown", c.approved_max_drawdown, c.review_max_drawdown, False, FlagName.HIGH_DRAWDOWN)
    for name, extra in sorted(c.extra.items()):
        yield MetricBar(name, extra.approved, extra.review, extra.higher_is_better, FlagName.LOW_EXTRA_METRIC)


def _judge(value: object, bar: MetricBar, min_trades: int, n_trades: int | None) -> tuple[GateClass, tuple[Flag, ...]]:
    number = _valid_number(bar.metric, value)
    if number is None:
        return GateClass.DROP, (Flag(FlagName.INVALID_METRIC, bar.metric, as_number(value), None, GateClass.REVIEW),)
    if not meets(number, bar.review, higher_is_better=bar.higher_is_better):
        return GateClass.DROP, (Flag(bar.flag, bar.metric, number, bar.review, GateClass.REVIEW),)
    if math.isinf(number) and (n_trades is None or n_trades < min_trades):
        few = Flag(FlagName.TOO_FEW_TRADES, "n_trades", n_trades, min_trades, GateClass.APPROVED)
        return GateClass.REVIEW, (few,)
    approved = meets(number, bar.approved, higher_is_better=bar.higher_is_better)
    return (GateClass.APPROVED if approved else GateClass.REVIEW), ()


def _valid_number(metric: str, value: object) -> float | None:
    """Return the metric as a float, or ``None`` where it is no number that this metric can have."""
    number = as_number(value)
    if number is None or math.isnan(number) or number == -math.inf:
        return None
    # A drawdown written as a negative number would pass every upper bound, a percentage every lower one.
    if (metric == "max_drawdown" and number < 0) or (metric == "consistency" and number > 1):
        return None
    if math.isinf(number) and metric not in ("profit_factor", "max_drawdown"):
        return None
    return number


def as_number(value: object) -> float | None:
    """Return a real number as a float; ``None`` for text, booleans and what is missing."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    return float(value)


def training_flags(final: float | None, history: Sequence[float], config: ModelGatingConfig) -> tuple[Flag, ...]:
    """Return FITNESS_DECLINE and UNSTABLE_TRAINING where they apply; they recommend and never move the class.

    Args:
        final: Fitness of the final model, measured on the same data as ``history``.
        history: Fitness by validation; entries that are no numbers are left out.
        config: Thresholds and modes.
    """
    values = _finite(history)
    if not values:
        return ()
    peak, low = max(values), min(values)
    flags = []
    last = as_number(final)
    if last is not None and math.isfinite(last):
        decline = _swing(peak, last, config.fitness_decline_mode)
        if decline > config.fitness_decline_threshold + _ROUNDING:
            bar = config.fitness_decline_threshold
            flags.append(Flag(FlagName.FITNESS_DECLINE, "fitness_history", decline, bar))
    swing = _swing(peak, low, config.fitness_oscillation_mode)
    if swing > config.fitness_oscillation_threshold + _ROUNDING:
        flags.append(Flag(FlagName.UNSTABLE_TRAINING, "fitness_history", swing, config.fitness_oscillation_threshold))
    return tuple(flags)


def _swing(peak: float, other: float, mode: str) -> float:
    fall = peak - other
    return fall / peak if mode == "relative" and peak > 0 else fall


def _finite(history: Sequence[float]) -> list[float]:
    numbers = [as_number(value) for value in history]
    return [value for value in numbers if value is not None and math.isfinite(value)]


def has_flag(flags: Sequence[Flag], name: FlagName) -> bool:
    """Return whether a flag of that name is among ``flags``."""
    return any(flag.name is name for flag in flags)


def best_index(history: Sequence[float]) -> int:
    """Return the index of the earliest maximum; 0 where there is no finite entry."""
    numbers = [as_number(value) for value in history]
    finite = {i: value for i, value in enumerate(numbers) if value is not None and math.isfinite(value)}
    return max(finite, key=lambda i: (finite[i], -i), default=0)
