"""The one thread that talks to the broker, so that a slow venue never stops the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class BrokerWorker:
    """Runs blocking calls one after another in a thread of its own.

    One thread, because alpaca-py's session is not documented as thread-safe, and because orders of one bar must leave
    in the order in which risk reserved them.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker-io")

    async def call(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns; its errors are raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Let the call in progress end, start no other."""
        self._executor.shutdown(wait=True, cancel_futures=True)
