"""The approved models of many symbols: one look at the archive, loads side by side, a refusal a value."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

from trader_sdk.archive.eligibility import HOUSE_ONLY, Terms
from trader_sdk.archive.location import Place
from trader_sdk.archive.pointers import CHAMPION, checked_follow, resolve
from trader_sdk.archive.slots import SlotKey
from trader_sdk.contract.compatibility import Pin, Recall
from trader_sdk.contract.errors import SdkError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.timeframe import parse_timeframe
from trader_sdk.demands import Demands, recalls_of
from trader_sdk.door import ApprovedModel, Door
from trader_sdk.loading import pins_of
from trader_sdk.signing import PublicKey

_MOST_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """One symbol of a universe is done.

    Attributes:
        done, total: Symbols, this one included.
        symbol: Which.
        refusal: Why it has no model; None where it was loaded.
    """

    done: int
    total: int
    symbol: str
    refusal: SdkError | None


def load_approved_universe(
    archive: Path | str | Place,
    symbols: Iterable[str] | None = None,
    timeframe: str = "1Day",
    *,
    strict_version: bool = False,
    follow: str = CHAMPION,
    mode: TradingMode | str = TradingMode.PAPER_LOCAL,
    accept_policies: Collection[str] = HOUSE_ONLY,
    require_signature: Collection[PublicKey] | None = None,
    max_model_age: timedelta | None = None,
    pins: Path | str | Sequence[Pin] | None = None,
    recalls: Path | str | Sequence[Recall] | None = None,
    at: datetime | None = None,
    mapped: bool = False,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, ApprovedModel | SdkError]:
    """Load the models of many symbols; a refusal is a value, so that one bad symbol does not stop the rest.

    The chain is read once, and every symbol is judged as it stood then.

    Args:
        archive: As for :func:`~trader_sdk.approved.load_approved`.
        symbols: As they were trained, or aliases; every slot of the timeframe that the pointer names when omitted.
        timeframe: One for all that are no aliases.
        strict_version, follow, mode, accept_policies, require_signature, max_model_age, pins, recalls, at, mapped: As
            for :func:`~trader_sdk.approved.load_approved`.
        workers: Threads that load; at most eight, two a processor, when omitted. 1 loads one after the other.
        progress: Called in the caller's thread after each symbol; see :func:`progress_bar`.

    Returns:
        Symbol, in the order given, to its model or to the error that ``load_approved`` would have raised.

    Raises:
        ArchiveError: E608, E606 or E610 about the archive as a whole.
        ConfigError: Pins or recalls cannot be read.
        UsageError: The mode, the pointer or the timeframe is unknown.

    Example:
        >>> universe = load_approved_universe("training_archives")  # doctest: +SKIP
        >>> [symbol for symbol, found in universe.items() if isinstance(found, SdkError)]  # doctest: +SKIP
        ['MSFT']
    """
    asked = Demands(strict_version, require_signature, max_model_age, pins_of(pins), recalls_of(recalls), mapped)
    pointer, one = checked_follow(follow), parse_timeframe(timeframe)
    door = Door.of(archive, Terms.of(mode, accept_policies, at), asked)
    listed = _slots(door, one, pointer) if symbols is None else list(dict.fromkeys(symbols))
    found: dict[str, ApprovedModel | SdkError] = {}
    with _pool(workers or _workers()) as pool:
        waiting = {pool.submit(_load, door, symbol, timeframe, pointer): symbol for symbol in listed}
        for future in as_completed(waiting):
            found[waiting[future]] = result = future.result()
            if progress is not None:
                refusal = result if isinstance(result, SdkError) else None
                progress(Progress(len(found), len(listed), waiting[future], refusal))
    return {symbol: found[symbol] for symbol in listed}


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that load; whoever interrupts does not wait for hundreds of models that nobody will use."""
    with ThreadPoolExecutor(workers, thread_name_prefix="load-model") as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def progress_bar(stream: TextIO | None = None) -> Iterator[Callable[[Progress], None]]:
    """Give a ``progress`` that draws a bar on a terminal, and nothing where there is none.

    Args:
        stream: Standard error when omitted.
    """
    target = stream or sys.stderr
    if not target.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*shown, console=Console(file=target), transient=True) as bar:
        task, refused = bar.add_task("loading models", total=None), 0

        def draw(step: Progress) -> None:
            nonlocal refused
            refused += step.refusal is not None
            text = f"loading models, {refused} refused" if refused else "loading models"
            bar.update(task, completed=step.done, total=step.total, description=text)

        yield draw


def _slots(door: Door, timeframe: object, follow: str) -> list[str]:
    state = door.reader.state
    keys = [key for key in state.keys() if key.timeframe == timeframe]  # noqa: SIM118 - a method of the state, no dict
    if follow != CHAMPION:
        return [key.symbol for key in keys]
    return [key.symbol for key in keys if state.champion(key) is not None]


def _load(door: Door, symbol: str, timeframe: str, follow: str) -> ApprovedModel | SdkError:
    try:
        key: SlotKey
        key, pointer = resolve(symbol, timeframe, follow)
        return door.load(key, pointer)
    except SdkError as error:
        return error


def _workers() -> int:
    return min(_MOST_WORKERS, 2 * (os.cpu_count() or 1))
