"""Holds the digest of every released row of the registry; rows may be added and never edited.

``python compat/lock.py`` checks; ``python compat/lock.py --add`` appends the digests of new rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.spec import read_matrix

LOCK = Path(__file__).parent / "matrix.lock"


def row_digests(matrix: Mapping[str, Any]) -> dict[str, str]:
    """Return ``"<kind> <name>"`` to digest for every action table, model row and trader row."""
    return {
        f"{kind} {name}": sha256_of([kind, name, row])
        for kind in ("actions", "model", "trader")
        for name, row in matrix[kind].items()
    }


def locked(text: str) -> dict[str, str]:
    """Return the digests that a lock file holds."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {key: digest for key, _, digest in (line.rpartition(" ") for line in lines)}


def faults(digests: Mapping[str, str], lock: Mapping[str, str]) -> list[str]:
    """Return one line for each released row that was edited or removed, and each row that is not locked yet."""
    changed = [f"{key}: a released row was edited or removed" for key in lock if digests.get(key) != lock[key]]
    return changed + [f"{key}: not locked yet, run compat/lock.py --add" for key in digests if key not in lock]


def main() -> int:
    """Check the lock, or append what is new."""
    digests, lock = row_digests(read_matrix()), locked(LOCK.read_text("utf-8"))
    edited = [fault for fault in faults(digests, lock) if fault.partition(":")[0] in lock]
    if "--add" in sys.argv[1:] and not edited:
        with LOCK.open("a", encoding="utf-8") as target:
            target.writelines(f"{key} {digests[key]}\n" for key in digests if key not in lock)
        return 0
    found = faults(digests, lock)
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    return 4 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
