"""The baseline: the champion's architecture, trained again on the challengers' bars, so that vintages never mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from trader_sdk.archive.layout import MODELS_FOLDER
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.slots import SlotKey
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import SdkError
from training.config import TrainConfig
from training.zoo.overlay import ResolvedSpec
from training.zoo.spec import ZooSpec

BASELINE: Final = "champion-retrained"


def baseline_of(archive: str, bars: Bars) -> list[ResolvedSpec]:
    """Return the champion's configuration as a spec; nothing where there is no champion of ours in the slot."""
    config = _champion_config(archive, SlotKey(bars.symbol, bars.timeframe))
    return [] if config is None else [ResolvedSpec(ZooSpec(id=BASELINE), config, BASELINE)]


def _champion_config(archive: str, key: SlotKey) -> TrainConfig | None:
    try:
        reader = ArchiveReader(archive)
    except SdkError as error:
        if error.code == "E608":  # no archive yet
            return None
        raise
    ref = reader.state.champion_verdict(key)
    if ref is None:
        return None
    verdict = reader.judged(ref).verdict
    subject = next((each for each in verdict.subjects if each.role == "training"), None)
    if subject is None:
        return None
    suffix = subject_path(reader.root / ref.run, subject).suffix
    path = reader.place.fetch(f"{ref.run}/{MODELS_FOLDER}/{subject.sha256}{suffix}", subject.sha256)
    stated = read_checkpoint(path).metadata.get("config")
    if not isinstance(stated, Mapping):
        return None
    known = {name: value for name, value in stated.items() if name in TrainConfig.model_fields}
    try:
        return TrainConfig.model_validate(known)
    except ValidationError:  # somebody else's trainer
        return None
