"""Who acts on an archive: a database role or an access key where there is one, the login otherwise."""

from __future__ import annotations

import getpass
import os

from trader_sdk.contract.audit import Who
from trader_sdk.contract.errors import UsageError


def login_name() -> str:
    """Return the login; the number of the user where the system has no name for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def known_as(known: Who, claimed: str | None) -> Who:
    """Return who acts where the archive itself knows it; another name is refused, never written down.

    Raises:
        UsageError: Somebody claims to be another.

    Example:
        >>> known_as(Who(kind="database", name="desk_writer"), None).name
        'desk_writer'
    """
    if claimed is not None and claimed != known.name:
        raise UsageError(
            "USAGE",
            f"this archive knows who acts by the {known.kind}",
            where="who",
            expected=known.name,
            found=claimed,
            remedy="Leave the name out, or connect with that person's own role or key.",
        )
    return known
