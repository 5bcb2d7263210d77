"""The training half: from bars to an archived run. Names are resolved on first use, so importing this costs nothing."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trader_sdk.archive.gate import assess_model_quality
    from trader_sdk.archive.manager import TrainingArchiveManager, archive_run
    from trader_sdk.archive.policy import ModelGatingConfig
    from trader_sdk.checkpoint.writer import save
    from training.config import TrainConfig, preset
    from training.invariants import INVARIANTS
    from training.regimes import Finetune, FromScratch, check_non_divergence
    from training.run import train

__all__ = [
    "INVARIANTS",
    "Finetune",
    "FromScratch",
    "ModelGatingConfig",
    "TrainConfig",
    "TrainingArchiveManager",
    "archive_run",
    "assess_model_quality",
    "check_non_divergence",
    "preset",
    "save",
    "train",
]

_HOMES: Final = MappingProxyType(
    {
        "INVARIANTS": "training.invariants",
        "Finetune": "training.regimes",
        "FromScratch": "training.regimes",
        "ModelGatingConfig": "trader_sdk.archive.policy",
        "TrainConfig": "training.config",
        "TrainingArchiveManager": "trader_sdk.archive.manager",
        "archive_run": "trader_sdk.archive.manager",
        "assess_model_quality": "trader_sdk.archive.gate",
        "check_non_divergence": "training.regimes",
        "preset": "training.config",
        "save": "trader_sdk.checkpoint.writer",
        "train": "training.run",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
