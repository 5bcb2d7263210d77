"""Zip containers whose headers, names, sizes or order lie."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator

from hostile_case import Hostile
from opcodes import checkpoint, container, packed


def _edited(content: bytes, edit: Callable[[bytearray], None]) -> bytes:
    data = bytearray(content)
    edit(data)
    return bytes(data)


def _poke(signature: bytes, offset: int, value: bytes) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        at = data.index(signature) + offset
        data[at : at + len(value)] = value

    return edit


def zips() -> Iterator[Hostile]:
    """Yield zips that disagree with themselves."""
    good = container(checkpoint())
    local, central, end = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
    edits = {
        "encrypted": [(local, 6, b"\x01"), (central, 8, b"\x01")],
        "method": [(local, 8, b"\x63"), (central, 10, b"\x63")],
        "local-method": [(local, 8, b"\x08")],
        "local-name": [(local, 30, b"X")],
        "local-crc": [(local, 14, b"\0\0\0\1")],
        "local-size": [(local, 22, b"\xff")],
        "central-crc": [(central, 16, b"\0\0\0\1")],
        "central-offset": [(central, 42, b"\x01")],
        "central-size": [(central, 24, b"\xff\xff\xff\x0f")],
        "central-comment": [(central, 32, b"\x01")],
        "central-extra": [(central, 30, b"\xff\xff")],
        "disk": [(central, 34, b"\x01")],
        "end-count": [(end, 10, b"\x09")],
        "end-offset": [(end, 16, b"\x09")],
        "end-comment": [(end, 20, b"\x01")],
        "end-disk": [(end, 4, b"\x01")],
    }
    for name, pokes in edits.items():
        content = good
        for poke in pokes:
            content = _edited(content, _poke(*poke))
        yield Hostile(f"zip-{name}", content, "E101")
    yield Hostile("zip-prefix", b"#!/bin/sh\n" + good, "E101")
    yield Hostile("zip-prefix-of-a-zip", good + good, "E101")
    yield Hostile("zip-suffix", good + b"\0", "E101")
    yield Hostile("zip-weight-bit", good.replace(struct.pack("<f", 5), struct.pack("<f", 5.5)), "E101")
    records = [("a/data.pkl", checkpoint()), ("a/data/0", b"\0" * 24), ("a/version", b"3")]
    yield Hostile("zip-same-name", packed([*records, ("a/data/0", b"\1" * 24)]), "E101")
    yield Hostile("zip-same-name-folded", packed([*records, ("a/DATA/0", b"\1" * 24)]), "E101")
    yield Hostile("zip-two-roots", packed([*records, ("b/data/1", b"")]), "E101")
    yield Hostile("zip-no-version", packed(records[:2]), "E101")
    yield Hostile("zip-folder", packed([*records, ("a/code/", b"")]), "E101")
    for name in ("../a", "/etc/a", "a/../../b", "C:/a", "a\\..\\b"):
        yield Hostile(f"zip-path-{name}", packed([*records, (name, b"")]), "E102")
    yield Hostile("zip-name-control", packed([*records, ("a/\x1b[2J", b"")]), "E101")
    yield Hostile("zip-name-not-utf8", _edited(good, _everywhere(b"byteorder", b"byte\xffrder")), "E101")
    yield Hostile("zip-record-behind-the-end", _record_behind_the_end(), "E101")
    yield Hostile("zip-bytes-before-directory", _gap_before_directory(), "E101")
    yield Hostile("zip-deflate-short", _deflate_lies(-1), "E101")
    yield Hostile("zip-deflate-long", _deflate_lies(1), "E101")
    yield Hostile("zip-overlap", _overlapping(), "E101")
    yield Hostile("zip-deflate-damaged", _deflate_damaged(), "E101")
    yield Hostile("zip-empty", packed([]), "E101")


def _everywhere(old: bytes, new: bytes) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[:] = bytes(data).replace(old, new)

    return edit


def _record_behind_the_end() -> bytes:
    # One more central entry, whose local header would lie where the directory begins.
    good = container(checkpoint())
    at, end = good.index(b"PK\x01\x02"), good.index(b"PK\x05\x06")
    extra = bytearray(good[at : good.index(b"PK\x01\x02", at + 4)].replace(b"data.pkl", b"pkl.data"))
    extra[42:46] = struct.pack("<I", at)
    count, size = struct.unpack_from("<HxxI", good, end + 8)
    trailer = bytearray(good[end:])
    trailer[8:16] = struct.pack("<HHI", count + 1, count + 1, size + len(extra))
    return good[:end] + bytes(extra) + bytes(trailer)


def _gap_before_directory() -> bytes:
    good = container(checkpoint())
    at = good.index(b"PK\x01\x02")
    end = bytearray(good[at:])
    offset = len(end) - 6
    end[offset : offset + 4] = struct.pack("<I", at + 7)
    return good[:at] + b"payload" + bytes(end)


def _deflate_lies(difference: int) -> bytes:
    # The declared size of the pickle differs from what its stream holds, in both headers.
    pickle = checkpoint()
    good = packed([("a/data.pkl", pickle), ("a/data/0", b"\0" * 24), ("a/version", b"3")], zipfile.ZIP_DEFLATED)
    lie = struct.pack("<I", len(pickle) + difference)
    return _edited(_edited(good, _poke(b"PK\x03\x04", 22, lie)), _poke(b"PK\x01\x02", 24, lie))


def _overlapping() -> bytes:
    # Two names for one record: the second central entry points at the first record.
    good = container(checkpoint())
    first = good.index(b"PK\x01\x02")
    second = good.index(b"PK\x01\x02", first + 4)
    return _edited(good, lambda data: data.__setitem__(slice(second + 42, second + 46), b"\0\0\0\0"))


def _deflate_damaged() -> bytes:
    good = packed([("a/data.pkl", checkpoint()), ("a/data/0", b"\0" * 24), ("a/version", b"3")], zipfile.ZIP_DEFLATED)
    at = 30 + len("a/data.pkl")
    return _edited(good, lambda data: data.__setitem__(at, data[at] ^ 0xFF))
