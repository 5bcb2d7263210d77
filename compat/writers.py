"""Writes checkpoints in the layouts of older torch releases, byte for byte where a newer torch no longer can."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_RECORDS_OF_1_6 = ("data.pkl", "version")
_FLAGS = 0x0808  # UTF-8 names; sizes and CRC follow the data
_ALIGNMENT = 64


def protocol_4(checkpoint: Any, path: Path) -> None:
    """Save with pickle protocol 4."""
    torch.save(checkpoint, path, pickle_protocol=4)


def before_zip(checkpoint: Any, path: Path) -> None:
    """Save in the layout before torch 1.6: five pickles, then the storages."""
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


def before_zip_protocol_4(checkpoint: Any, path: Path) -> None:
    """Save in the layout before torch 1.6 with pickle protocol 4."""
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False, pickle_protocol=4)


def records_of_1_6(checkpoint: Any, path: Path) -> None:
    """Save the records that torch 1.6 to 2.0 wrote: no byteorder, alignment, format version or serialization id."""
    torch.save(checkpoint, path)
    with zipfile.ZipFile(path) as new:
        records = {name.partition("/")[2]: new.read(name) for name in new.namelist()}
    kept = {name: body for name, body in records.items() if name in _RECORDS_OF_1_6 or name.startswith("data/")}
    path.write_bytes(torch_zip({f"archive/{name}": body for name, body in kept.items()}))


def torch_zip(records: Mapping[str, bytes]) -> bytes:
    """Return the zip that torch's own writer makes of records; a test rebuilds a file of torch's from its records."""
    out, directory = bytearray(), bytearray()
    for name, body in records.items():
        raw, offset, measured = name.encode(), len(out), (zlib.crc32(body), len(body), len(body))
        padding = -(offset + 30 + len(raw) + 4) % _ALIGNMENT
        out += struct.pack("<4s5HIII2H", b"PK\x03\x04", 0, _FLAGS, 0, 0, 0, 0, 0, 0, len(raw), padding + 4)
        out += raw + struct.pack("<2sH", b"FB", padding) + b"Z" * padding + body
        out += struct.pack("<4sIII", b"PK\x07\x08", *measured)
        central = (b"PK\x01\x02", 0, 0, _FLAGS, 0, 0, 0, *measured, len(raw), 0, 0, 0, 0, 0, offset)
        directory += struct.pack("<4s6HIII5HII", *central) + raw
    return bytes(out + directory + _end_records(len(records), len(directory), len(out)))


def _end_records(count: int, size: int, offset: int) -> bytes:
    end64 = struct.pack("<4sQ2HIIQQQQ", b"PK\x06\x06", 44, 0x031E, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + size, 1)
    return end64 + locator + struct.pack("<4s4HIIH", b"PK\x05\x06", 0, 0, count, count, size, offset, 0)
