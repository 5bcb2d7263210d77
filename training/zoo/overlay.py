"""A spec laid over a configuration: a new frozen one. Nothing global changes, so variants train side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import ConfigError
from training.config import TrainConfig, preset
from training.zoo.knobs import CONFIG_FIELDS, NO_CONFIG, Overrides
from training.zoo.spec import ModelSpecError, ZooSpec

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """A spec with everything decided.

    Attributes:
        spec: What was declared.
        config: Every number of its run.
        label: Free text that becomes part of the version id.
    """

    spec: ZooSpec
    config: TrainConfig
    label: str

    @property
    def digest(self) -> str:
        """Return ``sha256:<hex>`` of what is tried: the same numbers are the same trial, whatever they are called."""
        config = self.config.model_dump(mode="json", exclude={"preset", "device"})
        return sha256_of({"config": config, "command": self.spec.command})

    def as_plain(self) -> dict[str, Any]:
        """Return what another trainer gets on its standard input."""
        return {
            "schema": 1,
            "id": self.spec.id,
            "label": self.label,
            "overrides": self.spec.overrides.model_dump(mode="json", exclude_none=True),
            "config": self.config.model_dump(mode="json"),
            "digest": self.digest,
        }


def resolve_spec(spec: ZooSpec, base: TrainConfig | None = None) -> ResolvedSpec:
    """Lay a spec over a configuration.

    Args:
        spec: What it turns.
        base: Configuration it is laid over; that of the laptop when omitted. It stays as it is.

    Returns:
        A new frozen configuration, and the label.

    Raises:
        ModelSpecError: The numbers contradict each other.

    Example:
        >>> spec = ZooSpec(id="far", overrides=Overrides(horizon=20))
        >>> resolved = resolve_spec(spec)
        >>> resolved.config.horizon, resolved.label
        (20, 'spec-far')
    """
    base = base or preset("laptop")
    changes = {CONFIG_FIELDS.get(k, k): v for k, v in spec.overrides.turned().items() if k not in NO_CONFIG}
    try:
        config = TrainConfig.model_validate({**base.model_dump(), **changes})
    except ConfigError as error:
        raise _contradiction(spec, f"{error.where}: {error.found}, expected {error.expected}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise _contradiction(spec, faults) from error
    return ResolvedSpec(spec, config, spec.label)


def _contradiction(spec: ZooSpec, found: str) -> ModelSpecError:
    return ModelSpecError("CONFIG", "the overrides do not fit the configuration", where=spec.id, found=found)


@contextmanager
def spec_overrides(
    spec: ZooSpec | Overrides | Mapping[str, Any], into: ModuleType | MutableMapping[str, Any]
) -> Iterator[None]:
    """Set a spec's knobs in a module, for trainers that read them there; put everything back afterwards.

    Args:
        spec: A spec, or overrides; a plain mapping is checked as a spec's overrides are.
        into: A module, where knobs are constants (``HORIZON``), or a mapping, where they have their own names.

    Raises:
        ModelSpecError: A knob that is not on the allow-list, before anything is set.

    Example:
        >>> settings = {"horizon": 1}
        >>> with spec_overrides({"horizon": 5, "seed": 3}, settings):
        ...     print(settings)
        {'horizon': 5, 'seed': 3}
        >>> settings
        {'horizon': 1}
    """
    turned = _overrides_of(spec).turned()
    space: MutableMapping[str, Any] = vars(into) if isinstance(into, ModuleType) else into
    wanted = {name.upper(): value for name, value in turned.items()} if isinstance(into, ModuleType) else turned
    before = {name: space.get(name, _ABSENT) for name in wanted}
    try:
        space.update(wanted)
        yield
    finally:
        for name, value in before.items():
            if value is _ABSENT:
                space.pop(name, None)
            else:
                space[name] = value


def _overrides_of(spec: ZooSpec | Overrides | Mapping[str, Any]) -> Overrides:
    if isinstance(spec, ZooSpec):
        return spec.overrides
    if isinstance(spec, Overrides):
        return spec
    from training.zoo.spec import parse_specs

    (checked,) = parse_specs([{"id": "overrides", "overrides": dict(spec)}], where="overrides")
    return checked.overrides
