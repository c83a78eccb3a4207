"""Sums of very many terms, of which only those that are shown are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from closedform.formula.tree import Access, Expression

T = TypeVar("T")
Line = tuple[int, tuple[tuple[str, int], ...]]  # an affine subscript: the constant, and each index's step


def digits(number: int, extents: Sequence[int]) -> tuple[int, ...]:
    """The place of the entry with this number, counted from 0 in row order."""
    found = []
    for extent in reversed(extents):
        number, digit = divmod(number, extent)
        found.append(digit)
    return tuple(reversed(found))


@dataclass(frozen=True)
class Block:
    """The summands of one sum that read nothing outside: one for each choice of its indices from ranges.

    Attributes
    ----------
    body
        One summand.
    names
        The indices that are fixed.
    ranges
        The values of those that are summed.
    reads
        What a summand reads, and the lines of the subscripts.
    """

    body: Expression
    names: Mapping[str, int]
    ranges: Mapping[str, range]
    reads: Mapping[Access, tuple[Line, ...]]

    @property
    def count(self) -> int:
        """How many summands there are."""
        return math.prod(map(len, self.ranges.values()))

    def at(self, number: int) -> dict[str, int]:
        """The values of all indices in a summand."""
        places = digits(number, [len(values) for values in self.ranges.values()])
        chosen = zip(self.ranges.items(), places, strict=True)
        return {**self.names, **{index: values[place] for (index, values), place in chosen}}

    def of(self, access: Access) -> Block:
        """What one access reads, each of its entries once."""
        used = {index for _, steps in self.reads[access] for index, _ in steps}
        ranges = {index: values for index, values in self.ranges.items() if index in used}
        return Block(access, self.names, ranges, {access: self.reads[access]})

    def meets(self, access: Access, position: Sequence[int]) -> bool:
        """Whether some summand reads the entry."""
        chosen: dict[str, int] = {}
        for at, (constant, steps) in zip(position, self.reads[access], strict=True):
            rest = at - constant - sum(step * self.names[i] for i, step in steps if i not in self.ranges)
            free = [(index, step) for index, step in steps if index in self.ranges]
            if len(free) > 1:
                return False
            if not free:
                if rest:
                    return False
                continue
            ((index, step),) = free
            value, odd = divmod(rest, step)
            if odd or value not in self.ranges[index] or chosen.setdefault(index, value) != value:
                return False
        return True


def block_of(
    body: Expression,
    names: Mapping[str, int],
    extents: Mapping[str, int],
    reads: Mapping[Access, tuple[Line, ...]],
    shapes: Mapping[str, Sequence[int]],
) -> Block | None:
    """The summands that read nothing outside; None where they do not make a block."""
    ranges = {index: range(extent) for index, extent in extents.items()}
    for access, lines in reads.items():
        for (constant, steps), length in zip(lines, shapes[access.tensor], strict=True):
            fixed = constant + sum(step * names[index] for index, step in steps if index not in ranges)
            free = [(index, step) for index, step in steps if index in ranges]
            if len(free) == 1:
                ((index, step),) = free
                least, most = sorted((-fixed * step, (length - 1 - fixed) * step))
                square = step * step
                inside = range(-(-least // square), most // square + 1)
                old = ranges[index]
                ranges[index] = range(max(old.start, inside.start), min(old.stop, inside.stop))
            elif not free and not 0 <= fixed < length:
                return Block(body, names, {**ranges, "": range(0)}, reads)
            elif free:
                ends = [step * (extents[index] - 1) for index, step in free]
                if (
                    fixed + sum(e for e in ends if e < 0) < 0
                    or fixed + sum(e for e in ends if e > 0) >= length
                ):
                    return None
    return Block(body, names, ranges, reads)


class Many(Sequence[T]):
    """The items of several blocks one after the other, each made when it is asked for."""

    def __init__(self, parts: Sequence[tuple[int, Callable[[int], T]]]):
        self._parts = [part for part in parts if part[0]]

    def __len__(self) -> int:
        return sum(count for count, _ in self._parts)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: Any) -> Any:
        """One item, or several."""
        if isinstance(at, slice):
            return [self[k] for k in range(*at.indices(len(self)))]
        number = at + len(self) if at < 0 else at
        for count, item in self._parts:
            if 0 <= number < count:
                return item(number)
            number -= count
        raise IndexError(at)
