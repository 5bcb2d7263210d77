"""Ed25519 keys from files or the environment: PEM, as openssl writes it, never from beside what they vouch for."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from trader_sdk.contract.errors import ConfigError, StorageError, UsageError
from trader_sdk.signing.files import read_small, write_once

PRIVATE_KEY_VARIABLE: Final = "TRADER_SIGNING_KEY"
PUBLIC_KEYS_VARIABLE: Final = "TRADER_PUBLIC_KEYS"
PRIVATE_NAME: Final = "trader-signing.key"
PUBLIC_NAME: Final = "trader-signing.pub"

_ARCHIVE_MARK: Final = "audit.jsonl"
_READABLE_BY_OTHERS: Final = 0o077
_PUBLIC_BLOCK: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----")
_MAKE: Final = "`trader compat keygen --out DIR` makes a pair."


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key whose signatures are accepted.

    Attributes:
        raw: Its 32 bytes.
    """

    raw: bytes

    @property
    def key_id(self) -> str:
        """Return ``ed25519:`` and the first 32 hex digits of the sha256 of the raw key."""
        return f"ed25519:{hashlib.sha256(self.raw).hexdigest()[:32]}"

    def pem(self) -> bytes:
        """Return the key as people exchange it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class PrivateKey:
    """A key that signs. It shows itself nowhere: its repr is its id, and it is not pickled.

    Args:
        seed: Its 32 bytes.
    """

    __slots__ = ("_seed", "public")

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._seed = seed
        key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature; the same message always gives the same."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed).sign(message)

    def pem(self) -> bytes:
        """Return the key as it is kept: PKCS 8, not encrypted."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = Ed25519PrivateKey.from_private_bytes(self._seed)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.key_id})"

    def __reduce__(self) -> NoReturn:
        raise UsageError("USAGE", "a private key is not pickled", where=self.public.key_id)


class KeyPair(NamedTuple):
    """Where a new pair lies."""

    private: Path
    public: Path
    key_id: str


def generate_key() -> PrivateKey:
    """Return a new key from the operating system's randomness."""
    return PrivateKey(os.urandom(32))


def write_key_pair(folder: str | os.PathLike[str], key: PrivateKey) -> KeyPair:
    """Write a pair as ``trader-signing.key`` (mode 0600) and ``trader-signing.pub``.

    Args:
        folder: Made if missing, readable by its owner alone; not within an archive.
        key: The private key.

    Raises:
        UsageError: A file of one of the names exists; nothing was written.
        ConfigError: The folder lies within an archive.
        StorageError: The disk refuses; nothing is left behind.
    """
    private, public = Path(folder) / PRIVATE_NAME, Path(folder) / PUBLIC_NAME
    _refuse_archive(private)
    made: list[Path] = []
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, data, mode in ((private, key.pem(), 0o600), (public, key.public.pem(), 0o644)):
            write_once(path, data, mode)
            made.append(path)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise UsageError("USAGE", "a key exists already and is not overwritten", where=str(folder)) from error
        raise StorageError("STORAGE", "the key cannot be written", where=str(folder), found=error.strerror) from error
    return KeyPair(private, public, key.public.key_id)


def read_private_key(path: str | os.PathLike[str]) -> PrivateKey:
    """Read a private key that its owner alone can read.

    Args:
        path: PEM. A link is followed, and the permissions are those of the file that it leads to.

    Raises:
        ConfigError: The file cannot be read, lies within an archive, can be read by others, is encrypted, or holds
            anything but an Ed25519 private key. No part of it is in the message.
    """
    where = os.fspath(path)
    try:
        file = read_small(path)
    except OSError as error:
        raise _no_key(where, "the private key cannot be read", error.strerror or str(error)) from error
    _refuse_archive(Path(path))
    if os.name != "nt" and file.mode & _READABLE_BY_OTHERS:
        raise ConfigError(
            "CONFIG",
            "the private key can be used by others",
            where=where,
            expected="mode 0600",
            found=f"mode {file.mode:04o}",
            remedy=f"chmod 600 {where}; if others could read it, make a new pair and stop accepting this one.",
        )
    return _private(file.data, where)


def private_key_from_env(environ: Mapping[str, str]) -> PrivateKey | None:
    """Return the key whose PEM is in ``TRADER_SIGNING_KEY``, None where it is unset or empty.

    Raises:
        ConfigError: It holds anything but an Ed25519 private key.
    """
    text = environ.get(PRIVATE_KEY_VARIABLE, "").strip()
    return _private(text.encode("utf-8", "replace"), PRIVATE_KEY_VARIABLE) if text else None


def read_public_keys(path: str | os.PathLike[str]) -> tuple[PublicKey, ...]:
    """Read the public keys that are accepted, one or more PEM blocks in a file.

    Raises:
        ConfigError: The file cannot be read, lies within an archive, or holds anything but Ed25519 public keys.
    """
    where = os.fspath(path)
    try:
        data = read_small(path).data
    except OSError as error:
        raise _no_key(where, "the public key cannot be read", error.strerror or str(error)) from error
    _refuse_archive(Path(path))
    return _publics(data, where)


def public_keys_from_env(environ: Mapping[str, str]) -> tuple[PublicKey, ...]:
    """Return the keys whose PEM blocks are in ``TRADER_PUBLIC_KEYS``, none where it is unset or empty.

    Raises:
        ConfigError: It holds anything but Ed25519 public keys.
    """
    text = environ.get(PUBLIC_KEYS_VARIABLE, "").strip()
    return _publics(text.encode("utf-8", "replace"), PUBLIC_KEYS_VARIABLE) if text else ()


def _refuse_archive(path: Path) -> None:
    # Whoever can rewrite an archive could replace a key that lies in it, and sign everything again.
    # A link is followed too: both where it lies and where it leads must be outside.
    folders = (*path.absolute().parents, *Path(os.path.realpath(path)).parents)
    marks = [folder / _ARCHIVE_MARK for folder in folders if os.path.lexists(folder / _ARCHIVE_MARK)]
    if marks:
        raise ConfigError(
            "CONFIG",
            "keys do not lie within an archive",
            where=str(path),
            found=str(marks[0]),
            remedy="Keep keys where whoever writes the archive cannot write.",
        )


def _no_key(where: str, message: str, found: str) -> ConfigError:
    return ConfigError("CONFIG", message, where=where, expected="an Ed25519 key as PEM", found=found, remedy=_MAKE)


def _private(pem: bytes, where: str) -> PrivateKey:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise _no_key(where, "the private key is encrypted", "a key with a password") from error
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        # InternalError is what a damaged length inside the key ends in. The library's words are not passed on.
        found = "a public key" if _PUBLIC_BLOCK.search(pem) else f"{len(pem)} bytes that are no private key"
        raise _no_key(where, "this is no private key", found) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(where, "a key of another type", type(key).__name__)
    return PrivateKey(key.private_bytes_raw())


def _publics(data: bytes, where: str) -> tuple[PublicKey, ...]:
    blocks = _PUBLIC_BLOCK.findall(data)
    rest = _PUBLIC_BLOCK.sub(b"", data).strip()
    if b"PRIVATE KEY" in rest:
        raise _no_key(where, "this is a private key", "a private key where the public one belongs")
    if rest or not blocks:
        raise _no_key(where, "this is no public key", f"{len(rest)} bytes around {len(blocks)} keys")
    return tuple(dict.fromkeys(_public(block, where) for block in blocks))


def _public(pem: bytes, where: str) -> PublicKey:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise _no_key(where, "this is no public key", "a damaged PEM block") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(where, "a key of another type", type(key).__name__)
    return PublicKey(key.public_bytes_raw())
