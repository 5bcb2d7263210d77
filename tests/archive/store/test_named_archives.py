"""From what a person writes to where an archive lies: names, URLs, folders, and settings that do not work."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.local import FolderPlace
from trader_sdk.archive.location import locate
from trader_sdk.archive.named import named_archives
from trader_sdk.archive.shared import SharedPlace
from trader_sdk.archive.store.object_chain import ObjectChain
from trader_sdk.archive.store.postgres import PostgresChain
from trader_sdk.contract.audit import AuditKind, Who
from trader_sdk.contract.errors import ArchiveError, ConfigError, SdkError, UsageError

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "archive-many-hosts.md"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point at an empty configuration, from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "elsewhere.toml"
    path.touch()
    monkeypatch.setenv("TRADER_CONFIG", str(path))
    monkeypatch.setenv("TRADER_ARCHIVE_CACHE", str(tmp_path / "cache"))
    return path


@pytest.mark.parametrize(
    "text", ["training_archives", "./desk", "/srv/x", "a/desk", "C:\\x", "..", "s3", "desk.d", "-desk", "des k"]
)
def test_what_is_no_name_and_no_url_is_a_folder(text: str, config: Path) -> None:
    """Also a word that nobody named; nothing is made by asking."""
    config.write_text("[archive.desk]\nstore = 's3://bucket'\n")
    place = locate(text)
    assert isinstance(place, FolderPlace)
    assert place.root == Path(text)


def test_name_stands_before_a_folder_of_the_same_name(config: Path, tmp_path: Path) -> None:
    """``./desk`` is the folder."""
    config.write_text("[archive.desk]\nstore = 's3://bucket'\n")
    (tmp_path / "desk").mkdir()
    assert isinstance(locate("desk"), SharedPlace)
    assert isinstance(locate("./desk"), FolderPlace)


@pytest.mark.parametrize("text", ["s3://bucket/desk", "s3:/bucket/desk", Path("s3://bucket/desk")])
def test_url_is_a_shared_archive_even_after_a_path_took_a_slash(text: str | Path, config: Path) -> None:
    """pathlib takes one away, and so does a shell's completion."""
    place = locate(text)
    assert isinstance(place, SharedPlace)
    assert isinstance(place.chain, ObjectChain)
    assert place.where == "s3://bucket/desk"


def test_index_puts_the_chain_into_the_database(config: Path) -> None:
    """With a store on S3 or in a folder."""
    for store in ("s3://bucket/desk", "/srv/archive"):
        config.write_text(f"[archive.desk]\nstore = '{store}'\nindex = 'postgresql://me:hunter2@db/x'\n")
        place = locate("desk")
        assert isinstance(place, SharedPlace)
        assert isinstance(place.chain, PostgresChain)
        assert place.where == f"{store} with postgresql://me@db/x"


def test_name_without_index_and_url_is_a_folder(config: Path, tmp_path: Path) -> None:
    """A name for a folder is a name."""
    config.write_text(f"[archive.desk]\nstore = '{tmp_path}/x'\n")
    place = locate("desk")
    assert isinstance(place, FolderPlace)
    assert place.root == tmp_path / "x"


def test_environment_stands_before_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password need not lie in a file; a name may come from the environment alone."""
    config.write_text("[archive.my-desk]\nstore = 's3://bucket'\noffline_hours = 1\n")
    monkeypatch.setenv("TRADER__ARCHIVE__MY_DESK__OFFLINE_HOURS", "2.5")
    monkeypatch.setenv("TRADER__ARCHIVE__OTHER__STORE", "s3://other")
    found = named_archives()
    assert found["my-desk"].offline_hours == 2.5
    assert found["other"].store == "s3://other"


@pytest.mark.parametrize(
    "text",
    [
        "[archive.desk]\n",
        "[archive.desk]\nstore = ''\n",
        "[archive.desk]\nstore = 's3://b'\npassword = 'x'\n",
        "[archive.desk]\nstore = 's3://b'\noffline_hours = -1\n",
        "[archive.desk]\nstore = 's3://b'\noffline_hours = nan\n",
        "[archive.desk]\nstore = 's3://b'\noffline_hours = 1000\n",
        "[archive.'a b']\nstore = 's3://b'\n",
        "[archive]\ndesk = 's3://b'\n",
        "[[archive]]\nstore = 's3://b'\n",
        "[archive.desk\n",
    ],
)
def test_settings_that_do_not_work_are_refused_with_their_place(text: str, config: Path) -> None:
    """Unknown keys, missing ones, numbers out of range, no TOML."""
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        locate("desk")
    assert "elsewhere.toml" in str(caught.value.where)


def test_configuration_that_is_named_and_missing_is_refused(config: Path) -> None:
    """Not the next one in line."""
    config.unlink()
    with pytest.raises(ConfigError):
        locate("desk")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("gs://bucket/x", UsageError),
        ("https://bucket/x", UsageError),
        ("postgresql://db/x", UsageError),
        ("s3://key:secret@bucket/x", UsageError),
    ],
)
def test_url_that_no_archive_lies_at_is_refused(text: str, error: type[SdkError], config: Path) -> None:
    """Said at once, not after a timeout."""
    with pytest.raises(error):
        locate(text)


def test_copies_of_two_archives_never_share_a_folder(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets of one name on two services, one store with two databases, two roles."""
    roots = set()
    for endpoint in ("https://one.example", "https://two.example"):
        for index in ("", "index = 'postgresql://a@db/x'", "index = 'postgresql://a@db/y'"):
            config.write_text(f"[archive.desk]\nstore = 's3://bucket'\nendpoint = '{endpoint}'\n{index}\n")
            roots.add(locate("desk").root)
    assert len(roots) == 6


def test_guides_configuration_works(config: Path) -> None:
    """Copied and pasted, it is an archive on S3 with PostgreSQL."""
    (block,) = re.findall(r"```toml\n# trader.toml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    config.write_text(block)
    place = locate("desk")
    assert place.where == "s3://models/desk with postgresql://desk_trader@db.example/archive"


def test_guides_roles_are_enough(database: Any) -> None:
    """The SQL of the guide: a trainer archives, a trader reads and cannot write."""
    (block,) = re.findall(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    schema = f"{database.schema}_guide"
    for name in ("desk_trainer", "desk_trader"):
        block = block.replace(name, f"{name}_{schema}")
    for statement in re.sub(r"--.*", "", re.sub(r"\bdesk\b", schema, block)).split(";"):
        if statement.strip():
            database.execute(statement)
    urls = [database.url(f"{role}_{schema}").partition("&options")[0] for role in ("desk_trainer", "desk_trader")]
    trainer, trader = (PostgresChain(url) for url in urls)
    who = Who(kind="database", name=f"desk_trainer_{schema}")
    written = trainer.append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=who, at=datetime.now(UTC))
    assert trader.read().records == (written,)
    with pytest.raises(ArchiveError) as caught:
        trader.append(AuditKind.RECALL, {"names": ["x"]}, who=who, at=datetime.now(UTC))
    assert caught.value.code == "E610"
