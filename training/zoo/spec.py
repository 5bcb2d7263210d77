"""Specs of variants, read from YAML or TOML: raw, then checked with every fault at once, then frozen."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from trader_sdk.contract.document import Label
from trader_sdk.contract.errors import ConfigError
from training.zoo.knobs import KNOBS, Overrides, allow_list, suggestion
from training.zoo.yaml_file import YamlError, read_yaml

SAMPLE: Final = Path(__file__).parent / "sample.yaml"
"""Five specs that are shipped."""
_MAX_FAULTS: Final = 8
_KINDS: Final = {type(None): "an empty file", str: "text", list: "a list with something else than specs"}


class ModelSpecError(ConfigError):
    """A spec cannot be read or contradicts itself or another; nothing was changed (exit 2)."""

    families: ClassVar[tuple[str, ...]] = ("config",)


class SpecStatus(StrEnum):
    """Whether a spec is trained by ``--all-active`` and by the rotation."""

    ACTIVE = "active"
    RETIRED = "retired"


def _plain_status(value: object) -> object:
    return SpecStatus(value) if isinstance(value, str) and value in tuple(SpecStatus) else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class ZooSpec(BaseModel):
    """One variant: a named overlay on the training configuration.

    Attributes:
        id: Its name, unique in a file.
        model_version_label: Label of what it trains; ``spec-<id>`` where nothing says another.
        status: Retired specs are kept for what they were, and never trained.
        priority: Decides between specs that are equally stale, the higher first.
        overrides: Knobs that it turns.
        command: Another trainer instead of ours: it gets the resolved spec as JSON on standard input and must end with
            ``archive_run``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    model_version_label: Label | None = None
    status: Annotated[SpecStatus, BeforeValidator(_plain_status)] = SpecStatus.ACTIVE
    priority: int = 0
    overrides: Overrides = Overrides()
    command: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)] | None = None

    @property
    def label(self) -> str:
        """Return the overrides' label, else the spec's own, else ``spec-<id>``."""
        return self.overrides.model_version_label or self.model_version_label or f"spec-{self.id}"


def load_specs(path: Path | str = SAMPLE) -> tuple[ZooSpec, ...]:
    """Read a file of specs.

    Args:
        path: ``.yaml``, ``.yml`` or ``.toml`` with a list ``specs``; the shipped sample when omitted.

    Returns:
        The specs in the order of the file.

    Raises:
        ModelSpecError: The file cannot be read, or has faults; all of them are named, with the allow-list.
    """
    path = Path(path)
    return parse_specs(_document(path), where=path.name)


def parse_specs(document: object, *, where: str) -> tuple[ZooSpec, ...]:
    """Return the specs of plain data: a list of them, or a mapping with the list ``specs``.

    Raises:
        ModelSpecError: As for :func:`load_specs`.
    """
    raw = document.get("specs") if isinstance(document, Mapping) and set(document) == {"specs"} else document
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not all(isinstance(each, Mapping) for each in raw):
        raise ModelSpecError("CONFIG", "not a file of specs", where=where, expected="a list `specs`", found=_kind(raw))
    found = [(_name(each, place), _parsed(each)) for place, each in enumerate(raw)]
    faults = [f"{name}: {fault}" for name, result in found if isinstance(result, list) for fault in result]
    specs = tuple(result for _, result in found if isinstance(result, ZooSpec))
    faults += _twice([str(each.get("id")) for each in raw], "id") + _twice([spec.label for spec in specs], "label")
    if faults:
        raise _refusal(faults, where)
    return specs


def named(specs: Sequence[ZooSpec], spec_id: str) -> ZooSpec:
    """Return the active spec called ``spec_id``.

    Raises:
        ModelSpecError: There is none, or it is retired.
    """
    import difflib

    known = {spec.id: spec for spec in specs}
    if spec_id not in known:
        close = difflib.get_close_matches(spec_id, known, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else "See --list."
        raise ModelSpecError(
            "CONFIG", "no such spec", where="--spec", expected=", ".join(known), found=spec_id, remedy=hint
        )
    if known[spec_id].status is SpecStatus.RETIRED:
        raise ModelSpecError(
            "CONFIG",
            "this spec is retired",
            where=spec_id,
            expected="status: active",
            found="status: retired",
            remedy="Set it active again, or choose another with --list.",
        )
    return known[spec_id]


def active(specs: Sequence[ZooSpec]) -> tuple[ZooSpec, ...]:
    """Return the specs that are trained."""
    return tuple(spec for spec in specs if spec.status is SpecStatus.ACTIVE)


def _document(path: Path) -> object:
    try:
        text = path.read_bytes().decode("utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix in (".yaml", ".yml"):
            return read_yaml(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, YamlError) as error:
        raise ModelSpecError("CONFIG", "the specs cannot be read", where=str(path), found=error) from error
    raise ModelSpecError(
        "CONFIG", "not a file of specs", where=str(path), expected=".yaml, .yml or .toml", found=path.suffix or "none"
    )


def _name(raw: Mapping[str, Any], place: int) -> str:
    return str(raw.get("id", f"spec {place + 1}"))[:48]


def _parsed(raw: Mapping[str, Any]) -> ZooSpec | list[str]:
    try:
        return ZooSpec.model_validate(dict(raw))
    except ValidationError as error:
        return [_fault(fault) for fault in error.errors()]


def _fault(fault: Any) -> str:
    place, kind = ".".join(map(str, fault["loc"])), fault["type"]
    knob = str(fault["loc"][1]) if len(fault["loc"]) > 1 and fault["loc"][0] == "overrides" else None
    if kind == "extra_forbidden":
        meant = suggestion(knob) if knob else None
        return f"{place} is not known" + (f"; did you mean {meant}?" if meant else "")
    if knob is not None and knob in KNOBS:
        hint = " (YAML reads 1e-3 as text: write 0.001)" if _looks_like_number(fault["input"]) else ""
        return f"{place} must be a {KNOBS[knob]}, not {fault['input']!r}{hint}".replace("a text", "text")
    return f"{place}: {fault['msg']}"


def _looks_like_number(value: object) -> bool:
    try:
        return isinstance(value, str) and float(value) is not None
    except ValueError:
        return False


def _twice(names: Sequence[str], what: str) -> list[str]:
    return [f"{what} {name} is there {count} times" for name, count in Counter(names).items() if count > 1]


def _refusal(faults: Sequence[str], where: str) -> ModelSpecError:
    more = [f"and {len(faults) - _MAX_FAULTS} more"] if len(faults) > _MAX_FAULTS else []
    shown = "; ".join([*faults[:_MAX_FAULTS], *more])
    about_knobs = any("overrides" in fault for fault in faults)
    remedy = f"Knobs are: {allow_list()}." if about_knobs else "Correct the file; nothing was changed."
    return ModelSpecError("CONFIG", "the specs have faults", where=where, found=shown, remedy=remedy)


def _kind(raw: object) -> str:
    return (
        f"keys {', '.join(map(str, raw))[:80]}"
        if isinstance(raw, Mapping)
        else _KINDS.get(type(raw), type(raw).__name__)
    )


def lines_of(specs: Sequence[ZooSpec]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield id, status, priority, label and what is turned of each spec, for a table."""
    for spec in specs:
        turned = {**spec.overrides.turned(), **({"command": " ".join(spec.command)} if spec.command else {})}
        told = ", ".join(f"{name}={value}" for name, value in turned.items()) or "as the base"
        yield spec.id, spec.status.value, str(spec.priority), spec.label, told
