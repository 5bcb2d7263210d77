"""Signatures that lie in an archive, and whether an accepted key vouches for what would be deployed.

``signatures/<digest of the document>/<key>.json``: beside the runs, so that a run is never changed, and worth nothing
without a key from elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from trader_sdk.archive.store.durable import storage_errors, sync_folder
from trader_sdk.contract.documents import Override, Verdict
from trader_sdk.contract.errors import CheckpointError, Finding
from trader_sdk.signing import PublicKey, Signature, Signed, canonical_bytes, read_signature, verify, write_signature

SIGNATURES_FOLDER: Final = "signatures"
_MAX_SIGNATURES: Final = 64
_REMEDY: Final = "Have it signed with `trader compat sign ARCHIVE --verdict ID`, or correct the accepted keys."


def add_signature(root: Path, signature: Signature) -> Path:
    """Put a signature into an archive; nothing that is there is changed.

    Raises:
        UsageError: Another file has its name.
        StorageError: The disk refuses.
    """
    folder = _folder(root, signature.document_sha256)
    path = folder / f"{signature.key_id.removeprefix('ed25519:')}.json"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_signature(path, signature)
        for synced in (folder, folder.parent, root):
            sync_folder(synced)
    return path


def signature_findings(
    root: Path, verdict: Verdict, override: Override | None, accepted: Collection[PublicKey] | None
) -> tuple[Finding, ...]:
    """Return what is to be said of the signatures of a verdict, and of the override that lifts it.

    Args:
        root: The archive's folder.
        verdict: Checked against the chain.
        override: The one that lifts it, None where the gate itself approved it.
        accepted: Keys one of which must have signed each document; None where no signature is required.

    Returns:
        E104 for each document that no accepted key signed; without a requirement W105 where nothing is signed at all.
    """
    documents = [canonical_bytes(one) for one in (verdict, override) if one is not None]
    if accepted is None:
        unsigned = [one for one in documents if not any(_files(root, one))]
        return tuple(Finding("W105", f"{one.kind} {verdict.version_id}") for one in unsigned)
    faults = [(one, _fault(root, one, accepted)) for one in documents]
    expected = "signed by " + (" or ".join(sorted(key.key_id for key in accepted)) or "nobody: no key is accepted")
    return tuple(
        Finding("E104", f"{one.kind} {verdict.version_id}", expected, fault, _REMEDY)
        for one, fault in faults
        if fault is not None
    )


def _fault(root: Path, signed: Signed, accepted: Collection[PublicKey]) -> str | None:
    reasons = []
    for path in _files(root, signed):
        try:
            verify(signed, read_signature(path), accepted, where=str(path))
        except CheckpointError as error:
            reasons.append(f"{error.message} ({error.found})")
        else:
            return None
    return "; ".join(reasons)[:400] or "unsigned"


def _files(root: Path, signed: Signed) -> Iterator[Path]:
    folder = _folder(root, signed.sha256)
    try:
        listed = sorted(folder.glob("*.json"))
    except OSError:
        return
    yield from listed[:_MAX_SIGNATURES]


def _folder(root: Path, digest: str) -> Path:
    return root / SIGNATURES_FOLDER / digest.removeprefix("sha256:")
