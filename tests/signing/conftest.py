"""A key, and a verdict as an archive writes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.signing import PrivateKey

DEMO = Path(__file__).parents[2] / "trader_sdk" / "demo" / "archive"


@pytest.fixture
def key() -> PrivateKey:
    """Return a key that is the same in every run."""
    return PrivateKey(bytes(range(32)))


@pytest.fixture
def verdict() -> dict[str, Any]:
    """Return the demo archive's oldest verdict."""
    path = min(DEMO.rglob("model_assessments.json"))
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))["assessments"][0]
    return document
