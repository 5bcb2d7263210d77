"""``trader inspect``: say what a file is, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.ci.checks import plain, printable
from trader_sdk.cli.archive_inputs import model_argument
from trader_sdk.cli.archive_output import DEFAULT_ARCHIVE
from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import Finding, SdkError, Severity, exit_code_of

if TYPE_CHECKING:
    from trader_sdk.checkpoint import RawCheckpoint
    from trader_sdk.contract.compatibility import CompatReport, Mode

Files = Annotated[
    list[Path], typer.Argument(help="Files, or aliases such as models:/AAPL/1Day@champion; nothing in them is run.")
]
Archive = Annotated[str, typer.Option("--archive", help="Archive that an alias is looked up in.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]

_SHOWN_CHARACTERS = 72
_SHOWN_ROWS = 40
_LINEAGE = "lineage"


def inspect(files: Files, archive: Archive = DEFAULT_ARCHIVE, json: Json = 0, json_file: JsonFile = None) -> int:
    """Say what each file is: format, version and how it was found, tensors, metadata, findings."""
    out = Output(json_lines=bool(json), json_file=json_file)
    errors: list[SdkError] = []
    for file in files:
        show, faults = _looked_at(model_argument(file, archive), out)
        errors += faults
        show()
    out.close()
    return exit_code_of(errors)


def _looked_at(file: Path, out: Output) -> tuple[Callable[[], None], list[SdkError]]:
    from trader_sdk.checkpoint import read_checkpoint

    try:
        raw = read_checkpoint(file)
    except SdkError as error:
        return partial(_say_unreadable, out, file, error), [error]
    facts, findings, errors = _judge(raw)
    return partial(_describe, out, file, raw, facts, findings), errors


def _say_unreadable(out: Output, file: Path, error: SdkError) -> None:
    shown = printable(str(file))
    out.event("file_unreadable", f"{shown}: {printable(str(error))}", path=shown, error=plain(error.to_dict()))


def _describe(
    out: Output, file: Path, raw: RawCheckpoint, facts: Mapping[str, object], findings: list[Finding]
) -> None:
    description = {**_description(raw), **facts}
    tensors = {shorten(name): f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in raw.tensors.items()}
    fields = {shorten(name): shorten(value) for name, value in raw.metadata.items() if name != _LINEAGE}
    lineage = _lineage(raw)
    out.event("file_described", None, **description, tensors=tensors, metadata=fields, lineage=lineage)
    if not out.json_lines:
        out.table("file", printable(str(file)), ("what", "value"), list(description.items()))
        out.table("tensors", "Policy", ("tensor", "type and shape"), _page(tensors))
        out.table("metadata", "Metadata", ("field", "value"), _page(fields))
        if lineage:
            out.table("lineage", "Lineage", ("what", "value"), _page(lineage))
    show_findings(out, file, findings)


def _lineage(raw: RawCheckpoint) -> dict[str, str]:
    stated = raw.metadata.get(_LINEAGE)
    if not isinstance(stated, Mapping):
        return {} if stated is None else {_LINEAGE: shorten(stated)}
    return {shorten(name): shorten(value) for name, value in stated.items()}


def _page(rows: Mapping[str, str]) -> list[tuple[str, str]]:
    shown = list(rows.items())[:_SHOWN_ROWS]
    left = len(rows) - len(shown)
    return [*shown, ("...", f"{left} more: --json 1 shows them")] if left else shown


def _description(raw: RawCheckpoint) -> dict[str, object]:
    return {
        "path": printable(raw.path),
        "format": raw.format.value,
        "bytes": raw.size,
        "sha256": raw.sha256,
        "parameters": sum(tensor.size for tensor in raw.tensors.values()),
    }


def _judge(raw: RawCheckpoint) -> tuple[dict[str, object], list[Finding], list[SdkError]]:
    from trader_sdk.checkpoint.artefacts import raw_policy_sha256
    from trader_sdk.contract.compatibility import Mode, check_compatibility
    from trader_sdk.contract.detect import detect_version_from_checkpoint

    try:
        detection = detect_version_from_checkpoint(raw.fields)
        report = check_compatibility(detection, sha256=raw.sha256).with_findings(*raw.notes)
        digest = raw_policy_sha256(raw)
    except SdkError as error:
        named = [*error.findings] or [Finding(error.code, where=error.where, actual=error.message)]
        return {"model_version": None, "refused": error.code}, [*named, *raw.notes], [error]
    facts: dict[str, object] = {
        "model_version": report.model_version,
        "found_by": report.source.value,
        "hidden_dims": " ".join(map(str, detection.architecture.hidden_dims)),
        "activation": report.activation or "not stated",
        "policy_sha256": digest,
        "warn": _outcome(report, Mode.WARN),
        "strict": _outcome(report, Mode.STRICT),
    }
    return facts, list(report.findings), []


def _outcome(report: CompatReport, mode: Mode) -> str:
    codes = dict.fromkeys(finding.code for finding in report.refusals(mode))
    return f"refused: {', '.join(codes)}" if codes else "loads"


def show_findings(out: Output, file: Path, findings: list[Finding]) -> None:
    """Show findings as one table, what refuses first, or say that there are none."""
    if not findings:
        out.event("findings_absent", "no findings", path=printable(str(file)))
        return
    columns = ("code", "class", "where", "expected", "actual", "remedy")
    ranked = sorted(findings, key=lambda finding: list(Severity).index(finding.severity))
    rows = [(f.code, f.severity.value, *map(printable, (f.where, f.expected, f.actual)), f.remedy) for f in ranked]
    out.table("findings", "Findings", columns, rows)


def shorten(value: Any) -> str:
    """Return a field's value on one line; arrays as type and shape."""
    if _is_tensor(value):
        return f"{getattr(value, 'storage', value).dtype} {value.shape}"
    if isinstance(value, dict) and any(_holds_tensor(item) for item in value.values()):
        return _cut(", ".join(f"{shorten(name)}: {shorten(item)}" for name, item in islice(value.items(), _SHOWN_ROWS)))
    text = printable(value if isinstance(value, str) else repr(value))
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _is_tensor(value: object) -> bool:
    import numpy as np

    from trader_sdk.checkpoint.tensors import TensorRef

    return isinstance(value, np.ndarray | TensorRef)


def _holds_tensor(value: object) -> bool:
    return _is_tensor(value) or (isinstance(value, dict) and any(map(_holds_tensor, value.values())))
