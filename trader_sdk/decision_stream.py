"""Deciding bar by bar: the fast path of a live symbol, and when it has to be left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trader_sdk.contract.errors import ActionError
from trader_sdk.contract.spec import MARKET_FEATURES, ModelSpec
from trader_sdk.decisions import Decision, account_columns, as_float32, decision_from, wrong_shape
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.engines import Engine
from trader_sdk.engine.stream import Continuation, PolicyStream
from trader_sdk.engine.ties import is_near_tie

_FLOAT32: Final = np.dtype(np.float32)
_ROW: Final = (MARKET_FEATURES,)
_PLAIN_SQUARES: Final = 1e12
_GIVE_UP: Final = 3
"""Windows in a row that continue nothing, after which no sums are made ahead until one does."""


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How a stream decided so far.

    Attributes:
        engine: The one that decides now.
        reason: Why it is not the streaming one, empty if it is.
        ahead: Decisions for which the older bars were summed ahead.
        dense: Decisions that multiplied a whole observation: after a rebuilt window, or because two actions were tied.
        rebuilt: Windows that did not continue the one before: the first, and those with missing or revised bars.
    """

    engine: Engine
    reason: str
    ahead: int
    dense: int
    rebuilt: int


class DecisionStream:
    """Decides bar by bar; what older bars contribute is summed before the newest arrives.

    Either ``push`` the row of each closed bar and ``decide``, or hand over whole observations with :meth:`decide_on`,
    which notices by itself what is new in them. Call :meth:`prepare` while waiting for the next bar: that leaves the
    least to do when it comes. Not safe to share between threads; each symbol has a stream of its own.
    """

    def __init__(self, policy: DensePolicy, spec: ModelSpec, sha256: str) -> None:
        if policy.n_account < 0:
            raise wrong_shape("model", f"at least {MARKET_FEATURES} columns a row", (policy.obs_dim,))
        self._policy, self._spec, self._sha256 = policy, spec, sha256
        self._stream = PolicyStream(policy)
        self._shape = (policy.window, policy.obs_dim // policy.window)
        self._account_shape = (policy.n_account,)
        self._ahead = self._dense = self._rebuilt = self._in_a_row = 0
        self._uneven = False

    @property
    def ready(self) -> bool:
        """Return whether a full window has been pushed."""
        return self._stream.ready

    @property
    def report(self) -> StreamReport:
        """Return which engine decides, and why."""
        reason = ""
        if self._in_a_row >= _GIVE_UP:
            reason = "rows change after their bar has closed: features normalised per window, or bars revised each time"
        elif self._uneven:
            reason = "the account columns differ along the window"
        engine = Engine.DENSE if reason else Engine.STREAMING
        return StreamReport(engine, reason, self._ahead, self._dense, self._rebuilt)

    def reset(self) -> None:
        """Forget every row, as after a gap or revised bars."""
        self._stream.reset()
        self._in_a_row, self._uneven = 0, False

    def push(self, row: Any) -> None:
        """Add the row of a bar that has closed.

        Args:
            row: float32 (53,), the market columns.

        Raises:
            ActionError: E405 for another shape, NaN or infinity; the stream is then as before.
        """
        if _is_plain(row, _ROW):
            self._stream.push(row)
            return
        values = _checked_row(row)
        with np.errstate(over="ignore", invalid="ignore"):
            self._stream.push(values)

    def prepare(self) -> None:
        """Do before a bar closes what can be done: sum what the rows so far will contribute to the next decision.

        Cheap to call again; just before the close, it also brings the weights that are left back into the caches.
        """
        if self._in_a_row < _GIVE_UP:
            with np.errstate(over="ignore", invalid="ignore"):
                self._stream.prepare()

    def decide(self, account: Any = None) -> Decision:
        """Decide on the newest window.

        Args:
            account: float32 (3,) or (6,), the account columns now; None for a model that has none.

        Raises:
            ActionError: E405 before the window is full or for a wrong account; E404 for a non-finite output.
        """
        if not self._stream.ready:
            raise ActionError(
                "E405",
                "the window is not full",
                where="stream",
                expected=f"{self._policy.window} rows",
                found=self._stream.held,
            )
        if self._stream.is_summed and _is_plain(account, self._account_shape):
            return self._decide(account)
        columns = account_columns(account, self._policy.n_account, ())
        with np.errstate(over="ignore", invalid="ignore"):
            return self._decide(columns)

    def decide_on(self, obs: Any) -> Decision:
        """Decide on a whole observation, as :meth:`NativeModelWrapper.decide` does, with what was summed ahead.

        The observation is compared with the one before. Where only its newest row is new, or only the account, the
        sums made ahead serve; anything else - a first window, a missing or a revised bar, features normalised per
        window - is decided on densely, and the stream goes on from there.

        Args:
            obs: float32 (obs_dim,) or (window, n_features), oldest bar first.

        Raises:
            ActionError: E405 for another shape or type, NaN or infinity; E404 for a non-finite output.
        """
        rows = self._rows_of(obs)
        market, account = rows[:, :MARKET_FEATURES], rows[-1, MARKET_FEATURES:]
        with np.errstate(over="ignore", invalid="ignore"):
            self._follow(market)
            self._uneven = not bool((rows[:, MARKET_FEATURES:] == account).all())
            return self._decide_densely(rows) if self._uneven else self._decide(account)

    def hold(self, obs: Any) -> None:
        """Take over the window of a whole observation without deciding on it, as after warming up.

        Args:
            obs: float32 (obs_dim,) or (window, n_features); its account columns do not matter.

        Raises:
            ActionError: E405 for another shape or type, NaN or infinity; the stream is then as before.
        """
        market = self._rows_of(obs)[:, :MARKET_FEATURES]
        self._in_a_row, self._uneven = 0, False
        self._stream.hold(market)

    def _rows_of(self, obs: Any) -> Floats:
        values = as_float32(obs, "observation")
        if values.shape not in (self._shape, (self._policy.obs_dim,)):
            raise wrong_shape("observation", f"({self._policy.obs_dim},) or {self._shape}", values.shape)
        return values.reshape(self._shape)

    def _follow(self, market: Floats) -> None:
        how = self._stream.continuation(market)
        if how is Continuation.NEXT:
            self._in_a_row = 0
            self._stream.push(market[-1])
        elif how is Continuation.OTHER:
            self._rebuilt += 1
            self._in_a_row += 1
            self._stream.hold(market)

    def _decide(self, account: Floats) -> Decision:
        if self._stream.is_summed:
            logits = self._stream.logits(account)
            decision = decision_from(logits, self._spec, self._sha256)
            if not is_near_tie(decision.logits, self._stream.tie):
                self._ahead += 1
                return decision
        rows = np.empty(self._shape, dtype=np.float32)
        rows[:, :MARKET_FEATURES], rows[:, MARKET_FEATURES:] = self._stream.window, account
        return self._decide_densely(rows)

    def _decide_densely(self, rows: Floats) -> Decision:
        self._dense += 1
        return decision_from(self._policy.logits(rows.reshape(1, -1))[0], self._spec, self._sha256)


def _is_plain(values: Any, shape: tuple[int]) -> bool:
    # What nearly always comes, told in half a microsecond: nothing to cast, nothing that could overflow on the way.
    if type(values) is not np.ndarray or values.dtype is not _FLOAT32 or values.shape != shape:
        return False
    return bool(values.dot(values) < _PLAIN_SQUARES)


def _checked_row(row: Any) -> Floats:
    values = as_float32(row, "row")
    if values.shape != (MARKET_FEATURES,):
        raise wrong_shape("row", f"({MARKET_FEATURES},)", values.shape)
    return values
