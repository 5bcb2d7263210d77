"""Run one model over past bars: the decisions, sizing, fills and costs of training and of the trader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.archive.metrics import drawdown
from trader_sdk.archive.walk import NO_DECISION, Prices, walk_windows
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import CostModel, cost_model, cost_model_of
from trader_sdk.contract.errors import DataError, LifecycleError, UsageError
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits
from trader_sdk.data.gaps import complete_windows

if TYPE_CHECKING:
    from trader_sdk.model import NativeModelWrapper

Floats = NDArray[np.float64]

_NS: Final = 1_000_000_000


class HistoryProvider(Protocol):
    """The part of a feature provider that a backtest needs."""

    def history(self, bars: Bars) -> NDArray[np.float32]:
        """Return (T - L, 53), row i for bar i + L."""


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a model did on n bars, flat before the first and closed at the last.

    Attributes:
        bars: The bars that were traded, n of them.
        ledger: Bar returns, costs and trades; the input of the metric set.
        actions: int64 (n,) action decided on each close; ``NO_DECISION`` at the last.
        equity: float64 (n,) sleeve equity at each close.
        position_weight: float64 (n,) position value over equity at each close.
        costs: What trading cost.
        in_sample: The model was trained or judged on some of these bars: a look, never a judgement.
        action_names: Name of each action index.
        doubts: What makes these figures mean less than they seem to, one clause each.
    """

    bars: Bars
    ledger: Ledger
    actions: NDArray[np.int64]
    equity: Floats
    position_weight: Floats
    costs: CostModel
    in_sample: bool
    action_names: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @property
    def net_return(self) -> float:
        """Return the compounded return net of costs, a fraction."""
        return float(np.prod(1.0 + self.ledger.net_return) - 1.0)

    @property
    def max_drawdown(self) -> float:
        """Return the deepest fall of equity from its running peak, a fraction."""
        return drawdown(np.cumprod(1.0 + self.ledger.net_return, dtype=np.float64))

    @property
    def n_trades(self) -> int:
        """Return the flat-to-flat trades, the forced close at the end among them."""
        return len(self.ledger.trades)

    @property
    def cost_total(self) -> float:
        """Return the costs of all fills as fractions of equity, summed."""
        return float(self.ledger.cost.sum())

    @property
    def buy_and_hold(self) -> float:
        """Return what holding the market with all equity gave over the same bars, a round trip of costs paid."""
        side = float(self.costs.side_fraction)
        return float(self.bars.close[-1] * (1 - side) / (self.bars.open[1] * (1 + side)) - 1.0)

    @property
    def action_counts(self) -> dict[str, int]:
        """Return how often each action was decided."""
        decided = self.actions[self.actions != NO_DECISION]
        counts = np.bincount(decided, minlength=len(self.action_names)).tolist()
        return dict(zip(self.action_names, counts, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON data."""
        return {
            "symbol": self.bars.symbol,
            "timeframe": self.bars.timeframe.value,
            "data_kind": self.bars.kind.value,
            "data_digest": self.bars.digest,
            "start": rfc3339(int(self.bars.t[0])),
            "end": rfc3339(int(self.bars.t[-1])),
            "bars": len(self.bars),
            "in_sample": self.in_sample,
            "doubts": list(self.doubts),
            "cost_model": self.costs.id,
            "net_return": self.net_return,
            "max_drawdown": self.max_drawdown,
            "trades": self.n_trades,
            "cost_total": self.cost_total,
            "buy_and_hold": self.buy_and_hold,
            "mean_position": float(np.abs(self.ledger.weight).mean()),
            "actions": self.action_counts,
        }


def backtest(
    model: NativeModelWrapper,
    bars: Bars,
    *,
    provider: HistoryProvider,
    costs: CostModel | None = None,
    limits: ExecutionLimits = DEFAULT_LIMITS,
    first_bar_ns: int | None = None,
    in_sample: bool = False,
) -> BacktestResult:
    """Let a model trade past bars on a sleeve of its own.

    Args:
        model: Decides by its best logit.
        bars: Oldest first; those that the first window needs are history and are not traded.
        provider: Computes the columns that the model was trained on.
        costs: Cost model; the one that the checkpoint states, or its asset class's own.
        limits: Sizing constants.
        first_bar_ns: Trade from the first bar that starts at or after this, ns UTC; earlier ones are history.
        in_sample: Allow bars that the model was trained or judged on.

    Returns:
        Ledger, equity and decisions.

    Raises:
        LifecycleError: E705 if a traded bar lies in the model's training range and ``in_sample`` is false.
        DataError: Too few bars.
    """
    spec = model.model_spec
    features = provider.history(bars)
    warm_up = len(bars) - len(features)
    first = first_traded_bar(bars, warm_up + spec.window - 1, first_bar_ns)
    traded = bars.slice(first, len(bars))
    overlap = overlapping_bars(traded, model.metadata)
    if overlap and not in_sample:
        raise _overlaps(traded, model.metadata, overlap)
    charged = costs or cost_model(str(model.metadata.get("cost_model") or cost_model_of(bars.symbol)))
    prices = Prices.of(bars, warm_up, complete_windows(bars))
    window = range(first - warm_up, len(features))
    (walk,) = walk_windows(model.policy, spec, features, prices, [window], costs=charged, limits=limits)
    return BacktestResult(
        traded,
        walk.ledger,
        walk.actions,
        walk.equity,
        walk.position_weight,
        charged,
        in_sample=bool(overlap),
        action_names=tuple(action.name for action in spec.actions),
        doubts=tuple(doubts_about(traded, model.metadata)),
    )


def first_traded_bar(bars: Bars, earliest: int, first_bar_ns: int | None) -> int:
    """Return the index of the first bar that may be traded: it has a full window and starts late enough.

    Raises:
        DataError: Fewer than two such bars.
    """
    wanted = 0 if first_bar_ns is None else int(np.searchsorted(bars.t, first_bar_ns))
    first = max(earliest, wanted)
    if first > len(bars) - 2:
        raise DataError(
            "BARS",
            "too few bars to trade",
            where=f"{bars.symbol} {bars.timeframe}",
            expected=f"at least {earliest + 2} bars, two of them after the start",
            found=len(bars),
            remedy="Give more bars, or an earlier start.",
        )
    return first


def check_timeframe(bars: Bars, expected: str) -> None:
    """Refuse bars of another length than the model's.

    Raises:
        UsageError: They differ.
    """
    if bars.timeframe.value != expected:
        raise UsageError(
            "USAGE", "the model trades another timeframe", where="--timeframe", expected=expected, found=bars.timeframe
        )


def overlapping_bars(bars: Bars, metadata: Mapping[str, Any]) -> int:
    """Return how many bars lie in the range that the model was trained and judged on; 0 if the file states none.

    A file that states only an end is taken to start before every bar.
    """
    end = _stated_ns(metadata, "data_end")
    if end is None:
        return 0
    start = _stated_ns(metadata, "data_start")
    inside = bars.t < end
    if start is not None:
        inside &= bars.t >= start
    return int(inside.sum())


def doubts_about(bars: Bars, metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a backtest on ``bars`` may mean less than it seems to, one clause each."""
    if metadata.get("data_end") is None:
        yield "the file does not say which bars the model was trained on; these may be among them"
    symbol = metadata.get("symbol")
    if symbol is not None and symbol != bars.symbol:
        yield f"the model was trained on {symbol}; the trader would not let it trade {bars.symbol}"


def rfc3339(nanoseconds: int) -> str:
    """Return a time as text.

    Example:
        >>> rfc3339(0)
        '1970-01-01T00:00:00Z'
    """
    return f"{np.datetime64(nanoseconds, 'ns').astype('datetime64[s]')}Z"


def parse_time_ns(text: str, where: str) -> int:
    """Return an RFC 3339 time, or a date taken as midnight UTC, in ns.

    Raises:
        UsageError: The text is no time.

    Example:
        >>> parse_time_ns("1970-01-02", "--from")
        86400000000000
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError("USAGE", "not a time", where=where, expected="2012-01-03 or RFC 3339", found=text) from error
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(aware.timestamp()) * _NS


def _stated_ns(metadata: Mapping[str, Any], name: str) -> int | None:
    stated = metadata.get(name)
    return None if stated is None else parse_time_ns(str(stated), name)


def _overlaps(bars: Bars, metadata: Mapping[str, Any], overlap: int) -> LifecycleError:
    return LifecycleError(
        "E705",
        f"{overlap} of {len(bars)} bars were used to train or judge this model",
        where=f"{bars.symbol} {bars.timeframe}",
        expected=f"bars after {metadata['data_end']}",
        found=f"{rfc3339(int(bars.t[0]))} to {rfc3339(int(bars.t[-1]))}",
        remedy=f"Add --from {metadata['data_end']}: earlier bars are then history only. "
        "--in-sample 1 is for looking, never for judging.",
    )
