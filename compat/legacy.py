"""The legacy goldens: what lies in people's folders, right and wrong, each with what it must give."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import pathlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from generate import NAMES, Case, documented, policy_of
from networks import FlatLayers, SeparateTrunks, SharedPiValue, observations, seeded
from torch import nn
from writers import before_zip, before_zip_protocol_4, protocol_4, records_of_1_6

EXPLICIT = {"version": "2.7.0", "source": "explicit"}
STRUCTURE = {"version": "2.7.0", "source": "structure"}
AMBIGUOUS = {"version": "2.4.0|2.5.0|2.6.0", "source": "structure"}
FOUND = ("W210", "W305")


@dataclasses.dataclass
class TrainConfig:
    """A config that was pickled as an instance."""

    activation: str = "tanh"
    learning_rate: float = 3e-4


class Optimizer(enum.Enum):
    """An enum that was pickled by value."""

    ADAM = "adam"


def bare(network: nn.Module, *, activation: str | None = "tanh", **more: Any) -> dict[str, Any]:
    """Return a checkpoint from before metadata."""
    config = {"gamma": 0.99} | ({} if activation is None else {"activation": activation})
    return {
        "policy_state_dict": network.state_dict(),
        "optimizer_state_dict": {},
        "global_step": 500_000,
        "config": config,
        **more,
    }


def legacy() -> list[Case]:
    """Return every legacy case."""
    return [*_structures(), *_prefixes(), *_dtypes(), *_layouts(), *_configs(), *_conflicts(), *_versions(), *_ours()]


def _case(name: str, checkpoint: Mapping[str, Any], network: nn.Module | None, **more: Any) -> Case:
    details = {"n_actions": 7, "detection": EXPLICIT, "findings": ("W305",), **more}
    return Case(name=f"legacy/{name}", checkpoint=checkpoint, network=network, **details)


def _refused(name: str, checkpoint: Mapping[str, Any], code: str, **more: Any) -> Case:
    details = {"detection": {"error": code}, "warn": code, "strict": code, "findings": (code,), **more}
    return _case(name, checkpoint, None, **details)


def _structures() -> list[Case]:
    old, middle, new = (policy_of(version, seed=11) for version in ("2.3.0", "2.4.0", "2.7.0"))
    odd = seeded(nn.Sequential(nn.Linear(1000, 4), nn.Tanh(), nn.Linear(4, 3)), 12)
    return [
        _case("no-metadata-5900-7", bare(new), new, detection=STRUCTURE, findings=FOUND),
        _case(
            "no-metadata-5300-3",
            bare(old),
            old,
            n_actions=3,
            detection={"version": "2.3.0", "source": "structure"},
            findings=FOUND,
        ),
        _case(
            "no-metadata-5600-3-ambiguous",
            bare(middle),
            middle,
            n_actions=3,
            detection=AMBIGUOUS,
            strict="E202",
            findings=("E202", "W305"),
        ),
        _refused("no-metadata-1000-3", bare(odd), "E204", findings=()),
        _case(
            "no-activation",
            bare(new, activation=None),
            new,
            detection=STRUCTURE,
            strict="W310",
            findings=(*FOUND, "W310"),
        ),
        _case(
            "only-weights",
            {"policy_state_dict": new.state_dict()},
            new,
            detection=STRUCTURE,
            strict="W310",
            findings=(*FOUND, "W310"),
        ),
    ]


def _prefixed(network: nn.Module, prefix: str) -> dict[str, Any]:
    state = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    return {**bare(network), "policy_state_dict": state}


def _prefixes() -> list[Case]:
    network = policy_of("2.7.0", seed=21)
    inner = {name.replace("trunk.", "trunk._orig_mod.module."): tensor for name, tensor in network.state_dict().items()}
    return [
        _case("prefix-module", _prefixed(network, "module."), network, detection=STRUCTURE, findings=FOUND),
        _case(
            "prefix-orig-mod-module",
            _prefixed(network, "_orig_mod.module."),
            network,
            detection=STRUCTURE,
            findings=FOUND,
        ),
        _case(
            "prefix-inside", {**bare(network), "policy_state_dict": inner}, network, detection=STRUCTURE, findings=FOUND
        ),
    ]


def _dtypes() -> list[Case]:
    cases = []
    for seed, dtype in enumerate((torch.float16, torch.bfloat16, torch.float64), start=31):
        stored = policy_of("2.7.0", seed=seed).to(dtype)
        checkpoint = documented("2.7.0", stored)
        # Decided by float32 on the stored values: what a trader computes with.
        network = policy_of("2.7.0", seed=seed).to(dtype).float()
        cases.append(_case(f"dtype-{str(dtype).removeprefix('torch.')}", checkpoint, network))
    return cases


def _layouts() -> list[Case]:
    shared = seeded(SharedPiValue(5900, 7, (2, 4)), 41)
    separate = seeded(SeparateTrunks(5900, 7, (2, 4)), 42)
    flat = seeded(FlatLayers(5900, 7, (2, 4)), 43)
    plain = policy_of("2.7.0", seed=44)
    transposed = {n: t.t().contiguous().t() if t.ndim == 2 else t for n, t in plain.state_dict().items()}
    buffer = torch.cat([tensor.flatten() for tensor in plain.state_dict().values()])
    sizes = [tensor.numel() for tensor in plain.state_dict().values()]
    views = [part.view_as(t) for part, t in zip(buffer.split(sizes), plain.state_dict().values(), strict=True)]
    return [
        _case("names-shared-pi", bare(shared), shared, detection=STRUCTURE, findings=FOUND),
        _case("separate-trunks", bare(separate), separate, detection=STRUCTURE, findings=FOUND),
        _case("names-fc-policy-vf", bare(flat), flat, detection=STRUCTURE, findings=FOUND),
        _case("strided-weights", documented("2.7.0", plain) | {"policy_state_dict": transposed}, plain),
        _case(
            "views-of-one-buffer",
            documented("2.7.0", plain) | {"policy_state_dict": dict(zip(plain.state_dict(), views, strict=True))},
            plain,
        ),
        _case("parameters", documented("2.7.0", plain) | {"policy_state_dict": dict(plain.named_parameters())}, plain),
        _case("adam-state", _with_adam(policy_of("2.7.0", (4, 4), seed=45)), policy_of("2.7.0", (4, 4), seed=45)),
    ]


def _with_adam(network: Any) -> dict[str, Any]:
    optimizer = torch.optim.Adam(network.parameters())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.logits(observations(2, 5900)).square().sum().backward()
    optimizer.step()
    return {
        **documented("2.7.0", network),
        "policy_state_dict": before,
        "optimizer_state_dict": optimizer.state_dict(),
    }


def _before_zip_cases(saved: dict[str, Any], network: nn.Module) -> list[Case]:
    shared = seeded(SharedPiValue(5900, 7, (2, 4)), 53)
    adam = policy_of("2.7.0", (4, 4), seed=54)
    half = policy_of("2.7.0", seed=55).to(torch.bfloat16)
    noted = ("W109", "W305")
    return [
        _case("non-zip", saved, network, write=before_zip),
        _case("non-zip-protocol-4", saved, network, write=before_zip_protocol_4),
        _case("non-zip-config-dataclass", saved | {"config": TrainConfig()}, network, findings=noted, write=before_zip),
        _case("non-zip-no-metadata", bare(shared), shared, detection=STRUCTURE, findings=FOUND, write=before_zip),
        _case("non-zip-adam", _with_adam(adam), policy_of("2.7.0", (4, 4), seed=54), write=before_zip),
        _case(
            "non-zip-bfloat16",
            documented("2.7.0", half),
            policy_of("2.7.0", seed=55).to(torch.bfloat16).float(),
            write=before_zip,
        ),
        _case("records-of-torch-1.6", saved, network, write=records_of_1_6),
    ]


def _configs() -> list[Case]:
    network = policy_of("2.7.0", seed=51)
    relu = policy_of("2.7.0", seed=52, activation="relu")
    mixed = {
        "activation": "tanh",
        "learning_rate": np.float32(3e-4),
        "steps": np.int64(2048),
        "optimizer": Optimizer.ADAM,
        "folder": pathlib.PurePosixPath("runs/7"),
        "started": datetime(2025, 3, 1, 12, 30, tzinfo=UTC),
        "torch": torch.__version__,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "bounds": np.array([-1.0, 1.0]),
        "seeds": {1, 2},
        "namespace": argparse.Namespace(clip=0.2),
    }
    noted = ("W109", "W305")
    saved = documented("2.7.0", network)
    return [
        _case("config-dataclass", saved | {"config": TrainConfig()}, network, findings=noted),
        _case("config-mixed", saved | {"config": mixed}, network, findings=noted),
        _case("config-mixed-protocol-4", saved | {"config": mixed}, network, findings=noted, write=protocol_4),
        _case(
            "config-activation-class",
            documented("2.7.0", relu) | {"config": {"activation_fn": nn.ReLU}},
            relu,
            findings=noted,
        ),
        _case(
            "config-missing",
            {k: v for k, v in saved.items() if k != "config"} | {"activation": "tanh"},
            network,
            findings=("W108", "W305"),
        ),
        *_before_zip_cases(saved, network),
    ]


def _conflicts() -> list[Case]:
    network = policy_of("2.7.0", seed=61)
    middle = policy_of("2.4.0", seed=62)
    swapped = dict(enumerate(("HOLD", "SELL", "BUY")))
    broken = policy_of("2.7.0", seed=63)
    with torch.no_grad():
        broken.trunk[0].weight[0, 7] = float("nan")
    saved = documented("2.7.0", network)
    normalised = {**network.state_dict(), "obs_rms.mean": torch.zeros(5900), "obs_rms.var": torch.ones(5900)}
    return [
        _refused("normaliser", saved | {"policy_state_dict": normalised}, "E306"),
        _refused("swapped-actions", documented("2.4.0", middle, action_meanings=swapped), "E401"),
        _refused("three-action-table-on-seven", saved | {"action_meanings": dict(enumerate(NAMES[3]))}, "E401"),
        _refused("version-against-structure", documented("2.7.0", middle), "E302", findings=("E302", "E303")),
        _refused("obs-dim-lies", bare(network, obs_dim=5600), "E302"),
        _refused("partial-metadata", {k: v for k, v in saved.items() if k != "n_actions"}, "E301"),
        _refused("bool-as-count", saved | {"n_actions": True}, "E301"),
        _refused("capability-unknown", saved | {"requires": ["actions/continuous@1"]}, "E307"),
        _refused("schema-newer", saved | {"contract_schema": 2}, "E208", findings=()),
        _refused("weights-nan", documented("2.7.0", broken), "E105", findings=()),
    ]


def _versions() -> list[Case]:
    network = policy_of("2.7.0", seed=71)
    saved = documented("2.7.0", network)
    schema = {"feature_sets": ["ohlcv53@1", "account3@1", "sizing3@1"]}
    contained = {
        "model_version": "2.99.0",
        "min_trader_version": "2.7.0",
        "requires_trader": ">=2.7.0,<3",
        "requires": ["actions/discrete7@1", "execution/delta@1"],
        "contract_schema": 1,
        "feature_schema": schema,
    }
    cases = [
        _refused(f"version-{text.replace('/', '-')}", saved | {"model_version": text}, code, findings=())
        for text, code in (
            ("2.0.0", "E207"),
            ("2.5.1", "E504"),
            ("2.7.0rc1", "E504"),
            ("2.7.0+local", "E203"),
            ("latest", "E203"),
            ("2.99.0", "E205"),
            ("2.100.0", "E205"),
        )
    ]
    return [
        *cases,
        _case("version-v2.7", saved | {"model_version": "v2.7"}, network, findings=("W209", "W305")),
        _case(
            "newer-self-contained-2.99",
            saved | contained,
            network,
            detection={"version": "2.99.0", "source": "explicit"},
            strict="W206",
            findings=("W206",),
        ),
    ]


def _ours() -> list[Case]:
    network = policy_of("2.7.0", seed=81)
    relu = policy_of("2.7.0", seed=82, activation="relu")
    saved = documented("2.7.0", network)
    seen = observations(3, 5900)
    with torch.no_grad():
        logits, flipped = relu.logits(seen), relu.logits(seen).flip(1)
    probe = {"observations": seen, "logits": logits, "margin": logits.topk(2).values.diff().abs().flatten()}
    unstated = documented("2.7.0", relu, activation=None)
    return [
        _case("bad-trader", saved | {"bad_traders": ["2.7.0"]}, network, strict="E503", findings=("E503", "W305")),
        _case(
            "trader-ceiling",
            saved | {"requires_trader": "<2.7"},
            network,
            strict="E502",
            findings=("E502", "W305", "W506"),
        ),
        _case(
            "semantics-unproven", saved | {"semantics": "unproven"}, network, strict="W311", findings=("W305", "W311")
        ),
        _case("probe-tells-relu", unstated | {"golden_probe": probe}, relu),
        _refused(
            "probe-fails",
            unstated | {"golden_probe": probe | {"logits": flipped}},
            "E308",
            findings=(),
            detection=EXPLICIT,
        ),
        _case("unknown-field", saved | {"wandb_run": "x1"}, network, findings=("W109", "W305")),
    ]
