"""Whatever opcodes a pickle is made of, the interpreter gives plain data or a typed error."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from opcodes import counts, number, storage, tensor, text

from trader_sdk.checkpoint.pickle_reader import OPCODES, load_pickle
from trader_sdk.contract.errors import CheckpointError

FRAGMENTS = [
    *OPCODES,
    text("a"),
    text("os"),
    text("system"),
    number(1),
    number(-(2**70)),
    counts(2, 3),
    storage(),
    tensor(),
    b"cos\nsystem\n",
    b"ccollections\nOrderedDict\n",
    b"cmylib\nSettings\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cnumpy\ndtype\n",
    b"cnumpy._core.multiarray\nscalar\n",
    b"cdatetime\ndatetime\n",
    b"h\x00",
    b"q\x00",
    b"K\x01",
    b"\x8a\x01\x05",
    b"G" + struct.pack(">d", 1.5),
    b"C\x02ab",
    b"\x95" + struct.pack("<Q", 1),
]


OUTCOMES = ("data", "E101", "E102", "E107")


def _outcome(stream: bytes) -> str:
    try:
        load_pickle(stream)
    except CheckpointError as error:
        return error.code
    return "data"


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=24), st.sampled_from([2, 4]))
def test_interpreter_gives_data_or_a_typed_error_on_any_sequence_of_opcodes(parts: list[bytes], protocol: int) -> None:
    """No sequence of known fragments escapes as another exception."""
    assert _outcome(b"\x80" + bytes([protocol]) + b"".join(parts) + b".") in OUTCOMES


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=64))
def test_interpreter_gives_data_or_a_typed_error_on_any_bytes(noise: bytes) -> None:
    """Nor does any sequence of bytes."""
    assert _outcome(b"\x80\x02" + noise) in OUTCOMES
