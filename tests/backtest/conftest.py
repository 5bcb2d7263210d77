"""The demo's approved model and bars after its training range."""

import pytest

from trader_sdk import NativeModelWrapper, load_approved
from trader_sdk.contract.bars import Bars
from trader_sdk.data import load_bars
from trader_sdk.demo import demo_archive_path


@pytest.fixture(scope="session")
def model() -> NativeModelWrapper:
    """Return the simulated market's champion."""
    return load_approved(demo_archive_path(), "SIM", "1Min")


@pytest.fixture(scope="session")
def bars() -> Bars:
    """Return the bars it was made from and 2,000 later ones."""
    return load_bars("planted:bars=64000", "SIM", "1Min")
