"""report.html: one self-contained file that says in a minute what the gate thought and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.archive.gate import GateClass, metric_bars
from trader_sdk.archive.layout import model_key
from trader_sdk.archive.metrics import required_t
from trader_sdk.archive.pictures import HEIGHT, WIDTH, Curve, columns, curve, drawdown_curve, gauge
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.reader import short
from trader_sdk.archive.wording import (
    METRIC_TITLES,
    bar_text,
    checkpoint_text,
    data_text,
    deployment_text,
    flag_text,
    is_simulated,
    metric_value,
    number_text,
    reasons,
)
from trader_sdk.contract.summary import GateBlock, Summary, SummaryModel
from trader_sdk.contract.verdicts import Assessments, FlagRecord, MetricVerdict, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

_HELD_OUT: Final = ("sharpe_annual", "sortino", "cvar", "turnover", "mean_market_return", "active_windows")
_SHARES: Final = frozenset({"consistency"})
_EXPLAINED: Final[Mapping[str, str]] = {
    "fitness_score": "Return for its risk, less a fifth of the drawdown.",
    "profit_factor": "What winning trades earned over what losing ones lost.",
    "consistency": "Share of the windows that ended with a gain.",
    "max_drawdown": "Deepest fall from a peak.",
}


@dataclass(frozen=True, slots=True)
class _Row:
    title: str
    value: str
    in_sample: str = ""


def report_html(summary: Summary, assessments: Assessments) -> str:
    """Return the report of one run.

    Args:
        summary: What the run said of itself.
        assessments: What the gate made of it.
    """
    models = {model_key(model.symbol, model.timeframe): model for model in summary.models.values()}
    policy = ModelGatingConfig.model_validate(assessments.policy.values)
    cards = [_card(verdict, models[verdict.id.rsplit("/", 1)[0]], policy) for verdict in assessments.assessments]
    return _template().render(
        policy=assessments.policy, policy_hash=short(assessments.policy.hash), run=summary.run, cards=cards,
        width=WIDTH, height=HEIGHT, overview=_overview(assessments.assessments, policy) if len(cards) > 1 else (),
    )  # fmt: skip


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    text = files("trader_sdk.archive").joinpath("templates", "report.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _overview(verdicts: Sequence[Verdict], policy: ModelGatingConfig) -> list[dict[str, Any]]:
    names = [bar.metric for bar in metric_bars(policy)][:4]
    return [
        {
            "verdict": verdict,
            "numbers": [number_text(name, metric_value(verdict, name)) for name in (*names, "t")],
            "why": reasons(verdict, policy)[0],
        }
        for verdict in verdicts
    ]


def _card(verdict: Verdict, model: SummaryModel, policy: ModelGatingConfig) -> dict[str, Any]:
    evidence = verdict.evidence
    return {
        "verdict": verdict,
        "simulated": is_simulated(verdict),
        "deployment": deployment_text(verdict),
        "reasons": reasons(verdict, policy),
        "verb": {"APPROVED": "It passed", "REVIEW": "Not approved", "DROP": "It failed"}[verdict.class_.value],
        "checkpoint": checkpoint_text(verdict),
        "data": data_text(verdict),
        "gauges": [_gauge(verdict, bar) for bar in metric_bars(policy)],
        "learning": _learning(verdict, model),
        "folds": _folds(evidence),
        **_equity(evidence),
        "earned": _earned(verdict, policy),
        "rows": _rows(verdict, model),
        "flags": [_flag(flag) for flag in verdict.flags],
    }


def _flag(flag: FlagRecord) -> dict[str, str]:
    if flag.name == "FITNESS_DECLINE":
        consequence, tone = "the checkpoint at the peak is preferred; the class does not move", "plain"
    elif flag.tier_missed is None:
        consequence, tone = "a remark, no consequence", "plain"
    elif flag.tier_missed is GateClass.REVIEW:
        consequence, tone = "not deployable", "DROP"
    else:
        consequence, tone = "no better than REVIEW", "REVIEW"
    return {"name": flag.name, "text": flag_text(flag), "consequence": consequence, "tone": tone}


def _learning(verdict: Verdict, model: SummaryModel) -> dict[str, Any] | None:
    history = model.metrics.fitness_score
    best, last = min(verdict.best_idx, len(history) - 1), len(history) - 1
    drawn = curve(history, (best, last))
    if drawn is None or len(drawn.marks) < 1:
        return None
    spots = drawn.spots
    return {
        "curve": drawn,
        "peak": spots[0] if math.isfinite(history[best]) else None,
        "final": spots[-1] if math.isfinite(history[last]) else None,
        "peak_text": number_text("fitness_score", history[best]),
        "final_text": number_text("fitness_score", history[last]),
        "same": best == last,
        "validations": len(history),
        "peak_at": best + 1,
    }


def _equity(evidence: GateBlock | None) -> dict[str, Any]:
    equity: Sequence[float] = evidence.equity if evidence else ()
    folds = evidence.folds if evidence else ()
    return {
        "equity": curve(equity, zero=1.0) if equity else None,
        "drawdown": _fall(equity) if equity else None,
        "span": (folds[0].start[:10], folds[-1].end[:10]) if folds else None,
    }


def _fall(equity: Sequence[float]) -> Curve | None:
    return curve(drawdown_curve(equity), zero=0.0)


def _folds(evidence: GateBlock | None) -> list[dict[str, Any]]:
    if evidence is None:
        return []
    drawn = columns([fold.sharpe for fold in evidence.folds])
    return [
        {
            "column": column,
            "top": round(100 * column.y / HEIGHT, 2),
            "height": round(100 * column.height / HEIGHT, 2),
            "start": fold.start[:10],
            "net": f"{100 * fold.net_return:+.2f} %",
            "sharpe": f"{fold.sharpe:.2f}",
            "trades": fold.n_trades,
        }
        for fold, column in zip(evidence.folds, drawn, strict=True)
    ]


def _gauge(verdict: Verdict, bar: Any) -> dict[str, Any]:
    metric = verdict.metrics.get(bar.metric)
    value = metric_value(verdict, bar.metric)
    return {
        "title": METRIC_TITLES.get(bar.metric, bar.metric),
        "about": _EXPLAINED.get(bar.metric, "A metric of this desk's own."),
        "value": number_text(bar.metric, value),
        "review": bar_text(bar.metric, bar.review),
        "approved": bar_text(bar.metric, bar.approved),
        "tier": metric.tier.value if isinstance(metric, MetricVerdict) else GateClass.DROP.value,
        "track": gauge(
            value, bar.review, bar.approved,
            higher_is_better=bar.higher_is_better, end=1.0 if bar.metric in _SHARES else None,
        ),
    }  # fmt: skip


def _earned(verdict: Verdict, policy: ModelGatingConfig) -> list[_Row]:
    needed = required_t(verdict.n_trials, policy.min_t, policy.false_approval_rate)
    shown = verdict.evidence.shown if verdict.evidence else {}
    rows = [_Row("t statistic", f"{number_text('t', metric_value(verdict, 't'))}, needed {needed:.2f}")]
    net, costs = shown.get("net_return"), shown.get("cost_total")
    trades, bars = metric_value(verdict, "n_trades"), metric_value(verdict, "n_bars")
    if net is not None:
        rows.append(_Row("Net return", number_text("net_return", net)))
    if costs is not None:
        rows.append(_Row("Costs paid", f"{number_text('cost_total', costs)}{_share_of_gross(net, costs)}"))
    if trades:
        pace = f", one in {bars / trades:,.0f} bars" if bars else ""
        rows.append(_Row("Closed trades", f"{number_text('n_trades', trades)}{pace}"))
    rows.append(_Row("Unclamped drawdown", number_text("real_drawdown", metric_value(verdict, "real_drawdown"))))
    return [*rows, _Row("Looks at these bars", str(verdict.n_trials))]


def _share_of_gross(net: float | None, costs: float) -> str:
    if net is None or not net + costs > 0 or costs > net + costs:
        return ""
    return f", {100 * costs / (net + costs):.0f} of every 100 earned"


def _rows(verdict: Verdict, model: SummaryModel) -> list[_Row]:
    inside: Mapping[str, float] = model.in_sample
    gated = ("fitness_score", "profit_factor", "consistency", "max_drawdown", "t", "n_trades")
    rows = [_row(name, metric_value(verdict, name), inside) for name in gated if name in inside]
    rows += [_row(name, metric_value(verdict, name), inside) for name in ("n_bars", "n_windows")]
    shown = verdict.evidence.shown if verdict.evidence else {}
    more = ("net_return", "cost_total") if "net_return" in inside or "cost_total" in inside else ()
    return rows + [
        _row(name, shown.get(name), inside) for name in (*more, *_HELD_OUT) if name in shown or name in inside
    ]


def _row(name: str, value: float | None, inside: Mapping[str, float]) -> _Row:
    in_sample = number_text(name, inside[name]) if name in inside else ""
    return _Row(METRIC_TITLES.get(name, name), number_text(name, value), in_sample)
