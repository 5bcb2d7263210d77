"""Signing: detached Ed25519 signatures over verdicts, overrides and audit heads, made and checked offline."""

from trader_sdk.signing.documents import AuditHead, Signature, Signed, canonical_bytes, read_document, read_signable
from trader_sdk.signing.keys import (
    PRIVATE_KEY_VARIABLE,
    PUBLIC_KEYS_VARIABLE,
    PrivateKey,
    PublicKey,
    generate_key,
    private_key_from_env,
    public_keys_from_env,
    read_private_key,
    read_public_keys,
    write_key_pair,
)
from trader_sdk.signing.signatures import encode_signature, read_signature, sign, verify, write_signature

__all__ = [
    "PRIVATE_KEY_VARIABLE",
    "PUBLIC_KEYS_VARIABLE",
    "AuditHead",
    "PrivateKey",
    "PublicKey",
    "Signature",
    "Signed",
    "canonical_bytes",
    "encode_signature",
    "generate_key",
    "private_key_from_env",
    "public_keys_from_env",
    "read_document",
    "read_private_key",
    "read_public_keys",
    "read_signable",
    "read_signature",
    "sign",
    "verify",
    "write_key_pair",
    "write_signature",
]
