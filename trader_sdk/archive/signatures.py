"""Signatures that lie in an archive, and whether an accepted key vouches for what would be deployed.

``signatures/<digest of the document>/<key>.json``: beside the runs, so that a run is never changed, and worth nothing
without a key from elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from trader_sdk.archive.location import Place, locate
from trader_sdk.contract.audit import Override
from trader_sdk.contract.errors import CheckpointError, Finding, UsageError
from trader_sdk.contract.verdicts import Verdict
from trader_sdk.signing import PublicKey, Signature, Signed, canonical_bytes, encode_signature, read_signature, verify

SIGNATURES_FOLDER: Final = "signatures"
_MAX_SIGNATURES: Final = 64
_REMEDY: Final = "Have it signed with `trader compat sign ARCHIVE --verdict ID`, or correct the accepted keys."


def add_signature(archive: Path | str | Place, signature: Signature) -> Path:
    """Put a signature into an archive; nothing that is there is changed.

    Returns:
        Where it lies on this host.

    Raises:
        UsageError: Another signature has its name.
        StorageError: The disk refuses.
        UnreachableError: E610, a shared archive does not answer.
    """
    place = locate(archive)
    name = f"{_prefix(signature.document_sha256)}{signature.key_id.removeprefix('ed25519:')}.json"
    data = encode_signature(signature)
    created = place.put_named(name, data)
    (path,) = place.fetch_named(name)
    if not created and path.read_bytes() != data:
        raise UsageError("USAGE", "another file has this name", where=f"{place.where}/{name}")
    return path


def signature_findings(
    place: Place, verdict: Verdict, override: Override | None, accepted: Collection[PublicKey] | None
) -> tuple[Finding, ...]:
    """Return what is to be said of the signatures of a verdict, and of the override that lifts it.

    Args:
        place: Where the archive lies.
        verdict: Checked against the chain.
        override: The one that lifts it, None where the gate itself approved it.
        accepted: Keys one of which must have signed each document; None where no signature is required.

    Returns:
        E104 for each document that no accepted key signed; without a requirement W105 where nothing is signed at all.
    """
    documents = [canonical_bytes(one) for one in (verdict, override) if one is not None]
    if accepted is None:
        unsigned = [one for one in documents if not _files(place, one)]
        return tuple(Finding("W105", f"{one.kind} {verdict.version_id}") for one in unsigned)
    faults = [(one, _fault(place, one, accepted)) for one in documents]
    expected = "signed by " + (" or ".join(sorted(key.key_id for key in accepted)) or "nobody: no key is accepted")
    return tuple(
        Finding("E104", f"{one.kind} {verdict.version_id}", expected, fault, _REMEDY)
        for one, fault in faults
        if fault is not None
    )


def _fault(place: Place, signed: Signed, accepted: Collection[PublicKey]) -> str | None:
    reasons = []
    for path in _files(place, signed):
        try:
            verify(signed, read_signature(path), accepted, where=str(path))
        except CheckpointError as error:
            reasons.append(f"{error.message} ({error.found})")
        else:
            return None
    return "; ".join(reasons)[:400] or "unsigned"


def _files(place: Place, signed: Signed) -> list[Path]:
    return place.fetch_named(_prefix(signed.sha256))[:_MAX_SIGNATURES]


def _prefix(digest: str) -> str:
    return f"{SIGNATURES_FOLDER}/{digest.removeprefix('sha256:')}/"
