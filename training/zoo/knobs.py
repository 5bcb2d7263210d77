"""The knobs that a spec may turn: a closed list, each with its type and its bounds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

from trader_sdk.contract.costs import COST_MODELS
from trader_sdk.contract.document import Label
from trader_sdk.contract.spec import MODEL_SPECS


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_as_tuple), Field(min_length=1, max_length=6)]


class Overrides(BaseModel):
    """What a spec changes of the training configuration; a knob that is None stays as the base has it.

    Attributes:
        horizon: Bars whose mean return is rewarded; the observation stays what it is.
        residual_momentum: Reward what a trend (and the peers) do not explain.
        cross_sectional_demean: Reward the return less the mean of the symbol and its peers.
        model_version_label: Label of what is trained, before the spec's own.
        features_version: Contract row whose registered feature sets and actions are trained.
        hidden_dims: Widths of the trunk.
        activation: Between its layers.
        total_steps: Environment steps.
        learning_rate: Peak of Adam's learning rate.
        ent_coef: Weight of the entropy bonus.
        gamma: Discount.
        clip_coef: PPO's clip.
        cost_model: What trading costs while training and judging.
        reward: Money alone, or the weighted terms of ``composite_v25``; those reward the next bar only.
        seed: Weights, environments and minibatches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    horizon: Annotated[int, Field(ge=1, le=256)] | None = None
    residual_momentum: bool | None = None
    cross_sectional_demean: bool | None = None
    model_version_label: Label | None = None
    features_version: str | None = None
    hidden_dims: Widths | None = None
    activation: Literal["tanh", "relu"] | None = None
    total_steps: PositiveInt | None = None
    learning_rate: PositiveFloat | None = None
    ent_coef: Annotated[float, Field(ge=0)] | None = None
    gamma: Annotated[float, Field(ge=0, le=1)] | None = None
    clip_coef: PositiveFloat | None = None
    cost_model: str | None = None
    reward: Literal["net_log_return", "composite_v25"] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None

    def turned(self) -> dict[str, Any]:
        """Return the knobs that a spec turns, by name."""
        return {name: value for name, value in self if value is not None}


KNOBS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "horizon": "whole number 1..256",
        "residual_momentum": "true or false",
        "cross_sectional_demean": "true or false",
        "model_version_label": "text, a label",
        "features_version": f"text, one of {', '.join(MODEL_SPECS)}",
        "hidden_dims": "list of whole numbers > 0",
        "activation": "tanh or relu",
        "total_steps": "whole number > 0",
        "learning_rate": "number > 0",
        "ent_coef": "number >= 0",
        "gamma": "number 0..1",
        "clip_coef": "number > 0",
        "cost_model": f"text, one of {', '.join(COST_MODELS)}",
        "reward": "net_log_return or composite_v25",
        "seed": "whole number >= 0",
    }
)
"""The allow-list as errors and ``--list`` show it."""

CONFIG_FIELDS: Final[Mapping[str, str]] = MappingProxyType({"features_version": "model_version"})
"""Knobs that have another name in :class:`~training.config.TrainConfig`."""
NO_CONFIG: Final = frozenset({"model_version_label"})

_ALSO_CALLED: Final = MappingProxyType(
    {
        "lr": "learning_rate",
        "entropy": "ent_coef",
        "entropy_coef": "ent_coef",
        "hidden": "hidden_dims",
        "hidden_sizes": "hidden_dims",
        "costs": "cost_model",
        "label": "model_version_label",
        "version_label": "model_version_label",
        "features": "features_version",
        "model_version": "features_version",
        "steps": "total_steps",
        "demean": "cross_sectional_demean",
    }
)


def allow_list() -> str:
    """Return every knob with its type, one line."""
    return "; ".join(f"{name} ({kind})" for name, kind in KNOBS.items())


def suggestion(name: str) -> str | None:
    """Return the knob that was probably meant.

    Example:
        >>> suggestion("learning_rat"), suggestion("entropy"), suggestion("moon")
        ('learning_rate', 'ent_coef', None)
    """
    folded = name.lower().replace("-", "_")
    if folded in _ALSO_CALLED:
        return _ALSO_CALLED[folded]
    close = difflib.get_close_matches(folded, KNOBS, n=1, cutoff=0.6)
    return close[0] if close else None
