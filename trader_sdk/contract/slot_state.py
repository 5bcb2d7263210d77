"""Who holds a slot: its champion, those before it, and those that wait beside it."""

from __future__ import annotations

from enum import StrEnum

from trader_sdk.contract.document import AwareTime, Digest, Document, Symbol
from trader_sdk.contract.timeframe import Timeframe


class Stage(StrEnum):
    """A model's place in its slot."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    OBSERVE = "observe"
    ARCHIVED = "archived"


class Champion(Document):
    """The model that a slot points at."""

    version_id: str
    policy_sha256: Digest
    since: AwareTime


class Challenger(Document):
    """A model that waits beside the champion."""

    version_id: str
    policy_sha256: Digest
    stage: Stage
    horizon: str = ""
    since: AwareTime


class SlotState(Document):
    """A (symbol, timeframe) and who holds it; ``previous`` is what ``revert`` goes back to."""

    symbol: Symbol
    timeframe: Timeframe
    champion: Champion | None
    previous: Champion | None = None
    history: tuple[Champion, ...] = ()
    challengers: tuple[Challenger, ...] = ()
