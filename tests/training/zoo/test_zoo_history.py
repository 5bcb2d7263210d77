"""Variants on past bars, many at once, against one symbol after the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trader_sdk.archive.walk import walk_tracks
from trader_sdk.contract.costs import cost_model
from training.zoo.history import Stage, Variant, policy_of, score_all, stage_of
from training.zoo.plays import Play, Series, paired


def alone_on(variant: Variant, stages: list[Stage]) -> Series:
    """Return the series of a variant that walks one symbol after the other."""
    policy, spec = policy_of(variant.checkpoint)
    plays = []
    for stage in stages:
        (walk,) = walk_tracks(policy, spec, [stage.track()], costs=stage.costs)
        seen = walk.ledger
        plays.append(Play(variant.name, stage.symbol, seen.start_at, seen.weight, seen.market_return, seen.cost))
    return paired(plays).series[variant.name]


def test_scores_are_those_of_each_variant_alone_in_one_process_and_in_two(sample_zoo: Any, tmp_path: Path) -> None:
    """Nets of one shape and another, symbols of other lengths and costs: each as its policy walks each symbol alone."""
    bars = sample_zoo.settings.load()
    stage = stage_of(bars, tmp_path, model_version="2.7.0", since_ns=int(bars.t[-1_100]))
    stages = [stage, replace(stage, symbol="LATER", first=stage.first + 700)]
    stages.append(replace(stage, symbol="PAIR", first=stage.first + 100, costs=cost_model("crypto@1")))
    variants = [
        Variant(r.spec_id, next((Path(r.folder) / "run" / "ckpt").glob("u*.pt"))) for r in sample_zoo.results[:3]
    ]
    together, apart = score_all(variants, stages), score_all(variants, stages, at_once=2)
    assert together.symbols == ("SIM", "LATER", "PAIR")
    assert list(together.series) == list(apart.series) == [variant.name for variant in variants]
    for variant in variants:
        alone = alone_on(variant, stages)
        for name in ("gross", "cost", "excess", "turnover", "exposed"):
            for scored in (together.series[variant.name], apart.series[variant.name]):
                np.testing.assert_allclose(getattr(scored, name), getattr(alone, name), rtol=1e-9, atol=1e-12)
        assert together.series[variant.name].n_trades == alone.n_trades
    assert together.series["default"].exposed.any()
