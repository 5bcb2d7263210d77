"""Record what the README's first command and the commands after it show on a terminal of 80 columns, as text.

``python scripts/record_terminal.py`` writes the recordings into ``docs/guide/looking.md``, each between its markers.
What differs from run to run (names, milliseconds, digests of names) is written with fixed characters, so that the page
changes only when what people see changes.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
COLUMNS: Final = 80
ROWS: Final = 40
PAGE: Final = ROOT / "docs" / "guide" / "looking.md"
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "run": ("python", "scripts/live_trader.py", "--paper", "1", "--strict-version", "1", "--max-bars", "12"),
    "status": ("trader", "status"),
    "why": ("trader", "why", "SIM", "--last", "4"),
    "fills": ("trader", "fills"),
    "replay": ("trader", "replay"),
}
"""By name, in order; all on the state folder of the first."""
_KEYS: Final = ("ALPACA_", "APCA_")
_CONTROL: Final = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|[\r\n]")
_VARYING: Final = (
    (re.compile(r"\d{8}T\d{6}-[0-9a-f]{4}"), "20260105T143000-c0de"),
    (re.compile(r"/\S*/paper-local"), "~/.local/state/trader-sdk/paper-local"),
    (re.compile(r"(?<=account \.\.\.)\w{4}"), "01AB"),
    (re.compile(r"(?<=ready in )\d+\.\d"), "0.3"),
    (re.compile(r" \d+ ms "), " 9 ms "),
    (re.compile(r"(?<=agree \()[0-9a-f]{8}"), "5eed5eed"),
    (re.compile(r"lt1-main-1-(\w+)-(\w+)-e0-[0-9a-f]{8}"), r"lt1-main-1-\1-\2-e0-5eed5eed"),
    (re.compile(r"(?<=execution )[0-9a-f-]{36}"), "4bce2312-3dc8-5d49-bd66-3a10037422af"),
)


class Screen:
    """The few controls of a terminal that the live table uses, on lines without end."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0

    def feed(self, text: str) -> None:
        """Take what a program wrote."""
        at = 0
        for control in _CONTROL.finditer(text):
            self._write(text[at : control.start()])
            self._obey(control)
            at = control.end()
        self._write(text[at:])

    def _write(self, text: str) -> None:
        if text:
            self.lines[self._row] += text

    def _obey(self, control: re.Match[str]) -> None:
        if control[0] == "\n":
            self._row += 1
            if self._row == len(self.lines):
                self.lines.append("")
        elif control[3] == "A":
            self._row -= int(control[2] or 1)
        elif control[3] == "K":
            self.lines[self._row] = ""

    @property
    def text(self) -> str:
        """Return what stands on the terminal."""
        return "\n".join(line.rstrip() for line in self.lines).strip("\n") + "\n"


def record() -> dict[str, str]:
    """Return the terminal after each command, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: settled(f"$ {' '.join(command)}\n{_shown(command, folder)}") for name, command in COMMANDS.items()
        }


def _shown(command: tuple[str, ...], folder: str) -> str:
    program = ["-c", "from trader_sdk.cli import main; main()"] if command[0] == "trader" else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_KEYS)}
    environment |= {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    argv = [sys.executable, *program, *command[1:], "--state-dir", folder]
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=theirs, stderr=theirs)  # noqa: S603 - our own
    os.close(theirs)
    screen = Screen()
    screen.feed(_everything(ours))
    process.wait()
    return screen.text


def _everything(terminal: int) -> str:
    held = b""
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:  # Linux's way of saying that the other side has closed
            chunk = b""
        if not chunk:
            os.close(terminal)
            return held.decode()
        held += chunk


def settled(text: str) -> str:
    """Return ``text`` with what differs from run to run written with fixed characters."""
    for pattern, fixed in _VARYING:
        text = pattern.sub(fixed, text)
    return text


def page(text: str, recordings: dict[str, str]) -> str:
    """Return a page with each recording between its markers."""
    for name, shown in recordings.items():
        block = f"<!-- recorded: {name} -->\n```text\n{shown}```\n<!-- end -->"
        text, count = re.subn(rf"<!-- recorded: {name} -->.*?<!-- end -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023 - used at once
        assert count == 1, name
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8"), record()), "utf-8")
