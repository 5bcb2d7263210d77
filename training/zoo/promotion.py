"""Who may be promoted, with a reason for each who may not; and whether the champion still earns its place. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np

from training.zoo.leaderboard import Board
from training.zoo.plays import Series

_WEEK_NS: Final = 7 * 86_400 * 10**9


class PromotionReason(StrEnum):
    """What stands between a candidate and its promotion; the first that applies."""

    ELIGIBLE = "eligible"
    OTHER_HORIZON = "other_horizon"
    OTHER_FEATURES = "other_features"
    OTHER_ACTIONS = "other_actions"
    OTHER_VINTAGE = "other_vintage"
    NOT_APPROVED = "not_approved"
    SAW_NO_BARS = "saw_no_bars"
    NO_BASELINE = "no_baseline"
    TOO_FEW_OUTCOMES = "too_few_outcomes"
    TOO_SHORT = "too_short"
    INSUFFICIENT = "insufficient"
    BELOW_MARGIN = "below_margin"
    BELOW_MARGIN_AT_2X = "below_margin_at_2x"
    DEEPER_DRAWDOWN = "deeper_drawdown"
    MAY_BE_LUCK = "may_be_luck"


REASON_TEXTS: Final[Mapping[PromotionReason, str]] = MappingProxyType(
    {
        PromotionReason.ELIGIBLE: "may be promoted",
        PromotionReason.OTHER_HORIZON: "looks further ahead, or less far, than the slot's champion",
        PromotionReason.OTHER_FEATURES: "was trained on other features than the slot's champion",
        PromotionReason.OTHER_ACTIONS: "has other actions than the slot's champion",
        PromotionReason.OTHER_VINTAGE: "was trained on other data than the baseline",
        PromotionReason.NOT_APPROVED: "the gate did not approve it; it is only watched",
        PromotionReason.SAW_NO_BARS: "saw no bars; is its symbol traded?",
        PromotionReason.NO_BASELINE: "nothing to be compared with",
        PromotionReason.TOO_FEW_OUTCOMES: "too few decisions whose horizon has passed",
        PromotionReason.TOO_SHORT: "watched for too short a time",
        PromotionReason.INSUFFICIENT: "too few bars to tell skill from luck",
        PromotionReason.BELOW_MARGIN: "does not beat the baseline by the margin, net of costs",
        PromotionReason.BELOW_MARGIN_AT_2X: "does not beat the baseline by the margin at twice the costs",
        PromotionReason.DEEPER_DRAWDOWN: "falls deeper than the baseline",
        PromotionReason.MAY_BE_LUCK: "could be the luck of the best of all that were tried",
    }
)


@dataclass(frozen=True, slots=True)
class PromotionRules:
    """What is asked for.

    Attributes:
        min_outcomes: Matured outcomes.
        min_weeks: Between the first and the last bar.
        margin: Mean net return a year beyond the baseline's, at one and at two times the costs.
        min_deflated: Deflated Sharpe ratio at the ledger's count of trials.
        drawdown_tolerance: How much deeper than the baseline's the drawdown may be.
    """

    min_outcomes: int = 20
    min_weeks: float = 4.0
    margin: float = 0.01
    min_deflated: float = 0.95
    drawdown_tolerance: float = 0.0


DEFAULT_RULES: Final = PromotionRules()


@dataclass(frozen=True, slots=True)
class Pedigree:
    """What a version is, beside what it earned.

    Attributes:
        horizon: Bars that its evaluation looks ahead, declared at registration.
        features: Digest of its feature schema, or the names of its feature sets.
        n_actions: Size of its action space.
        data_digest: Bars that it was trained on; empty where nobody said.
        deployable: Whether the gate, or a person's override, lets it trade.
    """

    horizon: int = 1
    features: str = ""
    n_actions: int = 0
    data_digest: str = ""
    deployable: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """One challenger and what is said of it.

    Attributes:
        name: Of the variant.
        reason: Why it may not be promoted, or that it may.
        found: The figure that decided.
        expected: What was asked for.
    """

    name: str
    reason: PromotionReason
    found: str = ""
    expected: str = ""

    @property
    def is_eligible(self) -> bool:
        """Return whether it may be promoted."""
        return self.reason is PromotionReason.ELIGIBLE

    def __str__(self) -> str:
        asked = f" ({self.found}, asked for {self.expected})" if self.expected else ""
        return f"{self.name}: {self.reason.value}: {REASON_TEXTS[self.reason]}{asked}"


def candidates(
    board: Board,
    pedigrees: Mapping[str, Pedigree],
    rules: PromotionRules = DEFAULT_RULES,
    *,
    vintage: str = "",
) -> tuple[Candidate, ...]:
    """Judge every challenger of a board.

    Args:
        board: Ranked variants and the baseline.
        pedigrees: What each is; that of the baseline is what the slot holds.
        rules: What is asked for.
        vintage: Digest of the bars that the baseline was trained on; challengers of other bars are not compared. Empty
            where vintages are not known.

    Returns:
        One a challenger, in the board's order, those that saw nothing last.
    """
    names = [row.name for row in board.rows if row.name != board.baseline]
    judged = [_judged(board, name, pedigrees, rules, vintage) for name in names]
    return (*judged, *(Candidate(name, PromotionReason.SAW_NO_BARS) for name in board.paired.unseen))


def best_of(judged: Sequence[Candidate]) -> Candidate | None:
    """Return the eligible candidate that stands highest on the board."""
    return next((candidate for candidate in judged if candidate.is_eligible), None)


def _judged(
    board: Board, name: str, pedigrees: Mapping[str, Pedigree], rules: PromotionRules, vintage: str
) -> Candidate:
    if board.baseline is None:
        return Candidate(name, PromotionReason.NO_BASELINE)
    mine, held = pedigrees.get(name, Pedigree()), pedigrees.get(board.baseline, Pedigree())
    for refusal in (_other_kind(name, mine, held, vintage), _too_little(board, name, mine, rules)):
        if refusal is not None:
            return refusal
    return _not_better(board, name, rules) or Candidate(name, PromotionReason.ELIGIBLE)


def _other_kind(name: str, mine: Pedigree, held: Pedigree, vintage: str) -> Candidate | None:
    checks = (
        (PromotionReason.OTHER_HORIZON, mine.horizon, held.horizon),
        (PromotionReason.OTHER_FEATURES, mine.features, held.features),
        (PromotionReason.OTHER_ACTIONS, mine.n_actions, held.n_actions),
        (PromotionReason.OTHER_VINTAGE, mine.data_digest, vintage or mine.data_digest),
        (PromotionReason.NOT_APPROVED, "REVIEW" if not mine.deployable else "APPROVED", "APPROVED"),
    )
    return next(
        (Candidate(name, why, str(found)[:24], str(asked)[:24]) for why, found, asked in checks if found != asked), None
    )


def _too_little(board: Board, name: str, mine: Pedigree, rules: PromotionRules) -> Candidate | None:
    series = board.paired.series[name]
    outcomes, weeks = matured_outcomes(series, mine.horizon), weeks_of(series)
    if outcomes < rules.min_outcomes:
        return Candidate(name, PromotionReason.TOO_FEW_OUTCOMES, str(outcomes), str(rules.min_outcomes))
    if weeks < rules.min_weeks:
        return Candidate(name, PromotionReason.TOO_SHORT, f"{weeks:.1f} weeks", f"{rules.min_weeks:g}")
    row = board.row(name)
    if row is None or row.deflated is None:
        return Candidate(name, PromotionReason.INSUFFICIENT, f"{len(series.start_at)} bars")
    return None


def _not_better(board: Board, name: str, rules: PromotionRules) -> Candidate | None:
    row, held = board.row(name), board.row(board.baseline or "")
    assert row is not None
    assert held is not None
    assert row.deflated is not None
    margin = f"> {rules.margin:.2%} a year"
    deepest = held.max_drawdown + rules.drawdown_tolerance
    if not row.edge > rules.margin:
        return Candidate(name, PromotionReason.BELOW_MARGIN, f"{row.edge:.2%} a year", margin)
    if not row.edge_2x > rules.margin:
        return Candidate(name, PromotionReason.BELOW_MARGIN_AT_2X, f"{row.edge_2x:.2%} a year", margin)
    if row.max_drawdown > deepest:
        return Candidate(name, PromotionReason.DEEPER_DRAWDOWN, f"{row.max_drawdown:.2%}", f"<= {deepest:.2%}")
    if row.deflated < rules.min_deflated:
        asked = f">= {rules.min_deflated:.2f} of {board.n_trials} trials"
        return Candidate(name, PromotionReason.MAY_BE_LUCK, f"{row.deflated:.3f}", asked)
    return None


def matured_outcomes(series: Series, horizon: int) -> int:
    """Return how many decisions had their horizon pass with a position held: one every ``horizon`` bars at most.

    Outcomes of overlapping horizons share bars and are not counted twice.
    """
    held = np.flatnonzero(series.exposed)
    matured = held[held + horizon <= len(series.exposed)]
    return len(np.unique(matured // horizon))


def weeks_of(series: Series) -> float:
    """Return the weeks between the first and the last bar."""
    return float(series.start_at[-1] - series.start_at[0]) / _WEEK_NS if len(series.start_at) else 0.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What is to be said of the champion.

    Attributes:
        chasing_noise: Its realised edge is not above zero over enough outcomes.
        outcomes: Matured outcomes.
        edge: Mean net return a bar.
    """

    chasing_noise: bool
    outcomes: int
    edge: float

    def __str__(self) -> str:
        if self.chasing_noise:
            return f"CHASING NOISE: {self._earned}; retrain it, or revert"
        return self._earned

    @property
    def _earned(self) -> str:
        return f"the champion earned {self.edge:+.2e} a bar over {self.outcomes} outcomes"


def watch_champion(series: Series, horizon: int = 1, rules: PromotionRules = DEFAULT_RULES) -> Watch:
    """Return whether the champion chases noise: nothing earned, net of costs, over at least 20 matured outcomes."""
    outcomes = matured_outcomes(series, horizon)
    edge = float(series.net().mean()) if len(series.start_at) else 0.0
    return Watch(outcomes >= rules.min_outcomes and edge <= 0.0, outcomes, edge)
