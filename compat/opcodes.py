"""Building blocks of pickles and torch zips, written by hand so that each can lie on purpose."""

from __future__ import annotations

import io
import struct
import zipfile

STOP = b"."
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
ODICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    """Return the opcode that pushes ``value``."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    """Return the opcode that pushes ``value``."""
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def counts(*values: int) -> bytes:
    """Return the opcodes that push a tuple of counts."""
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", numel: int = 6, kind: str = "FloatStorage") -> bytes:
    """Return the opcodes that push a reference to a storage record."""
    return (
        b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + number(numel) + b"tQ"
    )


def tensor(
    *, shape: bytes | None = None, stride: bytes | None = None, offset: bytes | None = None, of: bytes | None = None
) -> bytes:
    """Return the opcodes that push a tensor, by default (2, 3) float32."""
    parts = [
        storage() if of is None else of,
        number(0) if offset is None else offset,
        counts(2, 3) if shape is None else shape,
        counts(3, 1) if stride is None else stride,
    ]
    return TENSOR + b"(" + b"".join(parts) + b"\x89" + ODICT + b"tR"


def checkpoint(*, policy: bytes | None = None, config: bytes = b"}", more: bytes = b"") -> bytes:
    """Return the pickle of a checkpoint with one weight and a config."""
    state = b"}(" + text("w.weight") + (tensor() if policy is None else policy) + b"u"
    return b"\x80\x02}(" + text("policy_state_dict") + state + text("config") + config + more + b"u" + STOP


def plain(value: object) -> bytes:
    """Return the opcodes that push plain data."""
    if isinstance(value, dict):
        return b"}(" + b"".join(plain(key) + plain(item) for key, item in value.items()) + b"u"
    if isinstance(value, list | tuple):
        items = b"(" + b"".join(map(plain, value))
        return items + b"t" if isinstance(value, tuple) else b"]" + items + b"e"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    return {None: b"N", True: b"\x88", False: b"\x89"}[value] if value is None or type(value) is bool else number(value)


def legacy_head(magic: int = 0x1950A86A20F9469CFC6C, protocol: int = 1001, system: object = None) -> bytes:
    """Return the three pickles that begin a torch file of the time before 1.6."""
    machine = {"protocol_version": 1001, "little_endian": True} if system is None else system
    return b"".join(b"\x80\x02" + plain(value) + STOP for value in (magic, protocol, machine))


def legacy(
    pickle: bytes | None = None, *, head: bytes | None = None, keys: object = ("0",), blocks: bytes | None = None
) -> bytes:
    """Return a torch file of the time before 1.6, with one weight unless told otherwise."""
    stored = struct.pack("<q6f", 6, *range(6)) if blocks is None else blocks
    names = b"\x80\x02" + (plain(list(keys)) if isinstance(keys, tuple) else plain(keys)) + STOP
    top = checkpoint(policy=tensor(of=old_storage())) if pickle is None else pickle
    return (legacy_head() if head is None else head) + top + names + stored


def old_storage(view: bytes = b"N", **what: object) -> bytes:
    """Return the opcodes that push a storage reference as it was before 1.6: with a sixth field for a view."""
    return storage(**what)[:-2] + view + b"tQ"  # type: ignore[arg-type]  # the keywords of storage


def container(pickle: bytes, **records: bytes) -> bytes:
    """Return a zip as ``torch.save`` writes it, around a pickle and the records it needs."""
    content = {"data.pkl": pickle, "byteorder": b"little", "data/0": struct.pack("<6f", *range(6)), "version": b"3\n"}
    content |= {name.replace("__", "/"): value for name, value in records.items()}
    return packed([(f"archive/{name}", value) for name, value in content.items()])


def packed(records: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of records in the order given; names may repeat."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, value in records:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            archive.writestr(entry, value)
    return target.getvalue()
