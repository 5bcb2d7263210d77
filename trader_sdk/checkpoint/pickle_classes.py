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
from types import MappingProxyType
from typing import Final

from trader_sdk.checkpoint import pickle_values as values
from trader_sdk.checkpoint.faults import brief, too_large, unreadable, unsafe
from trader_sdk.checkpoint.limits import MAX_TEXT
from trader_sdk.checkpoint.pickle_values import ClassName, Dtype, Foreign, Ndarray
from trader_sdk.checkpoint.tensors import StorageRef

Builder = Callable[[values.Args], object]

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
# Patterns are compiled where they are first used: most checkpoints need none of them.
_CLASS_LIKE: Final = r"(_*[A-Z]\w*)(\._*[A-Z]\w*)*\Z"
_LIBRARIES: Final = frozenset({"torch", "numpy", "pip", "setuptools", "pkg_resources", "pandas", "joblib", "dill"})
_KNOWN_VALUES: Final = (
    r"torch\.(b?float(16|32|64)|u?int(8|16|32|64)|bool|double|half|long|int|float)\Z"
    r"|torch\.nn\.modules\.\w+\.[A-Z]\w*\Z"
    r"|torch\.optim\.\w+\.[A-Z]\w*\Z"
    r"|numpy\.(float(16|32|64)|u?int(8|16|32|64)|bool_?)\Z"
    r"|numpy\.random\.(_\w+|bit_generator)\.[A-Z]\w*\Z"
    r"|(argparse\.Namespace|types\.SimpleNamespace)\Z"
    r"|(builtins|__builtin__)\.(bool|int|float|str|list|dict|tuple|object)\Z"
)
_UNSUPPORTED: Final = r"torch\._utils\._rebuild_|torch\.(storage\.)?\w*Storage\Z|torch\._tensor\."


def class_name(module: str, name: str) -> ClassName:
    """Admit a name that a pickle refers to.

    Raises:
        CheckpointError: E102 for anything that is neither in our tables nor plainly a settings class; E101 for
            torch's own layouts that this reader does not know; E107 for a name that is no name any more.
    """
    full = f"{module}.{name}"
    if len(full) > MAX_TEXT:
        raise too_large("a name is too long", where="data.pkl", expected=f"<= {MAX_TEXT}", found=len(full))
    if full in BUILDERS or full in _STORAGES or full in _STRING_CLASSES or re.match(_KNOWN_VALUES, full):
        return ClassName(full)
    if re.match(_UNSUPPORTED, full):
        raise unreadable("this reader does not know a tensor layout of torch's", where="data.pkl", found=full[:120])
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root in _LIBRARIES or not re.match(_CLASS_LIKE, name):
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
    raise unsafe(
        "the pickle asks for a call that a checkpoint never needs", where="data.pkl", found=function.name[:120]
    )


def instance(cls: object, args: object) -> object:
    """Return a stand-in for a new instance: its class's name and its constructor's arguments."""
    if type(cls) is not ClassName or type(args) is not tuple:
        raise unsafe("the pickle makes an instance of something that is no class", where="data.pkl")
    if cls.name in _STRING_CLASSES:
        return str(values.only(args))
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
    elif type(target) is Dtype and type(state) is tuple and len(state) >= 2 and type(state[1]) is str:
        target.order = state[1]
    elif type(target) is Ndarray and target.value is None:
        target.value = values.array_from_state(state)
    elif type(target) is not dict or type(state) is not dict or set(state) - {"_metadata"}:
        # A state dict's only attribute is torch's record of module versions, which trading does not read.
        raise unreadable("the pickle sets attributes of a plain value", where="data.pkl", found=type(target).__name__)


def storage(reference: object) -> StorageRef:
    """Return the storage that a persistent id names.

    Raises:
        CheckpointError: E101 for any other shape of reference.
    """
    # A sixth field, a view into another storage, was last written with a value by torch 0.1.
    if type(reference) is not tuple or len(reference) not in (5, 6) or reference[0] != "storage" or any(reference[5:]):
        raise unreadable("the pickle refers to something outside itself", where="data.pkl", found=brief(reference))
    _, cls, key, location, numel = reference[:5]
    dtype = _STORAGES.get(cls.name) if type(cls) is ClassName else None
    if dtype is None or type(key) is not str or not _is_plain_key(key):
        raise unreadable("a storage is of unknown type or name", where="data.pkl", found=brief(key))
    if type(location) is not str or type(numel) is not int or numel < 0:
        raise unreadable("a storage's length is no count", where=f"data/{key}", found=brief(numel))
    return StorageRef(key, dtype, numel)


def _is_plain_key(key: str) -> bool:
    return len(key) <= 64 and key.isascii() and key.replace("_", "0").isalnum()


def _is_enum_value(name: str, args: tuple[object, ...]) -> bool:
    root = name.partition(".")[0]
    foreign = root not in sys.stdlib_module_names and root not in _LIBRARIES
    return foreign and len(args) == 1 and type(args[0]) in (str, int, float, bool)


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
        "collections.OrderedDict": values.ordered_dict,
        "collections.defaultdict": values.default_dict,
        "torch._utils._rebuild_tensor_v2": values.tensor,
        "torch._utils._rebuild_tensor": values.tensor_of_torch_0_3,
        "torch._utils._rebuild_parameter": values.parameter,
        "torch.Size": values.size,
        "torch.device": values.device,
        "_codecs.encode": values.encoded,
        **{
            f"{module}.{name}": values.set_members
            for module in ("builtins", "__builtin__")
            for name in ("set", "frozenset")
        },
        **{
            f"{module}.{name}": values.byte_array
            for module in ("builtins", "__builtin__")
            for name in ("bytes", "bytearray")
        },
        "datetime.datetime": values.moment,
        "datetime.date": values.day,
        "datetime.timedelta": values.duration,
        "datetime.timezone": values.zone,
        "decimal.Decimal": values.text,
        **dict.fromkeys(_PATHS, values.path),
        "numpy.dtype": values.dtype,
        "numpy.ndarray": values.empty_array,
        **{f"{module}.scalar": values.scalar for module in _NUMPY},
        **{f"{module}._reconstruct": values.empty_array for module in _NUMPY},
        **{f"numpy.random._pickle.{name}": values.generator for name in _RANDOM},
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": values.generator,
        "copyreg._reconstructor": values.reconstructed,
        "copy_reg._reconstructor": values.reconstructed,
    }
)
