"""What the gate would say of a run that is not archived yet; nothing is written."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path

from trader_sdk.archive.artefacts import describe_or_refuse
from trader_sdk.archive.assess import build_verdict, choose_checkpoint, circumstances_of
from trader_sdk.archive.codec import encode, jsonable
from trader_sdk.archive.layout import SUMMARY_FILE, run_timestamp, version_id
from trader_sdk.archive.policy import HOUSE_POLICY, ModelGatingConfig
from trader_sdk.archive.slots import ArchiveState, SlotKey
from trader_sdk.archive.trials import Judged
from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.summary import Summary, SummaryModel
from trader_sdk.contract.verdicts import Assessments, GatePolicySnapshot, Verdict


def summary_file(path: Path) -> Path:
    """Return the summary that a person means: the file itself, or the one in a run's folder."""
    return path / SUMMARY_FILE if path.is_dir() else path


def read_summary(path: Path) -> Summary:
    """Return a run's summary.

    Raises:
        ArchiveError: E609 if it cannot be read or is invalid.
    """
    file = summary_file(path)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ArchiveError("E609", "the summary cannot be read", where=str(file), found=error.strerror) from error
    return parse_document(Summary, text, where=str(file))


def preview(
    summary: Summary | dict[str, object],
    base: Path,
    *,
    policy: ModelGatingConfig = HOUSE_POLICY,
    state: ArchiveState | None = None,
    at: datetime | None = None,
) -> Assessments:
    """Return the verdicts that archiving a run would write.

    Args:
        summary: What the run says of itself.
        base: Folder that its paths are relative to.
        policy: The gate's policy.
        state: The archive it would go into, whose earlier runs count as trials; None for an empty one.
        at: Now, aware.

    Raises:
        ArchiveError: E609 for an invalid summary or a final checkpoint that does not exist.
    """
    when = at or datetime.now(UTC)
    if not isinstance(summary, Summary):
        summary = parse_document(Summary, encode(jsonable(summary)), where=SUMMARY_FILE)
    verdicts = tuple(_verdict(model, base, policy, state, when) for model in summary.models.values())
    snapshot = GatePolicySnapshot(name=policy.label, values=policy.values, hash=policy.policy_hash)
    return Assessments(policy=snapshot, assessments=verdicts)


def _verdict(
    model: SummaryModel, base: Path, policy: ModelGatingConfig, state: ArchiveState | None, at: datetime
) -> Verdict:
    slot = SlotKey(model.symbol, model.timeframe)
    choice = choose_checkpoint(model, base, policy)
    artefacts = describe_or_refuse(choice.path, slot)
    earlier = 0 if state is None else state.trials(slot, Judged.of(choice.evidence, model.data))
    return build_verdict(
        model,
        choice,
        artefacts,
        policy,
        circumstances_of(model, earlier),
        timestamp=run_timestamp(at),
        version=version_id(model.label, at, artefacts.fingerprint),
        sdk_version=installed_version("trader-sdk"),
        at=at,
    )
