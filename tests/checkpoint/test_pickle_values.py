"""Values that a pickle would have built by calls: odd spellings that are data, and malformed ones that are refused."""

import struct
from typing import Any

import pytest
from opcodes import checkpoint, container, number, tensor, text

from trader_sdk.checkpoint.contents import Contents
from trader_sdk.checkpoint.torch_zip import read_torch_zip
from trader_sdk.contract.errors import CheckpointError

PAIR = text("a") + number(1) + b"\x86"
DTYPE = b"cnumpy\ndtype\n(" + text("f4") + b"\x89\x88tR"
LATIN = b"c_codecs\nencode\n"


def test_instances_are_noted_as_far_as_a_person_reads() -> None:
    """A thousand instances of somebody's class: each value is kept, a page of them is listed."""
    contents = _read(b"](" + b"cmylib\nSettings\n)\x81" * 1000 + b"e")
    assert len(contents.fields["config"]) == 1000
    assert len(contents.notes) == 65
    assert contents.notes[-1].actual == "further instances, not listed"


def _read(config: bytes, *, policy: bytes | None = None, **records: bytes) -> Contents:
    return read_torch_zip(memoryview(container(checkpoint(config=config, policy=policy), **records)))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (b"ccollections\nOrderedDict\n](" + PAIR + b"e\x85R", {"a": 1}),
        (b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R" + PAIR[:-1] + b"s", {"a": 1}),
        (b"ccollections\nOrderedDict\n)\x81" + PAIR[:-1] + b"s", {"a": 1}),
        (b"cmylib\nSettings\n)}\x92}" + PAIR[:-1] + b"sb", {"a": 1}),
        (b"cmylib\nSettings\n)" + b"}" + PAIR[:-1] + b"s\x92", ({"a": 1},)),
        (b"ccopy_reg\n_reconstructor\n(cmylib\nSettings\nc__builtin__\nobject\nNtR}" + PAIR[:-1] + b"sb", {"a": 1}),
        (b"c__builtin__\nset\n)R", []),
        (b"c__builtin__\nbytes\n)R", b""),
        (b"\x8f(K\x01K\x02\x90", [1, 2]),
        (b"(K\x01K\x02\x91", [1, 2]),
        (b"ctorch\nSize\n](K\x01K\x02e\x85R", (1, 2)),
        (b"\x96" + struct.pack("<Q", 2) + b"ab", b"ab"),
        (b"cpathlib\nPosixPath\n(" + text("/") + text("x") + b"tR", "/x"),
        (b"K\x07r\x00\x01\x00\x00\x85j\x00\x01\x00\x00\x86", ((7,), 7)),
    ],
)
def test_odd_spelling_of_data_is_read(config: bytes, expected: Any) -> None:
    """Constructors with pairs, keyword construction, old copyreg, sets, long memo numbers."""
    assert _read(config).fields["config"] == expected


@pytest.mark.parametrize(
    "config",
    [
        b"ccollections\nOrderedDict\nK\x01\x85R",
        b"ccollections\nOrderedDict\n](K\x01e\x85R",
        b"ccollections\nOrderedDict\n](" + PAIR + PAIR + b"e\x85R",
        b"ccollections\nOrderedDict\nNN\x86R",
        b"ccollections\ndefaultdict\nNN\x86R",
        LATIN + text("a") + b"\x85R",
        LATIN + text("a") + text("rot13") + b"\x86R",
        LATIN + text("\u20ac") + text("latin1") + b"\x86R",
        b"c__builtin__\nset\nK\x01\x85R",
        b"c__builtin__\nbytearray\nK\x09\x85R",
        b"cdecimal\nDecimal\nK\x01\x85R",
        b"cpathlib\nPosixPath\nK\x01\x85R",
        b"cdatetime\ndatetime\n)R",
        b"cdatetime\ndatetime\nC\x03abc\x85R",
        b"cdatetime\ndatetime\nC\x0a" + b"\xff" * 10 + b"\x85R",
        b"cdatetime\ndate\nC\x01a\x85R",
        b"cdatetime\ndate\nC\x04\0\0\0\0\x85R",
        b"cdatetime\ntimedelta\n" + text("1") + b"\x85R",
        b"cdatetime\ntimedelta\n" + number(1 << 60) + b"\x85R",
        b"cdatetime\ntimezone\ncdatetime\ntimedelta\n" + number(9) + b"\x85R\x85R",
        b"cnumpy._core.multiarray\nscalar\nNN\x86R",
        b"cnumpy._core.multiarray\n_reconstruct\n)RNb",
        b"cnumpy._core.multiarray\n_reconstruct\n)R(K\x01N" + DTYPE + b"\x89C\x00tb",
        b"cnumpy._core.multiarray\n_reconstruct\n)R(K\x01(K\x02t" + DTYPE + b"\x89C\x04abcdtb",
        b"cnumpy._core.multiarray\n_reconstruct\n)R",
        b"ctorch.torch_version\nTorchVersion\n)\x81",
    ],
)
def test_malformed_value_is_refused(config: bytes) -> None:
    """A known name with arguments that it never has: unreadable, by one code."""
    with pytest.raises(CheckpointError) as caught:
        _read(config)
    assert caught.value.code == "E101"


@pytest.mark.parametrize("config", [b"K\x01)\x81", b"cmylib\nSettings\nK\x01\x81", b"cmylib\nSettings\n)N\x92"])
def test_instance_of_no_class_is_unsafe(config: bytes) -> None:
    """Making an instance of a number, or with arguments that are none."""
    with pytest.raises(CheckpointError) as caught:
        _read(config)
    assert caught.value.code == "E102"


def test_scalar_and_one_element_tensors_are_read() -> None:
    """A tensor without dimensions, and one whose stride is never used."""
    one = tensor(shape=b")", stride=b")")
    assert _read(b"}", policy=one).tensors["w.weight"].shape == ()
    odd = tensor(shape=b"(K\x01K\x06t", stride=b"(" + number(999) + b"K\x01t")
    assert _read(b"}", policy=odd).tensors["w.weight"].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_shared_values_stay_equal_and_cost_once_each() -> None:
    """A list that is referred to twice is written out twice."""
    assert _read(b"](" + b"](K\x01eq\x05h\x05e").fields["config"] == [[1], [1]]
