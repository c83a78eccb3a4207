"""Cutting a gradient that is too long, the same for both engines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_BLOCK = 1 << 14


def cut(gradients: Array, norm: float) -> None:
    """Shorten the gradient of all parameters together to a length, in place, where it is longer."""
    # NumPy's own sums: those of a BLAS have other bits with another number of threads
    squares = 0.0
    for start in range(0, len(gradients), _BLOCK):
        block = gradients[start : start + _BLOCK].astype(np.float64)
        squares += float((block * block).sum())
    length = math.sqrt(squares)
    if norm < length < math.inf:
        gradients *= np.float32(norm / length)
