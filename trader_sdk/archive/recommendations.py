"""recommendations.md: what to deploy, look at and drop, why, and what changed since the last run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from trader_sdk.archive.gate import METRICS
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
from trader_sdk.contract.documents import Assessments, GateClass, Verdict

_HEADINGS: Final = ((GateClass.APPROVED, "Deploy"), (GateClass.REVIEW, "Look at"), (GateClass.DROP, "Drop"))


def recommendations(assessments: Assessments, before: Mapping[str, Verdict]) -> str:
    """Return the page.

    Args:
        assessments: The run's verdicts and the policy they were made with.
        before: Verdict id to the verdict of the same slot's run before, where there was one.
    """
    policy = assessments.policy
    lines = ["# Recommendations", "", f"Gate policy: {policy.name} (`{policy.hash}`).", ""]
    for gate_class, heading in _HEADINGS:
        verdicts = [verdict for verdict in assessments.assessments if verdict.class_ is gate_class]
        if verdicts:
            lines += [f"## {heading}", ""]
        for verdict in verdicts:
            lines += [*_model(verdict, before.get(verdict.id)), ""]
    return "\n".join(lines)


def _model(verdict: Verdict, earlier: Verdict | None) -> Iterator[str]:
    simulated = " — simulated market" if is_simulated(verdict) else ""
    yield f"### {_code(verdict.symbol)} {verdict.timeframe} `{verdict.version_id}`{simulated}"
    yield ""
    yield f"- **{verdict.class_}.** {deployment_text(verdict)}"
    yield f"- {_metrics(verdict)}"
    yield f"- {checkpoint_text(verdict)}"
    yield f"- {data_text(verdict)}"
    for flag in verdict.flags:
        yield f"- `{flag.name}` {flag_text(flag)}"
    yield f"- {_change(verdict, earlier)}"


def _metrics(verdict: Verdict) -> str:
    names = (*METRICS, "t", "n_trades")
    return ", ".join(f"{METRIC_TITLES[name]} {number_text(name, metric_value(verdict, name))}" for name in names) + "."


def _change(verdict: Verdict, earlier: Verdict | None) -> str:
    if earlier is None:
        return "First run of this symbol and timeframe here."
    moved = [
        f"{METRIC_TITLES[name]} {number_text(name, metric_value(earlier, name))} → "
        f"{number_text(name, metric_value(verdict, name))}"
        for name in METRICS
    ]
    return f"Since `{earlier.version_id}` ({earlier.class_}): {', '.join(moved)}."


def _code(symbol: str) -> str:
    return f"`{symbol.replace('`', '')}`"
