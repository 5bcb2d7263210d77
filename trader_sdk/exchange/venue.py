"""The whole venue without a network: engine, replayed time and log behind one object."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import StorageError
from trader_sdk.exchange.codec import Advance, Command, decode_command, encode_command, encode_event
from trader_sdk.exchange.config import ExchangeSetup
from trader_sdk.exchange.engine import step
from trader_sdk.exchange.events import Event, Input, OrderChanged
from trader_sdk.exchange.log import LOG_SCHEMA, EventLog
from trader_sdk.exchange.market import Market
from trader_sdk.exchange.replay import Phase, Replay
from trader_sdk.exchange.state import VenueState, open_account


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command did.

    Attributes:
        events: In order.
        released: Bars that became visible, in order of time.
        n_closed: How many bars ended; a halted symbol's is not released.
    """

    events: tuple[Event, ...]
    released: tuple[Bar, ...] = ()
    n_closed: int = 0

    @property
    def n_order_events(self) -> int:
        """Return how many of the events concern an order, as the order stream counts them."""
        return sum(isinstance(event, OrderChanged) for event in self.events)


class Venue:
    """One account at one replayed market.

    Commands go through :meth:`apply`, which answers only when the log has them. Opening a venue on a log that has
    records replays them and arrives at the state that was acknowledged last.

    Args:
        setup: What the run is.
        market: What is replayed.
        log: New, or this run's own.

    Raises:
        StorageError: The log belongs to another run or market, or does not replay to the events it recorded.
    """

    def __init__(self, setup: ExchangeSetup, market: Market, log: EventLog) -> None:
        self.setup = setup
        self.market = market
        self._log = log
        self._replay = Replay(market, setup.start_ns, setup.participation)
        self.state: VenueState = open_account(
            setup.terms(), at=self._replay.begins_at, last_prices=self._replay.last_prices()
        )
        self.instant = 0
        self.phase = Phase.START
        self.n_records = 0
        self.n_order_events = 0
        self.n_released = 0
        self._step_all(self.state.now, self._replay.initial_inputs())
        self._restore()

    @property
    def is_finished(self) -> bool:
        """Return whether every instant of the market has passed."""
        return self.instant >= len(self._replay)

    @property
    def n_instants(self) -> int:
        """Return how many instants the whole replay has."""
        return len(self._replay)

    @property
    def instants_per_bar(self) -> int:
        """Return how often the market moves for each bar: open, close, final and evening for daily bars."""
        return 1 if self.market.timeframe.is_intraday else 4

    def next_instant_at(self) -> int | None:
        """Return when the market moves next, None at the end."""
        return self._replay.time_of(self.instant)

    def next_phase(self) -> Phase | None:
        """Return what the market does next, None at the end."""
        return None if self.is_finished else self._replay.instant(self.instant).phase

    def apply(self, command: Command) -> Outcome:
        """Carry out a command, write it to the log, and return what happened.

        Raises:
            StorageError: The log could not be written: the venue must stop, nothing may be acknowledged.
        """
        at = self.state.now
        outcome = self._execute(at, command)
        self.n_records += 1
        self._log.append(_record(self.n_records, at, command, outcome))
        return outcome

    def advance(self, wake_at: int | None = None) -> Outcome:
        """Move to the next instant, or only to ``wake_at`` if that is earlier."""
        upcoming = self.next_instant_at()
        if upcoming is None:
            return Outcome(())
        if wake_at is None or wake_at >= upcoming:
            return self.apply(Advance(upcoming))
        return self.apply(Advance(wake_at)) if wake_at > self.state.now else Outcome(())

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _execute(self, at: int, command: Command) -> Outcome:
        if isinstance(command, Advance):
            outcome = self._advance_to(command.to)
        else:
            outcome = Outcome(self._step_all(at, (command,)))
        self.n_order_events += outcome.n_order_events
        self.n_released += outcome.n_closed
        return outcome

    def _advance_to(self, to: int) -> Outcome:
        events: list[Event] = []
        released: list[Bar] = []
        n_closed = 0
        self.phase = Phase.WAIT
        while (upcoming := self.next_instant_at()) is not None and upcoming <= to:
            instant = self._replay.instant(self.instant)
            self.instant += 1
            self.phase = instant.phase
            events += self._step_all(instant.at, instant.inputs)
            self.state.now = max(self.state.now, instant.at)
            released += self._printed(instant.released)
            n_closed += len(instant.released)
        self.state.now = max(self.state.now, to)
        return Outcome(tuple(events), tuple(released), n_closed)

    def _printed(self, closed: Sequence[Bar]) -> list[Bar]:
        """Return the bars of symbols that traded, and note those that a halt left out."""
        halted = self.state.halted
        for bar in closed:
            if bar.symbol in halted:
                self.state.unprinted.setdefault(bar.symbol, []).append(bar.t)
        return [bar for bar in closed if bar.symbol not in halted]

    def _step_all(self, at: int, inputs: Sequence[Input]) -> tuple[Event, ...]:
        events: list[Event] = []
        for command in inputs:
            self.state, happened = step(self.state, at, command)
            events += happened
        return tuple(events)

    def _restore(self) -> None:
        head = _head(self.setup, self.market)
        if self._log.is_new:
            self._log.append(head)
            return
        records = self._log.records
        if not records or records[0] != head:
            found = records[0] if records else "nothing"
            raise StorageError(
                "JOURNAL",
                "the exchange's log belongs to another run or market",
                where=str(self._log.path),
                expected=head,
                found=found,
            )
        for number, record in enumerate(records[1:], start=1):
            self._repeat(number, record)
        self._log.records.clear()

    def _repeat(self, number: int, record: Mapping[str, Any]) -> None:
        where = f"{self._log.path}:{number + 1}"
        try:
            at, command = int(record["at"]), decode_command(record["command"])
        except (KeyError, ValueError) as error:
            raise StorageError("JOURNAL", "a record of the exchange's log is damaged", where=where) from error
        outcome = self._execute(at, command)
        self.n_records += 1
        again = _record(number, at, command, outcome)
        if again != record:
            raise StorageError(
                "JOURNAL",
                "the exchange's log does not replay to the events that it recorded",
                where=where,
                expected=record,
                found=again,
            )


def _head(setup: ExchangeSetup, market: Market) -> dict[str, Any]:
    """Return the log's first line: all that the events depend on, and no keys."""
    fixed = setup.model_dump(mode="json", include={"run_id", "start_ns", "initial_cash", "multiplier", "participation"})
    assets = hashlib.sha256(repr(setup.assets).encode()).hexdigest()
    return {"schema": LOG_SCHEMA, **fixed, "market": market.digest, "assets": f"sha256:{assets}"}


def _record(number: int, at: int, command: Command, outcome: Outcome) -> dict[str, Any]:
    return {
        "seq": number,
        "at": at,
        "command": encode_command(command),
        "events": [encode_event(event) for event in outcome.events],
    }
