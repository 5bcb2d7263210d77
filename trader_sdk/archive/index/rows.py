"""References as rows and back; pure."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from trader_sdk.archive.changes import Change, Held, Recall, RunRef, SlotKey, VerdictRef
from trader_sdk.archive.index.statements import Parameters, Record
from trader_sdk.archive.trials import Judged
from trader_sdk.contract.audit import Override
from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.contract.verdicts import DeploymentTier, GateClass


@lru_cache(maxsize=16)
def _text(at: datetime) -> str:
    # The rows of one record have one time, and writing it takes longer than most of them do.
    return at.isoformat()


def run_row(run: RunRef) -> Parameters:
    """Return a run's row."""
    return {
        "timestamp": run.timestamp,
        "audit_seq": run.seq,
        "at": _text(run.at),
        "who": run.who,
        "approved": run.approved,
        "review": run.review,
        "dropped": run.dropped,
        "files": canonical_json(dict(run.files)).decode(),
    }


def run_of(row: Record) -> RunRef:
    """Return the run of a row."""
    timestamp, seq, at, who, approved, review, dropped, files = row
    return RunRef(timestamp, seq, datetime.fromisoformat(at), approved, review, dropped, json.loads(files), who)


def verdict_row(ref: VerdictRef, seq: int, place: int) -> Parameters:
    """Return a verdict's row; ``place`` counts the verdicts of its record."""
    return {
        **slot_row(ref.slot),
        "id": ref.id,
        "audit_seq": seq,
        "place": place,
        "run": ref.run,
        "version_id": ref.version_id,
        "class": ref.gate_class.value,
        "tier": ref.tier.value if ref.tier else None,
        "policy_sha256": ref.policy_sha256,
        "data_digest": ref.data_digest,
        "digest": ref.digest,
        "at": _text(ref.at),
        "judged_first": ref.judged.first if ref.judged else None,
        "judged_last": ref.judged.last if ref.judged else None,
    }


def verdict_of(row: Record) -> VerdictRef:
    """Return the verdict of a row."""
    _, _, id_, run, version_id, symbol, timeframe, class_, tier, policy_sha256, data_digest, digest, at, *judged = row
    return VerdictRef(
        id=id_,
        version_id=version_id,
        slot=SlotKey(symbol, Timeframe(timeframe)),
        run=run,
        gate_class=GateClass(class_),
        tier=DeploymentTier(tier) if tier else None,
        policy_sha256=policy_sha256,
        data_digest=data_digest,
        digest=digest,
        at=datetime.fromisoformat(at),
        judged=Judged(data_digest, *judged) if judged[0] is not None else None,
    )


def verdict_key(id_: str) -> Parameters:
    """Return what finds a verdict by its id."""
    return {"id": id_, "run": id_.rpartition("/")[2]}


def slot_row(key: SlotKey) -> Parameters:
    """Return a slot's columns."""
    return {"symbol": key.symbol, "timeframe": key.timeframe.value}


def held_row(key: SlotKey, held: Held) -> Parameters:
    """Return the row of a move or a challenger."""
    return {
        **slot_row(key),
        "audit_seq": held.seq,
        "place": held.place,
        "version_id": held.version_id,
        "policy_sha256": held.policy_sha256,
        "since": _text(held.since),
    }


def held_of(row: Record) -> Held:
    """Return the move or challenger of a row."""
    seq, place, version_id, policy_sha256, since = row
    return Held(seq, place, version_id, policy_sha256, datetime.fromisoformat(since))


def override_row(seq: int, override: Override) -> Parameters:
    """Return an override's row."""
    document: Any = override.model_dump(mode="json")
    return {"audit_seq": seq, "verdict": override.verdict, "document": canonical_json(document).decode()}


def override_of(document: str) -> Override:
    """Return the override of a row."""
    return Override.model_validate_json(document)


def recall_rows(change: Change, recall: Recall) -> tuple[Parameters, list[Parameters]]:
    """Return a recall's row and a row for each name."""
    row = {"audit_seq": change.seq, "who": recall.who, "why": recall.why, "at": _text(recall.at)}
    return row, [{"name": name, "audit_seq": change.seq} for name in sorted(recall.names)]


def recall_of(row: Record, names: list[Record]) -> Recall:
    """Return the recall of its rows."""
    _, who, why, at = row
    return Recall(frozenset(name for (name,) in names), who, why, datetime.fromisoformat(at))
