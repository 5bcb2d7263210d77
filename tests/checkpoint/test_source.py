"""Opening, reading and hashing: refusals before anything is parsed."""

import hashlib
import os
from pathlib import Path

import pytest

from trader_sdk.checkpoint import reader, source
from trader_sdk.checkpoint.limits import MAX_FILE_BYTES
from trader_sdk.checkpoint.source import normalise_digest, read_source
from trader_sdk.contract.errors import CheckpointError


def _refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_source(path)
    return caught.value


@pytest.mark.parametrize("size", [1, 4096, 1_000_001])
def test_source_gives_the_bytes_and_their_digest(tmp_path: Path, size: int) -> None:
    """What was read is what lies there, and nobody can write to it."""
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    read = read_source(tmp_path / "f")
    assert bytes(read.data) == content
    assert read.data.readonly
    assert read.sha256 == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_source_reads_on_after_a_short_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system may give less than was asked for; the rest follows in order."""
    (tmp_path / "f").write_bytes(b"0123456789")
    plain = os.read
    monkeypatch.setattr(source.os, "read", lambda descriptor, count: plain(descriptor, min(count, 3)))
    assert bytes(read_source(tmp_path / "f").data) == b"0123456789"


def test_source_refuses_a_folder(tmp_path: Path) -> None:
    """A folder is named as one."""
    error = _refusal(tmp_path)
    assert (error.code, error.found) == ("E101", "a directory")


def test_source_refuses_a_fifo_without_waiting_for_a_writer(tmp_path: Path) -> None:
    """Opening a pipe must not block for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in str(_refusal(tmp_path / "pipe").found)


def test_source_refuses_a_device() -> None:
    """An endless device is no file."""
    assert _refusal(Path("/dev/zero")).code == "E101"


def test_source_refuses_a_loop_of_links(tmp_path: Path) -> None:
    """A link that leads to itself gives the system's reason."""
    (tmp_path / "a").symlink_to(tmp_path / "a")
    assert "ELOOP" in str(_refusal(tmp_path / "a").found)


@pytest.mark.parametrize("name", ["absent.pt", "nul\0byte.pt"])
def test_source_refuses_a_path_that_names_nothing(tmp_path: Path, name: str) -> None:
    """A path that cannot be opened is a typed error, whatever the reason."""
    assert _refusal(tmp_path / name).code == "E101"


def test_source_refuses_an_empty_file(tmp_path: Path) -> None:
    """No bytes are no checkpoint."""
    (tmp_path / "f").touch()
    assert _refusal(tmp_path / "f").message == "the file is empty"


def test_source_refuses_a_sparse_giant_without_reading_it(tmp_path: Path) -> None:
    """The size is refused from the file's status, before a byte is read."""
    with (tmp_path / "f").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert _refusal(tmp_path / "f").code == "E107"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(b"x" * 8), "the file shrank while it was read"),
        (lambda path: path.open("ab").write(b"more"), "the file grew while it was read"),
        (lambda path: os.utime(path, ns=(1, 1)), "the file changed while it was read"),
    ],
)
def test_source_refuses_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object, message: str
) -> None:
    """What was hashed must be one state of the file."""
    path = tmp_path / "f"
    path.write_bytes(b"y" * 64)
    plain = source._regular

    def change_after_first_look(status: os.stat_result, name: str) -> os.stat_result:
        change(path)
        return plain(status, name)

    monkeypatch.setattr(source, "_regular", change_after_first_look)
    assert _refusal(path).message == message


@pytest.mark.parametrize("failure", [MemoryError, RecursionError])
def test_exhausted_memory_is_a_typed_resource_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    """Whatever runs out inside a step ends as E107."""

    def exhaust(*_arguments: object, **_options: object) -> None:
        raise failure

    (tmp_path / "f").write_bytes(b"PK\x03\x04")
    monkeypatch.setattr(reader, "read_torch_zip", exhaust)
    with pytest.raises(CheckpointError) as caught:
        reader.read_checkpoint(tmp_path / "f")
    assert caught.value.code == "E107"


def test_source_names_the_systems_reason_when_reading_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while reading is typed like one that fails when opening."""

    def refuse(*_arguments: object) -> bytes:
        raise OSError(5, os.strerror(5))

    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.setattr(source.os, "read", refuse)
    assert "EIO" in str(_refusal(tmp_path / "f").found)


def test_source_compares_the_digest_before_parsing(tmp_path: Path) -> None:
    """Bytes that are no checkpoint at all are refused for their digest first."""
    (tmp_path / "f").write_bytes(b"garbage")
    with pytest.raises(CheckpointError) as caught:
        read_source(tmp_path / "f", "0" * 64)
    assert caught.value.code == "E103"


@pytest.mark.parametrize("spelling", ["sha256:{}", "{}", "SHA256:{}"])
def test_digest_is_read_with_and_without_its_prefix(spelling: str) -> None:
    """People copy digests in both spellings and either case."""
    digits = hashlib.sha256(b"").hexdigest()
    assert normalise_digest(spelling.format(digits.upper())) == f"sha256:{digits}"


@pytest.mark.parametrize("text", ["", "sha256:", "0" * 63, "g" * 64, "md5:" + "0" * 64])
def test_digest_is_refused_when_it_is_no_sha256(text: str) -> None:
    """A digest that cannot be compared is an error, never a skipped check."""
    with pytest.raises(CheckpointError, match="no sha256"):
        normalise_digest(text)
