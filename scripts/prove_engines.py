"""Let every engine decide on the same consecutive windows and count what differs from the dense reference.

    python scripts/prove_engines.py [--windows 100000] [--trunks] [--json-file FILE]

Real daily bars come first, then simulated minutes; account columns wander from bar to bar. Each golden version decides
with whole observations, as a stream, as a whole history, and stacked with a second symbol. An action may differ only
where the two best logits are closer than 2e-6 x max(1, max|logit|). Exit code 1 if one does elsewhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trader_sdk import NativeModelWrapper
from trader_sdk.contract.spec import MARKET_FEATURES, MODEL_SPECS, ModelSpec
from trader_sdk.data import load_bars
from trader_sdk.data.vendored import VENDORED_SYMBOLS
from trader_sdk.decision_stream import DecisionStream
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.history import history_logits
from trader_sdk.engine.stacked import StackedStreams
from trader_sdk.features import build_schema, market_features

Floats = NDArray[np.float32]
PROMISE = 2e-6
BATCH = 256
GOLDEN = Path(__file__).parents[1] / "compat" / "golden"


@dataclass(frozen=True)
class Agreement:
    """One engine against the dense one.

    Attributes:
        model, engine: Which.
        windows: How many.
        largest: Largest difference of a logit, relative to max(1, max|logit|).
        differing: Actions that differ although the best logits are not tied: must be 0.
        tied: Windows whose best logits are tied, and how many of those differ.
    """

    model: str
    engine: str
    windows: int
    largest: float
    differing: int
    tied: int
    tied_differing: int


def main() -> int:
    """Print one line an engine and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=100_000, help="consecutive windows for each model")
    parser.add_argument("--trunks", action="store_true", help="also 512-256 and 1024-512-256 units, seeded")
    parser.add_argument("--json-file", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    market = market_rows(arguments.windows + 99)
    found = []
    for name, spec, policy in models(trunks=arguments.trunks):
        for agreement in agreements(name, spec, policy, market):
            print(line(agreement), flush=True)
            found.append(agreement)
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps([vars(each) for each in found], indent=1) + "\n", "utf-8")
    return int(any(each.differing for each in found))


def line(each: Agreement) -> str:
    """Return an agreement as a line."""
    tied = f"{each.tied} tied, {each.tied_differing} of them otherwise"
    return (
        f"{each.model:22} {each.engine:10} {each.windows} windows: {each.differing} actions differ; {tied}; "
        f"logits within {each.largest:.1e}"
    )


def market_rows(count: int) -> Floats:
    """Return (count, 53) feature rows: all real daily bars, symbol after symbol, then simulated minutes."""
    parts, length = [], 0
    for rows in _sources():
        parts.append(rows)
        length += len(rows)
        if length >= count:
            break
    return np.concatenate(parts)[:count]


def _sources() -> Iterator[Floats]:
    for symbol in VENDORED_SYMBOLS:
        yield _features(load_bars("vendored", symbol, "1Day"))
    for seed in range(100):
        yield _features(load_bars(f"planted:seed={seed}", "SIM", "1Min"))


def _features(bars: Any) -> Floats:
    schema = build_schema(timeframe=bars.timeframe, calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment)
    return market_features(bars, schema)


def models(*, trunks: bool) -> Iterator[tuple[str, ModelSpec, DensePolicy]]:
    """Yield the golden of each version, and where asked for, seeded policies of the sizes that people train."""
    for version, spec in MODEL_SPECS.items():
        yield version, spec, NativeModelWrapper(GOLDEN / version / "checkpoint.pt").policy
    for hidden, activation in (((512, 256), "tanh"), ((1024, 512, 256), "relu")) if trunks else ():
        spec = MODEL_SPECS["2.7.0"]
        yield f"{'-'.join(map(str, hidden))} {activation}", spec, _seeded(spec, hidden, activation)


def _seeded(spec: ModelSpec, hidden: tuple[int, ...], activation: str) -> DensePolicy:
    rng, width, layers = np.random.default_rng(0), spec.obs_dim, []
    for out in (*hidden, spec.n_actions):
        weight = rng.standard_normal((out, width), dtype=np.float32) / np.float32(width**0.5)
        layers.append((weight, rng.normal(0, 0.1, out).astype(np.float32)))
        width = out
    return DensePolicy(layers, activation)


def agreements(name: str, spec: ModelSpec, policy: DensePolicy, market: Floats) -> Iterator[Agreement]:
    """Yield how each engine agrees with whole observations on every window of ``market``."""
    rng = np.random.default_rng(1)
    account = np.clip(np.cumsum(rng.normal(0, 0.02, (len(market) - 99, spec.n_account)), axis=0), -1, 1)
    columns = account.astype(np.float32)
    dense = _dense(policy, market, columns)
    yield _agreement(name, "history", dense, history_logits(policy, market, columns)[0])
    yield _agreement(name, "streaming", dense, _streamed(policy, spec, market, columns))
    yield _agreement(name, "stacked", dense, _stacked(policy, market, columns))


def _dense(policy: DensePolicy, market: Floats, account: Floats) -> Floats:
    logits = np.empty((len(account), policy.n_actions), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(market, 100, axis=0)
    for first in range(0, len(account), BATCH):
        part = windows[first : first + BATCH].transpose(0, 2, 1)
        obs = np.empty((len(part), 100, MARKET_FEATURES + policy.n_account), dtype=np.float32)
        obs[:, :, :MARKET_FEATURES], obs[:, :, MARKET_FEATURES:] = part, account[first : first + BATCH, None]
        logits[first : first + BATCH] = policy.logits(obs.reshape(len(part), -1))
    return logits


def _streamed(policy: DensePolicy, spec: ModelSpec, market: Floats, account: Floats) -> Floats:
    stream, logits = DecisionStream(policy, spec, ""), []
    for index, row in enumerate(market):
        stream.push(row)
        if index >= 99:
            logits.append(stream.decide(account[index - 99]).logits)
    return np.array(logits, dtype=np.float32)


def _stacked(policy: DensePolicy, market: Floats, account: Floats) -> Floats:
    # The second symbol walks the market backwards; the first is looked at.
    stack, logits = StackedStreams([policy], 2), np.empty((len(account), policy.n_actions), dtype=np.float32)
    both = np.arange(2)
    for index, row in enumerate(market):
        stack.push(both, np.stack([row, market[-index - 1]]))
        if index >= 99:
            logits[index - 99] = stack.logits(np.stack([account[index - 99]] * 2))[0]
    return logits


def _agreement(model: str, engine: str, wanted: Floats, found: Floats) -> Agreement:
    scale = np.maximum(1.0, np.abs(wanted).max(axis=1))
    best = np.sort(wanted, axis=1)[:, -2:]
    tied = best[:, 1] - best[:, 0] < PROMISE * scale
    differs = wanted.argmax(axis=1) != found.argmax(axis=1)
    return Agreement(
        model,
        engine,
        windows=len(wanted),
        largest=float((np.abs(wanted - found).max(axis=1) / scale).max()),
        differing=int((differs & ~tied).sum()),
        tied=int(tied.sum()),
        tied_differing=int((differs & tied).sum()),
    )


if __name__ == "__main__":
    raise SystemExit(main())
