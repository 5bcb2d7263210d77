"""A verdict on a terminal: each metric against its two bars, flags and what they mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trader_sdk.archive.manager import ArchivedRun
    from trader_sdk.archive.policy import ModelGatingConfig
    from trader_sdk.contract.summary import Summary
    from trader_sdk.contract.verdicts import Assessments, Verdict

_WIDTH: Final = 80


def show_verdict(
    out: Output, verdict: Verdict, policy: ModelGatingConfig, policy_name: str, event: str = "verdict_shown"
) -> None:
    """Show one verdict: the document to a program, a page to a person."""
    from trader_sdk.archive.codec import plain

    text = None if out.json_lines else "\n".join(_lines(verdict, policy, policy_name))
    out.event(event, text, verdict=plain(verdict), policy=policy_name)


def show_assessments(out: Output, assessments: Assessments, event: str) -> None:
    """Show the verdicts of a run."""
    from trader_sdk.archive.policy import ModelGatingConfig

    policy = ModelGatingConfig.model_validate(assessments.policy.values)
    for verdict in assessments.assessments:
        show_verdict(out, verdict, policy, assessments.policy.name, event)


def write_page(out: Output, html: Path | None, summary: Summary | dict[str, Any], assessments: Assessments) -> None:
    """Write the report page, where one was asked for."""
    if html is None:
        return
    from trader_sdk.archive.codec import encode, jsonable
    from trader_sdk.archive.report import report_html
    from trader_sdk.contract.document import parse_document
    from trader_sdk.contract.summary import Summary

    if not isinstance(summary, Summary):
        summary = parse_document(Summary, encode(jsonable(summary)), where="summary")
    html.write_text(report_html(summary, assessments), "utf-8")
    out.event("page_written", f"page written to {html}", path=str(html))


def show_archived(out: Output, run: ArchivedRun, archive: str) -> None:
    """Say that a run is archived, and with what result."""
    counts = f"{run.approved_count} approved, {run.review_count} review, {run.dropped_count} dropped"
    out.event(
        "run_archived",
        f"archived as {run.timestamp} in {archive}: {counts}",
        timestamp=run.timestamp,
        approved=run.approved_count,
        review=run.review_count,
        dropped=run.dropped_count,
        path=str(run.path),
        verdicts=[verdict.id for verdict in run.assessments],
    )


def exit_code_for(verdicts: Sequence[Verdict], require: str | None) -> int:
    """Return 5 where a verdict is below the class that is required, else 0.

    Raises:
        UsageError: There is no such class.
    """
    from trader_sdk.archive.gate import GateClass, worst

    if require is None:
        return 0
    wanted = require.strip().upper()
    if wanted not in (GateClass.APPROVED, GateClass.REVIEW):
        raise UsageError("USAGE", "unknown class", where="--require", expected="APPROVED or REVIEW", found=require)
    lowest = worst(*(verdict.class_ for verdict in verdicts))
    return 0 if worst(lowest, GateClass(wanted)) is GateClass(wanted) else 5


def _lines(verdict: Verdict, policy: ModelGatingConfig, policy_name: str) -> Iterator[str]:
    from trader_sdk.archive.reader import short
    from trader_sdk.archive.wording import checkpoint_text, data_text, deployment_text, flag_text

    tier = f", tier {verdict.tier}" if verdict.tier else ""
    yield f"{verdict.symbol} {verdict.timeframe} {verdict.version_id}: {verdict.class_}{tier}"
    yield from _wrapped(deployment_text(verdict))
    yield from _metrics(verdict, policy)
    yield from _wrapped(checkpoint_text(verdict))
    yield from _wrapped(data_text(verdict))
    for flag in verdict.flags:
        yield from _wrapped(f"{flag.name}: {flag_text(flag)}")
    yield f"  gate policy {policy_name} {short(verdict.gate_policy)}, verdict {verdict.id}"


def _metrics(verdict: Verdict, policy: ModelGatingConfig) -> Iterator[str]:
    from trader_sdk.archive.gate import metric_bars
    from trader_sdk.archive.metrics import required_t
    from trader_sdk.archive.wording import METRIC_TITLES, metric_value, number_text
    from trader_sdk.contract.verdicts import MetricVerdict

    for bar in metric_bars(policy):
        metric = verdict.metrics.get(bar.metric)
        tier = metric.tier.value if isinstance(metric, MetricVerdict) else "DROP"
        sign = ">=" if bar.higher_is_better else "<="
        name, value = (
            METRIC_TITLES.get(bar.metric, bar.metric),
            number_text(bar.metric, metric_value(verdict, bar.metric)),
        )
        bars = f"{sign} {number_text(bar.metric, bar.approved)}, review {sign} {number_text(bar.metric, bar.review)}"
        yield f"  {name:<16} {value:>10}  {tier:<9} approved {bars}"
    needed = required_t(verdict.n_trials, policy.min_t, policy.false_approval_rate)
    evidence = ", ".join(
        f"{METRIC_TITLES[name].lower()} {number_text(name, metric_value(verdict, name))}"
        for name in ("n_trades", "n_bars")
    )
    yield f"  {'t statistic':<16} {number_text('t', metric_value(verdict, 't')):>10}  needed {needed:.2f}; {evidence}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
