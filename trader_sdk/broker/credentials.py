"""API keys that cannot be printed, and the one place that reads them from an environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from trader_sdk.contract.errors import ConfigError

KEY_NAMES: Final = (
    ("ALPACA_API_KEY", "ALPACA_SECRET_KEY"),
    ("ALPACA_API_KEY", "ALPACA_API_SECRET"),
    ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"),
)
"""Pairs of variables that hold a key and its secret; the first is the documented one."""

REDACTED: Final = "***"
SHORTEST_REDACTED: Final = 4
"""A shorter key is no secret, and cutting it out would make every text unreadable."""


class Secret:
    """A text that shows as ``***`` everywhere but in :meth:`reveal`.

    Example:
        >>> secret = Secret("hunter2")
        >>> print(secret, [secret], f"{secret}")
        *** [***] ***
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; only for the call that sends it."""
        return self._text

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key and its secret; neither is ever shown."""

    key_id: Secret
    secret_key: Secret

    @classmethod
    def of(cls, key_id: str, secret_key: str) -> Credentials:
        """Return credentials of two plain texts.

        Raises:
            ConfigError: One is empty or cannot stand in an HTTP header; the message does not show it.
        """
        for name, text in (("key", key_id), ("secret", secret_key)):
            if not text or not text.isascii() or not text.isprintable() or " " in text:
                raise ConfigError("CONFIG", f"the API {name} is not a line of printable characters", where=name)
        return cls(Secret(key_id), Secret(secret_key))

    def redact(self, text: str) -> str:
        """Return ``text`` without the key and the secret, should a reply have echoed them."""
        for secret in (self.secret_key, self.key_id):
            if len(secret.reveal()) >= SHORTEST_REDACTED:
                text = text.replace(secret.reveal(), REDACTED)
        return text


def credentials_from_env(environ: Mapping[str, str]) -> Credentials | None:
    """Return the keys that ``environ`` holds, None if it holds none.

    Args:
        environ: Variables by name; empty values count as unset.

    Raises:
        ConfigError: Half a set is there, or two sets differ. No value is in the message.

    Example:
        >>> credentials_from_env({}) is None
        True
        >>> credentials_from_env({"APCA_API_KEY_ID": "k", "APCA_API_SECRET_KEY": "s"})
        Credentials(key_id=***, secret_key=***)
    """
    given = {name: environ.get(name, "").strip() for pair in KEY_NAMES for name in pair}
    present = {name for name, value in given.items() if value}
    complete = [pair for pair in KEY_NAMES if set(pair) <= present]
    orphans = sorted(present - {name for pair in complete for name in pair})
    if orphans:
        raise ConfigError(
            "CONFIG",
            "half a set of API keys is in the environment",
            where=", ".join(orphans),
            expected=_pairs(KEY_NAMES),
            found=", ".join(sorted(present)),
            remedy="Set the other half, or unset this one.",
        )
    sets = {(given[key], given[secret]) for key, secret in complete}
    if len(sets) > 1:
        raise ConfigError(
            "CONFIG",
            "the environment holds two different sets of API keys",
            where=_pairs(complete),
            remedy="Unset all but one set.",
        )
    return Credentials.of(*sets.pop()) if sets else None


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return " or ".join(f"{key} + {secret}" for key, secret in pairs)
