"""The board and the rules: costs, paired bars, reasons, and who is promoted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from training.zoo.leaderboard import Board, costs_of, leaderboard
from training.zoo.plays import Play, paired
from training.zoo.promotion import (
    DEFAULT_RULES,
    REASON_TEXTS,
    Pedigree,
    PromotionReason,
    best_of,
    candidates,
    matured_outcomes,
    watch_champion,
)

DAY = 86_400 * 10**9
BARS = 800
PLAIN = Pedigree()


def play(name: str, seed: int = 0, edge: float = 0.0, days: range = range(BARS), symbol: str = "SIM") -> Play:
    """Return a play that holds 20 % for some days, earns ``edge`` a day beyond the noise, and pays for each change."""
    rng = np.random.default_rng([7, seed])
    weight = 0.2 * np.repeat(rng.choice((-1.0, 0.0, 1.0), BARS // 5), 5)
    market = np.random.default_rng(99).normal(0, 0.01, BARS) + edge * np.sign(weight)
    cost = 0.00025 * np.abs(np.diff(weight, prepend=0.0))
    rows = slice(days.start, days.stop)
    return Play(name, symbol, np.arange(BARS)[rows] * DAY, weight[rows], market[rows], cost[rows])


def board_of(*plays: Play, baseline: str | None = "champion", n_trials: int = 1) -> Board:
    """Return the board of some plays, daily."""
    return leaderboard(plays, baseline=baseline, n_trials=n_trials, bars_per_year=252)


def reason_of(board: Board, name: str, pedigree: Pedigree = PLAIN, vintage: str = "") -> PromotionReason:
    """Return what the default rules say of a challenger."""
    pedigrees = {row.name: Pedigree() for row in board.rows} | {name: pedigree}
    judged = {each.name: each.reason for each in candidates(board, pedigrees, vintage=vintage)}
    return judged[name]


def test_costs_are_those_of_the_asset_class_and_are_multiplied_once() -> None:
    """Equities pay no commission, crypto the venue's; net at one, two and three times the costs."""
    assert costs_of("AAPL").commission_bps == 0
    assert (costs_of("BTC/USD").commission_bps, costs_of("BTC/USD").side_fraction) == (
        25,
        costs_of("ETH/USD").side_fraction,
    )
    one = play("a")
    (row,) = board_of(one, baseline=None).rows
    gross = one.weight * one.market_return
    for times, shown in zip((0, 1, 2, 3), (row.gross, row.net, row.net_2x, row.net_3x), strict=True):
        assert shown == pytest.approx(np.prod(1 + gross - times * one.cost) - 1)
    assert row.cost == pytest.approx(one.cost.sum())
    assert row.turnover == pytest.approx(np.abs(np.diff(one.weight, prepend=0.0)).mean())


def test_board_compares_on_the_bars_that_all_saw_and_names_who_saw_none() -> None:
    """A challenger that came later is not judged on days that the champion had for itself."""
    nothing = play("blind", days=range(0))
    board = board_of(play("champion", 1), play("late", 2, days=range(300, 700)), nothing)
    assert {row.n_bars for row in board.rows} == {400}
    assert board.paired.unseen == ("blind",)
    alone = board_of(play("champion", 1, days=range(300, 700)))
    assert board.row("champion").net == alone.rows[0].net  # type: ignore[union-attr] # it is there
    assert reason_of(board, "blind") is PromotionReason.SAW_NO_BARS


@pytest.mark.parametrize(
    ("a", "n", "b", "m"),
    [(0, 40, 0, 40), (0, 10, 10, 10), (0, 30, 20, 30), (26, 1, 0, 40), (5, 40, 25, 1), (40, 9, 1, 2)],
)
def test_paired_bars_are_the_intersection_symbol_by_symbol(a: int, n: int, b: int, m: int) -> None:
    """Two symbols, two variants: capital is shared by the symbols that both traded on a bar."""
    first = [play("x", 1, days=range(a, a + n)), play("x", 1, days=range(BARS), symbol="TWO")]
    second = [play("y", 2, days=range(b, b + m)), play("y", 2, days=range(20, 60), symbol="TWO")]
    found = paired([*first, *second])
    common = set(range(a, a + n)) & set(range(b, b + m))
    assert set(found.symbols) == ({"SIM", "TWO"} if common else {"TWO"})
    assert set((found.series["x"].start_at // DAY).tolist()) == common | set(range(20, 60))
    day = 25
    both = [play("x", 1), play("x", 1, symbol="TWO")] if day in common else [play("x", 1, symbol="TWO")]
    expected = np.mean([each.weight[day] * each.market_return[day] for each in both])
    row = int(np.flatnonzero(found.series["x"].start_at == day * DAY)[0])
    assert found.series["x"].gross[row] == pytest.approx(expected)


def test_few_bars_are_insufficient_instead_of_a_number() -> None:
    """Forty days say what was earned and nothing about luck."""
    board = board_of(play("champion", 1, days=range(40)), play("new", 2, edge=0.01, days=range(40)))
    row = board.row("new")
    assert row is not None
    assert not row.is_sufficient
    assert (row.deflated, row.track_record, board.superiority, board.overfitting) == (None, None, None, None)
    assert math.isfinite(row.net)
    assert reason_of(board, "new") is PromotionReason.INSUFFICIENT


def test_challenger_with_an_edge_is_eligible_and_what_is_tried_too_often_may_be_luck() -> None:
    """The same figures pass after a few trials and not after a hundred thousand."""
    plays = play("champion", 1), play("new", 2, edge=0.0022)
    assert reason_of(board_of(*plays, n_trials=3), "new") is PromotionReason.ELIGIBLE
    assert reason_of(board_of(*plays, n_trials=10**6), "new") is PromotionReason.MAY_BE_LUCK


@pytest.mark.parametrize(
    ("pedigree", "vintage", "reason"),
    [
        (Pedigree(horizon=20), "", PromotionReason.OTHER_HORIZON),
        (Pedigree(features="sha256:1"), "", PromotionReason.OTHER_FEATURES),
        (Pedigree(n_actions=3), "", PromotionReason.OTHER_ACTIONS),
        (Pedigree(data_digest="sha256:a"), "sha256:b", PromotionReason.OTHER_VINTAGE),
        (Pedigree(deployable=False), "", PromotionReason.NOT_APPROVED),
    ],
)
def test_challenger_of_another_kind_is_refused_however_good_it_is(
    pedigree: Pedigree, vintage: str, reason: PromotionReason
) -> None:
    """Horizon, features, actions, data vintage, and the gate's own verdict come before any figure."""
    board = board_of(play("champion", 1), play("new", 2, edge=0.003))
    assert reason_of(board, "new", pedigree, vintage) is reason


def test_reasons_name_the_first_bar_that_is_missed() -> None:
    """From too few outcomes to not better than the baseline, each alone."""
    champion, gifted = play("champion", 1), play("new", 2, edge=0.0022)
    good = board_of(champion, gifted)
    row, held = good.row("new"), good.row("champion")
    assert row is not None
    assert held is not None

    def always(name: str, days: int) -> Play:
        one = play(name, days=range(days))
        return replace(one, weight=np.full(days, 0.1))

    def changed(**changes: float) -> Board:
        return replace(good, rows=(replace(row, **changes), held))

    cases = {
        PromotionReason.NO_BASELINE: board_of(gifted, baseline="gone"),
        PromotionReason.TOO_FEW_OUTCOMES: board_of(*(replace(p, weight=p.weight * 0) for p in (champion, gifted))),
        PromotionReason.TOO_SHORT: board_of(always("champion", 27), always("new", 27)),
        PromotionReason.BELOW_MARGIN: changed(edge=0.01),
        PromotionReason.BELOW_MARGIN_AT_2X: changed(edge_2x=-0.2),
        PromotionReason.DEEPER_DRAWDOWN: changed(max_drawdown=held.max_drawdown + 1e-9),
    }
    assert {reason: reason_of(board, "new") for reason, board in cases.items()} == {reason: reason for reason in cases}


def test_every_reason_has_a_text_and_a_candidate_says_its_figure() -> None:
    """What a person reads is written down for each code."""
    assert set(REASON_TEXTS) == set(PromotionReason)
    board = board_of(play("champion", 1), play("worse", 2, edge=-0.002))
    (judged,) = candidates(board, {})
    assert str(judged).startswith("worse: below_margin: does not beat the baseline by the margin, net of costs (-")
    assert best_of([judged]) is None


def test_outcomes_do_not_share_bars_and_need_their_horizon_to_have_passed() -> None:
    """Forty held bars are forty outcomes at horizon 1 and two at horizon 20; the newest has not matured."""
    always = replace(play("a", days=range(40)), weight=np.full(40, 0.1))
    series = paired([always]).series["a"]
    assert (matured_outcomes(series, 1), matured_outcomes(series, 20), matured_outcomes(series, 41)) == (40, 2, 0)


def test_champion_that_earns_nothing_over_twenty_outcomes_chases_noise_and_is_loud() -> None:
    """Below twenty outcomes nothing is said; above, a loss is."""

    def watched(edge: float, days: int) -> str:
        return str(watch_champion(paired([play("a", 2, edge=edge, days=range(days))]).series["a"]))

    assert watched(-0.002, BARS).startswith("CHASING NOISE")
    assert watched(0.002, BARS).startswith("the champion earned +")
    assert "over 0 outcomes" in watched(-0.002, 3) or "CHASING" not in watched(-0.002, 3)
    assert DEFAULT_RULES.min_outcomes == 20
