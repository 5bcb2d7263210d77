"""What every document that passes between people and halves is made of: strict, frozen records.

Field names are public and never renamed; more may be added. Times are RFC 3339 UTC, digests ``sha256:<hex>``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from trader_sdk.contract.canonical import read_json_strict
from trader_sdk.contract.errors import ArchiveError

D = TypeVar("D", bound="Document")


def aware_utc(value: datetime) -> datetime:
    """Return a time in UTC; ValueError where it has no zone."""
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, for example 2026-11-21T09:30:00Z")
    return value.astimezone(UTC)


AwareTime = Annotated[datetime, AfterValidator(aware_utc)]


Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


Symbol = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Document(BaseModel):
    """Base of every document: frozen, unknown fields refused, NaN allowed only where a metric may be invalid.

    A field that came after the first release is named in ``added_fields`` and written only where it says something:
    the digest of a document that was committed before stays what it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="strings")

    added_fields: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _leave_out_additions(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        for name in self.added_fields:
            if not getattr(self, name):
                plain.pop(name, None)
        return plain


def parse_document(model: type[D], data: bytes | str | JsonValue, *, where: str) -> D:
    """Return a validated document.

    Args:
        model: The document's model.
        data: Strict JSON text, or plain data.
        where: File name for the error.

    Raises:
        ArchiveError: E609 with every fault of the document.
    """
    plain = read_json_strict(data, where=where) if isinstance(data, bytes | str) else data
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}" for fault in error.errors()
        )
        raise ArchiveError("E609", f"not a valid {model.__name__}: {faults[:800]}", where=where) from error


def to_plain(document: Document) -> dict[str, Any]:
    """Return a document as plain JSON data, public names, unset optional fields left out only where None."""
    return document.model_dump(mode="json", by_alias=True)
