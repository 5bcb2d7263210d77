"""Judge any loadable checkpoint on bars later than what it was trained on: the metric set, its folds, and who says so.

For models that were not trained here. When they were trained is somebody's word; it is written down with the name of
whoever gave it, and everything before that date serves as history of the features only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.action_mix import action_mix
from trader_sdk.archive.blocks import MIN_WINDOWS, PURGE_BARS, equal_windows
from trader_sdk.archive.metrics import HouseMetrics, gate_final, house_metrics
from trader_sdk.archive.policy import HOUSE_METRIC_SET
from trader_sdk.archive.walk import Prices, walk_windows
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import CostModel, cost_model, cost_model_of
from trader_sdk.contract.errors import ContractError, LifecycleError, UsageError
from trader_sdk.data.calendar import bars_per_year
from trader_sdk.data.gaps import complete_windows

if TYPE_CHECKING:
    from trader_sdk.model import NativeModelWrapper

_GATED: Final = ("fitness_score", "profit_factor", "consistency", "max_drawdown")
_NS: Final = 1_000_000_000
_LARGEST_NS: Final = 2**63 - 1


class HistoryProvider(Protocol):
    """The part of a feature provider that an evaluation needs."""

    def history(self, bars: Bars) -> NDArray[np.float32]:
        """Return (T - L, 53), row i for bar i + L."""


@dataclass(frozen=True, slots=True)
class TrainedUntil:
    """Somebody's word for when training ended.

    Attributes:
        text: As it was given.
        ns: First moment that the model cannot have seen, ns UTC: for a date alone, the end of that day.
        who: Who says so.
    """

    text: str
    ns: int
    who: str

    @classmethod
    def of(cls, text: str, who: str) -> TrainedUntil:
        """Return the assertion.

        Raises:
            UsageError: The text is no date or time, or has a time without its zone.

        Example:
            >>> TrainedUntil.of("1970-01-01", "ann").ns == TrainedUntil.of("1970-01-02T00:00:00Z", "ann").ns
            True
        """
        return cls(text, _moment_ns(text, "--trained-until", end_of_day=True), who)


@dataclass(frozen=True, slots=True)
class Columns:
    """Whose features a model is given.

    Attributes:
        provider: Computes them.
        name: ``MODULE:Provider`` as it was asked for; empty for this package's own.
        asserted_schema: Digest of the schema where the file states none and ``name`` asserts it.
    """

    provider: HistoryProvider
    name: str = ""
    asserted_schema: str | None = None

    @classmethod
    def of(cls, model: NativeModelWrapper, bars: Bars, features: str | None = None) -> Columns:
        """Return a model's columns: proven by its file, or asserted by naming a provider.

        Args:
            model: A loaded model.
            bars: What it is evaluated on; for a file without a feature schema they say feed and adjustment.
            features: ``MODULE:Provider``; None: this package's own, if the file proves that it was trained on them.

        Raises:
            ContractError: E309 if the file states no features and none are named, or states others; E302 if they are
                not as wide as the model.
            ConfigError: There is no such provider.
            UsageError: The bars are of another timeframe than the features.
        """
        from trader_sdk.features import ObservationBuilder, load_provider
        from trader_sdk.features.observation import stated_schema_sha256

        factory = None if features is None else load_provider(features)
        asserted = None
        if factory is not None and stated_schema_sha256(model) is None:
            factory = _without_arguments(factory, model, bars)
            asserted = factory().schema.sha256
        builder = ObservationBuilder.for_model(model, features=factory, asserted_sha256=asserted)
        if builder.schema.timeframe != bars.timeframe.value:
            where, expected = f"{bars.symbol} {bars.timeframe}", builder.schema.timeframe
            raise UsageError("USAGE", "the model trades another timeframe", where=where, expected=expected)
        return cls(builder.provider, features or "", asserted)


def _without_arguments(factory: Any, model: NativeModelWrapper, bars: Bars) -> Any:
    from trader_sdk.features import Ohlcv53Provider, build_schema

    if factory is Ohlcv53Provider:
        version = model.model_version.split("|")[-1]
        market = {"calendar": bars.calendar, "feed": bars.feed, "adjustment": bars.adjustment}
        schema = build_schema(version, bars.timeframe, **market)
        return lambda **_: Ohlcv53Provider(schema)
    constants = model.metadata.get("constants")
    return (lambda **_: factory(constants=constants)) if constants else factory


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a checkpoint did on bars that it cannot have seen.

    Attributes:
        metrics: The metric set over equal windows of the block.
        block: The bars that were judged; they start after the asserted date and a purge of 100 bars.
        data_digest: Of all the bars that were given: what trials are counted by.
        costs: What trading cost.
        trained_until: The assertion.
        columns: Whose features it was given.
        action_mix: Share of each action among its decisions.
    """

    metrics: HouseMetrics
    block: Bars
    data_digest: str
    costs: CostModel
    trained_until: TrainedUntil
    columns: Columns
    action_mix: Mapping[str, float] = field(default_factory=dict)

    def summary_model(self, checkpoint: Path, *, label: str) -> dict[str, Any]:
        """Return the model of a summary that says this.

        The arrays, which a trainer fills by validation, hold the one evaluation there was; nothing was chosen by it.

        Args:
            checkpoint: The file that was evaluated.
            label: Beginning of its version id.
        """
        end_ns = int(self.block.t[-1]) + self.block.timeframe.seconds * _NS
        return {
            "symbol": self.block.symbol,
            "timeframe": self.block.timeframe.value,
            "label": label,
            "final": str(checkpoint.resolve()),
            "metric_set": HOUSE_METRIC_SET,
            "drawdown_kind": "equity",
            "metrics": {name: [getattr(self.metrics, name)] for name in _GATED},
            "gate": {"final": gate_final(self.metrics, self.action_mix), "best": None},
            "cost_model": self.costs.id,
            "n_trials": self.metrics.n_trials,
            "data": {
                "digest": self.data_digest,
                "kind": self.block.kind.value,
                "start": _rfc3339(int(self.block.t[0])),
                "end": _rfc3339(end_ns),
                "feed": self.block.feed,
                "adjustment": self.block.adjustment,
            },
            "outcome": "EVALUATED",
            "asserted": {
                "trained_until": self.trained_until.text,
                "who": self.trained_until.who,
                "features": self.columns.name,
                "feature_schema": self.columns.asserted_schema,
            },
        }


def evaluate(
    model: NativeModelWrapper,
    bars: Bars,
    *,
    columns: Columns,
    trained_until: TrainedUntil,
    costs: CostModel | None = None,
    first_bar: str | None = None,
    n_windows: int = MIN_WINDOWS,
    n_trials: int = 1,
) -> Evaluation:
    """Compute the metric set ``house@1`` and its folds on later bars.

    Args:
        model: Decides by its best logit.
        bars: Oldest first; those before the asserted date are history of the features and are never judged.
        columns: The features that the model was trained on.
        trained_until: When training ended, and who says so.
        costs: Cost model; the one that the checkpoint states, or its asset class's own.
        first_bar: Judge from this date or time on, no earlier than the asserted date.
        n_windows: Equal windows, 7..14.
        n_trials: How often these bars were opened for judging, this time included.

    Returns:
        The evaluation.

    Raises:
        LifecycleError: E705 if the checkpoint itself says that it saw later bars, if ``first_bar`` lies before the
            asserted date, or if no bar is later than it.
        ContractError: E301 if the checkpoint says that it is another symbol's or timeframe's.
        DataError: The later bars are too few for the windows.

    Source:
        docs/guide/archive-evaluate.md
    """
    _check_word(model.metadata, trained_until)
    _check_slot(model, bars)
    first = _first_judged(bars, trained_until, first_bar)
    features = columns.provider.history(bars)
    warm_up = len(bars) - len(features)
    spec = model.model_spec
    block = range(max(first, warm_up + spec.window - 1), len(bars))
    windows = equal_windows(range(block.start - warm_up, block.stop - warm_up), n_windows)
    prices = Prices.of(bars, warm_up, complete_windows(bars))
    charged = costs or cost_model(str(model.metadata.get("cost_model") or cost_model_of(bars.symbol)))
    walks = walk_windows(model.policy, spec, features, prices, windows, costs=charged)
    metrics = house_metrics(
        [walk.ledger for walk in walks],
        n_trials=n_trials,
        bars_per_year=bars_per_year(bars.timeframe, bars.calendar),
    )
    judged = bars.slice(windows[0].start + warm_up, windows[-1].stop + warm_up)
    return Evaluation(metrics, judged, bars.digest, charged, trained_until, columns, action_mix(walks, spec))


def _first_judged(bars: Bars, trained_until: TrainedUntil, first_bar: str | None) -> int:
    cut = int(np.searchsorted(bars.t, trained_until.ns))
    if cut == len(bars):
        raise LifecycleError(
            "E705",
            "no bar is later than what the model was trained on",
            where=f"{bars.symbol} {bars.timeframe}",
            expected=f"bars after {trained_until.text}",
            found=f"{_rfc3339(int(bars.t[0]))} to {_rfc3339(int(bars.t[-1]))}",
            remedy="Give later bars; earlier ones serve as history of the features only.",
        )
    # Windows of features reach back over the date; the same distance lies between the blocks of a training run.
    earliest = cut + PURGE_BARS
    if first_bar is None:
        return earliest
    wanted_ns = _moment_ns(first_bar, "--from")
    if wanted_ns < trained_until.ns:
        raise LifecycleError(
            "E705",
            "bars before the asserted date are never judged",
            where="--from",
            expected=f"after {trained_until.text}",
            found=first_bar,
            remedy="Leave --from out, or name a later date.",
        )
    return max(earliest, int(np.searchsorted(bars.t, wanted_ns)))


def _check_word(metadata: Mapping[str, Any], trained_until: TrainedUntil) -> None:
    stated = metadata.get("data_end")
    if stated is None or _moment_ns(str(stated), "data_end") <= trained_until.ns:
        return
    raise LifecycleError(
        "E705",
        "the checkpoint says that it saw later bars than is asserted",
        where="--trained-until",
        expected=f"{stated} or later",
        found=trained_until.text,
        remedy=f"Use --trained-until {stated}: a file's own data_end is not overruled.",
    )


def _check_slot(model: NativeModelWrapper, bars: Bars) -> None:
    for name, found in (("symbol", bars.symbol), ("timeframe", bars.timeframe.value)):
        stated = model.metadata.get(name)
        if stated is not None and stated != found:
            raise ContractError(
                "E301",
                f"the checkpoint is another {name}'s",
                where=f"model {model.sha256}",
                expected=stated,
                found=found,
            )


def _moment_ns(text: str, where: str, *, end_of_day: bool = False) -> int:
    is_date = len(text) == len("2012-01-03")
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None and not is_date:
            raise UsageError("USAGE", "a time needs its zone", where=where, expected=f"{text}Z", found=text)
        aware = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = int((aware + timedelta(days=is_date and end_of_day)).timestamp())
    except (ValueError, OverflowError) as error:
        raise UsageError("USAGE", "not a time", where=where, expected="2012-01-03 or RFC 3339", found=text) from error
    return min(max(seconds * _NS, -_LARGEST_NS), _LARGEST_NS)


def _rfc3339(nanoseconds: int) -> str:
    return f"{np.datetime64(nanoseconds, 'ns').astype('datetime64[s]')}Z"
