"""``trader archive``: look into a training archive, and decide which model holds a slot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from trader_sdk.archive.reader import JudgedModel
    from trader_sdk.archive.slots import ArchiveState, VerdictRef
    from trader_sdk.contract.documents import SlotState

app = typer.Typer(help="Look into a training archive, promote and revert.", no_args_is_help=True)

ArchiveOption = Annotated[Path, typer.Option("--archive", help="The archive's folder.")]
TimeframeOption = Annotated[str, typer.Option(help="The slot's timeframe.")]
WhyOption = Annotated[str, typer.Option(help="Reason, kept on the audit chain.")]
JsonOption = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines.")]
JsonFileOption = Annotated[Path | None, typer.Option(help="Also write the events here.")]

_DEFAULT: Final = Path("training_archives")
_SHOWN: Final = ("fitness_score", "profit_factor", "consistency", "max_drawdown")


@app.callback()
def _group() -> None:
    """Look into a training archive, promote and revert."""


@app.command(name="list")
def list_slots(
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """List the slots and who holds them, then the runs."""
    from trader_sdk.archive.reader import ArchiveReader

    state = ArchiveReader(archive).state
    keys = sorted({ref.slot for ref in state.verdicts.values()})
    slots = [(key.symbol, key.timeframe.value, *_holders(state.slot(key))) for key in keys]
    runs = [
        (run.timestamp, run.approved, run.review, run.dropped, run.at.isoformat(timespec="seconds"))
        for run in state.runs.values()
    ]
    with _output(json, json_file) as out:
        out.table("slots", "Slots", ("symbol", "timeframe", "champion", "since", "challengers", "previous"), slots)
        out.table("runs", "Runs", ("timestamp", "approved", "review", "dropped", "at"), runs)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A version id, a verdict id, a run, or a symbol for its newest.")],
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Show verdicts: numbers, flags and what they mean."""
    from trader_sdk.archive.reader import ArchiveReader

    reader = ArchiveReader(archive)
    with _output(json, json_file) as out:
        for ref in _named(reader.state, name):
            _show_verdict(out, reader.judged(ref))


@app.command()
def history(
    symbol: Annotated[str, typer.Argument(help="As it was trained.")],
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Show a symbol's verdicts and the pointer's moves, oldest first."""
    from trader_sdk.archive.reader import ArchiveReader

    state = ArchiveReader(archive).state
    verdicts = [ref for ref in state.verdicts.values() if ref.slot.symbol == symbol]
    if not verdicts:
        raise ArchiveError("E601", "the archive has no verdict about this symbol", where=str(archive), found=symbol)
    moves = [
        (key.timeframe.value, champion.since.isoformat(timespec="seconds"), champion.version_id)
        for key, slot in state.slots.items()
        if key.symbol == symbol
        for champion in slot.history
    ]
    rows = [(ref.run, ref.slot.timeframe.value, ref.version_id, ref.gate_class.value, ref.tier) for ref in verdicts]
    with _output(json, json_file) as out:
        out.table("verdicts", f"Verdicts of {symbol}", ("run", "timeframe", "version", "class", "tier"), rows)
        out.table("champions", "Champions", ("timeframe", "since", "version"), moves)


@app.command()
def promote(
    symbol: Annotated[str, typer.Argument(help="As it was trained.")],
    version: Annotated[str, typer.Argument(help="The version id that takes the slot.")],
    timeframe: TimeframeOption = "1Day",
    why: WhyOption = "",
    expected: Annotated[str | None, typer.Option(help="Only if this version holds the slot now.")] = None,
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Point a slot at another deployable version."""
    from trader_sdk.archive.governance import promote as promote_version

    slot = promote_version(archive, symbol, timeframe, version, why=why, expected=expected)
    with _output(json, json_file) as out:
        _show_slot(out, "slot_promoted", slot)


@app.command()
def revert(
    symbol: Annotated[str, typer.Argument(help="As it was trained.")],
    timeframe: TimeframeOption = "1Day",
    why: WhyOption = "",
    expected: Annotated[str | None, typer.Option(help="Only if this version holds the slot now.")] = None,
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Point a slot back at its previous champion."""
    from trader_sdk.archive.governance import revert as revert_slot

    slot = revert_slot(archive, symbol, timeframe, why=why, expected=expected)
    with _output(json, json_file) as out:
        _show_slot(out, "slot_reverted", slot)


@app.command()
def override(
    verdict: Annotated[str, typer.Argument(help="Id of a REVIEW verdict, such as AAPL_1Day/20261121_093000.")],
    why: WhyOption,
    until: Annotated[str, typer.Option(help="End, RFC 3339 with its zone, such as 2026-12-01T00:00:00Z.")],
    tier: Annotated[str, typer.Option(help="No higher tier than this: LIVE, PAPER or RETRAIN.")] = "PAPER",
    modes: Annotated[str, typer.Option(help="Comma-separated: PAPER-LOCAL, PAPER-ALPACA, LIVE.")] = (
        "PAPER-LOCAL,PAPER-ALPACA"
    ),
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Lift a REVIEW verdict, with a ceiling and an end."""
    from trader_sdk.archive.governance import override as override_verdict
    from trader_sdk.contract.documents import DeploymentTier, TradingMode

    written = override_verdict(
        archive,
        verdict,
        why=why,
        until=_time(until),
        tier_ceiling=_member(DeploymentTier, tier, "--tier"),
        modes=[_member(TradingMode, mode.strip(), "--modes") for mode in modes.split(",")],
    )
    with _output(json, json_file) as out:
        text = f"{verdict} counts as APPROVED up to {written.tier_ceiling} until {written.until.isoformat()}."
        out.event("verdict_overridden", text, **written.model_dump(mode="json"))


@app.command()
def recall(
    names: Annotated[list[str], typer.Argument(help="Version ids or digests.")],
    why: WhyOption,
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Forbid versions or digests from now on."""
    from trader_sdk.archive.governance import recall as recall_names

    recall_names(archive, names, why=why)
    with _output(json, json_file) as out:
        out.event("models_recalled", f"Recalled: {', '.join(names)}.", names=names, why=why)


@app.command()
def verify(
    archive: ArchiveOption = _DEFAULT,
    expected_head: Annotated[str | None, typer.Option(help="Digest of a record, kept elsewhere.")] = None,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> int:
    """Check chain, files and verdicts; what a crash left is remarked, what was changed is a fault."""
    from trader_sdk.archive.verify import verify as verify_archive

    found = verify_archive(archive, expected_head=expected_head)
    with _output(json, json_file) as out:
        for remark in found.remarks:
            out.event("archive_remark", f"note: {remark.what}", kind=remark.kind.value, what=remark.what)
        for fault in found.faults:
            out.event("archive_fault", f"fault: {fault}", **fault.to_dict())
        text = f"{found.runs} runs, {found.verdicts} verdicts, {len(found.faults)} faults; head {found.head.sha256}"
        out.event("archive_verified", text, runs=found.runs, faults=len(found.faults), head=found.head.sha256)
    return 0 if found.holds else 5


@app.command(name="rebuild-index")
def rebuild(
    archive: ArchiveOption = _DEFAULT,
    json: JsonOption = 0,
    json_file: JsonFileOption = None,
) -> None:
    """Make index.json and the database again from the audit chain."""
    from trader_sdk.archive.verify import rebuild_index

    runs = rebuild_index(archive)
    with _output(json, json_file) as out:
        out.event("index_rebuilt", f"Index rebuilt: {runs} runs.", runs=runs)


@contextmanager
def _output(json: int, json_file: Path | None) -> Iterator[Output]:
    out = Output(json_lines=json == 1, json_file=json_file)
    try:
        yield out
    finally:
        out.close()


def _holders(slot: SlotState) -> tuple[str | None, str | None, str, str | None]:
    champion, previous = slot.champion, slot.previous
    return (
        champion.version_id if champion else None,
        champion.since.isoformat(timespec="seconds") if champion else None,
        ", ".join(challenger.version_id for challenger in slot.challengers),
        previous.version_id if previous else None,
    )


def _show_slot(out: Output, event: str, slot: SlotState) -> None:
    now, before = (
        slot.champion.version_id if slot.champion else "nobody",
        slot.previous.version_id if slot.previous else "nobody",
    )
    place = f"{slot.symbol}/{slot.timeframe}"
    text = f"{place}: {now} holds the slot, {before} before. Undo with `trader archive revert`."
    out.event(event, text, symbol=slot.symbol, timeframe=slot.timeframe.value, champion=now, previous=before)


def _named(state: ArchiveState, name: str) -> list[VerdictRef]:
    refs = list(state.verdicts.values())
    found = [ref for ref in refs if name in (ref.version_id, ref.id, ref.run)]
    newest = {ref.slot: ref for ref in refs if ref.slot.symbol == name}
    if not found and not newest:
        raise ArchiveError(
            "E601", "nothing in the archive has this name", expected="a version, verdict, run or symbol", found=name
        )
    return found or list(newest.values())


def _show_verdict(out: Output, judged: JudgedModel) -> None:
    from trader_sdk.archive.codec import plain
    from trader_sdk.archive.wording import (
        METRIC_TITLES,
        checkpoint_text,
        data_text,
        deployment_text,
        flag_text,
        metric_value,
        number_text,
    )

    verdict = judged.verdict
    numbers = ", ".join(f"{METRIC_TITLES[n]} {number_text(n, metric_value(verdict, n))}" for n in (*_SHOWN, "t"))
    lines = [
        f"{verdict.symbol} {verdict.timeframe} {verdict.version_id}: {verdict.class_}. {deployment_text(verdict)}",
        f"  {numbers}",
        f"  {checkpoint_text(verdict)}",
        f"  {data_text(verdict)}",
        f"  Gate policy {judged.policy_name} {verdict.gate_policy}",
        *(f"  {flag.name}: {flag_text(flag)}" for flag in verdict.flags),
    ]
    out.event("verdict_shown", "\n".join(lines), verdict=plain(verdict), policy=judged.policy_name)


def _time(text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError("USAGE", "not a time", where="--until", expected="RFC 3339", found=text) from error
    if parsed.tzinfo is None:
        raise UsageError("USAGE", "a time needs its zone", where="--until", expected=f"{text}Z", found=text)
    return parsed.astimezone(UTC)


def _member(members: Any, text: str, where: str) -> Any:
    try:
        return members(text)
    except ValueError as error:
        raise UsageError("USAGE", "unknown value", where=where, expected=", ".join(members), found=text) from error
