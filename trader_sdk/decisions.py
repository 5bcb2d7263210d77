"""What a policy decided: one decision, a history of them, and a stream that decides bar by bar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import ActionError
from trader_sdk.contract.spec import MARKET_FEATURES, ModelSpec
from trader_sdk.engine.dense import DensePolicy, Floats

_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Decision:
    """One action of one model.

    Attributes:
        action: Index of the best logit, the lowest on a tie.
        direction: -1, 0 or +1.
        size: Fraction of the base allocation, not of equity.
        name: The action's name.
        logits: The policy head's output.
        probabilities: Softmax of the logits.
        model_sha256: Digest of the model's file.
    """

    action: int
    direction: int
    size: float
    name: str
    logits: tuple[float, ...]
    probabilities: tuple[float, ...]
    model_sha256: str


def as_float32(values: Any, what: str) -> Floats:
    """Return observations or rows as float32; float64 is cast and checked, everything else is refused.

    Raises:
        ActionError: E405 for other types, NaN, infinity, or a value beyond float32.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ActionError("E405", f"{what} is no array", where=what, found=f"a {type(values).__name__}") from error
    if array.dtype not in (np.float32, np.float64):
        raise ActionError("E405", f"{what} must be float32", where=what, expected="float32", found=str(array.dtype))
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(array, dtype=np.float32)
    if narrow.size and not (abs(float(narrow.min())) <= _LARGEST and abs(float(narrow.max())) <= _LARGEST):
        bad = int(narrow.size - np.isfinite(narrow).sum())
        raise ActionError(
            "E405", f"{what} must be finite", where=what, expected="finite", found=f"{bad} values that are not"
        )
    return narrow


def wrong_shape(what: str, expected: str, found: tuple[int, ...]) -> ActionError:
    """Return E405 for an array of another shape."""
    return ActionError("E405", f"{what} is of the wrong shape", where=what, expected=expected, found=str(found))


def checked_logits(logits: Floats) -> Floats:
    """Return logits that are all finite.

    Raises:
        ActionError: E404 otherwise.
    """
    if not np.isfinite(logits).all():
        raise ActionError("E404", "the policy gave NaN or infinity", where="logits", expected="finite logits")
    return logits


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Return the probabilities of each row."""
    shifted: NDArray[np.float64] = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


def decision_from(logits: Floats, spec: ModelSpec, sha256: str) -> Decision:
    """Return the decision of one row of logits, (n_actions,).

    Raises:
        ActionError: E404 if a logit is not finite.
    """
    checked_logits(logits)
    action = int(logits.argmax())
    meaning = spec.actions[action]
    return Decision(
        action=action,
        direction=meaning.direction,
        size=meaning.size,
        name=meaning.name,
        logits=tuple(logits.tolist()),
        probabilities=tuple(softmax(logits).tolist()),
        model_sha256=sha256,
    )


class Decisions:
    """The decisions of a history, as columns; indexing and iterating give each as a :class:`Decision`.

    Attributes:
        logits: float32 (n, n_actions).
        actions: int64 (n,).
        directions: int8 (n,), -1, 0 or +1.
        sizes: float64 (n,), fractions of the base allocation.
    """

    def __init__(self, logits: Floats, spec: ModelSpec, sha256: str) -> None:
        self.logits = checked_logits(logits)
        self.actions: NDArray[np.int64] = logits.argmax(axis=1)
        self.directions = np.array([meaning.direction for meaning in spec.actions], dtype=np.int8)[self.actions]
        self.sizes = np.array([meaning.size for meaning in spec.actions], dtype=np.float64)[self.actions]
        self._spec = spec
        self._sha256 = sha256

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Return the softmax of the logits, (n, n_actions)."""
        return softmax(self.logits)

    def __len__(self) -> int:
        return len(self.actions)

    def __getitem__(self, index: int) -> Decision:
        return decision_from(self.logits[index], self._spec, self._sha256)

    def __iter__(self) -> Iterator[Decision]:
        return (self[index] for index in range(len(self)))


class DecisionStream:
    """Decides bar by bar; what older bars contribute is summed before the newest arrives.

    Not safe to share between threads; each symbol has a stream of its own. ``push`` a closed bar's row, ``decide``,
    act, and call :meth:`prepare` while waiting for the next bar: that leaves the least to do when it comes.
    """

    def __init__(self, policy: DensePolicy, spec: ModelSpec, sha256: str) -> None:
        if policy.n_account < 0:
            raise wrong_shape("model", f"at least {MARKET_FEATURES} columns a row", (policy.obs_dim,))
        self._policy = policy
        self._spec = spec
        self._sha256 = sha256
        older = (policy.window - 1) * MARKET_FEATURES
        self._older_weight = policy.market_weight[:, :older]
        self._newest_weight = np.ascontiguousarray(policy.market_weight[:, older:])
        # Twice the window, so that the newest window is always one slice and rows move only once a window.
        self._rows = np.zeros((2 * policy.window, MARKET_FEATURES), dtype=np.float32)
        self._end = 0
        self._older: Floats | None = None
        self._sums: Floats | None = None

    @property
    def ready(self) -> bool:
        """Return whether a full window has been pushed."""
        return self._end >= self._policy.window

    def reset(self) -> None:
        """Forget every row, as after a gap or revised bars."""
        self._end = 0
        self._older = self._sums = None

    def push(self, row: Any) -> None:
        """Add the row of a bar that has closed.

        Args:
            row: float32 (53,), the market columns.

        Raises:
            ActionError: E405 for another shape, NaN or infinity; the stream is then as before.
        """
        values = as_float32(row, "row")
        if values.shape != (MARKET_FEATURES,):
            raise wrong_shape("row", f"({MARKET_FEATURES},)", values.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            self._append(values)

    def _append(self, values: Floats) -> None:
        self.prepare()
        if self._end == len(self._rows):
            self._rows[: self._policy.window] = self._rows[self._policy.window :].copy()
            self._end = self._policy.window
        self._rows[self._end] = values
        self._end += 1
        if self._older is not None:
            self._sums = self._older + self._newest_weight @ values
        self._older = None

    def prepare(self) -> None:
        """Sum what the rows so far will contribute to the next decision; does nothing if that is done."""
        older = self._policy.window - 1
        if self._older is None and self._end >= older:
            self._older = self._older_weight @ self._rows[self._end - older : self._end].ravel()

    def decide(self, account: Any = None) -> Decision:
        """Decide on the newest window.

        Args:
            account: float32 (3,) or (6,), the account columns now; None for a model that has none.

        Raises:
            ActionError: E405 before the window is full or for a wrong account; E404 for a non-finite output.
        """
        if self._sums is None:
            raise ActionError(
                "E405",
                "the window is not full",
                where="stream",
                expected=f"{self._policy.window} rows",
                found=min(self._end, self._policy.window),
            )
        columns = account_columns(account, self._policy.n_account, ())
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self._policy.logits_from_sums(self._sums, columns)
        return decision_from(logits, self._spec, self._sha256)


def account_columns(account: Any, n_account: int, leading: tuple[int, ...]) -> Floats:
    """Return the account columns as float32 of shape ``(*leading, n_account)``.

    Raises:
        ActionError: E405 if they are missing, superfluous, of another shape or not finite.
    """
    expected = (*leading, n_account)
    if account is None and n_account == 0:
        return np.zeros(expected, dtype=np.float32)
    if account is None:
        raise wrong_shape("account", f"{expected}: this model has account columns", ())
    columns = as_float32(account, "account")
    if columns.shape != expected:
        raise wrong_shape("account", str(expected), columns.shape)
    return columns
