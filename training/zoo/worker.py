"""Train one job to its registration, in whatever process this is: ``python -m training.zoo.worker FOLDER``."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.gate import assess_model_quality
from trader_sdk.archive.layout import version_id
from trader_sdk.archive.location import locate
from trader_sdk.archive.manager import ArchivedRun
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError, SdkError
from trader_sdk.contract.timeframe import parse_timeframe
from trader_sdk.contract.verdicts import GateClass, Verdict
from training.zoo.bars import load_until
from training.zoo.bundles import register
from training.zoo.job import JOB_FILE, RESULT_FILE, WATCH_STDIN, Job, SpecResult, Status, read_job, write_document
from training.zoo.trials import now

RUN_FOLDER: Final = "run"
_TAIL: Final = 400


def run_job(job: Job) -> SpecResult:
    """Train a job, archive it, register it, and say how it ended; whatever happens to it is a result.

    Args:
        job: What is to be trained. Where its folder holds a run that was stopped, that run goes on.
    """
    started = time.monotonic()
    try:
        result = _run(job)
    except DataError as error:
        result = job.result(Status.INSUFFICIENT_DATA, str(error))
    except MemoryError:
        result = job.result(Status.FAILED, f"out of memory, the limit is {job.memory_mb or 'the machine'} MB")
    except (SdkError, ChildFailedError) as error:
        result = job.result(Status.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 - one spec's failure, of any kind, must not stop the others
        result = job.result(Status.FAILED, f"{type(error).__name__}: {error}")
    return result.model_copy(update={"seconds": round(time.monotonic() - started, 1), "at": now()})


def _run(job: Job) -> SpecResult:
    bars = load_until(job.source, job.symbol, job.timeframe, job.until)
    if bars.digest != job.data_digest:
        raise DataError(
            "BARS", "mixed vintages: the bars are not those of the zoo", expected=job.data_digest, found=bars.digest
        )
    verdict = _archived_before(job)
    if verdict is None and job.spec.command:
        verdict = _train_elsewhere(job, job.spec.command)
    elif verdict is None:
        trained = _train_here(job, bars)
        if isinstance(trained, SpecResult):
            return trained
        (verdict,) = trained.assessments
    return _registered(job, verdict)


def _train_here(job: Job, bars: Bars) -> ArchivedRun | SpecResult:
    import torch

    from training.progress import Lines
    from training.resume import STATE_FILE
    from training.run import resume, train

    torch.set_num_threads(job.threads)
    folder, archive = job.folder / RUN_FOLDER, job.archive or None
    shared: dict[str, Any] = {"archive": archive, "gating": job.gate, "n_trials": job.trials}
    if (folder / "ckpt" / STATE_FILE).exists():
        result = resume(folder, reporter=Lines(sys.stdout), **shared)
    else:
        shutil.rmtree(folder, ignore_errors=True)  # stopped before its first validation: nothing to go on from
        result = train(
            bars, job.config, out=folder, source=job.source, label=job.label, reporter=Lines(sys.stdout), **shared
        )
    if result.archived is not None:
        return result.archived
    (model,) = result.summary.models.values()
    assert model.gate is not None
    final = model.gate.final
    judged, *_ = assess_model_quality(
        final.fitness_score, final.profit_factor, final.consistency, final.max_drawdown, [], job.gate
    )
    return job.result(_status(judged), "trained beside, not registered", gate_class=judged.value)


def _train_elsewhere(job: Job, command: tuple[str, ...]) -> Verdict:
    data = {"source": job.source, "symbol": job.symbol, "timeframe": job.timeframe, "until": job.until}
    request = {
        **job.resolved.as_plain(),
        "data": {**data, "digest": job.data_digest},
        "archive": str(Path(job.archive).absolute()) if _is_folder(job.archive) else job.archive,
        "folder": str(job.folder.absolute()),
        "trials": job.trials,
    }
    _run_command(command, json.dumps(request))
    verdict = _archived_before(job)
    if verdict is None:
        raise ChildFailedError(f"the command ended without archive_run(..., label={job.label!r}) in {job.archive}")
    return verdict


def _run_command(command: tuple[str, ...], request: str) -> None:
    try:
        # The spec's author chose the command; it is run as written, without a shell.
        done = subprocess.run(command, input=request, text=True, capture_output=True, check=False)  # noqa: S603 - the spec's own
    except OSError as error:
        raise ChildFailedError(f"the command cannot be started: {command[0]}: {error.strerror}") from error
    sys.stdout.write(done.stdout + done.stderr)
    if done.returncode != 0:
        code, last = done.returncode, done.stderr.strip().rpartition("\n")[2][-_TAIL:]
        how = f"ended with {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"
        raise ChildFailedError(f"the command {how}" + (f": {last}" if last else ""))


class ChildFailedError(RuntimeError):
    """Somebody else's trainer failed."""


def _is_folder(archive: str) -> bool:
    return "://" not in archive and os.sep in archive


def _archived_before(job: Job) -> Verdict | None:
    """Return the verdict about what this job trained: its run may have been archived before it was killed."""
    if not job.archive:
        return None
    reader = _reader(job.archive)
    if reader is None:
        return None
    stem = version_id(job.label, datetime.now(UTC), "0" * 64).rsplit("-", 2)[0]
    for ref in reader.state.newest_first(SlotKey(job.symbol, parse_timeframe(job.timeframe))):
        if ref.at < job.started_at:
            return None
        if ref.version_id.rsplit("-", 2)[0] == stem:
            return reader.judged(ref).verdict
    return None


def _reader(archive: str) -> ArchiveReader | None:
    try:
        return ArchiveReader(archive)
    except SdkError as error:
        if error.code == "E608":  # the archive is made at its first run
            return None
        raise


def _registered(job: Job, verdict: Verdict) -> SpecResult:
    place = locate(job.archive)
    facts = {
        **job.resolved.as_plain(),
        "horizon": job.config.horizon,
        "data": {"source": job.source, "digest": job.data_digest},
        "seed": job.config.seed,
        "trials": job.trials,
        "registered_at": now(),
    }
    stage = register(place, verdict, {name: value for name, value in facts.items() if name != "schema"})
    flags = ", ".join(sorted({flag.name for flag in verdict.flags if flag.tier_missed}))
    return job.result(
        _status(verdict.class_),
        flags,
        gate_class=verdict.class_.value,
        version_id=verdict.version_id if stage else "",
        policy_sha256=verdict.policy_sha256 or "",
        stage=stage.value if stage else "",
    )


def _status(judged: GateClass) -> Status:
    return Status.PASSED if judged is GateClass.APPROVED else Status.LOST


def limit_memory(megabytes: int | None) -> None:
    """Make an allocation beyond the limit fail in this process, where the system can do that (Linux)."""
    if megabytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def end_with_driver() -> None:
    """End this process group, the children of a job's command too, when the zoo that holds our standard input ends."""

    def wait() -> None:
        with suppress(OSError):
            os.read(sys.stdin.fileno(), 1)
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main(folder: Path) -> None:
    """Run the job of a folder and leave its result there."""
    job = read_job(folder)
    if job is None:
        raise SystemExit(f"no job in {folder}")
    limit_memory(job.memory_mb)
    write_document(folder / RESULT_FILE, run_job(job))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], [WATCH_STDIN]):
        sys.exit(f"usage: python -m training.zoo.worker FOLDER (which holds {JOB_FILE}) [{WATCH_STDIN}]")
    if sys.argv[2:]:
        end_with_driver()
    main(Path(sys.argv[1]))
