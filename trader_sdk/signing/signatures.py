"""Making and checking detached signatures; every refusal is E104 and says which of the ways it failed."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection
from pathlib import Path

from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import ArchiveError, CheckpointError, StorageError, UsageError
from trader_sdk.signing.documents import Signature, Signed
from trader_sdk.signing.files import read_small, write_once
from trader_sdk.signing.keys import PrivateKey, PublicKey


def sign(signed: Signed, key: PrivateKey) -> Signature:
    """Return the signature of a document's canonical JSON by ``key``; the same twice."""
    return Signature(
        kind=signed.kind,
        document_sha256=signed.sha256,
        key_id=key.public.key_id,
        signature=base64.b64encode(key.sign(signed.message)).decode("ascii"),
    )


def verify(signed: Signed, signature: Signature, accepted: Collection[PublicKey], *, where: str = "") -> PublicKey:
    """Return the accepted key that signed the document.

    Args:
        signed: The document as it is now.
        signature: The detached signature.
        accepted: Whose signatures count; none of them is taken from the signature.
        where: Names the document in errors.

    Raises:
        CheckpointError: E104 if the signature is of another document or kind, by a key that is not accepted, or does
            not verify.
    """
    if (signature.kind, signature.document_sha256) != (signed.kind, signed.sha256):
        found = f"{signature.kind} {signature.document_sha256}"
        raise _foreign("the signature is of other bytes", where, f"{signed.kind} {signed.sha256}", found)
    named = [key for key in accepted if key.key_id == signature.key_id]
    if not named:
        expected = ", ".join(sorted(key.key_id for key in accepted)) or "no key at all is accepted"
        raise _foreign("the signature is by a key that is not accepted", where, expected, signature.key_id)
    for key in named:
        if _verifies(key, signature, signed.message):
            return key
    raise _foreign("the signature does not verify", where, f"by {signature.key_id}", "other bytes, or a forgery")


def _verifies(key: PublicKey, signature: Signature, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(base64.b64decode(signature.signature), message)
    except InvalidSignature:
        return False
    return True


def _foreign(message: str, where: str, expected: str, found: str) -> CheckpointError:
    return CheckpointError("E104", message, where=where, expected=expected, found=found)


def read_signature(path: str | os.PathLike[str]) -> Signature:
    """Read a detached signature, strictly.

    Raises:
        CheckpointError: E104 if it is absent, too large, or no signature.
    """
    where = os.fspath(path)
    try:
        return parse_document(Signature, read_small(path).data, where=where)
    except OSError as error:
        found = error.strerror or str(error)
        raise _foreign("the signature cannot be read", where, "a signature file", found) from error
    except ArchiveError as error:
        raise _foreign("this is no signature", where, "what `trader compat sign` writes", error.message) from error


def write_signature(path: str | os.PathLike[str], signature: Signature) -> None:
    """Write a detached signature; one that is there already is left alone.

    Raises:
        UsageError: Another file of that name exists.
        StorageError: The disk refuses.
    """
    data = encode_signature(signature)
    try:
        write_once(Path(path), data, 0o644)
    except FileExistsError as error:
        if not _is_there(Path(path), data):
            raise UsageError("USAGE", "another file has this name", where=os.fspath(path)) from error
    except OSError as error:
        raise StorageError(
            "STORAGE", "the signature cannot be written", where=os.fspath(path), found=error.strerror
        ) from error


def encode_signature(signature: Signature) -> bytes:
    """Return a detached signature as its file's bytes."""
    return (json.dumps(json.loads(signature.model_dump_json(by_alias=True)), indent=1) + "\n").encode("ascii")


def _is_there(path: Path, data: bytes) -> bool:
    try:
        return read_small(path).data == data
    except OSError:
        return False
