"""Names that a derivation gave: which of them depend on a tensor, and what writing them out gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from closedform.formula.derive.terms import equal, within
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial, digits, extent_of, floor_divide, remainder
from closedform.formula.tree import (
    FIRST,
    Access,
    Bracket,
    Equation,
    Expression,
    Power,
    Reduce,
    Times,
    accesses,
    power,
    rebuild,
    substitute_free,
    times,
)


def depending(definitions: Sequence[Equation], tensor: str) -> list[Equation]:
    """The definitions that change with the tensor, directly or through others; selections do not."""
    found: dict[str, Equation] = {}
    growing = True
    while growing:
        growing = False
        for definition in definitions:
            selects = isinstance(definition.right, Reduce) and definition.right.operation == FIRST
            reads = not {tensor, *found}.isdisjoint(definition.tensors)
            if reads and not selects and definition.left.tensor not in found:
                found[definition.left.tensor] = definition
                growing = True
    return list(found.values())


def written_out(
    expression: Expression, definitions: Sequence[Equation], sizes: Sizes
) -> tuple[Expression, list[str]]:
    """The expression with the definitions written out until it reads none of them, and which it read."""
    written: dict[str, None] = {}
    waiting = True
    while waiting:
        waiting = False
        for definition in definitions:
            if any(access.tensor == definition.left.tensor for access in accesses(expression)):
                expression = _inlined(expression, definition, sizes)
                written[definition.left.tensor] = None
                waiting = True
    return expression, list(written)


def in_order(definitions: Iterable[Equation], tensors: Iterable[str]) -> tuple[Equation, ...]:
    """The definitions of these tensors and of what they need, each after those that it needs itself."""
    known = {definition.left.tensor: definition for definition in definitions}
    needed: dict[str, Equation] = {}

    def need(tensor: str) -> None:
        if tensor in known and tensor not in needed:
            for inner in known[tensor].tensors:
                need(inner)
            needed[tensor] = known[tensor]

    for tensor in tensors:
        need(tensor)
    return tuple(needed.values())


def _inlined(expression: Expression, definition: Equation, sizes: Sizes) -> Expression:
    factors = expression.factors if isinstance(expression, Times) else (expression,)
    changed: list[Expression] = []
    for k, factor in enumerate(factors):
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        if isinstance(base, Access) and base.tensor == definition.left.tensor:
            others = [*factors[:k], *factors[k + 1 :]]
            conditions, right = _entry(base, definition, others, sizes)
            changed += [*conditions, power(right, exponent)]
        else:
            changed.append(rebuild(factor, lambda inner: _inlined(inner, definition, sizes)))
    return times(*changed)


def _entry(
    access: Access, definition: Equation, others: Sequence[Expression], sizes: Sizes
) -> tuple[list[Bracket], Expression]:
    """The right side at one entry, and brackets where a read outside is not 0 by itself."""
    values: dict[str, Polynomial] = {}
    conditions: list[Bracket] = []
    for axis, (left, subscript) in enumerate(zip(definition.left.subscripts, access.subscripts, strict=True)):
        order = [left.lone] if left.lone else digits(left) or []
        extents = [sizes.extent(index) for index in order]
        own = [subscript.lone] if subscript.lone else digits(subscript) or []
        if len(own) == len(order) and all(
            sizes.knows(name) and sizes.extent(name) <= extent
            for name, extent in zip(own, extents, strict=True)
        ):
            values.update(zip(order, map(Polynomial.of, own), strict=True))
            continue
        below = Polynomial.of(1)
        for place, index in reversed([*enumerate(order)]):
            digit = floor_divide(subscript, below) if place < len(order) - 1 else subscript
            values[index] = remainder(digit, Polynomial.of(extent_of(index))) if place else digit
            below = below * Polynomial.of(extent_of(index))
        if not _guarded(subscript, math.prod(extents), others, sizes):
            end = extent_of(order[0]) if len(order) == 1 else f"|{definition.left.tensor}.{axis}|"
            conditions.append(within(subscript, end))
            if subscript.has_division:
                divisor = subscript.divisor
                conditions.append(equal(remainder(subscript * divisor, divisor), Polynomial.of(0)))
    return conditions, substitute_free(definition.right, values)


def _guarded(subscript: Polynomial, extent: int, others: Iterable[Expression], sizes: Sizes) -> bool:
    """Whether another factor of the product is 0 wherever the subscript is no entry."""
    return any(
        subscript == other_subscript and sizes.shapes[other.tensor][axis] <= extent
        for other in others
        if isinstance(other, Access)
        for axis, other_subscript in enumerate(other.subscripts)
    )
