"""``trader exchange``: the embedded paper exchange, served by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader_sdk.cli.exchange_record import compare, record
from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import UsageError

if TYPE_CHECKING:
    from trader_sdk.exchange.config import ExchangeSetup

app = typer.Typer(help="Serve the embedded paper exchange, and compare it with a real account.", no_args_is_help=True)
app.command()(record)
app.command()(compare)

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_TOKEN_LENGTH: Final = 16


@app.callback()
def _group() -> None:
    """Serve the embedded paper exchange."""


@app.command()
def serve(
    market: Annotated[
        str, typer.Option(help="real-daily, simulated-1min, or a source such as FILE.csv.")
    ] = "real-daily",
    symbols: Annotated[str, typer.Option(help="Comma-separated; all of the packaged market if omitted.")] = "",
    timeframe: Annotated[str, typer.Option(help="Of the bars of a file.")] = "1Day",
    bars: Annotated[int, typer.Option(min=1, help="How many of the newest bars are replayed.")] = 250,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Another address than loopback needs --token.")] = "127.0.0.1",
    token: Annotated[str, typer.Option(help="API secret for --host; at least 16 characters.")] = "",
    state_dir: Annotated[Path, typer.Option(help="Holds the run; a folder with a run is resumed.")] = Path("exchange"),
    speed: Annotated[float, typer.Option(min=0.0, help="Seconds a bar; 0 waits for /_control/ready.")] = 0.0,
    fault_plan: Annotated[Path | None, typer.Option(help="File that says what goes wrong, and when.")] = None,
    json: Annotated[int, typer.Option(min=0, max=1, help="1: JSON lines.")] = 0,
    json_file: Annotated[Path | None, typer.Option(help="Also write the events here.")] = None,
) -> int:
    """Serve Alpaca's protocol over replayed bars until Ctrl-C."""
    _check_address(host, token)
    from trader_sdk.exchange import server
    from trader_sdk.exchange.config import ExchangeSetup
    from trader_sdk.exchange.local import LocalExchange

    if not LocalExchange.is_in(state_dir):
        _prepare(state_dir, market, symbols, timeframe, bars, speed, token)
    setup = ExchangeSetup.load(state_dir)
    _check_token(setup, host, token)
    out = Output(json_lines=json == 1, json_file=json_file, run_id=setup.run_id)
    try:
        return server.serve(
            state_dir,
            host=host,
            port=port,
            fault_plan=fault_plan,
            on_ready=lambda at, bound: _announce(out, setup, at, bound),
        )
    finally:
        out.close()


def _check_address(host: str, token: str) -> None:
    if host not in _LOOPBACK and len(token) < _TOKEN_LENGTH:
        raise UsageError(
            "USAGE",
            "an address that others can reach needs a token",
            where="--host",
            expected=f"--token with at least {_TOKEN_LENGTH} characters",
            found=host,
        )


def _check_token(setup: ExchangeSetup, host: str, token: str) -> None:
    if host not in _LOOPBACK and setup.secret.get_secret_value() != token:
        raise UsageError("USAGE", "the run in this folder was set up with another token", where="--token")


def _prepare(folder: Path, market: str, symbols: str, timeframe: str, bars: int, speed: float, token: str) -> None:
    """Write a new run into the folder."""
    from pydantic import SecretStr

    from trader_sdk.contract.timeframe import parse_timeframe
    from trader_sdk.exchange.config import AssetSetup, ExchangeSetup
    from trader_sdk.exchange.local import prepare
    from trader_sdk.exchange.source import load_market

    wanted = [symbol for symbol in symbols.split(",") if symbol]
    series = load_market(market, wanted, timeframe=parse_timeframe(timeframe))
    setup = ExchangeSetup(
        run_id=folder.resolve().name[:64] or "exchange",
        assets=tuple(AssetSetup.of(one) for one in series.values()),
        start_ns=min(int(one.t[-min(bars, len(one))]) for one in series.values()),
        speed_seconds=speed or None,
    )
    prepare(folder, setup.model_copy(update={"secret": SecretStr(token)}) if token else setup, series)


def _announce(out: Output, setup: ExchangeSetup, host: str, port: int) -> None:
    symbols = [asset.symbol for asset in setup.assets]
    reach = "loopback only" if host in _LOOPBACK else "REACHABLE FROM OUTSIDE, guarded by the token"
    out.event(
        "exchange_ready",
        f"embedded exchange on http://{host}:{port} ({reach}): {', '.join(symbols)}; keys in exchange.json",
        host=host,
        port=port,
        symbols=symbols,
        is_loopback=host in _LOOPBACK,
    )
