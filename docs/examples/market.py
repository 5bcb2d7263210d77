"""What the examples have in common: a small simulated market, and environments on its training part."""

from pathlib import Path

import numpy as np

from trader_sdk import archive_run
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.data import load_bars
from trader_sdk.features import Ohlcv53Provider, build_schema
from training.env import TradingEnvs
from training.market import Market, blocks_of
from training.summary import Provenance, gate_block
from training.validation import Validator

SOURCE, SYMBOL, TIMEFRAME = "planted:bars=4000", "SIM", "1Min"
SPEC, COSTS, WINDOWS = MODEL_SPECS["2.7.0"], cost_model("us_equity@1"), 7

bars = load_bars(SOURCE, SYMBOL, TIMEFRAME)
schema = build_schema(SPEC.version, bars.timeframe, calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment)
market = Market.build(bars, Ohlcv53Provider(schema))
blocks = blocks_of(market, SPEC, None, WINDOWS)


def environments(num_envs=16, seed=7):
    """Return environments that stand on TRAIN; SELECT and GATE stay unseen."""
    rng = np.random.default_rng(seed)
    return TradingEnvs(
        market, blocks.train, SPEC, num_envs=num_envs, envs_per_bar=4, episode_bars=64, costs=COSTS, rng=rng
    )


def stamp():
    """Return what `save` should say of a policy that was trained here."""
    return {
        "model_version": SPEC.version,
        "feature_schema": schema.document(),
        "symbol": SYMBOL,
        "timeframe": TIMEFRAME,
        "extra": {"lineage": {"data_kind": bars.kind.value, "data_source": SOURCE, "data_digest": bars.digest}},
    }


def judge_and_archive(checkpoint, policy, folder: Path):
    """Judge a policy once on GATE, archive the run and return the verdict."""
    gate = Validator(market, SPEC, COSTS, WINDOWS).validate(policy, blocks.gate)
    four = ("fitness_score", "profit_factor", "consistency", "max_drawdown")
    archived = archive_run(
        folder / "archive",
        checkpoints=checkpoint,
        metrics={name: [getattr(gate.metrics, name)] for name in four},
        symbol=SYMBOL,
        timeframe=TIMEFRAME,
        gate={"final": gate_block(gate).model_dump(), "best": None},
        metric_set="house@1",
        drawdown_kind="equity",
        data=Provenance.of(bars, SOURCE).data_range(),
    )
    return archived.assessments[0]
