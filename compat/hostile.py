"""Generates hostile, broken and lying checkpoints, each with the one code it must be refused with.

Nothing here is stored: the corpus is made when it is asked for. The only effect that any payload would have, were it
run, is to create the marker file.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opcodes import TENSOR, checkpoint, container, counts, number, packed, storage, tensor, text


@dataclass(frozen=True)
class Hostile:
    """One case: its bytes and the code of its refusal."""

    name: str
    content: bytes
    code: str


def corpus(marker: Path) -> Iterator[Hostile]:
    """Yield every case; payloads would touch ``marker``."""
    yield from _payloads(marker)
    yield from _pickles()
    yield from _bombs()
    yield from _zips()
    yield from _tensors()
    yield from _schemas()
    yield from _look_alikes()


def _callables(marker: Path) -> Iterator[tuple[str, str, bytes]]:
    touch = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    for module, name in (("os", "system"), ("posix", "system"), ("nt", "system"), ("os", "popen"), ("pty", "spawn"),
                         ("subprocess", "getoutput"), ("commands", "getoutput")):  # fmt: skip
        yield module, name, b"(" + text(touch) + b"t"
    for module in ("builtins", "__builtin__"):
        for name in ("eval", "exec", "compile", "__import__", "getattr", "open", "print", "vars", "type"):
            yield module, name, b"(" + text(code) + b"t"
    arguments = b"((" + text("touch") + text(str(marker)) + b"ltt"
    yield "subprocess", "Popen", b"(" + text(touch) + b"t"
    yield "subprocess", "call", arguments.replace(b"ltt", b"tt")
    for module, name in (
        ("runpy", "run_path"), ("importlib", "import_module"), ("code", "interact"), ("timeit", "timeit"),
        ("ctypes", "CDLL"), ("pickle", "loads"), ("marshal", "loads"), ("shutil", "rmtree"), ("pathlib", "Path.touch"),
        ("types", "FunctionType"), ("types", "CodeType"), ("functools", "partial"), ("operator", "methodcaller"),
        ("operator", "attrgetter"), ("webbrowser", "open"), ("socket", "create_connection"), ("sys", "exit"),
        ("bdb", "Bdb.run"), ("cProfile", "run"), ("doctest", "debug_script"), ("logging.config", "listen"),
        ("torch", "load"), ("torch.hub", "load"), ("torch.jit", "load"), ("torch.serialization", "load"),
        ("torch", "ops.load_library"), ("torch.utils.cpp_extension", "load_inline"), ("numpy", "load"),
        ("numpy", "fromfile"), ("numpy.f2py", "compile"), ("numpy.testing", "runstring"), ("pip._internal", "main"),
        ("setuptools", "setup"), ("pandas", "read_pickle"), ("joblib", "load"), ("dill", "loads"),
        ("IPython", "system"), ("cloudpickle", "loads"), ("__main__", "run"), ("mylib.tasks", "launch"),
    ):  # fmt: skip
        yield module, name, b"(" + text(touch) + b"t"


def _payloads(marker: Path) -> Iterator[Hostile]:
    for module, name, arguments in _callables(marker):
        call = f"c{module}\n{name}\n".encode() + arguments + b"R"
        yield Hostile(f"call-{module}.{name}-in-config", container(checkpoint(config=call)), "E102")
        yield Hostile(f"call-{module}.{name}-as-weight", container(checkpoint(policy=call)), "E102")
        stacked = text(module) + text(name) + b"\x93" + arguments + b"R"
        yield Hostile(f"stacked-{module}.{name}", container(checkpoint(config=stacked)), "E102")
    touch = text(f"touch {marker}")
    shapes = {
        "inst": b"(" + touch + b"ios\nsystem\n",
        "obj": b"(cos\nsystem\n" + touch + b"o",
        "newobj": b"cos\nsystem\n" + touch + b"\x85\x81",
        "newobj-ex": b"cos\nsystem\n" + touch + b"\x85}\x92",
        "ext1": b"\x82\x01" + touch + b"\x85R",
        "persid": b"Pos.system\n",
        "bare-name": b"cos\nsystem\n",
        "class-of-data": b"cmylib\nSettings\n" + touch + touch + b"\x86R",
        "call-of-call": b"cmylib\nSettings\n)\x81" + touch + b"\x85R",
        "dotted": text("os.path") + text("os.system") + b"\x93" + touch + b"\x85R",
        "reconstructor": b"ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR",
        "reconstructor-arguments": b"ccopyreg\n_reconstructor\n(cmylib\nSettings\nc__builtin__\nobject\n"
        + touch
        + b"tR",
        "name-of-no-text": b"K\x01K\x02\x93",
    }  # fmt: skip
    for name, payload in shapes.items():
        yield Hostile(f"shape-{name}", container(checkpoint(config=payload)), "E102")
    yield Hostile("bare-pickle", b"\x80\x02cos\nsystem\n" + touch + b"\x85R.", "E101")
    yield Hostile("text-pickle", b"cos\nsystem\n(S'touch'\ntR.", "E101")


def _pickles() -> Iterator[Hostile]:
    good = checkpoint()
    cases = {
        "after-stop": (good + b"N.", "E101"),
        "no-stop": (good[:-1], "E101"),
        "two-values": (good[:-1] + b"N.", "E101"),
        "open-mark": (good[:-1] + b"(.", "E101"),
        "underflow": (b"\x80\x02\x86.", "E101"),
        "append-to-nothing": (b"\x80\x02K\x01a.", "E101"),
        "append-to-dict": (checkpoint(config=b"}K\x01a"), "E101"),
        "items-of-list": (checkpoint(config=b"]K\x01K\x02s"), "E101"),
        "odd-items": (checkpoint(config=b"}(K\x01u"), "E101"),
        "unknown-memo": (checkpoint(config=b"h\xfe"), "E101"),
        "protocol-0": (b"(dp0\n.", "E101"),
        "protocol-6": (b"\x80\x06}.", "E101"),
        "opcode-unknown": (checkpoint(config=b"\xff"), "E102"),
        "opcode-pop": (checkpoint(config=b"NN0"), "E102"),
        "text-not-utf8": (checkpoint(config=b"X\x01\x00\x00\x00\xff"), "E101"),
        "build-on-list": (checkpoint(config=b"]}b"), "E101"),
        "build-attributes": (checkpoint(config=b"}}(" + text("x") + b"K\x01ub"), "E101"),
        "unhashable-key": (checkpoint(config=b"}]K\x01s"), "E101"),
        "tuple-key": (checkpoint(config=b"})K\x01s"), "E101"),
        "same-key-twice": (checkpoint(config=b"}(K\x01NK\x01Nu"), "E101"),
        "true-is-one": (checkpoint(config=b"}(K\x01N\x88Nu"), "E101"),
        "frame-too-long": (b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"}.", "E101"),
        "persistent-id-of-text": (checkpoint(config=text("x") + b"Q"), "E101"),
        "array-shape-lies": (
            checkpoint(config=b"cnumpy._core.multiarray\nscalar\n" + _dtype("f4") + b"C\x01a\x86R"),
            "E101",
        ),
        "array-of-objects": (checkpoint(config=_dtype("O8")), "E101"),
        "state-of-tensor": (checkpoint(config=tensor() + b"}b"), "E101"),
    }  # fmt: skip
    for name, (pickle, code) in cases.items():
        yield Hostile(f"pickle-{name}", container(pickle), code)


def _dtype(code: str) -> bytes:
    return b"cnumpy\ndtype\n(" + text(code) + b"\x89\x88tR"


def _bombs() -> Iterator[Hostile]:
    # Each list holds the one before it twice: 30 lists, a billion values when written out.
    doubled = b"".join(b"q" + bytes([i]) + b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e" for i in range(28))
    laughs = b"](](K\x01K\x01e" + doubled + b"e"
    cycle = b"]q\x00h\x00a"
    cases = {
        "laughs": checkpoint(config=laughs),
        "cycle": checkpoint(config=cycle),
        "deep": checkpoint(config=b"]" * 5000 + b"a" * 4999),
        "deep-tuples": checkpoint(config=b")" + b"\x85" * 100_000),
        "opcodes": checkpoint(config=b"](" + b"N" * 200_001 + b"e"),
        "long-text": checkpoint(config=text("x" * 4097)),
        "long-integer": checkpoint(config=b"\x8a\xff" + b"\x7f" * 255),
        "long-pickle": checkpoint(config=text("x" * (4 << 20))),
    }
    for name, pickle in cases.items():
        yield Hostile(f"bomb-{name}", container(pickle), "E107")
    # Small in memory, endless as text: a message must not spell them out.
    named = {
        "persistent-id": checkpoint(config=laughs + b"Q"),
        "shape": checkpoint(policy=tensor(shape=laughs)),
        "storage-key": checkpoint(policy=tensor(of=storage().replace(text("0"), laughs, 1))),
        "numel": checkpoint(policy=tensor(of=storage().replace(number(6), laughs, 1))),
    }
    for name, pickle in named.items():
        yield Hostile(f"laughs-as-{name}", container(pickle), "E101")
    claims = {
        "text": b"\x8d" + struct.pack("<Q", 1 << 62),
        "bytes": b"\x8e" + struct.pack("<Q", 1 << 62),
        "bytearray": b"\x96" + struct.pack("<Q", 1 << 62),
    }
    for name, claim in claims.items():
        yield Hostile(f"claim-{name}", container(checkpoint(config=claim)), "E101")
    zeros = b"\0" * (64 << 20)
    yield Hostile(
        "bomb-ratio", packed([("a/data.pkl", checkpoint()), ("a/data/0", zeros)], zipfile.ZIP_DEFLATED), "E107"
    )
    many = [("a/data.pkl", checkpoint()), *((f"a/data/{i}", b"") for i in range(4097))]
    yield Hostile("bomb-records", packed(many), "E107")
    claimed = packed([("a/data.pkl", checkpoint()), *((f"a/data/{i}", b"") for i in range(3))])
    for at in [i for i in range(len(claimed)) if claimed[i : i + 4] == b"PK\x01\x02"][1:]:
        claimed = claimed[: at + 20] + struct.pack("<II", 500 << 20, 500 << 20) + claimed[at + 28 :]
    yield Hostile("bomb-claimed-sizes", claimed, "E107")
    yield Hostile("bomb-pickle", packed([("a/data.pkl", b"\x80\x02" + b"N" * (5 << 20)), ("a/version", b"3")]), "E107")
    million = tensor(of=storage(numel=1 << 20), shape=counts(1 << 20), stride=counts(1))
    views = b"\x80\x02}" + text("policy_state_dict") + b"}("
    views += b"".join(text(f"w{index}") + million for index in range(65)) + b"us."
    yield Hostile("bomb-views-of-one-record", container(views, data__0=b"\0" * (4 << 20)), "E107")
    huge = tensor(of=storage(numel=1 << 40), shape=counts(1 << 20, 1 << 20), stride=counts(1 << 20, 1))
    yield Hostile("bomb-tensor", container(checkpoint(policy=huge)), "E107")


def _edited(content: bytes, edit: Callable[[bytearray], None]) -> bytes:
    data = bytearray(content)
    edit(data)
    return bytes(data)


def _poke(signature: bytes, offset: int, value: bytes) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        at = data.index(signature) + offset
        data[at : at + len(value)] = value

    return edit


def _zips() -> Iterator[Hostile]:
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


def _tensors() -> Iterator[Hostile]:
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
        "layout-unknown": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
        "parameter-of-nothing": b"ctorch._utils\n_rebuild_parameter\n(N\x89}tR",
    }  # fmt: skip
    for name, policy in policies.items():
        yield Hostile(f"tensor-{name}", container(checkpoint(policy=policy)), "E101")
    deep = tensor(shape=counts(1, 1, 1, 2, 3), stride=counts(6, 6, 6, 3, 1))
    yield Hostile("tensor-five-dimensions", container(checkpoint(policy=deep)), "E107")
    yield Hostile("tensor-nan", container(checkpoint(), data__0=struct.pack("<6f", *[float("nan")] * 6)), "E105")
    yield Hostile("tensor-infinite", container(checkpoint(), data__0=struct.pack("<6f", *[float("inf")] * 6)), "E105")
    yield Hostile("byteorder-big", container(checkpoint(), byteorder=b"big"), "E101")
    yield Hostile("version-unknown", container(checkpoint(), version=b"99\n"), "E101")
    optimizer = text("optimizer_state_dict") + b"}" + text("m") + tensor(of=storage(key="8")) + b"s"
    yield Hostile("optimizer-storage-missing", container(checkpoint(more=optimizer)), "E101")


def _schemas() -> Iterator[Hostile]:
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
        yield Hostile(f"schema-{name}", container(pickle), "E101")


def _look_alikes() -> Iterator[Hostile]:
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
        "noise": zlib.compress(bytes(range(256)) * 4),
    }
    for name, content in contents.items():
        yield Hostile(f"look-alike-{name}", content, "E101")
