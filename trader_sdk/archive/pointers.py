"""Which model of a slot is meant: champion, newest challenger, or latest approved, also written as an alias."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from trader_sdk.archive.slots import ArchiveState, SlotKey, VerdictRef
from trader_sdk.contract.documents import Challenger, Champion
from trader_sdk.contract.errors import UsageError
from trader_sdk.contract.timeframe import parse_timeframe

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
LATEST_APPROVED: Final = "latest-approved"

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
    alias = _ALIAS.fullmatch(symbol)
    if alias is not None:
        symbol, timeframe, follow = alias["symbol"], alias["timeframe"], alias["follow"]
    return SlotKey(symbol, parse_timeframe(timeframe)), checked_follow(follow)


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
        return next((ref for ref in state.verdicts_of(key) if is_deployable(ref)), None)
    slot = state.slot(key)
    named: Champion | Challenger | None = slot.champion
    if follow == CHALLENGER:
        named = slot.challengers[-1] if slot.challengers else None
    return state.newest_verdict(key, named.version_id, named.policy_sha256) if named else None
