"""The reference policy, 5900 -> 512 -> 256 -> {7, 1}, as each peer keeps it; peers that are absent are left out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OBS_DIM, HIDDEN, ACTIONS = 5900, (512, 256), 7
DEFAULT_TRUNK = (1024, 512, 256)


@dataclass(frozen=True)
class Verified:
    """A file and the digest that was written down beside it."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class ReferenceFiles:
    """The same policy as a checkpoint, with Adam's moments, as our artefact, and as the peers' files."""

    checkpoint: Verified
    full: Verified
    artefact: Verified
    observation: Path
    onnx: Path | None
    stable_baselines3: Path | None


def observation(count: int = 1) -> NDArray[np.float32]:
    """Return seeded observations, (count, 5900)."""
    return np.random.default_rng(7).standard_normal((count, OBS_DIM)).astype(np.float32)


def reference_network(hidden: tuple[int, ...] = HIDDEN) -> Any:
    """Return the policy in torch, seeded."""
    import torch
    from torch import nn

    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (OBS_DIM, *hidden)
            layers = (part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.Tanh()))
            self.trunk = nn.Sequential(*layers)
            self.actor_head = nn.Linear(hidden[-1], ACTIONS)
            self.critic_head = nn.Linear(hidden[-1], 1)

        def forward(self, obs: Any) -> Any:
            features = self.trunk(obs)
            return self.actor_head(features), self.critic_head(features)

    torch.manual_seed(0)
    return ActorCritic()


def write_reference(folder: Path, hidden: tuple[int, ...] = HIDDEN) -> ReferenceFiles:
    """Write every file of the reference policy; peers' own files are of the reference shape only."""
    import torch

    from trader_sdk import save
    from trader_sdk.checkpoint import read_checkpoint
    from trader_sdk.checkpoint.artefacts import write_policy_safetensors

    network = reference_network(hidden)
    plain = save(folder / "model.pt", policy=network, activation="tanh")
    artefact = write_policy_safetensors(folder / "policy.safetensors", read_checkpoint(plain.path))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)
    sum(head.sum() for head in network(torch.ones(2, OBS_DIM))).backward()
    optimizer.step()
    full = save(folder / "full.pt", policy=network, optimizer=optimizer, activation="tanh")
    np.save(folder / "observation.npy", observation())
    return ReferenceFiles(
        checkpoint=Verified(plain.path, plain.sha256),
        full=Verified(full.path, full.sha256),
        artefact=Verified(artefact.path, artefact.sha256),
        observation=folder / "observation.npy",
        onnx=_onnx(folder / "model.onnx", network) if hidden == HIDDEN else None,
        stable_baselines3=_stable_baselines3(folder / "sb3.zip") if hidden == HIDDEN else None,
    )


def _onnx(path: Path, network: Any) -> Path | None:
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return None
    from onnx import TensorProto, helper, numpy_helper, save_model

    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    chain = ("trunk.0", "Tanh", "trunk.2", "Tanh", "actor_head")
    nodes, at = [], "obs"
    for index, step in enumerate(chain):
        out = "logits" if index == len(chain) - 1 else f"out{index}"
        if step == "Tanh":
            nodes.append(helper.make_node("Tanh", [at], [out]))
        else:
            nodes.append(helper.make_node("Gemm", [at, f"{step}.weight", f"{step}.bias"], [out], transB=1))
        at = out
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["n", OBS_DIM])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", ACTIONS])],
        [numpy_helper.from_array(value, name) for name, value in state.items() if "critic" not in name],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def _stable_baselines3(path: Path) -> Path | None:
    if find_spec("stable_baselines3") is None:
        return None
    import gymnasium
    from stable_baselines3 import PPO

    class Nothing(gymnasium.Env[NDArray[np.float32], np.int64]):
        observation_space = gymnasium.spaces.Box(-10, 10, (OBS_DIM,), np.float32)
        action_space = gymnasium.spaces.Discrete(ACTIONS)

    model = PPO("MlpPolicy", Nothing(), n_steps=8, batch_size=8, policy_kwargs={"net_arch": list(HIDDEN)}, device="cpu")
    model.save(path)
    return path
