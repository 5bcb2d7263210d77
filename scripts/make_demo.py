"""Train the demo's models through the real path and write the packaged archive: ``python scripts/make_demo.py``.

Every model gets the verdict that it earns: nothing is chosen on GATE and no bar is moved. The archive then keeps the
policy artefacts alone; the training checkpoints, whose digests the verdicts name as well, are left out for their size.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trader_sdk.archive.manager import ArchivedRun, TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.contract.bars import Bars
from trader_sdk.data import load_bars
from trader_sdk.demo import demo_archive_path
from training.config import preset
from training.progress import pick_reporter, verdict_lines
from training.run import train

REAL_UNTIL = "2012-01-01"
"""Real bars from here on stay unseen: they are what the live demo replays."""


@dataclass(frozen=True, slots=True)
class DemoModel:
    """One model of the demo.

    Attributes:
        source, symbol, timeframe: Its bars.
        blocks: TRAIN, SELECT and GATE, or None for 40/20/40.
        total_steps: Its budget.
        trials: Times the GATE block of these bars was opened while the demo was made, this time included.
    """

    source: str
    symbol: str
    timeframe: str
    blocks: tuple[int, int, int] | None
    total_steps: int
    trials: int


# GOOG's 1,855 bars up to 2012 are too few for seven windows of a SELECT block.
MODELS = (
    DemoModel("planted", "SIM", "1Min", (50_000, 4_000, 8_000), 200_000, trials=7),
    DemoModel("noise", "SIMNOISE", "1Min", (50_000, 4_000, 8_000), 100_000, trials=2),
    DemoModel("vendored", "AAPL", "1Day", None, 150_000, trials=3),
    DemoModel("vendored", "IBM", "1Day", None, 150_000, trials=3),
    DemoModel("vendored", "MSFT", "1Day", None, 150_000, trials=3),
)


def main() -> None:
    """Train every model, archive it, and replace the packaged archive."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        archive = work / "archive"
        for model in MODELS:
            make(model, work, archive)
        keep_policy_artefacts(archive)
        shutil.rmtree(demo_archive_path(), ignore_errors=True)
        shutil.copytree(archive, demo_archive_path())
    size = sum(path.stat().st_size for path in demo_archive_path().rglob("*") if path.is_file())
    print(f"{demo_archive_path()}: {size / 1e6:.1f} MB")


def make(model: DemoModel, work: Path, archive: Path) -> ArchivedRun:
    """Train one model and register it."""
    config = preset(
        "laptop", hidden_dims=(16, 16), learning_rate=1e-3, total_steps=model.total_steps, blocks=model.blocks
    )
    bars = demo_bars(model)
    result = train(
        bars,
        config,
        out=work / f"{model.symbol}_{model.timeframe}",
        source=model.source,
        label="demo",
        n_trials=model.trials,
        reporter=pick_reporter(sys.stdout),
    )
    archived = TrainingArchiveManager(archive, who="make_demo").archive_training_run(result.folder / "summary.json")
    print("\n".join(verdict_lines(result)[:1]))
    for verdict in archived.assessments:
        print(f"{verdict.symbol} {verdict.timeframe}: {verdict.class_} {[flag.name for flag in verdict.flags]}")
    return archived


def demo_bars(model: DemoModel) -> Bars:
    """Return the bars a model may see: all simulated ones, real ones up to ``REAL_UNTIL``."""
    bars = load_bars(model.source, model.symbol, model.timeframe)
    if model.source != "vendored":
        return bars
    until_ns = int(np.datetime64(REAL_UNTIL, "ns").astype(np.int64))
    return bars.slice(0, int(np.searchsorted(bars.t, until_ns)))


def keep_policy_artefacts(archive: Path) -> None:
    """Remove the training checkpoints, and what is derived and rebuilt on demand."""
    reader = ArchiveReader(archive)
    judged = [reader.judged(ref) for ref in reader.state.verdicts.values()]
    training = [subject_path(each.folder, each.verdict.subjects[0]) for each in judged]
    for path in [*training, *archive.glob("index.sqlite*"), archive / ".lock"]:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
