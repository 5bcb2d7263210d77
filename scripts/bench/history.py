"""Whole histories: every bar's decision, and a backtest whose account columns depend on its own decisions. One thread.

Values are microseconds a bar. Peers decide on observations that lie ready in memory, one at a time (the loop that
Stable-Baselines3's own evaluation is) or 256 at a time; ours starts from the feature rows. The filter's spectrum is
made anew in each measurement. A backtest holds sizing, fills, costs and the sleeve; the peer's loop only decides.
"""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from reference_models import ReferenceFiles, observation, reference_network, write_reference
from rows import OURS, Row, compare, growth, interleaved, limit, main, now, seconds, wanted

HISTORY = "whole-history decisions, a bar"
DAILY = "whole-history decisions, ten years of days, a bar"
BACKTEST = "backtest with account columns, a bar"
UNIVERSE = "backtest of 64 symbols at once, a bar"
GROWTH = "whole-history decisions, bars"
BACKTEST_GROWTH = "backtest with account columns, bars"
MEMORY = "memory beside a history and its logits"
MEMORY_LIMIT_MB = 200
LOOP, TORCH, ONNX = "stable-baselines3 loop", "torch batches", "onnxruntime batches"
BATCH, SAMPLE = 256, 40
YEAR_OF_MINUTES, TEN_YEARS_OF_DAYS = 252 * 390, 10 * 252
GOALS = {LOOP: 25, TORCH: 6, ONNX: 2.5}


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of histories."""
    rounds, bars = (3, 2_000) if quick else (9, YEAR_OF_MINUTES)
    with tempfile.TemporaryDirectory() as folder:
        files = write_reference(Path(folder))
        model, peers = _model(files), _peers(files)
    loop = {name: work for name, work in peers.items() if name == LOOP}
    if wanted(HISTORY):
        taken = interleaved({OURS: _history(model, bars), **peers}, rounds)
        yield from compare(HISTORY, taken, GOALS, unit="us", note=f"{bars} bars")
    if wanted(DAILY):
        taken = interleaved({OURS: _history(model, TEN_YEARS_OF_DAYS), **peers}, rounds)
        yield from compare(DAILY, taken, dict.fromkeys(peers), unit="us")
    if wanted(BACKTEST):
        taken = interleaved({OURS: _backtest(model, bars // 5, 1), **loop}, rounds)
        yield from compare(BACKTEST, taken, {LOOP: 15}, unit="us", note=f"{bars // 5} bars")
    if wanted(UNIVERSE):
        taken = interleaved({OURS: _backtest(model, 300 if quick else 1_000, 64), **loop}, min(rounds, 5))
        yield from compare(UNIVERSE, taken, {LOOP: 15}, unit="us")
    yield from _growths(model, quick)


def _growths(model: Any, quick: bool) -> Iterator[Row]:
    amounts = (500, 5_000) if quick else (2_000, 20_000, 200_000)
    if wanted(GROWTH):
        yield from growth(GROWTH, interleaved({n: _all(_history(model, n), n) for n in amounts}, 3), unit="us")
    if wanted(BACKTEST_GROWTH):
        some = [n // 4 for n in amounts]
        yield from growth(
            BACKTEST_GROWTH, interleaved({n: _all(_backtest(model, n, 1), n) for n in some}, 3), unit="us"
        )
    if wanted(MEMORY):
        for n in amounts[1:]:
            yield limit(f"{MEMORY}: {n} bars", f"limit of {MEMORY_LIMIT_MB} MB", MEMORY_LIMIT_MB, _peak(model, n), "MB")


def _all(each: Callable[[], float], amount: int) -> Callable[[], float]:
    return lambda: each() * amount


def _model(files: ReferenceFiles) -> Any:
    from trader_sdk import NativeModelWrapper

    return NativeModelWrapper(files.checkpoint.path)


def _inputs(model: Any, bars: int) -> tuple[Any, Any]:
    rng, n_account = np.random.default_rng(bars), model.model_spec.n_account
    market = rng.standard_normal((bars + 99, 53), dtype=np.float32)
    return market, rng.uniform(-1, 1, (bars + 99, n_account)).astype(np.float32)


def _history(model: Any, bars: int) -> Callable[[], float]:
    market, account = _inputs(model, bars)
    return lambda: seconds(lambda: model.decide_history(market, account)) / bars


def _peak(model: Any, bars: int) -> float:
    market, account = _inputs(model, bars)
    tracemalloc.start()
    decisions = model.decide_history(market, account)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    results = (decisions.logits, decisions.actions, decisions.directions, decisions.sizes)
    return (peak - sum(each.nbytes for each in results)) / 1e6


def _backtest(model: Any, bars: int, symbols: int) -> Callable[[], float]:
    from trader_sdk.archive.walk import Prices, Track, walk_tracks
    from trader_sdk.contract.costs import cost_model

    costs = cost_model("us_equity@1")
    tracks = []
    for seed in range(symbols):
        rng = np.random.default_rng(seed)
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars + 100)))
        prices = Prices(np.arange(bars + 100), np.roll(close, 1), close, 86_400)
        # Louder than real features, so that the untrained policy trades and its sleeve moves.
        market = rng.normal(0.0, 3.0, (bars + 100, 53)).astype(np.float32)
        tracks.append(Track(market, prices, range(99, bars + 100)))
    work = lambda: walk_tracks(model.policy, model.model_spec, tracks, costs=costs)  # noqa: E731 # named once, used once
    return lambda: seconds(work) / (bars * symbols)


def _peers(files: ReferenceFiles) -> dict[str, Callable[[], float]]:
    import torch

    torch.set_num_threads(1)
    batch = observation(BATCH)
    network, tensor = reference_network(), torch.from_numpy(batch)

    def in_torch() -> Any:
        with torch.no_grad():
            return network.actor_head(network.trunk(tensor)).argmax(dim=1)

    peers = {TORCH: lambda: seconds(in_torch) / BATCH}
    if files.stable_baselines3 is not None:
        from stable_baselines3 import PPO

        peers[LOOP] = _loop(PPO.load(files.stable_baselines3, device="cpu"), batch)
    if files.onnx is not None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(files.onnx, options, providers=["CPUExecutionProvider"])
        peers[ONNX] = lambda: seconds(lambda: session.run(None, {"obs": batch})[0].argmax(axis=1)) / BATCH
    return peers


def _loop(ppo: Any, batch: Any) -> Callable[[], float]:
    places = count()

    def measured() -> float:
        started = now()
        for _ in range(SAMPLE):
            ppo.predict(batch[next(places) % BATCH], deterministic=True)
        return (now() - started) / SAMPLE

    return measured


if __name__ == "__main__":
    raise SystemExit(main(measure))
