"""What a person asks of a trader while it runs: halt, resume, flatten, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from trader_sdk.live.control import Command, Request
from trader_sdk.live.holds import Cause

if TYPE_CHECKING:
    from trader_sdk.live.trader import LiveTrader

Told = Callable[[str, Mapping[str, Any]], None]
WHO: Final = "faults"


class Ask(BaseModel):
    """One request.

    Attributes:
        after: Bar after which it is asked.
        command: What.
        symbol: Whose; None for the account.
        flatten: With ``halt``: also close the positions.
        sha256: Of a model, for ``disable`` and ``enable``; ``SIM`` and so on stand for that symbol's.
        why: In words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: int = Field(ge=1)
    command: Command
    symbol: str | None = None
    flatten: bool = False
    sha256: str | None = None
    why: str = ""


class Asker:
    """Asks between two bars, and tells what was answered as ``answered``.

    Args:
        asks: What, and when.
        trader: Is asked.
        told: Hears the answers.
    """

    def __init__(self, asks: Sequence[Ask], trader: LiveTrader, told: Told) -> None:
        self._asks, self._trader, self._told = asks, trader, told

    def told(self, name: str, fields: Mapping[str, Any]) -> None:
        """Ask what is to be asked after a bar that the trader has finished."""
        for ask in self._asks:
            if name == "bar_finished" and ask.after == int(fields["n"]):
                self._ask(ask)

    def _ask(self, ask: Ask) -> None:
        models = self._trader.session.journal.ledger.models
        named = {**ask.model_dump(exclude={"after"}), "who": WHO}
        if ask.sha256 in models:
            named["sha256"] = models[ask.sha256]["sha256"]
        inbox = self._trader.loop.operations.inbox
        inbox.put(Request(**named), Cause.OPERATOR, lambda answer: self._told("answered", asdict(answer)))
