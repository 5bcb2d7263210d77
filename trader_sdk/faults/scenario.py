"""A fault as data: market, plan, the trader's settings, and the one right outcome.

Example of a table in ``scenarios/*.toml``::

    [F04]
    title = "500 after the order was booked"
    right = "unknown; found by its id and adopted, nothing is sent again"
    moves = { SIM = "..D....." }
    faults = [{ kind = "http", method = "POST", path = "/v2/orders", effect = "status", status = 500 }]
    expect = { first = "FILLED", first_posts = 1, exit = 0 }
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.exchange.fault_plan import FaultPlan, parse_plan, read_document
from trader_sdk.faults.archive_acts import ArchiveAct
from trader_sdk.faults.asks import Ask
from trader_sdk.faults.market import FIRST_DAY, HISTORY_BARS, MarketSpec
from trader_sdk.faults.strikes import Strike

_FOLDER: Final = "scenarios"
_DEFAULT_MOVES: Final = {"SIM": "..D..U..D"}
Fact = str | int | list[str]


class Scenario(BaseModel):
    """One fault of the campaign.

    Attributes:
        id: ``F01`` and so on.
        title: What goes wrong.
        right: The one right behaviour, in words.
        moves, timeframe, volume, price, history, first_day, closed_days, early_closes: The market
            (:class:`~trader_sdk.faults.market.MarketSpec`).
        faults: The plan (:mod:`~trader_sdk.exchange.fault_plan`).
        config: Fields of the trader's configuration that differ.
        strikes: What happens to process, disk and journal (:mod:`~trader_sdk.faults.strikes`).
        archive: What is done to the archive meanwhile (:mod:`~trader_sdk.faults.archive_acts`).
        unusable: Symbols whose model gives no numbers after a bar that moved.
        stops: Bars after which the trader is stopped and started again.
        revived: How often a trader that ended because the venue did not answer is started again, as the systemd unit
            does; the oracles ask for books that were compared.
        jumps: (bar, seconds): after that bar the trader's wall clock is wrong by so many seconds more; bar 0 is the
            start.
        naps: (bar, seconds): after that bar the trader's machine sleeps so long, and its monotonic clock stands still.
        requests_per_minute: The venue's limit, which the trader's own budget knows; None for none.
        asks: What a person asks of the running trader (:class:`~trader_sdk.faults.asks.Ask`).
        pace_seconds: Real seconds a bar takes, for what lives in real time, such as reconnecting.
        expect: The right outcome by fact (:mod:`~trader_sdk.faults.outcome`); a list must be contained, any other value
            must be equal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[A-Z][A-Z0-9-]{0,15}$")
    title: str
    right: str
    moves: dict[str, str] = Field(default_factory=lambda: dict(_DEFAULT_MOVES))
    timeframe: Timeframe = Timeframe.MIN_1
    volume: float = Field(default=1e6, gt=0)
    price: float = Field(default=100.0, gt=0)
    history: int = Field(default=HISTORY_BARS, ge=HISTORY_BARS)
    first_day: date = FIRST_DAY
    closed_days: tuple[date, ...] = ()
    early_closes: tuple[date, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)
    strikes: tuple[Strike, ...] = ()
    archive: tuple[ArchiveAct, ...] = ()
    unusable: tuple[str, ...] = ()
    stops: tuple[int, ...] = ()
    revived: int = Field(default=0, ge=0, le=10)
    jumps: tuple[tuple[int, float], ...] = ()
    naps: tuple[tuple[int, float], ...] = ()
    asks: tuple[Ask, ...] = ()
    requests_per_minute: int | None = Field(default=None, gt=0)
    pace_seconds: float = Field(default=0.0, ge=0)
    expect: dict[str, Fact] = Field(default_factory=dict)

    @property
    def market(self) -> MarketSpec:
        """Return what is replayed."""
        return MarketSpec(**{name: getattr(self, name) for name in MarketSpec.model_fields})

    @property
    def plan(self) -> FaultPlan:
        """Return what goes wrong."""
        return FaultPlan.model_validate({"name": f"{self.id} {self.title}"[:120], "faults": list(self.faults)})


def scenario_of_file(path: Path) -> Scenario:
    """Return the scenario of a file: a whole one, or a fault plan on the standard market.

    A file with a ``title`` is a scenario, as a failing random session leaves it; anything else must be a fault plan.

    Raises:
        ConfigError: It is neither.
    """
    data = read_document(path)
    if "title" in data:
        return _scenario(str(data.pop("id", "PLAN")), data, str(path))
    plan = parse_plan(data, where=str(path))
    faults = tuple(plan.dump()["faults"])
    return Scenario(id="PLAN", title=plan.name or path.name, right="the oracles hold", faults=faults)


def load_scenarios(only: Sequence[str] = ()) -> tuple[Scenario, ...]:
    """Return the packaged scenarios in order of their ids.

    Args:
        only: Ids; all of them when empty.

    Raises:
        UsageError: An id does not exist.
        ConfigError: A packaged table is not valid.
    """
    found = {scenario.id: scenario for scenario in _packaged()}
    unknown = sorted(set(only) - set(found))
    if unknown:
        raise UsageError(
            "USAGE", "no such fault", where="--only", found=", ".join(unknown), expected=f"{min(found)} to {max(found)}"
        )
    return tuple(found[name] for name in sorted(found) if not only or name in only)


def _packaged() -> list[Scenario]:
    folder = files("trader_sdk.faults") / _FOLDER
    tables = sorted(item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return [scenario for name in tables for scenario in _read((folder / name).read_text("utf-8"), name)]


def _read(text: str, where: str) -> list[Scenario]:
    return [_scenario(name, table, where) for name, table in tomllib.loads(text).items()]


def _scenario(name: str, table: Mapping[str, Any], where: str) -> Scenario:
    try:
        scenario = Scenario.model_validate({"id": name, **table})
        _ = scenario.plan
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError("CONFIG", "not a scenario", where=f"{where} {name}", found=faults[:800]) from error
    return scenario
