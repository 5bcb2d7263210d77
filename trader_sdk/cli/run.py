"""``trader run``: arguments to one frozen configuration, a venue, a session, an exit code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trader_sdk.cli.one_thread import use_one_thread
from trader_sdk.cli.output import Output
from trader_sdk.cli.run_settings import notified, settings_of
from trader_sdk.contract.errors import EXIT_SIGINT, SdkError, UsageError
from trader_sdk.signals import signals_handled

if TYPE_CHECKING:
    from trader_sdk.cli.run_screen import RunScreen
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.live.board import Board
    from trader_sdk.live.config import LiveConfig
    from trader_sdk.live.trader import LiveTrader
    from trader_sdk.signing import PublicKey

_FROM_ENVIRONMENT: Final = "env"
_NOTHING_DONE: Final = {"bars": 0, "decisions": 0, "orders": 0, "fills": 0, "replay_from": None, "model_data_end": None}


def run(
    paper: Annotated[int, typer.Option(min=0, max=1, help="1: paper; 0: real money, with --confirm-live.")] = 1,
    strict_version: Annotated[
        int | None, typer.Option(min=0, max=1, help="1: refuse POLICY findings; the default for real money.")
    ] = None,
    archive: Annotated[str | None, typer.Option(help="Folder, name or URL; the packaged demo if omitted.")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated; every slot with a champion if omitted.")] = "",
    timeframe: Annotated[str | None, typer.Option(help="1Min ... 1Day; the only one there is if omitted.")] = None,
    broker: Annotated[str, typer.Option(help="auto, alpaca or local.")] = "auto",
    market: Annotated[
        str | None, typer.Option(help="What the embedded exchange replays: real-daily, simulated-1min or FILE.")
    ] = None,
    features: Annotated[str | None, typer.Option(help="package.module:Provider instead of ours.")] = None,
    follow: Annotated[str, typer.Option(help="champion or latest-approved, while it trades too.")] = "champion",
    shadow: Annotated[str, typer.Option(help="challengers: they decide beside the champion, on paper; none.")] = (
        "challengers"
    ),
    require: Annotated[str | None, typer.Option(help="all: one refused symbol ends the run.")] = None,
    accept_policy: Annotated[list[str] | None, typer.Option(help="Hash of a gate policy to trust; repeatable.")] = None,
    require_signature: Annotated[
        list[str] | None,
        typer.Option(help="Public key file that must have signed, or env (TRADER_PUBLIC_KEYS); repeatable."),
    ] = None,
    max_model_age: Annotated[
        int | None, typer.Option(min=1, help="Days; a model whose data ended earlier is stale (W706).")
    ] = None,
    pins: Annotated[Path | None, typer.Option(help="A trader-pins.toml: what people assert about files.")] = None,
    recalls: Annotated[Path | None, typer.Option(help="A recalls.toml: what must not run any more.")] = None,
    max_bars: Annotated[int | None, typer.Option(min=1, help="End after this many bars.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.0, help="Seconds a replayed bar takes.")] = None,
    dry_run: Annotated[int, typer.Option(min=0, max=1, help="1: decide and plan, send nothing.")] = 0,
    once: Annotated[int, typer.Option(min=0, max=1, help="1: end after the first bar.")] = 0,
    state_dir: Annotated[Path | None, typer.Option(help="Journals and run folders; the platform's if omitted.")] = None,
    confirm_live: Annotated[str | None, typer.Option(help="Last 4 of the real account's number.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Serve Prometheus metrics on 127.0.0.1; 0 takes a free port.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(envvar="TRADER_PROFILE", help="Keys and state folder of a profile of trader.toml.")
    ] = None,
    json: Annotated[int, typer.Option(min=0, max=1, help="1: JSON lines.")] = 0,
    json_file: Annotated[Path | None, typer.Option(help="Also write the events here.")] = None,
) -> int:
    """Trade approved models on paper, on Alpaca or on the embedded exchange."""
    use_one_thread()
    from trader_sdk.cli.run_screen import RunScreen
    from trader_sdk.live.config import LiveConfig, state_dir_of
    from trader_sdk.live.state import new_run_id

    output = Output(json_lines=json == 1, json_file=json_file, run_id=new_run_id())
    screen = RunScreen(output)
    home, settings = settings_of(profile)
    strict = paper == 0 if strict_version is None else strict_version == 1
    try:
        config = LiveConfig.of(
            paper=paper == 1,
            strict_version=strict,
            archive=archive,
            symbols=tuple(part.strip().upper() for part in symbols.split(",") if part.strip()),
            timeframe=timeframe,
            broker=broker,
            market=market,
            features=features,
            follow=follow,
            shadow=shadow,
            require_all=_requires_all(require, paper),
            max_bars=max_bars,
            speed_seconds=speed,
            dry_run=dry_run == 1,
            once=once == 1,
            state_dir=state_dir_of(state_dir or home),
            confirm_live=confirm_live,
            accept_policies=tuple(accept_policy or ()),
            require_signature=_accepted_keys(require_signature),
            max_model_age=max_model_age,
            pins=pins,
            recalls=recalls,
        )
        with notified(screen, settings):
            return _trade(config, screen, metrics_port)
    finally:
        screen.close()
        output.close()


def _requires_all(require: str | None, paper: int) -> bool:
    if require not in (None, "all", "any"):
        raise typer.BadParameter("--require takes all or any")
    return paper == 0 if require is None else require == "all"


def _accepted_keys(names: list[str] | None) -> tuple[PublicKey, ...] | None:
    from trader_sdk.signing import PUBLIC_KEYS_VARIABLE, public_keys_from_env, read_public_keys

    if not names:
        return None
    held = [public_keys_from_env(os.environ) if name == _FROM_ENVIRONMENT else read_public_keys(name) for name in names]
    keys = tuple(key for keys in held for key in keys)
    if not keys:
        raise UsageError("USAGE", "no key is accepted", where=f"--require-signature: {PUBLIC_KEYS_VARIABLE} is empty")
    return keys


@dataclass(frozen=True, slots=True)
class _Told:
    """Whose money, and where the facts go."""

    mode: TradingMode
    screen: RunScreen
    metrics_port: int | None


def _trade(config: LiveConfig, screen: RunScreen, metrics_port: int | None) -> int:
    from trader_sdk.broker.credentials import credentials_from_env
    from trader_sdk.live.config import resolve_mode

    has_keys = config.broker != "local" and credentials_from_env(os.environ) is not None
    mode = resolve_mode(config, has_keys=has_keys)
    told = _Told(mode, screen, metrics_port)
    screen.show("first_line", _first_line(config, mode))
    try:
        with _opened(config, told) as trader:
            exit_code = asyncio.run(_run(trader))
            screen.note(_report_line(trader.session.folder.path))
            return exit_code
    except SdkError as error:
        # A session that got as far as a journal has said how it ended; any other is said here.
        if not screen.has_said("run_finished"):
            screen.show("run_refused", {"error": error.to_dict()})
            ended = {**_NOTHING_DONE, "mode": mode.value, "exit_code": error.exit_code, "error": error.to_dict()}
            screen.show("run_finished", ended)
        raise
    except KeyboardInterrupt:
        if not screen.has_said("run_finished"):
            screen.show("run_finished", {**_NOTHING_DONE, "mode": mode.value, "exit_code": EXIT_SIGINT})
        raise


def _report_line(folder: Path) -> str:
    """Draw the run's report and return where it lies; failing at that changes nothing about the run."""
    from trader_sdk.cli.report import report_at_the_end

    try:
        page = report_at_the_end(folder)
    except (SdkError, OSError) as error:
        return f"  {'report':<12} not written: {error}"
    return f"  {'report':<12} {page or 'a long journal: `trader report` draws it'}"


def _first_line(config: LiveConfig, mode: TradingMode) -> dict[str, Any]:
    from importlib.metadata import version

    from trader_sdk.contract.modes import TradingMode

    is_local = mode is TradingMode.PAPER_LOCAL
    return {
        "sdk_version": version("trader-sdk"),
        "mode": mode.value,
        "strict": config.strict_version,
        "local": is_local,
    }


@contextmanager
def _opened(config: LiveConfig, told: _Told) -> Iterator[LiveTrader]:
    """Yield a trader on the venue that the mode names."""
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.live.telemetry import metrics_served

    is_local = told.mode is TradingMode.PAPER_LOCAL
    with _opened_local(config, told.screen) if is_local else _opened_alpaca(config, told.mode) as trader:
        trader.observe(told.screen.show)
        told.screen.keep_note = trader.keep_note
        told.screen.look = partial(_board, trader)
        told.screen.when_unread(partial(trader.request_stop, 0))
        with metrics_served(told.metrics_port, trader) as port:
            if port is not None:
                told.screen.show("metrics_served", {"port": port})
            yield trader


def _board(trader: LiveTrader) -> Board:
    from trader_sdk.live.board import board_of

    session = trader.session
    return board_of(session.journal.ledger, session.schedule, session.clock.now())


@contextmanager
def _opened_local(config: LiveConfig, screen: RunScreen) -> Iterator[LiveTrader]:
    from trader_sdk.cli.run_local import local_run
    from trader_sdk.live.trader import LiveTrader

    with local_run(config, screen.show) as local:
        yield LiveTrader(
            local.config,
            archive=local.selection,
            broker=local.broker,
            clock=local.make_clock,
            folder=local.folder,
            facts=local.facts,
        )


@contextmanager
def _opened_alpaca(config: LiveConfig, mode: TradingMode) -> Iterator[LiveTrader]:
    from trader_sdk.broker.alpaca import AlpacaBroker
    from trader_sdk.broker.credentials import credentials_from_env
    from trader_sdk.broker.endpoint import alpaca_live, alpaca_paper
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.live.trader import LiveTrader

    credentials = credentials_from_env(os.environ)
    assert credentials is not None  # the mode was resolved with keys
    assert config.archive is not None  # and with an archive
    broker = AlpacaBroker(alpaca_live() if mode is TradingMode.LIVE else alpaca_paper(), credentials)
    try:
        yield LiveTrader(config, archive=config.archive, broker=broker, facts={"archive": config.archive})
    finally:
        broker.close()


async def _run(trader: LiveTrader) -> int:
    with signals_handled(trader):
        async with trader:
            summary = await trader.run()
    return summary.exit_code
