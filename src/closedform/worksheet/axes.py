"""How a sheet writes an array: without axes of one entry, and with the channels where the sheet has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closedform.formula.extents import Shape
from closedform.solution import Quantity, Solution

Array = NDArray[Any]
Channels = Literal["first", "last"]
Place = tuple[int, ...]

_IMAGE_ROLES = ("input", "value", "target", "probabilities")


@dataclass(frozen=True)
class Axes:
    """The axes of one quantity as the sheet writes them.

    Attributes
    ----------
    shape
        The shape in the formulas.
    order
        The formula's axes in the sheet's order.
    """

    shape: Shape
    order: tuple[int, ...]

    @classmethod
    def of(cls, quantity: Quantity, solution: Solution, channels: Channels = "first") -> Axes:
        """The axes of a quantity; only images have their channels last where the sheet says so."""
        rank = len(quantity.shape)
        last = channels == "last" and rank > 2 and is_image(quantity, solution)
        return cls(quantity.shape, (0, *range(2, rank), 1) if last else tuple(range(rank)))

    @property
    def written(self) -> tuple[int, ...]:
        """The axes that the sheet writes: those of more than one entry, in its order."""
        return tuple(axis for axis in self.order if self.shape[axis] != 1)

    @property
    def written_shape(self) -> Shape:
        """The shape that the sheet writes."""
        return tuple(self.shape[axis] for axis in self.written)

    def to_sheet(self, array: Array) -> Array:
        """An array of the formula's shape as the sheet writes it."""
        return array.transpose(self.order).reshape(self.written_shape)

    def to_formula(self, array: Array) -> Array | None:
        """An array that the sheet writes in the formula's shape; None where it does not fit."""
        ordered = tuple(self.shape[axis] for axis in self.order)
        if tuple(n for n in array.shape if n != 1) != self.written_shape or array.size != math.prod(ordered):
            return None
        return array.reshape(ordered).transpose(np.argsort(self.order))

    def place(self, written: Sequence[int]) -> Place:
        """The entry in the formula's array that the sheet calls by these numbers, from 0."""
        found = [0] * len(self.shape)
        for axis, number in zip(self.written, written, strict=True):
            found[axis] = number
        return tuple(found)

    @property
    def size(self) -> Shape:
        """The shape as a size is told, in the sheet's order and with axes of one entry."""
        return tuple(self.shape[axis] for axis in self.order)


def is_image(quantity: Quantity, solution: Solution) -> bool:
    """Whether the first axis counts examples, and the second channels."""
    if quantity.role in ("gradient", "given") and quantity.name[1:] in solution:
        return solution[quantity.name[1:]].role in _IMAGE_ROLES
    return quantity.role in _IMAGE_ROLES or quantity.role == "given"
