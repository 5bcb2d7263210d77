"""What this host has verified of an archive: the state that every decision is made on, without reading all of it again.

Nothing that lies in an archive beside its chain is believed. A short chain is folded each time; of a long one this host
keeps an index of its own, outside the archive, takes in what was committed since, and holds the chain to what it has
seen: a record that is gone or another one by now is a refusal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trader_sdk.archive.slots import ArchiveState, fold
from trader_sdk.contract.errors import ArchiveError, StorageError

if TYPE_CHECKING:
    from trader_sdk.archive.store.chain import ChainHead
    from trader_sdk.archive.store.port import AuditChain

FOLDED_RECORDS: Final = 1000
"""Chains up to this length are folded in memory, and no file is written anywhere."""
_FOLDER: Final = "verified"


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain's end and the state there."""

    head: ChainHead
    state: ArchiveState


def verified_state(chain: AuditChain, *, copies: Path | None = None, folded_records: int | None = None) -> Verified:
    """Return what a chain says, every record of it verified, now or before by this host.

    Args:
        chain: The archive's chain; nothing is written to the archive.
        copies: Folder of this host's own indexes; below the cache folder of archives when omitted.
        folded_records: Length up to which the chain is read whole; :data:`FOLDED_RECORDS` when omitted.

    Raises:
        ArchiveError: E606 where the chain does not hold, or was cut or rewritten since this host last read it.
        StorageError: The chain cannot be read.
    """
    if chain.head().seq > (FOLDED_RECORDS if folded_records is None else folded_records):
        try:
            return _from_copy(chain, copy_of(chain, copies))
        except (ArchiveError, StorageError) as error:
            if error.code == "E606":
                raise
            _say_without_copy(error)
    whole = chain.read()
    return Verified(whole.head, fold(whole.records))


def copy_of(chain: AuditChain, copies: Path | None = None) -> Path:
    """Return where this host keeps its own index of an archive."""
    from trader_sdk.archive.named import cache_folder

    folder = copies or cache_folder() / _FOLDER
    where = chain.where if "://" in chain.where else str(Path(chain.where).resolve())
    return folder / f"{hashlib.sha256(where.encode()).hexdigest()[:32]}.sqlite"


def _from_copy(chain: AuditChain, copy: Path) -> Verified:
    from trader_sdk.archive.index.archive_index import ArchiveIndex

    try:
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError("STORAGE", "no cache folder", where=str(copy.parent), found=error) from error
    index = ArchiveIndex(copy, rewrites_are_refused=True)
    head = index.follow(chain).head
    return Verified(head, index.open_state())


def _say_without_copy(error: ArchiveError | StorageError) -> None:
    import structlog

    structlog.get_logger(__name__).warning(
        "verified_copy_unused", where=error.where, why=error.message, found=str(error.found)
    )
