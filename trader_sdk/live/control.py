"""Requests to a trader, as files in its state folder that only their owner can read or write.

``control/<id>.json`` asks, ``control/<id>.answer.json`` answers; both appear whole or not at all. A file of somebody
else, or one that others could have written, is not obeyed. ``KILL``, beside the journal or in the state folder above
it, presses the kill switch for as long as it lies there.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trader_sdk.contract.errors import StorageError

CONTROL_FOLDER: Final = "control"
KILL_FILE: Final = "KILL"
_ANSWER: Final = ".answer.json"
_LONGEST_REQUEST: Final = 16_384
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_POLL_SECONDS: Final = 0.05


class Command(StrEnum):
    """What a person may ask of a trader."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    DISABLE = "disable"
    ENABLE = "enable"


class Request(BaseModel):
    """One request.

    Attributes:
        command: What is asked.
        symbol: Whose; None for the whole account.
        flatten: With ``halt``: also close the positions.
        sha256: With ``disable`` and ``enable``: the model, or the first eight and more letters of its digest.
        who, why: Kept in the journal.
        id: File name.
        at: When it was asked, aware UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(default=1, alias="schema")
    command: Command
    symbol: str | None = Field(default=None, pattern=r"^[A-Z0-9][A-Z0-9./-]{0,19}$")
    flatten: bool = False
    sha256: str | None = Field(default=None, pattern=r"^(sha256:)?[0-9a-f]{8,64}$")
    who: str = Field(default_factory=lambda: user_name(), max_length=80)
    why: str = Field(default="", max_length=400)
    id: str = Field(default_factory=lambda: f"{time.time_ns()}-{secrets.token_hex(4)}", pattern=r"^[0-9]+-[0-9a-f]{8}$")
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    Attributes:
        ok: Whether it was done.
        text: For a person.
        state: What the account, or the symbol, may do now.
        is_held: Whether it was refused because a cause still holds.
    """

    ok: bool
    text: str
    state: str | None = None
    is_held: bool = False


def user_name() -> str:
    """Return who is asking, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, as in some containers
        return f"uid {os.getuid()}"


def write_private(path: Path, document: Any) -> None:
    """Write JSON that only the owner can read, so that a reader sees nothing or all of it; durable on return."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, json.dumps(document, indent=1, default=str).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(path)


def read_private(path: Path) -> bytes | None:
    """Return what a file holds, None if it is not ours alone to write, or no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & _OTHERS
        return os.read(descriptor, _LONGEST_REQUEST) if is_ours else None
    finally:
        os.close(descriptor)


class ControlFolder:
    """The requests to one trader.

    Args:
        state: The folder of its journal.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / CONTROL_FOLDER
        self._given: set[str] = set()

    def ask(self, request: Request) -> None:
        """Put a request down.

        Raises:
            StorageError: The folder cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self._folder / f"{request.id}.json", request.model_dump(mode="json", by_alias=True))
        except OSError as error:
            raise StorageError(
                "STORAGE", "the request cannot be put down", where=str(self._folder), found=error
            ) from error

    def take(self) -> list[Request]:
        """Return the requests that wait, oldest first; each is given once, what is no request is set aside."""
        if not self._folder.is_dir():
            return []
        waiting = [p for p in self._folder.glob("[0-9]*.json") if not p.name.endswith(_ANSWER)]
        taken = []
        for path in sorted(path for path in waiting if path.name not in self._given):
            request = _parsed(path)
            self._given.add(path.name)
            with suppress(OSError):  # a folder that cannot be written any more must not keep a halt from being obeyed
                path.replace(path.with_suffix(".taken" if request is not None else ".refused"))
            taken += [request] if request is not None else []
        return taken

    def answer(self, request: Request, answer: Answer) -> None:
        """Say what came of a request; nobody may be waiting, and a full disk keeps nobody from being obeyed."""
        said = asdict(answer)
        with suppress(OSError):
            write_private(self._folder / f"{request.id}{_ANSWER}", said)
            (self._folder / f"{request.id}.taken").unlink(missing_ok=True)

    def wait(self, request: Request, seconds: float) -> Answer | None:
        """Return the answer to a request, None if there is none within ``seconds``."""
        path, until = self._folder / f"{request.id}{_ANSWER}", time.monotonic() + seconds
        while time.monotonic() < until:
            if (said := read_private(path)) is not None:
                path.unlink(missing_ok=True)
                return Answer(**json.loads(said))
            time.sleep(_POLL_SECONDS)
        return None


def _parsed(path: Path) -> Request | None:
    text = read_private(path)
    try:
        return None if text is None else Request.model_validate_json(text)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class Pressed:
    """Somebody pressed the kill switch.

    Attributes:
        by: How: a file, a signal, a command.
        flatten: Whether own positions are to be closed too.
        who: Who, as far as it is known.
        why: In words.
    """

    by: str
    flatten: bool = False
    who: str = "unknown"
    why: str = ""


def kill_files(state: Path, root: Path) -> tuple[Path, ...]:
    """Return where a ``KILL`` file presses the switch of the trader in ``state``: beside its journal, or above."""
    return (state / KILL_FILE, root / KILL_FILE)


def pressed_by_file(paths: tuple[Path, ...], may_flatten: Callable[[str], bool]) -> Pressed | None:
    """Return what a ``KILL`` file says; whatever is in it, its presence is enough.

    Args:
        paths: Where it may lie.
        may_flatten: Judges the word after ``flatten``, the last 4 characters of the account's number.
    """
    for path in paths:
        if os.path.lexists(path):
            words = (read_private(path) or b"").decode("utf-8", "replace").split()
            flatten = len(words) > 1 and words[0] == "flatten" and may_flatten(words[1])
            return Pressed(f"file {path.name}", flatten=flatten)
    return None
