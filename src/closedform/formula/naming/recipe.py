"""Products of tensors as recipes for plain NumPy: insert zeros, rotate, pad or crop, slide, multiply, add.

A recipe knows nothing of formulas; `closedform.formula.naming.affine` makes one of an equation.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from closedform.errors import ShapeError

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Axis:
    """How one axis of a tensor is prepared, in this order, and by which indices it is then walked.

    Attributes
    ----------
    repeat
        How often each entry stands, one after the other.
    insert
        Zeros put between neighbours.
    rotate
        Whether the axis is reversed.
    pad
        Zeros put before and after; a negative number of entries is cut off.
    walk
        Indices and their steps: an entry stands at the sum of index times step.  Two indices are a sliding
        window.
    """

    walk: tuple[tuple[str, int], ...]
    repeat: int = 1
    insert: int = 0
    rotate: bool = False
    pad: tuple[int, int] = (0, 0)

    @property
    def is_plain(self) -> bool:
        """Whether the axis is read as it is, by one index."""
        return self == Axis(self.walk) and len(self.walk) == 1 and self.walk[0][1] == 1

    def prepared(self, array: Array, place: int) -> Array:
        """The array with its axis `place` repeated, filled with zeros, reversed, padded and cropped."""
        before = (slice(None),) * place
        if self.repeat > 1:
            array = np.repeat(array, self.repeat, place)
        if self.insert:
            shape = list(array.shape)
            shape[place] += self.insert * (shape[place] - 1)
            inserted = np.zeros(shape, array.dtype)
            inserted[(*before, slice(None, None, self.insert + 1))] = array
            array = inserted
        if self.rotate:
            array = np.flip(array, place)
        if self.pad != (0, 0):
            widths = [(0, 0)] * array.ndim
            widths[place] = (max(0, self.pad[0]), max(0, self.pad[1]))
            array = np.pad(array, widths)
            first, last = max(0, -self.pad[0]), array.shape[place] + min(0, self.pad[1])
            array = array[(*before, slice(first, last))]
        return array


@dataclass(frozen=True)
class Operand:
    """One tensor of a product.

    Attributes
    ----------
    tensor
        Its name.
    split
        The extents into which each of its axes is split, ``((2,), (3, 4, 4))`` for rows of 48 that are read
        as images.
    merge
        Which of these stand together as one axis, ``((0,), (1, 3), (2, 4))`` to lay windows side by side.
    axes
        What is then done with each axis.
    """

    tensor: str
    split: tuple[tuple[int, ...], ...]
    merge: tuple[tuple[int, ...], ...]
    axes: tuple[Axis, ...]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor must have."""
        return tuple(map(math.prod, self.split))

    @cached_property
    def indices(self) -> tuple[str, ...]:
        """The indices that walk it, in order of the axes."""
        return tuple(index for axis in self.axes for index, _ in axis.walk)

    @property
    def insert(self) -> tuple[int, ...]:
        """Zeros between neighbours, by axis."""
        return tuple(axis.insert for axis in self.axes)

    @property
    def pad(self) -> tuple[tuple[int, int], ...]:
        """Zeros before and after, by axis; negative where entries are cut off."""
        return tuple(axis.pad for axis in self.axes)

    @property
    def rotate(self) -> tuple[bool, ...]:
        """Which axes are reversed."""
        return tuple(axis.rotate for axis in self.axes)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """How many entries each axis has before it is prepared."""
        extents = [extent for axis in self.split for extent in axis]
        return tuple(math.prod(extents[place] for place in group) for group in self.merge)

    @property
    def is_plain(self) -> bool:
        """Whether it is read as it is, each axis by an index of its own."""
        alone = len(set(self.indices)) == len(self.indices)
        return alone and all(len(group) == 1 for group in self.merge) and all(a.is_plain for a in self.axes)

    def prepared(self, array: Array) -> Array:
        """The array split, merged, and every axis prepared."""
        extents = [extent for axis in self.split for extent in axis]
        order = [place for group in self.merge for place in group]
        array = array.reshape(extents).transpose(order).reshape(self.lengths)
        for place, axis in enumerate(self.axes):
            array = axis.prepared(array, place)
        return array

    def read(self, array: Array, extents: Mapping[str, int]) -> Array:
        """The prepared array with one axis for each of `indices`."""
        array = self.prepared(array)
        for place in reversed(range(len(self.axes))):
            array = _walked(array, place, self.axes[place].walk, extents)
        return array


@dataclass(frozen=True)
class Recipe:
    """A number times a sum of products of prepared tensors.

    Attributes
    ----------
    factor
        The number.
    operands
        The tensors.
    sum_over
        The indices of the sum.
    backwards
        Those of them that run backwards through the formula; this is what rotates an operand.
    result
        The indices of each axis of the result; several are laid out in row order.  What no operand reads is
        copied.
    rotate
        Indices of the result that are reversed at the end.
    extents
        How many values each index takes.
    """

    factor: Fraction
    operands: tuple[Operand, ...]
    sum_over: tuple[str, ...]
    backwards: tuple[str, ...]
    result: tuple[tuple[str, ...], ...]
    rotate: tuple[str, ...]
    extents: Mapping[str, int] = field(hash=False)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        return tuple(math.prod(self.extents[index] for index in axis) for axis in self.result)

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The indices of the result."""
        return tuple(index for axis in self.result for index in axis)

    @cached_property
    def copied(self) -> tuple[str, ...]:
        """The indices of the result along which nothing changes."""
        return tuple(i for i in self.free if not any(i in operand.indices for operand in self.operands))

    def execute(self, arrays: Mapping[str, Array]) -> Array:
        """The result, by plain NumPy.

        Parameters
        ----------
        arrays
            Each operand's tensor by name.  Fractions stay exact.

        Raises
        ------
        ShapeError
            Where an array is missing or has another shape than the recipe was made for.
        """
        letters = dict(zip([*self.free, *self.sum_over], string.ascii_letters, strict=False))
        reads, names = [], []
        for operand in self.operands:
            if operand.tensor not in arrays:
                raise ShapeError(f"{operand.tensor}: expects an array of shape {operand.shape}, got none")
            array = np.asarray(arrays[operand.tensor])
            if array.shape != operand.shape:
                raise ShapeError(f"{operand.tensor}: expects shape {operand.shape}, got {array.shape}")
            reads.append(operand.read(array, self.extents))
            names.append("".join(letters[index] for index in operand.indices))
        present = [index for index in self.free if index not in self.copied]
        out = "".join(letters[index] for index in present)
        result: Array = np.einsum(f"{','.join(names)}->{out}", *reads, optimize=True)
        for index in self.rotate:
            result = np.flip(result, present.index(index))
        if self.factor != 1:
            result = result * (self.factor if result.dtype == object else float(self.factor))
        aligned = result.reshape([1 if index in self.copied else self.extents[index] for index in self.free])
        copies = np.broadcast_to(aligned, [self.extents[index] for index in self.free])
        return np.array(copies).reshape(self.shape)


def _walked(array: Array, place: int, walk: Sequence[tuple[str, int]], extents: Mapping[str, int]) -> Array:
    """The array with the axis `place` replaced by one axis for each index of `walk`."""
    if not walk:
        return array.squeeze(place)
    for number, (_, step) in enumerate(walk):
        here = (slice(None),) * (place + number)
        every = (*here, slice(None, None, step))
        later = walk[number + 1 :]
        if not later:
            return array[every]
        window = sum(other * (extents[index] - 1) for index, other in later) + 1
        windows = sliding_window_view(array, window, axis=place + number)
        array = np.moveaxis(windows[every], -1, place + number + 1)
    return array
