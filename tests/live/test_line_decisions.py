"""A symbol's line decides with sums made ahead, or without where they cannot be: always as the model does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from trader_sdk import NativeModelWrapper
from trader_sdk.approved import ApprovedModel
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import load_bars
from trader_sdk.engine import Engine
from trader_sdk.features import Ohlcv53Provider, build_schema
from trader_sdk.features.observation import ObservationBuilder
from trader_sdk.live.lines import SymbolLine
from trader_sdk.live.models import LiveModel
from trader_sdk.live.schedule import Schedule
from trader_sdk.plan import AssetRules
from trader_sdk.portfolio import Sleeve

MODEL = NativeModelWrapper(Path(__file__).parents[2] / "compat" / "golden" / "2.7.0" / "checkpoint.pt")
WARM = 520
SLEEVE = Sleeve.start(Decimal(10_000))
RULES = AssetRules(
    symbol="SIM",
    tradable=True,
    shortable=False,
    fractionable=True,
    qty_increment=Decimal("0.000001"),
    min_qty=Decimal("0.000001"),
    min_notional=Decimal(1),
    price_increment=None,
    is_crypto=True,
)


class PerWindow(Ohlcv53Provider):
    """Scales every window by its own largest value: a row changes after its bar closed."""

    def observe(self, account: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the observation, each market column divided by the window's largest."""
        observation = super().observe(account).reshape(100, -1).copy()
        observation[:, :53] /= np.abs(observation[:, :53]).max() + np.float32(len(self.window))
        observation[:, :53] *= np.float32(1 + self.window[-1, 0])
        return observation.reshape(-1)


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Return simulated minutes."""
    return load_bars("planted:bars=700", "SIM", "1Min")


def _line(bars: Bars, provider: type[Ohlcv53Provider], last_warm: int = WARM) -> SymbolLine:
    schema = build_schema("2.7.0", "1Min", calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment)
    # A golden has no approval; a line asks the model for its version and its decisions only.
    live = LiveModel("SIM", cast(ApprovedModel, MODEL), ObservationBuilder(provider(schema)))
    line = SymbolLine(live, RULES, Schedule.of(Timeframe.MIN_1, (), always_open=True))
    line.warm(bars.slice(0, last_warm))
    return line


def _agrees(line: SymbolLine, bar: Bar) -> bool:
    """Return whether the line decided on ``bar``, and as the model does on the whole observation."""
    now = datetime.fromtimestamp(bar.t / 1e9, UTC) + timedelta(seconds=61)
    decided = line.take([bar], SLEEVE, now)
    if decided.decision is None:
        return False
    columns = SLEEVE.mark(decided.close).columns(decided.close, MODEL.model_spec.n_account)
    wanted = MODEL.decide(line.live.observations.observe(columns))
    return decided.decision.action == wanted.action and np.allclose(decided.decision.logits, wanted.logits, atol=2e-5)


def test_warm_line_decides_ahead_from_its_first_bar_on(bars: Bars) -> None:
    """After warming up no decision multiplies a whole observation, whether the loop prepared in between or not."""
    line = _line(bars, Ohlcv53Provider)
    for index in range(WARM, WARM + 30):
        assert _agrees(line, bars.at(index))
        if index % 2:
            line.prepare()
    assert (line.engine.engine, line.engine.ahead, line.engine.dense) == (Engine.STREAMING, 30, 0)


def test_line_whose_features_are_normalised_per_window_decides_densely(bars: Bars) -> None:
    """The provider is somebody else's and its rows change: noticed without being told, decided equally."""
    line = _line(bars, PerWindow)
    for index in range(WARM, WARM + 10):
        assert _agrees(line, bars.at(index))
        line.prepare()
    assert (line.engine.engine, line.engine.dense) == (Engine.DENSE, 10)
    assert "normalised per window" in line.engine.reason


def test_line_goes_on_after_a_missing_bar(bars: Bars) -> None:
    """While the gap is in the window nothing is decided; the first decision after it is dense, the next is not."""
    line = _line(bars, Ohlcv53Provider)
    assert _agrees(line, bars.at(WARM))
    decided = [_agrees(line, bars.at(index)) for index in range(WARM + 2, WARM + 130)]
    first = decided.index(True)
    assert first > 50
    assert all(decided[first:])
    assert (line.engine.ahead, line.engine.dense) == (1 + len(decided) - first - 1, 1)
