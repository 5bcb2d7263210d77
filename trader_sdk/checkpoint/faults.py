"""The three ways in which a checkpoint's bytes are refused."""

from __future__ import annotations

from trader_sdk.contract.errors import CheckpointError


def unreadable(message: str, *, where: str = "", expected: object = None, found: object = None) -> CheckpointError:
    """Return E101: damaged, truncated or of another format."""
    return CheckpointError("E101", message, where=where, expected=expected, found=found)


def unsafe(message: str, *, where: str = "", expected: object = None, found: object = None) -> CheckpointError:
    """Return E102: the file asks for code to be run, or reaches outside itself."""
    return CheckpointError("E102", message, where=where, expected=expected, found=found)


def too_large(message: str, *, where: str = "", expected: object = None, found: object = None) -> CheckpointError:
    """Return E107: the file asks for more than a checkpoint needs."""
    return CheckpointError("E107", message, where=where, expected=expected, found=found)
