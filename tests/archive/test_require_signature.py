"""require_signature: unsigned and foreign-signed models do not trade; without it, unsigned is a note."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import deployable, load_approved
from trader_sdk.archive.governance import Decider, override
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.signatures import add_signature
from trader_sdk.contract.errors import CheckpointError, SdkError
from trader_sdk.signing import PrivateKey, canonical_bytes, sign

Archive = Callable[..., Any]
NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY, FOREIGN = PrivateKey(bytes(32)), PrivateKey(bytes(range(32)))


def codes(model: Any) -> list[str]:
    return [finding.code for finding in model.report.findings]


def unsigned(root: Path, **options: Any) -> CheckpointError:
    """Load, expect E104, and return it."""
    with pytest.raises(CheckpointError) as caught:
        load_approved(root, "AAPL", at=NOW, **{"require_signature": [KEY.public], **options})
    assert caught.value.code == "E104"
    return caught.value


def test_unsigned_model_is_a_note_until_a_signature_is_required(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """W105 without a requirement, E104 with one, in both modes; the message says how to sign."""
    archived()
    assert "W105" in codes(load_approved(manager.root, "AAPL", at=NOW))
    error = unsigned(manager.root)
    assert error.exit_code == 3
    assert "unsigned" in str(error)
    assert "trader compat sign" in str(error)
    unsigned(manager.root, require_signature=[])


def test_signed_model_loads(archived: Archive, manager: TrainingArchiveManager) -> None:
    """By one of several accepted keys; the note is gone with and without the requirement."""
    (verdict,) = archived().assessments
    add_signature(manager.root, sign(canonical_bytes(verdict), KEY))
    model = load_approved(manager.root, "AAPL", at=NOW, require_signature=[FOREIGN.public, KEY.public])
    assert model.approval.version_id == verdict.version_id
    assert not {"W105", "E104"} & set(codes(model))
    assert "W105" not in codes(load_approved(manager.root, "AAPL", at=NOW))


def test_foreign_signature_does_not_count(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A valid signature by nobody that is accepted; beside an accepted one it does no harm."""
    (verdict,) = archived().assessments
    add_signature(manager.root, sign(canonical_bytes(verdict), FOREIGN))
    assert "not accepted" in str(unsigned(manager.root))
    add_signature(manager.root, sign(canonical_bytes(verdict), KEY))
    assert load_approved(manager.root, "AAPL", at=NOW, require_signature=[KEY.public]).approval


def test_signature_of_another_verdict_does_not_count(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Copied under this verdict's name it is of other bytes; a damaged file beside a good one does no harm."""
    (one,), (other,) = archived(0).assessments, archived(1).assessments
    mine = add_signature(manager.root, sign(canonical_bytes(one), KEY))
    theirs = add_signature(manager.root, sign(canonical_bytes(other), KEY))
    good = mine.read_bytes()
    mine.write_bytes(theirs.read_bytes())
    assert "other bytes" in str(unsigned(manager.root))
    mine.write_bytes(good[:50])
    assert "no signature" in str(unsigned(manager.root))
    mine.write_bytes(good)
    (mine.parent / "0.json").write_bytes(b"nothing")
    (mine.parent / "1.json").symlink_to(mine.parent / "1.json")
    assert load_approved(manager.root, "AAPL", at=NOW, require_signature=[KEY.public]).approval


def test_override_is_signed_too(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A signed REVIEW verdict is not lifted by an override that nobody signed."""
    (verdict,) = archived(gate=None).assessments
    lifted = override(
        manager.root, verdict.id, why="looked at it", until=NOW + timedelta(days=9), decider=Decider("bob", NOW)
    )
    options = {"mode": "PAPER-LOCAL"}
    add_signature(manager.root, sign(canonical_bytes(verdict), KEY))
    assert "override" in unsigned(manager.root, **options).findings[0].where
    add_signature(manager.root, sign(canonical_bytes(lifted), KEY))
    model = load_approved(manager.root, "AAPL", at=NOW, require_signature=[KEY.public], mode="PAPER-LOCAL")
    assert model.approval.override == lifted


def test_gate_table_shows_what_is_unsigned(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A row, never an error; latest-approved passes an unsigned model over."""
    (one,), _ = archived(0).assessments, archived(1).assessments
    add_signature(manager.root, sign(canonical_bytes(one), KEY))
    rows = deployable(manager.root, at=NOW, follow="challenger", require_signature=[KEY.public])
    assert [(row.chosen, row.refusal and row.refusal.code) for row in rows] == [(False, "E104"), (False, "E601")]
    options: dict[str, Any] = {"at": NOW, "require_signature": [KEY.public]}
    assert (
        load_approved(manager.root, "AAPL", follow="latest-approved", **options).approval.version_id == one.version_id
    )


def test_old_model_is_a_finding_when_an_age_is_set(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The verdict's data ended in 2010: W706 in warn mode, refused in strict; never without a limit."""
    archived()
    limit = {"max_model_age": timedelta(days=365), "at": NOW}
    assert "W706" in codes(load_approved(manager.root, "AAPL", **limit))
    assert "W706" not in codes(load_approved(manager.root, "AAPL", at=NOW))
    with pytest.raises(SdkError) as caught:
        load_approved(manager.root, "AAPL", strict_version=True, **limit)
    assert "W706" in {finding.code for finding in caught.value.findings}
