"""A model that is ready to decide: read, detected, checked, built, proven; immutable from then on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

import numpy as np
from numpy.typing import NDArray

from trader_sdk.checkpoint.reader import Backend
from trader_sdk.contract.compatibility import CompatReport, Mode, Pin
from trader_sdk.contract.errors import UsageError
from trader_sdk.contract.spec import MARKET_FEATURES, ModelSpec
from trader_sdk.decisions import Decision, Decisions, account_columns, as_float32, decision_from, wrong_shape
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.loading import Loaded, LoadOptions, load_checked, pins_of
from trader_sdk.warnings_shown import warn_once

if TYPE_CHECKING:
    from trader_sdk.decision_stream import DecisionStream

__all__ = ["Decision", "Decisions", "NativeModelWrapper"]


class NativeModelWrapper:
    """Load a checkpoint, verify it, and decide with it. Immutable, thread-safe, and not picklable.

    Args:
        path: A ``.pt`` or ``.safetensors`` checkpoint; the bytes decide which it is.
        strict_version: Refuse findings of class POLICY too (an assumed activation, an ambiguous version).
        trader_version: The trader to check against; this release's own when None.
        expected_sha256: Refuse any other file.
        symbol: Refuse a checkpoint that says it is another symbol's.
        activation: What the file leaves unsaid: ``tanh``, ``relu``, ``elu``, ``leaky_relu`` or ``silu``.
        pins: What people assert about files: a ``trader-pins.toml``, or the pins themselves.
        backend: ``"numpy"`` reads strictly and without torch; ``"torch"`` reads layouts that it does not know.

    Raises:
        SdkError: CheckpointError (1xx), VersionError (2xx), ContractError (3xx), ActionError (4xx) or
            CompatibilityError (5xx); ``findings`` holds every fault that was found.

    Example:
        >>> model = NativeModelWrapper("model.pt")  # doctest: +SKIP
        >>> model.decide(obs).name  # doctest: +SKIP
        'BUY_50%'
    """

    __slots__ = ("_loaded",)

    _loaded: Loaded

    def __init__(
        self,
        path: str | os.PathLike[str],
        strict_version: bool = False,
        *,
        trader_version: str | None = None,
        expected_sha256: str | None = None,
        symbol: str | None = None,
        activation: str | None = None,
        pins: str | os.PathLike[str] | Sequence[Pin] | None = None,
        backend: Backend = "numpy",
    ) -> None:
        mode = Mode.STRICT if strict_version else Mode.WARN
        options = LoadOptions(trader_version, expected_sha256, symbol, activation, pins_of(pins), backend)
        loaded = load_checked(path, mode, options)
        object.__setattr__(self, "_loaded", loaded)
        warn_once(loaded.raw.path, loaded.raw.sha256, loaded.report.findings)

    @classmethod
    def _from_options(cls, path: str | os.PathLike[str], mode: Mode, options: LoadOptions) -> Self:
        model = object.__new__(cls)
        object.__setattr__(model, "_loaded", load_checked(path, mode, options))
        return model

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a model is immutable: {name} cannot be set")

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "USAGE",
            "a model is not pickled: its file is what was verified",
            where=self._loaded.raw.path,
            remedy="Pass the path and the sha256, and load it in each process.",
        )

    def __repr__(self) -> str:
        return f"NativeModelWrapper({self._loaded.raw.path!r}, model {self.model_version}, {self.sha256[:19]})"

    @property
    def model_spec(self) -> ModelSpec:
        """Return what the model means; for an ambiguous legacy file the newest candidate's spec."""
        return self._loaded.spec

    @property
    def model_version(self) -> str:
        """Return the version, or its candidates joined by ``|``."""
        return self._loaded.report.model_version

    @property
    def report(self) -> CompatReport:
        """Return every finding of loading."""
        return self._loaded.report

    @property
    def sha256(self) -> str:
        """Return the file's digest, ``sha256:<hex>``."""
        return self._loaded.raw.sha256

    @property
    def policy_sha256(self) -> str:
        """Return the policy's canonical digest, the same in every file that holds this policy."""
        return self._loaded.policy_sha256

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Return the fields beside the weights, plain data, without the optimizer's state."""
        fields = self._loaded.raw.metadata
        return MappingProxyType({name: value for name, value in fields.items() if name != "optimizer_state_dict"})

    @property
    def activation(self) -> str:
        """Return the activation in use: stated, proven by the golden probe, or assumed (W310)."""
        return self._loaded.policy.activation

    @property
    def policy(self) -> DensePolicy:
        """Return the network, for callers that hold market and account parts themselves (backtest, training)."""
        return self._loaded.policy

    @overload
    def decide(self, obs: NDArray[np.floating[Any]]) -> Decision: ...

    @overload
    def decide(self, obs: Sequence[Sequence[float]]) -> list[Decision]: ...

    def decide(self, obs: Any) -> Decision | list[Decision]:
        """Decide on whole observations, by the best logit; the lowest index wins a tie.

        Args:
            obs: float32 (obs_dim,) or (window, n_features): one decision; (n, obs_dim): a list of n. Oldest bar
                first. float64 is cast with a check.

        Returns:
            A :class:`Decision`, or a list of them for a batch.

        Raises:
            ActionError: E405 for another shape or type, NaN or infinity; E404 if the policy gives a non-finite logit.
        """
        spec, policy = self._loaded.spec, self._loaded.policy
        values = as_float32(obs, "observation")
        single = values.shape in ((spec.obs_dim,), (spec.window, spec.n_features))
        if not single and (values.ndim != 2 or values.shape[1] != spec.obs_dim):
            shapes = f"({spec.obs_dim},), ({spec.window}, {spec.n_features}) or (n, {spec.obs_dim})"
            raise wrong_shape("observation", shapes, values.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            logits = policy.logits(values.reshape(-1, spec.obs_dim))
        decisions = [decision_from(row, spec, self.sha256) for row in logits]
        return decisions[0] if single else decisions

    def stream(self) -> DecisionStream:
        """Return a new stream: push rows, decide on the newest window, the fast live path."""
        from trader_sdk.decision_stream import DecisionStream

        return DecisionStream(self._loaded.policy, self._loaded.spec, self.sha256)

    def decide_history(self, market: NDArray[np.floating[Any]], account: Any = None) -> Decisions:
        """Decide on every full window of a history.

        Args:
            market: float32 (T, 53), T >= window, oldest bar first.
            account: float32 (T, 3 or 6), the account columns as they were at each bar; None for a model without.

        Returns:
            T - window + 1 decisions; row i is the window that ends with bar ``i + window - 1``. ``engine`` says how
            they were computed: long histories are filtered, in memory that does not grow with them.

        Raises:
            ActionError: E405 for a wrong shape or type, NaN or infinity; E404 for a non-finite output.
        """
        from trader_sdk.engine.history import history_logits

        policy = self._loaded.policy
        rows = as_float32(market, "market")
        if rows.ndim != 2 or rows.shape[1] != MARKET_FEATURES or len(rows) < policy.window:
            raise wrong_shape("market", f"(T >= {policy.window}, {MARKET_FEATURES})", rows.shape)
        columns = account_columns(account, policy.n_account, (len(rows),))
        with np.errstate(over="ignore", invalid="ignore"):
            logits, engine = history_logits(policy, rows, columns[policy.window - 1 :])
        return Decisions(logits, self._loaded.spec, self.sha256, engine)


def load_quietly(path: str | os.PathLike[str], options: LoadOptions) -> NativeModelWrapper:
    """Load as warn mode does without logging what was found, for callers that show ``report`` themselves.

    Raises:
        SdkError: As :class:`NativeModelWrapper` in warn mode; CompatibilityError E505 if it was recalled.
    """
    return NativeModelWrapper._from_options(path, Mode.WARN, options)
