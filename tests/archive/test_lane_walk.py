"""Many policies on many tracks at once against each policy on each track alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trader_sdk.archive.notes import NO_DECISION, Closing, Step
from trader_sdk.archive.walk import Prices, Track, Walk, walk_policies, walk_tracks
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.spec import MODEL_SPECS, ModelSpec
from trader_sdk.engine.dense import DensePolicy

MINUTE = 60 * 10**9
NEAR = 1e-9


def policy_of(spec: ModelSpec, seed: int, *, hidden: tuple[int, ...] = (12, 6), tied: bool = False) -> DensePolicy:
    """Return a policy that looks at its account; a tied one has two actions that rounding alone tells apart."""
    rng = np.random.default_rng([4, seed])
    layers, width = [], spec.obs_dim
    for out in (*hidden, spec.n_actions):
        layers.append([rng.normal(0, 1.5 / width**0.5, (out, width)), rng.normal(0, 0.1, out)])
        width = out
    layers[0][0].reshape(hidden[0], spec.window, -1)[:, :, 53:] *= 3.0
    if tied:
        layers[-1][0][2], layers[-1][1][1:3] = layers[-1][0][1], 1.0
    return DensePolicy([(weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in layers], "tanh")


def track_of(seed: int, length: int, *, gaps: bool = False) -> Track:
    """Return a track whose opens are far from the closes before them; with gaps, some bars are not decided on."""
    rng = np.random.default_rng([5, seed])
    count = 99 + length
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, count)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.01, count))
    t = np.cumsum(np.where(rng.random(count) < 0.1, 7, 1) if gaps else np.ones(count, np.int64)) * MINUTE
    asked = rng.random(count) < 0.8 if gaps else None
    market = rng.normal(size=(count, 53)).astype(np.float32)
    return Track(market, Prices(t, opens, close, 60, asked), range(99, count))


class Ledgers:
    """Notes of every lane as rows of numbers."""

    def __init__(self, n_policies: int, lengths: list[int]) -> None:
        self.n_policies, self.tracks = n_policies, len(lengths)
        shape = (n_policies, len(lengths), max(lengths))
        self.weight, self.cost, self.equity = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.actions = np.full(shape, NO_DECISION)

    def note(self, bar: int, step: Step) -> None:
        """Note a bar."""
        self.actions[:, : self.tracks, bar - 1] = step.actions.reshape(self.n_policies, -1)
        for name in ("weight", "cost", "equity"):
            getattr(self, name)[:, : self.tracks, bar] = getattr(step, name).reshape(self.n_policies, -1)

    def close_out(self, bar: int, closing: Closing) -> None:
        """Note which lanes ended, and go on with the others."""
        self.cost[:, : self.tracks, bar] += closing.cost.reshape(self.n_policies, -1)
        ended, cash = (each.reshape(self.n_policies, -1) for each in (closing.lanes, closing.cash))
        self.equity[:, : self.tracks, bar] = np.where(ended, cash, self.equity[:, : self.tracks, bar])
        self.tracks -= int(ended[0].sum())


def check_lanes(
    policies: list[DensePolicy], spec: ModelSpec, tracks: list[Track], costs: str, *, allow_short: bool = False
) -> NDArray[np.int64]:
    """Compare every lane with its policy alone on its track; return all actions."""
    limits, model = ExecutionLimits(allow_short=allow_short), cost_model(costs)
    notes = Ledgers(len(policies), [len(track.window) for track in tracks])
    walk_policies(policies, spec, tracks, notes, costs=model, limits=limits)
    for place, policy in enumerate(policies):
        for number, track in enumerate(tracks):
            (alone,) = walk_tracks(policy, spec, [track], costs=model, limits=limits)
            check_lane(alone, notes, place, number)
    return notes.actions


def check_lane(alone: Walk, notes: Ledgers, place: int, number: int) -> None:
    """Compare one lane with a walk: the same actions, money to a billionth."""
    bars = slice(0, len(alone.actions))
    assert notes.actions[place, number, bars].tolist() == alone.actions.tolist()
    np.testing.assert_allclose(notes.weight[place, number, bars], alone.ledger.weight, rtol=NEAR, atol=NEAR)
    np.testing.assert_allclose(notes.cost[place, number, bars], alone.ledger.cost, rtol=NEAR, atol=NEAR * 1e-3)
    np.testing.assert_allclose(notes.equity[place, number, bars][1:], alone.equity[1:], rtol=NEAR)


@pytest.mark.parametrize("version", ["2.3.0", "2.4.0", "2.7.0"])
def test_lanes_of_every_version_decide_and_earn_what_each_policy_does_alone(version: str) -> None:
    """No, three or six account columns; tracks that end before others, and bars that are not decided on."""
    spec = MODEL_SPECS[version]
    policies = [policy_of(spec, seed) for seed in range(3)]
    tracks = [track_of(1, 190), track_of(2, 170, gaps=True), track_of(3, 170), track_of(4, 40)]
    actions = check_lanes(policies, spec, tracks, "us_equity@1", allow_short=True)
    assert len(np.unique(actions)) > 3


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(2, 70), min_size=1, max_size=4),
    n_policies=st.integers(1, 4),
    gaps=st.booleans(),
    allow_short=st.booleans(),
    costs=st.sampled_from(["us_equity@1", "crypto@1"]),
    tied=st.booleans(),
)
def test_any_lanes_are_their_policies_alone(
    seed: int, lengths: list[int], n_policies: int, gaps: bool, allow_short: bool, costs: str, tied: bool
) -> None:
    """Any number of policies and tracks of any lengths, ties that only whole observations decide among them."""
    spec = MODEL_SPECS["2.7.0"]
    policies = [policy_of(spec, seed + place, tied=tied) for place in range(n_policies)]
    tracks = [track_of(seed + n, length, gaps=gaps) for n, length in enumerate(sorted(lengths, reverse=True))]
    actions = check_lanes(policies, spec, tracks, costs, allow_short=allow_short)
    assert actions.shape == (n_policies, len(lengths), max(lengths))


def test_lanes_go_on_from_block_to_block_of_a_filtered_history() -> None:
    """Past the length from which the first layers are one filter, over several of its blocks."""
    spec = MODEL_SPECS["2.7.0"]
    policies = [policy_of(spec, seed, hidden=(8, 4)) for seed in range(2)]
    actions = check_lanes(policies, spec, [track_of(1, 700), track_of(2, 400)], "us_equity@1")
    assert len(np.unique(actions)) > 3


@pytest.mark.parametrize("window", [range(98, 200), range(99, 300), range(99, 100)])
def test_track_that_cannot_be_traded_is_refused_before_anything_is_noted(window: range) -> None:
    """Too early for a whole window, beyond the bars, or without a bar to fill on."""
    good = track_of(1, 150)
    notes = Ledgers(1, [150, 150])
    with pytest.raises(DataError):
        walk_policies(
            [policy_of(MODEL_SPECS["2.7.0"], 1)],
            MODEL_SPECS["2.7.0"],
            [good, good._replace(window=window)],
            notes,
            costs=cost_model("us_equity@1"),
        )
    assert not notes.equity.any()
