"""Signatures: by an accepted key, over these bytes, of this kind; everything else is E104."""

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import CheckpointError, SdkError, StorageError, UsageError
from trader_sdk.contract.verdicts import Verdict
from trader_sdk.signing import (
    AuditHead,
    PrivateKey,
    PublicKey,
    Signature,
    Signed,
    canonical_bytes,
    generate_key,
    read_signable,
    read_signature,
    sign,
    verify,
    write_signature,
)

OVERRIDE = {
    "verdict": "AAPL_1Day/20261121_093000",
    "class_from": "REVIEW",
    "class_to": "APPROVED",
    "tier_ceiling": "PAPER",
    "modes": ["PAPER-LOCAL"],
    "who": "ann",
    "why": "drawdown seen, 見た",
    "until": "2027-01-01T00:00:00Z",
}
HEAD = {"schema": 1, "seq": 5, "sha256": "sha256:" + "ab" * 32, "at": "2026-11-21T09:30:00Z"}


def as_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode()


def refused(signed: Signed, signature: Signature, *accepted: PublicKey) -> CheckpointError:
    """Verify, expect E104, and return it."""
    with pytest.raises(CheckpointError) as caught:
        verify(signed, signature, accepted)
    assert caught.value.code == "E104"
    return caught.value


def test_each_kind_is_signed_and_verified(key: PrivateKey, verdict: dict[str, Any]) -> None:
    """A verdict, an override and an audit head; indenting and order of keys do not matter."""
    for document, kind in ((verdict, "verdict"), (OVERRIDE, "override"), (HEAD, "audit_head")):
        signed = read_signable(as_json(document), "file")
        assert signed.kind == kind
        again = read_signable(canonical_json(dict(reversed(document.items()))), "file")
        assert verify(again, sign(signed, key), [generate_key().public, key.public]) == key.public


def test_signature_is_plain_ed25519_over_the_canonical_json(key: PrivateKey, verdict: dict[str, Any]) -> None:
    """Anyone can check it without this package."""
    signature = sign(read_signable(as_json(verdict), "file"), key)
    Ed25519PublicKey.from_public_bytes(key.public.raw).verify(
        base64.b64decode(signature.signature), canonical_json(verdict)
    )
    assert signature == sign(read_signable(as_json(verdict), "file"), key)


def test_document_in_memory_and_on_disk_have_one_signature(key: PrivateKey, verdict: dict[str, Any]) -> None:
    """What an archive signs is what a person signs who took the verdict out of its file."""
    parsed = parse_document(Verdict, verdict, where="verdict")
    assert canonical_bytes(parsed).message == read_signable(as_json(verdict), "file").message
    head = AuditHead(seq=5, sha256=str(HEAD["sha256"]), at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC))
    assert canonical_bytes(head).message == read_signable(as_json(HEAD), "file").message


def changed(document: Any) -> list[Any]:
    """Return the documents that differ from this one in a single value."""
    if isinstance(document, dict):
        return [{**document, name: other} for name, value in document.items() for other in changed(value)]
    if isinstance(document, list):
        return [
            [*document[:i], other, *document[i + 1 :]] for i, value in enumerate(document) for other in changed(value)
        ]
    if isinstance(document, bool) or document is None:
        return [not document]
    return [document + 1 if isinstance(document, int | float) else f"{document}x"]


def test_any_changed_value_breaks_the_signature(key: PrivateKey, verdict: dict[str, Any]) -> None:
    """Every single value of a verdict is covered."""
    signature = sign(read_signable(as_json(verdict), "file"), key)
    accepted = 0
    for other in changed(verdict):
        try:
            signed = read_signable(as_json(other), "file")
        except SdkError:
            continue
        accepted += 1
        assert "other bytes" in refused(signed, signature, key.public).message
        moved = signature.model_copy(update={"document_sha256": signed.sha256})
        assert "does not verify" in refused(signed, moved, key.public).message
    assert accepted > 20


def test_foreign_and_missing_keys_are_refused(key: PrivateKey, verdict: dict[str, Any]) -> None:
    """A good signature by nobody that is accepted; a foreign one under an accepted id."""
    signed = read_signable(as_json(verdict), "file")
    foreign = generate_key()
    assert "not accepted" in refused(signed, sign(signed, foreign), key.public).message
    assert "no key at all" in str(refused(signed, sign(signed, key)).expected)
    forged = sign(signed, foreign).model_copy(update={"key_id": key.public.key_id})
    assert "does not verify" in refused(signed, forged, key.public).message


def test_signature_of_one_kind_never_passes_for_another(key: PrivateKey, verdict: dict[str, Any]) -> None:
    """A head's signature under the name of a verdict."""
    signature = sign(read_signable(as_json(HEAD), "file"), key)
    assert "other bytes" in refused(read_signable(as_json(verdict), "file"), signature, key.public).message
    other = signature.model_copy(update={"kind": "verdict"})
    assert refused(read_signable(as_json(HEAD), "file"), other, key.public).message


@given(st.binary(min_size=64, max_size=64))
def test_no_random_bytes_are_a_signature(raw: bytes) -> None:
    """Whatever 64 bytes stand there: E104, never another exception."""
    key = PrivateKey(bytes(32))
    signed = read_signable(as_json(HEAD), "file")
    forged = sign(signed, key).model_copy(update={"signature": base64.b64encode(raw).decode()})
    assert "does not verify" in refused(signed, forged, key.public).message


@pytest.mark.parametrize("flip", range(64))
def test_every_flipped_byte_of_a_signature_is_refused(key: PrivateKey, flip: int) -> None:
    """Ed25519 signatures are not malleable."""
    signed = read_signable(as_json(HEAD), "file")
    raw = bytearray(base64.b64decode(sign(signed, key).signature))
    raw[flip] ^= 1
    damaged = sign(signed, key).model_copy(update={"signature": base64.b64encode(bytes(raw)).decode()})
    assert "does not verify" in refused(signed, damaged, key.public).message


def test_every_truncation_of_a_signature_file_is_refused(key: PrivateKey, tmp_path: Path) -> None:
    """Cut anywhere, it is no signature."""
    signed = read_signable(as_json(HEAD), "file")
    write_signature(tmp_path / "whole", sign(signed, key))
    whole = (tmp_path / "whole").read_bytes().rstrip()
    assert read_signature(tmp_path / "whole") == sign(signed, key)
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="E104"):
            read_signature(tmp_path / "cut")


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "none"},
        {"algorithm": "ed448"},
        {"schema": 2},
        {"key_id": "ed25519:short"},
        {"key_id": 7},
        {"signature": ""},
        {"signature": "A" * 88},
        {"signature": "é" * 86 + "=="},
        {"kind": "summary"},
        {"public_key": "mine"},
        {"document_sha256": "ab" * 32},
    ],
)
def test_malformed_signature_is_refused(key: PrivateKey, tmp_path: Path, change: dict[str, Any]) -> None:
    """Another algorithm, an unknown field, a key of its own: not a signature."""
    plain = json.loads(sign(read_signable(as_json(HEAD), "file"), key).model_dump_json(by_alias=True))
    (tmp_path / "s").write_text(json.dumps({**plain, **change}))
    with pytest.raises(CheckpointError, match="E104"):
        read_signature(tmp_path / "s")


@pytest.mark.parametrize("kind", ["absent", "pipe", "folder", "large", "duplicate key"])
def test_signature_that_cannot_be_read_is_refused(tmp_path: Path, kind: str, key: PrivateKey) -> None:
    """No waiting, no reading without end, no guessing between two values."""
    path = tmp_path / "s"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(b" " * 100_000)
    elif kind == "duplicate key":
        write_signature(path, sign(read_signable(as_json(HEAD), "file"), key))
        path.write_text(path.read_text().replace("{", '{"schema": 1,', 1))
    with pytest.raises(CheckpointError, match="E104"):
        read_signature(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"policy": {}, "assessments": []}',
        b'{"seq": 1, "sha256": "x", "at": "now"}',
        b'{"seq": 1}',
        b'{"class_from": "DROP", "class_to": "APPROVED"}',
        b'{"gate_policy": 1, "subjects": []}',
        as_json({**HEAD, "seq": 0}),
        as_json({**HEAD, "at": "2026-11-21T09:30:00"}),
        as_json(OVERRIDE).replace(b'"ann"', b'"\\ud800"'),
        b'{"seq": 1, "seq": 2}',
        b"\xff\xfe",
    ],
)
def test_only_whole_documents_of_the_three_kinds_are_signed(content: bytes) -> None:
    """A signature under something else would vouch for nothing, or for the wrong thing."""
    with pytest.raises(SdkError):
        read_signable(content, "file")


def test_signature_is_not_written_over_another_file(key: PrivateKey, tmp_path: Path) -> None:
    """The same signature twice is no fault; another file, or a link that leads elsewhere, is."""
    signature = sign(read_signable(as_json(HEAD), "file"), key)
    write_signature(tmp_path / "s", signature)
    write_signature(tmp_path / "s", signature)
    with pytest.raises(UsageError):
        write_signature(tmp_path / "s", sign(read_signable(as_json(OVERRIDE), "file"), key))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        write_signature(tmp_path / "link", signature)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(StorageError):
        write_signature(tmp_path / "nowhere" / "s", signature)


def test_importing_the_package_loads_no_cryptography() -> None:
    """A trader that requires no signature does not pay for it."""
    code = "import sys, trader_sdk.approved, trader_sdk.signing; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
