"""Mistakes with channels: swapped, added up, or not added up."""

from __future__ import annotations

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import (
    Rewrites,
    each_term,
    fresh,
    lone,
    readers,
    renamed,
    replaced,
    summed_indices,
    summed_over,
    without_sum,
)
from closedform.checking.roles import named
from closedform.formula.subscripts import Polynomial, unprimed
from closedform.formula.tree import Access, Expression, free_names, reduce, replace_access


def swapped(line: Line) -> Rewrites:
    """Input channel for output channel in the weights."""
    roles = line.roles
    mistake = "channels-swapped" if roles.is_spatial else "transposed-operand"
    for tensor in roles.parameters:
        axes = _channel_axes(line, tensor)
        if axes is None:
            continue
        if line.wrt == tensor:
            yield from _swapped_gradient(line, mistake, axes)
        else:

            def swap(access: Access, tensor: str = tensor, axes: tuple[int, int] = axes) -> Access:
                return _with_swapped(access, axes) if access.tensor == tensor else access

            yield mistake, line.rewritten(replace_access(line.equation.right, swap))


def _channel_axes(line: Line, tensor: str) -> tuple[int, int] | None:
    """The axes of a parameter along which its output and input channels run."""
    roles = line.roles
    access = next(access for access in line.formula.accesses if access.tensor == tensor)
    out = [k for k, s in enumerate(access.subscripts) if any(name in roles.outputs for name in s.names)]
    into = [k for k, s in enumerate(access.subscripts) if any(name in roles.inputs for name in s.names)]
    return (out[0], into[0]) if len(out) == 1 and len(into) == 1 else None


def _with_swapped(access: Access, axes: tuple[int, int]) -> Access:
    subscripts = list(access.subscripts)
    first, second = axes
    subscripts[first], subscripts[second] = subscripts[second], subscripts[first]
    return Access(access.tensor, tuple(subscripts))


def _swapped_gradient(line: Line, mistake: str, axes: tuple[int, int]) -> Rewrites:
    left, right = line.equation.left, line.equation.right
    one, other = (left.subscripts[axis] for axis in axes)
    if one.lone and other.lone:
        yield mistake, line.rewritten(renamed(right, {one.lone: other, other.lone: one}))
    yield mistake, line.reshaped(_with_swapped(left, axes), right)


def summed(line: Line) -> Rewrites:
    """Channels of the result added up."""
    roles = line.roles
    if not (roles.is_spatial and (roles.windows or roles.parameters)) and not _of_bias(line):
        return
    left, right = line.equation.left, line.equation.right
    for index in line.equation.left_indices:
        if not named(roles.channels, index):
            continue
        new = fresh(index, line)
        found = [access for access in readers(right, index) if access.tensor not in roles.biases]
        every = renamed(right, {index: lone(new)})
        yield "channels-summed", line.rewritten(summed_over(every, [new]))
        if line.wrt is None and roles.biases:
            yield "channels-summed", line.rewritten(_summed_beside_bias(right, index, new))
        for access in found if len(found) > 1 else []:
            alone = replaced(right, access, _renamed_access(access, index, lone(new)))
            yield "channels-summed", line.rewritten(summed_over(alone, [new]))
        axis = next(k for k, s in enumerate(left.subscripts) if index in s.names)
        if left.subscripts[axis].lone:
            kept = Access(left.tensor, left.subscripts[:axis] + left.subscripts[axis + 1 :])
            yield "channels-summed", line.reshaped(kept, summed_over(every, [new]))
    yield from _summed_apart(line)


def _summed_apart(line: Line) -> Rewrites:
    """A sum of products taken for a product of sums."""
    right = line.equation.right
    for index in summed_indices(right):
        found = readers(right, index)
        if not named(line.roles.channels, index) or len(found) < 2:
            continue
        new = fresh(index, line)
        for access in found:
            apart = replaced(right, access, _renamed_access(access, index, lone(new)))
            yield "channels-summed", line.rewritten(summed_over(apart, [new]))
            for other in line.equation.left_indices:
                if named(line.roles.channels, other):
                    given = without_sum(apart, [index], {index: lone(other)})
                    yield "channels-summed", line.rewritten(summed_over(given, [new]))


def _renamed_access(access: Access, index: str, new: Polynomial) -> Access:
    return Access(access.tensor, tuple(s.substitute({index: new}) for s in access.subscripts))


def _summed_beside_bias(right: Expression, index: str, new: str) -> Expression:
    """The sum over channels of every term but the bias."""

    def summed_term(term: Expression) -> Expression:
        if isinstance(term, Access):
            return term
        return summed_over(renamed(term, {index: lone(new)}), [new])

    return each_term(right, summed_term)


def _of_bias(line: Line) -> bool:
    return line.wrt in line.roles.biases


def not_summed(line: Line) -> Rewrites:
    """One channel where all contribute."""
    roles = line.roles
    if not roles.is_spatial:
        return
    left, right = line.equation.left, line.equation.right
    for index in summed_indices(right):
        if not named((*roles.inputs, *roles.outputs), index):
            continue
        others = [name for name in line.equation.left_indices if named(roles.channels, name)]
        ends = [Polynomial.of(0), Polynomial.of(f"|{unprimed(index)}|") - 1]
        for value in [*map(lone, others), *ends]:
            yield "channels-not-summed", line.rewritten(without_sum(right, [index], {index: value}))
        free = _free(right, index)
        for axis, subscript in enumerate(left.subscripts):
            if any(name in subscript.names for name in others):
                for place in (axis, axis + 1):
                    subscripts = (*left.subscripts[:place], lone(index), *left.subscripts[place:])
                    yield "channels-not-summed", line.reshaped(Access(left.tensor, subscripts), free)


def _free(right: Expression, index: str) -> Expression:
    free = without_sum(right, [index])
    return free if index in free_names(free) else reduce("sum", (), free)
