"""trader-sdk: stands between a model that was trained and the money it will trade.

Public names are resolved when they are first used (PEP 562), so importing the package loads neither torch nor a
broker client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trader_sdk.approved import load_approved as load_approved
    from trader_sdk.approved import load_approved_universe as load_approved_universe
    from trader_sdk.archive.gate import ModelGatingConfig as ModelGatingConfig
    from trader_sdk.archive.gate import assess_model_quality as assess_model_quality
    from trader_sdk.archive.manager import TrainingArchiveManager as TrainingArchiveManager
    from trader_sdk.archive.manager import archive_run as archive_run
    from trader_sdk.checkpoint.writer import save as save
    from trader_sdk.contract.actions import interpret_action as interpret_action
    from trader_sdk.contract.compatibility import assert_compatibility as assert_compatibility
    from trader_sdk.contract.compatibility import check_compatibility as check_compatibility
    from trader_sdk.contract.detect import detect_version_from_checkpoint as detect_version_from_checkpoint
    from trader_sdk.contract.errors import ActionError as ActionError
    from trader_sdk.contract.errors import ArchiveError as ArchiveError
    from trader_sdk.contract.errors import BrokerError as BrokerError
    from trader_sdk.contract.errors import CheckpointError as CheckpointError
    from trader_sdk.contract.errors import CompatibilityError as CompatibilityError
    from trader_sdk.contract.errors import ConfigError as ConfigError
    from trader_sdk.contract.errors import ContractError as ContractError
    from trader_sdk.contract.errors import DataError as DataError
    from trader_sdk.contract.errors import HaltedError as HaltedError
    from trader_sdk.contract.errors import InvariantViolated as InvariantViolated
    from trader_sdk.contract.errors import LifecycleError as LifecycleError
    from trader_sdk.contract.errors import SdkError as SdkError
    from trader_sdk.contract.errors import StorageError as StorageError
    from trader_sdk.contract.errors import UsageError as UsageError
    from trader_sdk.contract.errors import VersionError as VersionError
    from trader_sdk.contract.execution import ExecutionLimits as ExecutionLimits
    from trader_sdk.contract.execution import target_notional as target_notional
    from trader_sdk.contract.metadata import get_checkpoint_metadata as get_checkpoint_metadata
    from trader_sdk.contract.spec import CURRENT_MODEL_VERSION as CURRENT_MODEL_VERSION
    from trader_sdk.contract.spec import CURRENT_TRADER_VERSION as CURRENT_TRADER_VERSION
    from trader_sdk.contract.spec import MODEL_SPECS as MODEL_SPECS
    from trader_sdk.contract.spec import MODEL_TRADER_COMPATIBILITY as MODEL_TRADER_COMPATIBILITY
    from trader_sdk.contract.spec import ModelSpec as ModelSpec
    from trader_sdk.exchange import LocalExchange as LocalExchange
    from trader_sdk.features import ObservationBuilder as ObservationBuilder
    from trader_sdk.live import LiveTrader as LiveTrader
    from trader_sdk.model import Decision as Decision
    from trader_sdk.model import NativeModelWrapper as NativeModelWrapper

_HOMES = {
    "trader_sdk.approved": ("load_approved", "load_approved_universe"),
    "trader_sdk.archive.gate": ("ModelGatingConfig", "assess_model_quality"),
    "trader_sdk.archive.manager": ("TrainingArchiveManager", "archive_run"),
    "trader_sdk.checkpoint.writer": ("save",),
    "trader_sdk.contract.actions": ("interpret_action",),
    "trader_sdk.contract.compatibility": ("assert_compatibility", "check_compatibility"),
    "trader_sdk.contract.detect": ("detect_version_from_checkpoint",),
    "trader_sdk.contract.errors": (
        "ActionError",
        "ArchiveError",
        "BrokerError",
        "CheckpointError",
        "CompatibilityError",
        "ConfigError",
        "ContractError",
        "DataError",
        "HaltedError",
        "InvariantViolated",
        "LifecycleError",
        "SdkError",
        "StorageError",
        "UsageError",
        "VersionError",
    ),
    "trader_sdk.contract.execution": ("ExecutionLimits", "target_notional"),
    "trader_sdk.contract.metadata": ("get_checkpoint_metadata",),
    "trader_sdk.contract.spec": (
        "CURRENT_MODEL_VERSION",
        "CURRENT_TRADER_VERSION",
        "MODEL_SPECS",
        "MODEL_TRADER_COMPATIBILITY",
        "ModelSpec",
    ),
    "trader_sdk.exchange": ("LocalExchange",),
    "trader_sdk.features": ("ObservationBuilder",),
    "trader_sdk.live": ("LiveTrader",),
    "trader_sdk.model": ("Decision", "NativeModelWrapper"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'trader_sdk' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
