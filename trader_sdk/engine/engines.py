"""The engines by name, and what each is chosen for."""

from __future__ import annotations

from enum import StrEnum


class Engine(StrEnum):
    """Ways from observations to logits; all are equal to the dense one within float32 rounding.

    Example:
        >>> Engine.STREAMING.value
        'streaming'
    """

    DENSE = "dense"
    """Whole observations, every weight: the reference, and what remains where nothing else may be used."""
    STREAMING = "streaming"
    """One symbol, bar by bar: older bars are summed ahead."""
    STACKED = "stacked"
    """Many symbols, bar by bar, side by side."""
    OVERLAP_SAVE = "overlap-save"
    """A whole history: the first layer as a filter over bars, in the frequency domain."""
