"""What a person reads when models change, fail, or play beside the champion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

Fields = Mapping[str, Any]


def _sha8(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")[:8] or "no file"


def _swapped(fields: Fields) -> str:
    models = f"{_sha8(fields['from_sha256'])} -> {_sha8(fields['to_sha256'])}"
    return f"MODEL {fields['symbol']} {models}: {fields['cause']}"


def _refused(fields: Fields) -> str | None:
    if "version_id" not in fields:
        return None  # at the start the gate table says it
    return f"MODEL {fields['symbol']} {_sha8(fields['sha256'])} refused, the old one trades on: {fields['message']}"


def _failed(fields: Fields) -> str:
    return f"MODEL {fields['symbol']} {_sha8(fields['sha256'])} failed, {fields['in_a_row']} in a row: {fields['why']}"


def _cast(fields: Fields) -> str | None:
    roles = Counter(shadow["role"] for shadow in fields["shadows"])
    count, symbols = roles["challenger"], len({shadow["symbol"] for shadow in fields["shadows"]})
    return f"shadows: {count} challengers of {symbols} symbols decide on paper" if count else None


def _left_out(fields: Fields) -> str:
    return f"shadow {fields['symbol']} {_sha8(fields['sha256'])} left out: {fields['why']}"


def _archive_trouble(fields: Fields) -> str:
    return f"the archive cannot be looked at, models trade on: {fields['message']}"


MODEL_TEXTS: Final[Mapping[str, Callable[[Fields], str | None]]] = {
    "model_swapped": _swapped,
    "model_refused": _refused,
    "model_failed": _failed,
    "shadows_cast": _cast,
    "shadow_left_out": _left_out,
    "archive_trouble": _archive_trouble,
}
"""Name of an event to its line."""
