"""Record a run on a terminal of 80 columns as text: ``python scripts/record_terminal.py [FILE]``.

The run is the README's first command on the packaged demo. What differs from run to run (names, times, milliseconds) is
written with fixed characters, so that the text changes only when what people see changes.
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
ARGUMENTS: Final = ("--paper", "1", "--strict-version", "1", "--max-bars", "30")
_KEYS: Final = ("ALPACA_", "APCA_")
_CONTROL: Final = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|[\r\n]")
_VARYING: Final = (
    (re.compile(r"\d{8}T\d{6}-[0-9a-f]{4}"), "20260105T143000-c0de"),
    (re.compile(r"/\S*/paper-local"), "~/.local/state/trader-sdk/paper-local"),
    (re.compile(r"(?<=account \.\.\.)\w{4}"), "01AB"),
    (re.compile(r"(?<=ready in )\d+\.\d"), "0.3"),
    (re.compile(r" \d+ ms "), " 9 ms "),
    (re.compile(r"(?<=agree \()[0-9a-f]{8}"), "5eed5eed"),
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


def record(arguments: tuple[str, ...] = ARGUMENTS) -> Screen:
    """Return the terminal after ``scripts/live_trader.py`` with ``arguments`` ended on it."""
    screen = Screen()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "scripts/live_trader.py", *arguments, "--state-dir", folder]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_KEYS)}
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment |= {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=theirs, stderr=theirs)  # noqa: S603
        os.close(theirs)
        screen.feed(_everything(ours))
        process.wait()
    return screen


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


def page(screen: Screen) -> str:
    """Return the recording as a page."""
    command = f"$ python scripts/live_trader.py {' '.join(ARGUMENTS)}"
    return settled(f"{command}\n{screen.text}")


if __name__ == "__main__":
    recorded = page(record())
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(recorded, "utf-8")
    else:
        sys.stdout.write(recorded)
