"""Point-wise expressions as code: the bodies of stride tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

from closedform.engine.functions import emit_function
from closedform.engine.functions import power as emit_power
from closedform.engine.ir import Builder, Value, number
from closedform.formula.tree import (
    Access,
    Bracket,
    Expression,
    Function,
    Number,
    Plus,
    Power,
    Times,
    is_divisor,
    is_negative,
    negative,
    power,
    times,
)

_RELATIONS = {"<": "olt", "<=": "ole", "=": "oeq", "!=": "une"}


def emit_body(build: Builder, body: Expression | None, values: Sequence[Value], kind: str) -> Value:
    """The value of a body.

    Parameters
    ----------
    build
        Where the code goes.
    body
        ``Access("0", ())``, ``Access("1", ())``, … are the values; None is the product of all.
    values
        What the body reads.
    kind
        The type of the result.
    """
    if body is not None:
        return _Body(build, values, kind).value(body)
    return _chain(build.fmul, values) if values else number(1.0, kind)


class _Body:
    """Works out one expression, each part of it once."""

    def __init__(self, build: Builder, values: Sequence[Value], kind: str):
        self.build, self.values, self.kind = build, values, kind
        self.known: dict[Expression, Value] = {}

    def value(self, node: Expression) -> Value:
        if node not in self.known:
            self.known[node] = self._value(node)
        return self.known[node]

    def _value(self, node: Expression) -> Value:
        build = self.build
        match node:
            case Number(value):
                return number(float(value.value({})), self.kind)
            case Access(position, ()):
                return self.values[int(position)]
            case Function(name, argument):
                return emit_function(build, name, self.value(argument))
            case Power(base, exponent):
                return emit_power(build, self.value(base), Fraction(exponent))
            case Times(factors):
                return self._product(factors)
            case Plus(terms):
                added = [self.value(term) for term in terms if not is_negative(term)]
                taken = [self.value(negative(term)) for term in terms if is_negative(term)]
                if not added:
                    return build.fneg(_chain(build.fadd, taken))
                total = _chain(build.fadd, added)
                for other in taken:
                    total = build.fsub(total, other)
                return total
            case Bracket():
                return self._where([node], number(1.0, self.kind))
        raise TypeError(f"{node} is not point-wise")

    def _product(self, factors: Sequence[Expression]) -> Value:
        """A product; one with a condition that does not hold is 0 whatever the rest."""
        build = self.build
        conditions = [factor for factor in factors if isinstance(factor, Bracket)]
        rest = [factor for factor in factors if not isinstance(factor, Bracket)]
        if conditions:
            return self._where(conditions, self.value(times(*rest)))
        above = [self.value(factor) for factor in rest if not is_divisor(factor)]
        below = [self.value(_turned_over(factor)) for factor in rest if is_divisor(factor)]
        top = _chain(build.fmul, above) if above else number(1.0, self.kind)
        for divisor in below:
            top = build.fdiv(top, divisor)
        return top

    def _where(self, conditions: Sequence[Bracket], value: Value) -> Value:
        for condition in conditions:
            sides = [self.value(side) for side in condition.sides]
            for relation, (left, right) in zip(condition.relations, pairwise(sides), strict=True):
                holds = self.build.compare(_RELATIONS[relation], left, right)
                value = self.build.select(holds, value, number(0.0, self.kind))
        return value


def _turned_over(divisor: Expression) -> Expression:
    return power(divisor.base, -divisor.exponent) if isinstance(divisor, Power) else divisor


def _chain(join: Callable[[Value, Value], Value], values: Sequence[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = join(result, value)
    return result
