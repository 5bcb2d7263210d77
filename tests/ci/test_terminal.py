"""`trader compat check` and `trader inspect` where people and scripts use them: narrow terminals, pipes, Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "compat" / "golden"
GOOD, BAD = GOLDEN / "2.7.0" / "checkpoint.pt", GOLDEN / "legacy" / "swapped-actions" / "checkpoint.pt"
PYTHON = [sys.executable, "-m", "trader_sdk.cli"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="terminals and signals of POSIX")


@pytest.mark.parametrize("command", [("compat", "check"), ("inspect",)], ids=" ".join)
@pytest.mark.parametrize(("file", "code"), [(GOOD, 0), (BAD, 4)], ids=["good", "bad"])
def test_reader_that_goes_away_changes_no_verdict(command: tuple[str, ...], file: Path, code: int) -> None:
    """`| head` closes the pipe: no traceback, and the exit code is still the files'."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PYTHON, *command, str(file)], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize("command", [("compat", "check"), ("inspect",), ("compat", "matrix")], ids=" ".join)
def test_output_fits_eighty_columns(command: tuple[str, ...]) -> None:
    """On a terminal tables are folded to its width; what is no table may be wrapped by the terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    files = [] if command[-1] == "matrix" else [str(GOOD)]
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen([*PYTHON, *command, *files], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    said = b""
    try:
        while chunk := os.read(master, 65536):
            said += chunk
    except OSError:  # Linux says EIO when the other side of a terminal is closed
        pass
    os.close(master)
    assert process.wait(timeout=60) == 0
    lines = said.decode("utf-8").replace("\r\n", "\n").splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80


def test_interrupt_ends_a_download_with_130(tmp_path: Path) -> None:
    """Ctrl-C while a server is silent: exit 130, no traceback, no half a file."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.pt"
        process = subprocess.Popen(
            [*PYTHON, "compat", "check", url, "--cache", str(tmp_path / "cache")],
            env={**os.environ, "NO_PROXY": "127.0.0.1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        connection, _ = listener.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
