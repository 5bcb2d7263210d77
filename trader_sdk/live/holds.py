"""Why trading is held back: ACTIVE, REDUCING and HALTED as the sum of persisted holds, for the account and by symbol.

A hold is one cause with its state and its moment. Several may stand at once; the gravest counts. They are entries of
the journal (``state_changed``), so a restart finds them as they were. A sticky cause waits for a person (``trader
resume``), any other is lifted by the trader itself when it is cured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft
from trader_sdk.risk import TradingState

if TYPE_CHECKING:
    from trader_sdk.live.journal import Journal

TRADER: Final = "trader"
"""Who, where no person was involved."""


class Cause(StrEnum):
    """Why a hold stands; a closed set."""

    OPERATOR = "OPERATOR"  # a person said so
    KILL_SWITCH = "KILL_SWITCH"
    AUTH = "AUTH"  # the venue no longer accepts our keys
    CID_COLLISION = "CID_COLLISION"  # the venue knows one of our ids for another order
    SPLIT_BRAIN = "SPLIT_BRAIN"  # another trader uses our ids on this account
    CRASH_LOOP = "CRASH_LOOP"
    DRAWDOWN = "DRAWDOWN"
    DAY_LOSS = "DAY_LOSS"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
    STORAGE = "STORAGE"  # the journal could not be written
    JOURNAL_REBUILT = "JOURNAL_REBUILT"  # the books were made anew from the venue
    ORDER_MISMATCH = "ORDER_MISMATCH"  # the venue confirmed another order than was sent
    CLOCK_SKEW = "CLOCK_SKEW"
    MODEL_LOSS = "MODEL_LOSS"
    MODEL_TURNOVER = "MODEL_TURNOVER"
    MODEL_FLIPS = "MODEL_FLIPS"
    MODEL_MIX = "MODEL_MIX"
    MODEL_QUARANTINED = "MODEL_QUARANTINED"
    MODEL_REVOKED = "MODEL_REVOKED"

    @property
    def state(self) -> TradingState:
        """Return the state that the cause brings unless the hold says otherwise."""
        return TradingState.REDUCING if self in _REDUCING else TradingState.HALTED

    @property
    def is_sticky(self) -> bool:
        """Return whether only a person may lift it."""
        return self not in _CURED_BY_ITSELF


_REDUCING: Final = frozenset(
    {
        Cause.JOURNAL_REBUILT,
        Cause.ORDER_MISMATCH,
        Cause.CLOCK_SKEW,
        Cause.MODEL_LOSS,
        Cause.MODEL_TURNOVER,
        Cause.MODEL_FLIPS,
        Cause.MODEL_MIX,
        Cause.MODEL_QUARANTINED,
        Cause.MODEL_REVOKED,
    }
)
_CURED_BY_ITSELF: Final = frozenset({Cause.AUTH, Cause.ACCOUNT_BLOCKED, Cause.STORAGE, Cause.CLOCK_SKEW})
NEEDS_COMPARISON: Final = frozenset({Cause.JOURNAL_REBUILT, Cause.SPLIT_BRAIN, Cause.CID_COLLISION})
"""Causes that a person may lift only after a comparison with the venue that changed nothing."""
_GRAVITY: Final[Mapping[TradingState, int]] = {state: rank for rank, state in enumerate(TradingState)}


@dataclass(frozen=True, slots=True)
class Hold:
    """One cause that holds trading back.

    Attributes:
        cause: Why.
        state: REDUCING or HALTED.
        since: Venue time.
        detail: In words.
        symbol: Whose; None for the whole account.
        who: Who brought it about.
        flatten: Whether the positions are to be closed, not only kept from growing.
    """

    cause: Cause
    state: TradingState
    since: datetime
    detail: str = ""
    symbol: str | None = None
    who: str = TRADER
    flatten: bool = False

    @property
    def text(self) -> str:
        """Return the cause and its words as one line."""
        return f"{self.cause}: {self.detail}" if self.detail else self.cause.value

    def draft(self) -> Draft:
        """Return the journal entry that brings the hold about."""
        body = {
            "state": self.state.value,
            "cause": self.text,
            "symbol": self.symbol,
            "who": self.who,
            "flatten": self.flatten,
        }
        return Draft(JournalEvent.STATE_CHANGED, self.since, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any], at: datetime) -> Hold:
        """Return the hold of a ``state_changed`` entry; one without a known cause was a person's."""
        name, _, detail = str(body["cause"]).partition(": ")
        is_named = name in set(Cause)
        return cls(
            Cause(name) if is_named else Cause.OPERATOR,
            TradingState(body["state"]),
            at,
            detail if is_named else str(body["cause"]),
            body.get("symbol"),
            body.get("who", TRADER),
            bool(body.get("flatten", False)),
        )


Holds = Sequence[Hold]


def gravest(holds: Iterable[Hold]) -> Hold | None:
    """Return the hold that counts, the oldest of the gravest; None where there is none."""
    return max(holds, key=lambda hold: (_GRAVITY[hold.state], -hold.since.timestamp()), default=None)


def is_graver(one: TradingState, other: TradingState) -> bool:
    """Return whether ``one`` forbids more than ``other``."""
    return _GRAVITY[one] > _GRAVITY[other]


def folded(holds: Holds, body: Mapping[str, Any], at: datetime) -> list[Hold]:
    """Return ``holds`` after a ``state_changed`` entry.

    An entry with ``lifts`` takes away the causes that it names from its scope; ACTIVE without it, as earlier journals
    have it, takes away all of the account's.
    """
    symbol = body.get("symbol")
    if "lifts" in body:
        return [hold for hold in holds if hold.symbol != symbol or hold.cause.value not in body["lifts"]]
    if body["state"] == TradingState.ACTIVE:
        return [hold for hold in holds if hold.symbol is not None]
    new = Hold.from_body(body, at)
    return [*(hold for hold in holds if (hold.symbol, hold.cause) != (new.symbol, new.cause)), new]


def lifting(holds: Holds, lifted: Holds, at: datetime, *, who: str, why: str) -> list[Draft]:
    """Return the entries that lift ``lifted``, one a scope; ``state`` says what is left of it."""
    drafts = []
    for symbol in dict.fromkeys(hold.symbol for hold in lifted):
        causes = [hold.cause.value for hold in lifted if hold.symbol == symbol]
        left = gravest(h for h in holds if h.symbol == symbol and h.cause.value not in causes)
        body = {
            "state": (TradingState.ACTIVE if left is None else left.state).value,
            "cause": why,
            "symbol": symbol,
            "who": who,
            "lifts": causes,
        }
        drafts.append(Draft(JournalEvent.STATE_CHANGED, at, body))
    return drafts


StillHolds = Callable[[Hold], str | None]
"""Says why a cause still holds, None where it is cured."""


class Commits(Protocol):
    """Makes entries durable: the order desk, or a journal alone."""

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Commit ``drafts`` in one transaction."""


class StateKeeper:
    """Brings holds about and lifts them; the journal remembers them.

    Args:
        desk: Makes entries durable.
        journal: Holds the books.

    Attributes:
        checks: By cause, what must be cured before a person may lift it; each part of the trader adds its own.
    """

    def __init__(self, desk: Commits, journal: Journal) -> None:
        self._desk, self._journal = desk, journal
        self.checks: dict[Cause, StillHolds] = {}

    def hold(
        self,
        cause: Cause,
        detail: str,
        at: datetime,
        *,
        symbol: str | None = None,
        state: TradingState | None = None,
        who: str = TRADER,
        flatten: bool = False,
    ) -> bool:
        """Hold the account, or ``symbol``, back; the same cause as grave as before changes nothing, and none is eased.

        Args:
            cause: Why.
            detail: In words.
            at: Venue time.
            symbol: Whose; None for the whole account.
            state: REDUCING or HALTED; the cause's own when omitted.
            who: Who brought it about.
            flatten: Whether the positions are to be closed.

        Returns:
            Whether anything changed.
        """
        new = Hold(cause, state or cause.state, at, detail, symbol, who, flatten)
        known = next((h for h in self._journal.ledger.holds if (h.symbol, h.cause) == (symbol, cause)), None)
        if known is not None:
            if not is_graver(new.state, known.state) and flatten <= known.flatten:
                return False
            # Whoever asks for one thing more takes nothing back of what was asked for before.
            worse = new.state if is_graver(new.state, known.state) else known.state
            new = replace(new, state=worse, flatten=flatten or known.flatten)
        self._desk.commit([new.draft()])
        return True

    def lift(self, cause: Cause, at: datetime, *, why: str, symbol: str | None = None, who: str = TRADER) -> bool:
        """Lift one cause that is cured; return whether it stood."""
        holds = self._journal.ledger.holds
        found = [hold for hold in holds if (hold.symbol, hold.cause) == (symbol, cause)]
        self._desk.commit(lifting(holds, found, at, who=who, why=why))
        return bool(found)

    def resume(self, at: datetime, *, symbol: str | None, who: str, why: str) -> Mapping[Hold, str]:
        """Lift everything that a person may lift, for the account (with its symbols) or for one symbol.

        Returns:
            What still holds, and why; nothing was lifted where this is not empty.
        """
        holds = self._journal.ledger.holds
        asked = [hold for hold in holds if symbol is None or hold.symbol == symbol]
        still = {hold: reason for hold in asked if (reason := self._still(hold)) is not None}
        if not still:
            self._desk.commit(lifting(holds, asked, at, who=who, why=why))
        return still

    def _still(self, hold: Hold) -> str | None:
        check = self.checks.get(hold.cause)
        return None if check is None else check(hold)
