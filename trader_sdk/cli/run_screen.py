"""What a person sees of a run: a table, one line a bar, a summary; programs get the same facts as JSON lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from trader_sdk.cli.model_texts import MODEL_TEXTS
from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import StorageError

if TYPE_CHECKING:
    from trader_sdk.cli.run_board import RunBoard
    from trader_sdk.live.board import Board

Fields = Mapping[str, Any]


class RunScreen:
    """Formats everything that a run tells, for people and for programs.

    Args:
        output: Where it goes.

    Attributes:
        look: Returns the live table's data; None draws none.
        also: Told everything too.
        keep_note: Takes what people were told, for the journal.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self.also: Callable[[str, Fields], None] = lambda _name, _fields: None
        self.keep_note: Callable[[Fields], None] = lambda _: None
        self.look: Callable[[], Board] | None = None
        self._board: RunBoard | None = None
        self._rows: list[Fields] = []
        self._said: set[str] = set()

    def when_unread(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` once, when nobody reads any more: at once if that is so."""
        self._output.when_alone(stop)

    def has_said(self, name: str) -> bool:
        """Return whether a fact of this name was told."""
        return name in self._said

    def show(self, name: str, fields: Fields) -> None:
        """Tell one fact."""
        self._said.add(name)
        self.also(name, fields)
        try:
            self._tell(name, fields)
        except OSError as error:
            raise StorageError("STORAGE", "standard output cannot be written", found=error) from error

    def _tell(self, name: str, fields: Fields) -> None:
        if name == "gate_row":
            self._rows.append(fields)
        elif name in ("run_started", "run_refused"):
            self._output.run_id = fields.get("run_id", self._output.run_id)
        elif name == "run_finished":
            self.close()
        if name == "run_refused":
            self._show_gate()
        text = _TEXTS.get(name, _nothing)(fields)
        self._output.event(name, text, **{key: value for key, value in fields.items() if key != "run_id"})
        if name == "run_started":
            self._show_gate()
        elif name == "ready":
            self._open_board()
        if self._board is not None:
            self._board.update()

    def note(self, text: str) -> None:
        """Tell people alone, after the last fact for programs."""
        self._output.note(text)

    def _open_board(self) -> None:
        from trader_sdk.cli.run_board import RunBoard, is_terminal

        if self.look is not None and not self._output.json_lines and is_terminal(self._output.stream):
            self._board = RunBoard(self._output.stream, self.look)
            self._output.divert(self._board.line)

    def close(self) -> None:
        """End the live table, if one is drawn; safe to call twice."""
        if self._board is not None:
            with self._output.heard():
                self._board.close()
            self._output.divert(None)
            self._board = None

    def _show_gate(self) -> None:
        rows, self._rows = self._rows, []
        if not rows or self._output.json_lines:
            return
        chosen = [row for row in rows if row["chosen"]]
        if chosen:
            self._output.table("gate_table", "Gate: what trades", _GATE_COLUMNS, [_gate_cells(row) for row in chosen])
        for row in chosen:
            self._output.event("gate_detail", _gate_detail(row))
        passed_over = [row for row in rows if not row["chosen"]]
        for row in passed_over:
            self._output.event("passed_over", _wrapped(_passed_over(row)))
        for remedy in dict.fromkeys(row["remedy"] for row in passed_over if row["remedy"]):
            self._output.event("remedy", _wrapped(f"-> {remedy}"))


_GATE_COLUMNS: Final = ("symbol", "bar", "model", "class", "tier", "fit", "PF", "cons", "DD", "sha")


def _gate_cells(row: Fields) -> list[str]:
    numbers = (row["fitness"], row["profit_factor"])
    fractions = (row["consistency"], row["max_drawdown"])
    return [
        *(row["symbol"], row["timeframe"], row["version"] or "", row["class"], row["tier"]),
        *("" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in numbers),
        *("" if value is None else f"{value:.0%}" if value > 0.2 else f"{value:.1%}" for value in fractions),
        row["sha8"],
    ]


def _gate_detail(row: Fields) -> str:
    data = "" if row["data"] == "real" else f", {row['data']} data"
    lifted = f", lifted by override of {row['override']}" if row["override"] else ""
    return _wrapped(
        f"{row['symbol']}: {row['version_id']}, gate {row['gate_policy']}, features {row['features']}{data}{lifted}"
    )


def _passed_over(row: Fields) -> str:
    name = f"{row['symbol']} {row['timeframe']} {row['version_id']}".rstrip()
    return f"passed over: {name}: {row['why']}"


def _wrapped(text: str) -> str:
    """Return ``text`` on lines of at most 79 columns, the further ones indented."""
    return "\n".join(textwrap.wrap(text, 79, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))


def _nothing(_fields: Fields) -> str | None:
    return None


def _demo_archive(fields: Fields) -> str:
    lifted = f"; {len(fields['overrides'])} REVIEW models lifted for 24 h, here only" if fields["overrides"] else ""
    return f"no --archive: a working copy of the demo archive is traded{lifted}"


def _first_line(fields: Fields) -> str:
    where = "\nno broker: orders go to the embedded exchange on loopback" if fields["local"] else ""
    strict = "strict" if fields["strict"] else "NOT STRICT"
    return f"trader-sdk {fields['sdk_version']}  {fields['mode']}  {strict}{where}"


def _no_real_model(fields: Fields) -> str:
    names = ", ".join(fields["symbols"])
    return _wrapped(
        f"No model of real bars ({names}) passed the gate, which is the honest answer: daily bars hold little that can "
        "be learned. The run trades the simulated market, whose edge was planted."
    )


def _run_started(fields: Fields) -> str:
    resumed = " (resumed)" if fields["resumed"] else ""
    dry = "  DRY RUN: nothing is sent" if fields["dry_run"] else ""
    replay = f"  bars after {fields['replay_from'][:10]}" if fields["replay_from"] else ""
    return (
        f"account {fields['account']}  equity {fields['equity']}  {fields['timeframe']} "
        f"{', '.join(fields['symbols'])}{replay}{dry}\nstate {fields['state_folder']}{resumed}"
    )


def _reconcile_finished(fields: Fields) -> str:
    if fields["clean"]:
        return f"reconciled: journal, sleeves and venue agree ({fields['state_hash'][7:15]})"
    parts = [f"{name} {fields[name]}" for name in ("merged", "imported", "resent", "abandoned", "canceled")]
    changed = ", ".join(part for part in parts if not part.endswith(" 0"))
    return "; ".join(part for part in (f"reconciled: {changed}", *fields["drifts"]) if part)


def _ready(fields: Fields) -> str:
    return f"ready in {fields['seconds']:.1f} s"


def _bar(fields: Fields) -> str:
    of = f"/{fields['of']}" if fields["of"] else ""
    late = f" late {fields['late_seconds']:.0f} s" if fields["late_seconds"] > 1 else ""
    counts = {name: fields[name] for name in ("sent", "acked", "fills") if fields[name]}
    moved = "  " + " ".join(f"{name} {n}" for name, n in counts.items()) if counts else ""
    left = f" budget {fields['requests_left']}" if fields["requests_left"] is not None else ""
    blocked = "  " + " ".join(f"{reason} {n}" for reason, n in fields["blocked"].items()) if fields["blocked"] else ""
    time = fields["bar"][:10] if fields["bar"].endswith(("04:00:00Z", "05:00:00Z")) else fields["bar"][5:16]
    missing = f" {fields['symbols']}/{fields['of_symbols']} symbols" if fields["of_symbols"] > 1 else ""
    return _hanging(
        f"{time} {fields['n']}{of}{missing}{late} {fields['decide_ms']:.0f} ms "
        f"B{fields['buy']} S{fields['sell']} H{fields['hold']}{moved}"
        f"  {fields['equity']} dd {fields['drawdown']:.1%}{left}{blocked}"
    )


def _hanging(text: str) -> str:
    """Return one line of the run within 79 columns, what does not fit under it."""
    if len(text) < 80:
        return text
    return "\n".join(textwrap.wrap(text, 79, subsequent_indent="    ", break_on_hyphens=False))


def _idle(fields: Fields) -> str:
    market = "market open" if fields["is_open"] else f"market closed, opens {_moment(fields['next_open'])}"
    held = f"{fields['positions']} positions, {fields['working']} orders working"
    return _hanging(
        f"{fields['venue_time'][5:16]} idle: {market}; next bar {_moment(fields['next_bar'])}; {held}, "
        f"equity {fields['equity']}"
    )


def _moment(text: str | None) -> str:
    return "not in the calendar" if text is None else f"{text[5:16].replace('T', ' ')}Z"


def _order_refused(fields: Fields) -> str:
    return f"  order refused: {fields['symbol']} {fields['detail']}"


def _order_unknown(fields: Fields) -> str:
    return f"  order outcome unknown: {fields['symbol']} {fields['detail']}; the symbol waits for reconciliation"


def _drift(fields: Fields) -> str:
    return (
        f"  DRIFT {fields['symbol']}: expected {fields['expected']}, the venue has {fields['found']}; "
        "exits only until a clean round"
    )


def _trouble(fields: Fields) -> str:
    return f"  broker: {fields['message']} ({fields['in_a_row']} in a row)"


def _limit_changed(fields: Fields) -> str | None:
    if fields["limit"] == "watermark":
        return None  # kept for the next start; the line a bar has equity and drawdown
    return f"  {fields['symbol']}: {fields['limit']}: {fields['cause']}"


def _metrics_served(fields: Fields) -> str:
    return f"metrics on http://127.0.0.1:{fields['port']}/metrics"


def _feed_degraded(fields: Fields) -> str:
    advice = f"; {fields['advice']}" if fields["advice"] else ""
    return _wrapped(f"bars' stream refused ({fields['code']} {fields['message']}){advice}. Bars come over REST.")


def _feed_recovered(_fields: Fields) -> str:
    return "  bars' stream is back"


def _stream_reopened(fields: Fields) -> str:
    return f"  {fields['stream']} was {fields['cause']}: opened anew"


def _stream_flapping(fields: Fields) -> str:
    return f"  {fields['stream']} keeps breaking: no position is opened until it holds"


def _frame_quarantined(fields: Fields) -> str:
    return f"  a frame of {fields['stream']} was not understood; kept in {fields['file']}"


def _state(fields: Fields) -> str:
    scope = f" {fields['symbol']}" if fields.get("symbol") else ""
    return f"  {fields['state']}{scope}: {fields['cause']}"


def _kill_switch(fields: Fields) -> str:
    left = f", {len(fields['left'])} still open" if fields["left"] else ""
    closing = f", {len(fields['orders'])} closing orders sent" if fields["orders"] else ""
    return f"  KILL SWITCH by {fields['by']}: {len(fields['canceled'])} orders cancelled{left}{closing}"


def _finished(fields: Fields) -> str | None:
    if fields.get("decisions") is None or "equity" not in fields:
        return None
    blocked = ", ".join(f"{reason} {count}" for reason, count in fields["blocked"].items()) or "nothing"
    held = ", ".join(f"{symbol} {qty}" for symbol, qty in fields["positions"].items()) or "flat"
    rows = (
        ("bars", f"{fields['bars']}"),
        ("decisions", f"{fields['decisions']}  " + " ".join(f"{k} {v}" for k, v in fields["actions"].items())),
        ("orders", f"{fields['orders']}, fills {fields['fills']}, turnover {fields['turnover']}"),
        ("trades", f"{fields['trades']} closed, {fields['wins']} won"),
        ("best, worst", f"{fields['best_trade'] or '-'}, {fields['worst_trade'] or '-'}"),
        ("costs", f"{fields['costs']} by the cost model; {fields['slippage']} against decision prices"),
        ("equity", f"{fields['initial']} -> {fields['equity']}  ({fields['pnl']})"),
        ("held", held),
        ("blocked", blocked),
        ("journal", fields["journal"]),
    )
    return "\nSummary\n" + "\n".join(f"  {name:<12} {value}" for name, value in rows)


_TEXTS: Final[Mapping[str, Callable[[Fields], str | None]]] = {
    "first_line": _first_line,
    "demo_archive": _demo_archive,
    "no_real_model": _no_real_model,
    "run_started": _run_started,
    "metrics_served": _metrics_served,
    "reconcile_finished": _reconcile_finished,
    "ready": _ready,
    "bar_finished": _bar,
    "idle": _idle,
    "order_refused": _order_refused,
    "order_unknown": _order_unknown,
    "drift_found": _drift,
    "broker_trouble": _trouble,
    "limit_changed": _limit_changed,
    "feed_degraded": _feed_degraded,
    "feed_recovered": _feed_recovered,
    "stream_reopened": _stream_reopened,
    "stream_flapping": _stream_flapping,
    "frame_quarantined": _frame_quarantined,
    "state_changed": _state,
    "kill_switch": _kill_switch,
    "run_finished": _finished,
    **MODEL_TEXTS,
}
