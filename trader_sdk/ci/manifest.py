"""``goldens.toml`` and ``fleet.toml``: what a desk says about its own models and its deployed traders."""

from __future__ import annotations

import re
import tomllib
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, field_validator, model_validator

from trader_sdk.contract.errors import ConfigError

MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024

Name = Annotated[str, Field(min_length=1, max_length=120)]
Sha256 = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProbeSource(_Table):
    """Which observations a golden is asked to decide on: a recipe and a count, or a file."""

    recipe: Literal["knuth32@1"] | None = None
    count: Annotated[StrictInt, Field(ge=1, le=256)] | None = None
    file: Name | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.recipe is None) == (self.file is None) or (self.recipe is None) != (self.count is None):
            raise ValueError('either recipe = "knuth32@1" with a count, or a file')
        return self


class GoldenEntry(_Table):
    """One model that must keep deciding as it did.

    Attributes:
        name: What reports call it.
        url: Where it is fetched from; or
        path: where it lies, relative to the manifest.
        sha256: Of the file.
        version: The model version it must be read as.
        probe: The observations.
        decisions: Names of the actions it must choose, one an observation.
        logits: What the network must give, (n, n_actions); optional.
        line: Of its table in the manifest.
    """

    name: Name
    url: Name | None = None
    path: Name | None = None
    sha256: Sha256
    version: Name
    probe: ProbeSource
    decisions: Annotated[tuple[Name, ...], Field(min_length=1, max_length=4096)]
    logits: Annotated[tuple[tuple[Finite, ...], ...], Field(max_length=4096)] = ()
    line: int = Field(default=1, exclude=True)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("either url or path")
        if self.logits and len(self.logits) != len(self.decisions):
            raise ValueError("as many rows of logits as decisions")
        if self.probe.count not in (None, len(self.decisions)):
            raise ValueError("as many decisions as the probe's count")
        return self


class TraderEntry(_Table):
    """One deployed trader.

    Attributes:
        name: What reports call it.
        version: Its trader version.
        capabilities: What it can do; the registry's row of its version when left out.
        providers: Digests of the feature schemas whose columns it can build; not checked when left out.
        line: Of its table in the manifest.
    """

    name: Name
    version: Name
    capabilities: tuple[Name, ...] | None = None
    providers: tuple[Sha256, ...] | None = None
    line: int = Field(default=1, exclude=True)

    @field_validator("version")
    @classmethod
    def _is_version(cls, text: str) -> str:
        try:
            Version(text)
        except InvalidVersion as error:
            raise ValueError("not a version") from error
        return text


Entry = TypeVar("Entry", GoldenEntry, TraderEntry)


def read_goldens(path: Path) -> tuple[GoldenEntry, ...]:
    """Return the goldens of a manifest, in the order written.

    Raises:
        ConfigError: Unreadable, not TOML, or a table is malformed; every fault is named.
    """
    return _read(path, "golden", GoldenEntry)


def read_fleet(path: Path) -> tuple[TraderEntry, ...]:
    """Return the traders of a manifest, in the order written.

    Raises:
        ConfigError: Unreadable, not TOML, or a table is malformed; every fault is named.
    """
    return _read(path, "trader", TraderEntry)


def read_text(path: Path) -> str:
    """Return a manifest's text.

    Raises:
        ConfigError: Absent, no regular file, too large, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        with path.open("rb") as file:
            raw = file.read(MAX_MANIFEST_BYTES + 1)
        if len(raw) > MAX_MANIFEST_BYTES:
            raise _refused(path, f"more than {MAX_MANIFEST_BYTES} bytes")
        return raw.decode("utf-8")
    except (OSError, ValueError) as error:
        raise _refused(path, str(error)[:160]) from error


def _refused(path: Path, found: str) -> ConfigError:
    return ConfigError("CONFIG", "the manifest cannot be read", where=str(path), expected="TOML in UTF-8", found=found)


def _read(path: Path, kind: Literal["golden", "trader"], entry: type[Entry]) -> tuple[Entry, ...]:
    text = read_text(path)
    tables = _tables(_parse(text, path), kind, path)
    lines = table_lines(text, kind)
    faults: list[str] = []
    entries = [
        entry_of
        for table, line, number in zip(tables, _padded(lines, len(tables)), count(1), strict=False)
        if (entry_of := _entry(table, line, f"{kind} {number} (line {line})", entry, faults)) is not None
    ]
    names = [entry_of.name for entry_of in entries]
    faults += [f"the name {name!r} is used twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if faults:
        raise _malformed(path, f"well-formed [[{kind}]] tables", "; ".join(faults)[:2000])
    return tuple(entries)


def _tables(document: dict[str, Any], kind: str, path: Path) -> list[dict[str, Any]]:
    unknown = [*document.keys() - {"schema", kind}]
    tables = document.get(kind, [])
    if document.get("schema", 1) != 1:
        unknown.append("another schema")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        unknown.append(f"another kind of {kind}")
    if unknown:
        raise _malformed(path, f"schema = 1 and [[{kind}]] tables", ", ".join(sorted(unknown))[:160])
    return list(tables)


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(path, str(error)[:160]) from error


def _malformed(path: Path, expected: str, found: str) -> ConfigError:
    return ConfigError("CONFIG", "the manifest is malformed", where=str(path), expected=expected, found=found)


def _entry(table: dict[str, Any], line: int, where: str, entry: type[Entry], faults: list[str]) -> Entry | None:
    if "line" in table:
        faults.append(f"{where}: line: unknown field")
        return None
    try:
        return entry.model_validate({**table, "line": line})
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            faults.append(f"{where}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}".replace(": :", ":"))
        return None


def table_lines(text: str, kind: str) -> list[int]:
    """Return the line of each ``[[kind]]`` header.

    Example:
        >>> table_lines("# mine\\n[[golden]]\\n\\n [[ golden ]] # b\\n", "golden")
        [2, 4]
    """
    header = re.compile(rf"\s*\[\[\s*{kind}\s*\]\]")
    return [number for number, line in enumerate(text.splitlines(), 1) if header.match(line)]


def _padded(lines: list[int], tables: int) -> list[int]:
    # tomllib tells no positions. Where headers and tables do not match one to one (a header inside a text, an
    # inline array), the manifest's first line is named rather than a wrong one.
    return lines if len(lines) == tables else [1] * tables
