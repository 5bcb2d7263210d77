"""Changing a symbol's model between two bars: the candidate proves itself first, and goes back if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from trader_sdk.approved import ApprovedModel
from trader_sdk.contract.errors import BrokerError, ConfigError, Finding, SdkError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.deploy_row import DeployRow
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.events import Draft, bar_time, rfc3339
from trader_sdk.live.following import PARITY_BARS, check_not_ahead, play_candidate
from trader_sdk.live.holds import Cause
from trader_sdk.live.lines import Decided, SymbolLine
from trader_sdk.live.models import LiveModel, live_model
from trader_sdk.live.opening import Session

Say = Callable[[str, Mapping[str, Any]], None]

PROBATION_BARS: Final = 30
"""Decided bars within which a new model that fails gives its place back."""
_OF_A_MODEL: Final = tuple(cause for cause in Cause if cause.value.startswith("MODEL_"))


@dataclass(slots=True)
class _Probation:
    before: LiveModel
    bars_left: int = PROBATION_BARS


class Swaps:
    """Installs candidates, and takes them back.

    Args:
        session: The open session.
        say: Told what a person is told.
    """

    def __init__(self, session: Session, say: Say) -> None:
        self._session, self._say = session, say
        self._desk: OrderDesk = session.desk
        self._probation: dict[str, _Probation] = {}
        self._refused: dict[str, str] = {}
        self._tripped = set(session.journal.ledger.tripped_at)

    @property
    def held(self) -> dict[str, LiveModel]:
        """Return the models that trade."""
        return {symbol: line.live for symbol, line in self._session.lines.items()}

    async def consider(self, symbol: str, row: DeployRow, now: datetime) -> bool:
        """Let the model that the pointer names take over, if it may; return whether it did."""
        if row.model is None:
            self._refuse(symbol, row.version_id, None, row.refusal, now)
            return False
        if self._refused.get(symbol) == row.model.sha256:
            return False
        try:
            line, compared = await self._proven(symbol, row.model)
        except BrokerError as error:
            self._say("broker_trouble", {**error.to_dict(), "in_a_row": 0})
            self._refused[symbol] = ""  # bars could not be read: the next look tries again
            return False
        except SdkError as error:
            finding = Finding(error.code, row.version_id, str(error.expected or ""), f"{error.message} {error.found}")
            self._refuse(symbol, row.version_id, row.model.sha256, finding, now)
            return False
        self._install(line, f"the slot's pointer moved to {row.version_id}", compared, now)
        return True

    async def _proven(self, symbol: str, model: ApprovedModel) -> tuple[SymbolLine, int]:
        """Return a warm line of a candidate that decided on the latest bars as it must.

        Raises:
            SdkError: It may not take over.
            BrokerError: The venue did not give the bars.
        """
        session, running = self._session, self._session.lines[symbol]
        selection = session.selection
        features, feed = (selection.features, selection.feed) if selection is not None else (None, None)
        live = live_model(symbol, model, features, feed)
        now = session.clock.now()
        newest = running.newest or 0
        check_not_ahead(live, bar_time(newest), session.mode)
        if live.observations.schema.bar_timeframe is not session.schedule.timeframe:
            raise ConfigError("CONFIG", "the candidate is of another timeframe", where=symbol)
        required = live.observations.provider.required_history + PARITY_BARS + 1
        history = await session.feed.history(symbol, required, now)
        line = SymbolLine(live, running.rules, session.schedule, running.budget_seconds)
        # A thread, because a model's first products take longer than a stream's frames may wait.
        return line, await asyncio.to_thread(play_candidate, line, history, newest)

    def _install(self, line: SymbolLine, cause: str, compared: int, now: datetime) -> None:
        symbol, lines = line.symbol, self._session.lines
        before = lines[symbol]
        self._record(before.live, line.live, cause, compared, now)
        line.take_over(before)
        lines.install(line)
        self._probation[symbol] = _Probation(before.live)
        self._refused.pop(symbol, None)
        for held in _OF_A_MODEL:
            self._session.states.lift(held, now, why="another model took over", symbol=symbol)

    def _record(self, old: LiveModel, new: LiveModel, cause: str, compared: int, now: datetime) -> None:
        newest = self._session.lines[old.symbol].newest
        swapped = {
            "symbol": old.symbol,
            "from_sha256": old.model.sha256,
            "to_sha256": new.model.sha256,
            "from_version_id": old.model.approval.version_id,
            "to_version_id": new.model.approval.version_id,
            "cause": cause,
            "after_bar": None if newest is None else rfc3339(bar_time(newest)),
            "compared": compared,
        }
        loaded = Draft(JournalEvent.MODEL_LOADED, now, new.facts())
        self._desk.commit([loaded, Draft(JournalEvent.MODEL_SWAPPED, now, swapped)])

    def _refuse(self, symbol: str, version_id: str, sha256: str | None, why: Finding | None, now: datetime) -> None:
        """Keep the running model, and say once why the candidate is not taken."""
        mark = sha256 or version_id
        if self._refused.get(symbol) == mark:
            return
        self._refused[symbol] = mark
        code, message = (why.code, str(why)) if why is not None else ("E601", "no deployable model")
        body = {"symbol": symbol, "sha256": sha256, "code": code, "message": message, "version_id": version_id}
        self._desk.commit([Draft(JournalEvent.MODEL_REFUSED, now, body)])

    def judge(self, decided: Iterable[Decided], now: datetime) -> None:
        """Take back a new model that fails, is late, or has its orders refused, within its probation."""
        newly_refused = set(self._session.journal.ledger.tripped_at) - self._tripped
        self._tripped |= newly_refused
        for one in decided:
            trial = self._probation.get(one.symbol)
            if trial is None:
                continue
            trial.bars_left -= 1
            fault = one.fault or ("its orders are refused" if one.symbol in newly_refused else "")
            if fault:
                self._roll_back(one.symbol, trial, fault, now)
            elif trial.bars_left <= 0:
                del self._probation[one.symbol]

    def _roll_back(self, symbol: str, trial: _Probation, fault: str, now: datetime) -> None:
        lines = self._session.lines
        failed = lines[symbol]
        observations = failed.live.observations
        same = observations.schema.sha256 == trial.before.observations.schema.sha256
        before = replace(trial.before, observations=observations) if same else trial.before
        place = lines.install if same else lines.reinstate
        self._record(failed.live, before, f"rolled back: {fault}", 0, now)
        place(failed.succeeded_by(before))
        del self._probation[symbol]
        self._refused[symbol] = failed.live.model.sha256
        self._say("model_rolled_back", {"symbol": symbol, "sha256": failed.live.model.sha256, "why": fault})
