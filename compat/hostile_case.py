"""One case of the hostile corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opcodes import container


@dataclass(frozen=True)
class Hostile:
    """A file that lies, is broken, or attacks.

    Attributes:
        name: Says what is wrong with it; its first word is its group.
        content: Its bytes, or what makes it where bytes are not enough (a pipe, a folder, a hole of 600 MiB).
        code: The one code of its refusal; None for a control, which must load.
        pickle: The pickle inside, where that is what lies.
        model: It is refused by what it says of the model, not by the reader; loading it as a model must give the code.
    """

    name: str
    content: bytes | Callable[[Path], None]
    code: str | None
    pickle: bytes | None = None
    model: bool = False

    def write(self, path: Path) -> None:
        """Make the file."""
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)


def in_zip(name: str, pickle: bytes, code: str | None) -> Hostile:
    """Return the case of a pickle in a good zip."""
    return Hostile(name, container(pickle), code, pickle)
