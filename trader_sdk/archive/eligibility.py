"""Whether a verdict lets its model trade: pure, from the chain's state and the verdict's document."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from trader_sdk.archive.assess import rejudge
from trader_sdk.archive.evidence import capped
from trader_sdk.archive.gate import GateClass, Tier
from trader_sdk.archive.policy import HOUSE_POLICY_HASH
from trader_sdk.archive.reader import JudgedModel, short
from trader_sdk.archive.slots import ArchiveState
from trader_sdk.contract.audit import Override
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import Finding, UsageError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.verdicts import Verdict

HOUSE_ONLY: Final = (HOUSE_POLICY_HASH,)
"""Gate policies that are trusted unless the caller says otherwise."""

TIERS_OF_MODE: Final[Mapping[TradingMode, frozenset[Tier]]] = MappingProxyType(
    {
        TradingMode.PAPER_LOCAL: frozenset(Tier),
        TradingMode.PAPER_ALPACA: frozenset({Tier.LIVE, Tier.PAPER}),
        TradingMode.LIVE: frozenset({Tier.LIVE}),
    }
)


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms models are accepted.

    Attributes:
        mode: Whose money, and where.
        accept_policies: Hashes of the gate policies that are trusted.
        at: Moment at which overrides must be in force, aware.
    """

    mode: TradingMode
    accept_policies: Collection[str]
    at: datetime

    @classmethod
    def of(cls, mode: TradingMode | str, accept_policies: Collection[str], at: datetime | None) -> Terms:
        """Return the terms, now where no moment is given.

        Raises:
            UsageError: The mode is unknown.
        """
        try:
            checked = TradingMode(mode)
        except ValueError:
            legal = ", ".join(TradingMode)
            raise UsageError("USAGE", "unknown trading mode", where="mode", expected=legal, found=mode) from None
        return cls(checked, frozenset(accept_policies), at or datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What a verdict allows.

    Attributes:
        refusal: Why not, ``None`` where it may trade.
        tier: Tier after the override's ceiling.
        override: The override that lifts it, where one does.
    """

    refusal: Finding | None
    tier: Tier | None
    override: Override | None


@dataclass(frozen=True, slots=True)
class Approval:
    """Why a model may trade.

    Attributes:
        verdict: Its verdict, judged again when it was loaded.
        tier: Deployment tier after the override's ceiling.
        override: The override that lifts it, ``None`` where the gate itself approved it.
        version_id: Its name in the archive.
        gate_policy: Name and first eight digits of the policy that judged it.
    """

    verdict: Verdict
    tier: Tier
    override: Override | None
    version_id: str
    gate_policy: str

    @property
    def is_simulated(self) -> bool:
        """Return whether the model was trained and judged on generated bars, or on bars nobody named."""
        return self.verdict.data is None or self.verdict.data.kind is not DataKind.REAL


def eligibility(judged: JudgedModel, state: ArchiveState, terms: Terms) -> Eligibility:
    """Return whether a judged model may trade; the first failing check wins.

    Args:
        judged: Verdict and policy, both checked against the chain.
        state: What the chain says.
        terms: What the caller accepts.
    """
    verdict = judged.verdict
    override = state.overrides.get(verdict.id) if verdict.class_ is GateClass.REVIEW else None
    tier = verdict.tier
    if override is not None and tier is not None:
        tier = capped(tier, override.tier_ceiling)
    refusal = (
        _recalled(judged, state)
        or _foreign_policy(judged, terms)
        or _verdict_does_not_hold(judged)
        or _not_approved(judged, override, terms)
        or _tier_too_low(judged, tier, terms.mode)
    )
    return Eligibility(refusal, tier, override if refusal is None else None)


def _recalled(judged: JudgedModel, state: ArchiveState) -> Finding | None:
    verdict = judged.verdict
    names = (verdict.version_id, verdict.policy_sha256 or "", *(subject.sha256 for subject in verdict.subjects))
    recall = state.recall_of(*names)
    if recall is None:
        return None
    return Finding("E505", verdict.version_id, "not recalled", f"recalled by {recall.who}: {recall.why}")


def _foreign_policy(judged: JudgedModel, terms: Terms) -> Finding | None:
    found = judged.verdict.gate_policy
    if found in terms.accept_policies:
        return None
    expected = ", ".join(sorted(short(policy) for policy in terms.accept_policies)) or "none at all"
    return Finding(
        "E603",
        judged.verdict.version_id,
        f"a gate policy among {expected}",
        judged.policy_text,
        f'If you trust this gate: accept_policies = ["{found}"].',
    )


def _verdict_does_not_hold(judged: JudgedModel) -> Finding | None:
    verdict, again = judged.verdict, rejudge(judged.verdict, judged.policy)
    if (again.gate_class, again.tier) == (verdict.class_, verdict.tier):
        return None
    return Finding(
        "E602",
        verdict.version_id,
        f"class {again.gate_class} tier {again.tier} from its own numbers",
        f"class {verdict.class_} tier {verdict.tier}",
    )


def _not_approved(judged: JudgedModel, override: Override | None, terms: Terms) -> Finding | None:
    verdict = judged.verdict
    if verdict.class_ is GateClass.APPROVED:
        return None
    reasons = ", ".join(sorted({flag.name for flag in verdict.flags if flag.tier_missed})) or "below the bars"
    if override is None:
        return Finding("E601", verdict.version_id, "APPROVED", f"{verdict.class_} ({reasons})")
    if terms.at >= override.until:
        return Finding("E607", verdict.version_id, f"in force at {terms.at.isoformat()}", f"until {override.until}")
    if terms.mode not in override.modes:
        modes = ", ".join(override.modes)
        return Finding("E601", verdict.version_id, f"an override for {terms.mode}", f"an override for {modes}")
    return None


def _tier_too_low(judged: JudgedModel, tier: Tier | None, mode: TradingMode) -> Finding | None:
    allowed = TIERS_OF_MODE[mode]
    if tier in allowed:
        return None
    expected = f"tier {' or '.join(sorted(allowed))} for {mode}"
    return Finding("E601", judged.verdict.version_id, expected, f"tier {tier}")
