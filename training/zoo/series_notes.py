"""Variants on many symbols, folded into a series each while they trade: no ledger of a symbol is ever held whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from trader_sdk.archive.notes import Closing, Step
from trader_sdk.archive.tracks import Track
from training.zoo.plays import SeriesSums

_BARS_HELD: Final = 512


class SeriesNotes:
    """Takes what lanes do and adds it to sums, a few hundred bars at a time.

    Args:
        sums: Of as many variants as trade.
        tracks: What they trade, the longest first.
        n_variants: Their number; a variant's lanes lie together.
    """

    def __init__(self, sums: SeriesSums, tracks: Sequence[Track], n_variants: int) -> None:
        self._sums, self._n_variants = sums, n_variants
        self._markets = [track.market_return() for track in tracks]
        self._means = [float(each.mean()) for each in self._markets]
        self._times = [track.start_at for track in tracks]
        shape = (_BARS_HELD + 1, n_variants, len(tracks))
        # The first row is the bar before those that are held: nothing at the beginning.
        self._weight, self._cost = np.zeros(shape), np.zeros(shape)
        self._held, self._n_tracks = 1, len(tracks)

    def note(self, bar: int, step: Step) -> None:
        """Hold what a bar brought."""
        if self._held == _BARS_HELD:
            self._fold(bar)
        self._held += 1
        self._weight[self._held, :, : self._n_tracks] = step.weight.reshape(self._n_variants, -1)
        self._cost[self._held, :, : self._n_tracks] = step.cost.reshape(self._n_variants, -1)

    def close_out(self, bar: int, closing: Closing) -> None:
        """Add what closing the positions of tracks that end costs, and go on without these tracks."""
        self._cost[self._held, :, : self._n_tracks] += closing.cost.reshape(self._n_variants, -1)
        self._fold(bar + 1)
        self._n_tracks -= int(np.count_nonzero(closing.lanes)) // self._n_variants

    def _fold(self, stop: int) -> None:
        """Add what is held: the bars before ``stop``."""
        bars, held = slice(stop - self._held, stop), slice(1, self._held + 1)
        for track in range(self._n_tracks):
            self._sums.add(
                self._times[track][bars],
                self._weight[: self._held + 1, :, track],
                self._cost[held, :, track],
                self._markets[track][bars],
                self._means[track],
            )
        self._weight[0] = self._weight[self._held]
        self._held = 0
