"""Signals: heard by a thread of their own, whichever thread the kernel gave them to and whatever the loop does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from trader_sdk.live.control import Pressed
from trader_sdk.live.kill_switch import KILL_RECORD
from trader_sdk.signals import keep_kill_signal, signals_handled

BOUND_SECONDS = 60.0


class Pressable:
    """Of a trader what signals need."""

    def __init__(self) -> None:
        self.presses: list[Pressed] = []
        self.stops: list[int] = []
        self.was_pressed, self.was_stopped = threading.Event(), asyncio.Event()

    def kill(self, pressed: Pressed) -> None:
        """Count a press."""
        self.presses.append(pressed)
        self.was_pressed.set()

    def request_stop(self, exit_code: int = 0) -> None:
        """Keep the exit code."""
        self.stops.append(exit_code)
        self.was_stopped.set()


def test_kill_signal_counts_while_the_loop_hangs_and_another_thread_got_it() -> None:
    """The main thread waits for a thread that the signal was given to; the press is heard before that wait is over."""
    heard_in_time: list[bool] = []

    async def run(trader: Pressable) -> None:
        def take() -> None:
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            heard_in_time.append(trader.was_pressed.wait(BOUND_SECONDS))

        with signals_handled(trader):
            thread = threading.Thread(target=take)
            thread.start()
            thread.join()

    asyncio.run(run(Pressable()))
    assert heard_in_time == [True]


def test_kill_signal_that_came_before_the_trader_is_not_forgotten() -> None:
    """Pressed while everything is still being imported: it counts as soon as there is a trader."""

    async def run(trader: Pressable) -> None:
        with signals_handled(trader):
            trader.was_pressed.wait(BOUND_SECONDS)

    trader = Pressable()
    before = signal.getsignal(signal.SIGUSR1)
    try:
        keep_kill_signal()
        signal.raise_signal(signal.SIGUSR1)
        asyncio.run(run(trader))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [pressed.by for pressed in trader.presses] == ["signal SIGUSR1"]


def test_end_is_asked_for_with_the_code_of_its_signal_and_handlers_are_put_back() -> None:
    """SIGINT is 130 and SIGTERM 0; afterwards both do what they did before."""

    async def run(trader: Pressable) -> None:
        with signals_handled(trader):
            for number in (signal.SIGINT, signal.SIGTERM):
                trader.was_stopped.clear()
                signal.raise_signal(number)
                await asyncio.wait_for(trader.was_stopped.wait(), BOUND_SECONDS)

    trader = Pressable()
    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(run(trader))
    assert trader.stops == [130, 0]
    assert signal.getsignal(signal.SIGTERM) == before


def test_kill_signal_to_the_running_command_halts_it_and_leaves_a_record(
    start_trader: Callable[..., subprocess.Popen[str]], daily_archive: Path, tmp_path: Path
) -> None:
    """`kill -USR1 PID` before the trader is ready: it halts, `kill.json` says so, and the run goes on to its end."""
    process = start_trader("--archive", str(daily_archive), "--max-bars", "40", "--speed", "0.05")
    assert process.stdout is not None
    process.stdout.readline()  # the first line is said before a trader exists
    process.send_signal(signal.SIGUSR1)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    records = list(tmp_path.glob(f"state/paper-local/*/{KILL_RECORD}"))
    assert [record.read_text().count("signal SIGUSR1") for record in records] == [1]
    assert '"KILL_SWITCH: by signal SIGUSR1"' in shown
