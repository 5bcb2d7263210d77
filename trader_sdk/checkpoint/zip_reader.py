"""The zip container of a torch checkpoint, read strictly.

Every byte outside padding is accounted for: the records follow each other from the first byte to the central
directory, which ends where the end records begin, which end where the file ends. Local and central headers agree.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4; the shape of real files in docs/reference/checkpoint-format.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from trader_sdk.checkpoint.faults import too_large, unreadable, unsafe
from trader_sdk.checkpoint.formats import name_zip
from trader_sdk.checkpoint.limits import MAX_INFLATED_BYTES, MAX_INFLATION, MAX_ZIP_ENTRIES, MIB

_LOCAL = struct.Struct("<4s5HIII2H")
_CENTRAL = struct.Struct("<4s6HIII5HII")
_END = struct.Struct("<4s4HIIH")
_END64 = struct.Struct("<4sQ2HIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")

_STORED, _DEFLATED = 0, 8
_DESCRIPTOR_FLAG = 0x0008
_ALLOWED_FLAGS = 0x0800 | _DESCRIPTOR_FLAG | 0x0006  # UTF-8 names, data descriptor, deflate level


class Record(NamedTuple):
    """One record: where its bytes lie, and what they must hash to."""

    name: str
    method: int
    crc: int
    start: int
    stored_size: int
    size: int


class Archive(NamedTuple):
    """Records by their name below the one root folder."""

    data: memoryview
    root: str
    records: Mapping[str, Record]

    def read(self, name: str) -> memoryview:
        """Return a record's bytes, a view where they are stored, after checking their CRC.

        Raises:
            CheckpointError: E101 if the record is absent, damaged, or not of its declared size.
        """
        record = self.records.get(name)
        if record is None:
            raise unreadable("a record is missing", where=f"{self.root}/{name}")
        content = self.data[record.start : record.start + record.stored_size]
        if record.method == _DEFLATED:
            content = memoryview(_inflate(content, record))
        found = zlib.crc32(content)
        if found != record.crc:
            raise unreadable(
                "a record's bytes are damaged",
                where=record.name,
                expected=f"CRC {record.crc:08x}",
                found=f"CRC {found:08x}",
                remedy="Fetch or copy the file again: what is here is not what was written.",
            )
        return content


class _End(NamedTuple):
    entries: int
    size: int
    offset: int
    at: int


class _Central(NamedTuple):
    name: bytes
    flags: int
    method: int
    crc: int
    stored_size: int
    size: int
    offset: int


def open_zip(data: memoryview) -> Archive:
    """Check the container and list its records, without reading their contents.

    Raises:
        CheckpointError: E101 for any disagreement, E102 for names that reach outside the archive, E107 for bombs.
    """
    end = _end_record(data)
    if end.entries > MAX_ZIP_ENTRIES:
        raise too_large("the zip has too many records", expected=f"<= {MAX_ZIP_ENTRIES}", found=end.entries)
    entries = _central_directory(data, end)
    if sum(entry.size for entry in entries) > MAX_INFLATED_BYTES:
        raise too_large("the zip inflates to too much", expected=f"<= {MAX_INFLATED_BYTES} B")
    records = _records(data, entries, end.offset)
    return _under_one_root(data, records)


def _end_record(data: memoryview) -> _End:
    at = len(data) - _END.size
    if at < 0:
        raise unreadable("the zip is cut short", where="end record")
    signature, disk, first_disk, here, entries, size, offset, comment = _END.unpack_from(data, at)
    if signature != b"PK\x05\x06" or comment:
        raise unreadable("the zip has no end record at its end: truncated, or followed by other bytes")
    if disk or first_disk or here != entries:
        raise unreadable("the zip spans several disks", where="end record")
    plain = _End(entries, size, offset, at)
    end = _zip64_end(data, plain)
    if end.offset + end.size != end.at:
        raise unreadable("the central directory does not end at the end record", where="end record")
    return end


def _zip64_end(data: memoryview, plain: _End) -> _End:
    at = plain.at - _LOCATOR.size
    if at < 0 or bytes(data[at : at + 4]) != b"PK\x06\x07":
        return plain
    _, disk, record_at, disks = _LOCATOR.unpack_from(data, at)
    if disk or disks != 1 or record_at + _END64.size != at:
        raise unreadable("the zip64 locator points elsewhere", where="zip64 locator")
    signature, length, _, _, disk, first_disk, here, entries, size, offset = _END64.unpack_from(data, record_at)
    if signature != b"PK\x06\x06" or length != _END64.size - 12 or disk or first_disk or here != entries:
        raise unreadable("the zip64 end record is damaged", where="zip64 end record")
    agreed = (
        plain.entries in (entries, 0xFFFF) and plain.size in (size, 0xFFFFFFFF) and plain.offset in (offset, 0xFFFFFFFF)
    )
    if not agreed:
        raise unreadable("the two end records disagree", where="zip64 end record")
    return _End(entries, size, offset, record_at)


def _central_directory(data: memoryview, end: _End) -> list[_Central]:
    entries, at = [], end.offset
    for _ in range(end.entries):
        if at + _CENTRAL.size > end.at:
            raise unreadable("the central directory is cut short", where=f"byte {at}")
        entry, at = _central_entry(data, at)
        entries.append(entry)
    if at != end.at:
        raise unreadable("the central directory holds more than its records", where=f"byte {at}")
    return entries


def _central_entry(data: memoryview, at: int) -> tuple[_Central, int]:
    fields = _CENTRAL.unpack_from(data, at)
    signature, _, _, flags, method, _, _, crc, stored, size, names, extra, comment, disk, _, _, offset = fields
    if signature != b"PK\x01\x02" or comment or disk:
        raise unreadable("a central header is damaged", where=f"byte {at}")
    if flags & ~_ALLOWED_FLAGS or method not in (_STORED, _DEFLATED):
        raise unreadable("a record is encrypted or packed in another way", where=f"byte {at}", found=hex(flags))
    name_at = at + _CENTRAL.size
    entry = _Central(bytes(data[name_at : name_at + names]), flags, method, crc, stored, size, offset)
    _check_sizes(entry)
    return entry, int(name_at + names + extra)


def _check_sizes(entry: _Central) -> None:
    if entry.method == _STORED and entry.stored_size != entry.size:
        raise unreadable("a stored record has two sizes", where=repr(entry.name))
    if entry.size > MIB and entry.size > MAX_INFLATION * entry.stored_size:
        raise too_large(
            "a record inflates too much", where=repr(entry.name), expected=f"<= {MAX_INFLATION}x", found=entry.size
        )


def _records(data: memoryview, entries: list[_Central], directory: int) -> list[Record]:
    records, at = [], 0
    for entry in sorted(entries, key=lambda each: each.offset):
        if entry.offset != at:
            raise unreadable("records overlap or leave a gap", where=_printable(entry.name), expected=at)
        start = _local_header(data, entry, directory)
        records.append(Record(_text(entry.name), entry.method, entry.crc, start, entry.stored_size, entry.size))
        at = _after_descriptor(data, entry, start + entry.stored_size, directory)
    if at != directory:
        raise unreadable("bytes between the last record and the central directory", where=f"byte {at}")
    return records


def _local_header(data: memoryview, entry: _Central, directory: int) -> int:
    where = _printable(entry.name)
    if entry.offset + _LOCAL.size > directory:
        raise unreadable("a local header is cut short", where=where)
    signature, _, flags, method, _, _, crc, stored, size, names, extra = _LOCAL.unpack_from(data, entry.offset)
    name_at = entry.offset + _LOCAL.size
    name = bytes(data[name_at : name_at + names])
    if (signature, flags, method, name) != (b"PK\x03\x04", entry.flags, entry.method, entry.name):
        raise unreadable("local and central header disagree", where=where)
    measured = (crc, stored, size)
    deferred = entry.flags & _DESCRIPTOR_FLAG and measured == (0, 0, 0)
    if not deferred and measured != (entry.crc, entry.stored_size, entry.size):
        raise unreadable("local and central header disagree about a record's size or CRC", where=where)
    start = int(name_at + names + extra)
    if start + entry.stored_size > directory:
        raise unreadable("a record reaches into the central directory", where=where)
    return start


def _after_descriptor(data: memoryview, entry: _Central, at: int, directory: int) -> int:
    if not entry.flags & _DESCRIPTOR_FLAG:
        return at
    for form in ("<4sIII", "<4sIQQ"):
        end = at + struct.calcsize(form)
        if end <= directory:
            descriptor = struct.unpack_from(form, data, at)
            if descriptor == (b"PK\x07\x08", entry.crc, entry.stored_size, entry.size):
                return end
    raise unreadable("a record's data descriptor disagrees with its header", where=_printable(entry.name))


def _under_one_root(data: memoryview, records: list[Record]) -> Archive:
    misfit = name_zip(record.name for record in records)
    if misfit is not None:
        raise misfit
    names: dict[str, Record] = {}
    roots, folded = set(), set()
    for record in records:
        root, _, name = record.name.partition("/")
        roots.add(root)
        names[name] = record
        folded.add(record.name.casefold())
    if len(folded) != len(records):
        raise unreadable("two records have the same name")
    if len(roots) != 1 or "" in names:
        raise unreadable("the records do not lie under one root folder", found=", ".join(sorted(roots))[:120])
    return Archive(data, roots.pop(), MappingProxyType(names))


def _text(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise unreadable("a record's name is no UTF-8", where=_printable(raw)) from error
    parts = name.split("/")
    if "\\" in name or ":" in parts[0] or ".." in parts or name.startswith("/"):
        raise unsafe("a record's name reaches outside the archive", where=_printable(raw))
    if not name.isprintable() or "" in parts or "." in parts:
        raise unreadable("a record's name is no plain path", where=_printable(raw))
    return name


def _printable(raw: bytes) -> str:
    return raw[:120].decode("utf-8", "backslashreplace")


def _inflate(content: memoryview, record: Record) -> bytes:
    stream = zlib.decompressobj(-15)
    try:
        # One byte more than declared is asked for, so that a record which holds more is seen.
        plain = stream.decompress(content, record.size + 1)
    except zlib.error as error:
        raise unreadable("a packed record is damaged", where=record.name) from error
    if len(plain) != record.size or not stream.eof or stream.unused_data or stream.unconsumed_tail:
        raise unreadable("a packed record is not of its declared size", where=record.name, expected=record.size)
    return plain
