"""Pins and recalls at the archive's door."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import deployable, load_approved
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.contract.compatibility import Pin, Recall
from trader_sdk.contract.errors import ConfigError, SdkError

Archive = Callable[..., Any]
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_recall_of_the_trained_file_reaches_its_deployed_policy(
    archived: Archive, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """By the digest of any file of the run, or by its version: E505 in both modes, with who and why."""
    (verdict,) = archived().assessments
    model = load_approved(manager.root, "AAPL", at=NOW)
    names = [*(Recall(sha256=f"sha256:{one.sha256}") for one in verdict.subjects), Recall(sha256=model.sha256)]
    for recall in (*names, Recall(sha256=verdict.policy_sha256), Recall(version=model.model_version)):
        with pytest.raises(SdkError) as caught:
            load_approved(manager.root, "AAPL", at=NOW, recalls=[recall])
        assert caught.value.code == "E505"
    file = tmp_path / "recalls.toml"
    file.write_text(f'[[recall]]\nsha256 = "{model.sha256}"\nwho = "ann"\nwhy = "trained on a leak"\n', "utf-8")
    (row, *_) = deployable(manager.root, at=NOW, recalls=file)
    assert not row.chosen
    assert row.refusal is not None
    assert (row.refusal.code, "ann: trained on a leak" in str(row.refusal)) == ("E505", True)


def test_recall_of_another_file_recalls_nothing(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Other digests and versions do no harm."""
    archived()
    others = [Recall(sha256="sha256:" + "0" * 64), Recall(version="2.5.0")]
    assert load_approved(manager.root, "AAPL", at=NOW, recalls=others).approval


def test_pin_reaches_an_approved_model(archived: Archive, manager: TrainingArchiveManager, tmp_path: Path) -> None:
    """A file of pins, or pins: what one asserts is in the report; one that contradicts the file refuses it."""
    archived()
    model = load_approved(manager.root, "AAPL", at=NOW)
    with pytest.raises(SdkError) as caught:
        load_approved(manager.root, "AAPL", at=NOW, pins=[Pin(model.sha256, version="2.5.0")])
    assert caught.value.code == "E301"
    pins = tmp_path / "trader-pins.toml"
    pins.write_text(
        f'[[pin]]\nsha256 = "{model.sha256}"\nversion = "{model.model_version}"\nwho = "ann"\nwhy = "hers"\n', "utf-8"
    )
    assert load_approved(manager.root, "AAPL", at=NOW, pins=pins).sha256 == model.sha256
    with pytest.raises(ConfigError):
        load_approved(manager.root, "AAPL", at=NOW, pins=tmp_path / "absent.toml")
    with pytest.raises(ConfigError):
        deployable(manager.root, at=NOW, recalls=tmp_path / "absent.toml")
