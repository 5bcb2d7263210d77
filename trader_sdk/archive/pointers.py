"""Which model of a slot is meant: champion, newest challenger, or latest approved, also written as an alias."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trader_sdk.archive.reader import ArchiveReader, deployed_subject
from trader_sdk.archive.slots import ArchiveState, SlotKey, VerdictRef
from trader_sdk.contract.errors import ArchiveError, UsageError
from trader_sdk.contract.slot_state import Challenger, Champion
from trader_sdk.contract.timeframe import parse_timeframe
from trader_sdk.contract.verdicts import GateClass

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
LATEST_APPROVED: Final = "latest-approved"

_SCHEME: Final = "models:"
_FOLLOW: Final = (CHAMPION, CHALLENGER, LATEST_APPROVED)
_ALIAS: Final = re.compile(r"models:/(?P<symbol>.+)/(?P<timeframe>[^/@]+)@(?P<follow>[a-z-]+)")


def resolve(symbol: str, timeframe: str, follow: str) -> tuple[SlotKey, str]:
    """Return the slot and the pointer that are meant; an alias as ``symbol`` says all three.

    Raises:
        UsageError: The timeframe or the pointer is unknown.

    Example:
        >>> slot, follow = resolve("models:/BTC/USD/1Hour@challenger", "1Day", "champion")
        >>> str(slot), follow
        ('BTC/USD/1Hour', 'challenger')
    """
    if is_alias(symbol):
        symbol, timeframe, follow = _parts(symbol)
    return SlotKey(symbol, parse_timeframe(timeframe)), checked_follow(follow)


def is_alias(text: str) -> bool:
    """Return whether a text names a model by its place: ``models:/AAPL/1Day@champion``."""
    return text.startswith(_SCHEME)


def _parts(alias: str) -> tuple[str, str, str]:
    found = _ALIAS.fullmatch(alias)
    if found is None:
        expected = "models:/SYMBOL/TIMEFRAME@POINTER, such as models:/AAPL/1Day@champion"
        raise UsageError("USAGE", "not an alias", where="model", expected=expected, found=alias)
    return found["symbol"], found["timeframe"], found["follow"]


def aliased(state: ArchiveState, alias: str, at: datetime | None = None) -> VerdictRef:
    """Return the verdict that an alias names.

    Args:
        state: What the chain says.
        alias: ``models:/SYMBOL/TIMEFRAME@POINTER``.
        at: Moment at which an override must be in force for ``latest-approved``; now when omitted.

    Raises:
        UsageError: It is no alias, or its timeframe or pointer is unknown.
        ArchiveError: E601 if the pointer names nothing.
    """
    symbol, timeframe, follow = _parts(alias)
    key = SlotKey(symbol, parse_timeframe(timeframe))
    now = at or datetime.now(UTC)
    found = followed(state, key, checked_follow(follow), lambda ref: is_deployable(state, ref, now))
    if found is None:
        raise ArchiveError("E601", f"{key} has no {follow}", where="model", found=alias)
    return found


def is_deployable(state: ArchiveState, ref: VerdictRef, at: datetime) -> bool:
    """Return whether the chain alone lets a model trade: approved or lifted, and not recalled."""
    if state.recall_of(ref.version_id, ref.policy_sha256) is not None:
        return False
    override = state.overrides.get(ref.id)
    return ref.gate_class is GateClass.APPROVED or (override is not None and at < override.until)


def model_file(reader: ArchiveReader, ref: VerdictRef) -> Path:
    """Return the file that a verdict's model is loaded from, without asking whether it may trade.

    Raises:
        ArchiveError: E601 if there is none, since the checkpoint was refused; E602 if the verdict was edited.
    """
    judged = reader.judged(ref)
    if not judged.verdict.subjects:
        raise ArchiveError("E601", "its checkpoint was refused; there is no model", where=ref.id, found=ref.gate_class)
    return judged.path_of(deployed_subject(judged.verdict))


def checked_follow(follow: str) -> str:
    """Return the name of a pointer.

    Raises:
        UsageError: There is no such pointer.
    """
    if follow not in _FOLLOW:
        raise UsageError("USAGE", "unknown pointer", where="follow", expected=", ".join(_FOLLOW), found=follow)
    return follow


def followed(
    state: ArchiveState, key: SlotKey, follow: str, is_deployable: Callable[[VerdictRef], bool]
) -> VerdictRef | None:
    """Return the verdict that a pointer names, ``None`` where it names nothing.

    Args:
        state: What the chain says.
        key: The slot.
        follow: One of the pointers.
        is_deployable: Asked, newest first, for ``latest-approved`` only.
    """
    if follow == LATEST_APPROVED:
        return next((ref for ref in state.newest_first(key) if is_deployable(ref)), None)
    pointers = state.pointers(key)
    named: Champion | Challenger | None = pointers.challenger if follow == CHALLENGER else pointers.champion
    return state.newest_verdict(key, named.version_id, named.policy_sha256) if named else None
