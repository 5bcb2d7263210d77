"""``trader compat golden``: list a desk's own models, with what they must keep deciding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.output import Output

if TYPE_CHECKING:
    from trader_sdk.ci.manifest import ProbeSource

app = typer.Typer(help="List models that must keep deciding as they do.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    # With a callback a group of one command still wants the command's name.
    pass


@app.command()
def add(
    model: Annotated[str, typer.Argument(help="A checkpoint, or its URL.")],
    goldens: Annotated[Path, typer.Option("--goldens", help="The manifest; made if missing.")] = Path("goldens.toml"),
    name: Annotated[str | None, typer.Option("--name", help="What reports call it (default: the file's name).")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=256, help="Observations of the built-in recipe.")] = 8,
    probe: Annotated[
        Path | None,
        typer.Option("--probe", help="Recorded by your own code: .npz or .safetensors with observations and logits."),
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for fetched models.")] = None,
    json: Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")] = None,
) -> None:
    """Append a model to the manifest with its digest, version and decisions of today."""
    from trader_sdk.ci.recording import append_golden, record
    from trader_sdk.loading import LoadOptions
    from trader_sdk.model import load_quietly

    file, source = _resolve(model, goldens, cache)
    entry = record(
        load_quietly(file, LoadOptions()),
        name or _stem(model),
        source=source,
        probe=_probe(probe, count, goldens.parent),
        folder=goldens.parent,
    )
    append_golden(goldens, entry)
    out = Output(json_lines=bool(json), json_file=json_file)
    out.event(
        "golden_added",
        f"{entry.name}: model {entry.version}, {len(entry.decisions)} decisions, {entry.sha256}, in {goldens}",
        name=entry.name,
        goldens=str(goldens),
        sha256=entry.sha256,
        model_version=entry.version,
        decisions=list(entry.decisions),
    )
    out.close()


def _resolve(model: str, goldens: Path, cache: Path | None) -> tuple[Path, dict[str, str]]:
    from trader_sdk.ci.cache import DigestCache, default_cache
    from trader_sdk.ci.fetch import file_of, is_url
    from trader_sdk.ci.recording import relative_source

    if not is_url(model):
        return Path(model), {"path": relative_source(Path(model), goldens.parent)}
    file = file_of(model)
    return file or DigestCache(cache or default_cache()).get(model), {"url": model}


def _stem(model: str) -> str:
    from urllib.parse import urlsplit

    from trader_sdk.ci.fetch import is_url

    return Path(urlsplit(model).path if is_url(model) else model).stem


def _probe(file: Path | None, count: int, folder: Path) -> ProbeSource:
    from trader_sdk.ci.manifest import ProbeSource
    from trader_sdk.ci.recording import relative_source

    if file is None:
        return ProbeSource(recipe="knuth32@1", count=count)
    return ProbeSource(file=relative_source(file, folder))
