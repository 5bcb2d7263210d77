"""Whether a version lies in a range, as `packaging` says; plain ranges of plain releases are told without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trader_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

_OPERATORS: Final = (">=", "<=", "==", "<", ">")
_Release = tuple[int, ...]


def admits(specifier: str, version: str, where: str) -> bool:
    """Return whether ``version`` satisfies ``specifier``; pre-releases count like any other version.

    Args:
        specifier: As PEP 440 writes it: ``>=2.3.0,<2.8.0``. Empty admits everything.
        version: As PEP 440 writes it.
        where: Named in the error.

    Raises:
        ContractError: E301 if the text is no specifier.

    Example:
        >>> admits(">=2.3.0,<2.8.0", "2.7.0", "matrix"), admits("~=2.3", "3.0.0", "matrix")
        (True, False)
    """
    plain = _admits_plainly(specifier, version)
    return read_specifier(specifier, where).contains(version, prereleases=True) if plain is None else plain


def read_specifier(text: str, where: str) -> SpecifierSet:
    """Return a version specifier set.

    Raises:
        ContractError: E301 if the text is none.
    """
    # Imported here: with it come subprocess and logging, and hardly a file needs more than a plain range.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ContractError("E301", "not a version specifier", where=where, found=f"{text!r:.60}") from error


def _admits_plainly(specifier: str, version: str) -> bool | None:
    # Between releases X.Y.Z every operator below compares numbers; None where packaging has to say.
    ours = _numbers(version)
    clauses = [_clause(text) for text in specifier.split(",") if text]
    if ours is None:
        return None
    answers = [None if bound is None else _holds(operator, ours, bound) for operator, bound in clauses]
    return None if None in answers else all(answers)


def _clause(text: str) -> tuple[str, _Release | None]:
    operator = next((operator for operator in _OPERATORS if text.startswith(operator)), "")
    return operator, _numbers(text.removeprefix(operator)) if operator else None


def _numbers(version: str) -> _Release | None:
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 7 for part in parts):
        return None
    return tuple(map(int, parts))


def _holds(operator: str, ours: _Release, bound: _Release) -> bool:
    if ours == bound:
        return "=" in operator
    return operator[0] == ("<" if ours < bound else ">")
