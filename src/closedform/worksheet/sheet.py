"""What a worksheet's file holds, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.solution import Solution, Values
from closedform.worksheet.axes import Axes, Channels
from closedform.worksheet.claims import Claim
from closedform.worksheet.symbols import Part, Symbols

Array = NDArray[Any]


@dataclass(frozen=True)
class Worksheet:
    """A network, its numbers, and what a sheet states of it.

    Attributes
    ----------
    title
        What it is called; the file's name where it does not say.
    architecture
        The network.
    solution
        Its quantities under the sheet's names.
    given
        The numbers of the sheet by quantity, in the formulas' shapes: of dtype object, holding fractions,
        where they are exact.  Where there is no loss and the output is one number, the gradient of 1.
    claims
        What the sheet states, in order.
    first_index
        From which number the sheet counts entries.
    channels
        ``first`` where the sheet writes images as channels × rows × columns, ``last`` for rows × columns ×
        channels.
    parts
        Names of parts of quantities.
    wrt
        The quantities in which gradients are wanted; None for all.
    layer
        The layer that is to be explained; None for all.
    about
        What the sheet says at its head.
    index_note
        What is said of the number from which entries are counted, where the file leaves that open and the
        claims show it.
    """

    title: str
    architecture: Architecture
    solution: Solution
    given: Mapping[str, Array] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    first_index: int = 1
    channels: Channels = "first"
    parts: Mapping[str, Part] = field(default_factory=dict)
    wrt: tuple[str, ...] | None = None
    layer: str | None = None
    about: str = ""
    index_note: str = ""

    @property
    def learning_rate(self) -> Fraction | float | None:
        """What gradient descent multiplies the gradients by; None where it stays a symbol."""
        return self.solution.learning_rate

    @property
    def batch(self) -> int:
        """How many examples there are."""
        return self.solution.batch

    @cached_property
    def symbols(self) -> Symbols:
        """What the sheet's symbols stand for."""
        return Symbols(self.solution, self.first_index, self.channels, self.parts)

    @cached_property
    def values(self) -> Values:
        """The values that follow from the sheet's numbers."""
        return Values(self.solution, self.given)

    def axes(self, quantity: str) -> Axes:
        """The axes of a quantity as the sheet writes them."""
        return self.symbols.axes(quantity)
