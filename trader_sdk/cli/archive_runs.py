"""``trader archive add|assess|export``: put runs in, ask the gate before, carry runs out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.archive_inputs import archive_state, gate_policy_of
from trader_sdk.cli.archive_output import (
    DEFAULT_ARCHIVE,
    ArchiveOption,
    HtmlOption,
    JsonFileOption,
    JsonOption,
    PolicyOption,
    RequireOption,
    archive_output,
    unknown_name,
)
from trader_sdk.contract.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from trader_sdk.archive.manager import ArchivedRun
    from trader_sdk.archive.policy import ModelGatingConfig
    from trader_sdk.archive.reader import ArchiveReader


def add(
    path: Annotated[Path, typer.Argument(help="A finished run's folder, its summary.json, or an export.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    gate_policy: PolicyOption = None,
    require: RequireOption = None,
    again: Annotated[
        int, typer.Option("--again", min=0, max=1, help="1: also a summary that is archived already; one more trial.")
    ] = 0,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> int:
    """Archive a finished run, whatever its result; an export's runs are judged again here."""
    from trader_sdk.cli.archive_verdict import exit_code_for, show_archived, show_verdict

    exit_code_for((), require)  # a wrong --require is told before anything is written
    policy = gate_policy_of(gate_policy)
    runs, left_out = _archive_all(path, archive, policy, bool(again))
    with archive_output(json, json_file) as out:
        for name in left_out:
            out.event("model_left_out", f"note: {name} had no readable checkpoint and stays where it is", model=name)
        for run in runs:
            for verdict in run.assessments:
                show_verdict(out, verdict, policy, policy.label)
            show_archived(out, run, archive)
    return exit_code_for([verdict for run in runs for verdict in run.assessments], require)


def assess(
    path: Annotated[Path, typer.Argument(help="A finished run's folder or its summary.json.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    gate_policy: PolicyOption = None,
    require: RequireOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> int:
    """Say what the gate would make of a run; nothing is archived. Earlier runs of the archive count as trials."""
    from trader_sdk.archive.preview import preview, read_summary, summary_file
    from trader_sdk.cli.archive_verdict import exit_code_for, show_assessments, write_page

    summary = read_summary(path)
    assessments = preview(
        summary, summary_file(path).parent, policy=gate_policy_of(gate_policy), state=archive_state(archive)
    )
    with archive_output(json, json_file) as out:
        show_assessments(out, assessments, "verdict_previewed")
        write_page(out, html, summary, assessments)
    return exit_code_for(assessments.assessments, require)


def export(
    name: Annotated[str, typer.Argument(help="A run, a version, a symbol (its slot), or an alias.")],
    out_path: Annotated[Path, typer.Option("--out", help="A new folder, or a new file that ends in .zip.")],
    timeframe: Annotated[str | None, typer.Option(help="Of a symbol: this slot only.")] = None,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Carry a run, or all that a slot holds, out: with digests and audit records, for `add` or `verify` elsewhere."""
    from trader_sdk.archive.export import export_runs
    from trader_sdk.archive.governance import Decider
    from trader_sdk.archive.reader import ArchiveReader

    reader = ArchiveReader(archive)
    runs = _runs_named(reader, name, timeframe, archive)
    manifest = export_runs(reader, runs, out_path, who=Decider().identity(reader.place), at=datetime.now(UTC))
    with archive_output(json, json_file) as out:
        text = (
            f"{out_path}: {len(manifest.runs)} runs, {len(manifest.files)} files, "
            f"{len(manifest.records)} audit records\n"
            f"Check it with: trader archive verify --archive {out_path}\n"
            f"Take it in with: trader archive add {out_path}"
        )
        facts = {"runs": list(manifest.runs), "files": len(manifest.files), "head": manifest.head.sha256}
        out.event("runs_exported", text, path=str(out_path), **facts)


def _archive_all(
    path: Path, archive: str, policy: ModelGatingConfig, again: bool
) -> tuple[list[ArchivedRun], list[str]]:
    """Return the archived runs, and the models of an export that cannot be judged again."""
    from trader_sdk.archive.exported import imported_runs, is_export, opened, verify_export
    from trader_sdk.archive.manager import TrainingArchiveManager
    from trader_sdk.archive.preview import summary_file

    manager = TrainingArchiveManager(archive, policy)
    if not is_export(path):
        if not again:
            _refuse_twice(summary_file(path), archive, policy)
        return [manager.archive_training_run(summary_file(path))], []
    faults = verify_export(path).faults
    if faults:
        raise ArchiveError("E602", "the export is not what was carried out", where=str(path), findings=faults)
    with opened(path) as (manifest, folder):
        carried = list(imported_runs(manifest, folder))
        left_out = [f"{name} of run {run.timestamp}" for run in carried for name in run.left_out]
        judged = [run for run in carried if run.summary["models"]]
        return [manager.archive_training_run(run.summary, base=run.base) for run in judged], left_out


def _refuse_twice(summary: Path, archive: str, policy: ModelGatingConfig) -> None:
    import hashlib

    from trader_sdk.archive.layout import SUMMARY_FILE
    from trader_sdk.archive.preview import preview, read_summary

    state = archive_state(archive)
    if state is None or not summary.is_file():
        return
    digest = hashlib.sha256(summary.read_bytes()).hexdigest()
    same = [run.timestamp for run in state.runs.values() if run.files.get(SUMMARY_FILE) == digest]
    if not same:
        return
    now = preview(read_summary(summary), summary.parent, policy=policy).assessments
    policies = {verdict.policy_sha256 or "" for verdict in now}
    earlier = next((run for run in same if {ref.policy_sha256 for ref in state.verdicts_in(run)} == policies), None)
    if earlier is not None:
        raise UsageError(
            "USAGE",
            "this very run is archived already",
            where=str(summary),
            found=f"run {earlier}",
            remedy="Nothing to do; --again 1 archives it once more, and the next t must be higher.",
        )


def _runs_named(reader: ArchiveReader, name: str, timeframe: str | None, archive: str) -> list[str]:
    from trader_sdk.archive.export import runs_of_slot
    from trader_sdk.archive.pointers import aliased, is_alias
    from trader_sdk.contract.timeframe import parse_timeframe

    state = reader.state
    if is_alias(name):
        return [aliased(state, name).run]
    if name in state.runs:
        return [name]
    only = None if timeframe is None else parse_timeframe(timeframe)
    held = state.keys()
    keys = [key for key in held if key.symbol == name and only in (None, key.timeframe)]
    runs = [run for key in keys for run in runs_of_slot(reader, key)]
    runs = runs or [ref.run for ref in state.verdicts.values() if name in (ref.version_id, ref.id)][-1:]
    if not runs:
        if keys:
            raise ArchiveError("E601", "this slot holds nothing", where=archive, found=name)
        known = {text for ref in state.verdicts.values() for text in (ref.version_id, ref.run, ref.slot.symbol)}
        raise unknown_name("run, version or symbol", name, sorted(known), archive)
    return runs
