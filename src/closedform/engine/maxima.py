"""Maxima over windows and their first places, one offset of the window after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from closedform.engine.views import Array, empty_in, memory_order

_FEW = 256  # offsets of a window that are gone through one by one


def _offsets(lengths: Sequence[int]) -> list[Any]:
    """The places of a window in row order, as indices of the last axes."""
    return [(..., *at) for at in product(*map(range, lengths))]


def maximum(terms: Array, axes: int) -> Array:
    """The maximum over the last `axes` axes; NaN where one is NaN."""
    lengths = terms.shape[terms.ndim - axes :]
    if math.prod(lengths) > _FEW:
        return np.asarray(np.maximum.reduce(terms, axis=tuple(range(terms.ndim - axes, terms.ndim))))
    offsets = _offsets(lengths)
    best: Array = terms[offsets[0]]
    if len(offsets) == 1:
        return best.copy("K")
    best = np.asarray(np.maximum(best, terms[offsets[1]]))
    for offset in offsets[2:]:
        np.maximum(best, terms[offset], out=best)
    return best


def first_maximum(terms: Array, axes: int, allowed: Array | None) -> Array:
    """1 at the first maximum in row order of the last `axes` axes, 0 elsewhere; the first NaN is the maximum.

    Where `allowed` is 0 a term takes no part, though it be minus infinity like all others.
    """
    lengths = terms.shape[terms.ndim - axes :]
    outer = terms.ndim - axes
    if math.prod(lengths) > _FEW:
        return _first_of_many(beyond(terms, allowed), outer, allowed)
    best = maximum(terms, axes)
    has_nan = bool(np.isnan(best).any())
    check_allowed = allowed is not None and bool(np.isneginf(best).any())
    order = [*range(outer, terms.ndim), *memory_order(best)]
    result = empty_in(order, terms.shape, terms.dtype)
    open_places = np.ones_like(best, dtype=bool)
    offsets = _offsets(lengths)
    for at in offsets:
        here: Array = np.asarray(terms[at] == best)
        if has_nan:
            here |= np.isnan(terms[at])
        if check_allowed and allowed is not None:
            here &= allowed[at] != 0
        here &= open_places
        result[at] = here
        if at != offsets[-1]:
            open_places ^= here
    return result


def _first_of_many(terms: Array, outer: int, allowed: Array | None) -> Array:
    """The same by one search through each window: NumPy's is the first in row order, and the first NaN."""
    rows = terms.reshape(*terms.shape[:outer], -1)
    at = rows.argmax(axis=-1)[..., None]
    if allowed is not None:  # where every term is minus infinity, the first that takes part
        ties = np.isneginf(np.take_along_axis(rows, at, -1))
        at = np.where(ties, (allowed != 0).reshape(rows.shape).argmax(axis=-1)[..., None], at)
    result = np.zeros(rows.shape, terms.dtype)
    np.put_along_axis(result, at, 1, -1)
    return result.reshape(terms.shape)


def beyond(terms: Array, allowed: Array | None) -> Array:
    """The terms with minus infinity where `allowed` is 0."""
    if allowed is None:
        return terms
    result: Array = np.where(allowed != 0, terms, terms.dtype.type(-math.inf))
    return result
