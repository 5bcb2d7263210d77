"""Every training run, judged and kept: gate, metric set, folds, audit chain, slots and reports.

Names are resolved when they are first used, so that the gate costs neither a database nor a template engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trader_sdk.archive.blocks import equal_windows as equal_windows
    from trader_sdk.archive.blocks import split_blocks as split_blocks
    from trader_sdk.archive.folds import tier_of as tier_of
    from trader_sdk.archive.gate import Flag as Flag
    from trader_sdk.archive.gate import FlagName as FlagName
    from trader_sdk.archive.gate import GateClass as GateClass
    from trader_sdk.archive.gate import Tier as Tier
    from trader_sdk.archive.gate import assess_model_quality as assess_model_quality
    from trader_sdk.archive.governance import override as override
    from trader_sdk.archive.governance import promote as promote
    from trader_sdk.archive.governance import recall as recall
    from trader_sdk.archive.governance import revert as revert
    from trader_sdk.archive.ledger import Ledger as Ledger
    from trader_sdk.archive.manager import ArchivedRun as ArchivedRun
    from trader_sdk.archive.manager import HistoryEntry as HistoryEntry
    from trader_sdk.archive.manager import TrainingArchiveManager as TrainingArchiveManager
    from trader_sdk.archive.manager import archive_run as archive_run
    from trader_sdk.archive.metrics import HouseMetrics as HouseMetrics
    from trader_sdk.archive.metrics import gate_final as gate_final
    from trader_sdk.archive.metrics import house_metrics as house_metrics
    from trader_sdk.archive.policy import HOUSE_POLICY_HASH as HOUSE_POLICY_HASH
    from trader_sdk.archive.policy import ModelGatingConfig as ModelGatingConfig
    from trader_sdk.archive.policy import load_gate_policy as load_gate_policy

_HOMES = {
    "action_mix": ("action_mix",),
    "blocks": ("equal_windows", "split_blocks"),
    "folds": ("tier_of",),
    "gate": ("Flag", "FlagName", "GateClass", "Tier", "assess_model_quality"),
    "governance": ("override", "promote", "recall", "revert"),
    "ledger": ("Ledger",),
    "manager": ("ArchivedRun", "HistoryEntry", "TrainingArchiveManager", "archive_run"),
    "metrics": ("HouseMetrics", "gate_final", "house_metrics"),
    "policy": ("HOUSE_POLICY_HASH", "ModelGatingConfig", "load_gate_policy"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'trader_sdk.archive' has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"trader_sdk.archive.{home}"), name)
