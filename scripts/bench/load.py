"""From a path to a model that is ready: ours with digest, CRC, finiteness and strict structure, the peers without.

One process, one thread, warm page cache. A ready model in torch is `torch.load(weights_only=True)`, the network's own
constructor and a strict `load_state_dict`; `torch.load` alone, which ends before there is a model, stands beside it
without a goal. A full checkpoint holds Adam's moments too; the archive's own artefact holds the policy alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reference_models import DEFAULT_TRUNK, ReferenceFiles, Verified, reference_network, write_reference
from rows import OURS, Row, compare, growth, interleaved, limit, main, seconds, wanted

SAME = "path to ready model, same .pt, verified"
DEEP = "path to ready model, default trunk, verified"
FULL = "path to ready model, .pt with Adam's moments"
ARTEFACT = "policy artefact against the full checkpoint"
MAPPED = "policy artefact, mapped after verification"
MANY = "200 policy artefacts, mapped, each"
MEMORY = "unshared memory of 200 mapped policies"
GROWTH = "mapped policies, each"
MEMORY_LIMIT_MB = 60

TORCH, TORCH_ALONE, STABLE_BASELINES3, SAFETENSORS = "torch", "torch.load alone", "stable-baselines3", "safetensors"

_HOLDER = """
import json, sys
from pathlib import Path
from trader_sdk.loading import LoadOptions
from trader_sdk.model import load_quietly
def unshared():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
before = unshared()
models = [
    load_quietly(path, LoadOptions(expected_sha256=digest, own_artefact=True))
    for path, digest in json.loads(Path(sys.argv[1]).read_text())
]
print("held", flush=True)
sys.stdin.readline()
print(unshared() - before, flush=True)
sys.stdin.readline()
"""


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of loading."""
    rounds = 5 if quick else 41
    with tempfile.TemporaryDirectory() as folder:
        if any(map(wanted, (SAME, FULL, ARTEFACT, MAPPED, MANY, GROWTH, MEMORY))):
            files = write_reference(Path(folder))
            yield from _single(files, rounds)
            yield from _many(files, Path(folder) / "many", quick)
        if wanted(DEEP):
            deep = write_reference(Path(folder), DEFAULT_TRUNK).checkpoint
            taken = interleaved({OURS: _ours(deep), TORCH: _torch(deep.path, DEFAULT_TRUNK)}, max(5, rounds // 2))
            yield from compare(DEEP, taken, {TORCH: 0.6})


def _single(files: ReferenceFiles, rounds: int) -> Iterator[Row]:
    plain, full, artefact = files.checkpoint, files.full, files.artefact
    if wanted(SAME):
        taken = interleaved({OURS: _ours(plain), **_torches(plain.path), **_stable_baselines3(files)}, rounds)
        yield from compare(SAME, taken, {TORCH: 0.6, TORCH_ALONE: None, STABLE_BASELINES3: 6.0})
    if wanted(FULL):
        taken = interleaved({OURS: _ours(full), **_torches(full.path)}, rounds)
        yield from compare(FULL, taken, {TORCH: None, TORCH_ALONE: None})
    if wanted(ARTEFACT):
        peers = {**_torches(full.path), SAFETENSORS: _safetensors(artefact.path)}
        taken = interleaved({OURS: _ours(artefact), **peers}, rounds)
        yield from compare(ARTEFACT, taken, {TORCH: 1.8, TORCH_ALONE: None, SAFETENSORS: None})
    if wanted(MAPPED):
        taken = interleaved({OURS: _mapped(_named_by_digest(artefact)), **_torches(full.path)}, rounds)
        yield from compare(MAPPED, taken, {TORCH: 1.8, TORCH_ALONE: None})


def _many(files: ReferenceFiles, folder: Path, quick: bool) -> Iterator[Row]:
    if not any(map(wanted, (MANY, GROWTH, MEMORY))):
        return
    copies = _different_policies(files.artefact, folder, 20 if quick else 200)
    note = f"{len(copies)} files" if quick else ""
    if wanted(MANY):
        cases = {OURS: _each(copies), TORCH: _repeated(_torch(files.full.path), 20)}
        yield from compare(MANY, interleaved(cases, 3), {TORCH: 2.0}, note=note)
    if wanted(GROWTH):
        amounts = (1, 10) if quick else (1, 10, 100)
        yield from growth(GROWTH, interleaved({n: _all(copies[:n]) for n in amounts}, 5))
    if wanted(MEMORY) and Path("/proc/self/smaps_rollup").exists():
        held = _unshared_megabytes(copies, folder)
        yield limit(MEMORY, f"limit of {MEMORY_LIMIT_MB} MB", MEMORY_LIMIT_MB, held, "MB", note=note)


def _ours(file: Verified) -> Callable[[], float]:
    from trader_sdk import NativeModelWrapper

    return lambda: seconds(lambda: NativeModelWrapper(file.path, expected_sha256=file.sha256))


def _mapped(file: Verified) -> Callable[[], float]:
    return lambda: seconds(lambda: _load_mapped(file))


def _load_mapped(file: Verified) -> object:
    # What `load_approved(..., mapped=True)` does with the artefact after it judged the verdict.
    from trader_sdk.loading import LoadOptions
    from trader_sdk.model import load_quietly

    return load_quietly(file.path, LoadOptions(expected_sha256=file.sha256, own_artefact=True))


def _all(files: list[Verified]) -> Callable[[], float]:
    return lambda: seconds(lambda: [_load_mapped(file) for file in files])


def _each(files: list[Verified]) -> Callable[[], float]:
    everything = _all(files)
    return lambda: everything() / len(files)


def _repeated(work: Callable[[], float], count: int) -> Callable[[], float]:
    return lambda: sum(work() for _ in range(count)) / count


def _torches(path: Path) -> dict[str, Callable[[], float]]:
    return {TORCH: _torch(path), TORCH_ALONE: lambda: seconds(lambda: _state(path))}


def _torch(path: Path, *hidden: tuple[int, ...]) -> Callable[[], float]:
    import torch

    torch.set_num_threads(1)
    return lambda: seconds(lambda: reference_network(*hidden).load_state_dict(_state(path)))


def _state(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=True)["policy_state_dict"]


def _stable_baselines3(files: ReferenceFiles) -> dict[str, Callable[[], float]]:
    zipped = files.stable_baselines3
    if zipped is None:
        return {}
    from stable_baselines3 import PPO

    return {STABLE_BASELINES3: lambda: seconds(lambda: PPO.load(zipped, device="cpu"))}


def _safetensors(path: Path) -> Callable[[], float]:
    from safetensors.numpy import load_file

    return lambda: seconds(lambda: load_file(path))


def _named_by_digest(file: Verified) -> Verified:
    path = file.path.with_name(f"{file.sha256.removeprefix('sha256:')}.safetensors")
    path.write_bytes(file.path.read_bytes())
    path.chmod(0o644)
    return Verified(path, file.sha256)


def _different_policies(artefact: Verified, folder: Path, count: int) -> list[Verified]:
    """Write copies that differ in the last bits of one bias: files of their own, each with its own digest."""
    folder.mkdir()
    content = bytearray(artefact.path.read_bytes())
    files = []
    for index in range(count):
        content[-4:-2] = index.to_bytes(2, "little")
        digest = hashlib.sha256(content).hexdigest()
        path = folder / f"{digest}.safetensors"
        path.write_bytes(content)
        path.chmod(0o644)
        files.append(Verified(path, f"sha256:{digest}"))
    os.sync()
    return files


def _unshared_megabytes(files: list[Verified], folder: Path) -> float:
    """Return what the second of two processes that hold every model has to itself, in MB."""
    listed = folder / "files.json"
    listed.write_text(json.dumps([[str(file.path), file.sha256] for file in files]), "utf-8")
    command = [sys.executable, "-c", _HOLDER, str(listed)]
    # S603: the command is this file's own text.
    first, second = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        for _ in range(2)
    )
    for holder in (first, second):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
    held, _ = second.communicate("\n\n", timeout=600)
    first.communicate("\n\n", timeout=600)
    return int(held.split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    raise SystemExit(main(measure))
