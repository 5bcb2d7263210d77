"""Random numbers by fixed arithmetic on PCG64's uniforms, so that a seed means the same on every numpy release."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def uniforms(seed: int, stream: int, rows: int, columns: int) -> Floats:
    """Return float64 (rows, columns) in (0, 1]; more rows of the same stream begin with the same numbers."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))
    return 1.0 - generator.random((rows, columns))


def normals(first: Floats, second: Floats) -> Floats:
    """Return standard normals from two columns of uniforms.

    Source:
        Box, Muller (1958), A note on the generation of random normal deviates.
    """
    return np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)


def student_t5(columns: Floats) -> Floats:
    """Return Student's t with 5 degrees of freedom, scaled to unit variance, from four columns of uniforms.

    A chi-square of 5 is two exponentials and one squared normal; the numerator takes the other half of the same
    Box-Muller pair, which is independent of it.
    """
    radius = np.sqrt(-2.0 * np.log(columns[:, 0]))
    angle = 2.0 * np.pi * columns[:, 1]
    numerator, squared = radius * np.cos(angle), (radius * np.sin(angle)) ** 2
    chi_square = squared - 2.0 * np.log(columns[:, 2]) - 2.0 * np.log(columns[:, 3])
    unit_variance: Floats = numerator / np.sqrt(chi_square / 5.0) * np.sqrt(3.0 / 5.0)
    return unit_variance
