"""Reading tensors: subscripts to strided views, and the places at which nothing is read."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from closedform.errors import SettingError, ShapeError
from closedform.formula.evaluate.labelled import Array, Labelled, masked
from closedform.formula.extents import Shape, Sizes
from closedform.formula.notation import text
from closedform.formula.subscripts import Floor, Modulo, Polynomial, linear_form
from closedform.formula.tree import Access, Equation, Reduce

_MUCH_LARGER = 4  # entries of a padded copy for each one read, from which entries are gathered instead


@dataclass(frozen=True)
class _Line:
    """An affine subscript: ``(start + Σ steps[index]·index) / divisor``, all whole numbers."""

    steps: Mapping[str, int]
    start: int
    divisor: int
    low: int  # the least and the greatest numerator
    high: int

    def stays_inside(self, length: int) -> bool:
        return self.divisor == 1 and self.low >= 0 and self.high < length


def check_arrays(equation: Equation, shapes: Mapping[str, Shape], sizes: Sizes) -> Sizes:
    """The sizes with the arrays' shapes, after a check that they agree and that nothing is missing."""
    for access in equation.accesses:
        name = access.tensor
        if name not in shapes:
            raise ShapeError(f"no array for {name} of {equation}")
        if len(shapes[name]) != len(access.subscripts):
            raise ShapeError(
                f"{name} has {len(shapes[name])} axes {shapes[name]}, "
                f"the formula reads it with {len(access.subscripts)}"
            )
        if shapes[name] != tuple(sizes.shapes.get(name, shapes[name])):
            raise ShapeError(
                f"{name} has shape {shapes[name]}, but the sizes were solved for {tuple(sizes.shapes[name])}"
            )
    unknown = [index for index in equation.indices if not sizes.knows(index)]
    if unknown:
        raise ShapeError(f"the size of {unknown[0]} in {equation} is not among the sizes")
    missing = [name for name in equation.settings if name not in sizes.settings]
    if missing:
        raise ShapeError(f"no value for {', '.join(missing)} of {equation}")
    return sizes.extended(shapes=shapes)


def empty_window(node: Reduce, place: Mapping[str, int]) -> ShapeError:
    """The error of a maximum that has no term at the place."""
    where = ", ".join(f"{index} = {value}" for index, value in place.items())
    return ShapeError(
        f"{text(node)} has no term at {where}: all of them read outside; give less padding or a larger window"
    )


class Reader:
    """Reads tensors at the subscripts of one formula, for given sizes."""

    def __init__(self, indices: Sequence[str], sizes: Sizes):
        self.indices = tuple(indices)
        self.values = sizes.values
        self.extents = {index: sizes.extent(index) for index in indices}
        self._lines: dict[Polynomial, _Line | None] = {}

    def labels(self, *subscripts: Polynomial) -> tuple[str, ...]:
        """The indices that occur, in the order of the formula."""
        names = frozenset().union(*[subscript.names for subscript in subscripts])
        return tuple(index for index in self.indices if index in names)

    def constant(self, value: Polynomial) -> Fraction:
        """A number made of settings and extents."""
        try:
            return value.value(self.values)
        except KeyError as missing:
            raise ShapeError(f"no value for {missing.args[0]} of {value!r}") from None
        except ZeroDivisionError:
            raise SettingError(f"{value!r} divides by 0") from None

    def read(self, access: Access, array: Array, fill: float = 0) -> Labelled:
        """The entries that are read, `fill` where there are none: a view wherever nothing is read outside."""
        labels = self.labels(*access.subscripts)
        lines = [line for line in map(self._line, access.subscripts) if line]
        if len(lines) < array.ndim:
            return self._gather(access, array, fill)
        # the lengths with a divisor's zeros between the entries, and the zeros around them
        inserted = [max(0, (n - 1) * line.divisor + 1) for line, n in zip(lines, array.shape, strict=True)]
        before = [max(0, -line.low) for line in lines]
        after = [max(0, line.high + 1 - n) for line, n in zip(lines, inserted, strict=True)]
        shape = tuple(map(sum, zip(before, inserted, after, strict=True)))
        if shape != array.shape:
            wanted = math.prod(self.extents[label] for label in labels)
            if math.prod(shape) > _MUCH_LARGER * max(array.size, wanted):
                return self._gather(access, array, fill)
            padded = np.full(shape, fill, array.dtype)
            padded[
                tuple(slice(b, b + n, x.divisor) for b, n, x in zip(before, inserted, lines, strict=True))
            ] = array
            array = padded
        strides = [
            sum(line.steps.get(label, 0) * stride for line, stride in zip(lines, array.strides, strict=True))
            for label in labels
        ]
        corner: list[Any] = [slice(line.start + b, None) for line, b in zip(lines, before, strict=True)]
        extents = [self.extents[label] for label in labels]
        return Labelled(as_strided(array[(*corner, ...)], extents, strides, writeable=False), labels)

    def summed_first(self, access: Access, array: Array, indices: Collection[str]) -> tuple[Access, Array]:
        """The read with those axes summed away that one of the indices walks from end to end by itself."""
        alone = self._walked_alone(access)
        axes = tuple(
            k for k, index in alone.items() if index in indices and self.extents[index] == array.shape[k]
        )
        if not axes:
            return access, array
        kept = tuple(subscript for axis, subscript in enumerate(access.subscripts) if axis not in axes)
        return Access(access.tensor, kept), np.asarray(np.sum(array, axis=axes))

    def inside(self, access: Access, shape: Sequence[int]) -> list[Labelled]:
        """Masks that are all true where an entry is read; none where that is everywhere."""
        masks: list[Labelled] = []
        for subscript, length in zip(access.subscripts, shape, strict=True):
            line = self._line(subscript)
            if line and line.stays_inside(length):
                continue
            labels = self.labels(subscript)
            numerators, divisor = self.numbers(subscript, labels)
            found = (numerators >= 0) & (numerators <= (length - 1) * divisor) & (numerators % divisor == 0)
            if not found.all():
                own = {label: self.extents[label] for label in labels}
                masks.append(Labelled(Labelled(found, labels).spread(own), labels))
        return masks

    def numbers(self, subscript: Polynomial, labels: Sequence[str]) -> tuple[Array, int]:
        """The values over all values of the labels: whole numerators, and their common denominator."""
        total, divisor = np.zeros((), np.int64), 1
        for monomial, factor in subscript:
            numerators, denominator = np.asarray(factor.numerator), factor.denominator
            for atom, power in monomial:
                if not Polynomial.of(atom).names & set(labels):
                    number = self.constant(Polynomial.of(atom) ** power)
                    numerators, denominator = numerators * number.numerator, denominator * number.denominator
                    continue
                above, below = self._atom_numbers(atom, labels)
                if power < 0:
                    raise ShapeError(f"a subscript cannot be divided by an index, as in {subscript!r}")
                numerators, denominator = numerators * above**power, denominator * below**power
            total = total * denominator + numerators * divisor
            divisor *= denominator
        common = math.gcd(divisor, int(np.gcd.reduce(total, axis=None)))
        return total // common, divisor // common

    def _atom_numbers(self, atom: str | Floor | Modulo, labels: Sequence[str]) -> tuple[Array, int]:
        if isinstance(atom, str):
            return np.arange(self.extents[atom]).reshape([-1 if atom == label else 1 for label in labels]), 1
        above, below = self.numbers(atom.numerator, labels), self.numbers(atom.denominator, labels)
        numerators, denominators = above[0] * below[1], below[0] * above[1]
        if not denominators.all():
            raise SettingError(f"{Polynomial.of(atom)!r} divides by 0")
        if isinstance(atom, Floor):
            return numerators // denominators, 1
        return numerators % denominators, above[1] * below[1]

    def _line(self, subscript: Polynomial) -> _Line | None:
        if subscript not in self._lines:
            self._lines[subscript] = self._work_out_line(subscript)
        return self._lines[subscript]

    def _work_out_line(self, subscript: Polynomial) -> _Line | None:
        if subscript.lone in self.extents:
            return _Line({subscript.lone: 1}, 0, 1, 0, self.extents[subscript.lone] - 1)
        try:
            steps, start = linear_form(subscript, self.indices, self.values)
        except KeyError as missing:
            raise ShapeError(f"no value for {missing.args[0]} of {subscript!r}") from None
        except ZeroDivisionError:
            raise SettingError(f"{subscript!r} divides by 0") from None
        except ValueError:
            return None  # an index under a rounded quotient
        divisor = math.lcm(start.denominator, *[step.denominator for step in steps.values()])
        whole = {index: int(step * divisor) for index, step in steps.items()}
        first = int(start * divisor)
        reach = [step * (self.extents[index] - 1) for index, step in whole.items()]
        low, high = (first + sum(pick(0, far) for far in reach) for pick in (min, max))
        return _Line(whole, first, divisor, low, high)

    def _gather(self, access: Access, array: Array, fill: float) -> Labelled:
        alone = self._walked_alone(access)
        sliced = {k: index for k, index in alone.items() if self.extents[index] <= array.shape[k]}
        gathered = [axis for axis in range(array.ndim) if axis not in sliced]
        moving = [index for index in self.labels(*access.subscripts) if index not in sliced.values()]
        places: list[Any] = [slice(self.extents[index]) for index in sliced.values()]
        for axis in gathered:
            numerators, divisor = self.numbers(access.subscripts[axis], moving)
            places.append(np.clip(numerators // divisor, 0, array.shape[axis] - 1))
        entries = Labelled(
            np.asarray(array.transpose([*sliced, *gathered])[tuple(places)]), (*sliced.values(), *moving)
        )
        entries = Labelled(
            entries.spread({index: self.extents[index] for index in entries.labels}), entries.labels
        )
        return masked(entries, self.inside(access, array.shape), fill)

    def _walked_alone(self, access: Access) -> dict[int, str]:
        """The axes whose subscript is an index that stands in no other subscript, with the index."""
        return {
            axis: subscript.lone
            for axis, subscript in enumerate(access.subscripts)
            if subscript.lone in self.extents
            and sum(subscript.lone in other.names for other in access.subscripts) == 1
        }
