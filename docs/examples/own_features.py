"""Market columns of one's own, for a model that has account columns too.

export PYTHONPATH=docs/examples
trader features check --features own_features:Provider --data planted --symbol SIM --timeframe 1Min
python -m training run --features own_features:Provider --data planted --symbol SIM --timeframe 1Min
trader run --features own_features:Provider --archive training_archives --market simulated-1min
"""

import numpy as np

from trader_sdk.features import FeatureSchema, build_schema
from trader_sdk.features.provider import observation_of

COLUMNS, MEMORY = 53, 60
SPANS = np.arange(2, 2 + COLUMNS)
OURS = build_schema("2.7.0", "1Min", calendar="XNYS", feed="simulated", adjustment="split")


class Provider:
    """How far the close is above its mean over 2 to 54 bars, in units of what the price moved lately."""

    required_history = OURS.window + MEMORY
    schema = FeatureSchema(
        feature_sets=("deviation53@1", *OURS.feature_sets[1:]),
        names=(*(f"deviation_{span}" for span in SPANS), *OURS.names[COLUMNS:]),
        versions=(*(1 for _ in SPANS), *OURS.versions[COLUMNS:]),
        timeframe="1Min",
        calendar=OURS.calendar,
        feed=OURS.feed,
        adjustment=OURS.adjustment,
    )

    def __init__(self):
        self._closes = []

    def push(self, bar):
        """Take a closed bar."""
        self._closes = [*self._closes, bar.close][-self.required_history :]

    @property
    def ready(self):
        """Return whether the window is full."""
        return len(self._closes) == self.required_history

    def observe(self, account=None):
        """Return the current observation."""
        return observation_of(_rows(np.array(self._closes)), account, self.schema)

    def history(self, bars):
        """Return the market columns, one row for each bar from the sixty-first on."""
        return _rows(bars.close)


def _rows(closes):
    if len(closes) <= MEMORY:
        return np.empty((0, COLUMNS), np.float32)
    log = np.log(np.lib.stride_tricks.sliding_window_view(closes, MEMORY + 1))[:, ::-1]
    moved = np.sqrt(np.mean(np.diff(log, axis=1) ** 2, axis=1)) + 1e-9
    means = np.cumsum(log, axis=1)[:, SPANS - 1] / SPANS
    return np.clip((log[:, :1] - means) / moved[:, None] / 4, -1, 1).astype(np.float32)
