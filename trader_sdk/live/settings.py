"""``trader.toml``: whom to notify, and profiles, so that paper and live stand side by side without sharing anything."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trader_sdk.contract.errors import ConfigError
from trader_sdk.live.config import default_state_dir

CONFIG_FILE: Final = "trader.toml"
CONFIG_VARIABLE: Final = "TRADER_CONFIG"
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
EXAMPLE: Final = """\
# Flags come first, then the environment, then this file. No key belongs in here: it goes into a profile's env file.

[notify]
# webhook = "https://example.org/hook"      # gets a POST with JSON; "text" is for people
# command = "mail -s trader ops"            # gets the same JSON on standard input
# heartbeat_url = "https://example.org/up"  # asked once a minute while the trader lives

[profile.paper]
env_file = "paper.env"                      # ALPACA_API_KEY=... a line; readable by its owner only

[profile.live]
env_file = "live.env"
"""


class NotifySettings(BaseModel):
    """Whom to tell; addresses may hold a token and are never shown.

    Attributes:
        webhook: Gets a POST with JSON.
        command: Gets the same JSON on standard input; no shell.
        heartbeat_url: Asked once a minute while the loop lives.
        timeout_seconds: Bound of each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    webhook: str | None = Field(default=None, pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])")
    command: str | None = Field(default=None, min_length=1)
    heartbeat_url: str | None = Field(default=None, pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])")
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)

    @property
    def is_silent(self) -> bool:
        """Return whether nobody is told anything."""
        return not (self.webhook or self.command or self.heartbeat_url)


class Profile(BaseModel):
    """One account's settings.

    Attributes:
        env_file: Keys, a variable a line; beside ``trader.toml`` unless it is absolute.
        state_dir: Its own state folder; a folder of the profile's name when omitted.
        notify: Instead of the file's own ``[notify]``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    env_file: Path | None = None
    state_dir: Path | None = None
    notify: NotifySettings | None = None


class Settings(BaseModel):
    """What this package reads of ``trader.toml`` to run; other tables are others' business."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    notify: NotifySettings = NotifySettings()
    profile: dict[str, Profile] = Field(default_factory=dict)


def config_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file in force: ``TRADER_CONFIG``, the working directory's, or the user's; None where there is none."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser()
    places = (Path(CONFIG_FILE), user_config_path("trader-sdk", appauthor=False) / CONFIG_FILE)
    return next((path for path in places if path.is_file()), None)


def read_settings(path: Path | None) -> Settings:
    """Return the settings of a file, the defaults where there is none.

    Raises:
        ConfigError: It cannot be read, or a field is unknown or wrong; no value is in the message.
    """
    if path is None:
        return Settings()
    try:
        return Settings.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("CONFIG", "trader.toml cannot be read", where=str(path), found=error) from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError("CONFIG", "trader.toml is not valid", where=str(path), found=faults) from None


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of an env file.

    Raises:
        ConfigError: It cannot be read, others may read it, or a line is no ``NAME=value``; no value is shown.
    """
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                "CONFIG", "others may read the keys", where=str(path), expected="mode 0600", remedy=f"chmod 600 {path}"
            )
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("CONFIG", "the env file cannot be read", where=str(path), found=error) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, sign, value = text.partition("=")
        if not sign or not name.strip().isidentifier():
            raise ConfigError("CONFIG", "not a line NAME=value", where=f"{path}, line {number}")
        found[name.strip()] = value.strip().strip("\"'")
    return found


def enter_profile(name: str, environ: MutableMapping[str, str], path: Path | None) -> tuple[Path, NotifySettings]:
    """Put a profile's keys into the environment and return its state folder and whom it notifies.

    Keys that were there are taken away first: a profile never trades with another one's account.

    Raises:
        ConfigError: There is no such profile, or its env file cannot be used.
    """
    from trader_sdk.broker.credentials import KEY_NAMES

    settings = read_settings(path)
    if path is None or name not in settings.profile:
        known = ", ".join(sorted(settings.profile)) or "none"
        raise ConfigError("CONFIG", "no such profile", where=str(path or CONFIG_FILE), expected=known, found=name)
    profile = settings.profile[name]
    for variable in {variable for pair in KEY_NAMES for variable in pair}:
        environ.pop(variable, None)
    if profile.env_file is not None:
        environ.update(read_env_file(path.parent / profile.env_file.expanduser()))
    state = profile.state_dir or default_state_dir() / "profiles" / name
    return state.expanduser(), profile.notify or settings.notify


def shown(settings: Settings) -> dict[str, Any]:
    """Return settings for a person's eyes: addresses and commands may hold tokens and are cut to what names them."""
    document = settings.model_dump(mode="json", exclude_none=True)
    for table in [document["notify"], *(profile.get("notify", {}) for profile in document["profile"].values())]:
        for field in ("webhook", "heartbeat_url"):
            if field in table:
                table[field] = origin_of(table[field])
        if "command" in table:
            table["command"] = f"{table['command'].split()[0]} ..."
    return document


def origin_of(url: str) -> str:
    """Return scheme and host of an address, without what may be a secret.

    Example:
        >>> origin_of("https://user:pw@hooks.example.org/T0/B1?token=x")
        'https://hooks.example.org/***'
    """
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/***"
