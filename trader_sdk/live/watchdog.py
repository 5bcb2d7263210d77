"""The watchdog sees requests and the kill switch in a thread of its own: the loop may be the one that hangs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from trader_sdk.live.control import (
    Answer,
    Command,
    ControlFolder,
    Pressed,
    Request,
    kill_files,
    pressed_by_file,
)
from trader_sdk.live.holds import Cause
from trader_sdk.live.kill_switch import KillSwitch, Outcome

LOOK_EVERY_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 15.0

Reply = Callable[[Answer], None]


class HandOver(Protocol):
    """Gives a request to the loop."""

    def __call__(self, request: Request, cause: Cause, reply: Reply) -> None:
        """Queue ``request``; ``reply`` is called from the loop's thread."""


class Watchdog:
    """Looks for requests and for the kill switch a few times a second.

    Args:
        state: Folder of the journal.
        root: The state folder above it.
        switch: Acts without the loop.
        hand_over: Gives the loop what is its to do.
        account_suffix: Last 4 characters of the account's number; closes positions by file only with them.
        presses: Presses of the kill switch, put there by any thread.
    """

    def __init__(
        self,
        state: Path,
        root: Path,
        switch: KillSwitch,
        hand_over: HandOver,
        account_suffix: str,
        presses: deque[Pressed],
    ) -> None:
        self._control, self._files = ControlFolder(state), kill_files(state, root)
        self._switch, self._hand_over, self._suffix = switch, hand_over, account_suffix
        self._stop = threading.Event()
        self._presses = presses
        self._file_seen = False
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking; a kill that is under way is waited for."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self._switch.close()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once, and act on what is there."""
        found = pressed_by_file(self._files, lambda word: word == self._suffix)
        if found is not None and not self._file_seen:
            self._presses.append(found)
        self._file_seen = found is not None
        while self._presses:
            self._kill(self._presses.popleft())
        for request in self._control.take():
            self._serve(request)

    def _serve(self, request: Request) -> None:
        def reply(answer: Answer) -> None:
            self._control.answer(request, answer)

        if request.command is not Command.HALT or request.symbol is not None:
            self._hand_over(request, Cause.OPERATOR, reply)
            return
        self._hand_over(request, Cause.OPERATOR, lambda _: None)
        outcome = self._switch.work(Pressed("command", request.flatten, request.who, request.why))
        reply(Answer(outcome.is_done, _told(outcome), "HALTED"))

    def _kill(self, pressed: Pressed) -> None:
        asked = Request(command=Command.HALT, flatten=pressed.flatten, who=pressed.who, why=f"by {pressed.by}")
        self._hand_over(asked, Cause.KILL_SWITCH, lambda _: None)
        self._switch.work(pressed)


def _told(outcome: Outcome) -> str:
    canceled, left = len(set(outcome.canceled)), len(outcome.left)
    parts = [f"halted; {canceled} orders cancelled" if canceled else "halted; no order was open"]
    parts += [f"{left} still open"] if left else []
    parts += [f"{len(outcome.orders)} closing orders sent"] if outcome.orders else []
    parts += [f"trouble: {outcome.faults[-1]}"] if outcome.faults else []
    return "; ".join(parts)
