"""Documents to bytes and back; a metric that is not finite is written as text, since JSON has no such number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.document import Document
from trader_sdk.contract.errors import ArchiveError


def plain(document: Document) -> dict[str, Any]:
    """Return a document as JSON data under its public names."""
    data: dict[str, Any] = json.loads(document.model_dump_json(by_alias=True))
    return data


def digest_of(document: Document) -> str:
    """Return ``sha256:<hex>`` over a document's canonical JSON."""
    return sha256_of(plain(document))


def encode(data: Mapping[str, Any]) -> bytes:
    """Return JSON that people can read, ending with a line feed."""
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonable(value: object, where: str = "summary") -> Any:
    """Return plain JSON data for what a trainer hands over in memory.

    Numbers that JSON does not have become text, numpy scalars and arrays become numbers and lists.

    Raises:
        ArchiveError: E609 for anything else.

    Example:
        >>> jsonable({"profit_factor": (1.5, float("inf"))})
        {'profit_factor': [1.5, 'Infinity']}
    """
    if isinstance(value, str):
        return _text(value, where)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _named(value)
    if isinstance(value, Mapping):
        return {_text(str(key), where): jsonable(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return jsonable(value.tolist(), where)
    if hasattr(value, "isoformat") or hasattr(value, "__fspath__"):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    raise ArchiveError("E609", "not JSON data", where=where, expected="plain data", found=type(value).__name__)


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArchiveError("E609", "not text", where=where, expected="UTF-8", found=ascii(value[:40])) from error
    return value


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
