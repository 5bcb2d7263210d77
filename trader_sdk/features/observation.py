"""From a model to its observations: built only where the model's features are proven to be the provider's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import ContractError, UsageError
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.features.own import Ohlcv53Provider, is_own_schema
from trader_sdk.features.provider import DEFAULT_PROVIDER, FeatureProvider, ProviderFactory
from trader_sdk.features.schema import FeatureSchema, own_schema_of, schema_from

Rows = NDArray[np.float32]

_UNNAMED: Final = "MODULE:Provider"


class Model(Protocol):
    """What is asked of a model: a ``NativeModelWrapper``, or anything with these three."""

    @property
    def metadata(self) -> Any:
        """Return the checkpoint's fields, a mapping."""

    @property
    def model_spec(self) -> ModelSpec:
        """Return what its version means."""

    @property
    def sha256(self) -> str:
        """Return the file's digest."""


@runtime_checkable
class Revisable(Protocol):
    """What a provider may have beyond the protocol: many bars at once, and bars whatever their time."""

    def extend(self, bars: Bars) -> None:
        """Take many closed bars, oldest first."""

    def revise(self, bar: Bar) -> None:
        """Take a new bar, a correction of one that was taken, or one that comes late."""


@runtime_checkable
class Restartable(Protocol):
    """What a provider may have that shares its state with others, so that it cannot be made anew."""

    def restart(self, bars: Bars) -> None:
        """Forget every bar and take these, oldest first."""


class ObservationBuilder:
    """Builds one model's observations of one symbol.

    Args:
        provider: Whose schema was checked against the model's.
        make: Makes another of its kind; a provider that cannot revise bars is made anew for a corrected one.
    """

    def __init__(self, provider: FeatureProvider, make: Callable[[], FeatureProvider] | None = None) -> None:
        self.provider = provider
        self._revisable = provider if isinstance(provider, Revisable) else None
        self._make = make
        self._bars: deque[Bar] = deque(maxlen=provider.required_history)

    @classmethod
    def for_model(
        cls, model: Model, *, features: ProviderFactory | None = None, asserted_sha256: str | None = None
    ) -> ObservationBuilder:
        """Return a builder for ``model``.

        Args:
            model: A loaded model.
            features: Makes the provider; None: this package's own, if the model's schema is one of its own. Called
                with ``constants=...`` where the checkpoint holds constants, else without arguments.
            asserted_sha256: A schema digest that a person asserts for a file that states none; a pin that the model
                was loaded with needs no repeating here.

        Raises:
            ContractError: E304 if the file states other features than are asserted; E309 if nobody states any, or
                others than the provider's.
        """
        stated = _settled(stated_schema_sha256(model), asserted_sha256 or _pinned(model), model)

        def make() -> FeatureProvider:
            return _own_provider(model, stated) if features is None else _made(features, model)

        provider = make()
        if stated is None or provider.schema.sha256 != stated:
            raise _not_proven(model, stated, provider.schema.sha256, features)
        _check_width(model, provider.schema)
        return cls(provider, make)

    @property
    def schema(self) -> FeatureSchema:
        """Return what the columns mean."""
        return self.provider.schema

    @property
    def ready(self) -> bool:
        """Return whether the window is full; until then the reason is WARMING_UP."""
        return self.provider.ready

    def push(self, bar: Bar) -> None:
        """Take a closed bar, newer than the last."""
        self.provider.push(bar)
        if self._revisable is None:
            self._bars.append(bar)

    def extend(self, bars: Bars) -> None:
        """Take many closed bars, oldest first."""
        if self._revisable is not None:
            self._revisable.extend(bars)
            return
        for index in range(len(bars)):
            self.push(bars.at(index))

    def restart(self, bars: Bars) -> None:
        """Forget every bar and take these, oldest first: the past was adjusted, or is known better now.

        Raises:
            UsageError: The provider can neither forget nor be made anew.
        """
        if isinstance(self.provider, Restartable):
            self.provider.restart(bars)
            return
        if self._make is None:
            raise _cannot_start_over(self.provider)
        self.provider = self._make()
        self._revisable = self.provider if isinstance(self.provider, Revisable) else None
        self._bars.clear()
        self.extend(bars)

    def revise(self, bar: Bar) -> None:
        """Take a bar whatever its time: a new one, a correction of one that was taken, or one that comes late.

        Afterwards observations are those of a builder that saw the bar in its place from the start.

        Raises:
            DataError: The bar is invalid or of another symbol; nothing changed.
            UsageError: The provider can neither revise bars nor be made anew.
        """
        if self._revisable is not None:
            self._revisable.revise(bar)
        elif not self._bars or bar.t > self._bars[-1].t:
            self.push(bar)
        elif len(self._bars) < self.provider.required_history or bar.t >= self._bars[0].t:
            self._start_over(bar)

    def _start_over(self, bar: Bar) -> None:
        if self._make is None:
            raise _cannot_start_over(self.provider)
        by_time = {each.t: each for each in self._bars} | {bar.t: bar}
        provider = self._make()
        bars = [by_time[t] for t in sorted(by_time)][-provider.required_history :]
        for each in bars:
            provider.push(each)
        self.provider = provider
        self._bars = deque(bars, maxlen=provider.required_history)

    def observe(self, account: NDArray[np.float32] | None = None) -> Rows:
        """Return the current observation, float32 (obs_dim,)."""
        return self.provider.observe(account)


def _cannot_start_over(provider: FeatureProvider) -> UsageError:
    return UsageError(
        "USAGE",
        "this provider cannot take a bar that is not new",
        where=type(provider).__name__,
        remedy="Give the builder `make`, or the provider `extend` and `revise`.",
    )


def metadata_fields(model: Model) -> Mapping[str, Any]:
    """Return the checkpoint's fields, whether the model shows a mapping or the typed metadata."""
    metadata = model.metadata
    fields: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else metadata.fields
    return fields


def stated_schema_sha256(model: Model) -> str | None:
    """Return the digest of the features that the model's file states, None where it states none."""
    fields = metadata_fields(model)
    schema = fields.get("feature_schema")
    if isinstance(schema, Mapping):
        return sha256_of(dict(schema))
    stated = fields.get("feature_schema_sha256")
    return str(stated) if stated else None


def _pinned(model: Model) -> str | None:
    report = getattr(model, "report", None)
    return None if report is None else report.asserted_schema


def _settled(stated: str | None, asserted: str | None, model: Model) -> str | None:
    if stated is not None and asserted not in (None, stated):
        raise ContractError(
            "E304", "the file states other features", where=f"model {model.sha256}", expected=asserted, found=stated
        )
    return stated or asserted


def _own_provider(model: Model, stated: str | None) -> Ohlcv53Provider:
    fields = metadata_fields(model)
    document = fields.get("feature_schema")
    if isinstance(document, Mapping):
        schema: FeatureSchema | None = schema_from(document)
    else:
        named = {name: str(fields[name]) for name in ("timeframe", "feed", "adjustment") if fields.get(name)}
        schema = None if stated is None else own_schema_of(stated, model.model_spec.feature_sets, named)
    if schema is None or not is_own_schema(schema):
        raise _not_proven(model, stated, None, None)
    return Ohlcv53Provider(schema)


def _made(features: ProviderFactory, model: Model) -> FeatureProvider:
    if features is Ohlcv53Provider:
        return _own_provider(model, stated_schema_sha256(model))
    constants = metadata_fields(model).get("constants")
    return features(constants=constants) if constants else features()


def _check_width(model: Model, schema: FeatureSchema) -> None:
    if schema.obs_dim != model.model_spec.obs_dim:
        raise ContractError(
            "E302",
            "the features are not as wide as the model",
            where=f"feature schema {schema.sha256}",
            expected=f"obs_dim {model.model_spec.obs_dim}",
            found=f"{schema.window} x {schema.n_features} = {schema.obs_dim}",
        )


def _not_proven(
    model: Model, stated: str | None, offered: str | None, features: ProviderFactory | None
) -> ContractError:
    module, qualname = getattr(features, "__module__", None), getattr(features, "__qualname__", None)
    name = f"{module}:{qualname}" if module and qualname else _UNNAMED
    path = getattr(model, "path", None) or "FILE"
    return ContractError(
        "E309",
        "the model states no features" if stated is None else "the model's features are not the provider's",
        where=f"model {model.sha256}",
        expected=f"feature schema {offered}" if offered else f"a feature schema that {DEFAULT_PROVIDER} computes",
        found=stated or "no feature_schema",
        remedy=(
            "Observations are built only from proven features. If you know whose they are, assert it for this file: "
            f"`trader compat stamp {path} --features {name} --out DIR`, or pin feature_schema for {model.sha256}."
        ),
    )
