"""``trader replay``: decide again what a journal holds, with the very bytes of its models, and say what differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trader_sdk.cli.one_thread import use_one_thread
from trader_sdk.cli.status import Json, JsonFile, Run, StateDir, output_of, read_run
from trader_sdk.contract.errors import ERROR_TABLE, ConfigError

if TYPE_CHECKING:
    from trader_sdk.cli.output import Output
    from trader_sdk.live.ledger import Ledger
    from trader_sdk.live.replay import Loader, ReplayReport

_SHOWN: Final = 20
_EXIT_DIFFERENT: Final = ERROR_TABLE["E308"].exit_code
"""Weights that do not give the decisions recorded with them."""


def replay(
    archive: Annotated[
        str | None, typer.Option(help="Where the models lie; the archive that the run used if omitted.")
    ] = None,
    features: Annotated[str | None, typer.Option(help="package.module:Provider, as in the run.")] = None,
    pins: Annotated[Path | None, typer.Option(help="The trader-pins.toml of the run.")] = None,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Decide a run's journal again, bit for bit; exit 4 if any observation, logit or action differs."""
    use_one_thread()
    from trader_sdk.live.replay import Replay

    folder, entries, ledger = read_run(state_dir, run)
    load = loader_of(archive or _archive_of(folder, ledger), features, pins)
    report = Replay(folder, load).run(entries)
    out = output_of(json, json_file, ledger)
    _show(report, out)
    out.close()
    return 0 if report.is_exact else _EXIT_DIFFERENT


def _archive_of(folder: Path, ledger: Ledger) -> str:
    from trader_sdk.live.state import ARCHIVE_FOLDER

    named = ledger.facts.get("archive")
    if named is not None:
        return str(named)
    if (folder / ARCHIVE_FOLDER).is_dir():
        return str(folder / ARCHIVE_FOLDER)
    raise ConfigError("CONFIG", "the journal does not say where its models lie", expected="--archive", found="nothing")


def loader_of(archive: str, features: str | None, pins: Path | None) -> Loader:
    """Return what loads the models of a journal from ``archive``."""
    from trader_sdk.archive.changes import SlotKey
    from trader_sdk.checkpoint.pins import read_pins
    from trader_sdk.contract.timeframe import parse_timeframe
    from trader_sdk.door import load_pinned
    from trader_sdk.features.observation import ObservationBuilder
    from trader_sdk.features.provider import load_provider
    from trader_sdk.live.models import LiveModel

    asserted, provider = read_pins(pins) if pins else (), load_provider(features) if features else None
    place = Path(archive).expanduser() if Path(archive).expanduser().exists() else archive

    def load(body: Mapping[str, Any]) -> LiveModel:
        key = SlotKey(body["symbol"], parse_timeframe(body["timeframe"]))
        model = load_pinned(place, key, body["version_id"], body["sha256"], pins=asserted)
        return LiveModel(key.symbol, model, ObservationBuilder.for_model(model, features=provider))

    return load


def _show(report: ReplayReport, out: Output) -> None:
    if report.differences:
        columns = ("bar", "symbol", "what", "recorded", "again")
        rows = [(one.bar, one.symbol, one.what, one.recorded, one.again) for one in report.differences[:_SHOWN]]
        out.table("differences", f"{len(report.differences)} decisions differ", columns, rows)
    verdict = "everything is as recorded, bit for bit" if report.is_exact else "NOT what the journal holds"
    moment = ", ".join(f"{n} {reason}" for reason, n in report.of_the_moment.items())
    lines = [
        f"replayed {report.decisions} decisions of {len(report.models)} models: {verdict}",
        f"  {report.identical} with the same observation, logits and action",
        f"  {report.passed_by} that the model was not asked about, then as now",
    ]
    lines += [f"  not compared, as they hung on the clock: {moment}"] if moment else []
    out.event("replay_finished", "\n".join(lines), exact=report.is_exact, **report.fields())
