"""Pickles that ask for code, are malformed, or ask for more than a reader has."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from hostile_case import Hostile, in_zip
from opcodes import checkpoint, container, counts, number, packed, storage, tensor, text


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


def payloads(marker: Path) -> Iterator[Hostile]:
    """Yield pickles that would touch ``marker``, by every way in which a pickle can ask for a call."""
    for module, name, arguments in _callables(marker):
        call = f"c{module}\n{name}\n".encode() + arguments + b"R"
        yield in_zip(f"call-{module}.{name}-in-config", checkpoint(config=call), "E102")
        yield in_zip(f"call-{module}.{name}-as-weight", checkpoint(policy=call), "E102")
        stacked = text(module) + text(name) + b"\x93" + arguments + b"R"
        yield in_zip(f"stacked-{module}.{name}", checkpoint(config=stacked), "E102")
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
        "call-of-a-long-name": b"cmylib\n" + b"C" * 3000 + b"\n" + touch + touch + b"\x86R",
    }  # fmt: skip
    for name, payload in shapes.items():
        yield in_zip(f"shape-{name}", checkpoint(config=payload), "E102")
    yield Hostile("bare-pickle", b"\x80\x02cos\nsystem\n" + touch + b"\x85R.", "E101")
    yield Hostile("text-pickle", b"cos\nsystem\n(S'touch'\ntR.", "E101")


def pickles() -> Iterator[Hostile]:
    """Yield pickles that are malformed."""
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
        yield in_zip(f"pickle-{name}", pickle, code)


def _dtype(code: str) -> bytes:
    return b"cnumpy\ndtype\n(" + text(code) + b"\x89\x88tR"


def bombs() -> Iterator[Hostile]:
    """Yield files that ask for more time or memory than they are worth."""
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
        "long-name": checkpoint(config=b"cmylib\n" + b"C" * 5000 + b"\n"),
        "long-module": checkpoint(config=b"c" + b"m" * 5000 + b"\nSettings\n"),
        "long-weight-name": checkpoint().replace(text("w.weight"), text("w" * 5000)),
    }
    for name, pickle in cases.items():
        yield in_zip(f"bomb-{name}", pickle, "E107")
    # Small in memory, endless as text: a message must not spell them out.
    named = {
        "persistent-id": checkpoint(config=laughs + b"Q"),
        "shape": checkpoint(policy=tensor(shape=laughs)),
        "storage-key": checkpoint(policy=tensor(of=storage().replace(text("0"), laughs, 1))),
        "numel": checkpoint(policy=tensor(of=storage().replace(number(6), laughs, 1))),
    }
    for name, pickle in named.items():
        yield in_zip(f"laughs-as-{name}", pickle, "E101")
    claims = {
        "text": b"\x8d" + struct.pack("<Q", 1 << 62),
        "bytes": b"\x8e" + struct.pack("<Q", 1 << 62),
        "bytearray": b"\x96" + struct.pack("<Q", 1 << 62),
    }
    for name, claim in claims.items():
        yield in_zip(f"claim-{name}", checkpoint(config=claim), "E101")
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
    yield in_zip("bomb-tensor", checkpoint(policy=huge), "E107")
