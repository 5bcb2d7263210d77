"""The map of a folder: which checkpoint is what, said by a person, read strictly and without a rest."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final

from trader_sdk.checkpoint.assertions import (
    Mistaken,
    Reader,
    activation,
    digest,
    raise_faults,
    read_entries,
    text,
    version,
)
from trader_sdk.checkpoint.source import read_source
from trader_sdk.contract.errors import Finding, UsageError
from trader_sdk.contract.timeframe import parse_timeframe

SUFFIXES: Final = frozenset({".pt", ".pth", ".ckpt", ".safetensors"})


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that was named, or found in a folder that was.

    Attributes:
        path: Where it lies.
        name: Its path below the folder that was named, with ``/``; its own name where it was named itself.
        in_folder: Whether it was found in a folder.
    """

    path: Path
    name: str
    in_folder: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """What a map says of the files that one of its tables names; what is absent was not said.

    Attributes:
        sha256: The one file.
        match: Or a glob, matched from the right: ``AAPL/*.pt``.
        said: The other fields by name.
        where: Names the table for a person.
    """

    sha256: str | None = None
    match: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    where: str = "the command line"

    @property
    def name(self) -> str:
        """Return what names the files."""
        return self.match or self.sha256 or "*"


@dataclass(frozen=True, slots=True)
class Assigned:
    """Every file with its statement, and the files of folders that the map does not name."""

    pairs: tuple[tuple[Found, Statement], ...]
    left_out: tuple[Found, ...]


def _glob(value: object) -> str:
    pattern = text(value)
    parts = PurePosixPath(pattern)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\\" in pattern:
        raise Mistaken("a glob like AAPL_*.pt or AAPL/*.pt, below the folder")
    return pattern


def _timeframe(value: object) -> str:
    try:
        return str(parse_timeframe(text(value)))
    except UsageError as error:
        raise Mistaken("a timeframe like 1Day") from error


_FIELDS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "sha256": digest,
        "match": _glob,
        "version": version,
        "activation": activation,
        "features": text,
        "symbol": text,
        "timeframe": _timeframe,
        "feed": text,
        "adjustment": text,
        "calendar": text,
        "probe": text,
        "who": text,
        "why": text,
    }
)


def read_flags(said: Mapping[str, object]) -> dict[str, Any]:
    """Return what flags say in its normal form, read as a map's fields are.

    Args:
        said: Value by the name that a map gives it.

    Raises:
        UsageError: A value is not what its field holds; all of them in ``findings``.
    """
    values, faults = {}, []
    for name, value in said.items():
        try:
            values[name] = _FIELDS[name](value)
        except Mistaken as mistaken:
            faults.append(Finding("USAGE", f"--{name}", str(mistaken), f"{value!r:.60}"))
    if faults:
        listed = "; ".join(f"{fault.where}: expected {fault.expected}, found {fault.actual}" for fault in faults)
        raise UsageError("USAGE", f"these flags do not work: {listed}", findings=faults)
    return values


def find_checkpoints(paths: Iterable[Path], *, besides: Path | None = None) -> list[Found]:
    """List the files that are named, and the checkpoints in folders that are.

    Args:
        paths: Files, taken as they are, and folders, searched for names that checkpoints have.
        besides: A folder that is not searched: where the copies go.
    """
    skipped = besides.resolve() if besides is not None else None
    found: dict[Path, Found] = {}
    for path in paths:
        for file, name, in_folder in _listed(path):
            if skipped is None or not in_folder or not file.resolve().is_relative_to(skipped):
                found.setdefault(file, Found(file, name, in_folder))
    return list(found.values())


def _listed(path: Path) -> Iterator[tuple[Path, str, bool]]:
    if not path.is_dir():
        yield path, path.name, False
        return
    for file in sorted(path.rglob("*")):
        if file.suffix in SUFFIXES and file.is_file():
            yield file, file.relative_to(path).as_posix(), True


def read_map(path: str | os.PathLike[str]) -> tuple[Statement, ...]:
    """Read a map.

    Args:
        path: TOML with ``[[file]]`` tables: ``sha256`` or ``match``, ``who`` and ``why``, and as needed ``version``,
            ``activation``, ``features`` (MODULE:Provider), ``symbol``, ``timeframe``, ``feed``, ``adjustment``,
            ``calendar`` and ``probe`` (a file, relative to the map).

    Returns:
        The statements, in the order written.

    Raises:
        ConfigError: The file cannot be read, or tables have faults or name the same files; all in ``findings``.
    """
    where = os.fspath(path)
    entries = read_entries(path, "file", _FIELDS, ("who", "why"))
    folder = Path(path).parent
    statements, faults, seen = [], [], set[str]()
    for entry in entries:
        values = dict(entry.values)
        one = Statement(values.pop("sha256", None), values.pop("match", None), values, entry.where)
        if (one.sha256 is None) == (one.match is None):
            faults.append(Finding("CONFIG", entry.where, "sha256 or match", "both" if one.match else "neither"))
        elif one.name in seen:
            faults.append(Finding("CONFIG", entry.where, "files that no table before names", one.name))
        seen.add(one.name)
        if "probe" in values:
            values["probe"] = folder / values["probe"]
        statements.append(one)
    raise_faults(where, faults)
    return tuple(statements)


def assign(
    files: Sequence[Found], statements: Sequence[Statement], digest_of: Callable[[Path], str] | None = None
) -> Assigned:
    """Give every file the one statement that names it; a digest goes before globs.

    Args:
        files: What was found.
        statements: The map.
        digest_of: Gives a file's ``sha256:<hex>``; reads the file where omitted. Asked only where a statement has one.

    Raises:
        ConfigError: A statement names no file, two globs name one, or a file that was named itself is not in the map;
            all in ``findings``.
        CheckpointError: E101 if a file cannot be read.
    """
    by_digest = {one.sha256: one for one in statements if one.sha256 is not None}
    read = digest_of or (lambda path: read_source(path).sha256)
    pairs, left_out, faults, used = [], [], [], set[str]()
    for file in files:
        named = [by_digest[key]] if by_digest and (key := read(file.path)) in by_digest else []
        named = named or [one for one in statements if one.match is not None and _matches(file.name, one.match)]
        used.update(one.where for one in named)
        if len(named) > 1:
            tables = " and ".join(f"{one.where} ({one.name})" for one in named)
            faults.append(Finding("CONFIG", str(file.path), "one table that names it", tables))
        elif named:
            pairs.append((file, named[0]))
        elif file.in_folder:
            left_out.append(file)
        else:
            faults.append(Finding("CONFIG", str(file.path), "a table that names it", "none"))
    faults += [
        Finding("CONFIG", one.where, "a file that it names", f"none of {len(files)} is {one.name}")
        for one in statements
        if one.where not in used
    ]
    raise_faults(statements[0].where if statements else "map", faults)
    return Assigned(tuple(pairs), tuple(left_out))


def _matches(name: str, pattern: str) -> bool:
    # File systems differ in how they write an accent; a person sees the same name.
    return PurePosixPath(unicodedata.normalize("NFC", name)).match(pattern)
