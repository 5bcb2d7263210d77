"""``trader faults``: the fault campaign, for the house and for users with plans of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader_sdk.cli.output import Output, write_json_file

if TYPE_CHECKING:
    from trader_sdk.faults import Result, Scenario

app = typer.Typer(help="Play faults against the real trader and judge what came of them.", no_args_is_help=True)

_FAILED: Final = 1
_COLUMNS: Final = ("fault", "what goes wrong", "outcome", "I1", "I2", "I3", "I4", "I5", "I6", "I7", "s", "ok")


@app.callback()
def _group() -> None:
    """Play faults against the real trader and judge what came of them."""


@app.command()
def run(
    only: Annotated[str, typer.Option(help="Comma-separated ids; every fault if omitted.")] = "",
    plan: Annotated[
        Path | None, typer.Option(help="A fault plan, or a scenario, instead of the packaged ones.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Also play the random session of this seed.")] = None,
    sessions: Annotated[int, typer.Option(min=0, help="Also play so many random sessions, from --seed on.")] = 0,
    once: Annotated[int, typer.Option(min=0, max=1, help="1: play each once, which leaves I7 unasked.")] = 0,
    threads: Annotated[
        int, typer.Option(min=0, max=1, help="1: the exchange in a thread; faster, for trying things out.")
    ] = 0,
    keep: Annotated[Path | None, typer.Option(help="Keep every exchange's log and every journal here.")] = None,
    json: Annotated[int, typer.Option(min=0, max=1, help="1: JSON lines.")] = 0,
    json_file: Annotated[Path | None, typer.Option(help="Write the list of results here.")] = None,
) -> int:
    """Play the campaign and print fault, outcome and oracles; exit 1 if any is not as it must be."""
    from trader_sdk.faults.campaign import run_campaign
    from trader_sdk.faults.scenario import load_scenarios, scenario_of_file

    out = Output(json_lines=json == 1)
    names = [name.strip().upper() for name in only.split(",") if name.strip()]
    wanted_random = range(seed or 0, (seed or 0) + (sessions or int(seed is not None)))
    scenarios: Sequence[Scenario]
    if plan is not None:
        scenarios = [scenario_of_file(plan)]
    else:
        # A seed alone asks for its session; the whole campaign runs where nothing narrower was asked for.
        scenarios = load_scenarios(names) if names or not wanted_random else ()
    _quiet()
    results = run_campaign(
        scenarios, keep=keep, own_process=threads == 0, twice=once == 0, told=lambda result: _tell(out, result)
    )
    results += _random(out, wanted_random, keep)
    _table(out, results)
    if json_file is not None:
        write_json_file(json_file, [result.document() for result in results])
    return 0 if all(result.ok for result in results) else _FAILED


@app.command()
def kill(
    times: Annotated[int, typer.Option(min=1, help="How many traders are killed.")] = 30,
    seed: Annotated[int, typer.Option(help="Of bars, volumes and instants.")] = 0,
    timed: Annotated[
        int, typer.Option(min=0, help="After so many kills the next trader starts from nothing, and is timed.")
    ] = 5,
    keep: Annotated[Path | None, typer.Option(help="Keep every exchange's log and every journal here.")] = None,
    json: Annotated[int, typer.Option(min=0, max=1, help="1: JSON lines.")] = 0,
    json_file: Annotated[Path | None, typer.Option(help="Write what came of it here.")] = None,
) -> int:
    """Kill traders with kill -9 at random instants, and judge what the last one left; exit 1 if anything is wrong."""
    from trader_sdk.faults.campaign import Archives
    from trader_sdk.faults.kills import run_kills

    out = Output(json_lines=json == 1)
    _quiet()

    def told(name: str, findings: Mapping[str, str | None], killed: int) -> None:
        wrong = {oracle: finding for oracle, finding in findings.items() if finding is not None}
        text = f"{'BAD' if wrong else 'ok '} {name:<8} {killed} killed" + "".join(
            f"\n     {k}: {v}" for k, v in wrong.items()
        )
        out.event("session_judged", text, session=name, kills=killed, findings=wrong)

    with _folder(keep) as folder:
        tally = run_kills(
            times, folder, Archives(folder / "archives"), seed=seed, own_process=True, timed=timed, told=told
        )
    document = tally.document()
    rows = [[name, str(count)] for name, count in document["after"].items()]
    out.table("kills", "Killed after the trader had told", ("event", "kills"), rows)
    ready = "" if not (times_ready := document["ready"]) else _ready_text(times_ready)
    text = (
        f"{tally.kills} kills in {tally.sessions} sessions, {len(tally.violations)} sessions not as they must be{ready}"
    )
    out.event("kills_finished", text, **document)
    if json_file is not None:
        write_json_file(json_file, document)
    return _FAILED if tally.violations else 0


def _ready_text(ready: Mapping[str, float]) -> str:
    return f"; from kill to ready {ready['median']:.2f} s in the median of {ready['n']}, {ready['most']:.2f} s at most"


def _quiet() -> None:
    """Keep the libraries' warnings of faults that are played on purpose off the terminal."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name in ("uvicorn.error", "alpaca"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _tell(out: Output, result: Result) -> None:
    wrong = "; ".join(f"{name}: {finding}" for name, finding in result.findings.items() if finding)
    expected = "" if result.outcome == result.expected else f"\n     expected {result.expected}"
    state = "ok " if result.ok else "BAD"
    text = f"{state} {result.fault:<12} {result.outcome}{expected}" + (f"\n     {wrong}" if wrong else "")
    out.event("fault_played", text, **result.document())


def _random(out: Output, seeds: range, keep: Path | None) -> list[Result]:
    from trader_sdk.faults.campaign import Archives
    from trader_sdk.faults.random_sessions import run_random, totals_of

    if not seeds:
        return []
    with _folder(keep) as folder:
        results = run_random(seeds, folder, Archives(folder / "archives"), told=lambda result: _tell(out, result))
        for result in results:
            if not result.ok:
                smallest = (folder / f"{result.fault}.json").read_text("utf-8")
                out.event("replay", f"replay: trader faults run --seed {result.fault[1:]}\n{smallest}", plan=smallest)
    totals = totals_of(results)
    text = (
        f"{totals['sessions']} random sessions with {totals['orders']} orders, {totals['fills']} fills and "
        f"{totals['strikes']} strikes of faults; {totals['violations']} not as they must be"
    )
    out.event("random_sessions_finished", text, **totals)
    return results


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    from trader_sdk.faults.campaign import scratch_folder

    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with scratch_folder() as scratch:
        yield scratch


def _table(out: Output, results: list[Result]) -> None:
    rows = [
        [
            *(result.fault, result.title, result.outcome),
            *("ok" if finding is None else "BROKEN" for finding in result.findings.values()),
            *(f"{result.seconds:.1f}", "ok" if result.ok else "BAD"),
        ]
        for result in results
    ]
    out.table("campaign", "Fault campaign", _COLUMNS, rows)
    bad = [result.fault for result in results if not result.ok]
    text = f"{len(results)} faults, {len(bad)} not as they must be{': ' + ', '.join(bad) if bad else ''}"
    out.event("campaign_finished", text, played=len(results), failed=bad)
