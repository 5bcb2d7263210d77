"""From a path to a model that is ready: ours with digest, CRC, finiteness and strict structure, the peers without.

One process, warm page cache, one thread. A ready model in torch is `torch.load(weights_only=True)`, the network's own
constructor and a strict `load_state_dict`; `torch.load` alone, which ends before there is a model, is shown beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reference_models import ReferenceFiles, Verified, one_thread, reference_network, write_reference
from rows import OURS, Row, compare, interleaved, main, seconds


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of loading."""
    one_thread()
    rounds = 5 if quick else 41
    with tempfile.TemporaryDirectory() as folder:
        files = write_reference(Path(folder))
        peers = _peers(files)
        plain = {OURS: _ours(files.checkpoint), **peers}
        yield from compare(
            "path to ready model, same .pt, verified",
            interleaved(plain, rounds),
            {"torch": 0.6, "torch.load alone": None, "stable-baselines3": 6.0},
        )
        full = {OURS: _ours(files.full), "torch.load": _torch(files.full.path)}
        yield from compare("the same with Adam's moments in the file", interleaved(full, rounds), {"torch.load": None})
        artefact = {OURS: _ours(files.artefact), "torch.load": _torch(files.full.path)}
        artefact["safetensors"] = _safetensors(files.artefact.path)
        taken = interleaved(artefact, rounds)
        yield from compare("policy artefact against the full checkpoint", taken, {"torch": 1.8, "safetensors": None})
        yield from compare("20 policy artefacts, one after the other", _twenty(files, rounds), {"torch": 2.0})


def _twenty(files: ReferenceFiles, rounds: int) -> dict[str, list[float]]:
    def many(work: Callable[[], float]) -> Callable[[], float]:
        return lambda: sum(work() for _ in range(20))

    cases = {OURS: many(_ours(files.artefact)), "torch": many(_torch(files.full.path))}
    return interleaved(cases, max(3, rounds // 8))


def _peers(files: ReferenceFiles) -> dict[str, Callable[[], float]]:
    path = files.checkpoint.path
    peers = {"torch": _torch(path), "torch.load alone": lambda: seconds(lambda: _state(path))}
    if files.stable_baselines3 is not None:
        from stable_baselines3 import PPO

        zipped = files.stable_baselines3
        peers["stable-baselines3"] = lambda: seconds(lambda: PPO.load(zipped, device="cpu"))
    return peers


def _ours(file: Verified) -> Callable[[], float]:
    from trader_sdk import NativeModelWrapper

    return lambda: seconds(lambda: NativeModelWrapper(file.path, expected_sha256=file.sha256))


def _torch(path: Path) -> Callable[[], float]:
    import torch

    torch.set_num_threads(1)
    return lambda: seconds(lambda: reference_network().load_state_dict(_state(path)))


def _state(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True)["policy_state_dict"]


def _safetensors(path: Path) -> Callable[[], float]:
    from safetensors.numpy import load_file

    return lambda: seconds(lambda: load_file(path))


if __name__ == "__main__":
    raise SystemExit(main(measure))
