"""A line for one's own network: numbers for settings and extents, no indices that take one value only."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    FIRST,
    ONE,
    ZERO,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    plus,
    power,
    reduce,
    times,
)


def specialised(equation: Equation, sizes: Sizes) -> Equation:
    """The line with its settings' and extents' numbers, and without the indices that take one value."""
    numbers = {name: Polynomial.of(Fraction(value)) for name, value in sizes.values.items()}
    single = {
        index: Polynomial.of(0)
        for index in (*equation.indices, *sizes.extents)
        if sizes.knows(index) and sizes.extent(index) == 1
    }
    # an index may share its name with a setting's letter only where it is none: indices win
    values = {name: number for name, number in numbers.items() if name not in equation.indices} | single

    def special(e: Expression) -> Expression:
        match e:
            case Number(value):
                return Number(value.substitute(values))
            case Access(tensor, subscripts):
                return Access(tensor, tuple(s.substitute(values) for s in subscripts))
            case Jacobian(of, by):
                inside = special(of), special(by)
                return Jacobian(*inside)  # type: ignore[arg-type]
            case Plus(terms):
                return plus(*map(special, terms))
            case Times(factors):
                return times(*map(special, factors))
            case Power(base, exponent):
                return power(special(base), exponent)
            case Function(name, argument):
                return Function(name, special(argument))
            case Bracket(sides, relations):
                return _settled(Bracket(tuple(map(special, sides)), relations))
            case Reduce(operation, indices, body):
                return _reduced(operation, [i for i in indices if i not in single], special(body))

    left = special(equation.left)
    if not isinstance(left, Access):
        raise TypeError("a line defines an entry")
    return Equation(left, special(equation.right))


def _reduced(operation: str, indices: Sequence[str], body: Expression) -> Expression:
    if not indices:
        return ONE if operation == FIRST else body
    return reduce(operation, indices, body)


def _settled(bracket: Bracket) -> Expression:
    """The bracket, or 1 or 0 where its sides are numbers or the same."""
    if not bracket.compares_subscripts:
        return bracket
    values = [side.value for side in bracket.sides if isinstance(side, Number)]
    if bracket.relations == ("=",) and values[0] == values[1]:
        return ONE
    constants = [value.constant for value in values]
    if any(constant is None for constant in constants):
        return bracket
    numbers = [constant or Fraction(0) for constant in constants]
    holds = all(
        {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b}[relation]
        for a, b, relation in zip(numbers, numbers[1:], bracket.relations, strict=False)
    )
    return ONE if holds else ZERO
