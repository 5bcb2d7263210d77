"""Every fault has one right outcome, and every oracle holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.faults.campaign import Archives, run_scenario
from trader_sdk.faults.outcome import FACTS, text_of
from trader_sdk.faults.scenario import Scenario, load_scenarios, scenario_of_file
from trader_sdk.live import desk
from trader_sdk.live.views import request_of
from trader_sdk.orders import OrderIntent

SCENARIOS = load_scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_trader_does_the_one_right_thing_when_a_fault_strikes(
    scenario: Scenario, folder: Path, archives: Archives
) -> None:
    """The outcome is the expected one, and I1 to I6 hold; I7 is asked by the command, which plays each twice."""
    result = run_scenario(scenario, folder, archives)
    assert result.outcome == result.expected
    assert {name: finding for name, finding in result.findings.items() if finding} == {}


@pytest.mark.parametrize("fault", ["F04", "F19", "F37"])
def test_decisions_repeat_when_a_session_is_played_again(fault: str, folder: Path, archives: Archives) -> None:
    """I7: the same session, the same decisions, whatever the threads did meanwhile."""
    (scenario,) = load_scenarios([fault])
    assert run_scenario(scenario, folder, archives, twice=True).findings["I7"] is None


def test_campaign_covers_every_fault_of_the_list() -> None:
    """No fault of the list is left out."""
    played = {scenario.id.partition("-")[0] for scenario in SCENARIOS}
    assert {f"F{number:02}" for number in range(1, 73)} <= played


def test_expectations_name_facts_that_exist() -> None:
    """A misspelt fact is an error of the campaign, not a fault that passes."""
    named = {name for scenario in SCENARIOS for name in scenario.expect}
    assert named <= set(FACTS)


def test_campaign_is_red_when_an_order_is_sent_under_another_id(
    folder: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trader that makes up a second id doubles an order, and the oracles say so."""

    def careless(intent: OrderIntent) -> Any:
        request = request_of(intent)
        object.__setattr__(request, "client_order_id", f"{intent.client_order_id[:-2]}xx")
        return request

    monkeypatch.setattr(desk, "request_of", careless)
    (scenario,) = load_scenarios(["F04"])
    result = run_scenario(scenario, folder, archives)
    assert not result.ok
    assert result.findings["I5"] is not None


def test_unknown_fault_is_refused_by_name() -> None:
    """--only with a typing error plays nothing."""
    with pytest.raises(UsageError, match="F99"):
        load_scenarios(["F99"])


def test_file_is_a_plan_or_a_whole_scenario(tmp_path: Path) -> None:
    """A plan plays on the standard market, a scenario brings its own; anything else is refused."""
    plan, whole, neither = (tmp_path / name for name in ("plan.toml", "scenario.json", "neither.toml"))
    plan.write_text('name = "late"\n[[faults]]\nkind = "http"\neffect = "delay"\nseconds = 0.1\n')
    whole.write_text('{"id": "S7", "title": "t", "right": "r", "moves": {"SIM": ".D."}}')
    neither.write_text("colour = 1\n")
    assert scenario_of_file(plan).plan.faults[0].kind == "http"
    assert scenario_of_file(whole).moves == {"SIM": ".D."}
    with pytest.raises(ConfigError, match="not a fault plan"):
        scenario_of_file(neither)


def test_published_table_is_of_these_scenarios_and_has_no_failure() -> None:
    """docs/reference/faults.json is what the campaign wrote: every scenario is in it, and all is as it must be."""
    published = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "faults.json").read_text("utf-8"))
    assert {row["fault"] for row in published} == {scenario.id for scenario in SCENARIOS}
    assert [row["fault"] for row in published if not row["ok"] or not all(row["oracles"].values())] == []
    expected = {scenario.id: text_of(scenario.expect) for scenario in SCENARIOS}
    assert {row["fault"]: row["expected"] for row in published} == expected
