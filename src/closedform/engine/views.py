"""Slots of stride tables as NumPy views: one axis for each loop that moves the slot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from closedform.formula.table import Buffer, Slot

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class View:
    """How a slot is seen.

    Attributes
    ----------
    labels
        The loops that move it, by position in the table: the axes of the view.
    shape
        Their extents.
    index
        The view by slices alone, where every axis is moved by one loop at most.
    start, steps
        Elsewhere the first entry, and for each label the entries moved along each axis.
    reuse
        How often an entry is read on average.
    is_windowed
        Whether an axis is moved by several loops.
    """

    labels: tuple[int, ...]
    shape: tuple[int, ...]
    index: tuple[Any, ...] | None
    start: tuple[slice, ...]
    steps: tuple[tuple[int, ...], ...]
    reuse: float
    is_windowed: bool

    def __call__(self, array: Array) -> Array:
        """The view of an array; it can be written to where the array can."""
        if self.index is not None:
            view: Array = array[self.index]
            return view
        strides = [
            sum(step * stride for step, stride in zip(row, array.strides, strict=True)) for row in self.steps
        ]
        return as_strided(array[self.start], self.shape, strides)

    def along(self, array: Array, loops: Sequence[int]) -> Array:
        """The view with its axes in the order of `loops`, of length 1 where a loop does not move it."""
        return spread(self(array), self.labels, loops)


def view_of(slot: Slot, extents: Sequence[int]) -> View:
    """How a slot is seen by a table with these extents."""
    loops = [k for k, extent in enumerate(extents) if extent > 1 and any(row[k] for row in slot.steps)]
    movers = [[k for k in loops if row[k]] for row in slot.steps]
    moved = [k for axis in movers for k in axis]
    touched = math.prod(1 + sum(abs(row[k]) * (extents[k] - 1) for k in loops) for row in slot.steps)
    reuse = math.prod(extents[k] for k in loops) / max(1, touched)
    start = tuple(slice(at, at + 1) for at in slot.start)
    if all(len(axis) <= 1 for axis in movers) and len(moved) == len(set(moved)):
        index = [
            _slice(at, row[axis[0]], extents[axis[0]]) if axis else at
            for at, row, axis in zip(slot.start, slot.steps, movers, strict=True)
        ]
        # with the ellipsis a single entry is seen as an array too
        return View(tuple(moved), tuple(extents[k] for k in moved), (*index, ...), start, (), reuse, False)
    steps = tuple(tuple(row[k] for row in slot.steps) for k in loops)
    is_windowed = any(len(axis) > 1 for axis in movers)
    return View(tuple(loops), tuple(extents[k] for k in loops), None, start, steps, reuse, is_windowed)


def _slice(start: int, step: int, extent: int) -> slice:
    stop = start + step * (extent - 1) + (1 if step > 0 else -1)
    return slice(start, stop if stop >= 0 else None, step)


def spread(array: Array, labels: Sequence[int], loops: Sequence[int]) -> Array:
    """An array with axes `labels` as one with axes `loops`, of length 1 where there is no such label."""
    if tuple(labels) == tuple(loops):
        return array
    order = [labels.index(loop) for loop in loops if loop in labels]
    array = array.transpose(order)
    if len(order) == len(loops):
        return array
    return array[tuple(slice(None) if loop in labels else None for loop in loops)]


def memory_order(array: Array) -> tuple[int, ...]:
    """The axes as they lie in memory, slowest first."""
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def empty_in(order: Sequence[int], shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """A new array of the shape whose axes lie in memory in this order."""
    lying = np.empty([shape[axis] for axis in order], dtype)
    return lying.transpose(np.argsort(order))


def in_order(array: Array, order: Sequence[int]) -> Array:
    """The array, or a copy of it, with its axes in memory in this order."""
    strides = [array.strides[axis] for axis in order if array.shape[axis] > 1]
    if all(a >= b > 0 for a, b in itertools.pairwise(strides)):
        return array
    result = empty_in(order, array.shape, array.dtype)
    result[...] = array
    return result


def with_border(array: Array, buffer: Buffer, order: Sequence[int]) -> Array:
    """A copy with the buffer's border around it, its axes in memory in this order."""
    result = empty_in(order, buffer.dimensions, array.dtype)
    inside: list[slice] = []
    for axis, (before, length) in enumerate(zip(buffer.before, buffer.shape, strict=True)):
        inside.append(slice(before, before + length))
        around = [slice(None)] * axis
        rest = [
            slice(b, b + n) for b, n in zip(buffer.before[axis + 1 :], buffer.shape[axis + 1 :], strict=True)
        ]
        # each strip of the border once: axes before this one whole, axes after it inside only
        if before:
            result[(*around, slice(0, before), *rest)] = buffer.fill
        if buffer.after[axis]:
            result[(*around, slice(before + length, None), *rest)] = buffer.fill
    result[tuple(inside)] = array
    return result
