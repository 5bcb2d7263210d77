"""``zoo board``: rank a slot's versions, say who may be promoted, and draw it."""

from __future__ import annotations

import json as json_module
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.contract.errors import ArchiveError, DataError, LifecycleError, UsageError

if TYPE_CHECKING:
    from training.zoo.leaderboard import Board
    from training.zoo.promotion import Candidate, Watch
    from training.zoo.slot import SlotView

Archive = Annotated[str, typer.Option(help="Archive that holds the slot.")]


@dataclass(frozen=True, slots=True)
class Standing:
    """A slot judged: the board, what is said of each challenger, and of the champion."""

    view: SlotView
    board: Board
    judged: Sequence[Candidate]
    watch: Watch | None
    source: str


def board(
    symbol: Annotated[str, typer.Option(help="The slot's symbol.")],
    timeframe: Annotated[str, typer.Option(help="The slot's timeframe.")],
    archive: Archive = "training_archives",
    journal: Annotated[
        list[Path] | None, typer.Option(help="State folder of a trader whose shadows are compared; may be repeated.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Compare on these past bars instead, as for `run`.")] = None,
    since: Annotated[str | None, typer.Option(help="First date of past bars; after every version's own data.")] = None,
    in_sample: Annotated[int, typer.Option(min=0, max=1, help="1: bars that were trained on too; to look only.")] = 0,
    out: Annotated[Path, typer.Option(help="The zoo's folder, with the trial ledger.")] = Path("runs/zoo"),
    jobs: Annotated[int, typer.Option(min=1, help="Processes that score past bars.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Draw it: an .html file, and a .png beside it.")] = None,
    auto: Annotated[int, typer.Option(min=0, max=1, help="1: promote the best eligible one; 0: recommend.")] = 0,
    json: Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")] = 0,
) -> int:
    """Rank a slot's versions net of costs, and say who may be promoted and why the others may not."""
    if (data is None) == (not journal):
        raise UsageError("USAGE", "compare on what?", where="zoo board", expected="--journal FOLDER or --data SOURCE")
    if auto and in_sample:
        raise UsageError("USAGE", "nobody is promoted on bars it was trained on", where="--auto 1 --in-sample 1")
    asked = _Asked(archive, symbol, timeframe, out, jobs)
    standing = asked.from_journals(journal) if journal else asked.from_history(data or "", since, bool(in_sample))
    _say(standing, as_json=bool(json))
    if report is not None:
        from training.zoo.report import write_report

        for path in write_report(standing, report):
            typer.echo(f"wrote {path}", err=bool(json))
    _promote(standing, archive, auto=bool(auto), as_json=bool(json))
    return 0


@dataclass(frozen=True, slots=True)
class _Asked:
    archive: str
    symbol: str
    timeframe: str
    out: Path
    jobs: int

    def from_journals(self, folders: Sequence[Path]) -> Standing:
        """Compare what shadows did on live bars."""
        from training.zoo.journals import shadowed
        from training.zoo.plays import paired

        view = self._view()
        told = shadowed(folders)
        plays = [play for play in told.plays if play.symbol == self.symbol]
        if not plays:
            where = ", ".join(map(str, folders))
            raise DataError("BARS", f"no shadow of {self.symbol} decided on any bar", where=where)
        champion = told.champions.get(self.symbol)
        return self._judged(view, paired(plays), champion, vintage="", source=", ".join(map(str, folders)))

    def from_history(self, source: str, since: str | None, in_sample: bool) -> Standing:
        """Compare on past bars that none of them was trained on."""
        from trader_sdk.data import load_bars
        from training.zoo.history import score_all, stage_of
        from training.zoo.slot import retrained_baseline

        view = self._view()
        bars = load_bars(source, self.symbol, self.timeframe)
        vintages = {each.pedigree.data_digest for name, each in view.versions.items() if name != view.champion}
        baseline = retrained_baseline(self.out / _slot_name(view), vintages)
        versions = [*view.versions.values(), *([baseline] if baseline else [])]
        first_ns = _first(since, max(each.data_end_ns for each in versions), int(bars.t[-1]), in_sample)
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            stage = stage_of(bars, Path(folder), model_version="2.7.0", since_ns=first_ns)
            pairs = score_all([each.variant for each in versions], [stage], at_once=self.jobs)
        held = baseline or view.versions.get(view.champion or "")
        beside, vintage = (held.variant.name, held.pedigree.data_digest) if held else (None, "")
        return self._judged(view, pairs, beside, vintage=vintage, source=source)

    def _view(self) -> SlotView:
        from trader_sdk.archive.slots import SlotKey
        from trader_sdk.contract.timeframe import parse_timeframe
        from training.zoo.slot import slot_view

        key = SlotKey(self.symbol, parse_timeframe(self.timeframe))
        view = slot_view(self.archive, key)
        if not view.versions:
            raise ArchiveError("E601", "the slot has nobody to compare", where=str(key))
        return view

    def _judged(self, view: SlotView, pairs: Any, baseline: str | None, *, vintage: str, source: str) -> Standing:
        from trader_sdk.data import bars_per_year, get_calendar
        from training.zoo.leaderboard import ranked
        from training.zoo.promotion import candidates, watch_champion
        from training.zoo.trials import TrialLedger

        calendar = get_calendar("24/7" if "/" in self.symbol else "XNYS").name
        board = ranked(
            pairs,
            baseline=baseline,
            n_trials=max(TrialLedger(self.out / _slot_name(view)).count(), view.n_verdicts),
            bars_per_year=bars_per_year(view.key.timeframe, calendar),
        )
        pedigrees = {name: each.pedigree for name, each in view.versions.items()}
        held = pedigrees.get(view.champion or "")
        if held is not None and baseline is not None:
            pedigrees[baseline] = held
        judged = [each for each in candidates(board, pedigrees, vintage=vintage) if each.name != view.champion]
        series = pairs.series.get(view.champion or "")
        watch = watch_champion(series, held.horizon if held else 1) if series is not None else None
        return Standing(view, board, judged, watch, source)


def _slot_name(view: SlotView) -> str:
    from trader_sdk.archive.layout import model_key

    return model_key(view.key.symbol, view.key.timeframe)


def _first(since: str | None, trained_ns: int, last_ns: int, in_sample: bool) -> int:
    from datetime import UTC, datetime

    if since is None and in_sample:
        return 0
    try:
        at = datetime.fromisoformat(since) if since else None
    except ValueError as error:
        raise UsageError("USAGE", "not a date", where="--since", expected="2011-12-31", found=since) from error
    first = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 10**9 if at else trained_ns
    if (first < trained_ns or first > last_ns) and not in_sample:
        ended = datetime.fromtimestamp(trained_ns // 10**9, UTC).date()
        raise LifecycleError(
            "E705", "these bars were trained on, or judged on, by a version", where="--data", expected=f"after {ended}"
        )
    return first


def _say(standing: Standing, *, as_json: bool) -> None:
    from training.zoo.cli import print_table
    from training.zoo.progress import standings_of

    table, view = standing.board, standing.view
    if as_json:
        _say_json(standing)
        return
    columns = ("version", "net", "net 2x", "net 3x", "sharpe", "drawdown", "trades", "deflated", "verdict")
    said = {each.name: each.reason.value for each in standing.judged}
    held = "champion" if table.baseline == view.champion else "baseline"
    rows = [_cells(row, said.get(row.name, "champion" if row.name == view.champion else held)) for row in table.rows]
    print_table(rows, columns, standings_of)
    typer.echo(f"{table.rows[0].n_bars if table.rows else 0} bars that all saw; {luck_of(table)}")
    for each in standing.judged:
        typer.echo(str(each))
    if standing.watch is not None:
        typer.echo(str(standing.watch))


def _say_json(standing: Standing) -> None:
    for row in standing.board.rows:
        typer.echo(_line("zoo_row", **asdict(row)))
    for each in standing.judged:
        said = {"reason": each.reason.value, "found": each.found, "expected": each.expected}
        typer.echo(_line("zoo_candidate", name=each.name, **said))
    if standing.watch is not None:
        typer.echo(_line("zoo_watch", champion=standing.view.champion, **asdict(standing.watch)))
    table = standing.board
    tested, chosen = table.superiority, table.overfitting
    facts: dict[str, Any] = {
        "spa": tested and asdict(tested),
        "overfitting": chosen and asdict(chosen),
        "n_trials": table.n_trials,
    }
    typer.echo(_line("zoo_board", champion=standing.view.champion, baseline=table.baseline, **facts))


def _line(event: str, **facts: Any) -> str:
    from training.run_log import plain

    return json_module.dumps({"event": event, **plain(facts)})


def _cells(row: Any, said: str) -> tuple[str, ...]:
    shares = [f"{share:+.2%}" for share in (row.net, row.net_2x, row.net_3x)]
    deflated = "insufficient" if row.deflated is None else f"{row.deflated:.3f}"
    return row.name, *shares, f"{row.sharpe:.2f}", f"{row.max_drawdown:.2%}", str(row.n_trades), deflated, said


def luck_of(table: Board) -> str:
    """Return what the tests of the whole set say, for a person."""
    tested, chosen = table.superiority, table.overfitting
    p_value = "insufficient" if tested is None else f"p {tested.p_value:.3f}"
    share = "insufficient" if chosen is None else f"{chosen.probability:.0%} of {chosen.n_splits} splits"
    return f"{table.n_trials} trials; that nobody is better than the baseline: {p_value}; overfitting: {share}"


def _promote(standing: Standing, archive: str, *, auto: bool, as_json: bool) -> None:
    from training.zoo.promotion import best_of

    best, key = best_of(standing.judged), standing.view.key
    if best is None:
        return
    if not auto:
        named = f"{key.symbol} {best.name} --timeframe {key.timeframe} --archive {archive}"
        command = f"trader archive promote {named} --expected {standing.view.champion}"
        typer.echo(f"recommended: {best.name}; to promote it: {command}", err=as_json)
        return
    promoted = promote_best(archive, standing.view, best)
    told = f"promoted {promoted}; `trader archive revert` undoes it"
    typer.echo(_line("zoo_promoted", version=promoted) if as_json else told)


def promote_best(archive: str, view: SlotView, best: Candidate) -> str:
    """Promote a candidate if the champion is still the one it was compared with.

    Raises:
        LifecycleError: E701, somebody else promoted meanwhile; nothing was moved.
        ArchiveError: As ``trader archive promote``.
    """
    from trader_sdk.archive.governance import promote

    why = f"zoo: {best.reason.value}, compared with {view.champion}"
    slot = promote(archive, view.key.symbol, view.key.timeframe, best.name, why=why, expected=view.champion)
    assert slot.champion is not None
    return slot.champion.version_id
