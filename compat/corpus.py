"""The hostile corpus: hostile, broken and lying checkpoints, each with the one code it must be refused with.

Nothing here is stored: the corpus is made when it is asked for. The only effect that any payload would have, were it
run, is to create the marker file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import hostile_files
import hostile_layouts
import hostile_models
import hostile_pickles
import hostile_tensors
import hostile_zips
from hostile_case import Hostile


def corpus(marker: Path) -> Iterator[Hostile]:
    """Yield every case; payloads would touch ``marker``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the duplicate names that are wanted here
        yield from hostile_pickles.payloads(marker)
        yield from hostile_pickles.pickles()
        yield from hostile_pickles.bombs()
        yield from hostile_zips.zips()
        yield from hostile_tensors.tensors()
        yield from hostile_tensors.schemas()
        yield from hostile_tensors.look_alikes()
        yield from hostile_layouts.old_layout(marker)
        yield from hostile_layouts.safetensors()
        yield from hostile_files.files()
        yield from hostile_models.models()
        yield from controls()


def controls() -> Iterator[Hostile]:
    """Yield what must load, so that each refusal is for its own fault."""
    yield from hostile_layouts.controls()
    yield from hostile_models.controls()
