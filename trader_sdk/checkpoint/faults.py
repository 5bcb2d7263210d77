"""The three ways in which a checkpoint's bytes are refused."""

from __future__ import annotations

from trader_sdk.contract.errors import CheckpointError


def unreadable(
    message: str, *, where: str = "", expected: object = None, found: object = None, remedy: str | None = None
) -> CheckpointError:
    """Return E101: damaged, truncated or of another format."""
    return CheckpointError("E101", message, where=where, expected=expected, found=found, remedy=remedy)


def unsafe(message: str, *, where: str = "", expected: object = None, found: object = None) -> CheckpointError:
    """Return E102: the file asks for code to be run, or reaches outside itself."""
    return CheckpointError("E102", message, where=where, expected=expected, found=found)


def too_large(message: str, *, where: str = "", expected: object = None, found: object = None) -> CheckpointError:
    """Return E107: the file asks for more than a checkpoint needs."""
    return CheckpointError("E107", message, where=where, expected=expected, found=found)


def brief(value: object) -> str:
    """Return a value from a file for a message: scalars shortened, everything else by its type alone.

    A list that holds another twice, thirty times over, is small in memory and endless in text.
    """
    if isinstance(value, str | bytes):
        return repr(value[:40])
    if isinstance(value, tuple) and len(value) <= 8 and all(type(item) in (int, bool, float) for item in value):
        return repr(value)[:120]
    return repr(value)[:40] if isinstance(value, int | float | None) else f"a {type(value).__name__}"
