"""Mapping instead of copying, for the artefacts of an archive alone: many models, one copy in the machine's memory."""

from __future__ import annotations

import hashlib
import mmap
import os
from typing import Final

from trader_sdk.checkpoint.source import Content, Source, normalise_digest, read_privately, take_source

_SUFFIX: Final = ".safetensors"
_WRITABLE_BY_OTHERS: Final = 0o022


def map_own_artefact(path: str | os.PathLike[str], expected_sha256: str) -> Source:
    """Map a policy artefact that an archive wrote, and hash what is mapped before anybody parses it.

    The weights of a mapped model are the file's own pages: they are read-only to this process, they are shared by
    every process that maps the file, and the system drops them under pressure and reads them again. That last point
    is the race: who can write to the file *after* its digest was checked changes weights that were verified, or, by
    cutting the file short, kills the process that touches them. A private copy cannot change, so everything else is
    copied, and a file is mapped only if

    - its name is its own digest, which is how an archive names an artefact and nobody names a download,
    - it belongs to this process's user or to root, and nobody else may write to it.

    Whoever can still change it can also change the archive, its verdicts and this program. An archive itself never
    writes to a file that it has published, replaces none, and may unlink one safely: a map outlives the name.

    Args:
        path: ``<hex digits of its sha256>.safetensors``.
        expected_sha256: From the verdict; ``sha256:<hex>`` or bare hex.

    Returns:
        The mapped bytes, or a private copy of a file that must not be mapped; ``mapped`` says which.

    Raises:
        CheckpointError: As :func:`~trader_sdk.checkpoint.source.read_source`.
    """
    name = os.fspath(path)
    own_name = normalise_digest(expected_sha256).removeprefix("sha256:") + _SUFFIX

    def take(descriptor: int, status: os.stat_result, shown: str) -> Content:
        if os.path.basename(name) != own_name or not _is_ours_alone(status):  # noqa: PTH119 - a name may be any text
            return read_privately(descriptor, status, shown)
        data = memoryview(mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ))
        return Content(data, f"sha256:{hashlib.sha256(data).hexdigest()}", mapped=True)

    return take_source(name, expected_sha256, take)


def _is_ours_alone(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & _WRITABLE_BY_OTHERS
