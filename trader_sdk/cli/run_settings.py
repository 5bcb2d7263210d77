"""What trader.toml adds to a run: a profile's keys and state folder, and whom to notify."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trader_sdk.cli.run_screen import RunScreen
    from trader_sdk.live.settings import NotifySettings


def settings_of(profile: str | None) -> tuple[Path | None, NotifySettings]:
    """Enter a profile, if one is named, and return its state folder and whom to notify.

    Raises:
        ConfigError: There is no such profile, or its keys cannot be read.
    """
    from trader_sdk.live.settings import config_file, enter_profile, read_settings

    path = config_file()
    return (None, read_settings(path).notify) if profile is None else enter_profile(profile, os.environ, path)


@contextmanager
def notified(screen: RunScreen, settings: NotifySettings) -> Iterator[None]:
    """Tell people what they must know of the run inside, and its end."""
    if settings.is_silent:
        yield
        return
    from trader_sdk.broker.credentials import credentials_from_env
    from trader_sdk.live.notify import Notifier

    credentials = credentials_from_env(os.environ)
    redact = credentials.redact if credentials is not None else str
    notifier = Notifier(settings, redact, lambda what: screen.note(f"  notify: {what}"))
    notifier.keep = lambda fields: screen.keep_note(fields)  # there is a trader only later
    notifier.start()
    screen.also = notifier.observe
    try:
        yield
    finally:
        notifier.close()
