"""Goldens as models."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trader_sdk import NativeModelWrapper

GOLDEN = Path(__file__).parents[2] / "compat" / "golden"


@pytest.fixture
def golden() -> Callable[[str], Path]:
    """Return the path of a golden checkpoint by its name."""
    return lambda name: GOLDEN / name / "checkpoint.pt"


@pytest.fixture
def model(golden: Callable[[str], Path]) -> NativeModelWrapper:
    """Return the golden model of 2.7.0."""
    return NativeModelWrapper(golden("2.7.0"))
