"""What a policy decided: one decision, or a history of them; and what may be decided on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import ActionError
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.engine.dense import Floats
from trader_sdk.engine.engines import Engine

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

    def __getattr__(self, name: str) -> Any:
        # A decision at bar close leaves them out; they are computed when somebody asks.
        if name != "probabilities":
            raise AttributeError(f"a decision has no {name}")
        best = max(self.logits)
        shares = [math.exp(value - best) for value in self.logits]
        total = sum(shares)
        object.__setattr__(self, name, tuple(share / total for share in shares))
        return self.probabilities


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
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.ascontiguousarray(array, dtype=np.float32)
        if math.isfinite(np.vdot(narrow, narrow)):  # one pass; only squares that overflow need a closer look
            return narrow
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
    # Seven numbers: Python's own arithmetic takes a fifth of the time of numpy's calls, above all on cold caches.
    values = logits.tolist()
    if not abs(sum(values)) < math.inf:
        checked_logits(logits)
    action = values.index(max(values))
    direction, size, name = spec.actions[action]
    decision = object.__new__(Decision)
    _set_action(decision, action)
    _set_direction(decision, direction)
    _set_size(decision, size)
    _set_name(decision, name)
    _set_logits(decision, tuple(values))
    _set_model(decision, sha256)
    return decision


# The slots of a frozen decision, filled directly: a quarter of the time of the constructor's way.
_set_action, _set_direction, _set_size, _set_name, _set_logits, _set_model = (
    getattr(Decision, each.name).__set__ for each in fields(Decision) if each.name != "probabilities"
)


class Decisions:
    """The decisions of a history, as columns; indexing and iterating give each as a :class:`Decision`.

    Attributes:
        logits: float32 (n, n_actions).
        actions: int64 (n,).
        directions: int8 (n,), -1, 0 or +1.
        sizes: float64 (n,), fractions of the base allocation.
        engine: How the logits were computed.
    """

    def __init__(self, logits: Floats, spec: ModelSpec, sha256: str, engine: Engine = Engine.DENSE) -> None:
        self.engine = engine
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
