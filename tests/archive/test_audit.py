"""The audit chain: every edit is seen, a torn line is never committed, nothing is lost between writers."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader_sdk.archive.store import audit as audit_module
from trader_sdk.archive.store.audit import AuditLog, ChainHead, encode_record
from trader_sdk.archive.store.durable import store_by_digest, write_new
from trader_sdk.contract.audit import AuditKind, Who
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import ArchiveError, StorageError

AT = datetime(2026, 11, 21, 9, 30, 0, 123456, tzinfo=UTC)
WHO = Who(kind="os", name="ann")


def log_of(root: Path, count: int) -> AuditLog:
    log = AuditLog(root)
    for number in range(count):
        log.append(AuditKind.RECALL, {"names": [str(number)], "why": "ü " * number, "x": 1.5}, who=WHO, at=AT)
    return log


def test_chain_links_each_record_to_the_one_before(tmp_path: Path) -> None:
    """Numbers from one, the first names nobody, the head is the last."""
    log = log_of(tmp_path, 3)
    records = log.read().records
    assert [record.seq for record in records] == [1, 2, 3]
    assert [record.prev for record in records] == ["", records[0].sha256, records[1].sha256]
    assert log.head() == log.read().head == ChainHead(3, records[2].sha256)
    assert log.last() == records[2]


def test_empty_chain_has_no_head(tmp_path: Path) -> None:
    """No file, no record, no error."""
    assert AuditLog(tmp_path).read().records == ()
    assert AuditLog(tmp_path).head() == ChainHead(0, "")


def test_record_is_written_as_the_bytes_its_digest_covers(tmp_path: Path) -> None:
    """What anybody can check with a JSON library and sha256."""
    record = log_of(tmp_path, 1).read().records[0]
    plain = json.loads((tmp_path / "audit.jsonl").read_text())
    assert encode_record(record) + b"\n" == (tmp_path / "audit.jsonl").read_bytes()
    assert sha256_of({key: value for key, value in plain.items() if key != "sha256"}) == plain["sha256"]


def what_is_seen(log: AuditLog) -> str:
    try:
        return f"{len(log.read().records)} records"
    except ArchiveError as error:
        return error.code


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_flipped_byte_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    """Any single byte changed inside the chain breaks it, or at the very end leaves a line uncommitted."""
    log = AuditLog(tmp_path)
    if not log.path.exists():
        log_of(tmp_path, 3)
    whole = log.path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(whole)
    damaged[position] ^= flip
    log.path.write_bytes(bytes(damaged))
    seen = what_is_seen(log)
    log.path.write_bytes(whole)
    assert seen == ("2 records" if position == len(whole) - 1 else "E606")


def test_torn_line_is_not_committed_and_the_next_writer_repairs_it(tmp_path: Path) -> None:
    """At every length of a torn last line readers see the chain before it, and a repair is on record."""
    log = log_of(tmp_path, 2)
    whole = log.path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first + 1, len(whole)):
        log.path.write_bytes(whole[:length])
        chain = log.read()
        assert (len(chain.records), chain.torn_bytes) == (1, length - first)
    log.append(AuditKind.RECALL, {"names": ["late"], "why": "w"}, who=WHO, at=AT)
    assert [record.kind.value for record in log.read().records] == ["recall", "repair", "recall"]
    assert log.read().records[1].body["bytes"] == len(whole) - 1 - first


def test_cut_or_reordered_chain_is_refused(tmp_path: Path) -> None:
    """Lines cannot be left out, doubled or moved."""
    log = log_of(tmp_path, 3)
    one, two, three = log.path.read_bytes().splitlines(keepends=True)
    for lines in ((two, three), (one, three), (one, one, two), (one, three, two), (one, b"\n", two)):
        log.path.write_bytes(b"".join(lines))
        with pytest.raises(ArchiveError) as caught:
            log.read()
        assert caught.value.code == "E606"


def test_append_leaves_the_file_as_it_was_when_fsync_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed fsync means lost: nobody finds the line afterwards."""
    log = log_of(tmp_path, 1)
    before = log.path.read_bytes()

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(audit_module.os, "fsync", failing)
    with pytest.raises(StorageError):
        log.append(AuditKind.RECALL, {"names": ["x"], "why": "w"}, who=WHO, at=AT)
    assert log.path.read_bytes() == before


def test_append_goes_on_after_a_short_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take a few bytes at a time."""
    real = os.write
    monkeypatch.setattr(audit_module.os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    log = log_of(tmp_path, 2)
    monkeypatch.undo()
    assert len(log.read().records) == 2


def test_long_records_are_found_from_the_end(tmp_path: Path) -> None:
    """A last line longer than one read is read whole."""
    log = AuditLog(tmp_path)
    for size in (10, 200_000, 70_000):
        log.append(AuditKind.RECALL, {"names": ["x" * size], "why": "w"}, who=WHO, at=AT)
        assert log.head() == log.read().head


def test_files_are_written_once_and_named_by_their_digest(tmp_path: Path) -> None:
    """Nothing is overwritten; a file that is there already is checked instead."""
    digest = store_by_digest(b"weights", tmp_path, ".pt")
    assert store_by_digest(b"weights", tmp_path, ".pt") == digest
    with pytest.raises(FileExistsError):
        write_new(tmp_path / f"{digest}.pt", b"other")
    (tmp_path / f"{digest}.pt").write_bytes(b"swapped")
    with pytest.raises(ArchiveError) as caught:
        store_by_digest(b"weights", tmp_path, ".pt")
    assert caught.value.code == "E602"
