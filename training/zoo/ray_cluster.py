"""The same jobs on Ray: a worker process a spec, on as many machines as the cluster has."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from trader_sdk.contract.errors import ConfigError, StorageError
from training.zoo.job import JOB_FILE, RESULT_FILE, Job, SpecResult, Status, write_document
from training.zoo.processes import ROOT, Watcher
from training.zoo.trials import now

LOCAL: Final = "local"
"""Address of an embedded cluster: started here, gone when the zoo ends."""
STARTED_FILE: Final = "started"
"""Holds the worker's process id once a job runs."""
RETRIES: Final = 3
"""Times that a job whose worker or node died is begun again; it goes on from its last validation."""
_POLL_SECONDS: Final = 1.0


class RayCluster:
    """Train on a Ray cluster.

    Every node needs the clone at the same path, and the archive and the zoo's folder where all of them see it: on a
    shared file system, or an archive with a URL.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto``, or ``local`` for an embedded cluster.
        timeout_seconds: A job that takes longer, waiting excluded, has hung and is killed. None: no limit.
        **init: Further arguments of ``ray.init``.
    """

    def __init__(self, address: str, timeout_seconds: float | None = None, **init: Any) -> None:
        self._address, self._timeout, self._init = address, timeout_seconds, init

    def __call__(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[SpecResult]:
        """Train all of them; leaving early cancels what is left.

        Raises:
            ConfigError: Ray is not installed.
            StorageError: There is no cluster at the address.
        """
        ray = connect(self._address, **self._init)
        try:
            yield from self._collect(ray, jobs, watcher)
        finally:
            ray.shutdown()

    def _collect(self, ray: Any, jobs: Sequence[Job], watcher: Watcher) -> Iterator[SpecResult]:
        train = ray.remote(max_calls=1, max_retries=RETRIES)(train_on_worker)
        left = {}
        for job in jobs:
            write_document(job.folder / JOB_FILE, job)
            left[train.options(num_cpus=job.threads, name=job.spec.id).remote(job.model_dump_json())] = job
            watcher.began(job)
        deadlines = _Deadlines(self._timeout)
        while left:
            done, _ = ray.wait(list(left), num_returns=1, timeout=_POLL_SECONDS)
            for ref in [*done, *deadlines.over(left)]:
                job = left.pop(ref)
                result = self._result(ray, ref, job, finished=ref in done)
                write_document(job.folder / RESULT_FILE, result)
                watcher.ended(result)
                yield result

    def _result(self, ray: Any, ref: Any, job: Job, *, finished: bool) -> SpecResult:
        if not finished:
            ray.cancel(ref, force=True)
            return job.result(Status.FAILED, f"hung: stopped after {self._timeout:g} s", at=now())
        try:
            return SpecResult.model_validate_json(ray.get(ref))
        except ray.exceptions.RayError as error:
            return job.result(Status.FAILED, f"the worker died {RETRIES + 1} times: {error}", at=now())


class _Deadlines:
    """When each running job has hung; the clock of a job starts with its first sign of life, its run's folder."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._began: dict[Any, float] = {}

    def over(self, left: dict[Any, Job]) -> list[Any]:
        """Return the references whose time is up."""
        if self._seconds is None:
            return []
        moment = time.monotonic()
        for ref, job in left.items():
            if (job.folder / STARTED_FILE).exists():
                self._began.setdefault(ref, moment)
        return [ref for ref, began in self._began.items() if ref in left and moment - began > self._seconds]


def train_on_worker(text: str) -> str:
    """Train a job in this worker process; what it is given and gives back is JSON."""
    from training.zoo.worker import limit_memory, run_job

    job = Job.model_validate_json(text)
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / STARTED_FILE).write_text(f"{os.getpid()}\n", "utf-8")
    limit_memory(job.memory_mb)
    return run_job(job).model_dump_json()


def connect(address: str, **init: Any) -> Any:
    """Return Ray's module, connected.

    Raises:
        ConfigError: It is not installed.
        StorageError: Nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody unasked
    os.environ.setdefault("RAY_worker_niceness", "0")  # on a busy machine a worker would otherwise starve
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "CONFIG", "Ray is not installed", where="--ray", remedy='pip install -e ".[train,ray]"'
        ) from error
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # Ray hands the driver's path on to its workers
    settings: dict[str, Any] = {
        "log_to_driver": False,
        **({"include_dashboard": False} if address == LOCAL else {}),
        **init,
    }
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StorageError("STORAGE", "no Ray cluster answers", where=address, found=error) from error
    return ray
