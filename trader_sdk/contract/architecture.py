"""From tensor shapes to the policy network: which layers, in which order, which head decides.

Other people's checkpoints name their layers as they like, so the chain is derived from shapes and the heads are told
by width and by words. What stays ambiguous is refused: a guess here is a silently wrong model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from trader_sdk.contract.errors import ContractError, Finding, SdkError, VersionError

Shape = tuple[int, ...]

MAX_LAYERS: Final = 32
_MAX_STEPS: Final = 10_000
_WRAPPERS: Final = frozenset({"module", "_orig_mod"})
_ACTOR_WORDS: Final = frozenset({"actor", "policy", "pi", "action", "actions"})
_VALUE_WORDS: Final = frozenset({"critic", "value", "vf", "v"})
_NORMALISER: Final = re.compile(r"rms|running_(mean|var)|normali[sz]|obs_(mean|std|var)|num_batches_tracked", re.I)


class LinearNames(NamedTuple):
    """Where one linear layer lies in the state dict (original names), and its shape."""

    weight: str
    bias: str
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class PolicyArchitecture:
    """The chain from observation to logits.

    Attributes:
        trunk: Hidden layers, first to last; an activation follows each.
        actor: The policy head.
        dropped: Names of the value side's tensors, which trading does not need.
    """

    trunk: tuple[LinearNames, ...]
    actor: LinearNames
    dropped: tuple[str, ...]

    @property
    def obs_dim(self) -> int:
        """Return the width of the flattened observation."""
        return (self.trunk[0] if self.trunk else self.actor).in_features

    @property
    def n_actions(self) -> int:
        """Return the width of the policy head."""
        return self.actor.out_features

    @property
    def hidden_dims(self) -> tuple[int, ...]:
        """Return the trunk's widths."""
        return tuple(layer.out_features for layer in self.trunk)


class _Side(Enum):
    ACTOR = "actor"
    VALUE = "value"
    NEUTRAL = "neutral"


class _Layer(NamedTuple):
    names: LinearNames
    path: tuple[str, ...]
    side: _Side

    @property
    def shape(self) -> tuple[int, int]:
        return self.names.in_features, self.names.out_features

    @property
    def series(self) -> tuple[str, ...]:
        """Return what numbered siblings share: ``trunk.`` of ``trunk.2``, ``fc`` of ``fc2``."""
        return (*self.path[:-1], self.path[-1].rstrip("0123456789")) if self.path else ()

    @property
    def number(self) -> int:
        """Return the place among numbered siblings, -1 without a number."""
        digits = self.path[-1].removeprefix(self.series[-1]) if self.path else ""
        return int(digits) if digits else -1


def strip_prefixes(name: str) -> str:
    """Return a parameter's name without ``module`` and ``_orig_mod``, wherever and however often they nest.

    Example:
        >>> strip_prefixes("module._orig_mod.module.trunk.0.weight")
        'trunk.0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def derive_architecture(shapes: Mapping[str, Shape]) -> PolicyArchitecture:
    """Derive the policy network from the shapes of a state dict.

    Args:
        shapes: Parameter name to shape, weights as (out, in), in any order.

    Returns:
        The chain of linear layers from the observation to the policy head.

    Raises:
        ContractError: E306 if normaliser tensors are among the parameters.
        VersionError: E204 if the chain or its head cannot be told without guessing.
    """
    layers = _linear_layers(_without_wrappers(shapes), shapes)
    kept = [layer for layer in layers if layer.side is not _Side.VALUE]
    dropped = [layer for layer in layers if layer.side is _Side.VALUE]
    scalar_heads = [layer for layer in kept if layer.side is _Side.NEUTRAL and layer.names.out_features == 1]
    if len(scalar_heads) == 1 and len(kept) > 1:
        # A policy over one action decides nothing: an unnamed head of width one is the value head.
        kept.remove(scalar_heads[0])
        dropped.append(scalar_heads[0])
    chain = _only_chain(kept)
    return PolicyArchitecture(
        trunk=tuple(layer.names for layer in chain[:-1]),
        actor=chain[-1].names,
        dropped=tuple(sorted(name for layer in dropped for name in (layer.names.weight, layer.names.bias))),
    )


def _undetectable(message: str, names: Iterable[str], shapes: Mapping[str, Shape]) -> SdkError:
    listed = ", ".join(f"{name} {tuple(shapes[name])}" for name in list(names)[:6])
    return VersionError("E204", message, where="policy_state_dict", found=listed or "no tensors")


def _without_wrappers(shapes: Mapping[str, Shape]) -> dict[str, str]:
    stripped: dict[str, str] = {}
    for name in shapes:
        short = strip_prefixes(name)
        if short in stripped:
            raise _undetectable("two parameters have the same name without wrappers", (stripped[short], name), shapes)
        stripped[short] = name
    return stripped


def _linear_layers(stripped: Mapping[str, str], shapes: Mapping[str, Shape]) -> list[_Layer]:
    normalisers = [name for short, name in stripped.items() if _NORMALISER.search(short)]
    if normalisers:
        raise ContractError(
            "E306",
            "the state dict holds a normaliser that the trader would not apply",
            where=", ".join(normalisers[:4]),
            findings=[Finding("E306", where=name) for name in normalisers],
        )
    layers, used = [], set[str]()
    for short, name in stripped.items():
        if not short.endswith("weight") or len(shapes[name]) != 2:
            continue
        base = short.removesuffix("weight")
        bias = stripped.get(f"{base}bias")
        if bias is None or shapes[bias] != (shapes[name][0],):
            raise _undetectable("a linear layer has no bias of its width", [name], shapes)
        out_features, in_features = shapes[name]
        path = tuple(part for part in base.split(".") if part)
        layers.append(_Layer(LinearNames(name, bias, in_features, out_features), path, _side_of(path)))
        used.update((name, bias))
    unexpected = [name for name in stripped.values() if name not in used]
    if unexpected:
        raise _undetectable("parameters that belong to no linear layer", unexpected, shapes)
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise _undetectable(f"expected 1..{MAX_LAYERS} linear layers, found {len(layers)}", [], shapes)
    return layers


def _side_of(path: tuple[str, ...]) -> _Side:
    # The innermost component that names exactly one side decides; "actor_critic" names both and says nothing.
    for part in reversed(path):
        words = set(re.split(r"[_\d]+", part.lower()))
        actor, value = bool(words & _ACTOR_WORDS), bool(words & _VALUE_WORDS)
        if actor != value:
            return _Side.ACTOR if actor else _Side.VALUE
    return _Side.NEUTRAL


def _only_chain(layers: list[_Layer]) -> list[_Layer]:
    shapes = {layer.names.weight: (layer.names.out_features, layer.names.in_features) for layer in layers}
    widest = max((layer.names.in_features for layer in layers), default=0)
    starts = [layer for layer in layers if layer.names.in_features == widest]
    if len(starts) > 1:
        starts = _first_of_equals(starts)
    chains: list[list[_Layer]] = []
    budget = _MAX_STEPS
    pending = [[start] for start in starts]
    while pending and len(chains) < 2 and budget:
        budget -= 1
        path = pending.pop()
        if len(path) == len(layers):
            chains.extend([path] if _head_is_last(path) else [])
            continue
        rest = [
            layer for layer in layers if layer not in path and layer.names.in_features == path[-1].names.out_features
        ]
        pending.extend([*path, layer] for layer in _first_of_equals(rest))
    if len(chains) != 1 or pending:
        raise _undetectable("the order of the layers or the policy head is ambiguous", shapes, shapes)
    return chains[0]


def _first_of_equals(layers: list[_Layer]) -> list[_Layer]:
    # Numbered siblings of one shape follow each other by number; those of different series stay choices.
    firsts: dict[tuple[tuple[str, ...], tuple[int, int]], _Layer] = {}
    for layer in sorted(layers, key=lambda each: each.number):
        firsts.setdefault((layer.series if layer.number >= 0 else layer.path, layer.shape), layer)
    return list(firsts.values())


def _head_is_last(chain: list[_Layer]) -> bool:
    # Once the actor's own layers began, the shared trunk cannot come again.
    sides = [layer.side for layer in chain]
    first_actor = sides.index(_Side.ACTOR) if _Side.ACTOR in sides else len(sides)
    return all(side is _Side.ACTOR for side in sides[first_actor:])
