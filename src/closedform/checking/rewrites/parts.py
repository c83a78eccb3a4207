"""What rewrites share: changing subscripts, and finding the entries that are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from closedform.checking.lines import Line
from closedform.formula.subscripts import Atom, Polynomial
from closedform.formula.tree import (
    MAX,
    SUM,
    Access,
    Expression,
    Plus,
    Reduce,
    accesses,
    children,
    free_names,
    is_negative,
    negative,
    plus,
    rebuild,
    reduce,
    replace_access,
    substitute_free,
)

Rewrites = Iterator[tuple[str, Line]]


def lone(name: str) -> Polynomial:
    """An index as a subscript."""
    return Polynomial.of(name)


def extent(name: str) -> Polynomial:
    """The extent of an index, ``|u|``."""
    return Polynomial.of(f"|{name}|")


def subscripts_changed(
    expression: Expression,
    change: Callable[[Access, Polynomial], Polynomial],
    tensors: Collection[str] | None = None,
) -> Expression:
    """The expression with every subscript, of those tensors only, replaced by what `change` makes of it."""

    def changed(access: Access) -> Access:
        if tensors is not None and access.tensor not in tensors:
            return access
        return Access(access.tensor, tuple(change(access, subscript) for subscript in access.subscripts))

    return replace_access(expression, changed)


def renamed(
    expression: Expression, values: Mapping[Atom, Polynomial], tensors: Collection[str] | None = None
) -> Expression:
    """The expression with names replaced in the subscripts of those tensors."""
    return subscripts_changed(expression, lambda _, subscript: subscript.substitute(values), tensors)


def denominator(subscript: Polynomial) -> Polynomial:
    """The least product by which a subscript must be multiplied to have no quotient."""
    below: dict[Atom, int] = {}
    for monomial, _ in subscript:
        for atom, exponent in monomial:
            if exponent < 0:
                below[atom] = max(below.get(atom, 0), -exponent)
    result = Polynomial.of(1)
    for atom, exponent in below.items():
        result = result * Polynomial.of(atom) ** exponent
    return result * math.lcm(*[factor.denominator for _, factor in subscript])


def fresh(name: str, line: Line) -> str:
    """A primed index of the same extent that the equation does not use."""
    used = {*line.equation.indices, *free_names(line.equation.right)}
    while name in used:
        name += "'"
    return name


def terms_of(expression: Expression) -> tuple[Expression, ...]:
    """The terms of a sum."""
    return expression.terms if isinstance(expression, Plus) else (expression,)


def each_term(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The sum with each term changed, a minus staying before its term."""

    def signed(term: Expression) -> Expression:
        return negative(change(negative(term))) if is_negative(term) else change(term)

    return plus(*map(signed, terms_of(expression)))


def summed_over(expression: Expression, indices: Iterable[str]) -> Expression:
    """The sum of each term that depends on the indices."""
    names = tuple(indices)

    def over(term: Expression) -> Expression:
        own = [name for name in names if name in free_names(term)]
        return reduce(SUM, own, term)

    return each_term(expression, over)


def without_sum(
    expression: Expression, dropped: Collection[str], values: Mapping[Atom, Polynomial] | None = None
) -> Expression:
    """The expression with some indices of its sums no longer summed over, but free or given values."""

    def drop(node: Expression) -> Expression:
        if isinstance(node, Reduce) and node.operation == SUM and set(node.indices) & set(dropped):
            kept = [index for index in node.indices if index not in dropped]
            body = drop(node.body)
            if values:
                body = substitute_free(body, values)
            return reduce(SUM, kept, body)
        return rebuild(node, drop)

    return drop(expression)


def summed_indices(expression: Expression) -> tuple[str, ...]:
    """The indices of sums, as they come."""
    found: dict[str, None] = {}

    def look(node: Expression) -> None:
        if isinstance(node, Reduce) and node.operation in (SUM, MAX):
            found.update(dict.fromkeys(node.indices))
        for child in children(node):
            look(child)

    look(expression)
    return tuple(found)


def holds(access: Access, name: str) -> bool:
    """Whether an entry's subscripts depend on an index."""
    return any(name in subscript.names for subscript in access.subscripts)


def readers(expression: Expression, name: str) -> list[Access]:
    """The different entries that depend on an index."""
    return list(dict.fromkeys(access for access in accesses(expression) if holds(access, name)))


def replaced(expression: Expression, old: Access, new: Expression) -> Expression:
    """The expression with one entry replaced wherever it is read."""
    return replace_access(expression, lambda access: new if access == old else access)
