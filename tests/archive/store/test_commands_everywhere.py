"""What people type, on a folder and on every kind of shared archive: the same commands, the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trader_sdk import load_approved, load_approved_universe
from trader_sdk.approved import ApprovedModel
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import verify
from trader_sdk.cli import build_app, run_app


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_people_decide_on_another_host_than_the_one_that_trained(
    shop: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """List, show, promote by alias with its page, export, verify, take in elsewhere, inspect, and load a universe."""
    one, two = (shop.archive(seed).assessments[0] for seed in (0, 1))
    shop.move("desk-host")
    capsys.readouterr()
    assert trader("archive", "list", "--archive", shop.name) == 0
    assert said(capsys)[0]["rows"][0]["champion"] == one.version_id
    assert trader("archive", "show", "models:/AAPL/1Day@challenger", "--archive", shop.name) == 0
    assert said(capsys)[0]["verdict"]["version_id"] == two.version_id
    challenger = "models:/AAPL/1Day@challenger"
    assert trader("archive", "promote", challenger, "--why", "better", "--explain", "--archive", shop.name) == 0
    explained = said(capsys)[1]
    assert (explained["event"], explained["version_id"]) == ("slot_explained", two.version_id)
    assert explained["previous"]["version_id"] == one.version_id
    carried, other = tmp_path / "aapl.zip", tmp_path / "other"
    assert trader("archive", "export", "AAPL", "--out", carried, "--archive", shop.name) == 0
    assert trader("archive", "verify", "--archive", carried) == 0
    assert trader("archive", "add", carried, "--archive", other) == 0
    assert load_approved(other, "AAPL").policy_sha256 == one.policy_sha256
    assert trader("inspect", "models:/AAPL/1Day@champion", "--archive", shop.name) == 0
    found = load_approved_universe(shop.name)["AAPL"]
    assert isinstance(found, ApprovedModel)
    assert found.policy_sha256 == two.policy_sha256
    assert trader("archive", "promote", "APPL", two.version_id, "--archive", shop.name) == 5
    assert "Did you mean AAPL?" in capsys.readouterr().err
    assert verify(shop.name).holds


def test_refused_checkpoint_is_archived_everywhere(shop: Any) -> None:
    """DROP with the reason, nothing of its bytes, and the archive holds."""
    bad = shop.folder / "bad.pt"
    shop.folder.mkdir(exist_ok=True)
    bad.write_bytes(b"<html>")
    run = shop.archive(0, final=str(bad), checkpoints=[])
    assert run.dropped_count == 1
    shop.move("desk-host")
    reader = ArchiveReader(shop.name)
    verdict = reader.judged(next(iter(reader.state.verdicts.values()))).verdict
    assert verdict.subjects == ()
    assert "E101" in verdict.flags[0].detail
    assert verify(shop.name).holds


def test_second_person_is_who_the_archive_knows(open_shop: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """On a database the role, which cannot be borrowed by typing another login."""
    shop = open_shop("folder+postgres", second_person=True)
    shop.archive(0)
    version = shop.archive(1).assessments[0].version_id
    assert trader("archive", "promote", "AAPL", version, "--archive", shop.name) == 5
    assert "second person" in capsys.readouterr().err
