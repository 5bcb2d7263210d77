"""Keys from an environment: every combination of variables, and no way to print them."""

from __future__ import annotations

import itertools
import pickle

import pytest

from trader_sdk.broker.credentials import KEY_NAMES, Credentials, Secret, credentials_from_env
from trader_sdk.contract.errors import ConfigError

NAMES = sorted({name for pair in KEY_NAMES for name in pair})
VALUES = ("", "first-0451", "other-0451")


def every_environment() -> list[dict[str, str]]:
    """Return each way in which the five variables may be unset, or hold one of two values."""
    return [
        {name: value for name, value in zip(NAMES, values, strict=True) if value}
        for values in itertools.product(VALUES, repeat=len(NAMES))
    ]


def test_credentials_agree_with_every_variable_when_they_are_accepted():
    """Over all 243 environments: whatever is accepted leaves no variable unused and no pair contradicted."""
    accepted = 0
    for environ in every_environment():
        try:
            credentials = credentials_from_env(environ)
        except ConfigError:
            continue
        accepted += 1
        if credentials is None:
            assert environ == {}
            continue
        used = [pair for pair in KEY_NAMES if set(pair) <= set(environ)]
        assert {name for pair in used for name in pair} == set(environ)
        for key, secret in used:
            assert credentials == Credentials.of(environ[key], environ[secret])
    assert accepted == 1 + 4 * 3 + 4 + 4 * 3  # none; one set; ALPACA's two spellings alike; those with APCA alike


def test_credentials_errors_name_variables_and_no_value_when_refused():
    """Over all refused environments the message helps and does not leak."""
    for environ in every_environment():
        try:
            credentials_from_env(environ)
        except ConfigError as error:
            text = f"{error} {error.to_dict()}"
            assert "0451" not in text
            assert any(name in text for name in environ)


def test_credentials_are_none_when_values_are_blank():
    """An env file with empty lines for keys is an environment without keys."""
    assert credentials_from_env({"ALPACA_API_KEY": " ", "ALPACA_SECRET_KEY": ""}) is None


@pytest.mark.parametrize("bad", ["", "two words", "line\nbreak", "naïve"])
def test_credentials_are_refused_when_a_header_could_not_carry_them(bad):
    """A key that would break a header is refused before it is sent, and not shown."""
    with pytest.raises(ConfigError) as caught:
        Credentials.of("PK123456", bad)
    assert not bad or bad not in str(caught.value)


def test_secret_cannot_be_shown_or_serialised_when_handled():
    """Formatting gives stars, and pickling refuses."""
    credentials = Credentials.of("PK123456", "hunter22")
    assert f"{credentials} {credentials!r} {credentials.secret_key}".count("***") == 5
    with pytest.raises(TypeError):
        pickle.dumps(credentials)
    assert {Secret("a")} == {Secret("a")}
    assert Secret("a") != "a"
