"""Small files that decide whom to trust: read once, bounded, never waited for; written once, never replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

MAX_BYTES: Final = 64 * 1024
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class SmallFile(NamedTuple):
    """A file's bytes and its permission bits, those of the file that was opened and not of a link to it."""

    data: bytes
    mode: int


def read_small(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> SmallFile:
    """Read a regular file of at most ``limit`` bytes; a link is followed, a pipe or device is refused without blocking.

    Raises:
        OSError: It cannot be opened or read, is no regular file, or is larger; ``strerror`` says which.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:
        raise OSError(0, "no path") from error
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "no regular file")
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(0, f"more than {limit} bytes")
    return SmallFile(data, stat.S_IMODE(status.st_mode))


def write_once(path: Path, data: bytes, mode: int) -> None:
    """Write and fsync a file that must not exist, not even as a dangling link.

    Raises:
        OSError: It exists, or the disk refuses; nothing is left behind.
    """
    descriptor = os.open(path, _NEW, mode)
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor has no path
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise
