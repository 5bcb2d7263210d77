"""Stream simulated bars and compare every row with the whole history's, byte for byte.

`python scripts/prove_streaming.py [--bars 1000000] [--symbols 500]` streams that many minutes of one symbol, in
markets of 100,000 that each begin at a bar drawn by chance, and as many of a universe of symbols that all miss some.
Exit code 1 if a single bit differs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.data import load_bars
from trader_sdk.features import MEMORY, FeatureSchema, UniverseProvider, build_schema, market_features
from trader_sdk.features.streaming import MarketState

MARKET_BARS = 100_000
START_WITHIN = 390
MISSING = 0.01
COLUMNS = ("t", "open", "high", "low", "close", "volume")


def main() -> int:
    """Run both proofs and print what was compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=20_000, help="bars to stream, of one symbol and of all together")
    parser.add_argument("--symbols", type=int, default=50, help="symbols of the universe")
    parser.add_argument("--seed", type=int, default=7, help="of the first market and of where streams begin")
    arguments = parser.parse_args()
    chance = np.random.default_rng(arguments.seed)
    markets = -(-arguments.bars // MARKET_BARS)
    compared = unequal = 0
    for seed in range(arguments.seed, arguments.seed + markets):
        bars = load_bars(
            f"planted:bars={min(arguments.bars, MARKET_BARS) + MEMORY + START_WITHIN},seed={seed}", "SIM", "1Min"
        )
        schema = build_schema("2.7.0", "1Min", calendar="XNYS", feed=bars.feed, adjustment=bars.adjustment)
        rows, wrong = one_symbol(bars, schema, int(chance.integers(0, START_WITHIN)))
        compared, unequal = compared + rows, unequal + wrong
    print(f"one symbol: {compared} rows compared, {unequal} unequal", flush=True)
    rows, wrong = many_symbols(bars, schema, arguments.bars, arguments.symbols, chance)
    print(f"{arguments.symbols} symbols: {rows} rows compared, {wrong} unequal")
    return 1 if unequal + wrong else 0


def one_symbol(bars: Bars, schema: FeatureSchema, begin: int) -> tuple[int, int]:
    """Return how many rows were compared, and how many were unequal, of a stream that begins at bar ``begin``."""
    whole = market_features(bars, schema)
    state, compared, unequal = MarketState(schema), 0, 0
    started = time.perf_counter()
    for index in range(begin, len(bars)):
        row = state.push(bars.at(index))
        if row is not None:
            compared += 1
            unequal += row.tobytes() != whole[index - MEMORY].tobytes()
    print(f"streamed {len(bars) - begin} bars from bar {begin}: {time.perf_counter() - started:.1f} s", flush=True)
    return compared, unequal


def many_symbols(
    bars: Bars, schema: FeatureSchema, count: int, symbols: int, chance: np.random.Generator
) -> tuple[int, int]:
    """Return how many rows were compared, and how many were unequal; each symbol has its own prices and holes."""
    length = count // symbols + MEMORY
    histories = [_holed(bars, f"S{index}", length, chance) for index in range(symbols)]
    whole = {each.symbol: market_features(each, schema) for each in histories}
    seen = dict.fromkeys(whole, 0)
    universe = UniverseProvider(schema, whole)
    started, compared, unequal = time.perf_counter(), 0, 0
    for minute in _minutes(histories):
        universe.push_many(minute)
        for symbol in (bar.symbol for bar in minute):
            seen[symbol] += 1
            row = universe.of(symbol).row
            if row is not None:
                compared += 1
                unequal += row.tobytes() != whole[symbol][seen[symbol] - MEMORY - 1].tobytes()
    print(f"streamed {symbols} symbols: {time.perf_counter() - started:.1f} s")
    return compared, unequal


def _holed(bars: Bars, symbol: str, length: int, chance: np.random.Generator) -> Bars:
    first = int(chance.integers(0, len(bars) - length))
    part = replace(bars.slice(first, first + length), symbol=symbol, t=bars.t[:length].copy())
    there = np.flatnonzero(chance.random(length) >= MISSING)
    return replace(part, **{name: getattr(part, name)[there] for name in COLUMNS})


def _minutes(histories: list[Bars]) -> Iterator[list[Bar]]:
    next_of = [0] * len(histories)
    for t in np.unique(np.concatenate([bars.t for bars in histories])):
        minute = []
        for which, bars in enumerate(histories):
            if next_of[which] < len(bars) and bars.t[next_of[which]] == t:
                minute.append(bars.at(next_of[which]))
                next_of[which] += 1
        yield minute


if __name__ == "__main__":
    raise SystemExit(main())
