"""Who is told what: once, without secrets, and whatever becomes of the receivers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from trader_sdk.live.notify import Note, Notifier, note_of
from trader_sdk.live.settings import NotifySettings


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    got: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        """Keep a note."""
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if self.path.startswith("/fail") else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:  # type: ignore[override]  # the base class names its arguments
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """Yield the address of a receiver on loopback."""
    Receiver.got = []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_people_are_told_once_and_without_secrets(receiver: str) -> None:
    """The same news within ten minutes is one note; a planted key is cut; a quiet end is no news."""
    notifier = Notifier(NotifySettings(webhook=f"{receiver}/hook"), lambda text: text.replace("PLANTED", "***"))
    notifier.start()
    for _ in range(3):
        notifier.observe("state_changed", {"state": "HALTED", "cause": "AUTH: PLANTED", "symbol": None})
    notifier.observe("run_finished", {"exit_code": 0})
    notifier.observe("bar_finished", {"equity": "1"})
    notifier.observe("run_finished", {"exit_code": 9})
    notifier.close()
    texts = [note["text"] for note in Receiver.got]
    assert texts == ["account: HALTED: AUTH: ***", "the trader ended with exit code 9"]


def test_receiver_that_fails_is_told_of_without_its_address(receiver: str) -> None:
    """HTTP 500, nobody there, a command that is none: each is named by its host alone."""
    note = Note("test", "k", "text")
    said = Notifier(NotifySettings(webhook=f"{receiver}/fail?token=T0KEN", command="/does/not/exist T0KEN")).send(note)
    gone = Notifier(NotifySettings(webhook="http://127.0.0.1:9/T0KEN")).send(note)
    assert "HTTP 500" in said["webhook"]
    assert "FileNotFoundError" in said["command"]
    assert "T0KEN" not in json.dumps([said, gone])
    assert note_of("order_updated", {}) is None


def test_notes_are_kept_with_what_came_of_them(receiver: str) -> None:
    """One that was sent and one that nobody took: both are given to the journal, redacted."""
    kept: list[Any] = []
    for path in ("hook", "fail"):
        notifier = Notifier(NotifySettings(webhook=f"{receiver}/{path}"), lambda text: text.replace("PLANTED", "***"))
        notifier.keep = kept.append
        notifier.start()
        notifier.observe("state_changed", {"state": "HALTED", "cause": "AUTH: PLANTED", "symbol": None})
        notifier.close()
    assert [note["text"] for note in kept] == ["account: HALTED: AUTH: ***"] * 2
    assert [note["receivers"]["webhook"][-8:] for note in kept] == ["ok", "HTTP 500"]
