"""An equation as a recipe for plain NumPy.

``number * sum * product of entries`` is one, whatever its subscripts:

- a common denominator of an axis's subscript is the zeros that stand between its entries;
- a summed index that runs backwards is written ``|u|-1-u``, which reverses the axes that it reads alone:
  that is the rotation;
- the lowest and highest position that is read, and the axis's length, give the zeros before and after, or
  what is cut off;
- coefficients that are left are the steps of windows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from closedform.formula.extents import Sizes
from closedform.formula.naming.recipe import Axis, Operand, Recipe
from closedform.formula.subscripts import Atom, Floor, Modulo, Polynomial, digits, linear_form
from closedform.formula.tree import SUM, Access, Equation, Expression, Number, Reduce, Times


def recipe_of(equation: Equation, sizes: Sizes) -> Recipe | None:
    """The recipe of an equation, or None where it is no product of entries or its windows are no windows.

    Parameters
    ----------
    equation
        A formula, for instance a gradient's.
    sizes
        The extents and shapes of everything in it.
    """
    parts = product_parts(equation.right)
    result = _result_axes(equation.left, sizes)
    if parts is None or result is None:
        return None
    factor, sums, accesses = parts
    free = [index for axis in result for index in axis]
    indices = [*free, *sums]
    read = {name for access in accesses for subscript in access.subscripts for name in subscript.names}
    if not accesses or factor.names & set(indices) or not set(sums) <= read or len(indices) > 52:
        return None
    if len(set(indices)) < len(indices):
        return None
    laid_out = [_layout(access, indices, sizes) for access in accesses]
    layouts = [layout for layout in laid_out if layout is not None]
    if len(layouts) < len(laid_out):
        return None
    extents = {index: sizes.extent(index) for index in indices}
    runs = _directions([r for layout in layouts for r in layout.reads], free, extents)
    if runs is None:
        return None
    operands = tuple(
        Operand(
            layout.tensor,
            layout.split,
            layout.merge,
            tuple(read.turned(runs, extents).axis(indices, extents) for read in layout.reads),
        )
        for layout in layouts
    )
    return Recipe(
        factor.value(sizes.values),
        operands,
        sums,
        tuple(index for index in sums if index in runs),
        result,
        tuple(index for index in free if index in runs),
        extents,
    )


def product_parts(right: Expression) -> tuple[Polynomial, tuple[str, ...], list[Access]] | None:
    """The number, the sum's indices and the entries of ``number * sum * product``; else None."""
    factor = Polynomial.of(1)
    sums: tuple[str, ...] = ()
    accesses: list[Access] = []
    waiting: list[Expression] = list(right.factors) if isinstance(right, Times) else [right]
    while waiting:
        match waiting.pop(0):
            case Number(value):
                factor = factor * value
            case Access() as access:
                accesses.append(access)
            case Reduce(operation, indices, body) if operation == SUM and not sums:
                sums = indices
                waiting += body.factors if isinstance(body, Times) else (body,)
            case _:
                return None
    return factor, sums, accesses


def _result_axes(left: Access, sizes: Sizes) -> tuple[tuple[str, ...], ...] | None:
    axes = []
    for subscript in left.subscripts:
        names = [subscript.lone] if subscript.lone else digits(subscript)
        if not names or not all(name and sizes.knows(name) for name in names):
            return None
        axes.append(tuple(name for name in names if name))
    shape = tuple(math.prod(map(sizes.extent, axis)) for axis in axes)
    return tuple(axes) if sizes.shapes.get(left.tensor, shape) == shape else None


@dataclass(frozen=True)
class _Read:
    """An axis of `length` entries, `spread` apart or repeated, that is read at an affine position."""

    length: int
    repeat: int
    spread: int
    start: int
    steps: Mapping[str, int]

    @property
    def reach(self) -> int:
        """How many positions there are."""
        return self.length * self.repeat if self.repeat > 1 else (self.length - 1) * self.spread + 1

    def signs(self, extents: Mapping[str, int]) -> set[bool]:
        """Whether the indices that move do so forward, backward, or some this way and some that."""
        return {step > 0 for index, step in self.steps.items() if extents[index] > 1}

    def turned(self, backwards: Iterable[str], extents: Mapping[str, int]) -> _Read:
        """The read with ``|x|-1-x`` written for each x that is to run backwards."""
        start, steps = self.start, dict(self.steps)
        for index in backwards:
            if index in steps:
                start += steps[index] * (extents[index] - 1)
                steps[index] = -steps[index]
        return _Read(self.length, self.repeat, self.spread, start, steps)

    def axis(self, order: Sequence[str], extents: Mapping[str, int]) -> Axis:
        """The axis that reads this, where all steps have one sign."""
        rotate = self.signs(extents) == {False}
        start = self.reach - 1 - self.start if rotate else self.start
        walk = tuple(
            (index, abs(self.steps[index]) if extents[index] > 1 else 1)
            for index in order
            if index in self.steps
        )
        last = start + sum(step * (extents[index] - 1) for index, step in walk)
        insert = self.spread - 1 if self.length > 1 else 0
        return Axis(walk, self.repeat, insert, rotate, (-start, last - self.reach + 1))


@dataclass(frozen=True)
class _Layout:
    tensor: str
    split: tuple[tuple[int, ...], ...]
    merge: tuple[tuple[int, ...], ...]
    reads: tuple[_Read, ...]


def _layout(access: Access, indices: Sequence[str], sizes: Sizes) -> _Layout | None:
    split: list[tuple[int, ...]] = []
    entries: list[tuple[Polynomial, int]] = []
    for subscript, length in zip(access.subscripts, sizes.shapes[access.tensor], strict=True):
        order = digits(subscript)
        extents = tuple(map(sizes.extent, order)) if order and all(map(sizes.knows, order)) else ()
        if order and math.prod(extents) == length:
            split.append(extents)
            entries += zip(map(Polynomial.of, order), extents, strict=True)
        else:
            split.append((length,))
            entries.append((subscript, length))
    merge: list[tuple[int, ...]] = []
    reads: list[_Read] = []
    beside: set[int] = set()
    for place, (subscript, length) in enumerate(entries):
        atom = _rounding(subscript)
        if isinstance(atom, Floor):
            divisor = int(atom.denominator.value(sizes.values))
            remainder = Polynomial.of(Modulo(atom.numerator, atom.denominator))
            partner = [
                k for k, entry in enumerate(entries) if entry == (remainder, divisor) and k not in beside
            ]
            read = _affine(atom.numerator, length, divisor, indices, sizes)
            if partner:
                beside.add(partner[0])
                read = _affine(atom.numerator, length * divisor, 1, indices, sizes)
            merge.append((place, *partner[:1]))
        elif isinstance(atom, Modulo):
            continue
        else:
            read = _affine(subscript, length, 1, indices, sizes)
            merge.append((place,))
        if read is None:
            return None
        reads.append(read)
    if sum(map(len, merge)) < len(entries):
        return None
    return _Layout(access.tensor, tuple(split), tuple(merge), tuple(reads))


def _rounding(subscript: Polynomial) -> Atom | None:
    """The ``a//k`` or ``a % k`` that the subscript is and nothing else."""
    atom = next(iter(subscript.atoms), None) if len(subscript.atoms) == 1 else None
    return None if atom is None or isinstance(atom, str) or subscript != Polynomial.of(atom) else atom


def _affine(
    subscript: Polynomial, length: int, repeat: int, indices: Sequence[str], sizes: Sizes
) -> _Read | None:
    try:
        steps, start = linear_form(subscript, indices, sizes.values)
    except (KeyError, ValueError):
        return None  # rounded, or not affine
    spread = math.lcm(start.denominator, *[step.denominator for step in steps.values()])
    if repeat > 1 and spread > 1:
        return None
    whole = {index: int(step * spread) for index, step in steps.items() if step}
    return _Read(length, repeat, spread, int(start * spread), whole)


def _directions(
    reads: Sequence[_Read], free: Sequence[str], extents: Mapping[str, int]
) -> tuple[str, ...] | None:
    """The indices to run backwards so that no axis is walked both ways.

    Of all such choices one with the fewest rotations, and of these one that rotates no axis over which a
    window slides: the kernel is rotated rather than the image.
    """
    windows = [read for read in reads if len(read.steps) > 1]
    concerned = {i for read in windows if False in read.signs(extents) for i in _moving(read, extents)}
    for _ in windows:
        concerned = concerned.union(*[m for read in windows if (m := _moving(read, extents)) & concerned])
    if len(concerned) > 12:
        return None
    best: tuple[tuple[int, int], tuple[str, ...]] | None = None
    for chosen in _subsets(sorted(concerned)):
        turned = [read.turned(chosen, extents) for read in reads]
        if any(len(read.signs(extents)) > 1 for read in turned):
            continue
        rotated = [read for read in turned if False in read.signs(extents)]
        sliding = sum(len(read.steps) > 1 for read in rotated)
        rotations = len(rotated) + len(set(chosen) & set(free))
        if best is None or (rotations, sliding) < best[0]:
            best = (rotations, sliding), chosen
    return best[1] if best else None


def _moving(read: _Read, extents: Mapping[str, int]) -> set[str]:
    return {index for index in read.steps if extents[index] > 1}


def _subsets(items: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(len(items) + 1):
        yield from itertools.combinations(items, size)
