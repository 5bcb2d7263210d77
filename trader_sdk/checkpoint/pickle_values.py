"""Plain values in the place of what a checkpoint's pickle would have called: one function for each known name."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np

from trader_sdk.checkpoint.faults import brief, unreadable, unsafe
from trader_sdk.checkpoint.tensors import TensorRef, tensor_ref

Args = tuple[Any, ...]

_DTYPE_CODE: Final = r"(f2|f4|f8|[iu][1248]|b1)\Z"


# Plain classes here and in tensors.py: making a dataclass takes as long as reading a small checkpoint.
class ClassName:
    """The name of a class or function in the writer's program."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Foreign:
    """The state of an instance whose class is not ours to build."""

    __slots__ = ("name", "state")

    def __init__(self, name: str, state: object) -> None:
        self.name = name
        self.state = state


class Dtype:
    """A numpy element type and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, order: str = "<") -> None:
        self.code = code
        self.order = order

    def numpy(self) -> np.dtype[Any]:
        """Return it as numpy's own."""
        order = self.order if self.order in "<>|=" else "<"
        return np.dtype(order + self.code)


class Ndarray:
    """A numpy array between its constructor and its state."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: np.ndarray[Any, np.dtype[Any]] | None = None


def only(args: Args) -> Any:
    """Return the one argument of a call."""
    if len(args) != 1:
        raise unreadable("a call has the wrong number of arguments", where="data.pkl", found=len(args))
    return args[0]


def ordered_dict(args: Args) -> object:
    """Return the mapping that ``OrderedDict(pairs)`` stood for."""
    return _mapping(only(args)) if args else {}


def _mapping(pairs: object) -> dict[Any, Any]:
    if type(pairs) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise unreadable("an ordered mapping is not made of pairs", where="data.pkl")
    result: dict[Any, Any] = {}
    for key, value in pairs:
        put(result, key, value)
    return result


def put(target: dict[Any, Any], key: object, value: object) -> None:
    """Set a key once; a key is a scalar.

    Raises:
        CheckpointError: E101 for a key that is set twice or is no scalar.
    """
    if key is not None and type(key) not in (str, int, float, bool, bytes):
        raise unreadable("a mapping's key is no scalar", where="data.pkl", found=type(key).__name__)
    if key in target:
        raise unreadable("a mapping has the same key twice", where="data.pkl", found=brief(key))
    target[key] = value


def tensor(args: Args) -> TensorRef:
    """Return the checked view that ``_rebuild_tensor_v2`` stood for."""
    if len(args) not in (6, 7) or type(args[4]) is not bool or args[5] or any(args[6:]):
        raise unreadable("a tensor carries hooks or attributes", where="data.pkl", found=f"{len(args)} arguments")
    return tensor_ref(*args[:4])


def tensor_of_torch_0_3(args: Args) -> TensorRef:
    """Return the checked view that ``_rebuild_tensor`` stood for: storage, offset, shape, strides."""
    if len(args) != 4:
        raise unreadable("a tensor has the wrong number of arguments", where="data.pkl", found=len(args))
    return tensor_ref(*args)


def parameter(args: Args) -> TensorRef:
    """Return the tensor of a parameter."""
    if len(args) != 3 or type(args[0]) is not TensorRef or args[2]:
        raise unreadable("a parameter carries hooks or is no tensor", where="data.pkl")
    return args[0]


def encoded(args: Args) -> bytes:
    """Return the bytes that protocol 2 writes as latin-1 text."""
    if len(args) != 2 or type(args[0]) is not str or args[1] != "latin1":
        raise unreadable("bytes are written in an unknown way", where="data.pkl")
    return args[0].encode("latin1")


def set_members(args: Args) -> list[Any]:
    """Return the members of a set as a list."""
    values = only(args) if args else []
    if type(values) not in (list, tuple):
        raise unreadable("a set is not made of values", where="data.pkl")
    return list(values)


def byte_array(args: Args) -> bytes:
    """Return the bytes of ``bytes`` or ``bytearray``."""
    value = only(args) if args else b""
    if type(value) is not bytes:
        raise unreadable("a byte array is not made of bytes", where="data.pkl")
    return value


def default_dict(args: Args) -> object:
    """Return the empty mapping that ``defaultdict`` began as."""
    if len(args) > 1:
        raise unreadable("a default mapping has the wrong number of arguments", where="data.pkl")
    return {}


def size(args: Args) -> tuple[Any, ...]:
    """Return a ``torch.Size`` as a tuple."""
    return tuple(set_members(args))


def text(args: Args) -> str:
    """Return the text of a number or name that is written as text."""
    value = only(args)
    if type(value) is not str:
        raise unreadable("a name is no text", where="data.pkl", found=type(value).__name__)
    return value


def device(args: Args) -> str:
    """Return a ``torch.device`` as text."""
    return ":".join(str(part) for part in args)


def path(args: Args) -> Foreign:
    """Return a path as text."""
    if not all(type(part) is str for part in args):
        raise unreadable("a path is not made of text", where="data.pkl")
    joined = "/".join(args)
    return Foreign("pathlib.Path", joined.replace("//", "/", 1) if joined.startswith("//") else joined)


def moment(args: Args) -> Foreign:
    """Return a time as ISO 8601 text."""
    raw = args[0] if args else b""
    if type(raw) is not bytes or len(raw) != 10:
        raise unreadable("a time is written in an unknown way", where="data.pkl")
    year, month = raw[0] << 8 | raw[1], raw[2] & 0x7F
    day, hour, minute, second = raw[3:7]
    moment = datetime(year, month, day, hour, minute, second, int.from_bytes(raw[7:10], "big"))
    zone = args[1].state if len(args) > 1 and type(args[1]) is Foreign else ""
    return Foreign("datetime.datetime", f"{moment.isoformat()}{zone}")


def day(args: Args) -> Foreign:
    """Return a date as ISO 8601 text."""
    raw = only(args)
    if type(raw) is not bytes or len(raw) != 4:
        raise unreadable("a date is written in an unknown way", where="data.pkl")
    return Foreign("datetime.date", date(raw[0] << 8 | raw[1], raw[2], raw[3]).isoformat())


def duration(args: Args) -> Foreign:
    """Return a duration in seconds."""
    if not all(type(part) is int for part in args) or len(args) > 3:
        raise unreadable("a duration is written in an unknown way", where="data.pkl")
    return Foreign("datetime.timedelta", timedelta(*args).total_seconds())


def zone(args: Args) -> Foreign:
    """Return a time zone as its offset, ``+HH:MM``."""
    offset = args[0].state if args and type(args[0]) is Foreign else 0.0
    if type(offset) is not float or abs(offset) >= 86400:
        raise unreadable("a time zone is written in an unknown way", where="data.pkl")
    sign, minutes = "-" if offset < 0 else "+", int(abs(offset) // 60)
    return Foreign("datetime.timezone", f"{sign}{minutes // 60:02}:{minutes % 60:02}")


def dtype(args: Args) -> Dtype:
    """Return a numpy element type: numbers only, never objects."""
    code = args[0] if args else None
    if type(code) is not str or not re.match(_DTYPE_CODE, code):
        raise unreadable("an array is of an unknown element type", where="data.pkl", found=brief(code))
    return Dtype(code)


def scalar(args: Args) -> object:
    """Return a numpy scalar as a Python number."""
    if len(args) != 2 or type(args[0]) is not Dtype or type(args[1]) is not bytes:
        raise unreadable("a numpy scalar is written in an unknown way", where="data.pkl")
    return _from_bytes(args[1], args[0].numpy(), ())[()].item()


def array_from_state(state: object) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the array that a numpy state describes."""
    if type(state) is not tuple or len(state) != 5 or type(state[2]) is not Dtype or type(state[4]) is not bytes:
        raise unreadable("a numpy array is written in an unknown way", where="data.pkl")
    _, shape, dtype, fortran, raw = state
    if type(shape) is not tuple or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise unreadable("a numpy array's shape is no tuple of counts", where="data.pkl", found=brief(shape))
    flat = _from_bytes(raw, dtype.numpy(), tuple(reversed(shape)) if fortran else shape)
    return flat.T if fortran else flat


def _from_bytes(raw: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[Any]]:
    count = 1
    for extent in shape:
        count *= extent
    if len(shape) > 8 or count * dtype.itemsize != len(raw):
        raise unreadable("a numpy array's bytes do not fit its shape", where="data.pkl", found=f"{len(raw)} B")
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def empty_array(_args: Args) -> Ndarray:
    """Return an array that waits for its state."""
    return Ndarray()


def generator(_args: Args) -> Foreign:
    """Return a stand-in for a random generator, whose state trading does not need."""
    return Foreign("numpy.random.Generator", None)


def reconstructed(args: Args) -> Foreign:
    """Return a stand-in for an instance that ``copyreg`` rebuilds."""
    if len(args) != 3 or type(args[0]) is not ClassName or args[2] is not None:
        raise unsafe("the pickle rebuilds an instance in an unknown way", where="data.pkl")
    return Foreign(args[0].name, None)
