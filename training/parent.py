"""The checkpoint that a run starts from: read, compared with what will be trained, loaded, proven (INV-TRAIN-012)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trader_sdk.checkpoint.reader import read_checkpoint
from trader_sdk.contract.errors import ContractError, UsageError
from trader_sdk.features import FeatureSchema
from trader_sdk.model import NativeModelWrapper
from training.invariants import violation
from training.policy import ActorCritic

RELATIVE_TOLERANCE = 0.01
ABSOLUTE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Parent:
    """A checkpoint to start from.

    Attributes:
        path: Where it lies.
        model: It, as a trader loads it.
    """

    path: Path
    model: NativeModelWrapper

    @classmethod
    def open(cls, path: Path) -> Parent:
        """Load a parent with all checks that a trader makes.

        Raises:
            SdkError: It cannot be loaded.
        """
        return cls(path, NativeModelWrapper(path))

    @classmethod
    def named_by(cls, path: str | None, sha256: str | None) -> Parent | None:
        """Load the parent that a configuration names; None where it names none.

        Raises:
            SdkError: It cannot be loaded, or is not the one whose digest the configuration holds.
        """
        if path is None:
            return None
        parent = cls.open(Path(path))
        if sha256 not in (None, parent.model.sha256):
            raise UsageError(
                "USAGE",
                "the parent is not the one that the run began with",
                where=path,
                expected=sha256,
                found=parent.model.sha256,
                remedy="Put the parent back where it was.",
            )
        return parent

    @property
    def network(self) -> dict[str, Any]:
        """Return the settings that a run takes over: trunk, activation, version, and which parent it was."""
        widths = [len(bias) for _, bias in self.model.policy.layers[:-1]]
        return {
            "hidden_dims": tuple(widths),
            "activation": self.model.activation,
            "model_version": self.model.model_version,
            "parent_sha256": self.model.sha256,
        }

    def check(self, schema: FeatureSchema) -> None:
        """Refuse a parent that saw other features.

        Raises:
            ContractError: E309.
        """
        found = self.model.metadata.get("feature_schema_sha256")
        if found != schema.sha256:
            raise ContractError(
                "E309",
                "the parent was trained on other features",
                where=str(self.path),
                expected=schema.sha256,
                found=found,
                remedy="Start from scratch, or from a parent of the same timeframe, calendar, feed and features.",
            )

    def load_into(self, network: ActorCritic) -> None:
        """Give ``network`` the parent's weights, bit for bit; a value head that it does not have stays as it is.

        Raises:
            UsageError: The parent is no network of this trainer.
        """
        tensors = read_checkpoint(self.path, expected_sha256=self.model.sha256).tensors
        state = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
        try:
            missing, unknown = network.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise self._other_network(str(error)) from error
        lacking = [name for name in missing if not name.startswith("critic_head.")]
        if lacking or unknown:
            raise self._other_network(f"without {lacking}, with {unknown}")

    def _other_network(self, found: str) -> UsageError:
        return UsageError(
            "USAGE",
            "the parent is no network of this trainer",
            where=str(self.path),
            expected="trunk.*, actor_head.* and perhaps critic_head.*",
            found=found,
            remedy="Start from a checkpoint that `python -m training` wrote.",
        )


def check_parent_loss(initial: float, parent: float, *, regime: str) -> None:
    """Refuse a finetune that does not start where its parent is (INV-TRAIN-012).

    Args:
        initial: Validation loss before the first update, nats.
        parent: The parent's own, as the deployed engine computes it.
        regime: For the message.

    Raises:
        InvariantViolated: They differ by more than 1 % or 0.001, whichever is more; NaN always does.
    """
    limit = max(RELATIVE_TOLERANCE * parent, ABSOLUTE_TOLERANCE)
    if not parent - limit <= initial <= parent + limit:
        message = f"the finetune starts at a loss of {initial:.6g} and its parent is at {parent:.6g}"
        raise violation("012", message, epoch=0, value=abs(initial - parent), limit=limit, regime=regime)
