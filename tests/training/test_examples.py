"""The examples of the docs, run as they stand: other people's trainers save, are judged and archived."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def example() -> Iterator[Callable[[str], ModuleType]]:
    """Return a loader of examples by name, found where they are run from."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.mark.parametrize(("name", "file"), [("torch_loop", "torch.pt"), ("cleanrl_style", "cleanrl.pt")])
def test_other_peoples_loops_save_and_archive(
    example: Callable[[str], ModuleType], tmp_path: Path, name: str, file: str
) -> None:
    """A plain loop and CleanRL's style: a checkpoint that proves itself, a verdict on bars that were not trained on."""
    verdict = example(name).main(tmp_path, updates=2)
    model = NativeModelWrapper(tmp_path / file, strict_version=True)
    assert model.model_version == "2.7.0"
    assert verdict.class_ in ("APPROVED", "REVIEW", "DROP")
    assert verdict.data.kind == "simulated"
    assert f"sha256:{verdict.subjects[0].sha256}" == model.sha256


def test_exported_stable_baselines3_policy_decides_as_its_own_predict(
    example: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """On every observation the same action, and the run is archived."""
    script = example("sb3_export")
    model, vec = script.trained(256)
    exported = NativeModelWrapper(script.export(model, tmp_path / "sb3.pt"))
    seen = vec.reset()
    for _ in range(20):
        theirs, _ = model.predict(seen, deterministic=True)
        ours = [decision.action for decision in exported.decide(seen)]
        assert ours == theirs.tolist()
        seen, *_ = vec.step(np.asarray(theirs))
    verdict = example("market").judge_and_archive(tmp_path / "sb3.pt", exported.policy, tmp_path)
    assert f"sha256:{verdict.subjects[0].sha256}" == exported.sha256
