"""``trader archive evaluate``: judge somebody else's checkpoint on bars later than its training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.archive_inputs import archive_state, gate_policy_of, model_argument
from trader_sdk.cli.archive_output import (
    DEFAULT_ARCHIVE,
    HtmlOption,
    JsonFileOption,
    JsonOption,
    PolicyOption,
    RequireOption,
    archive_output,
)
from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import UsageError

if TYPE_CHECKING:
    from trader_sdk.archive.policy import ModelGatingConfig
    from trader_sdk.contract.verdicts import Assessments
    from trader_sdk.evaluate import Evaluation
    from trader_sdk.model import NativeModelWrapper


def evaluate(
    file: Annotated[str, typer.Argument(help="A checkpoint, or an alias such as models:/AAPL/1Day@champion.")],
    data: Annotated[str, typer.Option(help="Where the bars come from; see `trader data show --help`.")],
    trained_until: Annotated[
        str, typer.Option("--trained-until", help="Last day the model saw, such as 2010-12-31; later bars judge it.")
    ],
    features: Annotated[
        str | None, typer.Option(help="MODULE:Provider it was trained on; needed where the file states none.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Whose bars; the file's own symbol when omitted.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="The bars' length; the file's own when omitted.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Judge from here on, no earlier than asserted.")] = None,
    asserted_by: Annotated[
        str | None, typer.Option("--asserted-by", help="Whose word the date is; the login when omitted.")
    ] = None,
    windows: Annotated[int, typer.Option(min=7, max=14, help="Equal windows of the judged bars.")] = 7,
    trials: Annotated[int, typer.Option(min=1, help="How often these bars were opened for judging, now included.")] = 1,
    costs: Annotated[str | None, typer.Option(help="us_equity@1 or crypto@1; the file's own when omitted.")] = None,
    label: Annotated[str, typer.Option(help="Beginning of its version id.")] = "outside",
    archive: Annotated[
        str | None, typer.Option("--archive", help="Archive the result here; its earlier runs count as trials.")
    ] = None,
    gate_policy: PolicyOption = None,
    require: RequireOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> int:
    """Judge any checkpoint on bars later than its training: the metric set, its folds, and what the gate says."""
    from trader_sdk.archive.governance import login_name
    from trader_sdk.archive.preview import preview
    from trader_sdk.cli.archive_verdict import exit_code_for, show_assessments, write_page
    from trader_sdk.evaluate import TrainedUntil

    exit_code_for((), require)
    word = TrainedUntil.of(trained_until, asserted_by or login_name())
    policy = gate_policy_of(gate_policy)
    checkpoint = model_argument(file, archive or DEFAULT_ARCHIVE)
    found = _evaluated(checkpoint, data, (symbol, timeframe), features, word, start, windows, trials, costs, archive)
    summary = _summary_of(found, checkpoint, label)
    with archive_output(json, json_file) as out:
        if archive is None:
            assessments = preview(summary, Path.cwd(), policy=policy)
            show_assessments(out, assessments, "checkpoint_evaluated")
        else:
            assessments = _archived_evaluation(out, summary, archive, policy)
        write_page(out, html, summary, assessments)
    return exit_code_for(assessments.assessments, require)


def _evaluated(
    checkpoint: Path,
    data: str,
    slot: tuple[str | None, str | None],
    features: str | None,
    word: Any,
    start: str | None,
    windows: int,
    trials: int,
    costs: str | None,
    archive: str | None,
) -> Evaluation:
    from trader_sdk.archive.slots import SlotKey
    from trader_sdk.archive.trials import Judged
    from trader_sdk.contract.costs import cost_model
    from trader_sdk.data import load_bars
    from trader_sdk.data.gaps import time_text
    from trader_sdk.evaluate import Columns
    from trader_sdk.evaluate import evaluate as evaluate_model
    from trader_sdk.model import NativeModelWrapper

    model = NativeModelWrapper(checkpoint)
    symbol, timeframe = (_stated(model, name, given) for name, given in zip(("symbol", "timeframe"), slot, strict=True))
    bars = load_bars(data, symbol, timeframe)
    state = archive_state(archive) if archive is not None else None
    later = Judged(bars.digest, time_text(max(int(bars.t[0]), word.ns)), time_text(int(bars.t[-1])))
    earlier = 0 if state is None else state.trials(SlotKey(bars.symbol, bars.timeframe), later)
    return evaluate_model(
        model,
        bars,
        columns=Columns.of(model, bars, features),
        trained_until=word,
        costs=None if costs is None else cost_model(costs),
        first_bar=start,
        n_windows=windows,
        n_trials=max(trials, earlier + 1),
    )


def _stated(model: NativeModelWrapper, name: str, given: str | None) -> str:
    stated = given or model.metadata.get(name)
    if stated is None:
        raise UsageError("USAGE", f"the file states no {name}", where=f"--{name}", remedy=f"Give --{name}.")
    return str(stated)


def _summary_of(found: Evaluation, checkpoint: Path, label: str) -> dict[str, Any]:
    from importlib.metadata import version

    from trader_sdk.archive.layout import model_key

    run = {"trainer": f"trader archive evaluate {version('trader-sdk')}", "finished_at": datetime.now(UTC).isoformat()}
    key = model_key(found.block.symbol, found.block.timeframe)
    return {"schema": 1, "run": run, "models": {key: found.summary_model(checkpoint, label=label)}}


def _archived_evaluation(out: Output, summary: dict[str, Any], archive: str, policy: ModelGatingConfig) -> Assessments:
    from trader_sdk.archive.manager import TrainingArchiveManager
    from trader_sdk.cli.archive_verdict import show_archived, show_assessments
    from trader_sdk.contract.verdicts import Assessments, GatePolicySnapshot

    run = TrainingArchiveManager(archive, policy).archive_training_run(summary)
    snapshot = GatePolicySnapshot(name=policy.label, values=policy.values, hash=policy.policy_hash)
    assessments = Assessments(policy=snapshot, assessments=run.assessments)
    show_assessments(out, assessments, "checkpoint_evaluated")
    show_archived(out, run, archive)
    return assessments
