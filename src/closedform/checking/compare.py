"""When two arrays count as the same.

Whole numbers and fractions are compared exactly (to 1e-12 of the largest magnitude where they are worked
out in float64), float64 to 1e-6 of the largest magnitude that is expected, float32 to 1e-4.  With
``digits`` an entry is right that is the expected one rounded to that many decimals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EXACT, DOUBLE, SINGLE = 1e-12, 1e-6, 1e-4
MOST_DIGITS = 15
_SIGNIFICANT = 4


@dataclass(frozen=True)
class Tolerance:
    """How far a given entry may be from the expected one.

    Attributes
    ----------
    relative
        A share of the largest magnitude that is expected.
    digits
        Decimals to which the entries were rounded; None where they were not.
    """

    relative: float = EXACT
    digits: int | None = None

    def agrees(self, given: Array, expected: Array, filled: Array | None = None) -> npt.NDArray[np.bool_]:
        """For each entry whether it is right; what is not filled in counts as right."""
        finite = np.abs(expected[np.isfinite(expected)])
        scale = float(finite.max()) if finite.size else 0.0
        if scale == 0.0:
            scale = 1.0
        room = self.relative * scale
        if self.digits is not None:
            room = max(0.5 * 10.0**-self.digits * (1 + 1e-9), EXACT * scale)
        with np.errstate(invalid="ignore"):
            close = np.abs(given - expected) <= room
        close |= given == expected
        close |= np.isnan(given) & np.isnan(expected)
        if filled is not None:
            close |= ~filled
        return np.asarray(close, bool)


def is_digits(digits: object) -> bool:
    """Whether this is a number of decimals."""
    return isinstance(digits, int) and not isinstance(digits, bool) and 0 <= digits <= MOST_DIGITS


def few_digits(entries: Iterable[tuple[str, float, float, bool]]) -> str:
    """What is said where entries differ only because they have few digits; empty where they do not.

    Parameters
    ----------
    entries
        Of each entry that is a decimal: how it is written, its value, what is right, and whether it differs.
    """
    agreeing, is_any = MOST_DIGITS, False
    for written, given, right, differs in entries:
        is_any |= differs
        if not (math.isfinite(given) and math.isfinite(right)):
            return ""
        decimals = re.search(r"\.(\d+)$", written)
        off = abs(given - right)
        near = [0.5 * 10.0 ** -len(decimals[1])] if decimals else []
        if right:
            near.append(0.5 * 10.0 ** (math.floor(math.log10(abs(right))) + 1 - _SIGNIFICANT))
        if differs and off > max(near, default=0.0) * (1 + 1e-9):
            return ""
        if off:
            agreeing = min(agreeing, math.floor(-math.log10(2 * off) + 1e-9))
    if not is_any:
        return ""
    if agreeing < 1:
        return f"Right when rounded to {_SIGNIFICANT} digits: write more digits."
    return (
        f"Right when rounded to {agreeing} {'decimal' if agreeing == 1 else 'decimals'}: "
        f"give digits = {agreeing}, or write more digits."
    )
