"""Tensors and fields that lie, and files that are something else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from hostile_case import Hostile, in_zip
from opcodes import TENSOR, checkpoint, container, counts, number, packed, storage, tensor, text


def tensors() -> Iterator[Hostile]:
    """Yield tensors whose shapes, strides, storages or values lie."""
    policies = {
        "negative-stride": tensor(stride=counts(-3, 1)),
        "zero-stride": tensor(stride=counts(0, 1)),
        "overlap": tensor(stride=counts(1, 1)),
        "beyond": tensor(shape=counts(3, 3)),
        "offset": tensor(offset=number(1)),
        "offset-negative": tensor(offset=number(-1)),
        "offset-huge": tensor(offset=number(1 << 62)),
        "offset-bool": tensor(offset=b"\x88"),
        "shape-of-float": tensor(shape=b"(G" + struct.pack(">d", 2.0) + number(3) + b"t"),
        "shape-of-bool": tensor(shape=b"(\x88" + number(3) + b"t"),
        "shape-list": tensor(shape=b"](" + number(2) + number(3) + b"e"),
        "shape-stride-lengths": tensor(stride=counts(1)),
        "storage-too-small": tensor(of=storage(numel=5), shape=counts(5), stride=counts(1)),
        "storage-too-large": tensor(of=storage(numel=7)),
        "storage-other-type": tensor(of=storage(kind="DoubleStorage")),
        "storage-complex": tensor(of=storage(kind="ComplexFloatStorage")),
        "storage-missing": tensor(of=storage(key="9")),
        "storage-key-path": tensor(of=storage(key="../version")),
        "storage-bool": tensor(
            of=b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"\x88tQ"
        ),
        "no-storage": tensor(of=b"N"),
        "hooks": TENSOR + b"(" + storage() + number(0) + counts(2, 3) + counts(3, 1) + b"\x89}K\x01K\x01stR",
        "arguments": TENSOR + b"(" + storage() + b"tR",
        "arguments-of-0.3": TENSOR.replace(b"_v2", b"") + b"(" + storage() + b"tR",
        "layout-unknown": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
        "parameter-of-nothing": b"ctorch._utils\n_rebuild_parameter\n(N\x89}tR",
    }  # fmt: skip
    for name, policy in policies.items():
        yield in_zip(f"tensor-{name}", checkpoint(policy=policy), "E101")
    deep = tensor(shape=counts(1, 1, 1, 2, 3), stride=counts(6, 6, 6, 3, 1))
    yield in_zip("tensor-five-dimensions", checkpoint(policy=deep), "E107")
    yield Hostile("tensor-nan", container(checkpoint(), data__0=struct.pack("<6f", *[float("nan")] * 6)), "E105")
    yield Hostile("tensor-infinite", container(checkpoint(), data__0=struct.pack("<6f", *[float("inf")] * 6)), "E105")
    yield Hostile("byteorder-big", container(checkpoint(), byteorder=b"big"), "E101")
    yield Hostile("version-unknown", container(checkpoint(), version=b"99\n"), "E101")
    optimizer = text("optimizer_state_dict") + b"}" + text("m") + tensor(of=storage(key="8")) + b"s"
    yield in_zip("optimizer-storage-missing", checkpoint(more=optimizer), "E101")


def schemas() -> Iterator[Hostile]:
    """Yield pickles that hold no checkpoint."""
    pickles = {
        "list": b"\x80\x02].",
        "none": b"\x80\x02N.",
        "module": b"\x80\x02cmylib\nNet\n)\x81}b.",
        "no-policy": b"\x80\x02}(" + text("config") + b"}u.",
        "policy-empty": b"\x80\x02}(" + text("policy_state_dict") + b"}u.",
        "policy-list": b"\x80\x02}(" + text("policy_state_dict") + b"]u.",
        "policy-of-numbers": checkpoint(policy=b"K\x01"),
        "policy-named-by-number": b"\x80\x02}(" + text("policy_state_dict") + b"}(K\x01" + tensor() + b"uu.",
        "field-named-by-number": checkpoint(more=b"K\x01N"),
        "storage-as-config": checkpoint(config=storage()),
    }
    for name, pickle in pickles.items():
        yield in_zip(f"schema-{name}", pickle, "E101")


def look_alikes() -> Iterator[Hostile]:
    """Yield files of other kinds."""
    contents = {
        "empty": b"",
        "zeros": b"\0" * 4096,
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "html": b"<!DOCTYPE html><html><body>Sign in</body></html>",
        "csv": b"date,open,high,low,close\n2020-01-01,1,1,1,1\n",
        "json": b'{"policy_state_dict": {}}',
        "gzip": b"\x1f\x8b" + b"\0" * 64,
        "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
        "legacy-torch": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\0" * 64,
        "torchscript": packed([("m/data.pkl", b"\x80\x02}."), ("m/constants.pkl", b""), ("m/code/m.py", b"")]),
        "stable-baselines3": packed([("data", b"{}"), ("policy.pth", b""), ("pytorch_variables.pth", b"")]),
        "npz": packed([("w.npy", b"\x93NUMPY")]),
        "jar": packed([("META-INF/MANIFEST.MF", b"")]),
        "one-byte": b"P",
        "tar": b"storages".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0"),
        "noise": zlib.compress(bytes(range(256)) * 4),
    }
    for name, content in contents.items():
        yield Hostile(f"look-alike-{name}", content, "E101")
