"""The demo archive: models that ``scripts/make_demo.py`` trained, with the verdicts they honestly got."""

from __future__ import annotations

import os
import shutil
from importlib.resources import files
from pathlib import Path

from trader_sdk.contract.errors import StorageError


def demo_archive_path() -> Path:
    """Return the packaged archive; it is read, never written: runs work on :func:`copy_working_archive`."""
    return Path(str(files("trader_sdk.demo"))) / "archive"


def copy_working_archive(dest: Path | str) -> Path:
    """Copy the packaged archive to ``dest``, unless it is there already.

    Args:
        dest: Folder of the working copy; overrides are written into it and survive the next call.

    Returns:
        ``dest``. It appears whole or not at all.

    Raises:
        StorageError: The copy cannot be written.
    """
    target = Path(dest)
    if target.exists():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(demo_archive_path(), partial)
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if target.exists():  # another process was faster; its copy is as good
            return target
        raise StorageError(
            "STORAGE", "cannot copy the demo archive", where=str(target), found=_reason(error)
        ) from error
    return target


def _reason(error: OSError) -> str:
    # copytree collects the failure of every file in one error; the first says it all.
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1]).split(":")[0]
    return error.strerror or str(error)
