"""What every test stands on."""

from __future__ import annotations

import os
from collections.abc import Iterator

# One thread a worker: the suite runs a process a core, and two thread pools on one core make each other wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import structlog


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run two workers a core on a small machine: half of the suite's time is spent waiting for other processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 * cores if cores <= 4 else cores


@pytest.fixture(autouse=True)
def _logging_is_its_own() -> Iterator[None]:
    """Forget a logger that a command bound to a stream which ended with its test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def _cache_is_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the cache folder of whoever runs the tests alone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TRADER_ARCHIVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
