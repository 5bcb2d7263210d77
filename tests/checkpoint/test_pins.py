"""Pins and recalls: what people assert, read strictly."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trader_sdk.checkpoint.pins import read_pins, read_recalls
from trader_sdk.contract.compatibility import Mode, Pin, Recall
from trader_sdk.contract.errors import CompatibilityError, ConfigError, SdkError
from trader_sdk.loading import LoadOptions
from trader_sdk.model import load_quietly

DIGEST = "ab" * 32


def _read(tmp_path: Path, text: str) -> tuple[Pin, ...]:
    (tmp_path / "pins.toml").write_text(text, "utf-8")
    return read_pins(tmp_path / "pins.toml")


def test_pin_is_read_with_every_field(tmp_path: Path) -> None:
    """Dates become aware times, digests and versions their normal form."""
    (pin,) = _read(
        tmp_path,
        f'[[pin]]\nsha256 = "{DIGEST.upper()}"\nversion = "v2.6"\nactivation = "relu"\nwho = "ann"\nwhy = "hers"\n'
        "until = 2027-01-01\n",
    )
    assert (pin.sha256, pin.version, pin.activation) == (f"sha256:{DIGEST}", "2.6.0", "relu")
    assert pin.until == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "[[pin]]\n",
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\nwhy = "b"\ncolour = "red"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = 1\nwhy = "b"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\nwhy = "b"\nactivation = "swish"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\nwhy = "b"\nuntil = "soon"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\nwhy = "b"\nuntil = 2027-01-01T00:00:00\n',
        '[[pin]]\nsha256 = "short"\nwho = "a"\nwhy = "b"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\nwhy = "b"\nversion = 2.6\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "a"\nwhy = "b"\n',
        f'[[pin]]\nsha256 = "{DIGEST}"\nwho = " "\nwhy = "b"\nactivation = "relu"\n',
        "pin = 1\n",
        "pin = [1]\n",
        "a = " + "[" * 5000,
        "#" * (1024 * 1024 + 1),
        "[other]\n",
        "nonsense",
    ],
)
def test_malformed_pins_are_refused(tmp_path: Path, text: str) -> None:
    """A pin that is not understood is never skipped."""
    with pytest.raises(ConfigError):
        _read(tmp_path, text)


def test_absent_pins_are_refused(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SdkError):
        read_pins(tmp_path / "absent.toml")


def test_every_fault_of_the_pins_is_reported_at_once(tmp_path: Path) -> None:
    """A person corrects the file once, not fault by fault."""
    with pytest.raises(ConfigError) as caught:
        _read(
            tmp_path, 'stray = 1\n[[pin]]\nwho = 1\ncolour = "red"\n[[pin]]\nsha256 = "short"\nwho = "a"\nwhy = "b"\n'
        )
    places = [finding.where.removeprefix(str(tmp_path / "pins.toml")) for finding in caught.value.findings]
    assert places == ["", " pin 1", " pin 1", " pin 1", " pin 1 who", " pin 2 sha256"]
    assert "short" in str(caught.value)


def test_pins_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """What holds must not depend on the order of two tables; saying the same twice is harmless."""
    pin = f'[[pin]]\nsha256 = "{DIGEST}"\nwho = "ann"\nwhy = "hers"\nactivation = '
    assert len(_read(tmp_path, f'{pin}"relu"\n{pin}"relu"\n')) == 2
    with pytest.raises(ConfigError, match="pin 2 activation"):
        _read(tmp_path, f'{pin}"relu"\n{pin}"tanh"\n')


def test_names_are_kept_in_any_script(tmp_path: Path) -> None:
    """Who and why are people's words: composed one way, and without control characters."""
    pin = f'[[pin]]\nsha256 = "{DIGEST}"\nactivation = "relu"\nwhy = "老模型"\nwho = '
    (read,) = _read(tmp_path, f'{pin}"Ame\u0301lie"\n')
    assert (read.who, read.why) == ("Amélie", "老模型")
    with pytest.raises(ConfigError):
        _read(tmp_path, f'{pin}"a\\u001b[31m"\n')


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of POSIX")
def test_a_pipe_under_the_name_of_the_pins_does_not_hang(tmp_path: Path) -> None:
    """A file that blocks its reader is refused like one that is absent."""
    os.mkfifo(tmp_path / "pins.toml")
    with pytest.raises(ConfigError, match="no regular file"):
        read_pins(tmp_path / "pins.toml")


def test_recalls_name_files_and_versions(tmp_path: Path) -> None:
    """A recall needs who, why and something that is recalled."""
    path = tmp_path / "recalls.toml"
    path.write_text(
        f'[[recall]]\nsha256 = "{DIGEST}"\nwho = "ann"\nwhy = "NaN"\n'
        '[[recall]]\nversion = "v2.5"\nwho = "ann"\nwhy = "w"\n'
    )
    assert read_recalls(path) == (
        Recall(sha256=f"sha256:{DIGEST}", who="ann", why="NaN"),
        Recall(version="2.5.0", who="ann", why="w"),
    )
    path.write_text("")
    assert read_recalls(path) == ()


@pytest.mark.parametrize(
    "table",
    [
        'who = "a"\nwhy = "b"\n',
        'version = "2.5.0"\nwhy = "b"\n',
        'version = "2.5.0"\nwho = "a"\n',
        'version = "2.5.0"\nwho = "a"\nwhy = "b"\nuntil = 2027-01-01\n',
        'version = "newest"\nwho = "a"\nwhy = "b"\n',
    ],
)
def test_malformed_recalls_are_refused(tmp_path: Path, table: str) -> None:
    """A recall that is not understood would let the file run."""
    (tmp_path / "recalls.toml").write_text(f"[[recall]]\n{table}")
    with pytest.raises(ConfigError):
        read_recalls(tmp_path / "recalls.toml")


def test_recalled_file_does_not_load(tmp_path: Path, golden: Callable[[str], Path]) -> None:
    """From the file to the refusal: E505 with who and why, in warn mode too."""
    model = load_quietly(golden("2.7.0"), LoadOptions())
    assert model.report.loads(Mode.STRICT)
    path = tmp_path / "recalls.toml"
    path.write_text(f'[[recall]]\nsha256 = "{model.sha256}"\nwho = "ann"\nwhy = "trained on a leak"\n')
    with pytest.raises(CompatibilityError, match="E505") as caught:
        load_quietly(golden("2.7.0"), LoadOptions(recalls=read_recalls(path)))
    assert "ann: trained on a leak" in str(caught.value)
