"""Bars that do not fit what is known: told, kept from deciding, and resolved by reading their history anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from trader_sdk.contract.bars import Bar
from trader_sdk.live.events import bar_time, rfc3339
from trader_sdk.live.opening import Session


class Doubts:
    """Weighs each bar against its symbol's past.

    Args:
        session: The open session; its feed asks here.
        say: Told what a person is told.
    """

    def __init__(self, session: Session, say: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._lines, self._feed, self._say = session.lines, session.feed, say
        session.feed.is_doubted = self._is_doubted
        session.feed.on_heard = self._weigh

    def _weigh(self, bar: Bar) -> str | None:
        """Return why a bar is not believed; its line remembers that until it takes a bar."""
        return self._lines[bar.symbol].doubt(bar)

    def _is_doubted(self, bar: Bar) -> bool:
        why = self._weigh(bar)
        if why is not None:
            at = rfc3339(bar_time(bar.t))
            self._say("bar_quarantined", {"symbol": bar.symbol, "bar": at, "close": bar.close, "why": why})
        return why is not None

    async def resolve(self, bars: Mapping[str, Sequence[Bar]], now: datetime) -> bool:
        """Read histories anew where a bar does not fit to the known one, or one was missing.

        After a split the venue tells an adjusted past; a bar that was late is there now; a jump that lasted is true.

        Returns:
            Whether there was a doubt: then positions may have changed as well, and books are to be compared.
        """
        lines = self._lines
        doubtful = [s for s, new in bars.items() if lines[s].may_be_whole or lines[s].doubt(new[0]) is not None]
        if not doubtful:
            return False
        required = max(lines[symbol].live.observations.provider.required_history for symbol in doubtful)
        # All at once, however many: who waited for the others would lose the doubt with the next bar that fits.
        for symbol, history in (await self._feed.histories(doubtful, required + 1, now)).items():
            before = sum(1 for t in history.t if t < bars[symbol][0].t)
            if before:
                lines.restart(symbol, history.slice(0, before))
                self._say("window_rebuilt", {"symbol": symbol, "bars": before})
        return True
