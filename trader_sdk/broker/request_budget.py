"""A token bucket in which urgent requests find tokens that the others may not touch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from trader_sdk.broker.port import Priority

RESERVED_FRACTIONS: Final[Mapping[Priority, float]] = MappingProxyType(
    {
        Priority.CANCEL: 0.0,
        Priority.FLATTEN: 0.05,
        Priority.ORDER: 0.15,
        Priority.BY_ID: 0.25,
        Priority.RECONCILE: 0.35,
        Priority.DATA: 0.50,
    }
)
"""Part of the bucket that stays for more urgent requests."""

BURST_FRACTION: Final = 0.3
"""Bucket size as a part of the minute's limit; the rest trickles in, so no 60 seconds ever exceed the limit."""


class RequestBudget:
    """Spends at most ``per_minute`` requests in any minute, the urgent ones first.

    Args:
        per_minute: The venue's limit; None spends without counting.
        monotonic: Clock in seconds.
        sleep: Waits that many seconds.
    """

    def __init__(
        self,
        per_minute: int | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limited = per_minute is not None
        self._size = max(1.0, BURST_FRACTION * (per_minute or 1))
        self._per_second = max(1e-9, ((per_minute or 1) - self._size) / 60)
        self._tokens = self._size
        self._monotonic, self._sleep = monotonic, sleep
        self._at = monotonic()
        self._lock = threading.Lock()

    def seconds_until(self, priority: Priority) -> float:
        """Return how long a request of ``priority`` has to wait now, 0 if it may go."""
        with self._lock:
            self._refill()
            return self._deficit(priority) / self._per_second

    def spend(self, priority: Priority, *, patience_seconds: float) -> bool:
        """Take one token, waiting for it at most ``patience_seconds``.

        Returns:
            False if the wait would be longer; nothing was taken.
        """
        if not self._limited:
            return True
        deadline = self._monotonic() + patience_seconds
        while (wait := self._try(priority)) > 0:
            if self._monotonic() + wait > deadline:
                return False
            self._sleep(wait)
        return True

    def drain(self) -> None:
        """Forget all tokens, because the venue itself says that the limit is reached."""
        with self._lock:
            self._refill()
            self._tokens = 0.0

    @property
    def tokens(self) -> float:
        """Return how many requests may go at once now."""
        with self._lock:
            self._refill()
            return self._tokens

    def _try(self, priority: Priority) -> float:
        with self._lock:
            self._refill()
            deficit = self._deficit(priority)
            if deficit <= 0:
                self._tokens -= 1
            return deficit / self._per_second

    def _deficit(self, priority: Priority) -> float:
        if not self._limited:
            return 0.0
        shortfall = 1 + RESERVED_FRACTIONS[priority] * (self._size - 1) - self._tokens
        return shortfall if shortfall > 1e-9 else 0.0  # refills are sums of floats

    def _refill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._per_second)
        self._at = now
