"""The model zoo: declared variants, trained apart, compared net of costs. Names are resolved on first use."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from training.zoo.overlay import ResolvedSpec, resolve_spec, spec_overrides
    from training.zoo.spec import ModelSpecError, ZooSpec, load_specs
    from training.zoo.training import SpecResult, Status, train_all_active, train_spec

__all__ = [
    "ModelSpecError",
    "ResolvedSpec",
    "SpecResult",
    "Status",
    "ZooSpec",
    "load_specs",
    "resolve_spec",
    "spec_overrides",
    "train_all_active",
    "train_spec",
]

_HOMES: Final = MappingProxyType(
    {
        "ModelSpecError": "training.zoo.spec",
        "ResolvedSpec": "training.zoo.overlay",
        "SpecResult": "training.zoo.training",
        "Status": "training.zoo.training",
        "ZooSpec": "training.zoo.spec",
        "load_specs": "training.zoo.spec",
        "resolve_spec": "training.zoo.overlay",
        "spec_overrides": "training.zoo.overlay",
        "train_all_active": "training.zoo.training",
        "train_spec": "training.zoo.training",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
