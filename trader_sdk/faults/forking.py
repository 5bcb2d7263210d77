"""Processes that cost little: forked from a server that has imported everything once."""

from __future__ import annotations

import multiprocessing
from functools import cache
from multiprocessing.context import ForkServerContext
from typing import Final

_PRELOADED: Final = (
    "trader_sdk.faults.actor",
    "trader_sdk.broker.streams",
    "trader_sdk.archive.manager",
    "trader_sdk.exchange.server",
    "pandas",
)


@cache
def fork_server() -> ForkServerContext:
    """Return the context whose processes are forked from the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context
