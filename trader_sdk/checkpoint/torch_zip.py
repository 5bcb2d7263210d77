"""A torch checkpoint from its zip container, read without torch."""

from __future__ import annotations

from trader_sdk.checkpoint.contents import Contents, build_contents
from trader_sdk.checkpoint.faults import too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_PICKLE_BYTES
from trader_sdk.checkpoint.pickle_reader import load_pickle
from trader_sdk.checkpoint.zip_reader import Archive, open_zip

_FORMAT_VERSIONS = frozenset("123456789")


def read_torch_zip(data: memoryview, *, optimizer: bool = False) -> Contents:
    """Read every field of a torch checkpoint.

    Args:
        data: The whole file.
        optimizer: Also read the optimizer's tensors; otherwise they are checked and left as references.

    Raises:
        CheckpointError: E101, E102 or E107; see docs/reference/checkpoint-format.md.
    """
    archive = open_zip(data)
    _check_byte_order(archive)
    return build_contents(load_pickle(_pickle_of(archive)), _Records(archive), optimizer=optimizer)


class _Records:
    """Storages as records below ``data/``."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        # A record is checked once, however many tensors say that they lie in it.
        self._checked: dict[str, memoryview] = {}

    @property
    def held(self) -> int:
        return len(self._archive.data)

    def size(self, key: str) -> int | None:
        record = self._archive.records.get(f"data/{key}")
        return None if record is None else record.size

    def read(self, key: str) -> memoryview:
        if key not in self._checked:
            self._checked[key] = self._archive.read(f"data/{key}")
        return self._checked[key]


def _pickle_of(archive: Archive) -> bytes:
    record = archive.records["data.pkl"]
    if record.size > MAX_PICKLE_BYTES:
        raise too_large("the pickle is too long", where="data.pkl", expected=MAX_PICKLE_BYTES, found=record.size)
    return bytes(archive.read("data.pkl"))


def _check_byte_order(archive: Archive) -> None:
    if "byteorder" in archive.records:
        order = bytes(archive.read("byteorder"))
        if order != b"little":
            raise unreadable("the weights are in another byte order", where="byteorder", found=repr(order[:16]))
    version = bytes(archive.read("version")).strip().decode("ascii", "replace")
    if version not in _FORMAT_VERSIONS:
        raise unreadable("torch's archive version is unknown", where="version", found=version[:16])
