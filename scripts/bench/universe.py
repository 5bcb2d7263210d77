"""The approved models of a universe, through the archive's door: chain, verdicts, digests, policies, every check.

Each symbol is a slot of its own with the reference policy; the archive is read once a call. The peer is what a desk
without an archive runs: a loop over `torch.load(weights_only=True)` of each training checkpoint, its optimizer in it, a
network and a strict `load_state_dict`, nothing verified and nothing approved. Warm page cache; each model is let go
before the next round. A verdict is bound to the file and to the policy in it. The file is hashed at each load; which
policy those bytes hold is computed the first time on a host, which the row of a new host shows: two digests then are
four fifths of the time, at the speed of the processor's SHA instructions.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reference_models import ReferenceFiles, reference_network, write_reference
from rows import OURS, Row, compare, growth, interleaved, main, seconds, wanted

ONE_THREAD = "universe of 200, verified, one thread"
THREADS = "universe of 200, verified, default threads"
NEW_HOST = "one model, the first time on a host"
COPIED = "universe of 50, weights copied, one thread"
GROWTH = "universe, verified, one thread"
TORCH = "torch loop, unverified"
_GOOD = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
_GATE = {**_GOOD, "t": 3.4, "n_bars": 2100, "n_windows": 7, "n_trades": 84}


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of a universe."""
    count, rounds = (20, 3) if quick else (200, 5)
    note = f"{count} symbols" if quick else ""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRADER_ARCHIVE_CACHE"] = str(Path(folder) / "cache")
        files = write_reference(Path(folder))
        archive = _archive(files, Path(folder) / "archive", count)
        symbols = _symbols(count)
        if wanted(ONE_THREAD):
            cases = {OURS: _ours(archive, symbols, workers=1), TORCH: _torch(files, count)}
            yield from compare(ONE_THREAD, interleaved(cases, rounds), {TORCH: 2.0}, note=note)
        if wanted(THREADS):
            cases = {OURS: _ours(archive, symbols), TORCH: _torch(files, count)}
            yield from compare(THREADS, interleaved(cases, rounds), {TORCH: 2.0}, note=note)
        if wanted(NEW_HOST):
            cases = {OURS: _ours(archive, symbols[:1], workers=1, before=_forget), TORCH: _torch(files, 1)}
            yield from compare(NEW_HOST, interleaved(cases, rounds), {TORCH: None})
        if wanted(COPIED):
            few = min(50, count)
            cases = {OURS: _ours(archive, symbols[:few], workers=1, mapped=False), TORCH: _torch(files, few)}
            yield from compare(
                COPIED, interleaved(cases, rounds), {TORCH: None}, note=f"{few} symbols" if quick else ""
            )
        if wanted(GROWTH):
            amounts = (1, 10) if quick else (1, 10, 100)
            yield from growth(GROWTH, interleaved({n: _ours(archive, symbols[:n], workers=1) for n in amounts}, rounds))


def _symbols(count: int) -> list[str]:
    return [f"SYM{number:03d}" for number in range(count)]


def _archive(files: ReferenceFiles, root: Path, count: int) -> Path:
    from trader_sdk import TrainingArchiveManager

    data = {"digest": "sha256:" + 64 * "d", "kind": "real", "start": "2000-03-01", "end": "2010-12-31"}
    models = {
        symbol: {
            "symbol": symbol,
            "timeframe": "1Day",
            "final": str(files.checkpoint.path),
            "metric_set": "house@1",
            "drawdown_kind": "equity",
            "metrics": {name: [value] for name, value in _GOOD.items()},
            "gate": {"final": _GATE, "best": None},
            "data": data,
        }
        for symbol in _symbols(count)
    }
    TrainingArchiveManager(root).archive_training_run({"schema": 1, "run": {}, "models": models})
    return root


def _forget() -> None:
    shutil.rmtree(os.environ["TRADER_ARCHIVE_CACHE"], ignore_errors=True)


def _ours(
    archive: Path,
    symbols: list[str],
    *,
    mapped: bool = True,
    before: Callable[[], None] = lambda: None,
    **options: Any,
) -> Callable[[], float]:
    from trader_sdk import SdkError, load_approved_universe

    def load() -> None:
        found = load_approved_universe(archive, symbols, mapped=mapped, **options)
        refused = [error for error in found.values() if isinstance(error, SdkError)]
        assert not refused, refused[0]

    def measured() -> float:
        before()
        return seconds(load)

    return measured


def _torch(files: ReferenceFiles, count: int) -> Callable[[], float]:
    import torch

    torch.set_num_threads(1)

    def load() -> None:
        for _ in range(count):
            state = torch.load(files.full.path, weights_only=True)["policy_state_dict"]
            reference_network().load_state_dict(state)

    return lambda: seconds(load)


if __name__ == "__main__":
    raise SystemExit(main(measure))
