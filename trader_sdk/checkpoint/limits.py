"""What a checkpoint may ask of its reader, in one place."""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024

MAX_FILE_BYTES: Final = 512 * MIB
MAX_ZIP_ENTRIES: Final = 4096
MAX_INFLATED_BYTES: Final = 1024 * MIB
MAX_INFLATION: Final = 100
"""Largest ratio of inflated to stored bytes of one record above 1 MiB."""

MAX_PICKLE_BYTES: Final = 4 * MIB
MAX_OPCODES: Final = 200_000
MAX_VALUES: Final = 200_000
"""Largest number of values after shared references are written out."""

MAX_DEPTH: Final = 32
MAX_TEXT: Final = 4096

MAX_NOTES: Final = 64
"""Longest list of notes about one file."""

MAX_DIMENSIONS: Final = 4
MAX_PARAMETERS: Final = 64_000_000
MAX_HEADER_BYTES: Final = 4 * MIB
MAX_TENSORS: Final = 4096
