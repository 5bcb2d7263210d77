"""The other two layouts, lying: torch before 1.6, and safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from hostile_case import Hostile, in_zip
from opcodes import checkpoint, container, counts, legacy, legacy_head, old_storage, tensor, text

_WEIGHTS = struct.pack("<6f", *range(6))
_ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def controls() -> Iterator[Hostile]:
    """Yield the good files from which the cases differ."""
    yield in_zip("good-zip", checkpoint(), None)
    yield Hostile("good-old-layout", legacy(), None)
    yield Hostile("good-safetensors", _file({"w": _ENTRY}), None)


def old_layout(marker: Path) -> Iterator[Hostile]:
    """Yield torch files of the time before 1.6 that lie."""
    good, head = legacy(), legacy_head()
    run = b"cos\nsystem\n" + text(f"touch {marker}") + b"\x85R"
    policy = checkpoint(policy=tensor(of=old_storage()))
    pickles = {
        "call-in-config": (legacy(checkpoint(config=run)), "E102"),
        "call-as-system": (legacy(head=head[: head.rindex(b"\x80\x02")] + b"\x80\x02" + run + b"."), "E102"),
        "call-as-keys": (head + policy + b"\x80\x02" + run + b"." + good[-56:], "E102"),
        "module-with-source": (
            legacy(b"\x80\x02(" + text("module") + b"cmylib\nNet\n" + text("net.py") + text("exec") + b"tQ."), "E101"),
        "view-of-a-storage": (
            legacy(checkpoint(policy=tensor(of=old_storage(b"(" + text("1") + counts(0, 6)[1:])))), "E101"),
        "long-pickle": (legacy(checkpoint(config=b"](" + text("x" * 4000) * 1100 + b"e")), "E107"),
        "opcodes": (legacy(checkpoint(config=b"](" + b"N" * 200_001 + b"e")), "E107"),
        "magic-only": (head[: head.index(b".") + 1], "E101"),
        "head-only": (head, "E101"),
        "no-keys": (head + policy, "E101"),
        "magic-larger": (legacy(head=legacy_head().replace(b"\x8a\x0al", b"\x8a\x0am", 1)), "E101"),
        "protocol-1002": (legacy(head=legacy_head(protocol=1002)), "E101"),
        "big-endian": (legacy(head=legacy_head(system={"little_endian": False})), "E101"),
        "no-byte-order": (legacy(head=legacy_head(system={})), "E101"),
        "byte-order-of-one": (legacy(head=legacy_head(system={"little_endian": 1})), "E101"),
        "system-list": (legacy(head=legacy_head(system=[1])), "E101"),
    }  # fmt: skip
    storages = {
        "keys-of-numbers": legacy(keys=(0,)),
        "keys-none": legacy(keys={}),
        "keys-missing": legacy(keys=()),
        "keys-twice": legacy(keys=("0", "0"), blocks=struct.pack("<q", 6) + _WEIGHTS + struct.pack("<q", 6) + _WEIGHTS),
        "keys-foreign": legacy(keys=("1",)),
        "keys-more": legacy(keys=("0", "1"), blocks=struct.pack("<q", 6) + _WEIGHTS + struct.pack("<q", 0)),
        "count-other": legacy(blocks=struct.pack("<q", 5) + _WEIGHTS),
        "count-negative": legacy(blocks=struct.pack("<q", -1) + _WEIGHTS),
        "count-huge": legacy(blocks=struct.pack("<q", 1 << 62) + _WEIGHTS),
        "cut": good[:-1],
        "no-storages": legacy(blocks=b""),
        "suffix": good + b"\0",
        "prefix": b"\n" + good,
        "in-a-zip": container(legacy()),
        "two-types": legacy(_two_types()),
    }
    yield from (Hostile(f"old-{name}", content, code) for name, (content, code) in pickles.items())
    yield from (Hostile(f"old-{name}", content, "E101") for name, content in storages.items())
    nan = struct.pack("<q6f", 6, *[float("nan")] * 6)
    yield Hostile("old-nan", legacy(blocks=nan), "E105")
    wide = checkpoint(policy=tensor(of=old_storage(numel=1 << 40), shape=counts(1 << 20, 1 << 20)))
    yield Hostile("old-huge-tensor", legacy(wide), "E107")
    yield Hostile("old-huge-storage", legacy(checkpoint(policy=tensor(of=old_storage(numel=1 << 62)))), "E101")


def _two_types() -> bytes:
    # One storage that is named as float32 and as float64: the second reading would be of other bytes.
    doubles = tensor(of=old_storage(kind="DoubleStorage"))
    return checkpoint(policy=tensor(of=old_storage()) + text("v") + doubles)


def _file(header: object, body: bytes = _WEIGHTS, *, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


def _entry(**changes: object) -> Mapping[str, object]:
    return {"w": {**_ENTRY, **changes}}


def safetensors() -> Iterator[Hostile]:
    """Yield safetensors files that lie."""
    one = json.dumps(_ENTRY)
    headers: dict[str, object] = {
        "same-key-twice": f'{{"w":{one},"w":{one}}}'.encode(),
        "nan-in-header": b'{"w":NaN}',
        "byte-order-mark": b'{"\xef\xbb\xbf":1}'[:2] + b"\xff" + b'":1}',
        "not-closed": b'{"w":',
        "list": b"{}"[:1] + b"]",
        "no-tensors": {},
        "only-metadata": {"__metadata__": {"a": "b"}},
        "metadata-of-numbers": {"__metadata__": {"a": 1}, "w": _ENTRY},
        "metadata-list": {"__metadata__": [], "w": _ENTRY},
        "metadata-broken": {"__metadata__": {"trader_sdk": "{"}, "w": _ENTRY},
        "metadata-twice": {"__metadata__": {"trader_sdk": '{"a":1,"a":1}'}, "w": _ENTRY},
        "metadata-policy": {"__metadata__": {"trader_sdk": '{"policy_state_dict":{}}'}, "w": _ENTRY},
        "metadata-probe": {"__metadata__": {"trader_sdk": '{"golden_probe":{}}'}, "w": _ENTRY},
        "entry-list": {"w": []},
        "entry-more": {"w": {**_ENTRY, "strides": [3, 1]}},
        "entry-less": {"w": {"dtype": "F32", "shape": [2, 3]}},
        "dtype-integer": _entry(dtype="I32"),
        "dtype-of-number": _entry(dtype=32),
        "dtype-list": _entry(dtype=["F32"]),
        "shape-negative": _entry(shape=[-2, -3]),
        "shape-zero": _entry(shape=[0, 3]),
        "shape-float": _entry(shape=[2.0, 3]),
        "shape-bool": _entry(shape=[True, 6]),
        "shape-text": _entry(shape="23"),
        "shape-other": _entry(shape=[2, 4]),
        "offsets-swapped": _entry(data_offsets=[24, 0]),
        "offsets-three": _entry(data_offsets=[0, 24, 24]),
        "offsets-beyond": _entry(data_offsets=[0, 1 << 40]),
        "offsets-negative": _entry(data_offsets=[-24, 0]),
        "offsets-float": _entry(data_offsets=[0.0, 24.0]),
        "gap": _entry(data_offsets=[4, 28]),
        "overlap": {"w": _ENTRY, "v": _ENTRY},
        "only-a-probe": {"golden_probe.logits": _ENTRY},
    }
    yield from (Hostile(f"safetensors-{name}", _file(header), "E101") for name, header in headers.items())
    deep = b'{"w":' * 40 + b"1" + b"}" * 40
    yield Hostile("safetensors-deep", _file(deep), "E101")
    yield Hostile("safetensors-suffix", _file(_entry(), _WEIGHTS + b"\0"), "E101")
    yield Hostile("safetensors-cut", _file(_entry(), _WEIGHTS[:-1]), "E101")
    yield Hostile("safetensors-header-length", _file(_entry(), length=1 << 20), "E101")
    yield Hostile("safetensors-header-length-huge", _file(_entry(), length=1 << 60), "E101")
    yield Hostile("safetensors-nan", _file(_entry(), struct.pack("<6f", *[float("nan")] * 6)), "E105")
    yield Hostile("safetensors-five-dimensions", _file(_entry(shape=[1, 1, 1, 2, 3])), "E107")
    yield Hostile("safetensors-huge", _file(_entry(shape=[1 << 20, 1 << 20], data_offsets=[0, 1 << 42])), "E107")
    half = {"dtype": "F32", "shape": [40_000_000], "data_offsets": [0, 160_000_000]}
    yield Hostile("safetensors-two-halves", _file({"w": half, "v": half}), "E107")
    many = {
        f"w{index}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * index, 4 * index + 4]} for index in range(4097)
    }
    yield Hostile("safetensors-many", _file(many, b"\0" * 4 * 4097), "E107")
