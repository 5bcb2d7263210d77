"""Three blocks in time order, TRAIN, SELECT and GATE, with a purge between them, and the windows of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trader_sdk.contract.errors import ConfigError, DataError

PURGE_BARS: Final = 100
MIN_WINDOW_BARS: Final = 50
MIN_WINDOWS: Final = 7
MAX_WINDOWS: Final = 14
SHARES: Final = (0.4, 0.2, 0.4)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Bar indices of the three blocks.

    Attributes:
        train: The only bars that weights are fitted on.
        select: Checkpoint choice, early stop and flags.
        gate: Opened once a run; the class comes from here alone.
    """

    train: range
    select: range
    gate: range


def split_blocks(
    n_bars: int,
    *,
    warm_up: int = 0,
    purge: int = PURGE_BARS,
    shares: tuple[float, float, float] = SHARES,
    sizes: tuple[int, int, int] | None = None,
) -> Blocks:
    """Split a history into TRAIN, SELECT and GATE.

    Args:
        n_bars: Bars there are.
        warm_up: First bars that have no full row of features.
        purge: Bars left out between two blocks.
        shares: Shares of what is left after warm-up and purges; positive, sum 1.
        sizes: Bars of each block instead of shares; bars beyond them are left out at the end.

    Returns:
        The blocks.

    Raises:
        ConfigError: Shares or sizes are not positive, or shares do not sum to 1.
        DataError: There are too few bars.

    Example:
        >>> split_blocks(1200)
        Blocks(train=range(0, 400), select=range(500, 700), gate=range(800, 1200))
    """
    usable = n_bars - warm_up - 2 * purge
    n_train, n_select, n_gate = sizes or _sizes_of(usable, shares)
    if min(n_train, n_select, n_gate) < 1 or n_train + n_select + n_gate > usable:
        expected = f"{warm_up} warm-up, {2 * purge} purge and {sum(sizes) if sizes else 3} block bars at least"
        raise DataError("BARS", "too few bars for three blocks", where="blocks", expected=expected, found=n_bars)
    select_from = warm_up + n_train + purge
    gate_from = select_from + n_select + purge
    return Blocks(
        train=range(warm_up, warm_up + n_train),
        select=range(select_from, select_from + n_select),
        gate=range(gate_from, gate_from + n_gate),
    )


def _sizes_of(usable: int, shares: tuple[float, float, float]) -> tuple[int, int, int]:
    if min(shares) <= 0 or abs(sum(shares) - 1.0) > 1e-9:
        raise ConfigError("CONFIG", "block shares must be positive and sum to 1", where="shares", found=shares)
    n_train, n_select = (int(usable * share + 1e-9) for share in shares[:2])
    return n_train, n_select, usable - n_train - n_select


def equal_windows(block: range, n_windows: int = MIN_WINDOWS, *, min_bars: int = MIN_WINDOW_BARS) -> tuple[range, ...]:
    """Cut a block into equal windows; what does not divide is left out at its start.

    Args:
        block: Bar indices.
        n_windows: 7..14, fixed before the run.
        min_bars: Least bars of a window.

    Returns:
        ``n_windows`` ranges of one length, in time order.

    Raises:
        ConfigError: The number of windows is out of range.
        DataError: The block is too short for windows of ``min_bars``.

    Example:
        >>> [len(window) for window in equal_windows(range(700, 1060))]
        [51, 51, 51, 51, 51, 51, 51]
    """
    check_window_count(n_windows)
    size = len(block) // n_windows
    if size < min_bars:
        raise DataError(
            "BARS",
            "the block is too short for its windows",
            where="windows",
            expected=f"{n_windows} windows of {min_bars} bars",
            found=f"{len(block)} bars",
        )
    first = block.stop - size * n_windows
    return tuple(range(first + i * size, first + (i + 1) * size) for i in range(n_windows))


def check_window_count(n_windows: int) -> None:
    """Refuse a number of windows outside 7..14.

    Raises:
        ConfigError: It is outside.
    """
    if not MIN_WINDOWS <= n_windows <= MAX_WINDOWS:
        expected = f"{MIN_WINDOWS}..{MAX_WINDOWS}"
        raise ConfigError(
            "CONFIG", "number of windows out of range", where="windows", expected=expected, found=n_windows
        )
