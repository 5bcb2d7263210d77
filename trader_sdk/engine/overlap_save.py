"""The first layer over a whole history as a filter in the frequency domain: an order less arithmetic than windows.

A window's market part of the first layer is a correlation over bars, 53 columns in and ``hidden0`` sums out. Blocks of
512 bars are transformed once, multiplied by the filter's spectrum, and transformed back; of each block, 413 bars are
whole. Overlap-save: Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.ties import rounding

Spectrum = NDArray[np.complex64]

BLOCKS_AT_ONCE: Final = 24
"""Blocks multiplied by one reading of the spectrum."""
_SHORT, _LONG = 256, 512
"""Bars that are transformed at once: a short block's spectrum is made in half the time, a long one's serves faster."""
_LONG_PAYS: Final = 12_288
_COLUMNS_AT_ONCE: Final = 8
_PADDING: Final = 48
_QUIETEST: Final = 64.0
"""How much more energy a block may hold than its quietest window: rounding is as loud as the block."""
_HARMLESS: Final = 4e-6
"""Bound of the rounding, by norms, below which no window is too quiet for it."""


class OverlapSave:
    """A policy's first layer as a filter. Not safe to share between threads.

    Memory, whatever the length of a history: the spectrum, 257 x 53 complex numbers a hidden unit, five times the
    weights, and 100 kB a hidden unit to work in; 110 MB at 512 units, half of it for short histories. Keep it for one
    piece of work and let it go.

    Args:
        policy: Whose first layer.
        n_windows: About how many windows will be asked for; decides the length of a block.
        at_once: Most segments that :meth:`segment_sums` is given; more than 24 take more memory to work in.

    Attributes:
        block: Bars that are transformed at once.
        whole: Windows that a block gives.
        rounding: Bound by norms of the sums' rounding so far; what is seen is about a fifteenth of it.
    """

    def __init__(self, policy: DensePolicy, n_windows: int = _LONG_PAYS, *, at_once: int = BLOCKS_AT_ONCE) -> None:
        self._policy = policy
        self.block = _LONG if n_windows >= _LONG_PAYS else _SHORT
        self.whole = self.block - policy.window + 1
        self._hidden0 = len(policy.layers[0][1])
        self._spectrum = _spectrum(policy, self.block)
        self.rounding = 0.0
        self._scratch = _Scratch.empty(self.block, at_once, self._hidden0)

    def market_sums(self, market: Floats) -> Floats:
        """Compute what :meth:`DensePolicy.market_sums` does.

        Args:
            market: float32 (T, 53), T >= window, oldest bar first.

        Returns:
            float32 (T - window + 1, hidden0) without bias. A block whose loudest bars would drown the rounding of its
            quietest windows is multiplied densely.
        """
        count = len(market) - self._policy.window + 1
        sums = np.empty((count, self._hidden0), dtype=np.float32)
        step = BLOCKS_AT_ONCE * self.whole
        padded = min(step, -(-count // self.whole) * self.whole) + self._policy.window - 1
        rows = np.zeros((padded, MARKET_FEATURES), dtype=np.float32)
        for start in range(0, count, step):
            part = market[start : start + step + self._policy.window - 1]
            rows[: len(part)], rows[len(part) :] = part, 0.0
            starts = range(0, len(part) - self._policy.window + 1, self.whole)
            lengths = [min(len(part) - first, self.block) for first in starts]
            for index, block in enumerate(
                self._block_sums(_segments(rows, len(starts), self.block, self.whole), lengths)
            ):
                first = start + index * self.whole
                sums[first : first + self.whole] = block[: count - first]
        return sums

    def segment_sums(self, segments: Floats) -> Floats:
        """Compute the sums of many short histories of one length, as those of several symbols.

        Args:
            segments: float32 (n, L, 53), window <= L <= :attr:`block`.

        Returns:
            float32 (L - window + 1, n, hidden0), window by window; valid until the next call.
        """
        count, length, _ = segments.shape
        rows = np.zeros((count, self.block, MARKET_FEATURES), dtype=np.float32)
        rows[:, :length] = segments
        sums = self._filtered(rows)[: length - self._policy.window + 1]
        for index, exact in enumerate(self._needs_dense(rows, np.full(count, length))):
            if exact:
                sums[:, index] = self._policy.market_sums(segments[index])
        return sums

    def _block_sums(self, blocks: Floats, lengths: Sequence[int]) -> Iterator[Floats]:
        """Yield the sums of each block (block, 53), of which ``lengths`` rows are real; valid until the next."""
        filtered, doubtful = self._filtered(blocks), self._needs_dense(blocks, np.array(lengths))
        for index, exact in enumerate(doubtful):
            yield self._policy.market_sums(blocks[index, : lengths[index]]) if exact else filtered[:, index]

    @np.errstate(over="ignore", invalid="ignore")
    def _filtered(self, blocks: Floats) -> Floats:
        """Return (whole, n, hidden0) from (n, block, 53)."""
        scratch, n = self._scratch, len(blocks)
        transformed = np.fft.rfft(np.ascontiguousarray(blocks.transpose(2, 0, 1)), axis=-1)
        np.matmul(np.ascontiguousarray(transformed.transpose(2, 1, 0)), self._spectrum, out=scratch.products[:, :n])
        # numpy's annotation knows float64 alone; from 2.0 on, complex64 is transformed to float32.
        np.fft.irfft(scratch.products[:, :n], self.block, axis=0, out=scratch.back[:, :n])  # type: ignore[arg-type]
        return scratch.back[: self.whole, :n]

    @np.errstate(over="ignore", invalid="ignore")
    def _needs_dense(self, blocks: Floats, lengths: NDArray[np.int64]) -> list[bool]:
        """Return for each block whether rounding, which is as loud as the whole block, could be heard in a window."""
        window = self._policy.window
        energy = np.square(blocks, dtype=np.float64).sum(axis=2)
        total = np.concatenate([np.zeros((len(blocks), 1)), energy.cumsum(axis=1)], axis=1)
        in_windows = total[:, window:] - total[:, :-window]
        is_real = np.arange(in_windows.shape[1]) + window <= lengths[:, None]
        quietest = np.where(is_real, in_windows, np.inf).min(axis=1)
        loudness = total[:, -1]
        spread = rounding(self._policy, loudness)
        fine = (spread <= _HARMLESS) | (loudness <= _QUIETEST * quietest)
        self.rounding = max(self.rounding, float(spread[fine].max(initial=0.0)))
        return [not each for each in fine.tolist()]


class _Scratch(NamedTuple):
    # Written once a round and never returned: fresh memory of this size would cost a page fault every 4 KB.
    products: Spectrum
    back: Floats

    @classmethod
    def empty(cls, block: int, n_blocks: int, hidden0: int) -> _Scratch:
        shape = (n_blocks, hidden0)
        return cls(_askew(block // 2 + 1, shape, np.complex64), _askew(block, shape, np.float32))


def _askew(length: int, shape: tuple[int, int], dtype: type[np.generic]) -> NDArray[Any]:
    # A transform along the first axis reads with a stride; were it a power of two, every access would fall into the
    # same set of the cache. Measured: twice as fast with 48 numbers between the rows.
    n_blocks, hidden0 = shape
    return np.empty((length, n_blocks * hidden0 + _PADDING), dtype)[:, : n_blocks * hidden0].reshape(length, *shape)


def _segments(rows: Floats, count: int, block: int, step: int) -> Floats:
    """Return (count, block, 53): blocks of a history that overlap by a window less one bar, without a copy."""
    over_rows, item = rows.strides
    shape = (count, block, rows.shape[1])
    return np.lib.stride_tricks.as_strided(rows, shape, (step * over_rows, over_rows, item), writeable=False)


def _spectrum(policy: DensePolicy, block: int) -> Spectrum:
    """Return the conjugate spectrum of the market weights, (block / 2 + 1, 53, hidden0).

    The transform is a product with its matrix: that leaves the result in the order in which it will be read. Even and
    odd bars are kept apart, because a frequency and its mirror image differ in the sign of one of them only.
    """
    by_bar, quarter = policy.by_bar[:, :, :MARKET_FEATURES], block // 4
    hidden0, window, _ = by_bar.shape
    angle = 2.0 * np.pi / block * (np.outer(np.arange(quarter + 1), np.arange(window)) % block)
    spectrum = np.empty((block // 2 + 1, MARKET_FEATURES, hidden0), dtype=np.complex64)
    for first in range(0, MARKET_FEATURES, _COLUMNS_AT_ONCE):
        columns = slice(first, min(first + _COLUMNS_AT_ONCE, MARKET_FEATURES))
        taps = np.ascontiguousarray(by_bar[:, :, columns].transpose(1, 2, 0))
        target = spectrum[:, columns]
        _fold(np.cos(angle).astype(np.float32), taps, 1.0, target.real)
        _fold(np.sin(angle).astype(np.float32), taps, -1.0, target.imag)
    return spectrum


def _fold(matrix: Floats, taps: Floats, sign: float, out: Floats) -> None:
    quarter, shape = len(matrix) - 1, (len(matrix), *taps.shape[1:])
    even = (matrix[:, ::2] @ taps[::2].reshape(-1, taps[0].size)).reshape(shape)
    odd = (matrix[:, 1::2] @ taps[1::2].reshape(-1, taps[0].size)).reshape(shape)
    np.add(even, odd, out=out[: quarter + 1])
    mirrored = np.subtract(even, odd, out=even)
    np.multiply(mirrored, np.float32(sign), out=out[quarter:][::-1])
