"""One run into the archive: an unfinished folder, a rename, and one audit line that commits it, or nothing at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from trader_sdk.archive.artefacts import store_or_refuse
from trader_sdk.archive.assess import build_verdict, choose_checkpoint, circumstances_of
from trader_sdk.archive.codec import digest_of, encode, plain
from trader_sdk.archive.layout import (
    ASSESSMENTS_FILE,
    MODELS_FOLDER,
    RECOMMENDATIONS_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
    run_timestamp,
    version_id,
)
from trader_sdk.archive.location import Place
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import ArchiveState, SlotKey
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import ChainHead
from trader_sdk.archive.store.durable import sync_folder, write_new
from trader_sdk.archive.trials import Judged
from trader_sdk.archive.verified import verified_state
from trader_sdk.contract.audit import AuditKind, Who
from trader_sdk.contract.summary import Summary, SummaryModel
from trader_sdk.contract.verdicts import Assessments, GateClass, GatePolicySnapshot, Verdict


@dataclass(frozen=True, slots=True)
class RunWriter:
    """Writes one run; for whoever :func:`~trader_sdk.archive.location.committing` lets write.

    Args:
        place: Where the archive lies.
        policy: The gate's policy.
        who: Who archives.
        at: When, aware.
    """

    place: Place
    policy: ModelGatingConfig
    who: Who
    at: datetime

    def write(self, summary: Summary, text: bytes, base: Path) -> tuple[str, tuple[Verdict, ...]]:
        """Judge, store and commit a run; return its timestamp and verdicts.

        Args:
            summary: What the run says of itself.
            text: The summary's own bytes, stored as they came.
            base: Folder that its paths are relative to.
        """
        self.place.refresh()
        # Verified on the chain: a derived index must not decide how much evidence is asked for.
        seen = verified_state(AuditLog(self.place.root))
        timestamp = self._free_timestamp(seen.state)
        with self.place.staging() as folder:
            models = folder / MODELS_FOLDER
            models.mkdir()
            verdicts = tuple(
                self._judge(model, base, models, timestamp, seen.state) for model in summary.models.values()
            )
            files = {SUMMARY_FILE: write_new(folder / SUMMARY_FILE, text)}
            files |= self._write_documents(folder, summary, verdicts, seen.head)
            sync_folder(models)
            sync_folder(folder)
            self._commit(folder, timestamp, verdicts, files, seen.head)
        self.place.keep_index()
        return timestamp, verdicts

    def _free_timestamp(self, state: ArchiveState) -> str:
        attempt = 1
        while (name := run_timestamp(self.at, attempt)) in state.runs or (self.place.root / name).exists():
            attempt += 1
        return name

    def _judge(self, model: SummaryModel, base: Path, folder: Path, timestamp: str, state: ArchiveState) -> Verdict:
        slot = SlotKey(model.symbol, model.timeframe)
        choice = choose_checkpoint(model, base, self.policy)
        artefacts = store_or_refuse(choice.path, folder, slot)
        earlier = state.trials(slot, Judged.of(choice.evidence, model.data))
        return build_verdict(
            model,
            choice,
            artefacts,
            self.policy,
            circumstances_of(model, earlier),
            timestamp=timestamp,
            version=version_id(model.label, self.at, artefacts.fingerprint),
            sdk_version=installed_version("trader-sdk"),
            at=self.at,
        )

    def _write_documents(
        self, folder: Path, summary: Summary, verdicts: Sequence[Verdict], head: ChainHead
    ) -> dict[str, str]:
        from trader_sdk.archive.recommendations import recommendations
        from trader_sdk.archive.report import report_html

        policy = self.policy
        snapshot = GatePolicySnapshot(name=policy.label, values=policy.values, hash=policy.policy_hash)
        assessments = Assessments(policy=snapshot, assessments=tuple(verdicts))
        pages = {
            ASSESSMENTS_FILE: encode(plain(assessments)),
            RECOMMENDATIONS_FILE: recommendations(assessments, self._earlier(verdicts, head)).encode(),
            REPORT_FILE: report_html(summary, assessments).encode(),
        }
        return {name: write_new(folder / name, data) for name, data in pages.items()}

    def _earlier(self, verdicts: Sequence[Verdict], head: ChainHead) -> dict[str, Verdict]:
        if head.seq == 0:
            return {}
        reader = ArchiveReader(self.place)
        found = {}
        for verdict in verdicts:
            refs = reader.state.verdicts_of(SlotKey(verdict.symbol, verdict.timeframe), limit=1)
            if refs:
                found[verdict.id] = reader.judged(refs[0]).verdict
        return found

    def _commit(
        self,
        staged: Path,
        timestamp: str,
        verdicts: Sequence[Verdict],
        files: Mapping[str, str],
        head: ChainHead,
    ) -> None:
        body = {
            "timestamp": timestamp,
            **{name: count_of(verdicts, kind) for name, kind in _COUNTS.items()},
            "files": dict(files),
            "verdicts": [_reference(verdict) for verdict in verdicts],
        }
        with self.place.published(staged, timestamp):
            self.place.chain.append(AuditKind.RUN_ARCHIVED, body, who=self.who, at=self.at, expected=head)


_COUNTS: Mapping[str, GateClass] = {
    "approved": GateClass.APPROVED,
    "review": GateClass.REVIEW,
    "dropped": GateClass.DROP,
}


def count_of(verdicts: Sequence[Verdict], gate_class: GateClass) -> int:
    """Return how many verdicts are of a class."""
    return sum(verdict.class_ is gate_class for verdict in verdicts)


def _reference(verdict: Verdict) -> dict[str, Any]:
    judged = Judged.of(verdict.evidence, verdict.data)
    return {
        "id": verdict.id,
        "version_id": verdict.version_id,
        "symbol": verdict.symbol,
        "timeframe": verdict.timeframe.value,
        "class": verdict.class_.value,
        "tier": verdict.tier.value if verdict.tier else None,
        "policy_sha256": verdict.policy_sha256,
        "data_digest": verdict.data.digest if verdict.data else None,
        "judged": None if judged is None else {"first": judged.first, "last": judged.last},
        "digest": digest_of(verdict),
    }
