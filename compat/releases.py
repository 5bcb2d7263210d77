"""The goldens that a torch release wrote itself: run with that release installed, once, then frozen.

    RELEASE/bin/python compat/releases.py

Needs nothing but that torch; ``generate.py`` writes the others with any torch.
"""

from __future__ import annotations

import sys

import torch
from generate import Case, documented, policy_of, write
from torch import nn
from writers import before_zip

RELEASE = torch.__version__.split("+")[0]
EXPLICIT = {"version": "2.7.0", "source": "explicit"}


def cases() -> list[Case]:
    """Return what this release writes: its own zip with a trained optimizer, and the layout before 1.6."""
    network = policy_of("2.7.0", seed=71)
    trained = documented("2.7.0", network, optimizer_state_dict=_after_a_step(network))
    return [
        Case(f"legacy/by-torch-{RELEASE}", trained, network, 7, EXPLICIT, findings=("W305",)),
        Case(
            f"legacy/by-torch-{RELEASE}-before-zip",
            documented("2.7.0", network),
            network,
            7,
            EXPLICIT,
            findings=("W305",),
            write=before_zip,
        ),
    ]


def _after_a_step(network: nn.Module) -> dict[str, object]:
    # Moments for the small layers only: those of the first would be twice its 47 kB.
    optimizer = torch.optim.Adam(list(network.parameters())[2:], lr=3e-4)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state: dict[str, object] = optimizer.state_dict()
    return state


def main() -> int:
    """Write what is missing for the running torch."""
    torch.set_num_threads(1)
    written = [case.name for case in cases() if write(case)]
    sys.stdout.write(f"torch {RELEASE}: {', '.join(written) or 'already there'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
