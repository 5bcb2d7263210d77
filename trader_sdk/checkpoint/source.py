"""A checkpoint's bytes: opened once, read once, hashed once."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from trader_sdk.checkpoint.faults import too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_FILE_BYTES
from trader_sdk.contract.errors import CheckpointError


class Content(NamedTuple):
    """A file's bytes, and what is known of them.

    Attributes:
        data: The bytes, read-only.
        sha256: ``sha256:<hex>`` of the bytes.
        mapped: Whether they are the file's own pages instead of a private copy.
    """

    data: memoryview
    sha256: str
    mapped: bool = False


class Source(NamedTuple):
    """A file's bytes and their digest.

    Attributes:
        name: The path as the caller wrote it, for messages only: the file is never opened again.
        data: The bytes, writable by nobody: a private copy, or the mapped file of an archive's own artefact.
        sha256: ``sha256:<hex>`` of the bytes.
        mapped: Whether the bytes are mapped.
    """

    name: str
    data: memoryview
    sha256: str
    mapped: bool = False


Taker = Callable[[int, os.stat_result, str], Content]
"""Takes the bytes of an open file, given its descriptor, its status and its name for messages."""


def read_source(path: str | os.PathLike[str], expected_sha256: str | None = None) -> Source:
    """Read a regular file into a private buffer and hash it.

    Args:
        path: File to read. Symbolic links are followed, a FIFO or device is refused without blocking.
        expected_sha256: ``sha256:<hex>`` or bare hex; compared before anything is parsed.

    Returns:
        The bytes and their digest.

    Raises:
        CheckpointError: E101 unreadable, empty or changed while read; E103 another digest; E107 above 512 MiB.
    """
    return take_source(os.fspath(path), expected_sha256, read_privately)


def take_source(name: str, expected_sha256: str | None, take: Taker) -> Source:
    """Open a file once, let ``take`` take its bytes, and compare their digest; errors as :func:`read_source`."""
    wanted = None if expected_sha256 is None else normalise_digest(expected_sha256)
    content = _open_and_take(name, take)
    if wanted is not None and wanted != content.sha256:
        raise CheckpointError(
            "E103", "the file's digest is not the expected one", where=name, expected=wanted, found=content.sha256
        )
    return Source(name, *content)


def normalise_digest(text: str) -> str:
    """Return ``sha256:<hex>`` in lower case from a digest with or without its prefix.

    Raises:
        CheckpointError: E103 if the text is no sha256.

    Example:
        >>> normalise_digest("A" * 64) == "sha256:" + "a" * 64
        True
    """
    digits = text.lower().removeprefix("sha256:")
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise CheckpointError(
            "E103", "the expected digest is no sha256", expected="sha256: and 64 hex digits", found=text[:80]
        )
    return f"sha256:{digits}"


def _open_and_take(name: str, take: Taker) -> Content:
    try:
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        remedy = "Check the path and who may read it."
        raise unreadable("the file cannot be opened", where=name, found=_reason(error), remedy=remedy) from error
    try:
        before = _regular(os.fstat(descriptor), name)
        content = take(descriptor, before, name)
        after = os.fstat(descriptor)
    except OSError as error:
        raise unreadable("the file cannot be read", where=name, found=_reason(error)) from error
    finally:
        os.close(descriptor)
    if _identity(before) != _identity(after):
        raise unreadable("the file changed while it was read", where=name)
    return content


def _reason(error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return str(error) if number is None else f"{errno.errorcode.get(number, number)} {os.strerror(number)}"


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _regular(status: os.stat_result, name: str) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        remedy = "Name the file itself."
        raise unreadable("this is no regular file", where=name, found=kind, remedy=remedy)
    if status.st_size == 0:
        remedy = "Fetch or save the file again: nothing of it arrived."
        raise unreadable("the file is empty", where=name, found="0 bytes", remedy=remedy)
    if status.st_size > MAX_FILE_BYTES:
        raise too_large("the file is too large", where=name, expected=f"<= {MAX_FILE_BYTES} B", found=status.st_size)
    return status


def read_privately(descriptor: int, status: os.stat_result, name: str) -> Content:
    """Read an open file into memory of its own and hash it; errors as :func:`read_source`."""
    # Read in one call, so that the bytes are written once. Not into an array: numpy asks for huge pages, and where
    # memory is fragmented the system looks for them longer than the hash takes.
    size = status.st_size
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise unreadable("the file shrank while it was read", where=name)
        data += more
    if os.read(descriptor, 1):
        raise unreadable("the file grew while it was read", where=name, expected=size)
    return Content(memoryview(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
