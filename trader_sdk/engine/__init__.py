"""From weights to logits, in numpy: the dense reference, and what is faster where it is allowed."""

from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.engines import Engine
from trader_sdk.engine.probe import Probe

__all__ = ["DensePolicy", "Engine", "Probe"]
