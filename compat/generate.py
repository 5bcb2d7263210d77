"""Write the golden checkpoints: once, with plain ``torch.save``, imitating the documented trainer.

Nothing of ``trader_sdk`` is imported here: a golden file made by the code under test would prove nothing. A folder that
exists is never written again; see README.md. Run ``python compat/generate.py`` with torch installed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from networks import ActorCritic, observations, seeded
from torch import nn

HERE = Path(__file__).parent
COUNT = 12
# The registry is read as data, by no code of the package: a new row is a new golden.
REGISTRY = tomllib.loads((HERE.parent / "trader_sdk" / "contract" / "matrix.toml").read_text("utf-8"))
SHAPES = {version: (row["n_features"], row["n_actions"]) for version, row in REGISTRY["model"].items()}
MINIMUM = {version: row["min_trader"] for version, row in REGISTRY["model"].items()}
NAMES = {len(table["names"]): tuple(table["names"]) for table in REGISTRY["actions"].values()}
TRADER = list(REGISTRY["trader"])[-1]
SEEDS = {"2.3.0": 3, "2.4.0": 13, "2.5.0": 51, "2.6.0": 55}  # chosen so that many actions occur


@dataclass
class Case:
    """One golden file and what it must give.

    Attributes:
        name: Folder, below ``golden/``.
        checkpoint: What is saved.
        network: Decides for ``expect.json``; None where nothing may decide.
        n_actions: Width of the policy head.
        detection: ``version`` and ``source``, or the ``error`` code that detection gives.
        warn, strict: ``error`` code, or None where it loads.
        findings: Codes that a load in warn mode reports, or that the refusal carries.
        write: How it is saved.
    """

    name: str
    checkpoint: Mapping[str, Any]
    network: nn.Module | None
    n_actions: int
    detection: Mapping[str, Any]
    warn: str | None = None
    strict: str | None = None
    findings: tuple[str, ...] = ()
    write: Callable[[Any, Path], None] = torch.save
    notes: str = ""
    logits: Callable[[torch.Tensor], torch.Tensor] | None = field(default=None)


def documented(version: str, network: nn.Module, *, activation: str | None = "tanh", **more: Any) -> dict[str, Any]:
    """Return the ten fields that the documented trainer saves since 2.7.0."""
    n_features, n_actions = SHAPES[version]
    return {
        "policy_state_dict": network.state_dict(),
        "optimizer_state_dict": {},
        "global_step": 1_000_000,
        "config": {"learning_rate": 3e-4, "gamma": 0.99} | ({} if activation is None else {"activation": activation}),
        "model_version": version,
        "n_features": n_features,
        "n_actions": n_actions,
        "obs_dim": 100 * n_features,
        "action_meanings": dict(enumerate(NAMES[n_actions])),
        "min_trader_version": MINIMUM[version],
        **more,
    }


def policy_of(
    version: str, hidden: tuple[int, ...] = (2, 4), *, seed: int = 1, activation: str = "tanh"
) -> ActorCritic:
    """Return a seeded policy of the shapes of ``version``."""
    n_features, n_actions = SHAPES[version]
    network = ActorCritic(100 * n_features, n_actions, hidden, activation)
    seeded(network, seed)
    return network


def released() -> list[Case]:
    """Return one golden a released version."""
    cases = []
    for version in SHAPES:
        network = policy_of(version, (8, 8), seed=SEEDS.get(version, 5))
        cases.append(
            Case(
                name=version,
                checkpoint=documented(version, network),
                network=network,
                n_actions=SHAPES[version][1],
                detection={"version": version, "source": "explicit"},
                findings=("W305",),
            )
        )
    return cases


def decisions(case: Case) -> list[dict[str, Any]]:
    """Return what torch decides on the seeded observations."""
    if case.network is None:
        return []
    obs_dim = next(p for p in case.network.parameters() if p.ndim == 2).shape[1]
    decide = case.logits or case.network.logits
    with torch.no_grad():
        logits = decide(observations(COUNT, obs_dim)).float()
    names = NAMES[case.n_actions]
    return [
        {"action": int(row.argmax()), "name": names[int(row.argmax())], "logits": [round(float(x), 6) for x in row]}
        for row in logits
    ]


def write(case: Case) -> bool:
    """Write one case unless its folder exists; return whether it was written."""
    folder = HERE / "golden" / case.name
    if folder.exists():
        return False
    folder.mkdir(parents=True)
    path = folder / "checkpoint.pt"
    case.write(dict(case.checkpoint), path)
    expect = {
        "schema": 1,
        "sha256": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        "written_by": f"torch {torch.__version__.split('+')[0]}",
        "trader": TRADER,
        "notes": case.notes,
        "detection": dict(case.detection),
        "warn": {"error": case.warn},
        "strict": {"error": case.strict},
        "findings": sorted(case.findings),
        "observations": {"recipe": "knuth32@1", "count": COUNT},
        "decisions": decisions(case),
    }
    (folder / "expect.json").write_text(json.dumps(expect, indent=1) + "\n", "utf-8")
    return True


def main() -> int:
    """Write what is missing."""
    from legacy import legacy

    torch.set_num_threads(1)
    cases = [*released(), *legacy()]
    written = [case.name for case in cases if write(case)]
    sys.stdout.write(f"{len(written)} written, {len(cases) - len(written)} already there: {', '.join(written)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
