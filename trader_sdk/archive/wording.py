"""What verdicts mean, in words for people; one place for recommendations, report and command line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from trader_sdk.archive.gate import metric_bars
from trader_sdk.archive.metrics import required_t
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.contract.verdicts import DeploymentTier, FlagRecord, GateClass, MetricVerdict, Verdict

METRIC_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fitness_score": "Fitness",
        "profit_factor": "Profit factor",
        "consistency": "Consistency",
        "max_drawdown": "Max drawdown",
        "real_drawdown": "Unclamped drawdown",
        "t": "t statistic",
        "n_trades": "Closed trades",
        "n_bars": "Bars",
        "n_windows": "Windows",
        "active_windows": "Windows with exposure",
        "n_trials": "Trials on this data",
        "fitness_history": "Fitness by validation",
        "checkpoint": "Checkpoint",
        "gate": "GATE block",
        "metric_set": "Metric set",
        "reward_scale": "Reward scale",
        "sharpe_annual": "Sharpe, annualised",
        "sortino": "Sortino",
        "cvar": "CVaR 5 % a bar",
        "turnover": "Turnover a bar",
        "cost_total": "Costs, sum",
        "net_return": "Net return",
        "mean_market_return": "Market, mean a bar",
    }
)
_FRACTIONS: Final = frozenset(
    {"max_drawdown", "real_drawdown", "cvar", "turnover", "cost_total", "net_return", "mean_market_return"}
)
_SHARES: Final = frozenset({"consistency"})
_COURSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "FITNESS_DECLINE": "Fitness by validation fell by {:.3f} from its peak, flagged above {:g}.",
        "UNSTABLE_TRAINING": "Fitness by validation swung by {:.3f}, flagged above {:g}.",
    }
)
# This one has an upper bound; every other flag asks for at least its bar.
_UPPER_BOUNDS: Final = frozenset({"HIGH_DRAWDOWN"})

FLAG_MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LOW_FITNESS": "Return for its risk is below the REVIEW bar.",
        "LOW_PF": "Winning trades do not outweigh losing ones by enough.",
        "LOW_CONSISTENCY": "It earns in too few of the windows.",
        "HIGH_DRAWDOWN": "It lost too much from a peak.",
        "FITNESS_DECLINE": "Validation ended well below its peak: an earlier checkpoint was better.",
        "UNSTABLE_TRAINING": "Validation swung widely while training. Common, and no reason to refuse by itself.",
        "TOO_FEW_TRADES": "Too few trades or active windows to tell skill from luck.",
        "INSUFFICIENT_EVIDENCE": "The numbers are good or bad, but too little stands behind them for APPROVED.",
        "INVALID_METRIC": "A number is missing or cannot be one; nothing can be concluded from it.",
        "LOW_EXTRA_METRIC": "A metric of this desk's own policy is below its REVIEW bar.",
        "CHECKPOINT_REFUSED": "The checkpoint itself cannot be loaded; whatever it scored, there is nothing to deploy.",
    }
)

CLASS_MEANINGS: Final[Mapping[GateClass, str]] = MappingProxyType(
    {
        GateClass.APPROVED: "Cleared the gate: may be deployed up to its tier.",
        GateClass.REVIEW: "Not deployable by itself: a person may look at it and lift it with an override.",
        GateClass.DROP: "Not deployable.",
    }
)

TIER_MEANINGS: Final[Mapping[DeploymentTier, str]] = MappingProxyType(
    {
        DeploymentTier.LIVE: "with real money, on a broker's paper account and on the embedded exchange",
        DeploymentTier.PAPER: "on a broker's paper account and on the embedded exchange",
        DeploymentTier.RETRAIN: "on the embedded exchange only, until it is retrained",
    }
)


def number_text(metric: str, value: float | None) -> str:
    """Return a figure as people read it.

    Example:
        >>> number_text("max_drawdown", 0.0312), number_text("t", 3.4), number_text("profit_factor", math.inf)
        ('3.12 %', '3.400', 'no loss')
    """
    if value is None or math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "no loss" if metric == "profit_factor" and value > 0 else str(value)
    if metric in _SHARES:
        return f"{100 * value:.1f} %"
    if metric in _FRACTIONS:
        return f"{100 * value:.3g} %" if abs(value) < 0.001 else f"{100 * value:.2f} %"
    if metric.startswith(("n_", "active_")):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.3f}"


def bar_text(metric: str, bar: float) -> str:
    """Return a bar as short as it is exact.

    Example:
        >>> bar_text("max_drawdown", 0.08), bar_text("fitness_score", 0.70)
        ('8 %', '0.7')
    """
    return f"{100 * bar:.6g} %" if metric in _FRACTIONS | _SHARES else f"{bar:.6g}"


def flag_text(flag: FlagRecord) -> str:
    """Return one flag with its evidence and meaning."""
    if flag.name in _COURSES and flag.value is not None and flag.bar is not None:
        moved = _COURSES[flag.name].format(flag.value, flag.bar)
        return f"{moved} {FLAG_MEANINGS[flag.name]}"
    title = METRIC_TITLES.get(flag.metric, flag.metric.replace("_", " "))
    facts = []
    if flag.value is not None:
        facts.append(number_text(flag.metric, flag.value))
    if flag.bar is not None:
        side = "at most" if flag.name in _UPPER_BOUNDS else "at least"
        facts.append(f"wanted {side} {number_text(flag.metric, flag.bar)}")
    if flag.detail:
        facts.append(flag.detail)
    shown = f"{title}: {', '.join(facts)}. " if facts else f"{title}. "
    return shown + FLAG_MEANINGS.get(flag.name, "")


def metric_value(verdict: Verdict, name: str) -> float | None:
    """Return one of a verdict's figures, ``None`` where it has none."""
    metric = verdict.metrics.get(name)
    return metric.value if isinstance(metric, MetricVerdict) else metric


def deployment_text(verdict: Verdict) -> str:
    """Return where a verdict's model may trade."""
    if verdict.class_ is not GateClass.APPROVED or verdict.tier is None:
        return CLASS_MEANINGS[verdict.class_]
    return f"May trade {TIER_MEANINGS[verdict.tier]} (tier {verdict.tier})."


def checkpoint_text(verdict: Verdict) -> str:
    """Return which checkpoint was judged and why."""
    best = f"validation {verdict.best_idx + 1}"
    if verdict.checkpoint_update is not None:
        best += f" (update {verdict.checkpoint_update})"
    if not verdict.use_checkpoint:
        return f"The final checkpoint was judged; the run peaked at {best}."
    return f"Validation fell after {best}: that checkpoint is preferred to the final one where its file exists."


def data_text(verdict: Verdict) -> str:
    """Return what the model was trained and judged on."""
    data = verdict.data
    if data is None:
        return "Nobody said what data this is from."
    feed = f", feed {data.feed}" if data.feed and data.feed != data.kind.value else ""
    return f"{data.kind.value.capitalize()} bars, {_day(data.start)} to {_day(data.end)}{feed}.{_word(verdict)}"


def _word(verdict: Verdict) -> str:
    if verdict.asserted is None:
        return ""
    return f" That its training ended by {verdict.asserted.trained_until} is the word of {verdict.asserted.who}."


def _day(text: str) -> str:
    return text.partition("T")[0]


def reasons(verdict: Verdict, policy: ModelGatingConfig) -> list[str]:
    """Return why a verdict is what it is: for APPROVED what it cleared, else what keeps it from the next class.

    Args:
        verdict: The verdict.
        policy: The policy it was made with.
    """
    if verdict.class_ is GateClass.APPROVED:
        t, needed = metric_value(verdict, "t"), required_t(verdict.n_trials, policy.min_t, policy.false_approval_rate)
        trades = number_text("n_trades", metric_value(verdict, "n_trades"))
        return [f"every bar is met, with {trades} closed trades and a t of {number_text('t', t)} (needed {needed:.2f})"]
    missed = GateClass.REVIEW if verdict.class_ is GateClass.DROP else GateClass.APPROVED
    found = [_short(flag) for flag in verdict.flags if flag.tier_missed is missed]
    if verdict.class_ is GateClass.REVIEW:
        found = [*_below_approved(verdict, policy), *found]
    return list(dict.fromkeys(found)) or ["below the bars"]


def _below_approved(verdict: Verdict, policy: ModelGatingConfig) -> Iterator[str]:
    for bar in metric_bars(policy):
        metric = verdict.metrics.get(bar.metric)
        if isinstance(metric, MetricVerdict) and metric.tier is GateClass.REVIEW:
            side = "at least" if bar.higher_is_better else "at most"
            title, value = METRIC_TITLES.get(bar.metric, bar.metric), number_text(bar.metric, metric.value)
            yield f"{title.lower()} {value} (APPROVED asks for {side} {number_text(bar.metric, bar.approved)})"


def _short(flag: FlagRecord) -> str:
    if flag.detail:
        return flag.detail
    title = METRIC_TITLES.get(flag.metric, flag.metric.replace("_", " "))
    title = title if title.isupper() or title[0].islower() or title.startswith("GATE") else title.lower()
    if flag.value is None and flag.bar is None:
        return f"{title}: {FLAG_MEANINGS.get(flag.name, flag.name).rstrip('.').lower()}"
    side = "at most" if flag.name in _UPPER_BOUNDS else "at least"
    asked = f" (asked for {side} {number_text(flag.metric, flag.bar)})" if flag.bar is not None else ""
    return f"{title} {number_text(flag.metric, flag.value)}{asked}"


def is_simulated(verdict: Verdict) -> bool:
    """Return whether the bars came from a generator."""
    return verdict.data is not None and verdict.data.kind.value == "simulated"
