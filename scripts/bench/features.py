"""The columns of a new bar, of one symbol and of hundreds, beside computing the window anew. One thread.

Nothing is measured before both ways gave equal bytes.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from rows import OURS, Row, compare, growth, interleaved, limit, main, repeated, seconds, wanted

if TYPE_CHECKING:
    from trader_sdk.contract.bars import Bar, Bars
    from trader_sdk.features import FeatureSchema, UniverseProvider

ONE = "streaming features: one bar of one symbol"
MANY = "streaming features: one bar of each of"
BARS_SEEN = "streaming features: growth with bars, bars"
SYMBOLS = "streaming features: growth with symbols, symbols"
HISTORY = "features of a whole history: growth, bars"
MEMORY = "features of a whole history: memory beside the rows, bars"
MINUTE_NS = 60 * 10**9
SHARE_AFTER_A_BAR_MS = 50.0
MEMORY_ALLOWED_MB = 16.0


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of features."""
    from trader_sdk.data import load_bars
    from trader_sdk.features import build_schema

    bars = load_bars(f"planted:bars={20_000 if quick else 210_000}", "SIM", "1Min")
    schema = build_schema("2.7.0", "1Min", calendar="XNYS", feed=bars.feed, adjustment=bars.adjustment)
    rounds = 5 if quick else 31
    symbols = 50 if quick else 500
    if wanted(ONE):
        yield from _one_symbol(bars, schema, rounds)
    if wanted(f"{MANY} {symbols}"):
        yield from _many_symbols(bars, schema, symbols, rounds)
    if wanted(SYMBOLS):
        amounts = (5, 50) if quick else (5, 50, 500)
        steps = {n: repeated(_steps(_universe(bars, schema, n)), 3) for n in amounts}
        yield from growth(SYMBOLS, interleaved(steps, rounds), unit="us")
    if wanted(BARS_SEEN):
        amounts = (1_000, 4_000) if quick else (1_000, 10_000, 100_000)
        yield from growth(BARS_SEEN, interleaved({n: _streamed(bars, schema, n) for n in amounts}, 3), unit="us")
    if wanted(HISTORY):
        amounts = (2_000, 20_000) if quick else (2_000, 20_000, 200_000)
        yield from growth(HISTORY, interleaved({n: _history(bars, schema, n) for n in amounts}, 3), unit="us")
    if wanted(MEMORY):
        yield _memory(bars, schema)


def _one_symbol(bars: Bars, schema: FeatureSchema, rounds: int) -> Iterator[Row]:
    from trader_sdk.features import REQUIRED_HISTORY, Ohlcv53Provider, market_features

    window = bars.slice(5_000 - REQUIRED_HISTORY, 5_000)
    provider = Ohlcv53Provider(schema)
    for index in range(len(window)):
        provider.push(window.at(index))
    if provider.window.tobytes() != market_features(window, schema).tobytes():
        raise AssertionError("streaming and the window computed anew differ")
    new = (bars.at(index) for index in count(5_000))
    cases = {
        OURS: repeated(lambda: provider.push(next(new)), 50),
        "window recomputed": lambda: seconds(lambda: market_features(window, schema)),
        "newest row recomputed": lambda: seconds(lambda: market_features(window.slice(99, len(window)), schema)),
    }
    goals = {"window recomputed": 20.0, "newest row recomputed": None}
    yield from compare(ONE, interleaved(cases, rounds), goals, unit="us")


def _many_symbols(bars: Bars, schema: FeatureSchema, symbols: int, rounds: int) -> Iterator[Row]:
    from trader_sdk.features import Ohlcv53Provider, market_features

    universe = _universe(bars, schema, symbols)
    providers = [Ohlcv53Provider(schema, _history_of(bars, index)) for index in range(symbols)]
    for index, provider in enumerate(providers):
        if provider.window.tobytes() != universe.of(f"S{index}").window.tobytes():
            raise AssertionError("a universe and separate providers differ")
    window = _history_of(bars, 0)
    few = max(symbols // 25, 1)
    step, single = _steps(universe), _new_bars(universe.symbols)

    def separately() -> float:
        new = next(single)
        return seconds(lambda: [provider.push(bar) for provider, bar in zip(providers, new, strict=True)])

    def recomputed() -> float:
        return seconds(lambda: [market_features(window, schema) for _ in range(few)]) * symbols / few

    cases = {OURS: lambda: seconds(step), "a provider each": separately, "windows recomputed": recomputed}
    taken = interleaved(cases, rounds)
    row = f"{MANY} {symbols} symbols"
    yield from compare(row, taken, {"a provider each": None, "windows recomputed": None})
    typical = sorted(taken[OURS])[len(taken[OURS]) // 2] * 1e3
    yield limit(f"{row}, of the own share", "50 ms, all stages", SHARE_AFTER_A_BAR_MS, typical, "ms")


def _history_of(bars: Bars, index: int) -> Bars:
    """Return the required history of symbol ``index``: prices of its own at times that all share."""
    from trader_sdk.features import REQUIRED_HISTORY

    part = bars.slice(17 * index, 17 * index + REQUIRED_HISTORY)
    return replace(part, symbol=f"S{index}", t=bars.t[:REQUIRED_HISTORY].copy())


def _universe(bars: Bars, schema: FeatureSchema, symbols: int) -> UniverseProvider:
    from trader_sdk.features import UniverseProvider

    made = UniverseProvider(schema, [f"S{index}" for index in range(symbols)])
    made.extend([_history_of(bars, index) for index in range(symbols)])
    return made


def _steps(universe: UniverseProvider) -> Callable[[], object]:
    new = _new_bars(universe.symbols)
    return lambda: universe.push_many(next(new))


def _new_bars(symbols: tuple[str, ...]) -> Iterator[list[Bar]]:
    """Yield a minute's bars after another, long after every history."""
    from trader_sdk.contract.bars import Bar

    first = time.time_ns() // MINUTE_NS * MINUTE_NS
    for minute in count():
        price = 100.0 + minute % 7
        bar = Bar("", first + minute * MINUTE_NS, price, price + 1.0, price - 1.0, price + 0.5, 1_000.0)
        yield [bar._replace(symbol=symbol) for symbol in symbols]


def _streamed(bars: Bars, schema: FeatureSchema, length: int) -> Callable[[], float]:
    from trader_sdk.features import REQUIRED_HISTORY, Ohlcv53Provider

    pushed = [bars.at(index) for index in range(REQUIRED_HISTORY, REQUIRED_HISTORY + length)]
    started = bars.slice(0, REQUIRED_HISTORY)

    def work() -> None:
        provider = Ohlcv53Provider(schema, started)
        for bar in pushed:
            provider.push(bar)

    return lambda: seconds(work)


def _history(bars: Bars, schema: FeatureSchema, length: int) -> Callable[[], float]:
    from trader_sdk.features import market_features

    return lambda: seconds(lambda: market_features(bars.slice(0, length), schema))


def _memory(bars: Bars, schema: FeatureSchema) -> Row:
    from trader_sdk.features import market_features

    tracemalloc.start()
    rows = market_features(bars, schema)
    peak = (tracemalloc.get_traced_memory()[1] - rows.nbytes) / 2**20
    tracemalloc.stop()
    return limit(f"{MEMORY}: {len(bars)}", "bounded", MEMORY_ALLOWED_MB, peak, "MB")


if __name__ == "__main__":
    raise SystemExit(main(measure))
