"""Planted keys and passwords: in no error, no cause of one, no output and no log."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.governance import recall
from trader_sdk.archive.location import locate
from trader_sdk.archive.named import named_archives
from trader_sdk.archive.store.faults import brief
from trader_sdk.contract.errors import SdkError

PASSWORD = "planted-password-0003"


def secrets_of(shop: Any) -> list[str]:
    key, secret = shop.bucket.server.keys["writer"]
    return [key, secret, PASSWORD]


def everything_said(error: BaseException) -> str:
    """Return an error with its evidence, its causes and their causes."""
    facts = repr(error.to_dict()) if isinstance(error, SdkError) else ""
    return facts + repr(error) + "".join(traceback.format_exception(error))


def test_no_secret_is_in_an_error_or_its_causes(
    open_shop: Callable[..., Any], s3_wire: Any, database_wire: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """Store away, database away, both refusing, wrong settings: every error whole, with what caused it."""
    caplog.set_level(logging.DEBUG)
    shop = open_shop("s3+postgres")
    shop.archive(0)
    away = shop.database.url(host=f"127.0.0.1:{database_wire.port}")
    shop.config.write_text(shop.config.read_text().replace(shop.database.url(), away))
    said = []
    acts: list[Callable[[], object]] = [
        lambda: load_approved(shop.name, "AAPL"),
        lambda: recall(shop.name, ["x"], why="y"),
        lambda: shop.archive(1),
    ]
    for cable in (database_wire, s3_wire):
        cable.cut()
        for act in acts:
            with pytest.raises(SdkError) as caught:
                act()
            said.append(everything_said(caught.value))
    for setting in (f"index = 'mysql://u:{PASSWORD}@h/d'", f"index = 'postgresql://u:{PASSWORD}@/x?host=/nowhere'"):
        shop.config.write_text(f"[archive.desk]\nstore = '{shop.bucket.url}'\n{setting}\n")
        with pytest.raises(SdkError) as caught:
            load_approved(shop.name, "AAPL")
        said.append(everything_said(caught.value))
    shop.config.write_text(
        f"[archive.desk]\nstore = 5\nindex = 'postgresql://u:{PASSWORD}@h/d'\npassword = '{PASSWORD}'\n"
    )
    with pytest.raises(SdkError) as caught:
        locate(shop.name)
    said.append(everything_said(caught.value))
    out, err = capfd.readouterr()
    text = "\n".join([*said, out, err, caplog.text])
    assert len(said) == 9
    assert not [secret for secret in secrets_of(shop) if secret in text]


@pytest.mark.parametrize("command", [["verify"], ["recall", "x", "--why", "y"]])
def test_no_secret_is_in_what_a_command_says(command: list[str], open_shop: Callable[..., Any]) -> None:
    """On a terminal's streams, as JSON, with a password in the configuration; also where it fails."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    for broken in ({}, {"AWS_SECRET_ACCESS_KEY": "planted-wrong-secret-0009"}):
        done = subprocess.run(
            [sys.executable, "-m", "trader_sdk.cli", "archive", *command, "--archive", "desk", "--json", "1"],
            env={**os.environ, **broken},
            capture_output=True,
            text=True,
            timeout=120,
        )
        text = done.stdout + done.stderr
        assert text
        assert not [secret for secret in [*secrets_of(shop), "planted-wrong-secret-0009"] if secret in text]


def test_no_secret_is_in_the_value_of_the_settings(open_shop: Callable[..., Any]) -> None:
    """A place or a setting that is printed shows where it is, not how to get in."""
    shop = open_shop("s3+postgres")
    place = locate(shop.name)
    text = f"{place!r} {place} {place.where} {named_archives()!r}"
    assert "s3://" in text
    assert not [secret for secret in secrets_of(shop) if secret in text]


def test_longer_secrets_are_taken_out_before_the_shorter_ones_within() -> None:
    """Nothing of the longer one stays."""
    assert brief(ValueError("abc abcdef"), ["abc", "abcdef", ""]) == "ValueError: *** ***"
