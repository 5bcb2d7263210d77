"""Telling people: a thread of its own that no slow receiver can block, told once of each thing, without secrets."""

from __future__ import annotations

import json
import queue
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from trader_sdk.live.settings import NotifySettings, origin_of

DEDUPE_SECONDS: Final = 600.0
HEARTBEAT_SECONDS: Final = 60.0
_LONGEST_QUEUE: Final = 200
_QUIET_ENDS: Final = (0, 130)
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that people are told; the same ``key`` within ten minutes is not told again."""

    event: str
    key: str
    text: str


def note_of(name: str, fields: Fields) -> Note | None:
    """Return what people are told of an event, None for what only the journal keeps."""
    match name:
        case "state_changed":
            scope = fields.get("symbol") or "account"
            return Note(
                name, f"{scope} {fields['state']} {fields['cause']}", f"{scope}: {fields['state']}: {fields['cause']}"
            )
        case "kill_switch":
            return Note(name, str(fields["by"]), f"kill switch by {fields['by']}: {len(fields['canceled'])} cancelled")
        case "drift_found":
            text = f"drift in {fields['symbol']}: expected {fields['expected']}, the venue has {fields['found']}"
            return Note(name, text, text)
        case "bar_missed" | "feed_degraded" | "window_rebuilt" | "bar_quarantined":
            return Note(name, f"{name} {fields.get('symbol', '')}", f"{name} {_short(fields)}")
        case "model_swapped" | "swap_failed":
            return Note(name, f"{name} {fields.get('symbol', '')} {fields.get('to', '')}", f"{name} {_short(fields)}")
        case "run_finished" if fields["exit_code"] not in _QUIET_ENDS:
            return Note(name, str(fields["exit_code"]), f"the trader ended with exit code {fields['exit_code']}")
    return None


def _short(fields: Fields) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items() if isinstance(value, str | int | float))[:300]


class Notifier:
    """Sends notes and heartbeats.

    Args:
        settings: Whom to tell.
        redact: Takes secrets out of a text.
        tell_failure: Told once of each receiver that cannot be reached.

    Attributes:
        keep: Takes each note that was sent and what came of it; called in the notifier's thread.
    """

    def __init__(
        self,
        settings: NotifySettings,
        redact: Callable[[str], str] = lambda text: text,
        tell_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings, self._redact, self._tell_failure = settings, redact, tell_failure
        self.keep: Callable[[Fields], None] = lambda _: None
        self._queue: queue.Queue[Note | None] = queue.Queue(_LONGEST_QUEUE)
        self._told: dict[str, float] = {}
        self._failed: set[str] = set()
        self._alive_at = self._beaten_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def observe(self, name: str, fields: Fields) -> None:
        """Take an event of the trader; returns at once."""
        self._alive_at = time.monotonic()
        note = note_of(name, fields)
        if note is not None and not self._is_known(note):
            try:
                self._queue.put_nowait(note)
            except queue.Full:
                self._tell_failure("notes are lost: the receivers are too slow")

    def close(self, seconds: float = 10.0) -> None:
        """Send what waits, for ``seconds`` at most."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(seconds)

    def send(self, note: Note) -> dict[str, str]:
        """Send one note now and return what came of it by receiver: ``ok``, or what went wrong."""
        body = {"event": note.event, "text": self._redact(note.text), "source": "trader-sdk"}
        outcomes: dict[str, str] = {}
        if self._settings.webhook:
            outcomes["webhook"] = self._post(self._settings.webhook, body)
        if self._settings.command:
            outcomes["command"] = self._call(self._settings.command, body)
        return outcomes

    def beat(self) -> str:
        """Ask the heartbeat's address and return what came of it."""
        assert self._settings.heartbeat_url is not None
        return self._ask("get", self._settings.heartbeat_url)

    def _is_known(self, note: Note) -> bool:
        now, key = time.monotonic(), f"{note.event} {note.key}"
        is_known = now - self._told.get(key, float("-inf")) < DEDUPE_SECONDS
        if not is_known:
            self._told[key] = now
        return is_known

    def _run(self) -> None:
        while True:
            try:
                note = self._queue.get(timeout=1.0)
            except queue.Empty:
                self._maybe_beat()
                continue
            if note is None:
                return
            outcomes = self.send(note)
            self.keep({"about": note.event, "text": self._redact(note.text), "receivers": outcomes})
            for receiver, outcome in outcomes.items():
                self._judge(receiver, outcome)
            self._maybe_beat()

    def _maybe_beat(self) -> None:
        """Show that the loop lives: not that this thread does."""
        now = time.monotonic()
        lives = self._alive_at > self._beaten_at
        if self._settings.heartbeat_url and lives and now - self._beaten_at >= HEARTBEAT_SECONDS:
            self._beaten_at = now
            self._judge("heartbeat_url", self.beat())

    def _judge(self, receiver: str, outcome: str) -> None:
        if outcome == "ok":
            self._failed.discard(receiver)
        elif receiver not in self._failed:
            self._failed.add(receiver)
            self._tell_failure(f"{receiver}: {outcome}")

    def _post(self, url: str, body: Mapping[str, str]) -> str:
        return self._ask("post", url, json=body)

    def _ask(self, method: str, url: str, **given: Any) -> str:
        try:
            reply = requests.request(
                method, url, timeout=self._settings.timeout_seconds, allow_redirects=False, **given
            )
        except requests.RequestException as error:
            # The error's own text holds the address, and with it the token.
            return f"{origin_of(url)}: {type(error).__name__}"
        return "ok" if reply.status_code < 300 else f"{origin_of(url)}: HTTP {reply.status_code}"

    def _call(self, command: str, body: Mapping[str, str]) -> str:
        argv = shlex.split(command)
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command, no shell
                argv,
                input=json.dumps(body),
                text=True,
                capture_output=True,
                timeout=self._settings.timeout_seconds,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{argv[0]}: {type(error).__name__}"
        return "ok" if done.returncode == 0 else f"{argv[0]}: exit {done.returncode}"
