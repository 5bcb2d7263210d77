"""Profiles: keys and a state folder of their own, in every command about runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft
from trader_sdk.live.journal import Journal, Stamp
from trader_sdk.live.settings import Settings, config_file, enter_profile, read_settings, shown

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def test_profile_brings_its_own_keys_and_folder_and_shows_none(tmp_path: Path) -> None:
    """Keys of the environment are taken away first; a file that others can read is refused; nothing secret is shown."""
    file, keys = tmp_path / "trader.toml", tmp_path / "paper.env"
    file.write_text('[notify]\nwebhook = "https://h.example/T0KEN"\n[profile.paper]\nenv_file = "paper.env"\n')
    keys.write_text("# keys\nexport ALPACA_API_KEY=K3Y\nALPACA_SECRET_KEY='S3CRET'\n")
    environ = {"APCA_API_KEY_ID": "other", "APCA_API_SECRET_KEY": "other", "TRADER_CONFIG": str(file)}
    keys.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        enter_profile("paper", environ, config_file(environ))
    keys.chmod(0o600)
    state, notify = enter_profile("paper", environ, config_file(environ))
    assert (state.name, notify.webhook) == ("paper", "https://h.example/T0KEN")
    assert (environ["ALPACA_API_KEY"], environ["ALPACA_SECRET_KEY"]) == ("K3Y", "S3CRET")
    assert "APCA_API_KEY_ID" not in environ
    assert "T0KEN" not in json.dumps(shown(read_settings(file)))
    with pytest.raises(ConfigError, match="no such profile"):
        enter_profile("live", environ, file)
    file.write_text('[notify]\nwebhook = "http://evil.example/T0KEN"\n')
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    assert "T0KEN" not in str(caught.value)
    assert read_settings(None) == Settings()


def test_profile_stands_for_its_state_folder_in_every_command_about_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, groups' commands, and a command line that names a folder itself; a typing error is exit 3."""
    folder = tmp_path / "home" / "paper-alpaca-a1"
    started = {"mode": "PAPER-ALPACA", "account_id": "a1", "epoch": 1, "symbols": ["AAPL"]}
    with Journal.open(folder, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        journal.append([Draft(JournalEvent.RUN_STARTED, AT, started)])
    (tmp_path / "trader.toml").write_text(f'[profile.paper]\nstate_dir = "{tmp_path / "home"}"\n')
    monkeypatch.setenv("TRADER_CONFIG", str(tmp_path / "trader.toml"))

    def ask(*argv: str) -> int:
        return run_app(build_app(argv), argv)

    for command in (["status"], ["positions"], ["halt", "--why", "lunch"], ["journal", "check"]):
        assert ask(*command, "--profile", "paper") == 0
    assert ask("status", "--profile", "papr") == ConfigError("CONFIG", "").exit_code
    assert ask("status", "--profile", "paper", "--state-dir", str(tmp_path / "none")) == 2
    monkeypatch.setenv("TRADER_PROFILE", "paper")
    capsys.readouterr()
    assert ask("status") == 0
    assert "HALTED account OPERATOR: lunch (by " in capsys.readouterr().out


def test_file_that_cannot_be_written_is_one_line_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever command it is: exit 8, and the file's name."""
    argv = ["config", "init", str(tmp_path / "none" / "trader.toml")]
    assert run_app(build_app(argv), argv) == 8
    shown = capsys.readouterr().err
    assert "none/trader.toml" in shown
    assert shown.count("\n") == 1
