"""Time in the environment: missing bars, nights, splits, halts, crypto, sessions that end early."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import get_calendar, load_bars, write_bars
from training.cli import run_app
from training.env import TradingEnvs
from training.market import Market, blocks_of
from training.run_log import read_metrics

MarketMaker = Callable[..., Market]
EnvMaker = Callable[..., TradingEnvs]

BUY_75, SELL_75 = 3, 6
YEAR_NS = 365 * 86_400 * 10**9
SHORTS = ExecutionLimits(allow_short=True)
GAPS = st.lists(st.integers(150, 780), min_size=1, max_size=4, unique=True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), missing=GAPS, costs=st.sampled_from(["us_equity@1", "crypto@1"]))
def test_money_is_conserved_over_missing_bars_with_shorts(
    make_market: MarketMaker, make_envs: EnvMaker, seed: int, missing: list[int], costs: str
) -> None:
    """Equity moves by gains, costs and the borrow of what was short since the open before, by calendar time."""
    market, model = make_market(missing=missing), cost_model(costs)
    envs = make_envs(market, rng=np.random.default_rng(seed), limits=SHORTS, costs=model)
    prices, rate = market.prices, float(model.borrow_bps_per_year) / 10_000
    for row in np.random.default_rng(seed + 1).integers(0, 7, (60, envs.num_envs)):
        now, cash, shares = envs.rows, envs.sleeves.cash.copy(), envs.sleeves.shares.copy()
        equity = cash + shares * prices.close[now]
        result = envs.step(row)
        if (result.terminated | result.truncated).any():
            continue
        held, opened = envs.sleeves.shares, prices.open[now + 1]
        traded = np.abs(held - shares)
        flow = -(held - shares) * opened - traded * opened * float(model.price_fraction)
        paid = np.abs(flow) * float(model.commission_fraction)
        borrow = np.maximum(-shares * opened, 0.0) * rate * (prices.t[now + 1] - prices.t[now]) / YEAR_NS
        assert envs.sleeves.cash == pytest.approx(cash + flow - paid - borrow, rel=1e-12)
        grown = np.log((envs.sleeves.cash + held * prices.close[now + 1]) / equity)
        assert result.rewards == pytest.approx(grown / envs.reward_unit, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), missing=GAPS)
def test_episodes_end_before_a_missing_bar_and_never_stand_near_one(
    make_market: MarketMaker, make_envs: EnvMaker, seed: int, missing: list[int]
) -> None:
    """Every row that is stood on has its hundred bars, every step is to the bar that follows it, and none is lost."""
    market = make_market(missing=missing)
    minutes = market.prices.t // (60 * 10**9)
    envs = make_envs(market, rng=np.random.default_rng(seed))
    hold = np.zeros(envs.num_envs, dtype=np.int64)
    for _ in range(120):
        before = envs.bar.copy()
        result = envs.step(hold)
        assert (minutes[result.final.rows] == minutes[before] + 1).all()
        assert (minutes[envs.bar] - minutes[envs.bar - 99] == 99).all()
        stayed = ~result.truncated.reshape(2, 4)[:, 0]
        assert (envs.bar[stayed] == before[stayed] + 1).all()


def test_what_happened_before_does_not_depend_on_bars_that_go_missing_later(
    make_market: MarketMaker, make_envs: EnvMaker
) -> None:
    """Bars from 200 on are other ones, or not there: the steps before see and earn the same to the bit."""
    seen = []
    for missing, factor in (((), 1.0), ((260, 261), 1.0), ((300,), 1.5)):
        plain = make_market()
        later = np.where(np.arange(len(plain.features)) >= 200, factor, 1.0)
        market = make_market(plain.prices.close * later, plain.prices.open * later, missing=missing)
        envs = make_envs(market, episode_bars=600, limits=SHORTS)
        envs.bar[:], envs.age[:] = [110, 150], 0
        envs.sleeves.reset(np.ones(8, dtype=np.bool_), np.full(8, 10_000.0))
        rows = np.random.default_rng(3).integers(0, 7, (40, 8))
        seen.append([(envs.step(row), envs.observe().account.tobytes(), envs.equity().tobytes())[1:] for row in rows])
    assert seen[0] == seen[1] == seen[2]


def test_bar_without_volume_is_not_decided_on(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """As live: whatever the policy says there, nothing is traded."""
    market = make_market()
    volume = np.ones(800)
    volume[400] = 0.0
    bars = market.bars
    halted = Bars(
        bars.symbol, bars.timeframe, bars.t, bars.open, bars.high, bars.low, bars.close, volume, bars.kind, "x", "raw",
        "24/7",
    )  # fmt: skip
    envs = make_envs(Market(halted, market.features, 0))
    traded = []
    for row in (399, 400, 401):
        envs.bar[:], envs.age[:] = row, 0
        before = envs.sleeves.shares.copy()
        envs.step(np.full(8, BUY_75))
        traded.append(bool((envs.sleeves.shares != before).any()))
    assert traded == [True, False, True]


def test_adjusting_for_a_split_changes_nothing_that_is_learned(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """All prices a seventh, as after a later split: the same rewards and account columns."""
    close = make_market().prices.close
    seen = []
    for prices in (close, close / 7):
        envs = make_envs(make_market(prices))
        rows = np.random.default_rng(1).integers(0, 7, (50, 8))
        seen.append(np.array([np.append(envs.step(row).rewards, envs.observe().account) for row in rows]))
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-6, atol=1e-9)


def test_borrow_is_paid_for_the_night_and_the_weekend(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """A short over 2.5 days of missing bars pays for 2.5 days, not for a minute; long sleeves pay nothing."""
    market = make_market(np.full(5_000, 100.0), missing=range(1_200, 4_800))
    envs = make_envs(market, block=range(99, 1_400), limits=SHORTS, num_envs=4)
    years = market.prices.years
    assert years[1_200] == pytest.approx(3_601 / (365 * 1_440))
    envs.sleeves.reset(np.ones(4, dtype=np.bool_), np.full(4, 10_000.0))
    envs.sleeves.shares[:] = [-10.0, 10.0, 0.0, -5.0]
    paid = envs.sleeves.pay_borrow(np.full(4, 100.0), envs.costs, years[[1_200] * 4])
    assert paid == pytest.approx(np.array([1_000, 0, 0, 500]) * 0.005 * 3_601 / (365 * 1_440))


def test_blocks_count_only_bars_that_have_their_window(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """A market with a hole every hundred bars has no window to train on, and both doors say so."""
    market = make_market(*2 * [np.full(3_000, 100.0)], missing=range(50, 3_000, 100))
    with pytest.raises(DataError, match="left out"):
        blocks_of(market, make_envs().spec, None, 7)
    with pytest.raises(DataError, match="missing in every window"):
        make_envs(market)


def minutes_file(path: Path, symbol: str, *, days: int, holes: int = 0, jump: float = 1.0, **stated: Any) -> Path:
    """Write random minute bars of a symbol over whole sessions around an early close; some are missing."""
    calendar = "24/7" if "/" in symbol else "XNYS"
    first = datetime(2024, 11, 27, tzinfo=UTC)  # the 29th closes at one o'clock in New York
    t = get_calendar(calendar).bars_between(first, first + timedelta(days=days), Timeframe.MIN_1)
    rng = np.random.default_rng(5)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.002, len(t))))
    close[t >= t[len(t) // 2]] /= jump
    open_ = np.concatenate([close[:1], close[:-1]])
    open_[len(t) // 2] = close[len(t) // 2]
    there = np.setdiff1d(np.arange(len(t)), rng.choice(len(t) - 20, holes, replace=False) + 10)
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    columns = [each[there] for each in (t, open_, high, low, close, np.full(len(t), 0.125))]
    said: dict[str, Any] = {"feed": "file", "adjustment": "split", **stated}
    write_bars(Bars(symbol, Timeframe.MIN_1, *columns, DataKind.REAL, **said, calendar=calendar), path)
    return path


def command(file: Path, symbol: str, folder: Path, *more: str) -> list[str]:
    """Return the arguments of a run that is as short as a run can be."""
    short = ["--hidden", "4", "--total-steps", "8192", "--archive", str(folder / "archive"), "--json", "1"]
    where = ["--data", str(file), "--symbol", symbol, "--timeframe", "1Min", "--out", str(folder / "run")]
    return ["run", *where, *short, *more]


def test_run_trains_on_bars_with_gaps_only_when_they_are_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes over an early close, three of them missing: refused with one line, accepted with the flag, and said."""
    file = minutes_file(tmp_path / "bars.csv", "XYZ", days=16, holes=3)
    assert run_app(command(file, "XYZ", tmp_path)) == 2
    refusal = capsys.readouterr().err.strip().splitlines()
    assert len(refusal) == 1
    assert "3 missing" in refusal[0]
    assert "--allow-gaps" in refusal[0]
    assert run_app(command(file, "XYZ", tmp_path, "--allow-gaps", "1")) == 0
    captured = capsys.readouterr()
    assert "bars are missing" in captured.err
    (verdict,) = json.loads(captured.out.splitlines()[-1])["verdicts"]
    assert verdict["data"]["kind"] == "real"
    assert json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["notices"]


def test_run_trains_over_an_early_close_as_over_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No bar is missing after one o'clock on the day after Thanksgiving: nothing is refused and nothing is said."""
    file = minutes_file(tmp_path / "bars.csv", "XYZ", days=14)
    bars = load_bars(str(file), "XYZ", "1Min")
    assert (np.diff(bars.t) == (20.5 + 48) * 3_600 * 10**9 + 60 * 10**9).sum() == 1
    assert run_app(command(file, "XYZ", tmp_path)) == 0
    assert "missing" not in capsys.readouterr().err


def test_run_trains_crypto_around_the_clock_at_its_own_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """BTC/USD over a weekend: the calendar and the cost model come from the asset class, positions are fractions."""
    file = minutes_file(tmp_path / "bars.csv", "BTC/USD", days=3)
    assert run_app(command(file, "BTC/USD", tmp_path)) == 0
    (verdict,) = json.loads(capsys.readouterr().out.splitlines()[-1])["verdicts"]
    assert verdict["cost_model"] == "crypto@1"
    assert any(fact["event"] == "gate_opened" for fact in read_metrics(tmp_path / "run"))


@pytest.mark.parametrize(("adjustment", "code"), [("raw", 2), ("split", 0)])
def test_run_refuses_unadjusted_bars_over_a_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], adjustment: str, code: int
) -> None:
    """A quarter of the price overnight: refused where nobody adjusted, said where the bars claim to be adjusted."""
    file = minutes_file(tmp_path / "bars.csv", "XYZ", days=14, jump=4.0, adjustment=adjustment)
    assert run_app(command(file, "XYZ", tmp_path)) == code
    assert "opens at 0.25 of the close before, as after a split" in capsys.readouterr().err
    assert (tmp_path / "run").exists() == (code == 0)
