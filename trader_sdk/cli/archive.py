"""``trader archive``: look into a training archive; what is put in and what is decided lies in its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.archive_decisions import override, promote, recall, revert
from trader_sdk.cli.archive_evaluate import evaluate
from trader_sdk.cli.archive_output import (
    DEFAULT_ARCHIVE,
    ArchiveOption,
    ExplainOption,
    JsonFileOption,
    JsonOption,
    archive_output,
    short_time,
    show_table,
    unknown_name,
)
from trader_sdk.cli.archive_runs import add, assess, export
from trader_sdk.cli.output import log_to_stderr

if TYPE_CHECKING:
    from trader_sdk.archive.explain import Decision
    from trader_sdk.archive.slots import ArchiveState, SlotKey, VerdictRef

app = typer.Typer(help="Put runs into a training archive, look into it, decide what trades.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Put runs into a training archive, look into it, decide what trades."""
    log_to_stderr()


for _entry in (add, assess, evaluate, export):
    app.command()(_entry)


@app.command(name="list")
def list_slots(
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    runs: Annotated[int, typer.Option("--runs", min=0, help="How many of the newest runs; 0: all.")] = 20,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """List the slots and who holds them, then the newest runs."""
    from trader_sdk.archive.reader import ArchiveReader

    state = ArchiveReader(archive).state
    listed, keys = list(state.runs.values()), state.keys()
    with archive_output(json, json_file) as out:
        columns = {"symbol": "symbol", "timeframe": "bar", "champion": "champion", "since": "since"}
        columns["waiting"] = "waiting"
        show_table(out, "slots", "Slots", columns, [_slot_row(state, key) for key in keys])
        columns = {"timestamp": "run", "approved": "approved", "review": "review", "dropped": "dropped", "who": "who"}
        rows = [
            {
                "timestamp": run.timestamp,
                "approved": run.approved,
                "review": run.review,
                "dropped": run.dropped,
                "who": run.who,
                "at": run.at.isoformat(timespec="seconds"),
            }
            for run in (listed[-runs:] if runs else listed)
        ]
        title = "Runs" if len(rows) == len(listed) else f"Runs: the newest {len(rows)} of {len(listed)}"
        show_table(out, "runs", title, columns, rows)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A version, verdict, run or alias (models:/AAPL/1Day@champion), or a symbol.")
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Show verdicts: numbers, flags and what they mean; of a symbol the newest of each timeframe."""
    from trader_sdk.archive.reader import ArchiveReader
    from trader_sdk.cli.archive_verdict import show_verdict

    reader = ArchiveReader(archive)
    with archive_output(json, json_file) as out:
        for ref in _named(reader.state, name, archive):
            judged = reader.judged(ref)
            show_verdict(out, judged.verdict, judged.policy, judged.policy_name)


@app.command()
def history(
    symbol: Annotated[str, typer.Argument(help="As it was trained, or an alias such as models:/AAPL/1Day@champion.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    explain: ExplainOption = False,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Show a symbol's verdicts and every decision about its slots, oldest first; --explain: a page a slot."""
    from trader_sdk.archive.explain import decisions, slot_memo
    from trader_sdk.archive.pointers import is_alias, resolve
    from trader_sdk.archive.reader import ArchiveReader

    reader = ArchiveReader(archive)
    wanted = resolve(symbol, "1Day", "champion")[0].symbol if is_alias(symbol) else symbol
    refs = reader.state.history(wanted)
    if not refs:
        known = reader.state.keys()
        raise unknown_name("symbol", wanted, (key.symbol for key in known), archive)
    keys = sorted({ref.slot for ref in refs})
    with archive_output(json, json_file) as out:
        if explain:
            for key in keys:
                if reader.state.champion(key) is not None:
                    memo = slot_memo(reader, key, datetime.now(UTC))
                    out.event("slot_explained", memo.text, **memo.facts)
            return
        columns = {"run": "run", "timeframe": "bar", "version": "version", "class": "class", "tier": "tier"}
        show_table(out, "verdicts", f"Verdicts of {wanted}", columns, [_verdict_row(ref) for ref in refs])
        moves = [_move_row(key, move) for key in keys for move in decisions(reader, key)]
        columns = {"when": "when (UTC)", "timeframe": "bar", "version": "version", "what": "what, who and why"}
        show_table(out, "champions", "Decisions", columns, moves)


for _decision in (promote, revert, override, recall):
    app.command()(_decision)


@app.command()
def verify(
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    expected_head: Annotated[str | None, typer.Option(help="Digest of a record, kept elsewhere.")] = None,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> int:
    """Check chain, files and verdicts, of an archive or of an export; what was changed is a fault (exit 5)."""
    from trader_sdk.archive.exported import is_export, verify_export
    from trader_sdk.archive.verify import verify as verify_archive

    found = verify_export(archive) if is_export(archive) else verify_archive(archive, expected_head=expected_head)
    with archive_output(json, json_file) as out:
        for remark in found.remarks:
            out.event("archive_remark", f"note: {remark.what}", kind=remark.kind.value, what=remark.what)
        for fault in found.faults:
            out.event("archive_fault", f"fault: {fault}", **fault.to_dict())
        text = f"{found.runs} runs, {found.verdicts} verdicts, {len(found.faults)} faults; head {found.head.sha256}"
        out.event("archive_verified", text, runs=found.runs, faults=len(found.faults), head=found.head.sha256)
    return 0 if found.holds else 5


@app.command()
def clean(
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    min_age_days: Annotated[
        float, typer.Option(min=0, help="Younger files may be of a writer at work; they stay.")
    ] = 7,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Remove what writers that died left: files that no record names."""
    from trader_sdk.archive.cleaning import remove_leftovers

    names = remove_leftovers(archive, min_age=timedelta(days=min_age_days))
    with archive_output(json, json_file) as out:
        text = f"Removed {len(names)} files that no record names." if names else "Nothing to remove."
        out.event("leftovers_removed", text, names=list(names))


@app.command(name="rebuild-index")
def rebuild(
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Make index.json and the database again from the audit chain."""
    from trader_sdk.archive.verify import rebuild_index

    runs = rebuild_index(archive)
    with archive_output(json, json_file) as out:
        out.event("index_rebuilt", f"Index rebuilt: {runs} runs.", runs=runs)


def _slot_row(state: ArchiveState, key: SlotKey) -> dict[str, Any]:
    slot, refs = state.slot(key), state.verdicts_of(key)
    champion, previous = slot.champion, slot.previous
    challengers = [challenger.version_id for challenger in slot.challengers]
    return {
        "symbol": key.symbol,
        "timeframe": key.timeframe.value,
        "champion": champion.version_id if champion else None,
        "since": f"{champion.since:%Y-%m-%d}" if champion else None,
        "since_at": champion.since.isoformat(timespec="seconds") if champion else None,
        "waiting": len(challengers),
        "verdicts": len(refs),
        "challengers": challengers,
        "previous": previous.version_id if previous else None,
    }


def _move_row(key: SlotKey, move: Decision) -> dict[str, Any]:
    from trader_sdk.archive.explain import decision_facts

    said = f"{move.kind} by {move.who}" + (f": {move.why}" if move.why else "")
    times = {"timeframe": key.timeframe.value, "when": short_time(move.at)}
    return {**times, "version": move.to, "what": said, **decision_facts(move)}


def _verdict_row(ref: VerdictRef) -> dict[str, Any]:
    return {
        "run": ref.run,
        "timeframe": ref.slot.timeframe.value,
        "version": ref.version_id,
        "class": ref.gate_class.value,
        "tier": ref.tier.value if ref.tier else None,
        "verdict": ref.id,
        "at": ref.at.isoformat(timespec="seconds"),
    }


def _named(state: ArchiveState, name: str, archive: str) -> list[VerdictRef]:
    from trader_sdk.archive.pointers import aliased, is_alias

    if is_alias(name):
        return [aliased(state, name)]
    if name in state.verdicts:
        return [state.verdicts[name]]
    if name in state.runs:
        return state.verdicts_in(name)
    newest = {ref.slot: ref for ref in state.history(name)}
    found = list(newest.values()) or [ref for ref in state.verdicts.values() if ref.version_id == name]
    if not found:
        known = {text for ref in state.verdicts.values() for text in (ref.version_id, ref.id, ref.run, ref.slot.symbol)}
        raise unknown_name("version, verdict, run or symbol", name, sorted(known), archive)
    return found
