"""The run's folder: claimed before the run, written to with typed errors."""

from __future__ import annotations

from pathlib import Path

from trader_sdk.contract.errors import StorageError, UsageError


def claim(out: Path) -> None:
    """Create the folder of a run, and its ``ckpt``.

    Raises:
        StorageError: The disk refused.
        UsageError: It holds something already.
    """
    try:
        if out.exists() and any(out.iterdir()):
            raise UsageError("USAGE", "the run's folder is not empty", where=str(out), remedy="Choose another --out.")
        (out / "ckpt").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError("STORAGE", "cannot create the run's folder", where=str(out), found=error) from error


def write(path: Path, text: str) -> None:
    """Write a text file of a run.

    Raises:
        StorageError: The disk refused.
    """
    write_bytes(path, (text + "\n").encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of a run.

    Raises:
        StorageError: The disk refused.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError("STORAGE", "cannot write", where=str(path), found=error) from error
