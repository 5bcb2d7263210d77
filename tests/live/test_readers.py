"""Who reads what a command says may go away; the command does what it does, and ends as it would have."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.cli.output import Output
from trader_sdk.cli.run_screen import RunScreen
from trader_sdk.contract.errors import StorageError
from trader_sdk.live.journal import is_locked, lock_folder


class Gone(io.StringIO):
    """A stream that takes a few lines and then says why it takes no more."""

    def __init__(self, lines: int, number: int) -> None:
        super().__init__()
        self._left, self._number = lines, number

    def write(self, text: str) -> int:
        """Keep a line while there are any left."""
        if self._left == 0:
            raise OSError(self._number, os.strerror(self._number))
        self._left -= 1
        return super().write(text)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO], ids=["pipe", "terminal"])
def test_output_goes_on_alone_when_its_reader_is_gone(number: int, tmp_path: Path) -> None:
    """Lines and tables go nowhere, who asked is told once, the file is written whole."""
    stream, told = Gone(1, number), list[str]()
    out = Output(json_file=tmp_path / "all.json", stream=stream)
    out.when_alone(lambda: told.append("gone"))
    out.event("first", "one")
    out.event("second", "two")
    out.table("third", "Three", ("a",), [("b",)])
    out.close()
    assert stream.getvalue() == "one\n"
    assert told == ["gone"]
    assert (tmp_path / "all.json").read_text().count('"event"') == 3


def test_run_stops_whenever_its_reader_went_away() -> None:
    """Before there is a trader that could be stopped, and while it trades."""
    stopped: list[str] = []
    for lines in (0, 1):
        screen = RunScreen(Output(stream=Gone(lines, errno.EPIPE)))
        screen.show("ready", {"seconds": 1.0})
        screen.when_unread(lambda lines=lines: stopped.append(f"after {lines}"))  # type: ignore[misc]  # a default of a lambda
        screen.show("ready", {"seconds": 1.0})
    assert stopped == ["after 0", "after 1"]


def test_run_that_cannot_say_anything_is_a_storage_failure() -> None:
    """A log on a full disk is no reader that went away: the run says by its exit code what is wrong."""
    screen = RunScreen(Output(stream=Gone(0, errno.ENOSPC)))
    with pytest.raises(StorageError) as caught:
        screen.show("ready", {"seconds": 1.0})
    assert (caught.value.code, caught.value.exit_code) == ("STORAGE", 8)


def test_command_keeps_its_exit_code_without_streams(ended_run: tuple[Path, Any], tmp_path: Path) -> None:
    """All streams closed, as some starters of services leave them: exit 0, and a named file gets everything."""
    said = tmp_path / "said.json"
    command = ["status", "--state-dir", str(ended_run[0]), "--json-file", str(said)]
    argv = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "trader_sdk", *command]
    completed = subprocess.run(argv, capture_output=True, timeout=120, check=False)
    assert completed.returncode == 0
    assert '"is_finished": true' in said.read_text()


def test_looking_neither_writes_nor_is_taken_for_a_trader(tmp_path: Path) -> None:
    """A folder without a lock file stays as it is; one that somebody looks at is not running, one that is held is."""
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    lock_folder(tmp_path).release()
    with (tmp_path / "journal.lock").open("rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        assert not is_locked(tmp_path)
    held = lock_folder(tmp_path)
    assert is_locked(tmp_path)
    held.release()
