"""Checkpoints: bytes to raw checkpoint and back, by one strict door that runs nothing a file names."""

from trader_sdk.checkpoint.formats import Format
from trader_sdk.checkpoint.policy import Layer, policy_layers, policy_sha256
from trader_sdk.checkpoint.reader import RawCheckpoint, read_checkpoint

__all__ = ["Format", "Layer", "RawCheckpoint", "policy_layers", "policy_sha256", "read_checkpoint"]
