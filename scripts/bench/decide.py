"""One decision of a model that is loaded: by `stream()` and by `decide(obs)`, beside the peers' one way. One thread.

Hot means that the weights are in the processor's caches; cold means that 256 MiB were written in between, as a bar a
minute is. A stream's decision is what is left at bar close: the newest row and the account; what older bars contribute
was summed while it waited. Every call is timed by itself, and a round's value is the median of its calls.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from reference_models import DEFAULT_TRUNK, HIDDEN, ReferenceFiles, observation, reference_network, write_reference
from rows import OURS, Row, compare, interleaved, main, now, wanted

HOT, COLD = "stream(), weights hot", "stream(), weights cold"
HOLDING = "stream().decide_on(obs), weights hot"
PLAIN = "plain decide(obs), weights hot"
DEEP_HOT, DEEP_COLD = "stream(), default trunk, hot", "stream(), default trunk, cold"
STABLE_BASELINES3, TORCH, ONNX = "stable-baselines3", "torch", "onnxruntime"
ACCOUNT = 6

Work = Callable[[], object]


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of deciding."""
    if any(map(wanted, (HOT, COLD, HOLDING, PLAIN))):
        yield from _reference(quick)
    if any(map(wanted, (DEEP_HOT, DEEP_COLD))):
        yield from _deep(quick)


def _reference(quick: bool) -> Iterator[Row]:
    rounds, calls, colds = (5, 30, 3) if quick else (21, 200, 9)
    with tempfile.TemporaryDirectory() as folder:
        files = write_reference(Path(folder))
        model, peers = _model(files), _peers(files, HIDDEN)
    obs, flush = observation()[0], _flusher()
    hot = {name: _median_of(work, calls) for name, work in peers.items()}
    cold = {name: _median_of(work, colds, flush) for name, work in peers.items()}
    if wanted(HOT):
        taken = interleaved({OURS: _stream(model, calls), **hot}, rounds)
        yield from compare(HOT, taken, {STABLE_BASELINES3: 15, TORCH: 10, ONNX: 8}, unit="us")
    if wanted(COLD):
        taken = interleaved({OURS: _stream(model, colds, flush), **cold}, rounds)
        yield from compare(COLD, taken, {STABLE_BASELINES3: 12, TORCH: 8, ONNX: 6}, unit="us")
    if wanted(HOLDING):
        taken = interleaved({OURS: _whole_observations(model, calls), **hot}, rounds)
        yield from compare(HOLDING, taken, dict.fromkeys(peers), unit="us")
    if wanted(PLAIN):
        taken = interleaved({OURS: _median_of(lambda: model.decide(obs), calls), **hot}, rounds)
        yield from compare(PLAIN, taken, {STABLE_BASELINES3: 1.5, TORCH: 1.0, ONNX: None}, unit="us")


def _deep(quick: bool) -> Iterator[Row]:
    rounds, calls, colds = (5, 30, 3) if quick else (21, 100, 9)
    with tempfile.TemporaryDirectory() as folder:
        files = write_reference(Path(folder), DEFAULT_TRUNK)
        model, peers = _model(files), {TORCH: _torch(DEFAULT_TRUNK)}
    for row, count, flush in ((DEEP_HOT, calls, None), (DEEP_COLD, colds, _flusher())):
        theirs = {name: _median_of(work, count, flush) for name, work in peers.items()}
        taken = interleaved({OURS: _stream(model, count, flush), **theirs}, rounds)
        yield from compare(row, taken, {TORCH: None}, unit="us")


def _model(files: ReferenceFiles) -> Any:
    from trader_sdk import NativeModelWrapper

    return NativeModelWrapper(files.checkpoint.path)


def _median_of(work: Work, calls: int, before: Work | None = None) -> Callable[[], float]:
    def measured() -> float:
        times = []
        for _ in range(calls):
            if before is not None:
                before()
            started = now()
            work()
            times.append(now() - started)
        return statistics.median(times)

    return measured


def _stream(model: Any, calls: int, flush: Work | None = None) -> Callable[[], float]:
    stream, account = model.stream(), np.zeros(ACCOUNT, dtype=np.float32)
    rows = iter(_forever(np.random.default_rng(1).standard_normal((256, 53)).astype(np.float32)))
    for _ in range(100):
        stream.push(next(rows))

    def wait() -> None:
        stream.prepare()
        if flush is not None:
            flush()

    def bar_closes() -> None:
        stream.push(next(rows))
        stream.decide(account)

    return _median_of(bar_closes, calls, wait)


def _whole_observations(model: Any, calls: int) -> Callable[[], float]:
    stream = model.stream()
    market = np.random.default_rng(1).standard_normal((400, 53)).astype(np.float32)
    at_rest = np.zeros((100, ACCOUNT), dtype=np.float32)
    windows = _forever([np.concatenate([market[i : i + 100], at_rest], axis=1) for i in range(300)])
    ready: list[Any] = []

    def wait() -> None:
        ready[:] = [next(windows)]
        stream.prepare()

    return _median_of(lambda: stream.decide_on(ready[0]), calls, wait)


def _forever(values: Any) -> Iterator[Any]:
    while True:
        yield from values


def _flusher() -> Work:
    block = np.ones(32 << 20)
    return lambda: block.__iadd__(0.0)


def _peers(files: ReferenceFiles, hidden: tuple[int, ...]) -> dict[str, Work]:
    obs = observation()
    peers: dict[str, Work] = {TORCH: _torch(hidden)}
    if files.stable_baselines3 is not None:
        from stable_baselines3 import PPO

        ppo = PPO.load(files.stable_baselines3, device="cpu")
        peers[STABLE_BASELINES3] = lambda: ppo.predict(obs, deterministic=True)
    if files.onnx is not None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(files.onnx, options, providers=["CPUExecutionProvider"])
        peers[ONNX] = lambda: session.run(None, {"obs": obs})
    return peers


def _torch(hidden: tuple[int, ...]) -> Work:
    import torch

    torch.set_num_threads(1)
    network, tensor = reference_network(hidden), torch.from_numpy(observation())

    def in_torch() -> int:
        with torch.no_grad():
            return int(network.actor_head(network.trunk(tensor)).argmax())

    return in_torch


if __name__ == "__main__":
    raise SystemExit(main(measure))
