"""TensorBoard beside the log: ``--tensorboard 1`` writes ``RUN/tensorboard``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from trader_sdk.contract.errors import ConfigError
from training.run_log import Reporter

FOLDER: Final = "tensorboard"
_NOT_DRAWN: Final = frozenset({"update", "env_step"})


class TensorBoard:
    """Draw every number of a run over environment steps.

    Args:
        folder: The run's folder; nothing is written before the run began.

    Raises:
        ConfigError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "CONFIG",
                "tensorboard is not installed",
                where="--tensorboard",
                found=error,
                remedy='Install it: pip install "trader-sdk[train]", or leave the flag out; metrics.jsonl has it all.',
            ) from error
        self._open: Any = SummaryWriter
        self._writer: Any = None
        self._folder, self._env_step = folder, 0

    def started(self, facts: dict[str, Any]) -> None:
        """Begin, with what is trained as text."""
        self._writer = self._open(self._folder / FOLDER)
        self._writer.add_text("run", f"{facts['symbol']} {facts['timeframe']} from {facts['source']}")

    def advanced(self, facts: dict[str, Any]) -> None:
        """Draw an update: losses, learning rate, speed."""
        self._env_step = facts["env_step"]
        self._draw("train", facts)

    def validated(self, facts: dict[str, Any]) -> None:
        """Draw a validation on SELECT."""
        self._draw("select", facts)

    def noticed(self, text: str) -> None:
        """Note it beside the curves."""
        self._writer.add_text("notice", text, self._env_step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def _draw(self, group: str, facts: dict[str, Any]) -> None:
        for name, value in facts.items():
            if name not in _NOT_DRAWN and isinstance(value, int | float):
                self._writer.add_scalar(f"{group}/{name}", value, self._env_step)


class Together:
    """Tell several reporters the same.

    Args:
        reporters: Told in order.
    """

    def __init__(self, reporters: Iterable[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def started(self, facts: dict[str, Any]) -> None:
        """Tell all."""
        for each in self._reporters:
            each.started(facts)

    def advanced(self, facts: dict[str, Any]) -> None:
        """Tell all."""
        for each in self._reporters:
            each.advanced(facts)

    def validated(self, facts: dict[str, Any]) -> None:
        """Tell all."""
        for each in self._reporters:
            each.validated(facts)

    def noticed(self, text: str) -> None:
        """Tell all."""
        for each in self._reporters:
            each.noticed(text)

    def close(self) -> None:
        """Tell all."""
        for each in self._reporters:
            each.close()
