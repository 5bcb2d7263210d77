"""The venue's calendar, kept with a checksum for the day on which it cannot be read; a market unknown is closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.broker.port import SessionView
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.live.events import parse_time, rfc3339

CALENDAR_FILE: Final = "calendar.json"


def covers(sessions: Sequence[SessionView], at: datetime) -> bool:
    """Return whether a calendar says what ``at`` is: it begins before and goes on after it."""
    return bool(sessions) and sessions[0].open_at <= at <= sessions[-1].close_at


def keep_calendar(folder: Path, sessions: Sequence[SessionView]) -> None:
    """Write a calendar beside the journals, whole or not at all."""
    rows = [_row(session) for session in sessions]
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{CALENDAR_FILE}.new"
    written.write_text(json.dumps({"schema": 1, "sessions": rows, "sha256": sha256_of(rows)}, indent=1), "utf-8")
    written.replace(folder / CALENDAR_FILE)


def kept_calendar(folder: Path) -> tuple[SessionView, ...]:
    """Return the calendar that was kept, empty where there is none, or one that is damaged."""
    try:
        document = json.loads((folder / CALENDAR_FILE).read_text("utf-8"))
        rows = document["sessions"]
        if document["sha256"] != sha256_of(rows):
            return ()
        return tuple(_session(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError):
        return ()  # whatever is wrong with it, it says nothing


def _row(session: SessionView) -> dict[str, str]:
    opens, closes = rfc3339(session.open_at), rfc3339(session.close_at)
    return {"day": session.day.isoformat(), "open": opens, "close": closes}


def _session(row: dict[str, Any]) -> SessionView:
    return SessionView(date.fromisoformat(row["day"]), parse_time(row["open"]), parse_time(row["close"]))
