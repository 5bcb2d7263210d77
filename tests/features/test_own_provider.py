"""The provider of the guide: complete, accepted by every check, and refused where it cheats."""

import importlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import ERROR_TABLE
from trader_sdk.features import FeatureProvider, ObservationBuilder, load_provider

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "features.md"


def block(name: str) -> str:
    """Return a marked block of the guide."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.fixture
def as_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return what makes some code importable as `mine`."""

    def write(code: str) -> None:
        (tmp_path / "mine.py").write_text(code, "utf-8")
        importlib.invalidate_caches()
        sys.modules.pop("mine", None)

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    sys.modules.pop("mine", None)


def check(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Run the guide's command and return its exit code, each check's result, and the verdict."""
    argv = (*shlex.split(block("check-command"))[1:], "--json", "1")
    code = run_app(build_app(argv), argv)
    table, verdict = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    return code, {row["check"]: row["result"] for row in table["rows"]}, verdict


def test_the_guides_provider_passes_the_guides_command(
    as_module: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader who copies both gets exit 0 and six checks that held."""
    as_module(block("own-provider"))
    code, results, verdict = check(capsys)
    assert (code, set(results.values()), len(results)) == (0, {"ok"}, 6)
    assert verdict["passed"] is True


@pytest.mark.parametrize(
    ("honest", "cheating", "caught"),
    [
        ("np.diff(np.log(closes))", "(np.diff(np.log(closes)) - np.diff(np.log(closes)).mean())", "no look-ahead"),
        ("np.diff(np.log(closes))", "np.log(closes / closes[0])[1:]", "finite memory"),
        ("np.log(closes)", "np.log(closes - closes)", "finite"),
        ("np.array(self._closes)", "np.array(self._closes[::-1])", "history equals streaming"),
        (".astype(np.float32)", "", "shape"),
        ('"mine53@1",', "f\"mine53@{__import__('os').getpid()}\",", "stable hash"),
    ],
)
def test_the_command_catches_each_way_of_cheating(
    as_module: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    honest: str,
    cheating: str,
    caught: str,
) -> None:
    """The check that is meant for it fails, and so does the command; a hash of this process alone is one too."""
    code = block("own-provider")
    assert honest in code
    as_module(code.replace(honest, cheating))
    with np.errstate(all="ignore"):
        exit_code, results, verdict = check(capsys)
    assert verdict["passed"] is False
    assert exit_code == ERROR_TABLE["E309"].exit_code
    assert results[caught] == "FAILED"


def test_the_guides_provider_takes_corrected_bars_through_the_builder(
    as_module: Callable[[str], None], daily: Bars
) -> None:
    """It has no `revise`; the builder makes it anew."""
    as_module(block("own-provider"))
    make = load_provider("mine:Provider")
    builder = ObservationBuilder(make(), make)
    assert isinstance(builder.provider, FeatureProvider)
    builder.extend(daily.slice(0, 150))
    bar = daily.at(120)._replace(close=daily.low[120])
    builder.revise(bar)
    expected = make()
    for index in range(150):
        expected.push(bar if index == 120 else daily.at(index))
    assert builder.observe().tobytes() == expected.observe().tobytes()
