"""What signals do to a run: SIGINT, SIGTERM and SIGHUP end it in good order, SIGUSR1 presses the kill switch.

Imports nothing heavy: it is used before anything else is imported.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from trader_sdk.contract.errors import EXIT_SIGINT

if TYPE_CHECKING:
    from trader_sdk.live.control import Pressed

_ENDS: Final[Mapping[str, int]] = {"SIGINT": EXIT_SIGINT, "SIGTERM": 0, "SIGHUP": 0}
_KILL: Final = "SIGUSR1"
_early_presses: list[int] = []
"""Presses of the kill switch before there was a trader."""


class Stoppable(Protocol):
    """What signals need of a trader."""

    def kill(self, pressed: Pressed) -> None:
        """Press the kill switch; callable from any thread."""

    def request_stop(self, exit_code: int = 0) -> None:
        """End the run in good order."""


def keep_kill_signal() -> None:
    """Keep SIGUSR1 until there is a trader; called before anything heavy is imported, as it would end the process."""
    if hasattr(signal, _KILL):
        signal.signal(signal.SIGUSR1, lambda number, _: _early_presses.append(number))


@contextmanager
def signals_handled(trader: Stoppable) -> Iterator[None]:
    """Let signals stop ``trader``; entered in the running event loop of the main thread.

    The kernel may give a signal to any thread, and Python runs its handlers in the main thread alone, which may be the
    one that hangs. Its wake-up channel is written at once, whichever thread it was: a thread of our own listens there.
    """
    numbers = {getattr(signal, name): name for name in (*_ENDS, _KILL) if hasattr(signal, name)}
    loop = asyncio.get_running_loop()
    hears, tells = socket.socketpair()
    tells.setblocking(False)  # the interpreter demands it
    previous_channel = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(hears, numbers, loop, trader), name="signals", daemon=True).start()
    previous = {number: signal.signal(number, _heard_elsewhere) for number in numbers}
    while _early_presses:
        _early_presses.pop()
        trader.kill(_by_signal())
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_channel)
        tells.close()


def _listen(
    hears: socket.socket, numbers: Mapping[int, str], loop: asyncio.AbstractEventLoop, trader: Stoppable
) -> None:
    with hears:
        while told := hears.recv(1):
            name = numbers.get(told[0])
            if name == _KILL:
                trader.kill(_by_signal())
            elif name is not None:
                with suppress(RuntimeError):  # the loop is over, and the run with it
                    loop.call_soon_threadsafe(trader.request_stop, _ENDS[name])


def _heard_elsewhere(*_: Any) -> None:
    """Do nothing: without a handler of Python's the wake-up channel is not written."""


def _by_signal() -> Pressed:
    from trader_sdk.live.control import Pressed  # loads much, and this module is there before it

    return Pressed("signal SIGUSR1")
