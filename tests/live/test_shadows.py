"""Shadows decide beside the champion, trade on paper as a backtest does, and reach nothing else."""

from __future__ import annotations

import ast
import gc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper
from trader_sdk.backtest import backtest
from trader_sdk.broker.port import BrokerPort
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.execution import DEFAULT_LIMITS
from trader_sdk.contract.reasons import Reason
from trader_sdk.data import load_bars
from trader_sdk.features import Ohlcv53Provider, build_schema
from trader_sdk.live import shadow_account, shadows
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.journal import Journal
from trader_sdk.live.shadow_account import shadow_ledger
from trader_sdk.live.shadows import MOST_FAILURES, News, Role, ShadowModel, Shadows, Terms
from trader_sdk.live.worker import BrokerWorker

ROOT = Path(__file__).parents[2]
MODEL = NativeModelWrapper(ROOT / "compat" / "golden" / "2.7.0" / "checkpoint.pt")
WARM, LENGTH = 520, 640
BARS = load_bars(f"planted:bars={LENGTH}", "SIM", "1Min")
SCHEMA = build_schema("2.7.0", "1Min", calendar=BARS.calendar, feed=BARS.feed, adjustment=BARS.adjustment)
TERMS = Terms(cost_model("us_equity@1"), DEFAULT_LIMITS, 1.0)


def shadow_model(name: str = "one", stream: Callable[[], Any] = MODEL.stream) -> ShadowModel:
    """Return the golden as a challenger under a digest of its own."""
    return ShadowModel("SIM", f"sha256:{name}", name, Role.CHALLENGER, MODEL.model_spec, stream)


def cast(*models: ShadowModel) -> Shadows:
    """Return shadows with 10,000 each."""
    made = Shadows(TERMS)
    made.cast(models, {"SIM": 10_000.0}, {}, {})
    return made


def news(first: int, last: int) -> list[News]:
    """Return what the champion saw of some bars."""
    provider = Ohlcv53Provider(SCHEMA, BARS.slice(0, first))
    told = []
    for index in range(first, last):
        provider.push(BARS.at(index))
        told.append(News(BARS.at(index), provider.window, None))
    return told


NEWS = news(WARM, LENGTH)


def play(made: Shadows, told: list[News]) -> list[dict[str, Any]]:
    """Return everything that the shadows said."""
    return [body for each in told for body in made.take({"SIM": each})]


def test_shadow_s_ledger_is_that_of_a_backtest() -> None:
    """Same decisions, weights, costs and returns, bar by bar; only the forced close at the end is the backtest's."""
    bodies = play(cast(shadow_model()), NEWS)
    first = int(BARS.t[WARM])
    tested = backtest(
        MODEL, BARS, provider=Ohlcv53Provider(SCHEMA), costs=TERMS.costs, first_bar_ns=first, in_sample=True
    )
    ledger = shadow_ledger(bodies)
    assert [body["action"] for body in bodies[:-1]] == [tested.action_names[a] for a in tested.actions[:-1]]
    assert np.array_equal(ledger.start_at, tested.ledger.start_at)
    assert np.array_equal(ledger.weight, tested.ledger.weight)
    assert np.allclose(ledger.market_return, tested.ledger.market_return, rtol=0, atol=1e-15)
    assert np.array_equal(ledger.cost[:-1], tested.ledger.cost[:-1])
    assert np.abs(ledger.weight).max() > 0
    assert len(tested.ledger.trades) - len(ledger.trades) in (0, 1)


def test_shadow_goes_on_where_the_journal_left_it() -> None:
    """A restart restores the sleeve and what was ordered from the newest entry: the ledger has no seam."""
    whole = play(cast(shadow_model()), NEWS[:60])
    before = play(cast(shadow_model()), NEWS[:31])
    again = Shadows(TERMS)
    key = ("SIM", "sha256:one")
    again.cast([shadow_model()], {"SIM": 1.0}, {key: before[-1]}, {key: NEWS[30].bar.t})
    # The first decision after a restart multiplies the whole window: its logits' last digits may differ.
    assert [{**b, "logits": None} for b in before + play(again, NEWS[30:60])] == [{**b, "logits": None} for b in whole]


class Raising:
    """Gives up in a way of its own."""

    def decide_on(self, obs: Any) -> Any:
        """Raise what no engine raises."""
        raise TimeoutError(f"too slow for {obs.shape}")


class Nothing:
    """Gives NaN as the engines report it: E404."""

    def decide_on(self, obs: Any) -> Any:
        """Decide on an observation that has no decision."""
        return MODEL.stream().decide_on(np.full_like(obs, 3e38))


@pytest.mark.parametrize("broken", [Raising, Nothing])
def test_broken_shadow_touches_no_other(broken: Callable[[], Any]) -> None:
    """An exception or NaN stays with its shadow, is told, and after three in a row it is not asked any more."""
    made = cast(shadow_model("bad", broken), shadow_model())
    bodies = play(made, NEWS[:5])
    alone = play(cast(shadow_model()), NEWS[:5])
    assert [body for body in bodies if body["version_id"] == "one"] == alone
    reasons = [body["reason"] for body in bodies if body["version_id"] == "bad"]
    assert reasons == [Reason.MODEL_FAILED] * MOST_FAILURES + [Reason.MODEL_QUARANTINED] * 2
    assert all(body["fault"] for body in bodies if body["reason"] == Reason.MODEL_FAILED)


def test_shadow_over_its_budget_is_told_so() -> None:
    """A late answer is no decision."""
    made = Shadows(Terms(TERMS.costs, TERMS.limits, 0.0))
    made.cast([shadow_model()], {"SIM": 10_000.0}, {}, {})
    (body,) = made.take({"SIM": NEWS[0]})
    assert (body["action"], body["reason"]) == (None, Reason.MODEL_FAILED)
    assert "of 0 s" in body["fault"]


def test_decision_is_dropped_when_a_bar_is_missing() -> None:
    """What was decided before a gap is not filled after it."""
    made = cast(shadow_model())
    for each in NEWS[:40]:
        (body,) = made.take({"SIM": each})
        if body["sleeve"]["ordered"]:
            break
    after = NEWS[45]
    (gap,) = made.take({"SIM": News(after.bar, after.window, Reason.WINDOW_GAP, follows=False)})
    assert gap["weight"] == gap["weight_before"]
    assert (gap["cost"], gap["sleeve"]["ordered"], gap["reason"]) == (0.0, 0.0, Reason.WINDOW_GAP)


FORBIDDEN = (BrokerPort, OrderDesk, Journal, BrokerWorker)


def reachable(start: object) -> list[object]:
    """Return every object that ``start`` leads to, code and modules aside."""
    seen: dict[int, object] = {}
    waiting = [start]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | types.ModuleType | types.FunctionType):
            continue
        seen[id(each)] = each
        waiting += gc.get_referents(each)
    return list(seen.values())


def test_shadows_have_no_broker_in_reach() -> None:
    """Following every reference from shadows at work leads to no broker, desk, journal or worker."""
    made = cast(shadow_model())
    play(made, NEWS[:3])
    found = [each for each in reachable(made) if isinstance(each, FORBIDDEN[1:]) or hasattr(each, "submit")]
    assert found == []
    assert len(reachable(made)) > 100


@pytest.mark.parametrize("module", [shadows, shadow_account])
def test_shadows_import_nothing_that_reaches_a_broker(module: types.ModuleType) -> None:
    """Nor do their modules name one."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    named = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    barred = ("broker", "desk", "journal", "worker", "opening", "trader", "dispatch", "rounds")
    assert [name for name in named if name.split(".")[-1] in barred or ".broker" in name] == []
