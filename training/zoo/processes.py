"""A process a spec on this machine: what fails, hangs or eats memory in one of them harms none of the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from training.zoo.job import (
    JOB_FILE,
    LOG_FILE,
    RESULT_FILE,
    WATCH_STDIN,
    Job,
    SpecResult,
    Status,
    read_result,
    write_document,
)
from training.zoo.trials import now

ROOT: Final = Path(__file__).resolve().parents[2]
_GRACE_SECONDS: Final = 3.0


class Watcher(Protocol):
    """Who watches a zoo being trained."""

    def began(self, job: Job) -> None:
        """Hear that a job is being trained."""

    def ended(self, result: SpecResult) -> None:
        """Hear how one ended."""


class Runner(Protocol):
    """Trains jobs somewhere, and yields each result as it comes."""

    def __call__(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[SpecResult]:
        """Train all of them."""


class Processes:
    """Train in child processes, a few at a time.

    Args:
        at_once: How many.
        timeout_seconds: A job that takes longer has hung: it and its children are killed. None: no limit.
    """

    def __init__(self, at_once: int = 1, timeout_seconds: float | None = None) -> None:
        self._at_once, self._timeout = at_once, timeout_seconds
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopping = threading.Event()
        self.last_group = 0
        """Process group of the job that was begun last; everything a job starts belongs to its group."""

    def __call__(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[SpecResult]:
        """Train all of them; leaving early kills those that run."""
        with ThreadPoolExecutor(self._at_once) as pool:
            waiting: list[Future[SpecResult | None]] = [pool.submit(self._train, job, watcher) for job in jobs]
            try:
                for done in as_completed(waiting):
                    result = done.result()
                    if result is not None:
                        yield result
            finally:
                self._stopping.set()
                for future in waiting:
                    future.cancel()
                for process in list(self._running):
                    kill_group(process)

    def _train(self, job: Job, watcher: Watcher) -> SpecResult | None:
        if self._stopping.is_set():
            return None
        watcher.began(job)
        result = self._wait(job)
        if result is None:
            return None
        write_document(job.folder / RESULT_FILE, result)
        watcher.ended(result)
        return result

    def _wait(self, job: Job) -> SpecResult | None:
        """Return how a job ended; None where it was stopped with the zoo."""
        with worker_process(job) as process:
            self._running.add(process)
            self.last_group = process.pid
            try:
                code = process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                kill_group(process)
                detail = f"hung: stopped after {self._timeout:g} s"
                return job.result(Status.FAILED, detail, seconds=self._timeout or 0.0, at=now())
            finally:
                self._running.discard(process)
        result = read_result(job.folder)
        if result is None and not self._stopping.is_set():
            return job.result(Status.FAILED, death(code, job), at=now())
        return result


@contextmanager
def worker_process(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process that trains a job; its children die with it, and all of them with this process."""
    (job.folder / RESULT_FILE).unlink(missing_ok=True)
    write_document(job.folder / JOB_FILE, job)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    threads = {name: str(job.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "training.zoo.worker", str(job.folder), WATCH_STDIN]
    with (job.folder / LOG_FILE).open("ab") as log:
        # Our own interpreter and module; a session of its own, so that a spec's children can be found and killed.
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        kill_group(process)
        if process.stdin is not None:
            process.stdin.close()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started; nothing happens where they are gone."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)


def death(code: int, job: Job) -> str:
    """Return why a process that left no result ended.

    Example:
        >>> from types import SimpleNamespace
        >>> death(-9, SimpleNamespace(memory_mb=None, folder=Path("x")))
        'killed by SIGKILL, as a machine out of memory does; see x/log.txt'
    """
    log = job.folder / LOG_FILE
    if code >= 0:
        limit = f" (memory limit {job.memory_mb} MB)" if job.memory_mb else ""
        return f"the process ended with {code}{limit}; see {log}"
    name = signal.Signals(-code).name
    hint = ", as a machine out of memory does" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}; see {log}"
