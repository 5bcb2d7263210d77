"""``trader doctor``: is everything there that a run needs; each check is one line, and says what it looked at."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.profile import Profile
from trader_sdk.cli.status import Json, JsonFile, StateDir
from trader_sdk.contract.errors import SdkError

_LEAST_FREE_BYTES: Final = 200 * 1024 * 1024
_MOST_SKEW_SECONDS: Final = 2.0
_NOT_WELL: Final = 1


@dataclass(frozen=True, slots=True)
class Check:
    """One check: ``ok``, ``warn`` or ``FAIL``, and what was found."""

    name: str
    state: str
    found: str


def doctor(
    archive: Annotated[str | None, typer.Option(help="Also check this archive.")] = None,
    paper: Annotated[int, typer.Option(min=0, max=1, help="Which of Alpaca's houses is asked with the keys.")] = 1,
    profile: Profile = None,
    notify_test: Annotated[int, typer.Option(min=0, max=1, help="1: send a note to everybody who is told.")] = 0,
    state_dir: StateDir = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Check environment, keys, venue, clock, archive, state folder, journals and notifications; exit 1 on a FAIL."""
    from trader_sdk.live.config import state_dir_of
    from trader_sdk.live.settings import NotifySettings, config_file, enter_profile, read_settings

    settings = NotifySettings()
    checks = [_python()]
    folder = state_dir_of(state_dir)
    try:
        path = config_file()
        settings = read_settings(path).notify
        if profile is not None:
            entered, settings = enter_profile(profile, os.environ, path)
            folder = state_dir or entered
        checks.append(Check("settings", "ok", str(path or "no trader.toml: defaults")))
    except SdkError as error:
        checks.append(Check("settings", "FAIL", str(error)))
    checks += _guarded("venue", lambda: _venue(is_paper=paper == 1))
    checks += _guarded("archive", lambda: _archive(archive))
    checks += [_state_folder(folder), _disk(folder)]
    checks += _guarded("journal", lambda: _journals(folder))
    if notify_test:
        checks += _notify(settings)
    out = Output(json_lines=json == 1, json_file=json_file)
    rows = [(check.name, check.state, check.found) for check in checks]
    out.table("doctor", "Doctor", ("check", "state", "found"), rows)
    out.close()
    return _NOT_WELL if any(check.state == "FAIL" for check in checks) else 0


def _guarded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    try:
        return look()
    except SdkError as error:
        return [Check(name, "FAIL", str(error))]


def _python() -> Check:
    from importlib.metadata import version

    return Check("environment", "ok", f"trader-sdk {version('trader-sdk')}, Python {sys.version.split()[0]}")


def _venue(*, is_paper: bool) -> list[Check]:
    from trader_sdk.broker.credentials import credentials_from_env

    credentials = credentials_from_env(os.environ)
    if credentials is None:
        return [Check("keys", "ok" if is_paper else "FAIL", "none: runs trade on the embedded exchange")]
    from trader_sdk.broker.alpaca import AlpacaBroker
    from trader_sdk.broker.endpoint import alpaca_live, alpaca_paper

    endpoint = alpaca_paper() if is_paper else alpaca_live()
    broker = AlpacaBroker(endpoint, credentials)
    try:
        clock, account = broker.clock(), broker.account()
    finally:
        broker.close()
    skew = (clock.at - datetime.now(UTC)).total_seconds()
    state = "ok" if abs(skew) <= _MOST_SKEW_SECONDS else "warn"
    blocks = ", ".join(account.blocks) or account.status
    return [
        Check("keys", "ok", "present, accepted"),
        Check("venue", "ok", f"{endpoint.rest_url}: clock and account read; orders and streams were not tried"),
        Check("clock", state, f"the venue is {skew:+.1f} s from here"),
        Check("account", "FAIL" if account.trading_blocked else "ok", f"...{account.number[-4:]} {blocks}"),
    ]


def _archive(archive: str | None) -> list[Check]:
    if archive is None:
        return [Check("archive", "ok", "not asked: --archive; local runs have the demo's")]
    from trader_sdk.approved import deployable

    rows = deployable(archive)
    chosen = sum(row.chosen for row in rows)
    return [Check("archive", "ok" if chosen else "FAIL", f"{chosen} of {len(rows)} models would trade on paper")]


def _state_folder(folder: Path) -> Check:
    place = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("state folder", "FAIL", f"{place} cannot be written")
    is_open = folder.exists() and folder.stat().st_mode & 0o022
    return Check("state folder", "warn" if is_open else "ok", f"{folder}{': others may write it' if is_open else ''}")


def _disk(folder: Path) -> Check:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Check("disk", "ok" if free >= _LEAST_FREE_BYTES else "FAIL", f"{free // 1024**2} MiB free")


def _journals(folder: Path) -> list[Check]:
    from trader_sdk.live.recovery import examine
    from trader_sdk.live.state import find_run

    try:
        newest = find_run(folder, None)
    except SdkError:
        return [Check("journal", "ok", "none yet")]
    found = examine(newest)
    what = "whole" if found.is_whole else "its end is not true" if found.is_torn else "damaged in the middle"
    return [Check("journal", "ok" if found.is_whole else "FAIL", f"{newest.name}: {found.intact} events, {what}")]


def _notify(settings: object) -> list[Check]:
    from trader_sdk.live.notify import Note, Notifier
    from trader_sdk.live.settings import NotifySettings

    assert isinstance(settings, NotifySettings)
    if settings.is_silent:
        return [Check("notify", "warn", "nobody is told: [notify] in trader.toml is empty")]
    notifier = Notifier(settings)
    outcomes = notifier.send(Note("test", "doctor", "trader doctor: this is a test"))
    if settings.heartbeat_url:
        outcomes["heartbeat_url"] = notifier.beat()
    return [Check(f"notify {name}", "ok" if said == "ok" else "FAIL", said) for name, said in outcomes.items()]
