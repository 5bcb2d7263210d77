"""One suite for every store: a name is given once, whole, and read back as it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.store.folder import FolderStore
from trader_sdk.archive.store.port import Store
from trader_sdk.archive.store.s3 import S3Address, S3Objects
from trader_sdk.contract.errors import ArchiveError, ConfigError, UsageError


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty store of each kind."""
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    return S3Objects(S3Address.parse(request.getfixturevalue("bucket").url))


def test_name_is_given_once(store: Store) -> None:
    """The second writer is told, and the first one's bytes stay."""
    assert store.put_new("objects/a", b"first") is True
    assert store.put_new("objects/a", b"second") is False
    assert store.get("objects/a") == b"first"


@pytest.mark.parametrize("data", [b"", b"\0" * 3, b"x" * (3 << 20)])
def test_bytes_read_back_as_they_were_given(store: Store, data: bytes) -> None:
    """None, few and several megabytes."""
    store.put_new("a", data)
    assert store.get("a") == data


def test_missing_name_is_typed(store: Store) -> None:
    """E602, and it exists only afterwards."""
    assert not store.exists("objects/a")
    with pytest.raises(ArchiveError) as caught:
        store.get("objects/a")
    assert caught.value.code == "E602"
    store.put_new("objects/a", b"x")
    assert store.exists("objects/a")


def test_names_are_listed_in_order_behind_a_prefix_and_a_name(store: Store) -> None:
    """What the chain is read by."""
    for name in ("audit/3", "audit/1", "audit/2", "auditors/1", "objects/1", "audit/10"):
        store.put_new(name, b"x")
    assert list(store.list("audit/")) == ["audit/1", "audit/10", "audit/2", "audit/3"]
    assert list(store.list("audit/1")) == ["audit/1", "audit/10"]
    assert list(store.list("audit/", after="audit/10")) == ["audit/2", "audit/3"]
    assert list(store.list("nothing/")) == []
    assert len(list(store.list())) == 6


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "a\\b", "a\0b"])
def test_name_that_leaves_the_store_is_refused(store: Store, name: str) -> None:
    """E609 before anything is asked of it."""
    for act in (lambda: store.put_new(name, b"x"), lambda: store.get(name), lambda: store.exists(name)):
        with pytest.raises(ArchiveError) as caught:
            act()
        assert caught.value.code == "E609"


def test_unfinished_file_of_a_dead_writer_is_no_name(tmp_path: Path) -> None:
    """It appears by a link, whole or not at all."""
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    assert list(FolderStore(tmp_path).list()) == []


@pytest.mark.parametrize(
    "url", ["http://x/y", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?versionId=1", "bucket"]
)
def test_url_that_is_no_store_is_refused_without_repeating_it(url: str) -> None:
    """A URL may hold a secret."""
    with pytest.raises(UsageError) as caught:
        S3Address.parse(url)
    assert "secret@" not in str(caught.value)


def test_plain_http_to_another_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys would cross the network in the open."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    store = S3Objects(S3Address("bucket", endpoint="http://192.0.2.1:9000"))
    with pytest.raises(ConfigError):
        store.exists("a")


def test_key_is_named_without_giving_it_away(bucket: Any) -> None:
    """The same key has the same name everywhere."""
    name = S3Objects(S3Address.parse(bucket.url)).key_name
    assert name is not None
    assert name.startswith("s3-")
    assert bucket.environment()["AWS_ACCESS_KEY_ID"] not in name
