"""Mistakes with signs and numbers that multiply: 1/N, the mean of a window."""

from __future__ import annotations

from collections.abc import Iterator

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import Rewrites, extent
from closedform.formula.subscripts import Polynomial, is_extent
from closedform.formula.tree import (
    FIRST,
    MAX,
    Access,
    Expression,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    children,
    negative,
    number,
    plus,
    power,
    rebuild,
    replace_access,
    times,
    walk,
)


def pool(line: Line) -> Rewrites:
    """The mean's factor missing, or another."""
    if line.is_loss:
        return
    roles, right = line.roles, line.equation.right
    if any(isinstance(node, Reduce) and node.operation in (MAX, FIRST) for node in walk(line.formula.right)):
        return
    counted = [index for index in roles.kernels if _counts(line, index)]
    if counted:
        yield "pool-factor-missing", line.rewritten(_scaled(right, *map(extent, counted)))
        for index in counted:
            yield "pool-factor-wrong", line.rewritten(_scaled(right, extent(index)))
        squared = _scaled(right, *[extent(index) ** -1 for index in counted])
        yield "pool-factor-wrong", line.rewritten(squared)
    yield from _counted_entries(line)


def _counts(line: Line, index: str) -> bool:
    """Whether the line divides by the extent of an index."""
    atom = f"|{index}|"
    return any(
        isinstance(node, Number)
        and any((atom, -1) in monomial for monomial, _ in node.value)
        and all(isinstance(a, str) and is_extent(a) for monomial, _ in node.value for a, _ in monomial)
        for node in walk(line.equation.right)
    )


def _counted_entries(line: Line) -> Rewrites:
    """A mean over the entries inside the image, divided by the whole window's size or by nothing."""
    right = line.equation.right
    counts = [d for d in line.definitions if d.left.tensor in line.equation.tensors and _is_count(d.right)]
    whole = times(*[power(Number(extent(index)), -1) for index in line.roles.kernels])
    for mistake, value in (("pool-factor-missing", number(1)), ("pool-factor-wrong", whole)):
        for definition in counts:
            name = definition.left.tensor

            def change(access: Access, name: str = name, value: Expression = value) -> Expression:
                return value if access.tensor == name else access

            yield mistake, line.rewritten(replace_access(right, change))
        if line.wrt is None and isinstance(right, Times) and any(map(_is_count, right.factors)):
            kept = [factor for factor in right.factors if not _is_count(factor)]
            yield mistake, line.rewritten(times(value, *kept))


def _is_count(expression: Expression) -> bool:
    """Whether it is one over a number of entries that does not depend on any tensor."""
    if not isinstance(expression, Power) or expression.exponent != -1:
        return False
    return not any(isinstance(node, Access) for node in walk(expression.base))


def _scaled(right: Expression, *factors: Polynomial) -> Expression:
    return times(*map(Number, factors), right)


def mean(line: Line) -> Rewrites:
    """1/N missing, or there once too often; the 2 of a square missing."""
    roles, right = line.roles, line.equation.right
    if roles.example is None:
        return
    examples = extent(roles.example)
    if line.is_loss:
        others = [index for index in roles.kernels if _counts(line, index)]
        yield "mean-missing", line.rewritten(_scaled(right, examples))
        for index in others:
            yield "mean-missing", line.rewritten(_scaled(right, extent(index)))
        if others:
            yield "mean-missing", line.rewritten(_scaled(right, examples, *map(extent, others)))
    if line.is_loss or line.wrt is not None:
        yield "mean-doubled", line.rewritten(_scaled(right, examples**-1))
    if line.wrt is not None and any(
        isinstance(node, Power) and node.exponent == 2 for node in walk(line.formula.right)
    ):
        yield "power-factor-missing", line.rewritten(times(power(number(2), -1), right))


def sign(line: Line) -> Rewrites:
    """All turned around, or one term of a sum."""
    right = line.equation.right
    yield "sign", line.rewritten(negative(right))
    for changed in _one_sign(right):
        yield "sign", line.rewritten(changed)


def _one_sign(expression: Expression) -> Iterator[Expression]:
    """The expression with the sign of one term of one sum turned around."""
    if isinstance(expression, Plus):
        for place, term in enumerate(expression.terms):
            others = [*expression.terms[:place], *expression.terms[place + 1 :]]
            yield plus(*others, negative(term))
    inside = list(children(expression))
    for place, child in enumerate(inside):
        for changed in _one_sign(child):
            replacement = iter([*inside[:place], changed, *inside[place + 1 :]])
            yield rebuild(expression, lambda _, replacement=replacement: next(replacement))  # type: ignore[misc]
