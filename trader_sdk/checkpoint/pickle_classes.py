"""What the names in a checkpoint's pickle may stand for: data, never code.

A pickle names functions and classes of its writer and asks for them to be called. Here a name is looked up in a
table of *our* functions that build plain values. Classes that are only containers of the writer's own settings (a
dataclass, an enum, a gym space) keep their values and lose their class, which the caller is told. Everything else is
refused as unsafe.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from trader_sdk.checkpoint.faults import too_large, unreadable, unsafe
from trader_sdk.checkpoint.limits import MAX_TEXT
from trader_sdk.checkpoint.tensors import StorageRef, TensorRef, tensor_ref


@dataclass(frozen=True, slots=True)
class ClassName:
    """The name of a class or function in the writer's program."""

    name: str


@dataclass(slots=True)
class Foreign:
    """The state of an instance whose class is not ours to build."""

    name: str
    state: object


@dataclass(slots=True)
class _Dtype:
    code: str
    order: str = "<"

    def numpy(self) -> np.dtype[Any]:
        order = self.order if self.order in "<>|=" else "<"
        return np.dtype(order + self.code)


@dataclass(slots=True)
class Ndarray:
    """A numpy array between its constructor and its state."""

    value: np.ndarray[Any, np.dtype[Any]] | None = None


Builder = Callable[[tuple[Any, ...]], object]

_STORAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "torch.DoubleStorage": "float64",
        "torch.FloatStorage": "float32",
        "torch.HalfStorage": "float16",
        "torch.BFloat16Storage": "bfloat16",
        "torch.LongStorage": "int64",
        "torch.IntStorage": "int32",
        "torch.ShortStorage": "int16",
        "torch.CharStorage": "int8",
        "torch.ByteStorage": "uint8",
        "torch.BoolStorage": "bool",
    }
)
_STORAGE_KEY: Final = re.compile(r"[A-Za-z0-9_]{1,64}\Z")
_DTYPE_CODE: Final = re.compile(r"(f2|f4|f8|[iu][1248]|b1)\Z")
_CLASS_LIKE: Final = re.compile(r"(_*[A-Z]\w*)(\._*[A-Z]\w*)*\Z")
_LIBRARIES: Final = frozenset({"torch", "numpy", "pip", "setuptools", "pkg_resources", "pandas", "joblib", "dill"})
_KNOWN_VALUES: Final = re.compile(
    r"torch\.(b?float(16|32|64)|u?int(8|16|32|64)|bool|double|half|long|int|float)\Z"
    r"|torch\.nn\.modules\.\w+\.[A-Z]\w*\Z"
    r"|torch\.optim\.\w+\.[A-Z]\w*\Z"
    r"|numpy\.(float(16|32|64)|u?int(8|16|32|64)|bool_?)\Z"
    r"|(argparse\.Namespace|types\.SimpleNamespace)\Z"
    r"|(builtins|__builtin__)\.(bool|int|float|str|list|dict|tuple|object)\Z"
)
_UNSUPPORTED: Final = re.compile(r"torch\._utils\._rebuild_|torch\.(storage\.)?\w*Storage\Z|torch\._tensor\.")


def class_name(module: str, name: str) -> ClassName:
    """Admit a name that a pickle refers to.

    Raises:
        CheckpointError: E102 for anything that is neither in our tables nor plainly a settings class; E101 for
            torch's own layouts that this reader does not know.
    """
    full = f"{module}.{name}"
    if full in BUILDERS or full in _STORAGES or full in _STRING_CLASSES or _KNOWN_VALUES.match(full):
        return ClassName(full)
    if _UNSUPPORTED.match(full):
        raise unreadable("this reader does not know a tensor layout of torch's", where="data.pkl", found=full[:120])
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root in _LIBRARIES or not _CLASS_LIKE.match(name):
        raise unsafe("the pickle asks for code that a checkpoint never needs", where="data.pkl", found=full[:120])
    return ClassName(full)


def call(function: object, args: object) -> object:
    """Return the value that the writer's call stood for.

    Raises:
        CheckpointError: E102 if the name is not one whose result we know how to build as data.
    """
    if type(function) is not ClassName or type(args) is not tuple:
        raise unsafe("the pickle calls something that is no name", where="data.pkl", found=type(function).__name__)
    builder = BUILDERS.get(function.name)
    if builder is not None:
        return builder(args)
    if _is_enum_value(function.name, args):
        return Foreign(function.name, args[0])
    raise unsafe("the pickle asks for a call that a checkpoint never needs", where="data.pkl", found=function.name)


def instance(cls: object, args: object) -> object:
    """Return a stand-in for a new instance: its class's name and its constructor's arguments."""
    if type(cls) is not ClassName or type(args) is not tuple:
        raise unsafe("the pickle makes an instance of something that is no class", where="data.pkl")
    if cls.name in _STRING_CLASSES:
        return str(_only(args))
    if cls.name in BUILDERS:
        return BUILDERS[cls.name](args)
    return Foreign(cls.name, args)


def set_state(target: object, state: object) -> None:
    """Give a stand-in its state.

    Raises:
        CheckpointError: E101 if the target cannot have one.
    """
    if type(target) is Foreign:
        target.state = state
    elif type(target) is _Dtype and type(state) is tuple and len(state) >= 2 and type(state[1]) is str:
        target.order = state[1]
    elif type(target) is Ndarray and target.value is None:
        target.value = _array(state)
    elif type(target) is not dict or type(state) is not dict or set(state) - {"_metadata"}:
        # A state dict's only attribute is torch's record of module versions, which trading does not read.
        raise unreadable("the pickle sets attributes of a plain value", where="data.pkl", found=type(target).__name__)


def storage(reference: object) -> StorageRef:
    """Return the storage that a persistent id names.

    Raises:
        CheckpointError: E101 for any other shape of reference.
    """
    if type(reference) is not tuple or len(reference) != 5 or reference[0] != "storage":
        raise unreadable("the pickle refers to something outside itself", where="data.pkl", found=f"{reference!r:.80}")
    _, cls, key, location, numel = reference
    dtype = _STORAGES.get(cls.name) if type(cls) is ClassName else None
    if dtype is None or type(key) is not str or not _STORAGE_KEY.match(key):
        raise unreadable("a storage is of unknown type or name", where="data.pkl", found=f"{reference!r:.120}")
    if type(location) is not str or type(numel) is not int or numel < 0:
        raise unreadable("a storage's length is no count", where=f"data/{key}", found=f"{numel!r:.40}")
    return StorageRef(key, dtype, numel)


def _is_enum_value(name: str, args: tuple[object, ...]) -> bool:
    root = name.partition(".")[0]
    foreign = root not in sys.stdlib_module_names and root not in _LIBRARIES
    return foreign and len(args) == 1 and type(args[0]) in (str, int, float, bool)


def _only(args: tuple[Any, ...]) -> Any:
    if len(args) != 1:
        raise unreadable("a call has the wrong number of arguments", where="data.pkl", found=len(args))
    return args[0]


def _ordered_dict(args: tuple[Any, ...]) -> object:
    return _mapping(_only(args)) if args else {}


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
        raise unreadable("a mapping has the same key twice", where="data.pkl", found=f"{key!r:.80}")
    target[key] = value


def _tensor(args: tuple[Any, ...]) -> TensorRef:
    if len(args) not in (6, 7) or type(args[4]) is not bool or args[5] or any(args[6:]):
        raise unreadable("a tensor carries hooks or attributes", where="data.pkl", found=f"{len(args)} arguments")
    return tensor_ref(*args[:4])


def _parameter(args: tuple[Any, ...]) -> TensorRef:
    if len(args) != 3 or type(args[0]) is not TensorRef or args[2]:
        raise unreadable("a parameter carries hooks or is no tensor", where="data.pkl")
    return args[0]


def _encoded(args: tuple[Any, ...]) -> bytes:
    if len(args) != 2 or type(args[0]) is not str or args[1] != "latin1":
        raise unreadable("bytes are written in an unknown way", where="data.pkl")
    return args[0].encode("latin1")


def _list(args: tuple[Any, ...]) -> list[Any]:
    values = _only(args) if args else []
    if type(values) not in (list, tuple):
        raise unreadable("a set is not made of values", where="data.pkl")
    return list(values)


def _bytes(args: tuple[Any, ...]) -> bytes:
    value = _only(args) if args else b""
    if type(value) is not bytes:
        raise unreadable("a byte array is not made of bytes", where="data.pkl")
    return value


def _default_dict(args: tuple[Any, ...]) -> object:
    if len(args) > 1:
        raise unreadable("a default mapping has the wrong number of arguments", where="data.pkl")
    return {}


def _tuple(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_list(args))


def _text(args: tuple[Any, ...]) -> str:
    value = _only(args)
    if type(value) is not str:
        raise unreadable("a name is no text", where="data.pkl", found=type(value).__name__)
    return value


def _device(args: tuple[Any, ...]) -> str:
    return ":".join(str(part) for part in args)


def _path(args: tuple[Any, ...]) -> Foreign:
    if not all(type(part) is str for part in args):
        raise unreadable("a path is not made of text", where="data.pkl")
    joined = "/".join(args)
    return Foreign("pathlib.Path", joined.replace("//", "/", 1) if joined.startswith("//") else joined)


def _datetime(args: tuple[Any, ...]) -> Foreign:
    raw = args[0] if args else b""
    if type(raw) is not bytes or len(raw) != 10:
        raise unreadable("a time is written in an unknown way", where="data.pkl")
    year, month = raw[0] << 8 | raw[1], raw[2] & 0x7F
    day, hour, minute, second = raw[3:7]
    moment = datetime(year, month, day, hour, minute, second, int.from_bytes(raw[7:10], "big"))
    zone = args[1].state if len(args) > 1 and type(args[1]) is Foreign else ""
    return Foreign("datetime.datetime", f"{moment.isoformat()}{zone}")


def _date(args: tuple[Any, ...]) -> Foreign:
    raw = _only(args)
    if type(raw) is not bytes or len(raw) != 4:
        raise unreadable("a date is written in an unknown way", where="data.pkl")
    return Foreign("datetime.date", date(raw[0] << 8 | raw[1], raw[2], raw[3]).isoformat())


def _timedelta(args: tuple[Any, ...]) -> Foreign:
    if not all(type(part) is int for part in args) or len(args) > 3:
        raise unreadable("a duration is written in an unknown way", where="data.pkl")
    return Foreign("datetime.timedelta", timedelta(*args).total_seconds())


def _timezone(args: tuple[Any, ...]) -> Foreign:
    offset = args[0].state if args and type(args[0]) is Foreign else 0.0
    if type(offset) is not float or abs(offset) >= 86400:
        raise unreadable("a time zone is written in an unknown way", where="data.pkl")
    sign, minutes = "-" if offset < 0 else "+", int(abs(offset) // 60)
    return Foreign("datetime.timezone", f"{sign}{minutes // 60:02}:{minutes % 60:02}")


def _dtype(args: tuple[Any, ...]) -> _Dtype:
    code = args[0] if args else None
    if type(code) is not str or not _DTYPE_CODE.match(code):
        raise unreadable("an array is of an unknown element type", where="data.pkl", found=f"{code!r:.40}")
    return _Dtype(code)


def _scalar(args: tuple[Any, ...]) -> object:
    if len(args) != 2 or type(args[0]) is not _Dtype or type(args[1]) is not bytes:
        raise unreadable("a numpy scalar is written in an unknown way", where="data.pkl")
    return _from_bytes(args[1], args[0].numpy(), ())[()].item()


def _array(state: object) -> np.ndarray[Any, np.dtype[Any]]:
    if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Dtype or type(state[4]) is not bytes:
        raise unreadable("a numpy array is written in an unknown way", where="data.pkl")
    _, shape, dtype, fortran, raw = state
    if type(shape) is not tuple or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise unreadable("a numpy array's shape is no tuple of counts", where="data.pkl", found=f"{shape!r:.80}")
    flat = _from_bytes(raw, dtype.numpy(), tuple(reversed(shape)) if fortran else shape)
    return flat.T if fortran else flat


def _from_bytes(raw: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[Any]]:
    count = 1
    for extent in shape:
        count *= extent
    if len(shape) > 8 or count * dtype.itemsize != len(raw):
        raise unreadable("a numpy array's bytes do not fit its shape", where="data.pkl", found=f"{len(raw)} B")
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def _empty_array(_args: tuple[Any, ...]) -> Ndarray:
    return Ndarray()


def _generator(_args: tuple[Any, ...]) -> Foreign:
    return Foreign("numpy.random.Generator", None)


def _reconstructed(args: tuple[Any, ...]) -> Foreign:
    if len(args) != 3 or type(args[0]) is not ClassName or args[2] is not None:
        raise unsafe("the pickle rebuilds an instance in an unknown way", where="data.pkl")
    return Foreign(args[0].name, None)


def check_text(value: str | bytes) -> None:
    """Refuse a text that no setting needs.

    Raises:
        CheckpointError: E107 above 4 kB.
    """
    if len(value) > MAX_TEXT:
        raise too_large("a text is too long", where="data.pkl", expected=f"<= {MAX_TEXT}", found=len(value))


_STRING_CLASSES: Final = frozenset({"torch.torch_version.TorchVersion"})
_PATHS: Final = [
    f"{module}.{flavour}"
    for module in ("pathlib", "pathlib._local")
    for flavour in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath", "Path", "PurePath")
]
_NUMPY: Final = ("numpy._core.multiarray", "numpy.core.multiarray")
_RANDOM: Final = ("__generator_ctor", "__bit_generator_ctor", "__randomstate_ctor")

BUILDERS: Final[Mapping[str, Builder]] = MappingProxyType(
    {
        "collections.OrderedDict": _ordered_dict,
        "collections.defaultdict": _default_dict,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch.Size": _tuple,
        "torch.device": _device,
        "_codecs.encode": _encoded,
        **{f"{module}.{name}": _list for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
        **{f"{module}.{name}": _bytes for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
        "datetime.datetime": _datetime,
        "datetime.date": _date,
        "datetime.timedelta": _timedelta,
        "datetime.timezone": _timezone,
        "decimal.Decimal": _text,
        **dict.fromkeys(_PATHS, _path),
        "numpy.dtype": _dtype,
        "numpy.ndarray": _empty_array,
        **{f"{module}.scalar": _scalar for module in _NUMPY},
        **{f"{module}._reconstruct": _empty_array for module in _NUMPY},
        **{f"numpy.random._pickle.{name}": _generator for name in _RANDOM},
        "copyreg._reconstructor": _reconstructed,
        "copy_reg._reconstructor": _reconstructed,
    }
)
