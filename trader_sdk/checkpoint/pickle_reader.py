"""A pickle interpreter that builds plain data and calls nothing that a file names.

Protocols 2 to 5, the opcodes that ``torch.save`` and Python's pickler write for data. Every opcode that could look up,
import or call by itself, and every text opcode of protocols 0 and 1, is refused.

Source: CPython's Lib/pickletools.py describes each opcode.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from trader_sdk.checkpoint.faults import too_large, unreadable, unsafe
from trader_sdk.checkpoint.limits import MAX_OPCODES
from trader_sdk.checkpoint.pickle_classes import call, class_name, instance, set_state, storage
from trader_sdk.checkpoint.pickle_values import put
from trader_sdk.checkpoint.tensors import StorageRef

_MAX_INTEGER_BYTES: Final = 17  # the state of a 128-bit generator, with its sign
_DAMAGE: Final = (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error)


def load_pickle(stream: bytes) -> object:
    """Interpret a pickle.

    Args:
        stream: The whole pickle.

    Returns:
        Plain values, with stand-ins for tensors (``TensorRef``), names (``ClassName``) and foreign instances
        (``Foreign``). Shared references stay shared.

    Raises:
        CheckpointError: E101 damaged, E102 asks for code, E107 too long.
    """
    first = load_first_pickle(stream, 0)
    if first.end != len(stream):
        raise unreadable("bytes follow the pickle", where=f"data.pkl byte {first.end}")
    return first.value


class FirstPickle(NamedTuple):
    """One pickle of a stream that holds several.

    Attributes:
        value: As :func:`load_pickle` returns it.
        storages: The storages that it refers to, by their key.
        end: Where the next byte of the stream lies.
    """

    value: object
    storages: Mapping[str, StorageRef]
    end: int


def load_first_pickle(stream: bytes, at: int, *, clipped: bool = False) -> FirstPickle:
    """Interpret the pickle that begins at byte ``at`` of a stream.

    Args:
        stream: Bytes that hold it.
        at: Where it begins.
        clipped: There are more bytes than a pickle may have, and they are not in ``stream``.

    Raises:
        CheckpointError: As :func:`load_pickle`.
    """
    machine = _Machine(stream, at, clipped)
    try:
        value = machine.run()
    except _DAMAGE as error:
        raise unreadable(
            "the pickle is damaged", where=f"data.pkl byte {machine.at}", found=type(error).__name__
        ) from error
    return FirstPickle(value, machine.storages, machine.at)


class _Machine:
    """The stack machine: one stack per open mark, a memo, and a position in the stream."""

    __slots__ = ("at", "clipped", "marks", "memo", "stack", "storages", "stream")

    def __init__(self, stream: bytes, at: int, clipped: bool) -> None:
        self.stream = stream
        self.at = at
        self.clipped = clipped
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, StorageRef] = {}

    def run(self) -> object:
        if self.take(1) != b"\x80" or self.take(1)[0] not in (2, 3, 4, 5):
            raise unreadable("the pickle is of an unknown protocol", where="data.pkl", expected="2..5")
        for _ in range(MAX_OPCODES):
            opcode = self.take(1)
            if opcode == b".":
                return self.result()
            handler = OPCODES.get(opcode)
            if handler is None:
                raise unsafe(
                    "the pickle uses an opcode that data never needs",
                    where=f"data.pkl byte {self.at - 1}",
                    found=opcode,
                )
            handler(self)
        raise too_large("the pickle has too many opcodes", where="data.pkl", expected=f"<= {MAX_OPCODES}")

    def result(self) -> object:
        if self.marks or len(self.stack) != 1:
            raise unreadable("the pickle does not end with one value", where=f"data.pkl byte {self.at}")
        return self.stack[0]

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.stream):
            if self.clipped:
                raise too_large("the pickle is too long", where="data.pkl", expected=f"<= {len(self.stream)} B")
            raise unreadable("the pickle is cut short", where=f"data.pkl byte {self.at}")
        taken = self.stream[self.at : end]
        self.at = end
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.stream.index(b"\n", self.at)
        return self.take(end + 1 - self.at)[:-1].decode("utf-8")

    def popmark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items


def _integer(machine: _Machine) -> None:
    size = machine.number("<B")
    if size > _MAX_INTEGER_BYTES:
        raise too_large("an integer is too large", where="data.pkl", expected=_MAX_INTEGER_BYTES, found=size)
    machine.stack.append(int.from_bytes(machine.take(size), "little", signed=True))


def _frame(machine: _Machine) -> None:
    if machine.number("<Q") > len(machine.stream) - machine.at:
        raise unreadable("a frame is longer than the pickle", where=f"data.pkl byte {machine.at}")


def _text(form: str) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        machine.stack.append(machine.take(machine.number(form)).decode("utf-8"))

    return push


def _bytes(form: str) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        machine.stack.append(machine.take(machine.number(form)))

    return push


def _number(form: str) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        machine.stack.append(machine.number(form))

    return push


def _constant(value: object) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        machine.stack.append(value)

    return push


def _tuple(size: int) -> Callable[[_Machine], None]:
    def fold(machine: _Machine) -> None:
        items = tuple(machine.stack[-size:])
        if len(items) != size:
            raise unreadable("the pickle takes more than it has", where=f"data.pkl byte {machine.at}")
        machine.stack[-size:] = [items]

    return fold


def _remember(form: str) -> Callable[[_Machine], None]:
    def put_memo(machine: _Machine) -> None:
        machine.memo[machine.number(form)] = machine.stack[-1]

    return put_memo


def _recall(form: str) -> Callable[[_Machine], None]:
    def get_memo(machine: _Machine) -> None:
        machine.stack.append(machine.memo[machine.number(form)])

    return get_memo


def _empty_dict(machine: _Machine) -> None:
    machine.stack.append({})


def _empty_list(machine: _Machine) -> None:
    machine.stack.append([])


def _mark(machine: _Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _marked_tuple(machine: _Machine) -> None:
    items = machine.popmark()
    machine.stack.append(tuple(items))


def _marked_list(machine: _Machine) -> None:
    items = machine.popmark()
    machine.stack.append(list(items))


def _append(machine: _Machine) -> None:
    value = machine.stack.pop()
    _extend(machine.stack[-1], [value])


def _appends(machine: _Machine) -> None:
    items = machine.popmark()
    _extend(machine.stack[-1], items)


def _extend(target: object, items: list[Any]) -> None:
    if type(target) is not list:
        raise unreadable("the pickle appends to something that is no list", where="data.pkl")
    target.extend(items)


def _set_item(machine: _Machine) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    _update(machine.stack[-1], [key, value])


def _set_items(machine: _Machine) -> None:
    items = machine.popmark()
    _update(machine.stack[-1], items)


def _update(target: object, items: list[Any]) -> None:
    if type(target) is not dict or len(items) % 2:
        raise unreadable("the pickle sets items of something that is no mapping", where="data.pkl")
    for key, value in zip(items[::2], items[1::2], strict=True):
        put(target, key, value)


def _global(machine: _Machine) -> None:
    module = machine.line()
    machine.stack.append(class_name(module, machine.line()))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise unsafe("the pickle names code by something that is no text", where="data.pkl")
    machine.stack.append(class_name(module, name))


def _reduce(machine: _Machine) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(call(function, args))


def _new(machine: _Machine) -> None:
    args, cls = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(instance(cls, args))


def _new_with_keywords(machine: _Machine) -> None:
    keywords, args, cls = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    if type(keywords) is not dict:
        raise unsafe("the pickle makes an instance in an unknown way", where="data.pkl")
    machine.stack.append(instance(cls, (*args, keywords) if keywords else args))


def _build(machine: _Machine) -> None:
    state = machine.stack.pop()
    set_state(machine.stack[-1], state)


def _persistent(machine: _Machine) -> None:
    reference = storage(machine.stack.pop())
    machine.storages.setdefault(reference.key, reference)
    machine.stack.append(reference)


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


OPCODES: Final[Mapping[bytes, Callable[[_Machine], None]]] = MappingProxyType(
    {
        b"N": _constant(None),
        b"\x88": _constant(True),
        b"\x89": _constant(False),
        b")": _constant(()),
        b"K": _number("<B"),
        b"M": _number("<H"),
        b"J": _number("<i"),
        b"G": _number(">d"),
        b"\x8a": _integer,
        b"\x8c": _text("<B"),
        b"X": _text("<I"),
        b"\x8d": _text("<Q"),
        b"C": _bytes("<B"),
        b"B": _bytes("<I"),
        b"\x8e": _bytes("<Q"),
        b"\x96": _bytes("<Q"),
        b"}": _empty_dict,
        b"]": _empty_list,
        b"\x8f": _empty_list,  # a set: its members are kept as a list
        b"(": _mark,
        b"t": _marked_tuple,
        b"\x91": _marked_list,  # a frozen set
        b"\x85": _tuple(1),
        b"\x86": _tuple(2),
        b"\x87": _tuple(3),
        b"a": _append,
        b"e": _appends,
        b"\x90": _appends,
        b"s": _set_item,
        b"u": _set_items,
        b"q": _remember("<B"),
        b"r": _remember("<I"),
        b"\x94": _memoize,
        b"h": _recall("<B"),
        b"j": _recall("<I"),
        b"c": _global,
        b"\x93": _stack_global,
        b"R": _reduce,
        b"\x81": _new,
        b"\x92": _new_with_keywords,
        b"b": _build,
        b"Q": _persistent,
        b"\x95": _frame,
    }
)
