"""Whether the columns carry the planted edge, and carry nothing on noise."""

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.data import load_bars
from trader_sdk.features import MEMORY, build_schema, market_features

TRAIN_SHARE = 0.8


def r_squared(bars: Bars) -> tuple[float, float]:
    """Return R^2 of a linear forecast of the next bar's return from one row, on its own and on later bars."""
    schema = build_schema("2.3.0", "1Min", calendar="XNYS", feed="simulated", adjustment="split")
    rows = market_features(bars, schema)[:-1].astype(np.float64)
    design = np.column_stack([rows, np.ones(len(rows))])
    returns = np.diff(np.log(bars.close))[MEMORY:]
    split = int(TRAIN_SHARE * len(rows))
    weights = np.linalg.lstsq(design[:split], returns[:split], rcond=1e-8)[0]
    mean = returns[:split].mean()

    def score(part: slice) -> float:
        residual = returns[part] - design[part] @ weights
        return float(1 - (residual**2).sum() / ((returns[part] - mean) ** 2).sum())

    return score(slice(0, split)), score(slice(split, None))


@pytest.mark.parametrize("seed", [7, 8])
def test_a_linear_forecast_finds_most_of_the_planted_edge(seed: int) -> None:
    """The best filter of the price alone reaches 5.2 % (the mean is not observed); one row gives 4 % and more."""
    _, held_out = r_squared(load_bars(f"planted:seed={seed}", "SIM", "1Min"))
    assert 0.038 < held_out < 0.065


@pytest.mark.parametrize("seed", [7, 8])
def test_a_linear_forecast_finds_nothing_in_noise(seed: int) -> None:
    """Held out, noise cannot be forecast."""
    fitted, held_out = r_squared(load_bars(f"noise:seed={seed}", "SIM", "1Min"))
    assert fitted < 0.01
    assert held_out < 0.001
