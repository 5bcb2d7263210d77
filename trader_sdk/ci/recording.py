"""Adding a model to ``goldens.toml``: what it decides today is what it must decide from now on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trader_sdk.checkpoint.files import write_whole
from trader_sdk.ci.manifest import GoldenEntry, ProbeSource, read_goldens, read_text
from trader_sdk.ci.probe import decide_on
from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.model import NativeModelWrapper

_HEADER: Final = (
    "# Models that must keep deciding as they do: `trader compat check --goldens` of this file.\nschema = 1\n"
)


def record(
    model: NativeModelWrapper, name: str, *, source: dict[str, str], probe: ProbeSource, folder: Path
) -> GoldenEntry:
    """Return the golden of a model: what it decides on the probe now.

    Args:
        model: Loaded and verified.
        name: What reports will call it.
        source: ``{"url": ...}`` or ``{"path": ...}``.
        probe: Recipe and count, or a file.
        folder: The manifest's folder.

    Raises:
        ContractError: E308 if the probe's file is none of this model, or the model does not reproduce it.
    """
    decisions = decide_on(model, probe, folder)
    return GoldenEntry(
        name=name,
        url=source.get("url"),
        path=source.get("path"),
        sha256=model.sha256,
        version=model.model_version,
        probe=probe,
        decisions=tuple(decision.name for decision in decisions),
        logits=tuple(tuple(round(float(logit), 6) for logit in decision.logits) for decision in decisions),
    )


def append_golden(path: Path, golden: GoldenEntry) -> None:
    """Append a golden to its manifest; comments and older entries stay as they are.

    Raises:
        UsageError: Its name or its file is listed already.
        ConfigError: The manifest is malformed; it is left as it was.
        StorageError: The disk refused; the manifest is left as it was.
    """
    known = read_goldens(path) if path.exists() else ()
    for other in known:
        if golden.name == other.name or golden.sha256 == other.sha256:
            raise UsageError(
                "USAGE",
                "this golden is listed already",
                where=f"{path}:{other.line}",
                found=f"{other.name}, {other.sha256}",
                remedy="Give it another --name, or remove the old entry on purpose: goldens are not rewritten.",
            )
    text = read_text(path) if path.exists() else _HEADER
    joined = text if text.endswith("\n") else f"{text}\n"

    def read_back(written: Path) -> None:
        if read_goldens(written)[-1].model_copy(update={"line": 1}) != golden:
            raise ConfigError("CONFIG", "the golden cannot be appended to this manifest", where=str(path))

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{joined}\n{toml_of(golden)}".encode(), verify=read_back)


def toml_of(golden: GoldenEntry) -> str:
    """Return a golden as a TOML table."""
    source = ("url", golden.url) if golden.url is not None else ("path", golden.path or "")
    lines = ["[[golden]]", f"name = {_quoted(golden.name)}", f"{source[0]} = {_quoted(source[1])}"]
    lines += [f"sha256 = {_quoted(golden.sha256)}", f"version = {_quoted(golden.version)}"]
    probe = golden.probe
    if probe.file is not None:
        lines.append(f"probe = {{ file = {_quoted(probe.file)} }}")
    else:
        lines.append(f"probe = {{ recipe = {_quoted(str(probe.recipe))}, count = {probe.count} }}")
    lines += _array("decisions", [_quoted(name) for name in golden.decisions])
    lines += _array("logits", [f"[{', '.join(map(repr, row))}]" for row in golden.logits])
    return "\n".join([*lines, ""])


def _array(name: str, items: Sequence[str]) -> list[str]:
    return [f"{name} = [", *(f"  {item}," for item in items), "]"]


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's too, but for DEL, which JSON leaves bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def relative_source(file: Path, folder: Path) -> str:
    """Return a model's path as its manifest writes it: relative to the manifest's folder, with slashes."""
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
