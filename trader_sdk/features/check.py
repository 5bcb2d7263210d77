"""The checks that every feature provider must pass before a trader trusts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.features.provider import FeatureProvider
from trader_sdk.features.schema import schema_from

Rows = NDArray[np.float32]

STARTING_POINTS: Final = 20
TOLERANCE: Final = 1e-6
_PUSHES_AFTER_READY: Final = 3
_PROCESS_SECONDS: Final = 120
_CUTS: Final = 5
_PARITY: Final = "history equals streaming"
_AHEAD: Final = "no look-ahead"
_FINITE_MEMORY: Final = "finite memory"


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """One check of a provider: its name, whether it held, and the evidence."""

    name: str
    passed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """All checks of one provider on one series of bars."""

    schema_sha256: str
    checks: tuple[ProviderCheck, ...]

    @property
    def passed(self) -> bool:
        """Return whether every check held."""
        return all(check.passed for check in self.checks)


def check_provider(
    make: Callable[[], FeatureProvider], bars: Bars, *, starts: int = STARTING_POINTS, target: str | None = None
) -> ProviderReport:
    """Put a provider through the checks of its protocol.

    Args:
        make: Makes a fresh provider.
        bars: At least ``required_history + starts + 100`` bars of its timeframe.
        starts: From how many bars to begin streaming.
        target: ``package.module:Provider``, where it can be imported: a process of its own then makes one too, since a
            hash may be stable in one process and another in the next.

    Returns:
        A report: stable hash, shape, finite, history equals streaming, no look-ahead, finite memory.

    Raises:
        DataError: Too few bars.
    """
    provider = make()
    need = provider.required_history + starts + 100
    if len(bars) < need:
        raise DataError("BARS", "too few bars for the checks", where=bars.symbol, expected=need, found=len(bars))
    rows = provider.history(bars)
    checks = (
        _stable_hash(provider, make(), target),
        _shape(provider, bars, rows),
        _finite(rows),
        _streaming(make, bars, rows, starts),
        _look_ahead(provider, bars, rows),
        _memory(provider, bars, rows),
    )
    return ProviderReport(provider.schema.sha256, checks)


def _finite(rows: Rows) -> ProviderCheck:
    wrong = int((~np.isfinite(rows)).sum())
    return ProviderCheck("finite", wrong == 0, f"{wrong} of {rows.size} values are not finite")


def _stable_hash(first: FeatureProvider, second: FeatureProvider, target: str | None) -> ProviderCheck:
    read_again = schema_from(first.schema.document())
    hashes = {first.schema.sha256, second.schema.sha256, read_again.sha256}
    if target is not None:
        hashes.add(_hash_elsewhere(target))
    return ProviderCheck("stable hash", len(hashes) == 1, ", ".join(sorted(hashes)))


def _hash_elsewhere(target: str) -> str:
    """Return the schema's hash in a new process, or what kept it from saying one."""
    code = "import sys; from trader_sdk.features import load_provider as load; print(load(sys.argv[1])().schema.sha256)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1"}
    # S603: the interpreter that runs this, and a provider that this process has just run.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, target],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_PROCESS_SECONDS,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else f"none in another process: {done.stderr.strip()[-200:]}"


def _shape(provider: FeatureProvider, bars: Bars, rows: Rows) -> ProviderCheck:
    memory = provider.required_history - provider.schema.window
    wanted = (len(bars) - memory, MARKET_FEATURES)
    passed = rows.shape == wanted and rows.dtype == np.float32
    return ProviderCheck("shape", passed, f"{rows.dtype} {rows.shape}, expected float32 {wanted}")


def _streaming(make: Callable[[], FeatureProvider], bars: Bars, rows: Rows, starts: int) -> ProviderCheck:
    provider = make()
    window, need = provider.schema.window, provider.required_history
    worst = 0.0
    for start in _points(0, len(bars) - need - _PUSHES_AFTER_READY - 1, starts):
        fresh = make()
        for index in range(start, start + need):
            fresh.push(bars.at(index))
        for pushed in range(_PUSHES_AFTER_READY + 1):
            if not fresh.ready:
                return ProviderCheck(_PARITY, False, f"not ready after {need + pushed} bars")
            difference = _market_part(fresh) - rows[start + pushed : start + pushed + window]
            worst = max(worst, float(np.abs(difference).max()))
            fresh.push(bars.at(start + need + pushed))
    return ProviderCheck(_PARITY, worst <= TOLERANCE, f"largest difference {worst:.1e} from {starts} starting points")


def _market_part(provider: FeatureProvider) -> Rows:
    schema = provider.schema
    observation = provider.observe(np.zeros(schema.n_account, np.float32))
    return observation.reshape(schema.window, schema.n_features)[:, :MARKET_FEATURES]


def _look_ahead(provider: FeatureProvider, bars: Bars, rows: Rows) -> ProviderCheck:
    memory = provider.required_history - provider.schema.window
    for last in _points(memory, len(bars) - 2, _CUTS):
        changed = provider.history(_shocked(bars, slice(last + 1, None)))
        known = last + 1 - memory
        if not np.array_equal(changed[:known], rows[:known]):
            return ProviderCheck(_AHEAD, False, f"bars after {last} change rows up to it")
    return ProviderCheck(_AHEAD, True, f"{_CUTS} cuts, later bars changed, earlier rows equal")


def _memory(provider: FeatureProvider, bars: Bars, rows: Rows) -> ProviderCheck:
    memory = provider.required_history - provider.schema.window
    for first in _points(1, len(bars) - memory - 1, _CUTS):
        changed = provider.history(_shocked(bars, slice(0, first)))
        if float(np.abs(changed[first:] - rows[first:]).max()) > TOLERANCE:
            return ProviderCheck(_FINITE_MEMORY, False, f"bars before {first} change rows {memory} bars later")
    return ProviderCheck(_FINITE_MEMORY, True, f"{memory} bars and no more")


def _points(first: int, last: int, count: int) -> list[int]:
    return sorted({int(point) for point in np.linspace(first, last, count)})


def _shocked(bars: Bars, rows: slice) -> Bars:
    """Return the bars with the prices of ``rows`` raised by half and their volumes tripled."""
    columns: dict[str, Any] = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, values in columns.items():
        values[rows] *= 3.0 if name == "volume" else 1.5
    return replace(bars, **columns)
