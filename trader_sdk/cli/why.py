"""``trader why``: the chain from a bar to its fill, or exactly where it broke and what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader_sdk.cli.status import Json, JsonFile, Run, StateDir, output_of, read_run
from trader_sdk.contract.errors import ERROR_TABLE, UsageError

if TYPE_CHECKING:
    from trader_sdk.cli.output import Output
    from trader_sdk.live.chain import Chain
    from trader_sdk.live.events import JournalEntry
    from trader_sdk.live.ledger import Ledger

_WIDTH: Final = 79
_INDENT: Final = 11


def why(
    symbol: Annotated[str, typer.Argument(help="Whose decisions.")],
    at: Annotated[str | None, typer.Option(help="Only bars whose start begins with this, such as 2012-03-05.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest bars.")] = 10,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Say why a symbol was or was not traded: its newest bars, and the whole chain of the last one."""
    from trader_sdk.live.chain import chains_of

    _, entries, ledger = read_run(state_dir, run)
    name = symbol.upper()
    chains = [chain for chain in chains_of(entries, name) if at is None or chain.at.startswith(at)]
    out = output_of(json, json_file, ledger)
    try:
        if not chains:
            return _why_never(name, at, entries, ledger, out)
        rows = [_row(chain) for chain in chains[-last:]]
        out.table("why", f"{name}: the newest bar last", ("bar", "action", "price", "reason", "order"), rows)
        _show_chain(chains[-1], out)
        return 0
    finally:
        out.close()


def _row(chain: Chain) -> tuple[str | None, ...]:
    made, bar = chain.decision, chain.bar
    action = made["action"] if made is not None else "not decided"
    price = made["price"] if made is not None else bar["close"] if bar is not None else None
    reason = chain.reason or ("traded" if chain.orders else "")
    return chain.at, action, price, reason, chain.became


def _show_chain(chain: Chain, out: Output) -> None:
    lines = [f"{chain.symbol} {chain.at}"]
    for step, text in chain.links:
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=f"  {step:<{_INDENT - 2}}", subsequent_indent=" " * _INDENT,
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip
    for remedy in chain.remedies:
        lines += textwrap.wrap(remedy, _WIDTH, initial_indent="  -> ", subsequent_indent="     ")
    out.event("chain", "\n".join(lines), **chain.fields())


def _why_never(symbol: str, at: str | None, entries: Sequence[JournalEntry], ledger: Ledger, out: Output) -> int:
    """Say why there is no bar at all: the model was refused, or the symbol or the moment is not in this run."""
    from trader_sdk.live.chain import refusals_of

    refused = refusals_of(entries, symbol)
    if refused and at is None:
        body = refused[-1]
        kind = ERROR_TABLE.get(body["code"])
        remedy = kind.remedy if kind is not None else "Start the run again and read the gate table."
        text = f"{symbol} does not trade: its model was refused\n  {body['message']}\n  -> {remedy}"
        out.event("model_refused", text, symbol=symbol, code=body["code"], message=body["message"], remedy=remedy)
        return 0
    if symbol in ledger.sleeves and at is None:
        remedy = "Wait for the first closed bar; `trader status` says when the journal was last written."
        out.event("no_bar_yet", f"{symbol}: no bar has closed in this run yet\n  -> {remedy}", remedy=remedy)
        return 0
    known = ", ".join(sorted({*ledger.sleeves, *ledger.decided})) or "none"
    if symbol in ledger.sleeves:
        bars = sorted(e.body["bar"] for e in entries if e.event.value == "bar_closed" and e.body["symbol"] == symbol)
        seen = f"a bar from {bars[0]} to {bars[-1]}" if bars else "a bar; none closed yet"
        raise UsageError("USAGE", "no bar begins like this", where=f"--at {at}", expected=seen, found="nothing")
    raise UsageError("USAGE", "this run does not trade the symbol", where=symbol, expected=f"one of {known}")
