"""One page for a partner: what holds a slot, why, on which evidence, and what may go wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Any, Final

from trader_sdk.archive.gate import GateClass, Tier, metric_bars
from trader_sdk.archive.metrics import required_t
from trader_sdk.archive.reader import ArchiveReader, JudgedModel, deployed_subject, short
from trader_sdk.archive.slots import SlotKey, VerdictRef
from trader_sdk.archive.wording import (
    METRIC_TITLES,
    data_text,
    deployment_text,
    flag_text,
    is_simulated,
    metric_value,
    number_text,
)
from trader_sdk.contract.audit import AuditKind, AuditRecord, Override
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.verdicts import Verdict

_WIDTH: Final = 80
_INDENT: Final = 10
_STALE_DAYS: Final = 180
_ABOUT_SLOTS: Final = (AuditKind.PROMOTE, AuditKind.REVERT, AuditKind.OVERRIDE, AuditKind.RUN_ARCHIVED)


@dataclass(frozen=True, slots=True)
class Decision:
    """One move of a slot's pointer, or an override that lifts a model of it.

    Attributes:
        at: When, aware.
        kind: What happened.
        who: Who did it.
        to: Version that holds the slot, or was lifted.
        before: Version that held it; empty for the first.
        why: The reason that was given.
        seq: Number of the audit record.
    """

    at: datetime
    kind: str
    who: str
    to: str
    before: str
    why: str
    seq: int


@dataclass(frozen=True, slots=True)
class Memo:
    """One page about a slot: headings and lines, each line a sentence or a row."""

    title: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    facts: dict[str, Any]

    @property
    def text(self) -> str:
        """Return the page, 80 columns wide."""
        lines = [self.title, "=" * len(self.title)]
        for heading, paragraphs in self.sections:
            lines.append("")
            for index, paragraph in enumerate(paragraphs):
                lead = f"{heading:<{_INDENT}}" if index == 0 else " " * _INDENT
                lines += textwrap.wrap(
                    paragraph, _WIDTH, initial_indent=lead, subsequent_indent=" " * _INDENT, break_on_hyphens=False
                )
        return "\n".join(lines)


def slot_memo(reader: ArchiveReader, key: SlotKey, at: datetime) -> Memo:
    """Return the page about a slot's champion.

    Args:
        reader: The archive.
        key: The slot.
        at: Now, aware.

    Raises:
        ArchiveError: E601 where nobody holds the slot; E602 if its verdict was edited.
    """
    pointers = reader.state.pointers(key)
    champion = pointers.champion
    ref = reader.state.newest_verdict(key, champion.version_id, champion.policy_sha256) if champion else None
    if champion is None or ref is None:
        raise ArchiveError("E601", "nobody holds this slot, so there is nothing to explain", where=str(key))
    judged = reader.judged(ref)
    before = None
    if pointers.previous is not None:
        old = reader.state.newest_verdict(key, pointers.previous.version_id, pointers.previous.policy_sha256)
        before = reader.judged(old).verdict if old is not None else None
    moves = [move for move in decisions(reader, key) if move.to == champion.version_id]
    override = reader.state.overrides.get(ref.id)
    sections = (
        ("What", tuple(_what(key, judged, champion.since, moves))),
        ("Why", tuple(_why(judged.verdict, moves, override))),
        ("Evidence", tuple(_evidence(judged, before))),
        ("Risks", tuple(f"- {risk}" for risk in risks(judged, override, at))),
        ("Bound to", tuple(_bound(judged, reader.state.runs[ref.run].seq))),
        ("Undo", (f'trader archive revert {key.symbol} --timeframe {key.timeframe.value} --why "..."',)),
    )
    title = f"{key.symbol} {key.timeframe.value}: {ref.version_id} holds the slot"
    return Memo(title, sections, _facts(key, ref, judged, before, moves, override, sections))


def decisions(reader: ArchiveReader, key: SlotKey) -> list[Decision]:
    """Return every move of a slot's pointer and every override in it, oldest first."""
    found: list[Decision] = []
    holder = ""
    for record in reader.chain.records:
        if record.kind in _ABOUT_SLOTS:
            for decision in _decided(record, key, holder, reader):
                found.append(decision)
                holder = decision.to if not decision.kind.startswith("override") or not holder else holder
    return found


def _decided(record: AuditRecord, key: SlotKey, holder: str, reader: ArchiveReader) -> Iterator[Decision]:
    body: Any = record.body
    who, at = record.who.name, record.at
    if record.kind in (AuditKind.PROMOTE, AuditKind.REVERT):
        if (body["symbol"], body["timeframe"]) == (key.symbol, key.timeframe.value):
            yield Decision(at, record.kind.value, who, body["to"], body["from"] or "", body["why"], record.seq)
    elif record.kind is AuditKind.OVERRIDE:
        ref = reader.state.verdicts.get(body["override"]["verdict"])
        if ref is not None and ref.slot == key:
            kind = "override" if holder else "override, first champion"
            yield Decision(at, kind, who, ref.version_id, holder, body["override"]["why"], record.seq)
    elif not holder:
        for verdict in body["verdicts"]:
            same = (verdict["symbol"], verdict["timeframe"]) == (key.symbol, key.timeframe.value)
            if same and verdict["class"] == GateClass.APPROVED.value:
                yield Decision(at, "first champion", who, verdict["version_id"], "", "", record.seq)


def _what(key: SlotKey, judged: JudgedModel, since: datetime, moves: list[Decision]) -> Iterator[str]:
    verdict = judged.verdict
    yield (
        f"{verdict.version_id} decides {key.symbol} on {key.timeframe.value} bars since {since:%Y-%m-%d %H:%M} UTC. "
        f"{deployment_text(verdict)}"
    )
    last = moves[-1] if moves else None
    if last is not None and last.before:
        yield f"It took over from {last.before}; {last.who} moved the pointer ({last.kind}, audit record {last.seq})."
    elif last is not None:
        yield f"The slot was empty; the run of {last.who} filled it ({last.kind}, audit record {last.seq})."


def _why(verdict: Verdict, moves: list[Decision], override: Override | None) -> Iterator[str]:
    reasons = [move for move in moves if move.why]
    if reasons:
        yield f'"{reasons[-1].why}" ({reasons[-1].who}, {reasons[-1].at:%Y-%m-%d})'
    elif verdict.class_ is GateClass.APPROVED:
        yield "The gate approved it on bars that neither its training nor the choice of its checkpoint had seen."
    else:
        yield "No reason was written down."
    if override is not None and verdict.class_ is GateClass.REVIEW:
        yield (
            f"The gate itself said REVIEW. {override.who} lifted it up to {override.tier_ceiling} until "
            f'{override.until:%Y-%m-%d %H:%M} UTC: "{override.why}"'
        )


def _evidence(judged: JudgedModel, before: Verdict | None) -> Iterator[str]:
    verdict = judged.verdict
    needed = required_t(verdict.n_trials, judged.policy.min_t, judged.policy.false_approval_rate)
    yield data_text(verdict)
    for bar in metric_bars(judged.policy):
        value = number_text(bar.metric, metric_value(verdict, bar.metric))
        side = "at least" if bar.higher_is_better else "at most"
        yield (
            f"{METRIC_TITLES.get(bar.metric, bar.metric)} {value}: APPROVED asks for {side} "
            f"{number_text(bar.metric, bar.approved)}, REVIEW for {number_text(bar.metric, bar.review)}"
            f"{_compared(bar.metric, before)}."
        )
    counts = ", ".join(
        f"{METRIC_TITLES[name].lower()} {number_text(name, metric_value(verdict, name))}"
        for name in ("n_trades", "n_bars", "n_windows")
    )
    yield f"t statistic {number_text('t', metric_value(verdict, 't'))}, needed {needed:.2f}; {counts}."
    evidence = verdict.evidence
    if evidence is not None and evidence.folds:
        positive = sum(fold.sharpe > 0 for fold in evidence.folds)
        yield f"{positive} of {len(evidence.folds)} consecutive stretches earned more than the market's own drift."
    if evidence is not None and "net_return" in evidence.shown:
        net, costs = evidence.shown["net_return"], evidence.shown.get("cost_total")
        paid = f" after costs of {number_text('cost_total', costs)}" if costs is not None else ""
        yield f"Net return while judged {number_text('net_return', net)}{paid}."


def _compared(metric: str, before: Verdict | None) -> str:
    if before is None:
        return ""
    return f" (the one before: {number_text(metric, metric_value(before, metric))})"


def risks(judged: JudgedModel, override: Override | None, at: datetime) -> list[str]:
    """Return what may go wrong with a model, the gravest first.

    Args:
        judged: Verdict and policy.
        override: The override about it, None where there is none.
        at: Now, aware.
    """
    verdict = judged.verdict
    return [
        *_risks_of_origin(verdict),
        *_risks_of_override(verdict, override, at),
        *_risks_of_luck(judged),
        *_risks_of_costs(verdict),
        *_risks_of_age(verdict, at),
        *(flag_text(flag) for flag in verdict.flags),
    ]


def _risks_of_origin(verdict: Verdict) -> Iterator[str]:
    if is_simulated(verdict):
        yield "The market was simulated: nothing here was earned on a real one."
    if verdict.data is None:
        yield "Nobody said which bars it was judged on."
    if verdict.asserted is not None:
        asserted = verdict.asserted
        yield f"That it saw no bar after {asserted.trained_until} is {asserted.who}'s word; nothing proves it."
    if verdict.gate_policy and verdict.drawdown_kind == "proxy":
        yield "Its drawdown was measured over rewards, not over equity."


def _risks_of_override(verdict: Verdict, override: Override | None, at: datetime) -> Iterator[str]:
    if override is None or verdict.class_ is not GateClass.REVIEW:
        return
    if at >= override.until:
        yield f"Its override ended on {override.until:%Y-%m-%d %H:%M} UTC: it may not trade any more."
    else:
        yield f"It did not clear the gate; it trades on {override.who}'s override until {override.until:%Y-%m-%d}."


def _risks_of_luck(judged: JudgedModel) -> Iterator[str]:
    verdict = judged.verdict
    t = metric_value(verdict, "t")
    if t is not None and t == t and verdict.n_trials:
        by_luck = min(1.0, verdict.n_trials * (1.0 - NormalDist().cdf(t)))
        looks = f"{verdict.n_trials} looks" if verdict.n_trials > 1 else "one look"
        yield f"Without any skill, {looks} at these bars would show a t this high {_one_in(by_luck)}."
    if verdict.tier is Tier.PAPER and not is_simulated(verdict):
        yield "Fewer than four of five stretches were positive, or they differed much: no real money."
    if verdict.tier is Tier.RETRAIN:
        yield "It earned in too few stretches of the judged bars: train it again before it goes anywhere."


def _one_in(share: float) -> str:
    if share >= 0.5:
        return "as often as not"
    return f"about once in {1.0 / share:,.0f}" if share > 1e-9 else "less than once in a billion times"


def _risks_of_costs(verdict: Verdict) -> Iterator[str]:
    shown = verdict.evidence.shown if verdict.evidence else {}
    if "net_return" in shown and "cost_total" in shown:
        doubled = shown["net_return"] - shown["cost_total"]
        yield (
            f"Costs are those of {verdict.cost_model or 'an unnamed model'}. Twice as high, its net return would have "
            f"been about {number_text('net_return', doubled)}."
        )
    worst = metric_value(verdict, "real_drawdown")
    if worst is not None:
        yield f"It fell {number_text('real_drawdown', worst)} from a peak while judged; it can fall further."


def _risks_of_age(verdict: Verdict, at: datetime) -> Iterator[str]:
    if verdict.data is None or is_simulated(verdict):
        return
    try:
        end = datetime.fromisoformat(verdict.data.end)
    except ValueError:
        return
    days = (at - (end if end.tzinfo else end.replace(tzinfo=at.tzinfo))).days
    if days > _STALE_DAYS:
        yield f"The last bar it was judged on is {days:,} days old; markets change."


def _bound(judged: JudgedModel, seq: int) -> Iterator[str]:
    verdict = judged.verdict
    if verdict.subjects:
        yield f"file sha256:{deployed_subject(verdict).sha256}"
    yield f"policy {verdict.policy_sha256}"
    yield f"gate policy {judged.policy_name} {short(verdict.gate_policy)}, verdict {verdict.id}, audit record {seq}"


def _facts(
    key: SlotKey,
    ref: VerdictRef,
    judged: JudgedModel,
    before: Verdict | None,
    moves: Iterable[Decision],
    override: Override | None,
    sections: Iterable[tuple[str, tuple[str, ...]]],
) -> dict[str, Any]:
    from trader_sdk.archive.codec import plain

    return {
        "symbol": key.symbol,
        "timeframe": key.timeframe.value,
        "version_id": ref.version_id,
        "verdict": plain(judged.verdict),
        "previous": plain(before) if before is not None else None,
        "override": plain(override) if override is not None else None,
        "decisions": [decision_facts(move) for move in moves],
        "sections": {heading: list(lines) for heading, lines in sections},
    }


def decision_facts(decision: Decision) -> dict[str, Any]:
    """Return a decision as plain JSON data."""
    return {
        "at": decision.at.isoformat(),
        "kind": decision.kind,
        "who": decision.who,
        "to": decision.to,
        "before": decision.before,
        "why": decision.why,
        "seq": decision.seq,
    }
