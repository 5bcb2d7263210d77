"""Names inside an archive: symbols, keys, timestamps and version ids that are safe as paths everywhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.timeframe import Timeframe

AUDIT_FILE: Final = "audit.jsonl"
INDEX_FILE: Final = "index.json"
DATABASE_FILE: Final = "index.sqlite"
LOCK_FILE: Final = ".lock"
SUMMARY_FILE: Final = "summary.json"
ASSESSMENTS_FILE: Final = "model_assessments.json"
RECOMMENDATIONS_FILE: Final = "recommendations.md"
REPORT_FILE: Final = "report.html"
MODELS_FOLDER: Final = "models"
UNFINISHED_PREFIX: Final = ".tmp-"

MAX_SYMBOL_CHARACTERS: Final = 32
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")
# Windows opens a device for these, whatever follows the first dot.
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"COM{i}" for i in range(10)), *(f"LPT{i}" for i in range(10))}
)
_TIMESTAMP: Final = re.compile(r"\d{8}_\d{6}(_[1-9]\d{0,5})?", re.ASCII)
_LABEL_ALLOWED: Final = re.compile(r"[^a-z0-9.]+")


def escape_symbol(symbol: str) -> str:
    """Return a symbol as a file name: percent-encoded wherever a file system could misread it.

    Two symbols never share a name, on file systems that fold case neither.

    Args:
        symbol: 1..32 characters as the venue writes them.

    Raises:
        ArchiveError: E609 for an empty or over-long symbol, or one that is not text.

    Example:
        >>> [escape_symbol(s) for s in ("AAPL", "BRK.B", "BTC/USD", "../../etc", "CON")]
        ['AAPL', 'BRK.B', 'BTC%2FUSD', '%2E.%2F..%2F%65%74%63', '%43ON']
    """
    try:
        symbol.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _bad_symbol(symbol) from error
    if not 1 <= len(symbol) <= MAX_SYMBOL_CHARACTERS:
        raise _bad_symbol(symbol)
    escaped = [_escaped(character) for character in symbol]
    if symbol.startswith(".") or symbol.split(".")[0].upper() in _DEVICES:
        escaped[0] = _percent(symbol[0])
    if len(symbol) > 1 and symbol.endswith("."):
        escaped[-1] = _percent(".")
    return "".join(escaped)


def unescape_symbol(text: str) -> str:
    """Return the symbol that :func:`escape_symbol` made ``text`` of."""
    return unquote(text, errors="strict")


def model_key(symbol: str, timeframe: Timeframe) -> str:
    """Return the key of a model in summaries and verdict ids.

    Example:
        >>> model_key("BTC/USD", Timeframe.HOUR_1)
        'BTC%2FUSD_1Hour'
    """
    return f"{escape_symbol(symbol)}_{timeframe.value}"


def run_timestamp(at: datetime, attempt: int = 1) -> str:
    """Return the name of a run's folder; ``attempt`` counts runs of one second from 1.

    Example:
        >>> run_timestamp(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), 2)
        '20261121_093000_2'
    """
    stem = at.astimezone(UTC).strftime("%Y%m%d_%H%M%S")
    return stem if attempt == 1 else f"{stem}_{attempt}"


def is_run_timestamp(name: str) -> bool:
    """Return whether ``name`` is the name of a run's folder, nothing around it."""
    return _TIMESTAMP.fullmatch(name) is not None


def run_folder(root: Path, timestamp: str) -> Path:
    """Return a run's folder.

    Raises:
        ArchiveError: E609 for anything but a timestamp, so that no path leaves the archive.
    """
    if not is_run_timestamp(timestamp):
        raise ArchiveError(
            "E609", "not the name of a run", where="timestamp", expected="YYYYMMDD_HHMMSS[_n]", found=repr(timestamp)
        )
    return root / timestamp


def version_id(label: str, at: datetime, content_sha256: str) -> str:
    """Return ``{label}-{date}-{fp}``; ``fp`` is the first eight digits of the content's digest.

    Example:
        >>> version_id("Spec default", datetime(2026, 11, 21, tzinfo=UTC), "1a2b3c4d" + 56 * "0")
        'spec-default-20261121-1a2b3c4d'
    """
    slug = _LABEL_ALLOWED.sub("-", label.lower()).strip("-.")[:40] or "model"
    return f"{slug}-{at.astimezone(UTC):%Y%m%d}-{content_sha256[:8]}"


def _escaped(character: str) -> str:
    return character if character in _PLAIN else _percent(character)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))


def _bad_symbol(symbol: str) -> ArchiveError:
    expected = f"1..{MAX_SYMBOL_CHARACTERS} characters of text"
    return ArchiveError("E609", "not a symbol", where="symbol", expected=expected, found=repr(symbol[:40]))
