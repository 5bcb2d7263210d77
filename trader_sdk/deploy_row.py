"""A row of the gate table: one model of a slot, chosen or passed over and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.archive.reader import JudgedModel, deployed_subject, short
from trader_sdk.archive.slots import VerdictRef
from trader_sdk.archive.wording import metric_value
from trader_sdk.contract.audit import Override
from trader_sdk.contract.errors import Finding, SdkError

if TYPE_CHECKING:
    from trader_sdk.door import ApprovedModel


@dataclass(frozen=True, slots=True)
class DeployRow:
    """One model of the gate table: chosen, or passed over and why.

    Attributes:
        symbol, timeframe: The slot.
        version_id: Its name; empty where the slot has no model at all.
        gate_class, tier: Of its verdict, the tier after an override's ceiling.
        fitness_score, profit_factor, consistency, max_drawdown: As judged.
        gate_policy: Name and first eight digits of the policy.
        sha8: First eight digits of the artefact's sha256.
        feature_hash: First eight digits of its feature schema's sha256; known where it was loaded.
        override: The override that lifts it.
        is_champion: Whether the slot points at it.
        model: The loaded model, for chosen rows only.
        refusal: Why it was passed over, ``None`` for chosen rows.
        error: The error behind the refusal, where loading it was tried.
    """

    symbol: str
    timeframe: str
    version_id: str = ""
    gate_class: str = ""
    tier: str = ""
    fitness_score: float | None = None
    profit_factor: float | None = None
    consistency: float | None = None
    max_drawdown: float | None = None
    gate_policy: str = ""
    sha8: str = ""
    feature_hash: str = ""
    data_kind: str = ""
    override: Override | None = None
    is_champion: bool = False
    model: ApprovedModel | None = None
    refusal: Finding | None = None
    error: SdkError | None = None

    @property
    def chosen(self) -> bool:
        """Return whether this model would trade."""
        return self.model is not None

    @property
    def why(self) -> str:
        """Return why it was passed over, for a person; empty where it was chosen."""
        if self.refusal is None:
            return ""
        facts = f"{self.refusal.actual}; wanted {self.refusal.expected}" if self.refusal.expected else ""
        return f"{self.refusal.code} {facts or self.refusal.actual}".strip()


def row_of(ref: VerdictRef, judged: JudgedModel | None, is_champion: bool, **more: Any) -> DeployRow:
    """Return the row of a verdict.

    Args:
        ref: The verdict.
        judged: Its document, None where it cannot be trusted.
        is_champion: Whether the slot points at it.
        **more: Further fields of the row.
    """
    tier = more.pop("tier", ref.tier)
    model: ApprovedModel | None = more.get("model")
    facts: dict[str, Any] = {}
    if judged is not None:
        verdict = judged.verdict
        facts = {name: metric_value(verdict, name) for name in _SHOWN_METRICS}
        facts |= {
            "gate_policy": judged.policy_text,
            "sha8": short(deployed_subject(verdict).sha256) if verdict.subjects else "",
            "data_kind": verdict.data.kind.value if verdict.data else "unstated",
            "override": model.approval.override if model else None,
        }
    if model is not None:
        facts["feature_hash"] = short(str(model.metadata.get("feature_schema_sha256") or ""))
    return DeployRow(
        symbol=ref.slot.symbol,
        timeframe=ref.slot.timeframe.value,
        version_id=ref.version_id,
        gate_class=ref.gate_class.value,
        tier=tier.value if tier else "",
        is_champion=is_champion,
        **facts,
        **more,
    )


_SHOWN_METRICS: Final = ("fitness_score", "profit_factor", "consistency", "max_drawdown")


def empty_row(symbol: str, timeframe: str) -> DeployRow:
    """Return the row of a slot without any model."""
    finding = Finding("E601", f"{symbol}/{timeframe}", "an approved model", "no verdict in this archive")
    return DeployRow(symbol=symbol, timeframe=timeframe, refusal=finding)


def finding_of(error: SdkError, ref: VerdictRef) -> Finding:
    """Return what a refused load looks like in the table."""
    return Finding(
        error.code, ref.version_id, str(error.expected or ""), f"{error.message} ({error.found})", error.remedy
    )
