"""``trader compat check`` with goldens, a fleet, URLs and every rendering at once."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper
from trader_sdk.ci.probe import knuth32
from trader_sdk.cli.compat_check import check as check_command

GoldenPath = Callable[[str], Path]


def report_in(path: Path) -> dict[str, Any]:
    (found,) = (event for event in json.loads(path.read_text("utf-8")) if event["event"] == "checks_reported")
    return dict(found)


@pytest.fixture
def goldens(desk: Path, trader: Any) -> Path:
    """Return a manifest that lists the desk's two models."""
    for version in ("2.7.0", "2.4.0"):
        assert (
            trader("compat", "golden", "add", desk / "models" / f"{version}.pt", "--goldens", desk / "goldens.toml")
            == 0
        )
    return desk / "goldens.toml"


def test_all_renderings_tell_the_same(
    desk: Path, trader: Any, golden: GoldenPath, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One list: table, JSON, JUnit, SARIF, annotations and step summary agree on what failed."""
    (desk / "models" / "old.pt").write_bytes(golden("legacy/no-activation").read_bytes())
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(desk))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(desk / "summary.md"))
    (desk / "summary.md").write_text("what an earlier step said\n")
    files = ("--json-file", "r.json", "--junit", "out/j.xml", "--sarif", "out/s.json")
    assert trader("compat", "check", "models", "--strict-version", 1, *files) == 4
    shown = capsys.readouterr().out
    assert "3 checks in strict mode: 2 passed, 1 failed" in shown
    assert "::error file=models/old.pt,title=models/old.pt::W310" in shown
    report = report_in(desk / "r.json")
    assert [(check["name"], check["code"]) for check in report["checks"]] == [
        ("models/2.4.0.pt", None), ("models/2.7.0.pt", None), ("models/old.pt", "W310"),
    ]  # fmt: skip
    cases = ElementTree.parse(desk / "out" / "j.xml").iter("testcase")  # noqa: S314 - our own document
    assert {case.attrib["name"]: case.find("failure") is not None for case in cases} == {
        check["name"]: check["outcome"] == "failed" for check in report["checks"]
    }
    (run,) = json.loads((desk / "out" / "s.json").read_text("utf-8"))["runs"]
    errors = [result for result in run["results"] if result["level"] == "error"]
    assert [result["ruleId"] for result in errors] == ["W310"]
    assert errors[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "models/old.pt"
    summary = (desk / "summary.md").read_text("utf-8")
    assert summary.startswith("what an earlier step said\n")
    assert "| **failed** | model\\: models/old.pt |" in summary


def test_report_is_the_same_in_two_runs(desk: Path, trader: Any) -> None:
    """Stable order and no durations: only the time of the run differs."""
    documents = []
    for name in ("a.json", "b.json"):
        trader("compat", "check", "models", "--json-file", name)
        report = report_in(desk / name)
        documents.append({key: value for key, value in report.items() if key not in ("at", "run_id", "checked_at")})
    assert documents[0] == documents[1]


def test_json_lines_stay_json_beside_annotations(
    desk: Path, trader: Any, golden: GoldenPath, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json 1 annotations go to standard error, which the runner reads too."""
    assert trader("compat", "check", golden("legacy/swapped-actions"), "--github", 1, "--json", 1) == 4
    shown = capsys.readouterr()
    assert all(json.loads(line)["event"] for line in shown.out.splitlines())
    assert shown.err.startswith("::error ")


def test_annotations_are_off_outside_github(
    desk: Path, trader: Any, golden: GoldenPath, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing asks for them, so nothing shows them."""
    assert trader("compat", "check", golden("legacy/swapped-actions")) == 4
    assert "::error" not in capsys.readouterr().out


def test_golden_that_still_decides_the_same_passes(desk: Path, goldens: Path, trader: Any) -> None:
    """Digest, version, decisions and logits of the day it was listed."""
    assert trader("compat", "check", "--goldens", goldens, "--strict-version", 1, "--json-file", "r.json") == 0
    names = [(check["suite"], check["name"], check["line"]) for check in report_in(desk / "r.json")["checks"]]
    lines = [number for number, line in enumerate(goldens.read_text().splitlines(), 1) if line == "[[golden]]"]
    assert names == [("golden", "2.7.0", lines[0]), ("golden", "2.4.0", lines[1])]


@pytest.mark.parametrize(
    ("old", "new", "code", "exit_code"),
    [
        ('"BUY_75%"', '"SELL_75%"', "E308", 4),
        ("-2.861", "-2.862", "E308", 4),
        ('version = "2.7.0"', 'version = "2.6.0"', "E301", 4),
        ("sha256:33", "sha256:34", "E103", 3),
        ('path = "models/2.7.0.pt"', 'path = "models/2.4.0.pt"', "E103", 3),
        ('path = "models/2.7.0.pt"', 'path = "models/absent.pt"', "E101", 3),
    ],
)
def test_golden_that_changed_fails(
    desk: Path, goldens: Path, trader: Any, old: str, new: str, code: str, exit_code: int
) -> None:
    """Another decision, logit, version or file: its own code, on the manifest's line."""
    text = goldens.read_text("utf-8")
    assert old in text
    goldens.write_text(text.replace(old, new, 1), "utf-8")
    assert trader("compat", "check", "--goldens", goldens, "--json-file", "r.json") == exit_code
    first, second = report_in(desk / "r.json")["checks"]
    assert (first["outcome"], first["code"], first["line"], first["file"]) == ("failed", code, 4, "goldens.toml")
    assert second["outcome"] == "passed"


def test_annotation_of_a_golden_names_the_manifests_line(
    desk: Path, goldens: Path, trader: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reviewer sees the failure where the model is listed."""
    goldens.write_text(goldens.read_text("utf-8").replace('"BUY_75%"', '"HOLD"', 1), "utf-8")
    assert trader("compat", "check", "--goldens", goldens, "--github", 1) == 4
    assert "::error file=goldens.toml,line=4,title=2.7.0::E308" in capsys.readouterr().out


def test_goldens_by_url_are_cached_by_digest(desk: Path, trader: Any, web: Any, tmp_path: Path) -> None:
    """Fetched once; the second run needs no server."""
    web.files["/m/a.pt"] = (desk / "models" / "2.7.0.pt").read_bytes()
    arguments = ("--goldens", "goldens.toml", "--cache", tmp_path / "held")
    assert trader("compat", "golden", "add", f"{web.url}/m/a.pt?token=secret", *arguments) == 0
    assert trader("compat", "check", *arguments) == 0
    assert web.asked == ["/m/a.pt?token=secret"]
    assert trader("compat", "check", "--goldens", "goldens.toml", "--cache", tmp_path / "other") == 0
    assert len(web.asked) == 2


def test_unreachable_golden_fails_unless_allowed_and_shown(
    desk: Path, goldens: Path, trader: Any, web: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 3; with --allow-missing 1 it is a warning in every rendering."""
    goldens.write_text(goldens.read_text().replace('path = "models/2.7.0.pt"', f'url = "{web.url}/gone.pt"'))
    assert trader("compat", "check", "--goldens", goldens) == 3
    files = ("--json-file", "r.json", "--junit", "j.xml")
    assert trader("compat", "check", "--goldens", goldens, "--allow-missing", 1, "--github", 1, *files) == 0
    shown = capsys.readouterr().out
    assert "1 passed, 0 failed, 1 missing and allowed to be" in shown
    assert "::warning file=goldens.toml,line=4,title=2.7.0::E101" in shown
    assert report_in(desk / "r.json")["missing"] == 1
    (suite,) = ElementTree.parse(desk / "j.xml").getroot()  # noqa: S314 - our own document
    assert (suite.attrib["skipped"], suite.attrib["failures"]) == ("1", "0")


def test_allowing_all_goldens_to_be_missing_checks_nothing(desk: Path, goldens: Path, trader: Any) -> None:
    """Nothing checked stays exit 3, whatever was allowed."""
    for file in (desk / "models").iterdir():
        file.unlink()
    assert trader("compat", "check", "--goldens", goldens, "--allow-missing", 1) == 3


def test_named_model_is_never_allowed_to_be_missing(desk: Path, trader: Any) -> None:
    """--allow-missing speaks of listed goldens only."""
    assert trader("compat", "check", "models", "absent.pt", "--allow-missing", 1) == 3


def test_hostile_golden_runs_nothing(desk: Path, goldens: Path, trader: Any, web: Any) -> None:
    """A pickle bomb at the listed address is other bytes (E103) and is never opened."""

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (desk / "marker",))

    web.files["/a.pt"] = pickle.dumps(Bomb())
    goldens.write_text(goldens.read_text().replace('path = "models/2.7.0.pt"', f'url = "{web.url}/a.pt"'))
    assert trader("compat", "check", "--goldens", goldens, "--allow-missing", 1, "--json-file", "r.json") == 3
    assert report_in(desk / "r.json")["checks"][0]["code"] == "E103"
    assert trader("compat", "check", f"{web.url}/a.pt") == 3
    assert not (desk / "marker").exists()


def test_url_with_a_digest_is_verified(desk: Path, trader: Any, web: Any) -> None:
    """A model named by URL may carry its digest, as packages do."""
    content = (desk / "models" / "2.7.0.pt").read_bytes()
    web.files["/a.pt"] = content
    import hashlib

    good = hashlib.sha256(content).hexdigest()
    assert trader("compat", "check", f"{web.url}/a.pt#sha256={good}", "--json-file", "r.json") == 0
    assert report_in(desk / "r.json")["checks"][0]["name"] == f"{web.url}/a.pt"
    assert trader("compat", "check", f"{web.url}/a.pt#sha256={'0' * 64}") == 3
    assert trader("compat", "check", f"{web.url}/a.pt#sha256=short") == 3


@pytest.mark.parametrize("arguments", [(), ("--fleet", "fleet.toml")])
def test_nothing_named_is_a_usage_error(desk: Path, trader: Any, arguments: tuple[str, ...]) -> None:
    """A command that was not told what to check says so."""
    assert trader("compat", "check", *arguments) == 2


@pytest.mark.parametrize("option", ["--goldens", "--fleet", "--pins", "--recalls"])
def test_malformed_manifest_stops_before_anything_is_written(desk: Path, trader: Any, option: str) -> None:
    """A configuration error is exit 2, and no report pretends that something ran."""
    (desk / "bad.toml").write_bytes(b"\xff")
    assert trader("compat", "check", "models", option, "bad.toml", "--junit", "j.xml", "--json-file", "r.json") == 2
    assert not (desk / "j.xml").exists()
    assert not (desk / "r.json").exists()


def test_report_that_cannot_be_written_is_a_storage_error(desk: Path, trader: Any) -> None:
    """A full or foreign disk is exit 8, never a green check without a report."""
    (desk / "blocked").write_text("")
    assert trader("compat", "check", "models", "--junit", "blocked/j.xml") == 8
    assert trader("compat", "check", "models", "--sarif", "models") == 8


FLEET = """
[[trader]]
name = "east"
version = "2.7.0"

[[trader]]
name = "west"
version = "2.4.0"

[[trader]]
name = "bare"
version = "2.7.0"
capabilities = ["execution/delta@1"]

[[trader]]
name = "picky"
version = "2.7.0"
providers = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
"""


def test_fleet_is_a_matrix_of_models_and_traders(desk: Path, trader: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Version, capabilities and feature schemas of each deployed trader decide on each model."""
    (desk / "fleet.toml").write_text(FLEET)
    assert trader("compat", "check", "models", "--fleet", "fleet.toml", "--json-file", "r.json", "--github", 1) == 4
    cells = {
        (check["subject"][7:12], check["against"].split()[0]): (check["code"], check["line"])
        for check in report_in(desk / "r.json")["checks"]
        if check["suite"] == "fleet"
    }
    assert cells == {
        ("2.4.0", "east"): (None, 2), ("2.4.0", "west"): (None, 6), ("2.4.0", "bare"): ("E307", 10),
        ("2.4.0", "picky"): ("E309", 15), ("2.7.0", "east"): (None, 2), ("2.7.0", "west"): ("E307", 6),
        ("2.7.0", "bare"): ("E307", 10), ("2.7.0", "picky"): ("E309", 15),
    }  # fmt: skip
    shown = capsys.readouterr().out
    assert "Models on deployed traders" in shown
    assert "::error file=fleet.toml,line=6," in shown


def test_model_that_proves_its_features_runs_where_they_are_built(desk: Path, trader: Any, tmp_path: Path) -> None:
    """A stamped feature schema opens exactly the traders that list its digest."""
    stamped = ("--features", "trader_sdk.features:Ohlcv53Provider", "--out", "stamped", "--activation", "tanh")
    assert trader("compat", "stamp", "models/2.7.0.pt", *stamped) == 0
    digest = NativeModelWrapper("stamped/2.7.0.pt").metadata["feature_schema_sha256"]
    (desk / "fleet.toml").write_text(f'[[trader]]\nname = "a"\nversion = "2.7.0"\nproviders = ["{digest}"]\n')
    assert trader("compat", "check", "stamped", "--fleet", "fleet.toml") == 0
    assert trader("compat", "check", "models/2.7.0.pt", "--fleet", "fleet.toml") == 4


def test_trader_that_builds_no_features_runs_nothing(desk: Path, trader: Any) -> None:
    """An empty list of providers is a statement; only a list left out is not checked."""
    (desk / "fleet.toml").write_text('[[trader]]\nname = "a"\nversion = "2.7.0"\nproviders = []\n')
    assert trader("compat", "check", "models", "--fleet", "fleet.toml") == 4


def test_unreadable_model_fails_on_every_trader(desk: Path, trader: Any) -> None:
    """A broken file has a row of the matrix too."""
    (desk / "fleet.toml").write_text(FLEET)
    (desk / "broken.pt").write_text("<!doctype html>")
    assert trader("compat", "check", "broken.pt", "--fleet", "fleet.toml", "--json-file", "r.json") == 3
    assert [check["code"] for check in report_in(desk / "r.json")["checks"]] == ["E101"] * 5


def test_recalled_model_is_refused(desk: Path, trader: Any, golden: GoldenPath) -> None:
    """A recalls file reaches the model's own check and the fleet's."""
    (desk / "fleet.toml").write_text('[[trader]]\nname = "a"\nversion = "2.7.0"\n')
    (desk / "recalls.toml").write_text('[[recall]]\nversion = "2.7.0"\nwho = "desk"\nwhy = "drill"\n')
    arguments = ("--recalls", "recalls.toml", "--fleet", "fleet.toml", "--json-file", "r.json")
    assert trader("compat", "check", "models/2.7.0.pt", *arguments) == 4
    assert [check["code"] for check in report_in(desk / "r.json")["checks"]] == ["E505", "E505"]


def test_golden_is_added_once(desk: Path, goldens: Path, trader: Any, golden: GoldenPath) -> None:
    """A listed name or file is refused, and the manifest stays byte for byte."""
    before = goldens.read_bytes()
    assert trader("compat", "golden", "add", "models/2.7.0.pt", "--name", "again") == 2
    assert trader("compat", "golden", "add", golden("2.3.0"), "--name", "2.7.0") == 2
    assert goldens.read_bytes() == before


@pytest.mark.parametrize("content", [b"\xff", b"[[golden]]\n", b"x = 1\n", b'text = """\n'])
def test_golden_is_not_added_to_a_broken_manifest(desk: Path, trader: Any, content: bytes) -> None:
    """What cannot be read is not appended to."""
    (desk / "goldens.toml").write_bytes(content)
    assert trader("compat", "golden", "add", "models/2.7.0.pt") == 2
    assert (desk / "goldens.toml").read_bytes() == content
    assert [file.name for file in desk.iterdir() if file.name.endswith(".tmp")] == []


def test_golden_keeps_comments_and_survives_odd_names(desk: Path, trader: Any) -> None:
    """The manifest stays a person's file, whatever a model is called."""
    (desk / "goldens.toml").write_text("# ours", "utf-8")
    name = 'a "b" \\ ü \x7f \t'
    assert trader("compat", "golden", "add", "models/2.7.0.pt", "--name", name) == 0
    assert (desk / "goldens.toml").read_text("utf-8").startswith("# ours\n\n[[golden]]\n")
    assert trader("compat", "check", "--goldens", "goldens.toml") == 0


def test_refused_model_is_not_added(desk: Path, trader: Any, golden: GoldenPath) -> None:
    """A golden is a model that loads."""
    assert trader("compat", "golden", "add", golden("legacy/weights-nan")) == 3
    assert not (desk / "goldens.toml").exists()


def test_golden_decides_on_the_desks_own_observations(desk: Path, trader: Any) -> None:
    """What the author's own code recorded: refused if it is not reproduced, and another recording fails the check."""
    model = NativeModelWrapper("models/2.7.0.pt")

    def record(rows: np.ndarray, shift: float = 0.0) -> None:
        logits = np.array([decision.logits for decision in model.decide(rows)], np.float32)
        np.savez(desk / "probe.npz", observations=rows, logits=logits + np.float32(shift))

    rows = knuth32(3, 5900)
    record(rows, shift=1.0)
    assert trader("compat", "golden", "add", "models/2.7.0.pt", "--probe", "probe.npz") == 4
    assert not (desk / "goldens.toml").exists()
    record(rows)
    assert trader("compat", "golden", "add", "models/2.7.0.pt", "--probe", "probe.npz") == 0
    assert 'probe = { file = "probe.npz" }' in (desk / "goldens.toml").read_text("utf-8")
    assert trader("compat", "check", "--goldens", "goldens.toml") == 0
    record(-rows)
    assert trader("compat", "check", "--goldens", "goldens.toml") == 4
    (desk / "probe.npz").write_bytes(b"no probe")
    assert trader("compat", "check", "--goldens", "goldens.toml") == 4


def test_check_imports_neither_torch_nor_a_broker(desk: Path, goldens: Path) -> None:
    """The whole check runs on a runner that has none of them."""
    code = (
        "import sys\nfrom trader_sdk.cli import build_app, run_app\n"
        "argv = sys.argv[1:]\ncode = run_app(build_app(argv), argv)\n"
        "heavy = [name for name in ('torch', 'alpaca', 'pandas', 'scipy', 'sqlalchemy') if name in sys.modules]\n"
        "raise SystemExit(f'{code} {heavy}')"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "compat",
        "check",
        "models",
        "--goldens",
        "goldens.toml",
        "--sarif",
        "s.json",
    ]
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == "0 []"


def test_check_command_has_the_options_of_the_documentation() -> None:
    """Every option is explained on the how-to page."""
    import inspect as python_inspect

    page = (Path(__file__).parents[2] / "docs" / "howto" / "ci.md").read_text("utf-8")
    options = [f"--{name.replace('_', '-')}" for name in python_inspect.signature(check_command).parameters][1:]
    assert [option for option in options if f"`{option}" not in page and f" {option} " not in page] == []
