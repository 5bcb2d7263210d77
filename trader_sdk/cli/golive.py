"""``trader golive``: the checklist before real money, and the record that arms it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.status import Json, JsonFile, StateDir
from trader_sdk.contract.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from trader_sdk.live.arming import Soak

_NOT_READY = 1


def golive(
    symbol: Annotated[str, typer.Argument(help="What is to trade real money.")],
    archive: Annotated[str, typer.Option(help="Folder, name or URL of the archive.")],
    arm: Annotated[int, typer.Option(min=0, max=1, help="1: write the record, if everything holds.")] = 0,
    days: Annotated[int, typer.Option(min=1, max=90, help="How long the record counts.")] = 30,
    confirm: Annotated[str | None, typer.Option(help="Last 4 of the real account's number; arming needs it.")] = None,
    state_dir: StateDir = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Say what is missing before a symbol may trade real money, and arm it; exit 1 while something is missing."""
    from trader_sdk.live.arming import checklist
    from trader_sdk.live.config import LiveConfig, state_dir_of
    from trader_sdk.live.report import gate_fields

    name = symbol.upper()
    config = LiveConfig.of(archive=archive, symbols=(name,), state_dir=state_dir_of(state_dir), strict_version=True)
    row, digest = _row(archive, config)
    soak = _soak(config.state_dir, name, digest)
    rows = checklist(gate_fields(row), soak)
    out = Output(json_lines=json == 1, json_file=json_file)
    shown = [(what, "ok" if ok else "MISSING", found) for what, ok, found in rows]
    out.table("golive", f"{name}: before real money", ("check", "state", "found"), shown)
    out.table("limits", "Limits of the account", ("limit", "value"), _limits(config))
    is_ready = all(ok for _, ok, _ in rows)
    if arm and is_ready:
        _arm(out, config, {name: digest}, days, confirm)
    elif arm:
        out.event("not_armed", "not armed: something is missing", symbol=name)
    out.close()
    return 0 if is_ready else _NOT_READY


def _row(archive: str, config: Any) -> tuple[Any, str]:
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.live.models import gate_table

    rows = gate_table(archive, config, TradingMode.LIVE)  # type: ignore[arg-type]  # a name or an address is taken too
    if not rows:
        raise UsageError("USAGE", "the archive has no slot of this symbol", found=config.symbols[0])
    row = next((row for row in rows if row.chosen), rows[0])
    return row, row.model.sha256 if row.model is not None else ""


def _soak(state_dir: Path, symbol: str, digest: str) -> Soak:
    from trader_sdk.live.arming import Soak, mode_folders, soak_of
    from trader_sdk.live.journal import JOURNAL_FILE, read_events

    folders = [folder for folder in mode_folders(state_dir) if (folder / JOURNAL_FILE).is_file()]
    soaks = [soak_of(read_events(folder), symbol, digest) for folder in folders] if digest else []
    return max(soaks, key=lambda soak: soak.days, default=Soak())


def _limits(config: Any) -> list[tuple[str, str]]:
    from dataclasses import asdict

    return [(name, str(value)) for name, value in asdict(config.risk).items()]


def _arm(out: Output, config: Any, models: dict[str, str], days: int, confirm: str | None) -> None:
    from datetime import timedelta

    from trader_sdk.live import arming
    from trader_sdk.live.control import user_name

    number = _account_number()
    if confirm != number[-4:]:
        raise ConfigError(
            "CONFIG", "arming needs a confirmation", where="--confirm", expected="the last 4 of the account's number"
        )
    known, now = arming.read_armed(config.state_dir), datetime.now(UTC)
    account, limits = arming.account_digest(number), arming.limits_digest(config.risk)
    others = known.models if known is not None and (known.account, known.limits) == (account, limits) else {}
    until = now + timedelta(days=days)
    record = arming.ArmingRecord(
        account=account, models={**others, **models}, limits=limits, until=until, who=user_name(), at=now
    )
    path = arming.write_armed(config.state_dir, record)
    names = ", ".join(sorted(record.models))
    out.event("armed", f"armed until {until:%Y-%m-%d}: {names} ({path})", until=until.isoformat(), symbols=names)


def _account_number() -> str:
    from trader_sdk.broker.alpaca import AlpacaBroker
    from trader_sdk.broker.credentials import credentials_from_env
    from trader_sdk.broker.endpoint import alpaca_live

    credentials = credentials_from_env(os.environ)
    if credentials is None:
        raise ConfigError("CONFIG", "arming reads the account's number, which needs the live API keys")
    broker = AlpacaBroker(alpaca_live(), credentials)
    try:
        return broker.account().number
    finally:
        broker.close()
