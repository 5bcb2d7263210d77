"""The backtest: what it refuses, and that it is the arithmetic it claims to be."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper, target_notional
from trader_sdk.archive.walk import NO_DECISION
from trader_sdk.backtest import backtest, check_timeframe, doubts_about, overlapping_bars, parse_time_ns
from trader_sdk.cli.backtest import text_lines
from trader_sdk.cli.backtest_page import page
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import DataError, LifecycleError, UsageError
from trader_sdk.contract.sleeve import SleeveArray
from trader_sdk.features import ObservationBuilder, Ohlcv53Provider, schema_from

FREE = cost_model("us_equity@1").scaled(0)


def provider_of(model: NativeModelWrapper) -> Ohlcv53Provider:
    """Return the model's own features."""
    return Ohlcv53Provider(schema_from(model.metadata["feature_schema"]))


def after_training(model: NativeModelWrapper) -> int:
    """Return the end of the model's training range, ns."""
    return parse_time_ns(model.metadata["data_end"], "data_end")


def test_backtest_refuses_bars_of_the_training_range_and_says_how_to_go_on(
    model: NativeModelWrapper, bars: Bars
) -> None:
    """E705 with the count and the option that makes the rest usable."""
    with pytest.raises(LifecycleError) as caught:
        backtest(model, bars, provider=provider_of(model))
    assert caught.value.code == "E705"
    assert caught.value.exit_code == 5
    assert f"--from {model.metadata['data_end']}" in caught.value.remedy


def test_backtest_after_the_range_is_out_of_sample_and_before_it_is_marked(
    model: NativeModelWrapper, bars: Bars
) -> None:
    """2,000 later bars are a test; the same call with ``in_sample`` says what it is."""
    later = backtest(model, bars, provider=provider_of(model), first_bar_ns=after_training(model))
    assert len(later.bars) == 2000
    assert not later.in_sample
    inside = backtest(model, bars.slice(0, 3000), provider=provider_of(model), in_sample=True)
    assert inside.in_sample


def test_one_bar_of_the_training_range_is_enough_to_refuse(model: NativeModelWrapper, bars: Bars) -> None:
    """The first bar that starts at ``data_end`` is free, the one before is not."""
    end = after_training(model)
    assert overlapping_bars(bars.slice(62_000, 64_000), model.metadata) == 0
    assert overlapping_bars(bars.slice(61_999, 64_000), model.metadata) == 1
    with pytest.raises(LifecycleError):
        backtest(model, bars, provider=provider_of(model), first_bar_ns=end - 1 - 60 * 10**9)


def test_backtest_decides_as_the_model_decides_bar_by_bar(model: NativeModelWrapper, bars: Bars) -> None:
    """120 bars again with ``decide`` on whole observations, ``target_notional`` in Decimal and a sleeve of one."""
    part = bars.slice(0, 62_120)
    result = backtest(model, part, provider=provider_of(model), first_bar_ns=after_training(model))
    builder, costs = ObservationBuilder.for_model(model), cost_model("us_equity@1")
    builder.extend(part.slice(61_000, 62_000))
    sleeve = SleeveArray.start(np.array([10_000.0]))
    for index in range(119):
        bar, following = part.at(62_000 + index), part.at(62_001 + index)
        builder.push(bar)
        close = np.array([bar.close])
        sleeve.mark(close)
        decision = model.decide(builder.observe(sleeve.columns(close, 6)[0]))
        assert decision.action == result.actions[index]
        position = float(sleeve.position_value(close)[0])
        target = target_notional(decision, equity=Decimal(float(sleeve.equity(close)[0])), position=Decimal(position))
        sleeve.fill(np.array([(float(target) - position) / bar.close]), np.array([following.open]), costs)
    last = np.array([part.close[-1]])
    sleeve.fill(-sleeve.shares, last, costs)
    assert result.equity[-1] == pytest.approx(sleeve.cash[0], rel=1e-9)


def test_ledger_compounds_to_the_equity_of_the_sleeve(model: NativeModelWrapper, bars: Bars) -> None:
    """Bar returns of the metric set and money of the sleeve are one account: flat first, closed last."""
    result = backtest(model, bars, provider=provider_of(model), first_bar_ns=after_training(model))
    assert 10_000.0 * (1 + result.net_return) == pytest.approx(result.equity[-1], rel=1e-12)
    assert result.ledger.weight[0] == 0.0
    assert result.ledger.cost[0] == 0.0
    assert result.position_weight[-1] == 0.0
    assert result.actions[-1] == NO_DECISION
    assert np.abs(result.ledger.weight).max() <= 0.21


def test_ledger_trades_are_flat_to_flat_and_their_sum_is_the_result(model: NativeModelWrapper, bars: Bars) -> None:
    """Without costs and with them: the trades explain the whole profit, to the drift of equity between them."""
    result = backtest(model, bars, provider=provider_of(model), first_bar_ns=after_training(model))
    assert result.n_trades > 20
    assert float(np.prod(1 + result.ledger.trades)) - 1 == pytest.approx(result.net_return, rel=2e-2)


def test_costs_are_all_that_separates_a_free_backtest_of_equal_decisions(model: NativeModelWrapper, bars: Bars) -> None:
    """The same first trades cheaper: no cost without costs, more cost with more."""
    provider, first = provider_of(model), after_training(model)
    free, plain = (
        backtest(model, bars, provider=provider, first_bar_ns=first, costs=costs)
        for costs in (FREE, cost_model("us_equity@1"))
    )
    assert free.cost_total == 0.0
    assert plain.cost_total > 0.0
    assert free.net_return > plain.net_return


def test_later_bars_change_nothing_that_was_decided_before(model: NativeModelWrapper, bars: Bars) -> None:
    """The first 300 of 390 bars, with and without the other 90: same decisions, same equity until the forced close."""
    provider, first = provider_of(model), after_training(model)
    long = backtest(model, bars.slice(0, 62_390), provider=provider, first_bar_ns=first)
    short = backtest(model, bars.slice(0, 62_300), provider=provider, first_bar_ns=first)
    assert (long.actions[:299] == short.actions[:299]).all()
    assert long.equity[:299] == pytest.approx(short.equity[:299], rel=1e-12)


def test_buy_and_hold_buys_and_sells_the_market_at_full_cost(model: NativeModelWrapper, bars: Bars) -> None:
    """Bought at the open after the first decision, sold at the last close, 2.5 bps a side."""
    result = backtest(model, bars, provider=provider_of(model), first_bar_ns=after_training(model))
    market = bars.close[-1] / bars.open[62_001]
    assert result.buy_and_hold == pytest.approx(market * (1 - 0.00025) / (1 + 0.00025) - 1)


@pytest.mark.parametrize(("count", "first"), [(300, None), (64_000, 2**62)])
def test_backtest_refuses_too_few_bars(model: NativeModelWrapper, bars: Bars, count: int, first: int | None) -> None:
    """Not even a window, or nothing after the start."""
    with pytest.raises(DataError):
        backtest(model, bars.slice(0, count), provider=provider_of(model), first_bar_ns=first, in_sample=True)


def test_check_timeframe_refuses_bars_of_another_length(bars: Bars) -> None:
    """A minute model on minutes is right, on days it is not."""
    check_timeframe(bars, "1Min")
    with pytest.raises(UsageError):
        check_timeframe(bars, "1Day")


def test_a_model_that_states_no_range_is_not_refused(bars: Bars) -> None:
    """Nothing stated, nothing to hold against it."""
    assert overlapping_bars(bars, {}) == 0
    assert overlapping_bars(bars, {"data_end": "2021-01-04T14:31:00Z"}) == 1


def test_a_model_of_another_symbol_or_of_unknown_bars_is_doubted_aloud(bars: Bars) -> None:
    """What the figures cannot show is said beside them; a model on its own later bars raises no doubt."""
    stated = {"symbol": bars.symbol, "data_end": "2021-08-19T19:50:00Z"}
    assert list(doubts_about(bars, stated)) == []
    assert ["trained on AAPL" in doubt for doubt in doubts_about(bars, {**stated, "symbol": "AAPL"})] == [True]
    assert ["does not say" in doubt for doubt in doubts_about(bars, {"symbol": bars.symbol})] == [True]


def test_every_output_shows_the_doubts(model: NativeModelWrapper, bars: Bars) -> None:
    """Figures, lines and page: the note is in each."""
    result = backtest(model, replace(bars, symbol="SIM2"), provider=provider_of(model), in_sample=True)
    (doubt,) = result.doubts
    assert result.to_dict()["doubts"] == [doubt]
    assert f"NOTE: {doubt}" in text_lines(Path("model.pt"), result)
    assert doubt in page("model.pt", result)
