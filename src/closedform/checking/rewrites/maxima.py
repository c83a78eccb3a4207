"""Mistakes with the entry of a window that gets the gradient of its maximum."""

from __future__ import annotations

from dataclasses import replace

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import Rewrites, extent
from closedform.formula.subscripts import Polynomial, unprimed
from closedform.formula.tree import (
    FIRST,
    Access,
    Bracket,
    Equation,
    Expression,
    Number,
    Reduce,
    negative,
    power,
    replace_access,
    times,
)


def selections(line: Line) -> list[Equation]:
    """The definitions of first maxima that the line reads."""
    return [
        definition
        for definition in line.definitions
        if definition.left.tensor in line.equation.tensors
        and isinstance(definition.right, Reduce)
        and definition.right.operation == FIRST
    ]


def selection(line: Line) -> Rewrites:
    """The gradient given to every entry, or to another entry than the largest."""
    for definition in selections(line):
        if not isinstance(definition.right, Reduce):
            continue
        kernels = definition.right.indices
        axes = [k for k, s in enumerate(definition.left.subscripts) if s.lone in kernels]
        share = times(*[power(Number(extent(unprimed(index))), -1) for index in kernels])
        for value in (Number(Polynomial.of(1)), share):
            yield "max-spread", _with_selection(line, definition, lambda _, value=value: value)

        def at_first(access: Access, axes: list[int] = axes) -> Expression:
            return times(*[_equals(access.subscripts[axis], Polynomial.of(0)) for axis in axes])

        def at_last(access: Access, axes: list[int] = axes, definition: Equation = definition) -> Expression:
            ends = [extent(definition.left.subscripts[axis].lone or "") - 1 for axis in axes]
            return times(*[_equals(access.subscripts[a], end) for a, end in zip(axes, ends, strict=True)])

        def rotated(access: Access, axes: list[int] = axes, definition: Equation = definition) -> Expression:
            subscripts = list(access.subscripts)
            for axis in axes:
                end = extent(definition.left.subscripts[axis].lone or "") - 1
                subscripts[axis] = end - subscripts[axis]
            return Access(access.tensor, tuple(subscripts))

        def transposed(access: Access, axes: list[int] = axes) -> Expression:
            subscripts = list(access.subscripts)
            for axis, other in zip(axes, reversed(axes), strict=True):
                subscripts[axis] = access.subscripts[other]
            return Access(access.tensor, tuple(subscripts))

        for change in (at_first, at_last, rotated, transposed):
            yield "max-wrong-entry", _with_selection(line, definition, change)
        yield "max-wrong-entry", _smallest(line, definition, definition.right)


def _with_selection(line: Line, definition: Equation, change: object) -> Line:
    name = definition.left.tensor

    def changed(access: Access) -> Expression:
        return change(access) if access.tensor == name else access  # type: ignore[operator]

    return line.rewritten(replace_access(line.equation.right, changed))


def _smallest(line: Line, definition: Equation, right: Reduce) -> Line:
    """With the first minimum where the first maximum was."""
    name = definition.left.tensor + "'"
    smallest = Equation(
        Access(name, definition.left.subscripts), Reduce(FIRST, right.indices, negative(right.body))
    )
    changed = _with_selection(line, definition, lambda access: Access(name, access.subscripts))
    return replace(changed, definitions=(*line.definitions, smallest))


def _equals(subscript: Polynomial, value: Polynomial) -> Bracket:
    return Bracket((Number(subscript), Number(value)), ("=",))
