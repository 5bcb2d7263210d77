"""The watchdog sees requests and the kill switch in a thread of its own: the loop may be the one that hangs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
OLDEST_REQUEST: Final = timedelta(minutes=10)
"""Age from which only a halt is still done: what a person wanted before a crash may be wrong after it."""
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
        self._unfinished: list[Pressed] = []
        self._faults: set[str] = set()
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
        """Look once, and act on what is there; whatever goes wrong is recorded, and the next look is taken."""
        for step in (self._look_for_file, self._work_presses, self._serve_requests):
            self._guarded(step)

    def _guarded(self, step: Callable[..., object], *given: object) -> None:
        try:
            step(*given)
        except Exception as error:  # noqa: BLE001 - a watchdog that dies of one bad file or reply watches nothing
            fault = f"{type(error).__name__}: {error}"
            if fault not in self._faults:  # the same trouble comes back five times a second
                self._faults.add(fault)
                self._switch.note_fault(fault)

    def _look_for_file(self) -> None:
        found = pressed_by_file(self._files, lambda word: word == self._suffix)
        if found is not None and not self._file_seen:
            self._presses.append(found)
        self._file_seen = found is not None

    def _work_presses(self) -> None:
        """Work on each press until nothing of ours is open, however often the venue has to be asked."""
        again, self._unfinished = self._unfinished, []
        for pressed in again:
            self._guarded(self._work, pressed)
        while self._presses:
            pressed = self._presses.popleft()
            asked = Request(command=Command.HALT, flatten=pressed.flatten, who=pressed.who, why=f"by {pressed.by}")
            self._guarded(self._hand_over, asked, Cause.KILL_SWITCH, _unheard)
            self._guarded(self._work, pressed)

    def _work(self, pressed: Pressed) -> Outcome:
        self._unfinished.append(pressed)
        outcome = self._switch.work(pressed)
        if outcome.is_done:
            self._unfinished.remove(pressed)
        return outcome

    def _serve_requests(self) -> None:
        for request in self._control.take():
            self._guarded(self._serve, request)

    def _serve(self, request: Request) -> None:
        def reply(answer: Answer) -> None:
            self._control.answer(request, answer)

        if request.command is not Command.HALT and datetime.now(UTC) - request.at > OLDEST_REQUEST:
            reply(Answer(False, f"asked at {request.at:%Y-%m-%d %H:%M}Z, which is too long ago: ask again"))
            return
        if request.command is not Command.HALT or request.symbol is not None:
            self._hand_over(request, Cause.OPERATOR, reply)
            return
        self._guarded(self._hand_over, request, Cause.OPERATOR, _unheard)
        outcome = self._work(Pressed("command", request.flatten, request.who, request.why))
        reply(Answer(outcome.is_done, _told(outcome), "HALTED"))


def _unheard(_: Answer) -> None:
    """Take the loop's answer where the switch gives its own."""


def _told(outcome: Outcome) -> str:
    canceled, left = len(set(outcome.canceled)), len(outcome.left)
    parts = [f"halted; {canceled} orders cancelled" if canceled else "halted; no order was open"]
    parts += [f"{left} still open"] if left else []
    parts += [f"{len(outcome.orders)} closing orders sent"] if outcome.orders else []
    parts += [f"trouble: {outcome.faults[-1]}"] if outcome.faults else []
    return "; ".join(parts)
