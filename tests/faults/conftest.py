"""Archives for played sessions, made once a worker, and a quiet log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from trader_sdk.faults.campaign import Archives, scratch_folder


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Return archives with the campaign's models."""
    return Archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Faults are played on purpose: what the libraries think of them is not printed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logger = logging.getLogger("uvicorn.error")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Yield a folder in memory where there is one: what is judged here is the process, and each fsync would cost."""
    with scratch_folder() as folder:
        yield folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of one session."""
    return tmp_path / "session"
