"""Approved models that share their artefact's pages, and what stays a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trader_sdk.approved import deployable, load_approved, load_approved_universe
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import subject_path
from trader_sdk.contract.errors import ArchiveError

Archive = Callable[..., Any]


def test_mapped_model_decides_as_the_copied_one(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The same verdict, digests and decisions; only where the weights lie differs, and the model says so."""
    archived()
    copied, mapped = (load_approved(manager.root, "AAPL", mapped=mapped) for mapped in (False, True))
    assert (copied.mapped, mapped.mapped) == (False, True)
    assert (copied.sha256, copied.policy_sha256, copied.approval.verdict) == (
        mapped.sha256,
        mapped.policy_sha256,
        mapped.approval.verdict,
    )
    rows = np.random.default_rng(7).standard_normal((20, 5300)).astype(np.float32)
    assert copied.decide(rows) == mapped.decide(rows)


def test_universe_and_gate_table_map_when_they_are_told_to(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Every way through the door takes the same word."""
    archived()
    universe = load_approved_universe(manager.root, ["AAPL"], mapped=True)["AAPL"]
    (row,) = deployable(manager.root, mapped=True)
    assert [model.mapped for model in (universe, row.model)] == [True, True]  # type: ignore[union-attr] # both loaded


def test_damaged_artefact_is_refused_mapped_or_not(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Every check stays on: a flipped bit of a weight is not the file that was judged."""
    run = archived()
    path = subject_path(run.path, run.assessments[0].subjects[1])
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    for mapped in (False, True):
        with pytest.raises(ArchiveError) as refused:
            load_approved(manager.root, "AAPL", mapped=mapped)
        assert refused.value.code == "E602"
