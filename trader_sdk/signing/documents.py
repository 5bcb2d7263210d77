"""What is signed, and what a signature is."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from trader_sdk.contract.audit import Override
from trader_sdk.contract.canonical import canonical_json, read_json_strict
from trader_sdk.contract.document import AwareTime, Digest, Document, parse_document
from trader_sdk.contract.errors import ArchiveError, UsageError
from trader_sdk.contract.verdicts import Verdict
from trader_sdk.signing.files import read_small

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024


class Kind(StrEnum):
    """The documents that are signed."""

    VERDICT = "verdict"
    OVERRIDE = "override"
    AUDIT_HEAD = "audit_head"


class AuditHead(Document):
    """Where an audit chain ended: kept elsewhere, it shows later that nothing before it was cut off or changed."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    seq: int = Field(ge=1)
    sha256: Digest
    at: AwareTime


class Signature(Document):
    """A detached signature: who vouches for which bytes.

    ``key_id`` only says which key to try; what counts is that an accepted key verifies ``signature``, 64 bytes in
    base64, over the document's canonical JSON.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    algorithm: Literal["ed25519"] = "ed25519"
    kind: Kind
    document_sha256: Digest
    key_id: Annotated[str, Field(pattern=r"^ed25519:[0-9a-f]{32}$")]
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes of one document as they are signed.

    Attributes:
        kind: What it is.
        message: Its canonical JSON.
        document: The document, for showing what is signed.
    """

    kind: Kind
    message: bytes
    document: Verdict | Override | AuditHead

    @property
    def sha256(self) -> str:
        """Return ``sha256:<hex>`` of the message; for a verdict, what the audit chain holds."""
        return f"sha256:{hashlib.sha256(self.message).hexdigest()}"


_MODELS: dict[Kind, type[Verdict] | type[Override] | type[AuditHead]] = {
    Kind.VERDICT: Verdict,
    Kind.OVERRIDE: Override,
    Kind.AUDIT_HEAD: AuditHead,
}


def canonical_bytes(document: Verdict | Override | AuditHead) -> Signed:
    """Return a document's message, the canonical form of its JSON under its public names."""
    kind = next(kind for kind, model in _MODELS.items() if isinstance(document, model))
    return Signed(kind, canonical_json(json.loads(document.model_dump_json(by_alias=True))), document)


def read_document(path: str | os.PathLike[str]) -> Signed:
    """Return the message of the document in a file, as :func:`read_signable`.

    Raises:
        UsageError: The file cannot be read, or holds another document.
        ArchiveError: E609 if it is no strict JSON, or a damaged document of one of the kinds.
    """
    where = os.fspath(path)
    try:
        data = read_small(path, MAX_DOCUMENT_BYTES).data
    except OSError as error:
        found = error.strerror or str(error)
        raise UsageError("USAGE", "the document cannot be read", where=where, found=found) from error
    return read_signable(data, where)


def read_signable(data: bytes, where: str) -> Signed:
    """Return the message of a verdict, an override or an audit head.

    Args:
        data: Strict JSON. What stands there is signed, in canonical form: no default is filled in.
        where: Named in errors.

    Raises:
        UsageError: It is another document.
        ArchiveError: E609 if it is no strict JSON, or a damaged document of one of the kinds.
    """
    plain = read_json_strict(data, where=where)
    names = set(plain) if isinstance(plain, dict) else set()
    if {"policy", "assessments"} <= names:
        remedy = "Sign the archive's verdict: trader compat sign ARCHIVE --verdict ID."
        raise UsageError("USAGE", "this holds many verdicts; one is signed at a time", where=where, remedy=remedy)
    kind = _kind(names)
    if kind is None:
        expected = "a verdict, an override or an audit head"
        found = ", ".join(sorted(names))[:120] or type(plain).__name__
        raise UsageError("USAGE", "this is not signed", where=where, expected=expected, found=found)
    document: Any = parse_document(_MODELS[kind], plain, where=where)
    try:
        return Signed(kind, canonical_json(plain), document)
    except ValueError as error:
        raise ArchiveError("E609", "a text of the document is no Unicode", where=where) from error


def _kind(names: set[str]) -> Kind | None:
    # Each kind has required fields that no other has, so a signature of one never passes for another.
    if {"gate_policy", "subjects"} <= names:
        return Kind.VERDICT
    if {"class_from", "class_to"} <= names:
        return Kind.OVERRIDE
    return Kind.AUDIT_HEAD if {"seq", "sha256", "at"} == names - {"schema"} else None
