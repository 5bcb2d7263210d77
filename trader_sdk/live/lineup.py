"""All symbols of a session side by side: one feature step and one decision step a bar close, whatever their number.

Symbols whose features are this package's own share a :class:`~trader_sdk.features.many.UniverseProvider` for each
schema and one :class:`~trader_sdk.decision_streams.DecisionStreams`. Anybody else's features go symbol by symbol, as
:class:`~trader_sdk.live.lines.SymbolLine` does it. Both decide alike: the same rows to the last bit, the same actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ActionError, DataError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.decision_streams import DecisionStreams, SymbolDecisions
from trader_sdk.decisions import Decision
from trader_sdk.features.many import SymbolProvider, UniverseProvider
from trader_sdk.features.observation import ObservationBuilder
from trader_sdk.features.own import Ohlcv53Provider
from trader_sdk.features.provider import observation_of
from trader_sdk.live.lines import Decided, Seen, SymbolLine, exact
from trader_sdk.portfolio import Sleeve, columns_of

Rows = NDArray[np.float32]

_MOST_ACCOUNT_COLUMNS: Final = 6


class Lineup(Mapping[str, SymbolLine]):
    """The lines of a session, decided on together.

    Args:
        lines: By symbol; nothing was pushed to them yet.
    """

    def __init__(self, lines: Mapping[str, SymbolLine]) -> None:
        self._lines = dict(lines)
        self._universes: dict[str, UniverseProvider] = {}
        self._of: dict[str, UniverseProvider] = {}
        self._places: dict[str, int] = {}
        self._streams = DecisionStreams({s: line.live.model for s, line in lines.items() if _has_own_features(line)})
        for symbol in self._streams.symbols:
            self._seat(self._lines[symbol])

    def __getitem__(self, symbol: str) -> SymbolLine:
        return self._lines[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def together(self) -> frozenset[str]:
        """Return the symbols that are decided on together."""
        return frozenset(self._of)

    def warm(self, symbol: str, history: Bars) -> None:
        """Fill a symbol's window from bars that are not decided on."""
        line = self._lines[symbol]
        if symbol not in self.together:
            line.warm(history)
        elif len(history):
            line.live.observations.extend(history)
            line.follow_all(history)
            self._streams.replace(symbol, self._window(symbol))

    def restart(self, symbol: str, history: Bars) -> None:
        """Fill a symbol's window anew: its past is another than was known."""
        line = self._lines[symbol]
        line.live.observations.restart(history)
        line.forget()
        line.follow_all(history)
        if symbol in self.together:
            self._streams.replace(symbol, self._window(symbol))
        else:
            line.hold()

    def prepare(self, symbols: Iterable[str]) -> Iterator[None]:
        """Do ahead what the next decisions do not need their bars for; yields between steps, so that others may run."""
        for symbol in symbols:
            if symbol in self._lines and symbol not in self.together:
                self._lines[symbol].prepare()
                yield
        self._streams.prepare()
        yield

    def take(
        self, bars: Mapping[str, Sequence[Bar]], sleeves: Mapping[str, Sleeve], now: datetime
    ) -> dict[str, Decided]:
        """Push new bars, oldest first, and decide on each symbol's newest where it may be acted on."""
        batched = self.together
        together = {symbol: new for symbol, new in bars.items() if symbol in batched}
        decided = self._take_together(together, sleeves, now)
        return {
            symbol: decided[symbol] if symbol in decided else self._lines[symbol].take(new, sleeves[symbol], now)
            for symbol, new in bars.items()
        }

    def market_window(self, symbol: str) -> Rows | None:
        """Return a copy of a symbol's market rows, float32 (100, 53); None where its window is not full."""
        observations = self._lines[symbol].live.observations
        if not observations.ready:
            return None
        if symbol in self._of:
            return self._window(symbol).copy()
        schema = observations.schema
        at_rest = observations.observe(np.zeros(schema.n_account, np.float32))
        return at_rest.reshape(schema.window, -1)[:, :MARKET_FEATURES].copy()

    def revise(self, bar: Bar) -> bool:
        """Take the correction of a bar that was taken; return whether it could be."""
        line = self._lines.get(bar.symbol)
        if line is None:
            return False
        try:
            line.revise(bar)
        except DataError:
            return False
        if bar.symbol in self.together:
            self._streams.replace(bar.symbol, self._window(bar.symbol))
        return True

    def install(self, line: SymbolLine) -> None:
        """Let a warm line take its symbol's place, or a new symbol's; the others keep their windows."""
        symbol = line.symbol
        before = self._lines.get(symbol)
        self._lines[symbol] = line
        if _has_own_features(line):
            self._streams.add(symbol, line.live.model)
            self._seat(line, before)
        elif symbol in self._of:
            self._streams.remove(symbol)
            del self._of[symbol]
            self._settle()

    def _seat(self, line: SymbolLine, before: SymbolLine | None = None) -> None:
        """Give a line its place in the universe of its schema, with the past of the line before it."""
        schema, symbol = line.live.observations.schema, line.symbol
        universe = self._universes.setdefault(schema.sha256, UniverseProvider(schema))
        if symbol not in universe.symbols:
            own = universe.add(symbol)
            past = before.live.observations.provider if before is not None else None
            if isinstance(past, SymbolProvider):
                own.extend(replace(past.bars, feed=schema.feed, adjustment=schema.adjustment))
        line.live = replace(line.live, observations=ObservationBuilder(universe.of(symbol)))
        self._of[symbol] = universe
        self._streams.replace(symbol, universe.window(symbol))
        self._settle()

    def _settle(self) -> None:
        self._places = {symbol: place for place, symbol in enumerate(self._streams.symbols)}

    def _window(self, symbol: str) -> Rows:
        return self._of[symbol].window(symbol)

    def _take_together(
        self, bars: Mapping[str, Sequence[Bar]], sleeves: Mapping[str, Sleeve], now: datetime
    ) -> dict[str, Decided]:
        bad: set[str] = set()
        for depth in range(max(map(len, bars.values()), default=0)):
            bad = self._push({symbol: new[depth] for symbol, new in bars.items() if len(new) > depth}, bad)
        decided: dict[str, Decided] = {}
        for symbol, new in bars.items():
            reason = self._lines[symbol].why_not(new[-1], now, is_bad=symbol in bad)
            if reason is not None:
                decided[symbol] = Decided(symbol, new[-1], None, reason)
        asked = {symbol: new[-1] for symbol, new in bars.items() if symbol not in decided}
        return decided | self._decide(asked, sleeves) if asked else decided

    def _push(self, bars: Mapping[str, Bar], bad: set[str]) -> set[str]:
        """Take one bar of each symbol; return the symbols whose newest bar so far is not to be acted on."""
        good: dict[UniverseProvider, list[Bar]] = {}
        bad = bad - bars.keys()
        for symbol, bar in bars.items():
            line = self._lines[symbol]
            if line.admit(bar) is None:
                good.setdefault(self._of[symbol], []).append(bar)
            else:
                bad.add(symbol)
        rows: dict[str, Rows] = {}
        for universe, some in good.items():
            taken, new = _pushed(universe, some)
            rows |= new
            bad |= {bar.symbol for bar in some} - {bar.symbol for bar in taken}
            for bar in taken:
                self._lines[bar.symbol].follow(bar)
        symbols = self._streams.symbols
        # One array where every symbol has a row, as nearly always: it is checked at once.
        self._streams.push(np.array([rows[s] for s in symbols]) if symbols and rows.keys() == set(symbols) else rows)
        return bad

    def _decide(self, asked: Mapping[str, Bar], sleeves: Mapping[str, Sleeve]) -> dict[str, Decided]:
        columns = self._columns(asked, sleeves)
        decisions = self._streams.decide(columns)
        decided: dict[str, Decided] = {}
        for symbol, bar in asked.items():
            place = self._places[symbol]
            seen = Seen(partial(self._observation, symbol, columns[place]))
            seconds = float(decisions.seconds[place])
            decided[symbol] = self._lines[symbol].answered(bar, _answer(decisions, symbol), seconds, seen)
        return decided

    def _observation(self, symbol: str, columns: Rows) -> Rows:
        universe = self._of[symbol]
        return observation_of(universe.window(symbol), columns[: universe.schema.n_account], universe.schema)

    def _columns(self, asked: Mapping[str, Bar], sleeves: Mapping[str, Sleeve]) -> Rows:
        """Return the account columns of all streams, zeros for symbols that nothing is asked about."""
        closes = {symbol: exact(bar.close) for symbol, bar in asked.items()}
        marked = [sleeves[symbol].mark(close) for symbol, close in closes.items()]
        columns = np.zeros((len(self._streams.symbols), _MOST_ACCOUNT_COLUMNS), np.float32)
        columns[[self._places[symbol] for symbol in asked]] = columns_of(marked, list(closes.values()))
        return columns


def _has_own_features(line: SymbolLine) -> bool:
    provider = line.live.observations.provider
    return type(provider) is Ohlcv53Provider or isinstance(provider, SymbolProvider)


def _pushed(universe: UniverseProvider, bars: Sequence[Bar]) -> tuple[Sequence[Bar], dict[str, Rows]]:
    """Return the bars that the universe took, and their rows; one that it refuses stops no other."""
    try:
        return bars, universe.push_many(bars)
    except DataError:
        if len(bars) == 1:
            return (), {}
    halves = [_pushed(universe, part) for part in (bars[: len(bars) // 2], bars[len(bars) // 2 :])]
    return [bar for taken, _ in halves for bar in taken], {k: row for _, rows in halves for k, row in rows.items()}


def _answer(decisions: SymbolDecisions, symbol: str) -> Decision | ActionError:
    try:
        return decisions[symbol]
    except ActionError as error:
        return error
