"""From weights to logits, in numpy."""

from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.probe import Probe

__all__ = ["DensePolicy", "Probe"]
