"""Keys: from files or the environment, of one type, shown nowhere, and never from beside what they vouch for."""

import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from trader_sdk.contract.errors import ConfigError, StorageError, UsageError
from trader_sdk.signing import (
    PrivateKey,
    generate_key,
    private_key_from_env,
    public_keys_from_env,
    read_private_key,
    read_public_keys,
    write_key_pair,
)
from trader_sdk.signing.keys import KeyPair

OTHERS = {
    "rsa": rsa.generate_private_key(65537, 1024),  # noqa: S505 - refused for its type, whatever its length
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed448": ed448.Ed448PrivateKey.generate(),
}


@pytest.fixture
def pair(tmp_path: Path, key: PrivateKey) -> KeyPair:
    """Return where the key lies."""
    return write_key_pair(tmp_path / "keys", key)


def private_file(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_pair_is_read_back_and_only_its_owner_reads_the_private_key(pair: KeyPair, key: PrivateKey) -> None:
    """What was written is what is read; the id is the same on both sides."""
    assert read_private_key(pair.private).public == key.public
    assert read_public_keys(pair.public) == (key.public,)
    assert pair.key_id == key.public.key_id == "ed25519:56475aa75463474c0285df5dbf2bcab7"
    assert (pair.private.stat().st_mode & 0o777, pair.private.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_private_key_is_private_under_any_umask(tmp_path: Path) -> None:
    """The mode is given at creation and does not depend on the shell."""
    before = os.umask(0)
    try:
        pair = write_key_pair(tmp_path / "keys", generate_key())
    finally:
        os.umask(before)
    assert pair.private.stat().st_mode & 0o777 == 0o600


def test_new_keys_differ() -> None:
    """Two keys are two keys."""
    assert generate_key().public != generate_key().public


@pytest.mark.parametrize("name", ["trader-signing.key", "trader-signing.pub"])
@pytest.mark.parametrize("dangling", [False, True])
def test_no_key_is_overwritten(tmp_path: Path, name: str, dangling: bool) -> None:
    """A key that exists stays, and no half of a pair is left; a link does not lead the key elsewhere."""
    if dangling:
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError):
        write_key_pair(tmp_path, generate_key())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert dangling or (tmp_path / name).read_text() == "mine"


def test_key_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "keys").write_text("a file")
    with pytest.raises((StorageError, UsageError)):
        write_key_pair(tmp_path / "keys" / "more", generate_key())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_private_key_that_others_can_use_is_refused(pair: KeyPair, tmp_path: Path, mode: int) -> None:
    """As ssh does; by the permissions of the file itself, also through a link."""
    pair.private.chmod(mode)
    (tmp_path / "link").symlink_to(pair.private)
    for path in (pair.private, tmp_path / "link"):
        with pytest.raises(ConfigError, match=f"mode {mode:04o}"):
            read_private_key(path)


def test_key_is_read_through_a_link(pair: KeyPair, tmp_path: Path, key: PrivateKey) -> None:
    """Mounted secrets are links."""
    (tmp_path / "link").symlink_to(pair.private)
    assert read_private_key(tmp_path / "link").public == key.public


def test_every_truncation_of_a_key_is_refused(pair: KeyPair, tmp_path: Path, key: PrivateKey) -> None:
    """Cut anywhere before its last line is whole, a key is a typed refusal."""
    for path, read in ((pair.private, read_private_key), (pair.public, read_public_keys)):
        whole = path.read_bytes().rstrip(b"\n")
        for length in range(len(whole)):
            with pytest.raises(ConfigError):
                read(private_file(tmp_path / "cut", whole[:length]))


def test_every_changed_byte_is_refused_or_another_key(pair: KeyPair, tmp_path: Path) -> None:
    """Never a crash: a flipped byte gives a typed refusal or another key, which then signs for nobody."""
    for path, read in ((pair.private, read_private_key), (pair.public, read_public_keys)):
        whole = path.read_bytes()
        for place in range(len(whole.rstrip())):
            damaged = bytearray(whole)
            damaged[place] ^= 1
            try:
                found = read(private_file(tmp_path / "damaged", bytes(damaged)))
            except ConfigError:
                continue
            assert found != read(path), f"byte {place} of {path.name} changed nothing"


@pytest.mark.parametrize("other", sorted(OTHERS))
def test_key_of_another_type_is_refused(tmp_path: Path, other: str) -> None:
    """RSA, elliptic curves and Ed448 are good keys and not ours."""
    made = OTHERS[other]
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigError, match="another type"):
        read_private_key(private_file(tmp_path / "k", private))
    with pytest.raises(ConfigError, match="another type"):
        read_public_keys(private_file(tmp_path / "p", public))


def test_swapped_and_encrypted_keys_are_named(pair: KeyPair, tmp_path: Path) -> None:
    """The public key where the private belongs, the other way round, and a key with a password."""
    with pytest.raises(ConfigError, match="a public key"):
        read_private_key(private_file(tmp_path / "p", pair.public.read_bytes()))
    with pytest.raises(ConfigError, match="this is a private key"):
        read_public_keys(pair.private)
    locked = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(ConfigError, match="encrypted"):
        read_private_key(private_file(tmp_path / "locked", locked))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 64, b"-----BEGIN PUBLIC KEY-----\n", b"x" * 70_000])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, text, zeros, a header alone, and too much of anything."""
    path = private_file(tmp_path / "k", content)
    for read in (read_private_key, read_public_keys):
        with pytest.raises(ConfigError):
            read(path)


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "loop", "nul"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    """A pipe does not block, a loop of links and a path that cannot be are typed refusals."""
    path: Path | str = tmp_path / "k"
    if kind == "folder":
        Path(path).mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        Path(path).symlink_to(path)
    elif kind == "nul":
        path = f"{tmp_path}/\0"
    for read in (read_private_key, read_public_keys):
        with pytest.raises(ConfigError):
            read(path)


def test_key_within_an_archive_is_refused(pair: KeyPair, tmp_path: Path) -> None:
    """Whoever can rewrite the archive could replace it: not read there, not through a link, not written there."""
    archive = tmp_path / "archive"
    (archive / "keys").mkdir(parents=True)
    (archive / "audit.jsonl").write_bytes(b"")
    inside = shutil.copy(pair.public, archive / "keys" / "trader-signing.pub")
    (tmp_path / "link").symlink_to(inside)
    (archive / "link").symlink_to(pair.public)
    for path in (inside, tmp_path / "link", archive / "link"):
        with pytest.raises(ConfigError, match="archive"):
            read_public_keys(path)
    with pytest.raises(ConfigError, match="archive"):
        write_key_pair(archive / "new", generate_key())
    assert not (archive / "new").exists()


def test_keys_come_from_the_environment(key: PrivateKey) -> None:
    """PEM text, several public keys after each other; unset and empty are no key."""
    other = generate_key().public
    bundle = (key.public.pem() + other.pem() + key.public.pem()).decode()
    found = private_key_from_env({"TRADER_SIGNING_KEY": key.pem().decode()})
    assert found is not None
    assert found.public == key.public
    assert public_keys_from_env({"TRADER_PUBLIC_KEYS": bundle}) == (key.public, other)
    assert private_key_from_env({"TRADER_SIGNING_KEY": " "}) is None
    assert public_keys_from_env({}) == ()
    with pytest.raises(ConfigError, match="TRADER_SIGNING_KEY"):
        private_key_from_env({"TRADER_SIGNING_KEY": "/path/to/key"})
    with pytest.raises(ConfigError, match="TRADER_PUBLIC_KEYS"):
        public_keys_from_env({"TRADER_PUBLIC_KEYS": bundle + "\udcff"})


def test_private_key_shows_itself_nowhere(key: PrivateKey, tmp_path: Path) -> None:
    """Neither repr, nor pickle, nor an error about its file quotes it."""
    secret = key.pem().split(b"\n")[1].decode()
    assert "PrivateKey(ed25519:" in repr(key)
    with pytest.raises(UsageError):
        pickle.dumps(key)
    damaged = private_file(tmp_path / "k", key.pem().replace(b"END PRIVATE", b"END PIRATE"))
    with pytest.raises(ConfigError) as caught:
        read_private_key(damaged)
    assert secret not in str(caught.value) + repr(caught.value.to_dict())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_our_keys_and_we_read_its(pair: KeyPair, tmp_path: Path) -> None:
    """The format is everybody's."""
    command = ["openssl", "pkey", "-in", str(pair.private), "-pubout"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert done.stdout.strip() == pair.public.read_bytes().strip()
    theirs = tmp_path / "theirs.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(theirs)], check=True, timeout=30)
    theirs.chmod(0o600)
    assert read_private_key(theirs).public.key_id.startswith("ed25519:")
