"""Train a zoo: one vintage of bars, a job a spec, and a result for each of them whatever happens to the others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from trader_sdk.archive.layout import model_key
from trader_sdk.archive.location import locate
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import StorageError
from training.config import TrainConfig, preset, with_costs_of
from training.zoo.bars import load_until
from training.zoo.baseline import BASELINE, baseline_of
from training.zoo.job import Job, SpecResult, Status, read_job, read_result
from training.zoo.overlay import ResolvedSpec, resolve_spec
from training.zoo.processes import Processes, Runner, Watcher
from training.zoo.rotation import DONE, last_trained, stalest
from training.zoo.spec import ModelSpecError, SpecStatus, ZooSpec, active, named
from training.zoo.trials import Trial, TrialLedger, now

__all__ = ["SpecResult", "Status", "ZooSettings", "chosen_specs", "train_all_active", "train_spec"]

DEFAULT_OUT: Final = Path("runs") / "zoo"
LOCK_FILE: Final = "lock"
"""In a spec's folder: held by the zoo that trains it."""


@dataclass(frozen=True, slots=True)
class ZooSettings:
    """What all specs of a zoo share.

    Attributes:
        source, symbol, timeframe, until: The bars: one vintage for everybody.
        archive: Where what passes is registered: a folder, a name or a URL.
        out: Folder for jobs, marks and the trial ledger; ``SLOT/SPEC/DATE`` below it.
        base: Configuration that specs are laid over. Where it names no costs, they are those of the symbol's asset
            class.
        gate: A desk's own gate policy.
        threads: Of each training process.
        memory_mb: Most memory of each; None for no limit.
        baseline: Retrain the champion's architecture on the same bars, to compare within one vintage.
    """

    source: str
    symbol: str
    timeframe: str
    archive: str
    until: str | None = None
    out: Path = DEFAULT_OUT
    base: TrainConfig = field(default_factory=lambda: preset("laptop"))
    gate: ModelGatingConfig | None = None
    threads: int = 1
    memory_mb: int | None = None
    baseline: bool = True

    def resolve(self, spec: ZooSpec) -> ResolvedSpec:
        """Lay a spec over the base."""
        return resolve_spec(spec, with_costs_of(self.symbol, self.base))

    def load(self) -> Bars:
        """Return the bars."""
        return load_until(self.source, self.symbol, self.timeframe, self.until)

    def slot_folder(self, bars: Bars) -> Path:
        """Return the slot's folder."""
        return self.out / model_key(bars.symbol, bars.timeframe)


class Nobody:
    """Watches nothing."""

    def began(self, job: Job) -> None:
        """Do nothing."""

    def ended(self, result: SpecResult) -> None:
        """Do nothing."""


def train_spec(spec: ZooSpec, settings: ZooSettings, *, runner: Runner | None = None) -> SpecResult:
    """Train one spec in a process of its own, and register what passes.

    Args:
        spec: The spec; a retired one is refused.
        settings: Bars, archive, base configuration and limits.
        runner: Where it is trained; a child process when omitted.

    Returns:
        How it ended; a failure is a result.

    Raises:
        ModelSpecError: It is retired, or does not fit the configuration.
        DataError: There are no such bars.
    """
    named([spec], spec.id)
    alone = [spec]
    return next(r for r in train_all_active(alone, settings, runner=runner, beside=False) if r.spec_id == spec.id)


def train_all_active(
    specs: Sequence[ZooSpec],
    settings: ZooSettings,
    *,
    budget: int | None = None,
    runner: Runner | None = None,
    watcher: Watcher | None = None,
    beside: bool = True,
) -> list[SpecResult]:
    """Train every active spec, or the stalest few of them; one spec's failure never stops the others.

    Args:
        specs: The roster; retired specs stay untouched.
        settings: Bars, archive, base configuration and limits.
        budget: How many of the stalest; all when omitted.
        runner: Where they are trained; one child process after the other when omitted.
        watcher: Watches.
        beside: Also retrain the champion's architecture on these bars as the baseline, where there is a champion.

    Returns:
        A result for each spec in the order of the roster, those that were not run among them; the baseline is last.

    Raises:
        ModelSpecError: Nothing to spend the budget on, or a spec that does not fit the configuration: before anything
            is trained.
        DataError: There are no such bars.
        StorageError: The trial ledger, or the archive, cannot be written.
    """
    bars = settings.load()
    chosen = chosen_specs(specs, settings.slot_folder(bars), budget)
    resolved = [settings.resolve(spec) for spec in chosen]
    locate(settings.archive).check_writable()
    if beside and settings.baseline:
        resolved += baseline_of(settings.archive, bars)
    with ExitStack() as held:
        done, jobs = _plan(resolved, settings, bars, held)
        for result in (runner or Processes())(jobs, watcher or Nobody()):
            done[result.spec_id] = result
    last = [done[BASELINE]] if BASELINE in done else []
    return [done.get(spec.id) or _not_run(spec, settings) for spec in specs] + last


def chosen_specs(specs: Sequence[ZooSpec], slot_folder: Path, budget: int | None) -> tuple[ZooSpec, ...]:
    """Return the specs that would be trained, in order.

    Raises:
        ModelSpecError: There are none.
    """
    roster = active(specs)
    if not roster and budget is None:
        raise ModelSpecError(
            "CONFIG",
            "no active spec to train",
            where="--all-active",
            expected="an active spec",
            found=f"{len(specs)} retired" if specs else "an empty roster",
            remedy="Set a spec active, or give another --specs.",
        )
    return roster if budget is None else stalest(roster, last_trained(slot_folder), budget)


def _plan(
    resolved: Sequence[ResolvedSpec], settings: ZooSettings, bars: Bars, held: ExitStack
) -> tuple[dict[str, SpecResult], list[Job]]:
    """Return what is done already today, and the jobs that are left, locked; all are counted as trials first."""
    folder = settings.slot_folder(bars)
    ledger = TrialLedger(folder)
    horizons = [each.config.horizon for each in resolved]
    trials = [
        Trial(each.spec.id, each.digest, bars.digest, horizon, now())
        for each, horizon in zip(resolved, horizons, strict=True)
        if each.spec.id != BASELINE
    ]
    ledger.add(trials)
    tried = max(1, ledger.count(bars.digest))
    done: dict[str, SpecResult] = {}
    jobs: list[Job] = []
    for each in resolved:
        is_ours = _locked(folder / each.spec.id, held)
        job, result = _job_of(each, settings, bars, folder, tried)
        if result is not None:
            done[each.spec.id] = result
        elif not is_ours:
            done[each.spec.id] = job.result(Status.NOT_RUN, "another zoo is training it")
        else:
            jobs.append(job)
    return done, jobs


def _locked(folder: Path, held: ExitStack) -> bool:
    """Lock a spec's folder until ``held`` closes; return whether nobody else has it."""
    lock = FileLock(folder / LOCK_FILE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.enter_context(lock.acquire(timeout=0))
    except Timeout:
        return False
    except OSError as error:
        raise StorageError("STORAGE", "a spec's folder cannot be locked", where=str(folder), found=error) from error
    return True


def _job_of(
    resolved: ResolvedSpec, settings: ZooSettings, bars: Bars, slot_folder: Path, tried: int
) -> tuple[Job, SpecResult | None]:
    """Return the job of today, and its result where it has ended: a killed driver goes on from here."""
    date = f"{datetime.now(UTC):%Y%m%d}"
    attempt = 1
    while True:
        folder = slot_folder / resolved.spec.id / (date if attempt == 1 else f"{date}_{attempt}")
        before = read_job(folder)
        if before is None or (before.resolved.digest, before.data_digest) == (resolved.digest, bars.digest):
            break
        attempt += 1
    result = read_result(folder)
    facts: dict[str, Any] = {name: getattr(settings, name) for name in ("source", "symbol", "timeframe", "until")}
    job = Job(
        spec=resolved.spec,
        config=resolved.config,
        label=resolved.label,
        **facts,
        data_digest=bars.digest,
        folder=folder,
        archive="" if resolved.spec.id == BASELINE else settings.archive,
        gate=settings.gate,
        started_at=before.started_at if before else datetime.now(UTC),
        trials=tried,
        threads=settings.threads,
        memory_mb=settings.memory_mb,
    )
    return job, result if result is not None and result.status in DONE else None


def _not_run(spec: ZooSpec, settings: ZooSettings) -> SpecResult:
    why = "retired" if spec.status is SpecStatus.RETIRED else "beyond the budget"
    digest = settings.resolve(spec).digest
    return SpecResult(spec_id=spec.id, label=spec.label, digest=digest, status=Status.NOT_RUN, detail=why)
