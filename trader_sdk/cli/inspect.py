"""``trader inspect``: say what a file is, whatever it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.ci.checks import printable
from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import Finding, SdkError, exit_code_of

if TYPE_CHECKING:
    from trader_sdk.checkpoint import RawCheckpoint

Files = Annotated[list[Path], typer.Argument(help="Files to look at; nothing in them is run.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]

_SHOWN_CHARACTERS = 72


def inspect(files: Files, json: Json = 0, json_file: JsonFile = None) -> int:
    """Say what each file is: format, version and how it was found, tensors, metadata, findings."""
    out = Output(json_lines=bool(json), json_file=json_file)
    errors = [error for file in files for error in _inspect_one(file, out)]
    out.close()
    return exit_code_of(errors)


def _inspect_one(file: Path, out: Output) -> list[SdkError]:
    from trader_sdk.checkpoint import read_checkpoint

    try:
        raw = read_checkpoint(file)
    except SdkError as error:
        out.event("file_unreadable", f"{file}: {printable(str(error))}", path=str(file), error=error.to_dict())
        return [error]
    facts, findings, errors = _judge(raw)
    description = {**_description(raw), **facts}
    tensors = {shorten(name): f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in raw.tensors.items()}
    fields = {shorten(name): shorten(value) for name, value in raw.metadata.items()}
    out.event("file_described", None, **description, tensors=tensors, metadata=fields)
    if not out.json_lines:
        out.table("file", str(file), ("what", "value"), list(description.items()))
        out.table("tensors", "Policy", ("tensor", "type and shape"), list(tensors.items()))
        out.table("metadata", "Metadata", ("field", "value"), list(fields.items()))
    show_findings(out, file, findings)
    return errors


def _description(raw: RawCheckpoint) -> dict[str, object]:
    return {
        "path": raw.path,
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
        "warn": "loads" if report.loads(Mode.WARN) else "refused",
        "strict": "loads" if report.loads(Mode.STRICT) else "refused",
    }
    return facts, list(report.findings), []


def show_findings(out: Output, file: Path, findings: list[Finding]) -> None:
    """Show findings as one table, or say that there are none."""
    if not findings:
        out.event("findings_absent", "no findings", path=str(file))
        return
    columns = ("code", "class", "where", "expected", "actual", "remedy")
    rows = [(f.code, f.severity.value, *map(printable, (f.where, f.expected, f.actual)), f.remedy) for f in findings]
    out.table("findings", "Findings", columns, rows)


def shorten(value: Any) -> str:
    """Return a field's value on one line; arrays as type and shape."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, dict) and any(isinstance(item, np.ndarray) for item in value.values()):
        return ", ".join(f"{name}: {shorten(item)}" for name, item in value.items())
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
