"""Strict JSON: canonical bytes out, and nothing ambiguous in."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final, NoReturn

from trader_sdk.contract.errors import ArchiveError

MAX_JSON_BYTES: Final = 16 * 1024 * 1024
MAX_JSON_DEPTH: Final = 64
_MAX_EXACT_INTEGER: Final = 2**53
# Possessive: whatever a string holds, matching it takes one pass and no memory.
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def canonical_json(value: Any) -> bytes:
    """Return the one byte form of plain JSON data: sorted keys, no spaces, UTF-8, no NaN.

    Raises:
        ValueError: The value holds NaN or infinity.

    Example:
        >>> canonical_json({"b": 1, "a": "é"})
        b'{"a":"\\xc3\\xa9","b":1}'
    """
    return _CANONICAL.encode(value).encode()


def sha256_of(value: Any) -> str:
    """Return ``sha256:<hex>`` of the canonical bytes of ``value``."""
    return f"sha256:{hashlib.sha256(canonical_json(value)).hexdigest()}"


def read_json_strict(data: bytes | str, *, where: str = "document") -> Any:
    """Parse JSON and refuse what parsers read differently.

    Args:
        data: UTF-8 text or bytes.
        where: Named in the error.

    Returns:
        Plain data.

    Raises:
        ArchiveError: E609 for a BOM, duplicate keys, NaN or infinity, integers past 2**53, more than 64 levels,
            more than 16 MiB, or text that is not JSON.
    """
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) > MAX_JSON_BYTES:
        raise _refused(where, f"{len(raw)} bytes", f"at most {MAX_JSON_BYTES} bytes")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _refused(where, "a byte order mark", "plain UTF-8")
    _check_depth(raw, where)
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constants,
            parse_int=_exact_integer,
            parse_float=_finite_float,
        )
    except (ValueError, RecursionError) as error:
        raise _refused(where, str(error)[:200], "strict JSON") from error


def _refused(where: str, found: str, expected: str) -> ArchiveError:
    return ArchiveError("E609", "this JSON is refused", where=where, expected=expected, found=found)


def _check_depth(raw: bytes, where: str) -> None:
    # Counted before parsing: the parser itself recurses. Fewer openings than levels cannot be too deep.
    if raw.count(b"[") + raw.count(b"{") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for bracket in _STRINGS.sub(b"", raw).translate(None, delete=_NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_JSON_DEPTH:
            # At once: a million levels cost no more than sixty-five.
            raise _refused(where, f"more than {MAX_JSON_DEPTH} levels", f"at most {MAX_JSON_DEPTH} levels")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value] # set.add in a search
        raise ValueError(f"duplicate key {twice!r}")
    return result


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _exact_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > _MAX_EXACT_INTEGER:
        raise ValueError(f"integer {text[:20]} is past 2**53")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number {text[:20]} is not finite")
    return value
