"""What a host remembers of files it has loaded: it saves time, and lets nothing through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import ApprovedModel, load_approved
from trader_sdk.archive.known_policies import is_known_policy, remember_policy
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.door import _require_policy

Archive = Callable[..., Any]
OTHER = "sha256:" + 64 * "0"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test a cache folder that knows nothing."""
    monkeypatch.setenv("TRADER_ARCHIVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def was_hashed(model: ApprovedModel) -> bool:
    """Return whether the policy in the file was hashed while it was loaded."""
    return "policy_sha256" in vars(model._loaded)


def test_policy_is_hashed_once_on_a_host(archived: Archive, manager: TrainingArchiveManager, cache: Path) -> None:
    """The second load trusts what the first computed, and computes the same when asked."""
    archived()
    first, second = load_approved(manager.root, "AAPL"), load_approved(manager.root, "AAPL")
    assert was_hashed(first)
    assert not was_hashed(second)
    assert is_known_policy(second.sha256, first.policy_sha256)
    assert second.policy_sha256 == first.policy_sha256


def test_another_policy_is_refused_and_not_remembered(
    archived: Archive, manager: TrainingArchiveManager, cache: Path
) -> None:
    """What is known of a file is one policy; a verdict about another one is still compared with the bytes."""
    archived()
    model = load_approved(manager.root, "AAPL")
    with pytest.raises(ArchiveError, match="not the one that was judged") as refusal:
        _require_policy(model, OTHER)
    assert (refusal.value.code, refusal.value.expected, refusal.value.found) == ("E602", OTHER, model.policy_sha256)
    assert not is_known_policy(model.sha256, OTHER)


def test_swapped_bytes_are_refused_whatever_is_known(
    archived: Archive, manager: TrainingArchiveManager, cache: Path
) -> None:
    """The file is hashed at each load."""
    archived()
    model = load_approved(manager.root, "AAPL")
    path = Path(model._loaded.raw.path)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(whole)
    with pytest.raises(ArchiveError) as refusal:
        load_approved(manager.root, "AAPL")
    assert refusal.value.code == "E602"


def test_cache_that_cannot_be_written_costs_time_only(
    archived: Archive, manager: TrainingArchiveManager, cache: Path
) -> None:
    """The policy is hashed at each load then."""
    cache.write_text("no folder")
    archived()
    assert was_hashed(load_approved(manager.root, "AAPL"))
    assert was_hashed(load_approved(manager.root, "AAPL"))
    remember_policy(OTHER, OTHER)
    assert not is_known_policy(OTHER, OTHER)
