"""All symbols of a session side by side: one feature step and one decision step a bar close, whatever their number.

Symbols whose features are this package's own share a :class:`~trader_sdk.features.many.UniverseProvider` for each
schema and one :class:`~trader_sdk.decision_streams.DecisionStreams`. Anybody else's features go symbol by symbol, as
:class:`~trader_sdk.live.lines.SymbolLine` does it. Both decide alike: the same rows to the last bit, the same actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ActionError, DataError
from trader_sdk.contract.spec import MARKET_FEATURES, MODEL_SPECS
from trader_sdk.decision_streams import NOT_DECIDED, DecisionStreams, SymbolDecisions
from trader_sdk.decisions import Decision
from trader_sdk.features.many import SymbolProvider, UniverseProvider
from trader_sdk.features.observation import ObservationBuilder
from trader_sdk.features.own import Ohlcv53Provider
from trader_sdk.features.provider import observation_of
from trader_sdk.live.late import Late
from trader_sdk.live.lines import Decided, Seen, SymbolLine, exact
from trader_sdk.portfolio import Money, Sleeve, columns_from, money_of

Rows = NDArray[np.float32]

_MOST_ACCOUNT_COLUMNS: Final = 6
_MOST_ACTIONS: Final = max(len(spec.actions) for spec in MODEL_SPECS.values())


class Taken(NamedTuple):
    """What came of a bar close.

    Attributes:
        decided: By symbol; what is not yet asked for is not yet made.
        acting: The symbols whose answer may ask for an order, or is no answer; the others hold or were not asked.
    """

    decided: Mapping[str, Decided]
    acting: Sequence[str]


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
        self._in_order: list[str] = []
        self._streams = DecisionStreams({s: line.live.model for s, line in lines.items() if _has_own_features(line)})
        for symbol in self._streams.symbols:
            self._seat(self._lines[symbol])
        self._settle()

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

    def take(self, bars: Mapping[str, Sequence[Bar]], sleeves: Mapping[str, Sleeve], now: datetime) -> Taken:
        """Push new bars, oldest first, and decide on each symbol's newest where it may be acted on."""
        together = {symbol: new for symbol, new in bars.items() if symbol in self._of}
        taken = self._take_together(together, sleeves, now)
        if len(together) == len(bars):
            return taken
        alone = {s: self._lines[s].take(new, sleeves[s], now) for s, new in bars.items() if s not in together}
        return Taken(Late(bars, taken.decided.__getitem__, alone), (*alone, *taken.acting))

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
            self._settle()
        elif symbol in self._of:
            self._streams.remove(symbol)
            del self._of[symbol]
            self._settle()

    def reinstate(self, line: SymbolLine) -> None:
        """Let an earlier line come back; features of somebody else's saw no bar since, so their history is read."""
        self.install(line)
        if line.symbol not in self._of:
            line.distrust()

    def _seat(self, line: SymbolLine, before: SymbolLine | None = None) -> None:
        """Give a line its place in the universe of its schema, with the past of the line before it."""
        schema, symbol = line.live.observations.schema, line.symbol
        universe = self._universes.setdefault(schema.sha256, UniverseProvider(schema))
        if symbol not in universe.symbols:
            universe.add(symbol)
        if before is not None and self._of.get(symbol) is not universe:
            # What this universe holds, if anything, is from before other models took the bars.
            past = before.live.observations.provider
            if isinstance(past, SymbolProvider):
                universe.start(replace(past.bars, feed=schema.feed, adjustment=schema.adjustment))
            else:
                line.distrust()
        line.live = replace(line.live, observations=ObservationBuilder(universe.of(symbol)))
        self._of[symbol] = universe
        self._streams.replace(symbol, universe.window(symbol))

    def _settle(self) -> None:
        """Note what follows from which symbols decide together, and by which models."""
        symbols = self._streams.symbols
        self._in_order = list(symbols)
        self._places = {symbol: place for place, symbol in enumerate(symbols)}
        self._accounts = _Accounts(symbols)
        lines = [self._lines[symbol] for symbol in symbols]
        self._budgets = np.array([line.budget_seconds for line in lines])
        self._holds = np.zeros((len(lines), _MOST_ACTIONS), np.bool_)
        for place, line in enumerate(lines):
            for action, meaning in enumerate(line.live.model.model_spec.actions):
                self._holds[place, action] = meaning.direction == 0

    def _window(self, symbol: str) -> Rows:
        return self._of[symbol].window(symbol)

    def _take_together(self, bars: Mapping[str, Sequence[Bar]], sleeves: Mapping[str, Sleeve], now: datetime) -> Taken:
        bad: set[str] = set()
        for depth in range(max(map(len, bars.values()), default=0)):
            bad = self._push({symbol: new[depth] for symbol, new in bars.items() if len(new) > depth}, bad)
        passed: dict[str, Decided] = {}
        asked: dict[str, Bar] = {}
        ready = dict(zip(self._streams.symbols, self._streams.ready.tolist(), strict=True))
        for symbol, new in bars.items():
            bar = new[-1]
            reason = self._lines[symbol].why_not(bar, now, is_bad=symbol in bad, is_ready=ready[symbol])
            if reason is None:
                asked[symbol] = bar
            else:
                passed[symbol] = Decided(symbol, bar, None, reason)
        if not asked:
            return Taken(passed, ())
        make, acting = self._decide(asked, sleeves)
        return Taken(Late(bars, make, passed), acting)

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
        pushed = [(some, *_pushed(universe, some)) for universe, some in good.items()]
        for some, taken, _, _ in pushed:
            bad |= {bar.symbol for bar in some} - {bar.symbol for bar in taken} if len(taken) < len(some) else set()
            for bar in taken:
                self._lines[bar.symbol].follow(bar)
        if len(pushed) == 1 and pushed[0][2] == self._in_order:
            self._streams.push(pushed[0][3])  # one array where every symbol has a row, as nearly always
        else:
            self._streams.push({s: row for *_, names, rows in pushed for s, row in zip(names, rows, strict=True)})
        return bad

    def _decide(
        self, asked: Mapping[str, Bar], sleeves: Mapping[str, Sleeve]
    ) -> tuple[Callable[[str], Decided], Sequence[str]]:
        """Return what makes a symbol's outcome, and the symbols whose outcome cannot wait."""
        columns = self._accounts.columns(asked, sleeves)
        decisions = self._streams.decide(columns)

        def make(symbol: str) -> Decided:
            place = self._places[symbol]
            seen = Seen(partial(self._observation, symbol, columns[place]))
            seconds = float(decisions.seconds[place])
            return self._lines[symbol].answered(asked[symbol], _answer(decisions, symbol), seconds, seen)

        at_rest = self._at_rest(decisions)
        return make, [symbol for symbol in asked if not at_rest[self._places[symbol]]]

    def _at_rest(self, decisions: SymbolDecisions) -> list[bool]:
        """Return which symbols hold, by place: their answers can wait to be looked at."""
        held: NDArray[np.bool_] = self._holds[np.arange(len(decisions.actions)), decisions.actions]
        known = decisions.actions != NOT_DECIDED
        at_rest: list[bool] = (held & known & (decisions.seconds <= self._budgets)).tolist()
        return at_rest

    def _observation(self, symbol: str, columns: Rows) -> Rows:
        universe = self._of[symbol]
        return observation_of(universe.window(symbol), columns[: universe.schema.n_account], universe.schema)


class _Accounts:
    """The account columns of the symbols that decide together, each as it was until it changes.

    Args:
        symbols: In the order of the rows.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._places = {symbol: place for place, symbol in enumerate(symbols)}
        self._money = np.ones((len(symbols), len(Money._fields)))
        self._known: dict[str, Sleeve] = {}

    def columns(self, asked: Mapping[str, Bar], sleeves: Mapping[str, Sleeve]) -> Rows:
        """Return float32 (n, 6) of all symbols, zeros for those that nothing is asked about."""
        places = [self._places[symbol] for symbol in asked]
        for symbol, place in zip(asked, places, strict=True):
            sleeve = sleeves[symbol]
            # Of a sleeve that holds nothing the columns do not depend on the price.
            if sleeve.qty or self._known.get(symbol) is not sleeve:
                close = exact(asked[symbol].close)
                self._money[place] = money_of(sleeve.mark(close), close)
                self._known[symbol] = sleeve
        columns = np.zeros((len(self._places), _MOST_ACCOUNT_COLUMNS), np.float32)
        columns[places] = columns_from(self._money[places])
        return columns


def _has_own_features(line: SymbolLine) -> bool:
    provider = line.live.observations.provider
    return type(provider) is Ohlcv53Provider or isinstance(provider, SymbolProvider)


def _pushed(universe: UniverseProvider, bars: Sequence[Bar]) -> tuple[Sequence[Bar], list[str], Rows]:
    """Return the bars that the universe took, whose have a row, and the rows; one that it refuses stops no other."""
    try:
        return bars, *universe.rows_of(bars)
    except DataError:
        if len(bars) == 1:
            return (), *universe.rows_of(())
    (first, names, rows), (rest, more, others) = (
        _pushed(universe, part) for part in (bars[: len(bars) // 2], bars[len(bars) // 2 :])
    )
    return [*first, *rest], [*names, *more], np.concatenate([rows, others])


def _answer(decisions: SymbolDecisions, symbol: str) -> Decision | ActionError:
    try:
        return decisions[symbol]
    except ActionError as error:
        return error
