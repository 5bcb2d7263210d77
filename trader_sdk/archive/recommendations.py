"""recommendations.md: what to deploy, look at and drop, why, and what changed since the last run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from trader_sdk.archive.gate import METRICS
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.wording import (
    METRIC_TITLES,
    checkpoint_text,
    data_text,
    deployment_text,
    flag_text,
    is_simulated,
    metric_value,
    number_text,
    reasons,
)
from trader_sdk.contract.verdicts import Assessments, GateClass, Verdict

_HEADINGS: Final = ((GateClass.APPROVED, "Deploy"), (GateClass.REVIEW, "Look at"), (GateClass.DROP, "Drop"))


def recommendations(assessments: Assessments, before: Mapping[str, Verdict]) -> str:
    """Return the page.

    Args:
        assessments: The run's verdicts and the policy they were made with.
        before: Verdict id to the verdict of the same slot's run before, where there was one.
    """
    snapshot = assessments.policy
    policy = ModelGatingConfig.model_validate(snapshot.values)
    lines = [
        "# Recommendations",
        "",
        _summary(assessments),
        "",
        f"Gate policy: {snapshot.name} (`{snapshot.hash}`).",
        "",
    ]
    for gate_class, heading in _HEADINGS:
        verdicts = [verdict for verdict in assessments.assessments if verdict.class_ is gate_class]
        if verdicts:
            lines += [f"## {heading}", ""]
        for verdict in verdicts:
            lines += [*_model(verdict, before.get(verdict.id), policy), ""]
    return "\n".join(lines)


def _summary(assessments: Assessments) -> str:
    parts = []
    for gate_class, heading in _HEADINGS:
        named = [f"{_code(v.symbol)} {v.timeframe}" for v in assessments.assessments if v.class_ is gate_class]
        parts.append(f"**{heading}:** {', '.join(named) or 'nothing'}.")
    return " ".join(parts)


def _model(verdict: Verdict, earlier: Verdict | None, policy: ModelGatingConfig) -> Iterator[str]:
    simulated = " — simulated market" if is_simulated(verdict) else ""
    yield f"### {_code(verdict.symbol)} {verdict.timeframe} `{verdict.version_id}`{simulated}"
    yield ""
    yield f"- **{verdict.class_}.** {deployment_text(verdict)}"
    yield f"- Why: {'; '.join(reasons(verdict, policy))}."
    yield f"- {_metrics(verdict)}"
    yield f"- Checkpoint: {checkpoint_text(verdict)}"
    yield f"- Data: {data_text(verdict)}"
    yield f"- Changed: {_change(verdict, earlier)}"
    yield f"- Next: {_next(verdict)}"
    for flag in verdict.flags:
        yield f"- `{flag.name}` {flag_text(flag)}"


def _metrics(verdict: Verdict) -> str:
    names = (*METRICS, "t", "n_trades")
    return ", ".join(f"{METRIC_TITLES[name]} {number_text(name, metric_value(verdict, name))}" for name in names) + "."


def _change(verdict: Verdict, earlier: Verdict | None) -> str:
    if earlier is None:
        return "First run of this symbol and timeframe here."
    was = f"still {verdict.class_}" if earlier.class_ is verdict.class_ else f"{earlier.class_} → {verdict.class_}"
    if earlier.policy_sha256 is not None and earlier.policy_sha256 == verdict.policy_sha256:
        was += ", the very same policy"
    moved = [
        f"{METRIC_TITLES[name]} {number_text(name, metric_value(earlier, name))} → "
        f"{number_text(name, metric_value(verdict, name))}"
        for name in METRICS
    ]
    looks = f"; look {verdict.n_trials} at these bars" if verdict.n_trials > 1 else ""
    return f"since `{earlier.version_id}` ({was}): {', '.join(moved)}{looks}."


def _next(verdict: Verdict) -> str:
    if verdict.class_ is GateClass.APPROVED:
        symbol = verdict.symbol.replace("`", "")
        return (
            "an empty slot has it as champion already; behind a champion it waits for "
            f"`trader archive promote {symbol} {verdict.version_id} --timeframe {verdict.timeframe}`."
        )
    if verdict.class_ is GateClass.REVIEW:
        return f'a person may lift it: `trader archive override {verdict.id} --why "..." --until ...`.'
    return "nothing to deploy; train again with more data, or let it go."


def _code(symbol: str) -> str:
    return f"`{symbol.replace('`', '')}`"
