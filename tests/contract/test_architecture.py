"""The layer chain and the heads, from shapes alone."""

import pytest

from trader_sdk import SdkError
from trader_sdk.contract.architecture import derive_architecture

Shapes = dict[str, tuple[int, ...]]


def linear(name: str, out_features: int, in_features: int) -> Shapes:
    return {f"{name}.weight": (out_features, in_features), f"{name}.bias": (out_features,)}


TRUNK = {**linear("trunk.0", 8, 5900), **linear("trunk.2", 8, 8)}

READABLE = {
    "documented names": {**TRUNK, **linear("actor_head", 7, 8), **linear("critic_head", 1, 8)},
    "short names": {
        **linear("shared.0", 8, 5900),
        **linear("shared.2", 8, 8),
        **linear("pi", 7, 8),
        **linear("vf", 1, 8),
    },
    "numbered functions": {**linear("fc1", 8, 5900), **linear("fc2", 8, 8), **linear("actor", 7, 8)},
    "an unnamed value head of width one": {**TRUNK, **linear("policy", 7, 8), **linear("out", 1, 8)},
    "wrappers that nest": {
        **{f"module._orig_mod.{name}": shape for name, shape in TRUNK.items()},
        **linear("_orig_mod.module.module.actor", 7, 8),
    },
    "two trunks told by their words": {
        **linear("mlp_extractor.policy_net.0", 8, 5900),
        **linear("mlp_extractor.policy_net.2", 8, 8),
        **linear("mlp_extractor.value_net.0", 16, 5900),
        **linear("action_net", 7, 8),
        **linear("value_net", 1, 16),
    },
    "the actor's own hidden layer": {
        **linear("trunk.0", 8, 5900),
        **linear("actor.0", 8, 8),
        **linear("actor.2", 7, 8),
    },
    "the critic stored first": {**linear("critic", 1, 8), **linear("actor", 7, 8), **TRUNK},
}

REFUSED = {
    "no layers": ("E204", {}),
    "two heads of no name": ("E204", {**TRUNK, **linear("a", 7, 8), **linear("b", 3, 8)}),
    "two trunks of no name": ("E204", {**linear("a.0", 8, 5900), **linear("b.0", 8, 5900), **linear("actor", 7, 8)}),
    "square layers of no order": (
        "E204",
        {**linear("a", 8, 5900), **linear("b", 8, 8), **linear("c", 8, 8), **linear("pi", 7, 8)},
    ),
    "a layer without bias": ("E204", {"trunk.0.weight": (8, 5900), **linear("actor", 7, 8)}),
    "a bias of another width": ("E204", {"trunk.0.weight": (8, 5900), "trunk.0.bias": (9,), **linear("actor", 7, 8)}),
    "a parameter of no layer": ("E204", {**TRUNK, **linear("actor", 7, 8), "log_std": (7,)}),
    "a chain that is broken": (
        "E204",
        {**linear("trunk.0", 8, 5900), **linear("trunk.2", 8, 9), **linear("actor", 7, 8)},
    ),
    "one name twice without wrappers": ("E204", {**TRUNK, **linear("actor", 7, 8), **linear("module.actor", 7, 8)}),
    "a normaliser": ("E306", {**TRUNK, **linear("actor", 7, 8), "obs_rms.mean": (5900,), "obs_rms.var": (5900,)}),
    "batch normalisation": ("E306", {**TRUNK, **linear("actor", 7, 8), "bn.running_mean": (8,)}),
    "too many layers": (
        "E204",
        {**linear("t.0", 8, 5900), **{k: v for n in range(1, 40) for k, v in linear(f"t.{n}", 8, 8).items()}},
    ),
}


@pytest.mark.parametrize("shapes", READABLE.values(), ids=READABLE.keys())
def test_architecture_is_derived_when_it_can_be_told(shapes: Shapes) -> None:
    """Names differ between trainers; the chain and the policy head come out alike."""
    architecture = derive_architecture(shapes)
    assert (architecture.obs_dim, architecture.n_actions, architecture.hidden_dims) == (
        5900,
        7,
        (8, 8) if len(architecture.trunk) == 2 else (8,),
    )
    assert not any("critic" in name or "value" in name or "vf" in name for name in (architecture.actor.weight,))


@pytest.mark.parametrize(("code", "shapes"), REFUSED.values(), ids=REFUSED.keys())
def test_architecture_is_refused_when_it_would_be_a_guess(code: str, shapes: Shapes) -> None:
    """What stays ambiguous is refused with its code."""
    with pytest.raises(SdkError) as caught:
        derive_architecture(shapes)
    assert caught.value.code == code
