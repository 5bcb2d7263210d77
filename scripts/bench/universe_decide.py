"""The bar on which hundreds of symbols close: a model each, or one model for all. One thread.

Ours is `DecisionStreams`: rows pushed and every symbol decided, after `prepare()` while it waited. Peers decide on
whole observations that lie ready: a loop over the models, or one batch. Peers' loops use the same weights as ours.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from reference_models import ACTIONS, HIDDEN, OBS_DIM, ReferenceFiles, observation, reference_network, write_reference
from rows import OURS, Row, compare, growth, interleaved, main, now, seconds, wanted

OWN, SHARED = "200 symbols, own models", "200 symbols, one model"
OWN_GROWTH, SHARED_GROWTH = "own models, symbols", "one model, symbols"
SYMBOLS, QUICK_SYMBOLS = 200, 20
TORCH_LOOP, DENSE_LOOP, STABLE_BASELINES3, TORCH, ONNX = (
    "torch loop", "numpy dense loop", "stable-baselines3 batch", "torch batch", "onnxruntime batch"
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """What `DecisionStreams` asks of a loaded model, for weights that were never in a file."""

    policy: Any
    model_spec: Any
    sha256: str
    activation: str = "tanh"


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of many symbols."""
    rounds, symbols = (3, QUICK_SYMBOLS) if quick else (11, SYMBOLS)
    note = f"{symbols} symbols" if quick else ""
    if wanted(SHARED) or wanted(SHARED_GROWTH):
        with tempfile.TemporaryDirectory() as folder:
            files = write_reference(Path(folder))
            peers = _batches(files, symbols)
        one = _models(1)[0]
        if wanted(SHARED):
            taken = interleaved({OURS: _ours([one] * symbols), **peers}, rounds)
            goals = {STABLE_BASELINES3: 12, TORCH: None, ONNX: 6}
            yield from compare(SHARED, taken, goals, note=note)
        if wanted(SHARED_GROWTH):
            cases = {n: _ours([one] * n) for n in _amounts(symbols)}
            yield from growth(SHARED_GROWTH, interleaved(cases, rounds), unit="us")
    if wanted(OWN) or wanted(OWN_GROWTH):
        models = _models(symbols)
        if wanted(OWN):
            taken = interleaved({OURS: _ours(models), **_loops(models)}, rounds)
            yield from compare(OWN, taken, {TORCH_LOOP: 15, DENSE_LOOP: 12}, note=note)
        if wanted(OWN_GROWTH):
            cases = {n: _ours(models[:n]) for n in _amounts(symbols)}
            yield from growth(OWN_GROWTH, interleaved(cases, rounds), unit="us")


def _amounts(symbols: int) -> tuple[int, ...]:
    return tuple(n for n in (symbols // 100, symbols // 10, symbols) if n)


def _models(count: int) -> list[Model]:
    from trader_sdk.contract.spec import MODEL_SPECS
    from trader_sdk.engine import DensePolicy

    rng, widths = np.random.default_rng(0), (OBS_DIM, *HIDDEN, ACTIONS)
    first = [
        (rng.standard_normal((out, into), dtype=np.float32) / np.float32(into**0.5), np.zeros(out, np.float32))
        for into, out in pairwise(widths)
    ]
    policies = [
        DensePolicy([(weight * np.float32(1 + index / 1000), bias) for weight, bias in first], "tanh")
        for index in range(count)
    ]
    return [Model(policy, MODEL_SPECS["2.7.0"], f"sha256:{index:064x}") for index, policy in enumerate(policies)]


def _ours(models: list[Model]) -> Callable[[], float]:
    from trader_sdk.decision_streams import DecisionStreams

    streams = DecisionStreams({f"S{index}": model for index, model in enumerate(models)})
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((8, len(models), 53)).astype(np.float32)
    account = rng.uniform(-1, 1, (len(models), 6)).astype(np.float32)
    for index in range(100):
        streams.push(rows[index % 8])

    def measured() -> float:
        times = []
        for row in rows[: 2 if len(models) > 50 else 8]:
            streams.prepare()
            started = now()
            streams.push(row)
            actions = streams.decide(account).actions
            times.append(now() - started)
            assert (actions >= 0).all()
        return statistics.median(times)

    return measured


def _loops(models: list[Model]) -> dict[str, Callable[[], float]]:
    import torch
    from torch.nn.functional import linear

    torch.set_num_threads(1)
    observations = observation(len(models))
    tensors = torch.from_numpy(observations)
    networks = [[tuple(map(torch.from_numpy, layer)) for layer in model.policy.layers] for model in models]

    def in_torch() -> list[int]:
        actions = []
        with torch.no_grad():
            for network, obs in zip(networks, tensors, strict=True):
                (first, bias), *others = network
                values = linear(obs, first, bias)
                for weight, shift in others:
                    values = linear(torch.tanh(values), weight, shift)
                actions.append(int(values.argmax()))
        return actions

    def in_numpy() -> list[int]:
        each = zip(models, observations, strict=True)
        return [int(model.policy.logits(obs[None])[0].argmax()) for model, obs in each]

    return {TORCH_LOOP: lambda: seconds(in_torch), DENSE_LOOP: lambda: seconds(in_numpy)}


def _batches(files: ReferenceFiles, symbols: int) -> dict[str, Callable[[], float]]:
    import torch

    torch.set_num_threads(1)
    batch = observation(symbols)
    network, tensor = reference_network(), torch.from_numpy(batch)

    def in_torch() -> Any:
        with torch.no_grad():
            return network.actor_head(network.trunk(tensor)).argmax(dim=1)

    peers: dict[str, Callable[[], float]] = {TORCH: lambda: seconds(in_torch)}
    if files.stable_baselines3 is not None:
        from stable_baselines3 import PPO

        ppo = PPO.load(files.stable_baselines3, device="cpu")
        peers[STABLE_BASELINES3] = lambda: seconds(lambda: ppo.predict(batch, deterministic=True))
    if files.onnx is not None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(files.onnx, options, providers=["CPUExecutionProvider"])
        peers[ONNX] = lambda: seconds(lambda: session.run(None, {"obs": batch})[0].argmax(axis=1))
    return peers


if __name__ == "__main__":
    raise SystemExit(main(measure))
