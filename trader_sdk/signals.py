"""What signals do to a run: SIGINT, SIGTERM and SIGHUP end it in good order, SIGUSR1 presses the kill switch.

Imports nothing heavy: it is used before anything else is imported.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from trader_sdk.contract.errors import EXIT_SIGINT

if TYPE_CHECKING:
    from trader_sdk.live.control import Pressed
    from trader_sdk.live.trader import LiveTrader

_ENDS: Final = (("SIGINT", EXIT_SIGINT), ("SIGTERM", 0), ("SIGHUP", 0))


def keep_kill_signal() -> None:
    """Keep SIGUSR1 for the thread that waits for it; called before anything starts a thread, as importing numpy does.

    Threads inherit it. A handler alone would run in the main thread, which may be the one that hangs; it is there too,
    because a library's thread that does not inherit would otherwise let the signal end the process.
    """
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def handle_signals(trader: LiveTrader) -> None:
    """Let signals end ``trader``'s run; called in the running event loop of the main thread."""
    loop = asyncio.get_running_loop()
    for name, exit_code in _ENDS:
        with suppress(NotImplementedError, AttributeError):  # no signals in Windows' event loop
            loop.add_signal_handler(getattr(signal, name), trader.request_stop, exit_code)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: trader.kill(_by_signal()))
        threading.Thread(target=_wait_for_kill, args=(trader,), name="kill-signal", daemon=True).start()


def _wait_for_kill(trader: LiveTrader) -> None:
    while True:
        signal.sigwait({signal.SIGUSR1})
        trader.kill(_by_signal())


def _by_signal() -> Pressed:
    from trader_sdk.live.control import Pressed  # loads numpy, which starts threads

    return Pressed("signal SIGUSR1")
