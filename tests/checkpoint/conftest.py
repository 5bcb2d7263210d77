"""Makes the compatibility laboratory importable, and tiny checkpoints on demand."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "compat"))


@pytest.fixture
def golden() -> Callable[[str], Path]:
    """Return the path of a golden checkpoint by its name."""
    return lambda name: ROOT / "compat" / "golden" / name / "checkpoint.pt"


@pytest.fixture
def rows() -> NDArray[np.float32]:
    """Return seeded observations of model 2.7.0."""
    return np.random.default_rng(7).standard_normal((5, 5900)).astype(np.float32)
