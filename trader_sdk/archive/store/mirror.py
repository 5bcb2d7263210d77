"""This host's copy of an archive that lies elsewhere: the chain as it was verified, and files by their digest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from trader_sdk.archive.layout import UNFINISHED_PREFIX
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import Chain, ChainHead
from trader_sdk.archive.store.durable import replace_derived, storage_errors
from trader_sdk.archive.store.folder import checked_name
from trader_sdk.archive.store.lock import writer_lock
from trader_sdk.contract.canonical import canonical_json, read_json_strict
from trader_sdk.contract.errors import ArchiveError, StorageError

SEEN_FILE: Final = "seen.json"
_LOCK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """When the archive itself was last seen from this host, and where its chain ended then."""

    at: datetime
    head: ChainHead


class Mirror:
    """A folder with an archive's own layout, filled as things are asked for; several processes may share it.

    It can be deleted at any time: what it forgets is where the chain ended when this host last looked.

    Args:
        root: The folder; made when first needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = AuditLog(root)

    def head(self) -> ChainHead:
        """Return where the copy of the chain ends.

        Raises:
            ArchiveError: E606 where the copy itself is damaged.
        """
        try:
            return self.log.head()
        except ArchiveError as error:
            error.remedy = f"This host's copy is damaged: remove {self.root} and run the command again."
            raise

    def take(self, chain: Chain, at: datetime) -> None:
        """Add verified records, and remember that the archive was seen.

        Raises:
            StorageError: The disk refused.
        """
        document = {"schema": 1, "at": at.isoformat(), "seq": chain.head.seq, "sha256": chain.head.sha256}
        with _copy_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with writer_lock(self.root, _LOCK_SECONDS):
                self.log.extend(chain.records)
                replace_derived(self.root / SEEN_FILE, canonical_json(document))

    def seen(self) -> Seen | None:
        """Return when the archive was last seen, None where this host never did."""
        path = self.root / SEEN_FILE
        if not path.exists():
            return None
        with storage_errors(path):
            document = read_json_strict(path.read_bytes(), where=str(path))
        return Seen(datetime.fromisoformat(document["at"]), ChainHead(document["seq"], document["sha256"]))

    def file(self, name: str, sha256: str | None, fetch: Callable[[], bytes]) -> Path:
        """Return a file of the copy, fetched where it is not here or not what it should be.

        Args:
            name: Relative to the archive.
            sha256: Its digest as hex; None for a file that proves itself (a signature).
            fetch: Returns its bytes from the archive.

        Raises:
            ArchiveError: E602 where the archive itself gives other bytes than were committed.
            StorageError: The disk refused.
        """
        path = self.root / checked_name(name)
        with _copy_errors(path):
            if path.is_file() and (sha256 is None or hashlib.sha256(path.read_bytes()).hexdigest() == sha256):
                return path
            data = fetch()
            found = hashlib.sha256(data).hexdigest()
            if sha256 is not None and found != sha256:
                raise ArchiveError(
                    "E602", "the archive gave other bytes than were committed", where=name, expected=sha256, found=found
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{UNFINISHED_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
            partial.write_bytes(data)
            partial.replace(path)
        return path


@contextlib.contextmanager
def _copy_errors(where: Path) -> Iterator[None]:
    try:
        with storage_errors(where):
            yield
    except StorageError as error:
        error.remedy = "This host keeps its copy there: free space, or name another folder in TRADER_ARCHIVE_CACHE."
        raise
