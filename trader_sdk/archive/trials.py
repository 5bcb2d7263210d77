"""Which bars judged a model, and whether somebody looked at some of them before.

A look is counted by its bars and not by the file that they came from: the same GATE block with one bar more, or fewer,
is another file and the same look.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from trader_sdk.contract.summary import DataRange, GateBlock

_DATE_LENGTH = len("2012-01-03")


class Judged(NamedTuple):
    """The bars that judged a model.

    Attributes:
        digest: Of the data that they belong to.
        first, last: Starts of the first and the last, ``YYYY-MM-DDTHH:MM:SSZ``, which sort as text.
    """

    digest: str
    first: str
    last: str

    @classmethod
    def of(cls, gate: GateBlock | None, data: DataRange | None) -> Self | None:
        """Return what judged a model; None where nobody says.

        Args:
            gate: Its folds say which bars were opened.
            data: Without folds, all of it counts as opened.
        """
        if data is None:
            return None
        folds = gate.folds if gate is not None else ()
        texts = (folds[0].start, folds[-1].end) if folds else (data.start, data.end)
        try:
            return cls(data.digest, _second(texts[0]), _second(texts[1], end=True))
        except (ValueError, OverflowError):
            return None

    def shares_bars_with(self, other: Judged | None) -> bool:
        """Return whether a look at ``other`` was a look at some of these bars; one that nobody describes was."""
        if other is None or other.digest == self.digest:
            return True
        return other.first <= self.last and other.last >= self.first


def _second(text: str, *, end: bool = False) -> str:
    at = datetime.fromisoformat(text)
    if end and len(text) == _DATE_LENGTH:
        at += timedelta(days=1, seconds=-1)
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{aware:%Y-%m-%dT%H:%M:%SZ}"
