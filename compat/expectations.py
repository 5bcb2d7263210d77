"""Reads the goldens and says where the package disagrees with what was written beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.errors import SdkError
from trader_sdk.model import NativeModelWrapper

GOLDEN = Path(__file__).parent / "golden"
LOGIT_TOLERANCE = 2e-5
FIRST_TRADER = "2.7.0"
"""Wrote every expectation that does not name its trader."""


@dataclass(frozen=True)
class Golden:
    """One golden file and what it must give."""

    name: str
    path: Path
    expect: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one load gave, and how that differs from what was expected."""

    golden: Golden
    mode: str
    result: str
    findings: tuple[str, ...]
    faults: tuple[str, ...]
    error: SdkError | None


def goldens(folder: Path = GOLDEN) -> list[Golden]:
    """Return every folder with an ``expect.json``, by name."""
    return [
        Golden(str(file.parent.relative_to(folder)), file.parent / "checkpoint.pt", json.loads(file.read_text("utf-8")))
        for file in sorted(folder.glob("**/expect.json"))
    ]


def observations(count: int, obs_dim: int) -> NDArray[np.float32]:
    """Return the observations of recipe ``knuth32@1``."""
    index = np.arange(count * obs_dim, dtype=np.int64)
    scrambled = (index * 2654435761) % 2**32
    return (scrambled / 2**31 - 1).astype(np.float32).reshape(count, obs_dim)


def outcomes(golden: Golden) -> Iterator[Outcome]:
    """Load a golden in warn and in strict mode."""
    for mode in ("warn", "strict"):
        yield _outcome(golden, mode)


def _outcome(golden: Golden, mode: str) -> Outcome:
    expected = golden.expect[mode]["error"]
    try:
        # Judged as the trader that wrote the expectation: a later one has other ranges and may be on no bad list.
        trader = golden.expect.get("trader", FIRST_TRADER)
        model = NativeModelWrapper(golden.path, strict_version=mode == "strict", trader_version=trader)
    except SdkError as error:
        found = tuple(sorted({finding.code for finding in error.findings}))
        faults = [] if error.code == expected else [f"refused with {error.code}, expected {expected or 'a load'}"]
        if mode == "warn" and error.code == expected and found != tuple(golden.expect["findings"]):
            faults.append(f"findings {found}, expected {golden.expect['findings']}")
        return Outcome(golden, mode, error.code, found, tuple(faults), error)
    found = tuple(sorted({finding.code for finding in model.report.findings}))
    faults = [] if expected is None else [f"loaded, expected {expected}"]
    if found != tuple(golden.expect["findings"]):
        faults.append(f"findings {found}, expected {golden.expect['findings']}")
    faults += [*_digest_faults(golden, model), *_decision_faults(golden, model)]
    return Outcome(golden, mode, f"loads {model.model_version}", found, tuple(faults), None)


def _digest_faults(golden: Golden, model: NativeModelWrapper) -> list[str]:
    wanted = golden.expect["sha256"]
    return [] if model.sha256 == wanted else [f"the frozen file changed: {model.sha256}, expected {wanted}"]


def _decision_faults(golden: Golden, model: NativeModelWrapper) -> list[str]:
    rows = observations(golden.expect["observations"]["count"], model.model_spec.obs_dim)
    wanted = golden.expect["decisions"]
    faults = []
    for index, (decision, expected) in enumerate(zip(model.decide(rows), wanted, strict=True)):
        same_width = len(decision.logits) == len(expected["logits"])
        difference = np.abs(np.subtract(decision.logits, expected["logits"])).max() if same_width else np.inf
        if (decision.action, decision.name) != (expected["action"], expected["name"]) or difference > LOGIT_TOLERANCE:
            faults.append(f"decision {index}: {decision.name}, expected {expected['name']} (logits {difference:.1e})")
    return faults


def detection_faults(golden: Golden) -> list[str]:
    """Return how detection differs from what was written; a file that cannot be read has none."""
    expected = golden.expect["detection"]
    try:
        detection = detect_version_from_checkpoint(read_checkpoint(golden.path).fields)
    except SdkError as error:
        return [] if expected.get("error") == error.code else [f"detection gave {error.code}, expected {expected}"]
    found = {"version": detection.version, "source": detection.source.value}
    return [] if found == expected else [f"detection gave {found}, expected {expected}"]
