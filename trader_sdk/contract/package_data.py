"""The data files that lie beside this module."""

from __future__ import annotations

import os


def package_text(name: str) -> str:
    """Return the text of a data file of this package.

    Args:
        name: A file beside this module.
    """
    # Without pathlib: importing it takes longer than reading every table, and a trader starts often.
    path = os.path.join(os.path.dirname(__file__), name)  # noqa: PTH118, PTH120 - as said above
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as said above
        return file.read()
