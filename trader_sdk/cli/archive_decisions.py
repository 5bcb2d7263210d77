"""``trader archive promote|revert|override|recall``: what a person decides, each one line on the audit chain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.archive_output import (
    DEFAULT_ARCHIVE,
    ArchiveOption,
    ExpectedOption,
    ExplainOption,
    JsonFileOption,
    JsonOption,
    SecondPersonOption,
    TimeframeOption,
    WhyOption,
    archive_output,
    member,
    moment,
    near_misses,
    unknown_name,
)
from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from trader_sdk.archive.reader import ArchiveReader
    from trader_sdk.archive.slots import SlotKey
    from trader_sdk.contract.slot_state import SlotState

SlotArgument = Annotated[str, typer.Argument(help="As it was trained, or an alias: models:/AAPL/1Day@challenger.")]


def promote(
    symbol: SlotArgument,
    version: Annotated[
        str | None, typer.Argument(help="What takes the slot: a version id, or an alias; omitted: the symbol's alias.")
    ] = None,
    timeframe: TimeframeOption = "1Day",
    why: WhyOption = "",
    expected: ExpectedOption = None,
    second_person: SecondPersonOption = 0,
    explain: ExplainOption = False,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Point a slot at another deployable version."""
    from trader_sdk.archive.governance import Decider
    from trader_sdk.archive.governance import promote as promote_version
    from trader_sdk.archive.reader import ArchiveReader

    reader = ArchiveReader(archive)
    key, wanted = _slot_and_version(reader, symbol, version, timeframe, archive)
    decider = Decider(second_person=bool(second_person))
    slot = promote_version(
        archive, key.symbol, key.timeframe.value, wanted, why=why, expected=expected, decider=decider
    )
    with archive_output(json, json_file) as out:
        _show_slot(out, "slot_promoted", slot, archive, explain)


def revert(
    symbol: SlotArgument,
    timeframe: TimeframeOption = "1Day",
    why: WhyOption = "",
    expected: ExpectedOption = None,
    explain: ExplainOption = False,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Point a slot back at its previous champion; a second revert undoes the first."""
    from trader_sdk.archive.governance import revert as revert_slot
    from trader_sdk.archive.pointers import resolve
    from trader_sdk.archive.reader import ArchiveReader

    key, _ = resolve(symbol, timeframe, "champion")
    _check_slot(ArchiveReader(archive), key, archive)
    slot = revert_slot(archive, key.symbol, key.timeframe.value, why=why, expected=expected)
    with archive_output(json, json_file) as out:
        _show_slot(out, "slot_reverted", slot, archive, explain)


def override(
    verdict: Annotated[str, typer.Argument(help="Id of a REVIEW verdict, such as AAPL_1Day/20261121_093000.")],
    why: WhyOption,
    until: Annotated[str, typer.Option(help="End, RFC 3339 with its zone, such as 2026-12-01T00:00:00Z.")],
    tier: Annotated[str, typer.Option(help="No higher tier than this: LIVE, PAPER or RETRAIN.")] = "PAPER",
    modes: Annotated[str, typer.Option(help="Comma-separated: PAPER-LOCAL, PAPER-ALPACA, LIVE.")] = (
        "PAPER-LOCAL,PAPER-ALPACA"
    ),
    second_person: SecondPersonOption = 0,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Lift a REVIEW verdict, with a ceiling and an end."""
    from trader_sdk.archive.governance import Decider
    from trader_sdk.archive.governance import override as override_verdict
    from trader_sdk.archive.reader import ArchiveReader
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.contract.verdicts import DeploymentTier

    ceiling = member(DeploymentTier, tier, "--tier")
    allowed = [member(TradingMode, mode, "--modes") for mode in modes.split(",")]
    end = moment(until, "--until")
    known = ArchiveReader(archive).state.verdicts
    if verdict not in known:
        raise unknown_name("verdict", verdict, known, archive)
    decider = Decider(second_person=bool(second_person))
    written = override_verdict(
        archive, verdict, why=why, until=end, tier_ceiling=ceiling, modes=allowed, decider=decider
    )
    with archive_output(json, json_file) as out:
        text = (
            f"{verdict} counts as APPROVED up to {written.tier_ceiling} until {written.until.isoformat()}\n"
            f"on {', '.join(written.modes)}; by {written.who}: {written.why}"
        )
        out.event("verdict_overridden", text, **written.model_dump(mode="json"))


def recall(
    names: Annotated[list[str], typer.Argument(help="Version ids, digests of files or policies, or aliases.")],
    why: WhyOption,
    allow_unknown: Annotated[
        int, typer.Option("--allow-unknown", min=0, max=1, help="1: also names that nothing here has.")
    ] = 0,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    json: JsonOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Forbid versions or digests from now on; loading them is E505 and a running trader only lets them exit."""
    from trader_sdk.archive.governance import recall as recall_names
    from trader_sdk.archive.reader import ArchiveReader

    listed = _recallable(ArchiveReader(archive), names, bool(allow_unknown), archive)
    recall_names(archive, listed, why=why)
    with archive_output(json, json_file) as out:
        out.event("models_recalled", f"Recalled: {', '.join(listed)}.", names=listed, why=why)


def _slot_and_version(
    reader: ArchiveReader, symbol: str, version: str | None, timeframe: str, archive: str
) -> tuple[SlotKey, str]:
    from trader_sdk.archive.pointers import aliased, is_alias, resolve

    key, _ = resolve(symbol, timeframe, "champion")
    meant = version or (symbol if is_alias(symbol) else None)
    if meant is None:
        remedy = f"Name a version, or an alias such as models:/{symbol}/{timeframe}@challenger."
        raise UsageError("USAGE", "nothing to promote was named", where="VERSION", remedy=remedy)
    _check_slot(reader, key, archive)
    if not is_alias(meant):
        _check_version(reader, key, meant)
        return key, meant
    ref = aliased(reader.state, meant)
    if ref.slot != key:
        raise UsageError("USAGE", "the alias names another slot", where="VERSION", expected=key, found=meant)
    return key, ref.version_id


def _check_slot(reader: ArchiveReader, key: SlotKey, archive: str) -> None:
    keys = reader.state.keys()
    if key in keys:
        return
    same = [other.timeframe.value for other in keys if other.symbol == key.symbol]
    if same:
        raise ArchiveError(
            "E601",
            "this symbol has no such slot",
            where=archive,
            found=key,
            remedy=f"Use --timeframe {' or '.join(same)}.",
        )
    raise unknown_name("symbol", key.symbol, (other.symbol for other in keys), archive)


def _check_version(reader: ArchiveReader, key: SlotKey, version: str) -> None:
    if reader.state.newest_verdict(key, version) is not None:
        return
    known = [ref.version_id for ref in reader.state.verdicts_of(key)]
    raise ArchiveError(
        "E601",
        "this slot has no verdict about this version",
        where=str(key),
        found=version,
        remedy=f"{near_misses(version, known)}`trader archive history {key.symbol}` lists its versions.",
    )


def _recallable(reader: ArchiveReader, names: list[str], allow_unknown: bool, archive: str) -> list[str]:
    from trader_sdk.archive.pointers import aliased, is_alias

    versions = [aliased(reader.state, name).version_id if is_alias(name) else name for name in names]
    if allow_unknown:
        return versions
    known: set[str] = set()
    for ref in reader.state.verdicts.values():
        known |= {ref.version_id, ref.policy_sha256.removeprefix("sha256:")}
    for name in versions:
        if name.removeprefix("sha256:") not in known and not _is_subject(reader, name):
            error: Any = unknown_name("version or digest", name, sorted(known), archive)
            error.remedy += " A recall of something that is not here yet needs --allow-unknown 1."
            raise error
    return versions


def _is_subject(reader: ArchiveReader, digest: str) -> bool:
    wanted = digest.removeprefix("sha256:")
    if len(wanted) != 64:
        return False
    for ref in reader.state.verdicts.values():
        try:
            subjects = reader.judged(ref).verdict.subjects
        except ArchiveError:
            continue  # a damaged verdict names nothing; `trader archive verify` reports it
        if any(subject.sha256 == wanted for subject in subjects):
            return True
    return False


def _show_slot(out: Output, event: str, slot: SlotState, archive: str, explain: bool) -> None:
    now = slot.champion.version_id if slot.champion else "nobody"
    before = slot.previous.version_id if slot.previous else "nobody"
    place = f"{slot.symbol}/{slot.timeframe}"
    text = (
        f"{place}: {now} holds the slot,\n  before it {before}.\n"
        f"Undo with: trader archive revert {slot.symbol} --timeframe {slot.timeframe}"
    )
    out.event(event, text, symbol=slot.symbol, timeframe=slot.timeframe.value, champion=now, previous=before)
    if explain:
        from trader_sdk.archive.explain import slot_memo
        from trader_sdk.archive.reader import ArchiveReader
        from trader_sdk.archive.slots import SlotKey

        memo = slot_memo(ArchiveReader(archive), SlotKey(slot.symbol, slot.timeframe), datetime.now(UTC))
        out.event("slot_explained", f"\n{memo.text}", **memo.facts)
