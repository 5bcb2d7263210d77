"""``trader compat check``: arguments to subjects, one list of checks, every rendering that was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urldefrag

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import SdkError, UsageError
from trader_sdk.contract.spec import CURRENT_TRADER_VERSION

if TYPE_CHECKING:
    from trader_sdk.ci.cache import DigestCache
    from trader_sdk.ci.checks import Check, CheckReport
    from trader_sdk.ci.judge import Rules, Subject
    from trader_sdk.ci.manifest import GoldenEntry

_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".safetensors"})

Models = Annotated[list[str] | None, typer.Argument(help="Checkpoints, folders that hold some, or URLs.")]
Strict = Annotated[int, typer.Option("--strict-version", min=0, max=1, help="1: refuse findings of class POLICY too.")]
Trader = Annotated[str | None, typer.Option("--trader-version", help="Check against this trader (default: this one).")]
Pins = Annotated[Path | None, typer.Option("--pins", help="A trader-pins.toml.")]
Recalls = Annotated[Path | None, typer.Option("--recalls", help="A recalls.toml: what must not run any more.")]
MaxAge = Annotated[
    int | None, typer.Option("--max-model-age", min=1, help="Days; a model whose data ends earlier is stale (W706).")
]
Goldens = Annotated[Path | None, typer.Option("--goldens", help="goldens.toml: models that must decide as they did.")]
AllowMissing = Annotated[
    int, typer.Option("--allow-missing", min=0, max=1, help="1: a golden that cannot be fetched is shown, not failed.")
]
Fleet = Annotated[Path | None, typer.Option("--fleet", help="fleet.toml: deployed traders; every model on each.")]
Reader = Annotated[str | None, typer.Option("--reader", help="Also let this release, or wheel, judge the models.")]
Cache = Annotated[Path | None, typer.Option("--cache", help="Folder for fetched models and released readers.")]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")]
Sarif = Annotated[Path | None, typer.Option("--sarif", help="Write SARIF 2.1.0 here.")]
Github = Annotated[
    int | None,
    typer.Option("--github", min=0, max=1, help="Annotations and step summary (default: 1 under GITHUB_ACTIONS)."),
]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]


def check(
    models: Models = None,
    strict_version: Strict = 0,
    trader_version: Trader = None,
    pins: Pins = None,
    recalls: Recalls = None,
    max_model_age: MaxAge = None,
    goldens: Goldens = None,
    allow_missing: AllowMissing = 0,
    fleet: Fleet = None,
    reader: Reader = None,
    cache: Cache = None,
    junit: Junit = None,
    sarif: Sarif = None,
    github: Github = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Load each model as a trader would and say what it finds; exit 0 if all load in the asked mode."""
    from trader_sdk.checkpoint.pins import read_pins, read_recalls
    from trader_sdk.ci.cache import default_cache
    from trader_sdk.ci.checks import report_of
    from trader_sdk.ci.judge import Rules
    from trader_sdk.contract.compatibility import Mode

    if not models and goldens is None:
        raise UsageError("USAGE", "nothing to check", expected="checkpoints, folders, URLs or --goldens")
    rules = Rules(
        Mode.STRICT if strict_version else Mode.WARN,
        datetime.now(UTC),
        trader_version,
        read_pins(pins) if pins else (),
        read_recalls(recalls) if recalls else (),
        timedelta(days=max_model_age) if max_model_age else None,
        bool(allow_missing),
    )
    ask = _Asked(models or [], goldens, fleet, reader, cache or default_cache())
    report = report_of(_checks(ask, rules), rules.mode, trader_version or CURRENT_TRADER_VERSION, rules.at, ask.where)
    out = Output(json_lines=bool(json), json_file=json_file)
    _say(out, report)
    _write_renderings(report, junit, sarif)
    if os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github:
        _tell_github(report, sys.stderr if json else sys.stdout)
    out.close()
    return report.exit_code


@dataclass(frozen=True, slots=True)
class _Asked:
    models: list[str]
    goldens: Path | None
    fleet: Path | None
    reader: str | None
    cache: Path

    @property
    def where(self) -> str:
        return ", ".join([*self.models, *([str(self.goldens)] if self.goldens else [])])


def _checks(ask: _Asked, rules: Rules) -> Iterator[Check]:
    from trader_sdk.ci.cache import DigestCache
    from trader_sdk.ci.judge import check_fleet, check_model
    from trader_sdk.ci.manifest import read_fleet, read_goldens
    from trader_sdk.ci.released import check_with, released_reader

    # Manifests are read, and the reader installed, before anything is judged: a wrong argument costs nothing.
    listed = read_goldens(ask.goldens) if ask.goldens else ()
    traders = read_fleet(ask.fleet) if ask.fleet else ()
    release = released_reader(ask.reader, ask.cache) if ask.reader is not None else None
    cache = DigestCache(ask.cache)
    subjects = [*_named(ask.models, cache)]
    subjects += [_golden(entry, ask.goldens, cache) for entry in listed if ask.goldens]
    own = [check_model(subject, rules) for subject in subjects]
    yield from own
    for subject in subjects:
        yield from check_fleet(subject, traders, shown_path(ask.fleet or Path()), rules)
    if release is not None:
        yield from check_with(release, list(zip(subjects, own, strict=True)), rules.mode)


def _named(models: Iterable[str], cache: DigestCache) -> Iterator[Subject]:
    from trader_sdk.ci.checks import Place, printable
    from trader_sdk.ci.fetch import display_url, is_url
    from trader_sdk.ci.judge import Subject

    for model in models:
        if is_url(model):
            shown = printable(display_url(model))
            path, missing = _fetched(model, _stated_digest(model), cache)
            yield Subject(shown, Place(shown), path, missing)
        else:
            for file in _files(Path(model)):
                yield Subject(printable(str(file)), Place(shown_path(file)), file)


def _stated_digest(url: str) -> str | None:
    from trader_sdk.checkpoint.source import normalise_digest

    fragment = urldefrag(url).fragment
    return normalise_digest(fragment.removeprefix("sha256=")) if fragment.startswith("sha256=") else None


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    else:
        yield path


def _golden(entry: GoldenEntry, manifest: Path, cache: DigestCache) -> Subject:
    from trader_sdk.ci.checks import Place, printable
    from trader_sdk.ci.fetch import UnreachableError
    from trader_sdk.ci.judge import Subject

    missing: SdkError | None = None
    path: Path | None
    if entry.url is not None:
        path, missing = _fetched(entry.url, entry.sha256, cache)
    else:
        path = manifest.parent / str(entry.path)
    if missing is None and path is not None and not path.exists():
        missing = UnreachableError("E101", "there is no such file", where=printable(str(path)))
        path = None
    place = Place(shown_path(manifest), entry.line)
    return Subject(printable(entry.name), place, path, missing, entry, manifest.parent)


def _fetched(url: str, digest: str | None, cache: DigestCache) -> tuple[Path | None, SdkError | None]:
    from trader_sdk.ci.fetch import file_of

    try:
        file = file_of(url)
        return (cache.get(urldefrag(url).url, digest) if file is None else file), None
    except SdkError as error:
        return None, error


def shown_path(path: Path) -> str:
    """Return a path as reports write it: relative to the repository (GITHUB_WORKSPACE, or here), else absolute."""
    from trader_sdk.ci.checks import printable

    root = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    whole = path.parent.resolve() / path.name
    return printable(whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole))


def _say(out: Output, report: CheckReport) -> None:
    from trader_sdk.ci.checks import SCHEMA, Suite

    for check in report.checks:
        if check.suite in (Suite.MODEL, Suite.GOLDEN):
            out.event("checkpoint_checked", None, **_facts(check))
    if not out.json_lines:
        _show(out, report)
    out.event("checks_reported", None, **report.to_dict())
    out.event(
        "compat_finished",
        report.summary,
        schema_id=SCHEMA,
        mode=report.mode.value,
        checked=sum(check.suite is not Suite.RUN for check in report.checks),
        refused=len(report.failed),
        exit_code=report.exit_code,
    )


def _facts(check: Check) -> Mapping[str, Any]:
    told = check.to_dict()
    common = {"path": told["subject"], "sha256": told["sha256"], "model_version": told["model_version"]}
    return {**common, **check.facts, "findings": told["findings"], "error": told["error"]}


def _show(out: Output, report: CheckReport) -> None:
    from trader_sdk.ci.checks import Level, Suite, fleet_matrix

    rows = []
    for check in report.checks:
        if check.suite is Suite.FLEET:
            continue  # the matrix below shows these
        codes = " ".join(dict.fromkeys(problem.code for problem in check.problems))
        outcome = f"{check.outcome} {check.error.code}" if check.error else str(check.outcome)
        rows.append((check.suite, check.name, check.model_version, outcome, codes))
    title = f"Compatibility, {report.mode} mode"
    out.table("checks", title, ("check", "subject", "model", "outcome", "findings"), rows)
    traders, matrix = fleet_matrix(report)
    if matrix:
        out.table("fleet", "Models on deployed traders", traders, matrix)
    for check in report.checks:
        if check.error:
            out.event("refusal_shown", f"{check.name}: {check.to_dict()['error']['message']}")
            for problem in check.problems:
                if problem.level is not Level.NOTE:
                    out.event("problem_shown", f"  {problem.level}: {problem.text}")


def _write_renderings(report: CheckReport, junit_file: Path | None, sarif_file: Path | None) -> None:
    from importlib.metadata import version

    from trader_sdk.ci.junit import junit
    from trader_sdk.ci.sarif import sarif

    if junit_file is not None:
        _write(junit_file, junit(report))
    if sarif_file is not None:
        import json

        log = sarif(report, version("trader-sdk"))
        _write(sarif_file, json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _write(path: Path, content: bytes) -> None:
    from trader_sdk.checkpoint.files import write_whole
    from trader_sdk.contract.errors import StorageError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Name a folder that can be written."
        raise StorageError(
            "STORAGE", "the report's folder cannot be made", where=str(path.parent), found=error.strerror, remedy=remedy
        ) from error
    write_whole(path, content, verify=lambda _: None)


def _tell_github(report: CheckReport, stream: Any) -> None:
    from trader_sdk.ci.github import annotation_commands, step_summary
    from trader_sdk.contract.errors import StorageError

    for line in annotation_commands(report):
        stream.write(f"{line}\n")
    stream.flush()
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(step_summary(report))
    except OSError as error:
        remedy = "GITHUB_STEP_SUMMARY must name a file that can be written; --github 0 does without."
        raise StorageError("STORAGE", "the step summary cannot be written", where=summary, remedy=remedy) from error
