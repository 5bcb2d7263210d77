"""``trader compat keygen``, ``sign`` and ``verify``: the way that two people go, and what they are told on the way."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.governance import recall
from trader_sdk.cli import build_app, run_app

DEMO = Path(__file__).parents[2] / "trader_sdk" / "demo" / "archive"


def trader(*arguments: object) -> int:
    argv = ["compat", *(str(argument) for argument in arguments)]
    return run_app(build_app(argv), argv)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder with a pair made by the command."""
    assert trader("keygen", "--out", tmp_path / "keys") == 0
    return tmp_path / "keys"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a copy of the demo archive."""
    return Path(shutil.copytree(DEMO, tmp_path / "archive"))


def test_two_people_sign_and_verify(
    keys: Path, tmp_path: Path, verdict: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """One signs beside the file and is told what it was; the other verifies, and again after an edit."""
    file = tmp_path / "größe.json"
    file.write_text(json.dumps(verdict), "utf-8")
    assert trader("sign", file, "--key", keys / "trader-signing.key") == 0
    assert verdict["version_id"] in capsys.readouterr().out
    assert trader("verify", file, "--public-key", keys / "trader-signing.pub") == 0
    file.write_text(json.dumps({**verdict, "tier": "LIVE"}), "utf-8")
    assert trader("verify", file, "--public-key", keys / "trader-signing.pub") == 3
    assert "E104" in capsys.readouterr().err


def test_signature_file_may_lie_elsewhere(keys: Path, tmp_path: Path, verdict: dict[str, Any]) -> None:
    """--out names it, --signature finds it; by its default name it is absent."""
    file = tmp_path / "v.json"
    file.write_text(json.dumps(verdict))
    assert trader("sign", file, "--key", keys / "trader-signing.key", "--out", tmp_path / "s") == 0
    command = ("verify", file, "--public-key", keys / "trader-signing.pub")
    assert trader(*command, "--signature", tmp_path / "s") == 0
    assert trader(*command) == 3


def test_keys_of_the_environment_are_used(
    keys: Path, tmp_path: Path, verdict: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without flags the PEM texts of the environment count; without either it is a usage error."""
    file = tmp_path / "v.json"
    file.write_text(json.dumps(verdict))
    for name in ("TRADER_SIGNING_KEY", "TRADER_PUBLIC_KEYS"):
        monkeypatch.delenv(name, raising=False)
    assert trader("sign", file) == 2
    monkeypatch.setenv("TRADER_SIGNING_KEY", (keys / "trader-signing.key").read_text())
    assert trader("sign", file) == 0
    assert trader("verify", file) == 2
    monkeypatch.setenv("TRADER_PUBLIC_KEYS", (keys / "trader-signing.pub").read_text())
    assert trader("verify", file) == 0


def test_head_is_signed_and_kept_elsewhere(keys: Path, archive: Path, tmp_path: Path) -> None:
    """The head of the chain and its signature, outside the archive only, never over another head."""
    command = ("sign", archive, "--key", keys / "trader-signing.key")
    assert trader(*command) == 2
    assert trader(*command, "--out", archive / "head.json") == 2
    head = tmp_path / "heads" / "1.json"
    assert trader(*command, "--out", head) == 0
    assert trader(*command, "--out", head) == 2
    assert trader("verify", head, "--public-key", keys / "trader-signing.pub") == 0
    sha256 = json.loads(head.read_text())["sha256"]
    recall(archive, ["some-version"], why="test")
    argv = ["archive", "verify", "--archive", str(archive), "--expected-head", sha256]
    assert run_app(build_app(argv), argv) == 0
    assert trader("sign", keys, "--key", keys / "trader-signing.key", "--out", head) == 5


def test_verdict_of_an_archive_is_signed_into_it(
    keys: Path, archive: Path, verdict: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """By its version id or its own; the runs stay as they were, and a second time changes nothing."""
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    for name in (verdict["version_id"], verdict["id"]):
        assert trader("sign", archive, "--verdict", name, "--key", keys / "trader-signing.key", "--json", 1) == 0
    (signature,) = (archive / "signatures").rglob("*.json")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()][-1]
    assert said["signature"] == str(signature)
    assert {path: path.read_bytes() for path in before} == before
    assert trader("sign", archive, "--verdict", "nobody", "--key", keys / "trader-signing.key") == 5


def test_file_of_many_verdicts_is_not_signed(keys: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The archive's own file: the message says how its verdicts are signed."""
    path = min(archive.rglob("model_assessments.json"))
    assert trader("sign", path, "--key", keys / "trader-signing.key") == 2
    assert "--verdict" in capsys.readouterr().err
    assert trader("sign", path, "--verdict", "x", "--key", keys / "trader-signing.key") == 2


def test_control_characters_do_not_reach_the_terminal(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name in a document that is signed cannot write to the signer's screen."""
    override = {
        "verdict": "v", "class_from": "REVIEW", "class_to": "APPROVED", "who": "a\x1b[2J", "why": "w",
        "until": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }  # fmt: skip
    (tmp_path / "o.json").write_text(json.dumps(override))
    assert trader("sign", tmp_path / "o.json", "--key", keys / "trader-signing.key") == 0
    assert "\x1b" not in capsys.readouterr().out


def test_keygen_overwrites_nothing(keys: Path) -> None:
    """A second pair in the same folder is refused, and the first one stays."""
    before = (keys / "trader-signing.key").read_bytes()
    assert trader("keygen", "--out", keys) == 2
    assert (keys / "trader-signing.key").read_bytes() == before
