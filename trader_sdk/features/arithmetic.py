"""The functions that formulas are written in, once for arrays and once for single numbers, equal to the last bit.

numpy's own calls cost ten times a plain float's on a single number, so the newest bar of one symbol is computed in
Python floats. Adding, dividing and taking roots give the same bits there. Logarithms, sines and cosines need not, so
both forms ask numpy.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np

# A history or many symbols give arrays, the newest bar of one symbol floats; every formula is written for both.
Value: TypeAlias = Any


class Arithmetic(Protocol):
    """Functions of arrays, elementwise, or of single numbers. What is not a number stays so."""

    def log(self, value: Value) -> Value:
        """Return the natural logarithm."""

    def root(self, value: Value) -> Value:
        """Return the square root."""

    def sine(self, value: Value) -> Value:
        """Return the sine."""

    def cosine(self, value: Value) -> Value:
        """Return the cosine."""

    def larger(self, value: Value, other: Value) -> Value:
        """Return the larger of both."""

    def smaller(self, value: Value, other: Value) -> Value:
        """Return the smaller of both."""

    def where(self, condition: Value, value: Value, other: Value) -> Value:
        """Return ``value`` where the condition holds, else ``other``."""


class ArrayArithmetic:
    """Arithmetic of arrays."""

    def log(self, value: Value) -> Value:
        """Return the natural logarithm."""
        return np.log(value)

    def root(self, value: Value) -> Value:
        """Return the square root."""
        return np.sqrt(value)

    def sine(self, value: Value) -> Value:
        """Return the sine."""
        return np.sin(value)

    def cosine(self, value: Value) -> Value:
        """Return the cosine."""
        return np.cos(value)

    def larger(self, value: Value, other: Value) -> Value:
        """Return the larger of both."""
        return np.maximum(value, other)

    def smaller(self, value: Value, other: Value) -> Value:
        """Return the smaller of both."""
        return np.minimum(value, other)

    def where(self, condition: Value, value: Value, other: Value) -> Value:
        """Return ``value`` where the condition holds, else ``other``."""
        return np.where(condition, value, other)


class FloatArithmetic:
    """Arithmetic of single numbers, which are Python floats."""

    def log(self, value: float) -> float:
        """Return the natural logarithm."""
        return float(np.log(value))

    def root(self, value: float) -> float:
        """Return the square root."""
        return math.sqrt(value)

    def sine(self, value: float) -> float:
        """Return the sine."""
        return _sine(value)

    def cosine(self, value: float) -> float:
        """Return the cosine."""
        return _cosine(value)

    def larger(self, value: float, other: float) -> float:
        """Return the larger of both."""
        # As numpy: a ``value`` that is not a number is kept, and of two zeros the second.
        return other if other >= value else value

    def smaller(self, value: float, other: float) -> float:
        """Return the smaller of both."""
        return other if other <= value else value

    def where(self, condition: bool, value: float, other: float) -> float:
        """Return ``value`` where the condition holds, else ``other``."""
        return value if condition else other


# The calendar's angles are few: the bars of a session, the days of a week and of a year.
@lru_cache(maxsize=4_096)
def _sine(angle: float) -> float:
    return float(np.sin(angle))


@lru_cache(maxsize=4_096)
def _cosine(angle: float) -> float:
    return float(np.cos(angle))
