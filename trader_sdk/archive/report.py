"""report.html: one self-contained file that says in a minute what the gate thought and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.archive.gate import metric_bars
from trader_sdk.archive.layout import model_key
from trader_sdk.archive.metrics import required_t
from trader_sdk.archive.pictures import HEIGHT, WIDTH, Curve, columns, curve, drawdown_curve, gauge
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.reader import short
from trader_sdk.archive.wording import (
    METRIC_TITLES,
    checkpoint_text,
    data_text,
    deployment_text,
    flag_text,
    is_simulated,
    metric_value,
    number_text,
)
from trader_sdk.contract.documents import Assessments, GateBlock, Summary, SummaryModel, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

_HELD_OUT: Final = (
    "sharpe_annual",
    "sortino",
    "cvar",
    "turnover",
    "cost_total",
    "net_return",
    "mean_market_return",
    "active_windows",
)


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
        width=WIDTH, height=HEIGHT,
    )  # fmt: skip


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    text = files("trader_sdk.archive").joinpath("templates", "report.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _card(verdict: Verdict, model: SummaryModel, policy: ModelGatingConfig) -> dict[str, Any]:
    history = model.metrics.fitness_score
    evidence = verdict.evidence
    return {
        "verdict": verdict,
        "simulated": is_simulated(verdict),
        "deployment": deployment_text(verdict),
        "checkpoint": checkpoint_text(verdict),
        "data": data_text(verdict),
        "gauges": _gauges(verdict, policy),
        "learning": curve(history, (verdict.best_idx, len(history) - 1)),
        "validations": len(history),
        "folds": evidence.folds if evidence else (),
        "fold_columns": columns([fold.sharpe for fold in evidence.folds]) if evidence else (),
        **_equity(evidence),
        "rows": _rows(verdict, model, policy),
        "flags": [(flag, flag_text(flag)) for flag in verdict.flags],
    }


def _equity(evidence: GateBlock | None) -> dict[str, Curve | None]:
    equity: Sequence[float] = evidence.equity if evidence else ()
    return {
        "equity": curve(equity, zero=1.0) if equity else None,
        "drawdown": curve(drawdown_curve(equity), zero=0.0) if equity else None,
    }


def _gauges(verdict: Verdict, policy: ModelGatingConfig) -> list[dict[str, Any]]:
    found = []
    for bar in metric_bars(policy):
        value = metric_value(verdict, bar.metric)
        metric = verdict.metrics.get(bar.metric)
        found.append(
            {
                "title": METRIC_TITLES.get(bar.metric, bar.metric),
                "value": number_text(bar.metric, value),
                "review": number_text(bar.metric, bar.review),
                "approved": number_text(bar.metric, bar.approved),
                "tier": getattr(metric, "tier", "DROP"),
                "gauge": gauge(value, bar.review, bar.approved, higher_is_better=bar.higher_is_better),
            }
        )
    return found


def _rows(verdict: Verdict, model: SummaryModel, policy: ModelGatingConfig) -> list[_Row]:
    needed = required_t(verdict.n_trials, policy.min_t, policy.false_approval_rate)
    inside: Mapping[str, float] = model.in_sample
    rows = [
        _Row("t statistic", f"{number_text('t', metric_value(verdict, 't'))} (needed {needed:.2f})"),
        _Row("Trials on this data", str(verdict.n_trials)),
        *(_row(name, metric_value(verdict, name), inside) for name in ("n_trades", "n_bars", "n_windows")),
        _row("real_drawdown", metric_value(verdict, "real_drawdown"), inside),
    ]
    shown = verdict.evidence.shown if verdict.evidence else {}
    return rows + [_row(name, shown.get(name), inside) for name in _HELD_OUT if name in shown or name in inside]


def _row(name: str, value: float | None, inside: Mapping[str, float]) -> _Row:
    in_sample = number_text(name, inside[name]) if name in inside else ""
    return _Row(METRIC_TITLES.get(name, name), number_text(name, value), in_sample)
