"""What somebody does to the archive while a trader runs on it: promote, recall, copy half a file, and worse."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from trader_sdk.archive.governance import promote, recall, revert
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader, deployed_subject
from trader_sdk.archive.slots import SlotKey
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.faults.model import NARROW, summary_of, write_checkpoint

WHO: Final = "faults"
_DROPPED: Final = {"fitness_score": 0.1, "profit_factor": 0.9}


class Act(StrEnum):
    """What is done; a closed set."""

    ARCHIVE = "archive"  # a challenger comes
    PROMOTE = "promote"  # it comes and takes the slot
    HALF_COPIED = "half-copied"  # it takes the slot, and its file is only there in part
    MISMATCHED = "mismatched"  # it takes the slot, and its file is another
    INFINITE = "infinite"  # it takes the slot, and its outputs are no numbers after a move
    REVERT = "revert"
    RECALL = "recall"  # of the model that trades
    DROP = "drop"  # the model that trades is judged again, and dropped
    OVERWRITE = "overwrite"  # the file of the model that trades is another from now on


class ArchiveAct(BaseModel):
    """One act.

    Attributes:
        act: What.
        after: Bar after which it is done; 0 before the start.
        symbol: Whose slot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Act
    after: int = Field(default=0, ge=0)
    symbol: str = "SIM"


class Meddler:
    """Does the acts of a scenario on an archive of its own.

    Args:
        acts: What, and when.
        archive: The campaign's archive, which is copied.
        folder: Takes the copy.
        timeframe: Of the slots.
    """

    def __init__(self, acts: Sequence[ArchiveAct], archive: Path, folder: Path, timeframe: Timeframe) -> None:
        self._acts, self._timeframe, self._folder = acts, timeframe, folder
        self.archive = folder / "archive"
        if not self.archive.exists():  # a trader that is started again finds what was done
            shutil.copytree(archive, self.archive)
            self._do(0)

    def told(self, name: str, fields: Mapping[str, Any]) -> None:
        """Act after a bar that the trader has finished."""
        if name == "bar_finished":
            self._do(int(fields["n"]))

    def _do(self, after: int) -> None:
        for number, act in enumerate(self._acts):
            if act.after == after:
                self._act(act, number)

    def _act(self, act: ArchiveAct, number: int) -> None:
        match act.act:
            case Act.RECALL:
                recall(self.archive, [self._champion(act.symbol)], why="it was trained on the wrong bars")
            case Act.REVERT:
                revert(self.archive, act.symbol, self._timeframe.value, why="the new one is worse")
            case Act.OVERWRITE:
                self._file(act.symbol, self._champion(act.symbol)).write_bytes(b"another file")
            case Act.DROP:
                self._archived(self._file(act.symbol, self._champion(act.symbol)), act.symbol, number, **_DROPPED)
            case _:
                self._new_model(act, number)

    def _new_model(self, act: ArchiveAct, number: int) -> None:
        path = self._folder / f"{act.symbol.replace('/', '')}-{number}.safetensors"
        write_checkpoint(
            path, act.symbol, self._timeframe, gain=-1.0 - number, band=NARROW if act.act is Act.INFINITE else 0.0
        )
        version = self._archived(path, act.symbol, number)
        if act.act is Act.ARCHIVE:
            return
        file = self._file(act.symbol, version)
        if act.act is Act.HALF_COPIED:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif act.act is Act.MISMATCHED:
            write_checkpoint(file, act.symbol, self._timeframe, gain=7.0)
        promote(self.archive, act.symbol, self._timeframe.value, version, why="better on paper")

    def _archived(self, path: Path, symbol: str, number: int, **figures: float) -> str:
        """Archive a checkpoint and return its version."""
        model = summary_of(path, symbol, self._timeframe, **figures)
        summary = {"schema": 1, "run": {"trainer": WHO, "seed": number}, "models": {symbol: model}}
        TrainingArchiveManager(self.archive, who=WHO).archive_training_run(summary)
        return ArchiveReader(self.archive).state.verdicts_of(self._key(symbol), 1)[0].version_id

    def _key(self, symbol: str) -> SlotKey:
        return SlotKey(symbol, self._timeframe)

    def _champion(self, symbol: str) -> str:
        champion = ArchiveReader(self.archive).state.champion(self._key(symbol))
        assert champion is not None  # the campaign's archive has one in every slot
        return champion.version_id

    def _file(self, symbol: str, version: str) -> Path:
        reader = ArchiveReader(self.archive)
        ref = reader.state.newest_verdict(self._key(symbol), version)
        assert ref is not None  # it was archived
        judged = reader.judged(ref)
        return judged.path_of(deployed_subject(judged.verdict))
