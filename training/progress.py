"""How a run is watched: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from training.run_log import Reporter

if TYPE_CHECKING:
    from training.run import TrainResult


def pick_reporter(stream: TextIO | None = None) -> Reporter:
    """Return a progress bar for a terminal, plain lines for anything else."""
    target = stream or sys.stdout
    return Bar(target) if target.isatty() else Lines(target)


def started_line(facts: dict[str, Any]) -> str:
    """Return what will be trained, in one line; simulated data is said."""
    data, blocks = facts["data"], facts["blocks"]
    return (
        f"training {facts['symbol']} {facts['timeframe']} on {facts['n_bars']} {data['kind']} bars from "
        f"{facts['source']} ({data['start'][:10]} to {data['end'][:10]}): "
        f"TRAIN {blocks['train']}, SELECT {blocks['select']}, GATE {blocks['gate']}"
    )


def validated_line(facts: dict[str, Any]) -> str:
    """Return one validation on SELECT in one line."""
    return (
        f"update {facts['update']}: SELECT fitness {facts['fitness_score']:.2f}, PF {facts['profit_factor']:.2f}, "
        f"consistency {facts['consistency']:.2f}, drawdown {facts['max_drawdown']:.2%}, "
        f"net {facts['net_return']:+.2%}, {facts['n_trades']} trades"
    )


def verdict_lines(result: TrainResult) -> list[str]:
    """Return what the gate thought of a run, for a person."""
    (model,) = result.summary.models.values()
    assert model.gate is not None
    opened = model.gate.best or model.gate.final
    lines = [
        f"GATE fitness {opened.fitness_score:.2f}, PF {opened.profit_factor:.2f}, consistency "
        f"{opened.consistency:.2f}, drawdown {opened.max_drawdown:.2%}, t {opened.t:.2f}, {opened.n_trades} trades "
        f"(in-sample: fitness {model.in_sample['fitness_score']:.2f}, PF {model.in_sample['profit_factor']:.2f})",
    ]
    if result.archived is None:
        return [*lines, f"not archived; the run is in {result.folder}"]
    for verdict in result.archived.assessments:
        tier = f", tier {verdict.tier}" if verdict.tier else ""
        flags = ", ".join(flag.name for flag in verdict.flags) or "none"
        lines.append(f"{verdict.symbol} {verdict.timeframe}: {verdict.class_}{tier}; flags: {flags}")
    return [*lines, f"archived in {result.archived.path}; run folder {result.folder}"]


class Lines:
    """Write a line a validation.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def started(self, facts: dict[str, Any]) -> None:
        """Say what will be trained."""
        self._num_updates = facts["num_updates"]
        self._write(started_line(facts))

    def advanced(self, facts: dict[str, Any]) -> None:
        """Remember how far the run is."""
        seconds = time.monotonic() - self._started
        left = seconds / facts["update"] * (self._num_updates - facts["update"])
        self._pace = f"{facts['env_step'] / seconds:,.0f} steps/s, {left:.0f} s left"

    def validated(self, facts: dict[str, Any]) -> None:
        """Say what the validation gave, and how long it will take yet."""
        self._write(f"{validated_line(facts)} ({self._pace})")

    def noticed(self, text: str) -> None:
        """Say it."""
        self._write(text)

    def close(self) -> None:
        """Leave the stream as it is."""

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Bar:
    """Draw a progress bar with steps a second, time left and the last validation.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} updates {task.fields[pace]}"),
            TimeRemainingColumn(),
            console=Console(file=stream, highlight=False),
        )

    def started(self, facts: dict[str, Any]) -> None:
        """Say what will be trained and draw the bar."""
        self._progress.start()
        self._progress.console.print(started_line(facts))
        self._task = self._progress.add_task("training", total=facts["num_updates"], pace="")

    def advanced(self, facts: dict[str, Any]) -> None:
        """Move the bar."""
        rate = facts.get("steps_per_second")
        pace = f"{rate:,.0f} steps/s" if rate else ""
        self._progress.update(self._task, completed=facts["update"], pace=pace)

    def validated(self, facts: dict[str, Any]) -> None:
        """Print the validation above the bar."""
        self._progress.console.print(validated_line(facts))

    def noticed(self, text: str) -> None:
        """Print it above the bar."""
        self._progress.console.print(text)

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()
