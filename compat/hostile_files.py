"""What a path may lead to beside a file of bytes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile_case import Hostile


def files() -> Iterator[Hostile]:
    """Yield paths that lead to no readable regular file, or to one of another size than a checkpoint's."""
    makers: dict[str, tuple[Callable[[Path], None], str]] = {
        "missing": (lambda _: None, "E101"),
        "directory": (lambda path: path.mkdir(), "E101"),
        "pipe": (lambda path: os.mkfifo(path), "E101"),
        "socket": (_socket, "E101"),
        "null-device": (lambda path: path.symlink_to("/dev/null"), "E101"),
        "endless-device": (lambda path: path.symlink_to("/dev/zero"), "E101"),
        "link-to-itself": (lambda path: path.symlink_to(path.name), "E101"),
        "link-to-nothing": (lambda path: path.symlink_to("absent"), "E101"),
        "below-a-file": (_below_a_file, "E101"),
        "hole-of-600-mib": (lambda path: _hole(path, 600 << 20), "E107"),
        "hole-of-1-tib": (lambda path: _hole(path, 1 << 40), "E107"),
        "hole-of-20-mib": (lambda path: _hole(path, 20 << 20), "E101"),
    }
    yield from (Hostile(f"file-{name}", make, code) for name, (make, code) in makers.items())


def _socket(path: Path) -> None:
    # The name of a socket in the file system is limited to about 100 bytes; a relative one is short.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def _below_a_file(path: Path) -> None:
    target = path.with_name("plain")
    target.write_bytes(b"x")
    path.symlink_to("plain/model.pt")


def _hole(path: Path, size: int) -> None:
    with path.open("wb") as target:
        target.truncate(size)
