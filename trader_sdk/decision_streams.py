"""Many symbols decided together: each with a model of its own, some with the same one, or all with one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import ActionError, UsageError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.decisions import Decision, as_float32, decision_from, wrong_shape
from trader_sdk.engine.dense import Floats
from trader_sdk.engine.engines import Engine
from trader_sdk.engine.stacked import Places, StackedStreams

if TYPE_CHECKING:
    from trader_sdk.model import NativeModelWrapper

NOT_DECIDED: Final = -1
"""Stands in :attr:`SymbolDecisions.actions` where a window is not full or the policy gave no finite logits."""


@dataclass(frozen=True, slots=True)
class _Group:
    members: Places
    streams: StackedStreams


class SymbolDecisions(Mapping[str, Decision]):
    """What was decided for each symbol that has a full window; a mapping from symbol to :class:`Decision`.

    One symbol's model that gives NaN stops no other: its action is ``NOT_DECIDED``, and asking for its decision raises
    E404.

    Attributes:
        symbols: All symbols, in the order of the arrays.
        actions: int64 (n,), the index of each best logit, or ``NOT_DECIDED``.
        ready: bool (n,), whether a symbol's window was full.
        seconds: float64 (n,), what each symbol's decision took: its share of the product it was part of.
    """

    def __init__(self, models: Mapping[str, NativeModelWrapper], ready: NDArray[np.bool_]) -> None:
        self._models = models
        self._logits: list[tuple[Places, Floats]] = []
        self.symbols, self.ready = tuple(models), ready
        self.seconds = np.zeros(len(models))
        self.actions: NDArray[np.int64] = np.full(len(models), NOT_DECIDED, dtype=np.int64)

    def add(self, members: Places, logits: Floats, seconds: float = 0.0) -> None:
        """Take the logits (m, n_actions) of the symbols at ``members``, and the time they took together."""
        own = logits.copy()  # the engine writes over its arrays with the next bar
        decided = self.ready[members] & np.isfinite(own).all(axis=1)
        self.actions[members] = np.where(decided, own.argmax(axis=1), NOT_DECIDED)
        self.seconds[members] = seconds / max(len(members), 1)
        self._logits.append((members, own))

    @cached_property
    def _rows(self) -> dict[str, Floats]:
        # Made when a decision is asked for: whoever reads the arrays does not wait for it.
        return {
            self.symbols[place]: row
            for members, logits in self._logits
            for place, row in zip(members.tolist(), logits, strict=True)
            if self.ready[place]
        }

    def __getitem__(self, symbol: str) -> Decision:
        row = self._rows[symbol]
        model = self._models[symbol]
        return decision_from(row, model.model_spec, model.sha256)

    def __iter__(self) -> Iterator[str]:
        return (symbol for symbol, ready in zip(self.symbols, self.ready.tolist(), strict=True) if ready)

    def __len__(self) -> int:
        return int(self.ready.sum())


class DecisionStreams:
    """Streams of many symbols, decided on together when their bars close.

    Symbols that share a file share one matrix product; models of one shape lie one behind the other. Both decide as
    ``stream()`` does. Push each bar's rows, decide, act, and call :meth:`prepare` while waiting for the next bar. Not
    safe to share between threads.

    Args:
        models: By symbol.

    Example:
        >>> streams = DecisionStreams({"AAPL": model, "MSFT": model})  # doctest: +SKIP
        >>> streams.push({"AAPL": row, "MSFT": other})  # doctest: +SKIP
        >>> streams.decide({"AAPL": account, "MSFT": account})["AAPL"].name  # doctest: +SKIP
        'HOLD'
    """

    def __init__(self, models: Mapping[str, NativeModelWrapper]) -> None:
        self._models = dict(models)
        self._build({})

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the order of arrays."""
        return tuple(self._models)

    @property
    def ready(self) -> NDArray[np.bool_]:
        """Return which symbols have a full window, bool (n,)."""
        ready = np.zeros(len(self._models), dtype=np.bool_)
        for group in self._groups:
            ready[group.members] = group.streams.ready
        return ready

    @property
    def report(self) -> dict[str, Engine]:
        """Return which engine decides on each symbol: the dense one until its older bars were summed."""
        summed = np.zeros(len(self._models), dtype=np.bool_)
        for group in self._groups:
            summed[group.members] = group.streams.is_ahead | group.streams.is_summed
        engines = (Engine.STACKED if each else Engine.DENSE for each in summed.tolist())
        return dict(zip(self._models, engines, strict=True))

    def add(self, symbol: str, model: NativeModelWrapper) -> None:
        """Add a symbol in mid-session, or give one another model; the others keep their windows.

        The weights are laid out anew, so do it while nothing waits for a decision.
        """
        windows = self._windows()
        if symbol in self._models and self._models[symbol].sha256 != model.sha256:
            windows.pop(symbol, None)
        self._models = {**self._models, symbol: model}  # decisions that were given out keep the old one
        self._build(windows)

    def remove(self, symbol: str) -> None:
        """Forget a symbol.

        Raises:
            UsageError: There is no such symbol.
        """
        self._index(symbol)
        windows = self._windows()
        self._models = {name: model for name, model in self._models.items() if name != symbol}
        self._build(windows)

    def push(self, rows: Mapping[str, Any] | Any) -> None:
        """Add the rows of bars that have closed.

        Args:
            rows: Market columns float32 (53,) by symbol; a symbol whose bar is missing is left out and keeps its
                window. Or float32 (n, 53) for all symbols, in the order of :attr:`symbols`.

        Raises:
            ActionError: E405 for another shape, NaN or infinity; nothing was pushed.
            UsageError: There is no such symbol.
        """
        if isinstance(rows, Mapping):
            pushed, values = self._table(rows, "row", dict.fromkeys(self._models, MARKET_FEATURES))
        else:
            pushed, values = np.ones(len(self._models), dtype=np.bool_), as_float32(rows, "rows")
            if values.shape != (len(pushed), MARKET_FEATURES):
                raise wrong_shape("rows", f"({len(pushed)}, {MARKET_FEATURES})", values.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for group in self._groups:
                which = np.flatnonzero(pushed[group.members])
                rows = values if len(which) == len(values) else values[group.members[which]]
                group.streams.push(which, rows)

    def replace(self, symbol: str, rows: Any) -> None:
        """Hold another window of one symbol, as after a revised bar: float32 (m <= 100, 53), none to forget it.

        Raises:
            ActionError: E405 for another shape, NaN or infinity; nothing changed.
            UsageError: There is no such symbol.
        """
        index = self._index(symbol)
        window = as_float32(rows, "rows")
        if window.ndim != 2 or window.shape[1] != MARKET_FEATURES:
            raise wrong_shape("rows", f"(m, {MARKET_FEATURES})", window.shape)
        self._hold(index, window[-self._groups[0].streams.rings.window :])

    def prepare(self) -> None:
        """Do before a bar closes what can be done: sum the older rows of every symbol."""
        with np.errstate(over="ignore", invalid="ignore"):
            for group in self._groups:
                group.streams.prepare()

    def decide(self, account: Mapping[str, Any] | Any = None) -> SymbolDecisions:
        """Decide on every symbol's newest window.

        Args:
            account: Account columns float32 (3,) or (6,) by symbol; or float32 (n, 6) for all symbols, of which each
                model reads its first. None where no model has any.

        Returns:
            The decisions of all symbols whose window is full.

        Raises:
            ActionError: E405 for account columns that are missing, of another shape or not finite.
        """
        columns = self._accounts_of(account)
        decisions = SymbolDecisions(self._models, self.ready)
        with np.errstate(over="ignore", invalid="ignore"):
            for group in self._groups:
                own = columns[:, : group.streams.layers.n_account]
                own = own if len(self._groups) == 1 else own[group.members]
                began = time.perf_counter()
                logits = group.streams.logits(own)
                decisions.add(group.members, logits, time.perf_counter() - began)
        return decisions

    def _build(self, windows: Mapping[str, Floats]) -> None:
        models = list(self._models.values())
        self._widths = {symbol: model.model_spec.n_account for symbol, model in self._models.items()}
        self._groups = [_group(models, places) for places in _grouped(models)]
        for index, symbol in enumerate(self._models):
            if symbol in windows:
                self._hold(index, windows[symbol])

    def _hold(self, index: int, rows: Floats) -> None:
        for group in self._groups:
            for place in np.flatnonzero(group.members == index).tolist():
                group.streams.hold(place, rows)

    def _windows(self) -> dict[str, Floats]:
        held: dict[str, Floats] = {}
        for group in self._groups:
            rings = group.streams.rings
            for place, index in enumerate(group.members.tolist()):
                held[self.symbols[index]] = rings.newest(place, int(rings.held[place])).copy()
        return held

    def _index(self, symbol: str) -> int:
        if symbol not in self._models:
            known = ", ".join(self.symbols)
            raise UsageError("USAGE", "no such symbol", where="streams", expected=known, found=symbol)
        return self.symbols.index(symbol)

    def _accounts_of(self, account: Mapping[str, Any] | Any) -> Floats:
        widths = self._widths
        needed = max(widths.values(), default=0)
        if isinstance(account, Mapping) or (account is None and needed == 0):
            given = account or {}
            missing = [symbol for symbol, width in widths.items() if width and symbol not in given]
            if missing:
                raise ActionError("E405", "a model has account columns", where="account", found=f"none of {missing[0]}")
            return self._table(given, "account", widths)[1]
        columns = as_float32(account, "account")
        if columns.ndim != 2 or len(columns) != len(widths) or columns.shape[1] < needed:
            raise wrong_shape("account", f"({len(widths)}, {needed})", columns.shape)
        return columns

    def _table(
        self, given: Mapping[str, Any], what: str, widths: Mapping[str, int]
    ) -> tuple[NDArray[np.bool_], Floats]:
        """Return which symbols are given, and their values in the order of the arrays, zeros elsewhere."""
        present = np.zeros(len(widths), dtype=np.bool_)
        values = np.zeros((len(widths), max(widths.values(), default=0)), dtype=np.float32)
        places = {symbol: index for index, symbol in enumerate(self._models)}
        for symbol, each in given.items():
            index = places[symbol] if symbol in places else self._index(symbol)
            own = as_float32(each, f"{what} of {symbol}")
            if own.shape != (widths[symbol],):
                raise wrong_shape(f"{what} of {symbol}", f"({widths[symbol]},)", own.shape)
            values[index, : len(own)], present[index] = own, True
        return present, values


def _grouped(models: Sequence[NativeModelWrapper]) -> list[list[int]]:
    """Return the places of symbols that are decided together: those of one file, and lone ones of one shape."""
    by_file: dict[object, list[int]] = {}
    for index, model in enumerate(models):
        by_file.setdefault((model.sha256, model.activation), []).append(index)
    together: dict[object, list[int]] = {}
    for key, places in by_file.items():
        model = models[places[0]]
        shape = (model.policy.packed_shapes, model.policy.window, model.activation)
        together.setdefault(key if len(places) > 1 else shape, []).extend(places)
    return list(together.values())


def _group(models: Sequence[NativeModelWrapper], places: Sequence[int]) -> _Group:
    own = [models[place] for place in places]
    is_shared = len({model.sha256 for model in own}) == 1
    policies = [own[0].policy] if is_shared else [model.policy for model in own]
    return _Group(np.array(places, dtype=np.int64), StackedStreams(policies, len(own)))
