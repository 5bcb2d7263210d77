"""A sign of life while no bar comes: when the market opens, when the next bar is final, what is held meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from trader_sdk.live.events import rfc3339
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.report import cents
from trader_sdk.live.schedule import Schedule

BEAT_EVERY: Final = timedelta(minutes=30)
"""How long nothing may be said."""


class Heartbeat:
    """Speaks at once where no bar came at the start, then each time none came for :data:`BEAT_EVERY`.

    Args:
        schedule: When the market opens and bars are final.
        say: Told ``idle`` and its fields.
        is_replay: A replay stands still between bars and has nothing to wait for, so nothing is said.

    Attributes:
        due: When it speaks next if no bar comes before, None before anything was said.
    """

    def __init__(self, schedule: Schedule, say: Callable[[str, Mapping[str, Any]], None], *, is_replay: bool) -> None:
        self._schedule, self._say, self._is_replay = schedule, say, is_replay
        self.due: datetime | None = None

    def hold(self, now: datetime) -> None:
        """Keep quiet for a while: a bar was just told."""
        if not self._is_replay:
            self.due = now + BEAT_EVERY

    def beat(self, now: datetime, ledger: Ledger) -> None:
        """Speak if it is due."""
        if not self._is_replay and (self.due is None or now >= self.due):
            self._say("idle", idle_fields(self._schedule, ledger, now))
            self.hold(now)


def idle_fields(schedule: Schedule, ledger: Ledger, now: datetime) -> dict[str, Any]:
    """Return what there is to say while no bar comes, as plain data."""
    opens, final = schedule.next_open(now), schedule.next_final(now)
    return {
        "venue_time": rfc3339(now),
        "is_open": schedule.is_open(now),
        "next_open": rfc3339(opens) if opens is not None else None,
        "next_bar": rfc3339(final) if final is not None else None,
        "positions": sum(1 for sleeve in ledger.sleeves.values() if sleeve.qty),
        "working": len(ledger.working),
        "equity": cents(ledger.equity),
    }
