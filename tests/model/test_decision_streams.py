"""Many streams of symbols against a stream each: files of several versions, and whatever happens in mid-session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trader_sdk import NativeModelWrapper, SdkError
from trader_sdk.decision_streams import NOT_DECIDED, DecisionStreams
from trader_sdk.engine import Engine

Rows = NDArray[np.float32]
VERSIONS = {"A": "2.7.0", "B": "2.4.0", "C": "2.7.0", "D": "2.3.0", "E": "2.5.0"}


@pytest.fixture
def models(golden: Callable[[str], Path]) -> dict[str, NativeModelWrapper]:
    """Return five symbols on four files: one shared, two of one shape, one without an account."""
    return {symbol: NativeModelWrapper(golden(version)) for symbol, version in VERSIONS.items()}


def _bars(count: int, symbols: int = 5, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((count, symbols, 53)).astype(np.float32)


def _accounts(models: dict[str, NativeModelWrapper], seed: int = 0) -> dict[str, Rows]:
    rng = np.random.default_rng(seed)
    return {s: rng.uniform(-1, 1, m.model_spec.n_account).astype(np.float32) for s, m in models.items()}


def _wanted(model: NativeModelWrapper, window: Rows, account: Rows) -> int:
    return model.decide(np.concatenate([window, np.broadcast_to(account, (100, len(account)))], axis=1)).action


def test_universe_decides_as_each_model_alone(models: dict[str, NativeModelWrapper]) -> None:
    """Files of every width side by side, by mapping and by array, with and without preparing."""
    streams, bars, accounts = DecisionStreams(models), _bars(230), _accounts(models)
    for index, rows in enumerate(bars):
        streams.push(dict(zip(models, rows, strict=True)) if index % 2 else rows)
        if index % 3 == 0:
            streams.prepare()
        if index < 99 or index % 10:
            continue
        decisions = streams.decide(accounts)
        for place, (symbol, model) in enumerate(models.items()):
            wanted = _wanted(model, bars[index - 99 : index + 1, place], accounts[symbol])
            assert decisions[symbol].action == decisions.actions[place] == wanted
            assert decisions[symbol].model_sha256 == model.sha256
    assert streams.report == dict.fromkeys(models, Engine.STACKED)


def test_account_table_is_read_from_its_first_columns(models: dict[str, NativeModelWrapper]) -> None:
    """One table for all: a model with three account columns reads the first three."""
    streams, bars = DecisionStreams(models), _bars(100)
    for rows in bars:
        streams.push(rows)
    table = np.random.default_rng(1).uniform(-1, 1, (5, 6)).astype(np.float32)
    by_symbol = {s: table[i, : m.model_spec.n_account] for i, (s, m) in enumerate(models.items())}
    assert streams.decide(table).actions.tolist() == streams.decide(by_symbol).actions.tolist()


def test_missing_bar_keeps_a_symbols_window_and_a_revised_one_replaces_it(
    models: dict[str, NativeModelWrapper],
) -> None:
    """A symbol that is left out decides on what it has; a replaced window is decided on densely, and equally."""
    streams, bars, accounts = DecisionStreams(models), _bars(101), _accounts(models)
    for rows in bars[:100]:
        streams.push(rows)
    streams.prepare()
    streams.push({symbol: row for symbol, row in zip(models, bars[100], strict=True) if symbol != "B"})
    decisions = streams.decide(accounts)
    assert decisions["B"].action == _wanted(models["B"], bars[:100, 1], accounts["B"])
    assert decisions["C"].action == _wanted(models["C"], bars[1:, 2], accounts["C"])
    revised = bars[1:, 2].copy()
    revised[40] += 1
    streams.replace("C", revised)
    assert streams.report["C"] is Engine.DENSE
    assert streams.decide(accounts)["C"].action == _wanted(models["C"], revised, accounts["C"])


def test_symbol_added_in_mid_session_warms_up_while_others_decide(
    models: dict[str, NativeModelWrapper], model: NativeModelWrapper
) -> None:
    """Those who were there keep their windows; the newcomer decides with its hundredth bar, or from a window."""
    streams, bars, accounts = (
        DecisionStreams(models),
        _bars(210, symbols=6),
        {**_accounts(models), "F": np.zeros(6, "f4")},
    )
    for rows in bars[:100]:
        streams.push(rows[:5])
    streams.add("F", model)
    assert streams.ready.tolist() == [True] * 5 + [False]
    decisions = streams.decide(accounts)
    assert set(decisions) == set(models)
    assert decisions.actions[5] == NOT_DECIDED
    with pytest.raises(KeyError):
        decisions["F"]
    for rows in bars[100:200]:
        streams.push(rows)
    assert streams.decide(accounts)["F"].action == _wanted(model, bars[100:200, 5], accounts["F"])
    streams.replace("F", bars[:100, 5])
    assert streams.decide(accounts)["F"].action == _wanted(model, bars[:100, 5], accounts["F"])
    streams.remove("A")
    assert streams.symbols == ("B", "C", "D", "E", "F")
    streams.push(bars[200, 1:])
    with pytest.raises(SdkError, match="no such symbol"):
        streams.decide(accounts)
    del accounts["A"]
    assert list(streams.decide(accounts)) == list(streams.symbols)


def test_symbol_with_another_model_starts_anew(models: dict[str, NativeModelWrapper]) -> None:
    """Another file may mean other features: its window is not the old one's."""
    streams = DecisionStreams(models)
    for rows in _bars(100):
        streams.push(rows)
    streams.add("A", models["B"])
    assert streams.ready.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((4, 53), np.float32),
        np.zeros((5, 59), np.float32),
        np.full((5, 53), np.nan, np.float32),
        {"A": np.zeros(52, np.float32)},
        {"A": np.zeros(53, np.float32), "B": np.full(53, np.inf)},
        {"Z": np.zeros(53, np.float32)},
    ],
)
def test_refused_rows_push_nothing(models: dict[str, NativeModelWrapper], rows: object) -> None:
    """Of a refused push not even the symbols whose rows were right are pushed."""
    streams = DecisionStreams(models)
    for each in _bars(99):
        streams.push(each)
    with pytest.raises(SdkError):
        streams.push(rows)
    assert not streams.ready.any()


@pytest.mark.parametrize(
    "account",
    [None, {}, {"A": np.zeros(6, np.float32)}, np.zeros((5, 3), np.float32), np.full((5, 6), np.nan, np.float32)],
)
def test_accounts_must_be_the_models_own(models: dict[str, NativeModelWrapper], account: object) -> None:
    """Missing, narrower or non-finite account columns are E405."""
    streams = DecisionStreams(models)
    for each in _bars(100):
        streams.push(each)
    with pytest.raises(SdkError) as caught:
        streams.decide(account)
    assert caught.value.code == "E405"


def test_one_models_overflow_stops_no_other(models: dict[str, NativeModelWrapper]) -> None:
    """Rows so large that logits are no numbers: that symbol has no action, and says so when asked."""
    streams = DecisionStreams({symbol: models[symbol] for symbol in ("A", "D")})
    for rows in _bars(100, symbols=2):
        streams.push(rows)
    window = np.full((100, 53), 3e38, np.float32)
    window[::2] *= -1
    streams.replace("D", window)
    decisions = streams.decide({"A": np.zeros(6, np.float32)})
    assert (decisions.actions[0] != NOT_DECIDED, decisions.actions[1]) == (True, NOT_DECIDED)
    with pytest.raises(SdkError) as caught:
        decisions["D"]
    assert caught.value.code == "E404"
