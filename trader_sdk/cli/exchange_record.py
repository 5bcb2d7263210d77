"""``trader exchange record`` and ``compare``: what a real paper account answers, beside what our exchange answers."""

from __future__ import annotations

import os
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.output import Output, write_json_file
from trader_sdk.contract.errors import ERROR_TABLE, ConfigError

if TYPE_CHECKING:
    from trader_sdk.broker.recording import Recorded

Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events here.")]


def record(
    out: Annotated[Path, typer.Argument(help="File to write; read it before you show it to anybody.")],
    symbol: Annotated[str, typer.Option(help="An equity of the packaged market.")] = "AAPL",
    orders: Annotated[
        int, typer.Option(min=0, max=1, help="1: also place one share at a dollar on paper, and cancel it.")
    ] = 0,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Write down what Alpaca's paper endpoint answers; needs the account's keys in the environment."""
    from trader_sdk.broker.credentials import credentials_from_env
    from trader_sdk.broker.endpoint import alpaca_paper
    from trader_sdk.broker.recording import as_document, asks
    from trader_sdk.broker.recording import record as ask

    credentials = credentials_from_env(os.environ)
    if credentials is None:
        expected = "ALPACA_API_KEY and ALPACA_SECRET_KEY of a paper account in the environment"
        raise ConfigError("CONFIG", "nothing can be recorded without keys", expected=expected, found="nothing")
    wanted = [one for one in asks(symbol, _order_name()) if orders or not one.orders]
    replies = ask(alpaca_paper(), credentials, wanted)
    write_json_file(out, as_document("alpaca-paper", symbol, replies))
    said = Output(json_lines=json == 1, json_file=json_file)
    text = f"{len(replies)} replies written to {out}; compare them with `trader exchange compare {out}`"
    said.event("replies_recorded", text, path=str(out), replies=len(replies))
    said.close()
    return 0


def _order_name() -> str:
    return f"trader-sdk-{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"


def compare(
    recording: Annotated[Path, typer.Argument(help="What `trader exchange record` wrote.")],
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Ask the embedded exchange the same and show where its replies have another shape; exit 6 if any has."""
    from trader_sdk.broker.recording import from_document, unlike
    from trader_sdk.contract.canonical import read_json_strict

    symbol, real = from_document(read_json_strict(_read(recording), where=str(recording)))
    ours = ask_exchange(symbol)
    found = unlike(real, ours)
    said = Output(json_lines=json == 1, json_file=json_file)
    if found:
        rows = [(one.name, one.where, one.real, one.ours) for one in found]
        said.table("differences", f"{len(found)} places differ", ("request", "where", "recorded", "exchange"), rows)
    verdict = "have the same shape" if not found else f"differ in {len(found)} places"
    text = f"{len(real)} recorded replies and the exchange's {verdict}"
    said.event("replies_compared", text, replies=len(real), differences=len(found))
    said.close()
    return ERROR_TABLE["E801"].exit_code if found else 0


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("CONFIG", "the recording cannot be read", where=str(path), found=error) from error


def ask_exchange(symbol: str) -> list[Recorded]:
    """Return what a fresh embedded exchange over the packaged bars answers to the same requests."""
    from trader_sdk.broker.credentials import Credentials
    from trader_sdk.broker.endpoint import local_endpoint
    from trader_sdk.broker.recording import asks
    from trader_sdk.broker.recording import record as ask
    from trader_sdk.data import load_bars
    from trader_sdk.exchange import AssetSetup, ExchangeSetup, LocalExchange

    bars = load_bars("vendored", symbol, "1Day")
    setup = ExchangeSetup(run_id="compare", assets=(AssetSetup.of(bars),), start_ns=int(bars.t[-5]))
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalExchange(Path(folder) / "venue", setup, {symbol: bars}) as exchange,
    ):
        credentials = Credentials.of(exchange.key, exchange.secret)
        return ask(local_endpoint(exchange), credentials, asks(symbol, _order_name()))
