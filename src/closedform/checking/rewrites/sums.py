"""Mistakes with the sums over batch and positions in a parameter's gradient."""

from __future__ import annotations

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import (
    Rewrites,
    extent,
    fresh,
    lone,
    renamed,
    summed_indices,
    summed_over,
    without_sum,
)
from closedform.checking.roles import named
from closedform.formula.subscripts import Atom, Polynomial, unprimed
from closedform.formula.tree import Access, Number, power, times


def missing(line: Line) -> Rewrites:
    """Not added up over the batch, or over positions."""
    if not line.of_parameter:
        return
    roles, left, right = line.roles, line.equation.left, line.equation.right
    what = "bias" if line.wrt in roles.biases else "weights"
    summed = summed_indices(right)
    batch = [index for index in summed if roles.example and named((roles.example,), index)]
    positions = [index for index in summed if named(roles.positions, index)]
    if line.wrt in roles.biases and not positions:
        positions = [index for index in summed if named(roles.shared, index)]
    for index in batch:
        mistake = f"{what}-not-summed-over-batch"
        kept = Access(left.tensor, (lone(index), *left.subscripts))
        yield mistake, line.reshaped(kept, without_sum(right, [index]))
        for value in _ends(index):
            yield mistake, line.rewritten(without_sum(right, [index], {index: value}))
    for some in [positions, *([index] for index in positions if len(positions) > 1)] if positions else []:
        mistake = f"{what}-not-summed-over-positions"
        kept = Access(left.tensor, (*left.subscripts, *map(lone, some)))
        yield mistake, line.reshaped(kept, without_sum(right, some))
        for ends in zip(*map(_ends, some), strict=True):
            values: dict[Atom, Polynomial] = dict(zip(some, ends, strict=True))
            yield mistake, line.rewritten(without_sum(right, some, values))
    if positions:
        count = times(*[power(Number(extent(unprimed(index))), -1) for index in positions])
        yield "averaged-over-positions", line.rewritten(times(count, right))


def _ends(index: str) -> list[Polynomial]:
    """The first and the last value of an index."""
    return [Polynomial.of(0), extent(unprimed(index)) - 1]


def extra(line: Line) -> Rewrites:
    """Added up over positions where every position has parameters of its own."""
    if not line.of_parameter:
        return
    roles, left, right = line.roles, line.equation.left, line.equation.right
    own = [index for index in line.equation.left_indices if named(roles.positions, index)]
    if not own:
        return
    what = "bias" if line.wrt in roles.biases else "weights"
    names = {index: fresh(index, line) for index in own}
    together = summed_over(renamed(right, {old: lone(new) for old, new in names.items()}), names.values())
    mistake = f"{what}-summed-over-positions"
    yield mistake, line.rewritten(together)
    kept = tuple(s for s in left.subscripts if not any(index in s.names for index in own))
    yield mistake, line.reshaped(Access(left.tensor, kept), together)
