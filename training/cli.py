"""``python -m training``: arguments in, one frozen config, run; exit codes as the error table says."""

from __future__ import annotations

import json as json_module
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import structlog
import typer

from trader_sdk.contract.errors import EXIT_SIGINT, EXIT_USAGE, SdkError
from training.arguments import AllowGaps, Data, Json, Symbol, TimeframeName, bars_of, integers, run_folder
from training.cli_pretrain import pretrain
from training.pipes import Lasting
from training.zoo.cli import zoo

if TYPE_CHECKING:
    from training.run import TrainResult
    from training.run_log import Reporter

app = typer.Typer(
    help="Train, judge and archive policies; needs `pip install -e .[train]`.",
    no_args_is_help=True,
    add_completion=False,
)

app.command("pretrain")(pretrain)
app.add_typer(zoo, name="zoo")

Archive = Annotated[
    str, typer.Option(help="Archive to register the run in: a folder, a name in trader.toml, or a URL.")
]


@app.command()
def run(
    data: Data,
    symbol: Symbol,
    timeframe: TimeframeName,
    preset: Annotated[str, typer.Option(help="laptop, quick_test, standard, production or extended.")] = "laptop",
    archive: Archive = "training_archives",
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/SYMBOL_TIMEFRAME/TIME when omitted.")] = None,
    gate: Annotated[Path | None, typer.Option(help="A desk's own gate policy, gate.toml.")] = None,
    until: Annotated[str | None, typer.Option(help="Use bars before this date only; later ones stay unseen.")] = None,
    allow_gaps: AllowGaps = 0,
    blocks: Annotated[str | None, typer.Option(help="Bars of TRAIN,SELECT,GATE, for example 50000,4000,8000.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Times this data was opened for judging, this run included.")] = 1,
    label: Annotated[str, typer.Option(help="Free text that becomes part of the version id.")] = "model",
    seed: Annotated[int | None, typer.Option(help="Weights, environments and minibatches.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto.")] = None,
    total_steps: Annotated[int | None, typer.Option(help="Environment steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of Adam's learning rate.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Widths of the trunk, for example 128,64.")] = None,
    cost_model: Annotated[
        str | None, typer.Option(help="us_equity@1 or crypto@1; by asset class when omitted.")
    ] = None,
    reward: Annotated[str | None, typer.Option(help="net_log_return, or composite_v25 for those who know it.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Contract version to train.")] = None,
    features: Annotated[str | None, typer.Option(help="package.module:Provider instead of our columns.")] = None,
    parent: Annotated[Path | None, typer.Option(help="Checkpoint to start from, as one that `pretrain` wrote.")] = None,
    tensorboard: Annotated[int, typer.Option(min=0, max=1, help="1: also draw the run in RUN/tensorboard.")] = 0,
    json: Json = 0,
) -> int:
    """Train on bars, choose on SELECT, open GATE once, archive the run and say what the gate thought."""
    from trader_sdk.archive.policy import load_gate_policy
    from training.config import preset as preset_named
    from training.run import train

    config = preset_named(
        preset,
        seed=seed,
        device=device,
        total_steps=total_steps,
        learning_rate=learning_rate,
        hidden_dims=integers(hidden, "--hidden"),
        blocks=integers(blocks, "--blocks"),
        cost_model=cost_model,
        reward=reward,
        model_version=model_version,
        features=features,
        parent=None if parent is None else str(parent),
    )
    bars = bars_of(data, symbol, timeframe, until, allow_gaps=bool(allow_gaps))
    folder = out or run_folder(bars)
    result = train(
        bars,
        config,
        out=folder,
        source=data,
        archive=archive,
        gating=None if gate is None else load_gate_policy(gate),
        label=label,
        n_trials=trials,
        reporter=_reporter(sys.stderr if json else sys.stdout, folder if tensorboard else None),
    )
    _say(result, as_json=bool(json))
    return 0


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="The folder of a run that was stopped.")],
    archive: Archive = "training_archives",
    gate: Annotated[Path | None, typer.Option(help="A desk's own gate policy, gate.toml.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Times this data was opened for judging, this run included.")] = 1,
    json: Json = 0,
) -> int:
    """Go on from a stopped run's last validation; it ends as if it had never been stopped."""
    from trader_sdk.archive.policy import load_gate_policy
    from training.progress import pick_reporter
    from training.run import resume as resume_run

    result = resume_run(
        folder,
        archive=archive,
        gating=None if gate is None else load_gate_policy(gate),
        n_trials=trials,
        reporter=pick_reporter(sys.stderr if json else sys.stdout),
    )
    _say(result, as_json=bool(json))
    return 0


@app.command("sample-checkpoint")
def sample_checkpoint(
    out: Annotated[Path, typer.Option(help="Where to write the checkpoint.")] = Path("sample.pt"),
    model_version: Annotated[str | None, typer.Option(help="Contract version.")] = None,
    hidden: Annotated[str, typer.Option(help="Widths of the trunk.")] = "16,16",
    seed: Annotated[int, typer.Option(help="Seeds the random weights.")] = 7,
) -> None:
    """Save an untrained policy through the real environment and save path, in seconds."""
    from training.sample import write_sample

    saved = write_sample(out, model_version=model_version, hidden_dims=integers(hidden, "--hidden"), seed=seed)
    typer.echo(f"{saved.path} {saved.sha256}: untrained, simulated data, for pipelines only")


@app.command("verify-run")
def verify_run(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    against: Annotated[
        Path | None, typer.Option(help="A run of the same settings: the same seed must take the same first steps.")
    ] = None,
) -> None:
    """Check the invariants of a finished run from what it wrote; a violation exits 7."""
    from training.verify import verify

    report = verify(folder, against)
    for line in report.lines():
        typer.echo(line)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")]) -> None:
    """Draw a run: learning curve, equity and drawdown by fold, actions, costs; report.png and report.html."""
    from training.report import write_report

    for path in write_report(folder):
        typer.echo(str(path))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    sys.stdout, sys.stderr = Lasting(sys.stdout), Lasting(sys.stderr)
    _log_to_stderr()
    raise SystemExit(run_app(list(sys.argv[1:] if argv is None else argv)))


def _log_to_stderr() -> None:
    """Keep warnings of the library off standard output, which belongs to the command's own lines."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


def run_app(argv: Sequence[str]) -> int:
    """Run the command and return its exit code; every :class:`SdkError` becomes one line on stderr."""
    call: Callable[..., Any] = app
    try:
        result = call(args=list(argv), prog_name="training", standalone_mode=False)
    except SdkError as error:
        sys.stderr.write(f"training: {error}\n")
        return error.exit_code
    except typer.TyperException as error:
        return _show_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        result = EXIT_SIGINT
    if result == EXIT_SIGINT:  # typer gives an interrupt inside a command as this result
        sys.stderr.write("training: interrupted; what was written stays in the run's folder\n")
    return result if isinstance(result, int) else 0


def _show_usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        sys.stderr.write(f"training: {error.format_message()} (see python -m training --help)\n")
    return EXIT_USAGE


def _reporter(stream: TextIO, board: Path | None) -> Reporter:
    from training.board import TensorBoard, Together
    from training.progress import pick_reporter

    watching = pick_reporter(stream)
    return watching if board is None else Together((watching, TensorBoard(board)))


def _say(result: TrainResult, *, as_json: bool) -> None:
    from training.progress import verdict_lines

    if not as_json:
        for line in verdict_lines(result):
            typer.echo(line)
        return
    verdicts = result.archived.assessments if result.archived else ()
    facts = {
        "event": "training_finished",
        "outcome": result.outcome.value,
        "folder": str(result.folder),
        "seed": result.summary.run.seed,
        "archive": str(result.archived.path) if result.archived else None,
        "verdicts": [json_module.loads(verdict.model_dump_json(by_alias=True)) for verdict in verdicts],
    }
    typer.echo(json_module.dumps(facts))
