"""What can go wrong between hosts, typed; a message never holds a secret."""

from __future__ import annotations

from collections.abc import Collection

from trader_sdk.contract.errors import ArchiveError

_MAX_FOUND = 300
_SHORTEST_SECRET = 3
_REFUSED_REMEDY = (
    "Nothing is lost: check the keys or the role in use and what they may do; reading needs read access only."
)


class UnreachableError(ArchiveError):
    """The store or the database does not answer; nothing was lost."""

    def __init__(self, what: str, *, where: str, found: object = None, remedy: str | None = None) -> None:
        super().__init__("E610", what, where=where, found=found, remedy=remedy)


class RefusedError(UnreachableError):
    """The store or the database answers, and refuses: no reason to trust what was seen before."""

    def __init__(self, what: str, *, where: str, found: object = None, remedy: str | None = None) -> None:
        super().__init__(what, where=where, found=found, remedy=remedy or _REFUSED_REMEDY)


class OverwritesError(ArchiveError):
    """The store gives one name to two writers, so that nobody could tell who won."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            "E611",
            "this store does not refuse a name that is taken",
            where=where,
            expected="create-once: If-None-Match is honoured",
            found=found,
        )


def no_such_name(where: str, name: str) -> ArchiveError:
    """Return the error of a name that nothing lies under."""
    return ArchiveError("E602", "the file is not in the archive", where=f"{where}/{name}", found="nothing")


def brief(error: BaseException, secrets: Collection[str] = ()) -> str:
    """Return the first line of another library's message, with every secret taken out.

    Example:
        >>> brief(ValueError("key hunter2 is unknown\\nmore"), ["hunter2"])
        'ValueError: key *** is unknown'
    """
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return redacted(f"{type(error).__name__}: {first}", secrets)[:_MAX_FOUND]


def redacted(text: str, secrets: Collection[str]) -> str:
    """Return ``text`` with every secret replaced by ``***``, longest first; what is shorter is no secret to anybody."""
    for secret in sorted((one for one in secrets if len(one) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
