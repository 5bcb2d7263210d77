"""goldens.toml and fleet.toml: every fault named at once, nothing guessed, any bytes survived."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.ci.manifest import MAX_MANIFEST_BYTES, read_fleet, read_goldens, table_lines
from trader_sdk.contract.errors import ConfigError

DIGEST = "sha256:" + "0" * 64
GOOD = f"""\
schema = 1
# ours
[[golden]]
name = "a"
url = "https://models.example/a.pt"
sha256 = "{DIGEST}"
version = "2.7.0"
probe = {{ recipe = "knuth32@1", count = 2 }}
decisions = ["HOLD", "BUY_25%"]
logits = [[0.5, 1], [2.0, 3.0]]

[[golden]]
name = "b"
path = "models/b.pt"
sha256 = "{DIGEST}"
version = "2.3.0"
probe = {{ file = "probe.npz" }}
decisions = ["SELL"]
"""


def manifest(folder: Path, text: str | bytes) -> Path:
    path = folder / "goldens.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_goldens_are_read_with_their_lines(tmp_path: Path) -> None:
    """Annotations point at the table that names the model."""
    first, second = read_goldens(manifest(tmp_path, GOOD))
    assert (first.line, second.line) == (3, 12)
    assert (first.probe.count, first.logits) == (2, ((0.5, 1.0), (2.0, 3.0)))
    assert (second.path, second.url, second.probe.file) == ("models/b.pt", None, "probe.npz")


def test_line_is_not_guessed_when_headers_and_tables_differ(tmp_path: Path) -> None:
    """A header inside a text would shift every line; the first is named instead."""
    text = 'schema = 1\n[[trader]]\nname = """\n[[trader]]\n"""\nversion = "2.7.0"\n'
    path = manifest(tmp_path, text)
    assert table_lines(text, "trader") == [2, 4]
    assert [trader.line for trader in read_fleet(path)] == [1]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "a"', 'name = "b"', "'b' is used twice"),
        ('name = "a"', "", "golden 1 (line 3): name"),
        ('url = "https', 'path = "x"\nurl = "https', "either url or path"),
        (DIGEST, "sha256:00", "sha256"),
        ("count = 2", "count = 3", "as many decisions"),
        ("count = 2", "count = true", "probe.count"),
        ("count = 2", "count = 100000", "probe.count"),
        ('recipe = "knuth32@1", ', "", "either recipe"),
        ("[2.0, 3.0]", "[nan, inf]", "logits.1.0"),
        (", [2.0, 3.0]", "", "as many rows"),
        ('["HOLD", "BUY_25%"]', "[]", "decisions"),
        ('version = "2.7.0"', 'version = "2.7.0"\nline = 7', "line"),
        ('version = "2.7.0"', 'version = "2.7.0"\nextra = 7', "extra"),
        ("schema = 1", "schema = 2", "another schema"),
        ("schema = 1", "scheme = 1", "scheme"),
        ("[[golden]]", "[golden]", ""),
    ],
)
def test_malformed_golden_is_refused_with_its_place(tmp_path: Path, old: str, new: str, named: str) -> None:
    """Unknown, missing, contradictory and impossible values are configuration errors."""
    path = manifest(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError) as refused:
        read_goldens(path)
    assert named in str(refused.value.found)
    assert refused.value.where == str(path)


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    """One run tells everything that has to be corrected."""
    path = manifest(tmp_path, GOOD.replace(DIGEST, "x").replace('version = "2.3.0"', "version = 2"))
    with pytest.raises(ConfigError) as refused:
        read_goldens(path)
    assert all(part in str(refused.value.found) for part in ("golden 1", "golden 2", "sha256", "version"))


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"\xef\xbb\xbfschema = 1", b"x = " + b"[" * 50_000, b"x = " + b"9" * 9999, b"\x00", b"a = 1\na = 2"],
    ids=["not-utf-8", "byte-order-mark", "nested", "digits", "nul", "twice"],
)
def test_hostile_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    """What is no sane TOML is one typed error."""
    with pytest.raises(ConfigError):
        read_goldens(manifest(tmp_path, content))


def test_huge_manifest_is_refused_unread(tmp_path: Path) -> None:
    """A file of a terabyte of nothing costs no memory."""
    path = tmp_path / "goldens.toml"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        read_goldens(path)
    assert str(MAX_MANIFEST_BYTES) in str(refused.value.found)


@pytest.mark.parametrize("path", [".", "absent.toml", "/dev/zero", "a\0b"])
def test_what_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    """A folder, nothing, a device, an impossible name."""
    with pytest.raises(ConfigError):
        read_goldens(tmp_path / path)


@given(st.binary(max_size=200))
def test_any_bytes_give_goldens_or_a_typed_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing else leaves the reader."""
    path = manifest(tmp_path_factory.mktemp("m"), content)
    try:
        assert read_goldens(path) == ()
    except ConfigError:
        return


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ('name = "a"\nversion = "latest"', "version"),
        ('name = "a"\nversion = "2.7.0"\nproviders = ["x"]', "providers"),
        ('version = "2.7.0"', "name"),
        ('name = "a"\nversion = "2.7.0"\ncapabilities = "all"', "capabilities"),
    ],
)
def test_malformed_trader_is_refused(tmp_path: Path, fields: str, named: str) -> None:
    """A fleet that cannot be read judges nothing."""
    path = manifest(tmp_path, f"[[trader]]\n{fields}\n")
    with pytest.raises(ConfigError) as refused:
        read_fleet(path)
    assert named in str(refused.value.found)
