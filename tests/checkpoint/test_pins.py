"""Pins: what people assert, read strictly."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trader_sdk.checkpoint.pins import read_pins
from trader_sdk.contract.errors import ConfigError, SdkError

DIGEST = "ab" * 32


def _read(tmp_path: Path, text: str) -> object:
    (tmp_path / "pins.toml").write_text(text)
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
        "pin = 1\n",
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
