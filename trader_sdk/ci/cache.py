"""Fetched files by their digest: verified whenever one is used, whole or absent."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from trader_sdk.ci.fetch import FetchLimits, display_url, fetch
from trader_sdk.contract.errors import CheckpointError, StorageError


def default_cache() -> Path:
    """Return the platform's cache folder of this package."""
    from platformdirs import user_cache_path

    return user_cache_path("trader-sdk", appauthor=False)


class DigestCache:
    """A folder of files named by the sha256 of their bytes; safe for several processes at once.

    Args:
        folder: Where it lives; made when first needed.
        limits: What a download may ask for.
    """

    def __init__(self, folder: Path, limits: FetchLimits | None = None) -> None:
        self._folder = folder / "sha256"
        self._limits = limits or FetchLimits()

    def get(self, url: str, expected_sha256: str | None = None) -> Path:
        """Return a verified local copy of ``url``; fetched unless its digest is known and here.

        Args:
            url: http or https.
            expected_sha256: ``sha256:<hex>``; None fetches and takes what comes.

        Raises:
            CheckpointError: E101 unreachable, E103 other bytes than expected, E107 too large.
            StorageError: The cache cannot be written.
        """
        if expected_sha256 is not None and (held := self._held(expected_sha256)):
            return held
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._fetched(url, expected_sha256, self._folder / f".{secrets.token_hex(8)}.partial")
        except OSError as error:
            raise StorageError(
                "STORAGE",
                "the cache cannot be written",
                where=str(self._folder),
                found=error.strerror or str(error),
                remedy="Name another folder with --cache.",
            ) from error

    def _fetched(self, url: str, expected_sha256: str | None, partial: Path) -> Path:
        try:
            with partial.open("xb") as target:
                digest = fetch(url, target, self._limits)
            if expected_sha256 not in (None, digest):
                raise CheckpointError(
                    "E103",
                    "other bytes than expected came",
                    where=display_url(url),
                    expected=expected_sha256,
                    found=digest,
                )
            return partial.replace(self._path(digest))
        finally:
            partial.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    def _held(self, digest: str) -> Path | None:
        path = self._path(digest)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        if found == path.name:
            return path
        # Damaged on disk; what is fetched next replaces it.
        return None
