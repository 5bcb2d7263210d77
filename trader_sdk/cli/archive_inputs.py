"""What arguments of ``trader archive`` name: a gate policy, an archive's state, a model by file or by alias."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trader_sdk.contract.errors import ArchiveError

if TYPE_CHECKING:
    from trader_sdk.archive.policy import ModelGatingConfig
    from trader_sdk.archive.slots import ArchiveState


def gate_policy_of(path: Path | None) -> ModelGatingConfig:
    """Return the gate policy of a file, the house's where none is given."""
    from trader_sdk.archive.policy import HOUSE_POLICY, load_gate_policy

    return HOUSE_POLICY if path is None else load_gate_policy(path)


def archive_state(archive: str) -> ArchiveState | None:
    """Return what an archive says, None where there is none yet: nothing was ever tried in it."""
    from trader_sdk.archive.reader import ArchiveReader

    try:
        return ArchiveReader(archive).state
    except ArchiveError as error:
        if error.code != "E608":
            raise
        return None


def model_argument(named: str | Path, archive: str) -> Path:
    """Return the file that a person names: a path, or an alias of an archive such as ``models:/AAPL/1Day@champion``.

    Raises:
        UsageError, ArchiveError: The alias is malformed or names nothing.
    """
    text = named.as_posix() if isinstance(named, Path) else named
    if not text.startswith("models:"):  # the archive's modules are not needed for a path
        return Path(text)
    from trader_sdk.archive.pointers import aliased, model_file
    from trader_sdk.archive.reader import ArchiveReader

    reader = ArchiveReader(archive)
    return model_file(reader, aliased(reader.state, text))
