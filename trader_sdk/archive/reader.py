"""Look into an archive without writing to it: the chain, its state, and verdicts checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from trader_sdk.archive.codec import digest_of
from trader_sdk.archive.layout import ASSESSMENTS_FILE, AUDIT_FILE, MODELS_FOLDER, run_folder
from trader_sdk.archive.location import Place, locate
from trader_sdk.archive.policy import ModelGatingConfig, hash_of_values
from trader_sdk.archive.slots import ArchiveState, VerdictRef
from trader_sdk.archive.store.audit import AuditLog, Chain, ChainHead
from trader_sdk.archive.verified import verified_state
from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import ArchiveError, ConfigError
from trader_sdk.contract.verdicts import Assessments, Subject, Verdict

_SUFFIX_OF_ROLE: Mapping[str, tuple[str, ...]] = {
    "training": (".pt", ".safetensors"),
    "policy_pt": (".pt",),
    "policy_safetensors": (".safetensors",),
}

_DOCUMENTS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """A verdict with the policy it was made with.

    Attributes:
        verdict: The verdict, equal to what the chain committed.
        policy: The policy, its hash checked.
        policy_name: What the policy called itself.
        folder: The run's folder.
        place: Where the archive lies.
    """

    verdict: Verdict
    policy: ModelGatingConfig
    policy_name: str
    folder: Path
    place: Place

    def path_of(self, subject: Subject) -> Path:
        """Return where a subject's file lies on this host, brought here where it lies elsewhere.

        Raises:
            ArchiveError: E602 where a shared archive lacks it or gives other bytes, E610 where it does not answer.
        """
        path = subject_path(self.folder, subject)
        return self.place.fetch(path.relative_to(self.place.root).as_posix(), subject.sha256)

    @property
    def policy_text(self) -> str:
        """Return name and first eight digits of the policy, for a person."""
        return f"{self.policy_name} {short(self.verdict.gate_policy)}"


class ArchiveReader:
    """One look at an archive: everything is as it was when the chain was read.

    Args:
        archive: The archive's folder, its name in ``trader.toml``, its URL, or its place.

    Raises:
        ArchiveError: E608 where there is no archive, E606 where the chain does not hold, E610 where a shared archive
            does not answer.
    """

    def __init__(self, archive: Path | str | Place) -> None:
        self.place = locate(archive)
        self.place.refresh()
        self.root = self.place.root
        if not (self.root / AUDIT_FILE).is_file():
            what = "the archive is empty" if self.root.is_dir() else "there is no archive here"
            is_folder = self.place.where == str(self.root)
            expected = f"a folder with {AUDIT_FILE}" if is_folder else "a chain with a first run"
            raise ArchiveError("E608", what, where=self.place.where, expected=expected)
        verified = verified_state(AuditLog(self.root))
        self.head: ChainHead = verified.head
        self.state: ArchiveState = verified.state
        self._documents: dict[str, Assessments] = {}

    @cached_property
    def chain(self) -> Chain:
        """Return the whole chain, every record of it checked again."""
        return AuditLog(self.root).read()

    def judged(self, ref: VerdictRef) -> JudgedModel:
        """Return a verdict's document after checking it against the chain.

        Raises:
            ArchiveError: E602 where the document is missing, damaged or not the one that was committed.
        """
        folder = run_folder(self.root, ref.run)
        path = self.place.fetch(f"{ref.run}/{ASSESSMENTS_FILE}", self.state.runs[ref.run].files[ASSESSMENTS_FILE])
        document = self._document(ref.run, path)
        verdict = next((one for one in document.assessments if one.id == ref.id), None)
        if verdict is None or digest_of(verdict) != ref.digest:
            found = "no such verdict" if verdict is None else digest_of(verdict)
            raise ArchiveError(
                "E602",
                "the verdict was edited after it was committed",
                where=str(path),
                expected=ref.digest,
                found=found,
            )
        return JudgedModel(verdict, _policy_of(document, verdict, path), document.policy.name, folder, self.place)

    def _document(self, run: str, path: Path) -> Assessments:
        # A run of a universe holds the verdicts of hundreds of slots: its file is parsed once a look.
        if run not in self._documents:
            if len(self._documents) >= _DOCUMENTS_KEPT:
                self._documents.clear()
            self._documents[run] = _parsed(path)
        return self._documents[run]


def _parsed(path: Path) -> Assessments:
    try:
        return parse_document(Assessments, path.read_bytes(), where=str(path))
    except (OSError, ArchiveError) as error:
        raise ArchiveError("E602", "the verdict cannot be read", where=str(path), found=error) from error


def deployed_subject(verdict: Verdict) -> Subject:
    """Return the file that is loaded to trade: the policy alone, or the training checkpoint."""
    by_role = {subject.role: subject for subject in verdict.subjects}
    return by_role.get("policy_safetensors") or by_role.get("policy_pt") or verdict.subjects[0]


def short(digest: str) -> str:
    """Return the first eight digits of a digest.

    Example:
        >>> short("sha256:0123456789abcdef")
        '01234567'
    """
    return digest.removeprefix("sha256:")[:8]


def subject_path(folder: Path, subject: Subject) -> Path:
    """Return where a subject's file lies in a run's folder; the first candidate where none exists."""
    candidates = [folder / MODELS_FOLDER / f"{subject.sha256}{suffix}" for suffix in _SUFFIX_OF_ROLE[subject.role]]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _policy_of(document: Assessments, verdict: Verdict, path: Path) -> ModelGatingConfig:
    found = hash_of_values(document.policy.values)
    if not found == document.policy.hash == verdict.gate_policy:
        raise ArchiveError(
            "E602",
            "the verdict's policy was edited after it was committed",
            where=str(path),
            expected=verdict.gate_policy,
            found=found,
        )
    if not document.policy.values:
        # Left to the defaults it would be read as the house's.
        raise ArchiveError(
            "E603", "the verdict's policy is empty", where=str(path), expected="the bars it was made with"
        )
    try:
        return ModelGatingConfig.model_validate(document.policy.values)
    except ConfigError as error:
        raise ArchiveError("E603", "the verdict's policy is no gate policy", where=str(path), found=error) from error
