"""Who decided what about a model: the records of the audit chain, and what lifts a verdict."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, JsonValue

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.document import AwareTime, Digest, Document, aware_utc
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.verdicts import DeploymentTier, GateClass


class Who(Document):
    """Who did something, and how that is known."""

    kind: Literal["key", "database", "os"]
    name: str


class AuditKind(StrEnum):
    """What an audit record says happened."""

    RUN_ARCHIVED = "run_archived"
    REGISTERED = "registered"
    VERDICT = "verdict"
    OVERRIDE = "override"
    PROMOTE = "promote"
    REVERT = "revert"
    STAGE_CHANGED = "stage_changed"
    RECALL = "recall"
    RESET = "reset"
    REPAIR = "repair"


class AuditRecord(Document):
    """One line of the audit chain; ``prev`` is the digest of the record before, empty for the first."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    seq: int = Field(ge=1)
    prev: str
    at: AwareTime
    kind: AuditKind
    who: Who
    body: dict[str, JsonValue]
    sha256: Digest

    @classmethod
    def make(
        cls, *, seq: int, prev: str, at: datetime, kind: AuditKind, who: Who, body: dict[str, JsonValue]
    ) -> AuditRecord:
        """Return the record with its digest, which covers every other field."""
        fields: dict[str, Any] = {
            "schema": 1,
            "seq": seq,
            "prev": prev,
            "at": aware_utc(at).isoformat().replace("+00:00", "Z"),
            "kind": kind.value,
            "who": who.model_dump(),
            "body": body,
        }
        return cls.model_validate({**fields, "sha256": sha256_of(fields)})

    def digest_holds(self) -> bool:
        """Return whether the record's digest is the digest of its fields."""
        again = self.make(seq=self.seq, prev=self.prev, at=self.at, kind=self.kind, who=self.who, body=self.body)
        return again.sha256 == self.sha256


class Override(Document):
    """A person lifts a REVIEW verdict, with a ceiling and an end."""

    verdict: str
    class_from: Literal[GateClass.REVIEW]
    class_to: Literal[GateClass.APPROVED]
    tier_ceiling: DeploymentTier = DeploymentTier.PAPER
    modes: tuple[TradingMode, ...] = (TradingMode.PAPER_LOCAL, TradingMode.PAPER_ALPACA)
    who: str
    why: str = Field(min_length=1)
    until: AwareTime
