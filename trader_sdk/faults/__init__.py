"""The fault campaign: the real trader, through the real client library, against the exchange that misbehaves by plan.

A fault is a *scenario*: data, no code. ``scenarios/*.toml`` hold one table each, named by the fault, with the market,
the plan of what goes wrong, and the one right outcome (:mod:`~trader_sdk.faults.scenario` says every field). To add
one, write a table; if its expectation needs a fact that no other scenario asked for, add a line to ``_FACTS`` in
:mod:`~trader_sdk.faults.outcome`; if it needs an effect that no plan has, add it to
:mod:`~trader_sdk.exchange.fault_plan` and :mod:`~trader_sdk.exchange.planned_faults`.

A session runs on played time (:mod:`~trader_sdk.faults.stage`): the trader takes Alpaca's way through its code, and the
exchange's clock moves when the trader sleeps. What it leaves behind, the exchange's log and the trader's journal, is
judged by the oracles I1 to I7 (:mod:`~trader_sdk.faults.oracles`), which are pure functions of that evidence.
"""

from trader_sdk.faults.campaign import Result, run_campaign, run_scenario
from trader_sdk.faults.scenario import Scenario, load_scenarios

__all__ = ["Result", "Scenario", "load_scenarios", "run_campaign", "run_scenario"]
