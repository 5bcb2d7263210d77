"""Which policy a file holds, as this host has computed it before: one digest of two is enough the next time.

A door hashes a model's file at each load. What policy these bytes hold follows from them, so each release computes it
once on a host and notes it by an empty file below the cache folder; nothing of it comes from an archive.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from trader_sdk.archive.named import cache_folder
from trader_sdk.contract.spec import CURRENT_TRADER_VERSION

_FOLDER: Final = "policies"


def is_known_policy(file_sha256: str, policy_sha256: str) -> bool:
    """Return whether this host has found the policy in a file of these bytes before.

    Args:
        file_sha256, policy_sha256: Digests, ``sha256:<hex>``; the file's has been computed just now.
    """
    return _note(file_sha256, policy_sha256).is_file()


def remember_policy(file_sha256: str, policy_sha256: str) -> None:
    """Note which policy was found in a file; a cache that cannot be written costs time only."""
    note = _note(file_sha256, policy_sha256)
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        note.touch()


def _note(file_sha256: str, policy_sha256: str) -> Path:
    file, policy = (digest.removeprefix("sha256:") for digest in (file_sha256, policy_sha256))
    return cache_folder() / _FOLDER / CURRENT_TRADER_VERSION / f"{file}.{policy}"
