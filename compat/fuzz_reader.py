"""Fuzzes the strict reader: any input gives plain data or a typed error, and nothing else.

    pip install "trader-sdk[fuzz]"
    python compat/fuzz_reader.py -max_total_time=1200 CORPUS_FOLDER

The first byte of an input says what the rest is: a whole file, the pickle of a good zip, the old layout after its
three leading pickles, the header of a safetensors file, or what a good safetensors file says of its model. So the
fuzzer reaches the inside of containers whose checksums it could never guess, and the rules of versions behind them.
Options are libFuzzer's; the folder is filled with seeds when it is empty.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from corpus import corpus
from opcodes import checkpoint, container, legacy, legacy_head

try:
    import atheris
except ImportError:  # the seeds are also run as a plain test, which needs no fuzzer
    atheris = None

with atheris.instrument_imports(include=["trader_sdk"]) if atheris else nullcontext():
    from trader_sdk.checkpoint import reader, safetensors_format, torch_legacy
    from trader_sdk.checkpoint.source import Source
    from trader_sdk.checkpoint.tensors import TensorRef
    from trader_sdk.contract.compatibility import check_compatibility
    from trader_sdk.contract.detect import detect_version_from_checkpoint
    from trader_sdk.contract.errors import CheckpointError, SdkError
    from trader_sdk.contract.metadata import get_checkpoint_metadata

LAZY: Final = (safetensors_format, torch_legacy)
"""Loaded with the others, so that they are instrumented too; the reader imports them when a file asks for them."""

_BODY: Final = bytes(range(64))
_PLAIN: Final = (str, int, float, bool, bytes, type(None), np.ndarray, TensorRef)


def _whole(data: bytes) -> bytes:
    return data


def _inside_a_zip(data: bytes) -> bytes:
    return container(data)


def _old_layout(data: bytes) -> bytes:
    return legacy_head() + data


def _safetensors_header(data: bytes) -> bytes:
    return _safetensors_file(data, _BODY)


def _safetensors_file(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


_SHAPES: Final = {"a.weight": [1, 5900], "a.bias": [1], "pi.weight": [7, 1], "pi.bias": [7]}
MODEL_FIELDS: Final[dict[str, Any]] = {
    **get_checkpoint_metadata("2.7.0"),
    "activation": "tanh",
    "bad_traders": ["2.6.0"],
    "requires_trader": ">=2.7",
    "feature_schema": {"a": [1]},
    "symbol": "AAPL",
    "data_end": "2026-01-01",
    "lineage": {"stamped_from": "sha256:00"},
    "semantics": "unproven",
}
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _fields_of_a_model(data: bytes) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"trader_sdk": data.decode("utf-8", "replace")}}
    at = 0
    for name, shape in _SHAPES.items():
        end = at + 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, end]}
        at = end
    return _safetensors_file(json.dumps(header).encode(), bytes(at))


WRAPPERS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    _whole, _inside_a_zip, _old_layout, _safetensors_header, _fields_of_a_model,
)  # fmt: skip


def one_input(data: bytes) -> None:
    """Read one input; an exception from here is a finding."""
    if not data:
        return
    content = WRAPPERS[data[0] % len(WRAPPERS)](data[1:])
    if not content:
        return
    try:
        raw = reader.parse_source(Source("input", memoryview(content), "sha256:0"), optimizer=True)
    except CheckpointError as error:
        require_brief(error)
        return
    assert raw.tensors, "a checkpoint without a policy was accepted"
    for tensor in raw.tensors.values():
        assert tensor.flags.c_contiguous
        assert tensor.dtype.kind != "f" or np.isfinite(tensor).all()
    require_plain(dict(raw.metadata))
    try:
        detection = detect_version_from_checkpoint(raw.fields)
        check_compatibility(detection, at=_AT, max_model_age=timedelta(days=9))
    except SdkError as error:
        require_brief(error)


def require_brief(error: SdkError) -> None:
    """Refuse a message that spells the input out."""
    assert len(str(error)) < 3000


def require_plain(value: Any) -> None:
    """Refuse anything that is not plain data, however deep."""
    if isinstance(value, dict):
        for key, item in value.items():
            require_plain(key)
            require_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            require_plain(item)
    else:
        assert type(value) in _PLAIN, f"{type(value).__name__} is no plain data"


def seeds() -> Iterator[bytes]:
    """Yield inputs to begin with: the goldens' pickles, and every small case of the hostile corpus."""
    yield b"\x01" + checkpoint()
    yield b"\x02" + legacy()[len(legacy_head()) :]
    yield b"\x03" + b'{"w":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}'
    yield b"\x04{}"
    yield b"\x04" + json.dumps(MODEL_FIELDS).encode()
    for case in corpus(Path(os.devnull)):
        if isinstance(case.content, bytes) and len(case.content) < 1 << 14:
            yield b"\x00" + case.content
        if case.pickle is not None and len(case.pickle) < 1 << 14:
            yield b"\x01" + case.pickle


def main() -> None:
    """Fuzz until libFuzzer is told to stop."""
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            for index, seed in enumerate(seeds()):
                (folder / f"seed-{index:04}").write_bytes(seed)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
