"""Point-wise expressions of stride tables, by NumPy's own functions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from closedform.engine.views import Array
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

Compiled = Callable[[Sequence[Array]], Any]


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    result: Array = np.where(x < 0, small, x.dtype.type(1)) / (1 + small)
    return result


def _softplus(x: Array) -> Array:
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def _step(x: Array) -> Array:
    return (x > 0).astype(x.dtype)


def _relu(x: Array) -> Array:
    result: Array = np.maximum(x, 0)
    return result


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": _relu,
    "step": _step,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "softplus": _softplus,
}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
}


def compiled(expression: Expression, dtype: np.dtype[Any]) -> Compiled:
    """A function of the inputs, arrays that broadcast, that works the expression out."""

    def inner(part: Expression) -> Compiled:
        return compiled(part, dtype)

    match expression:
        case Access(position, ()):
            return operator.itemgetter(int(position))
        case Number(value):
            number = dtype.type(value.value({}))
            return lambda inputs: number
        case Function(name, argument):
            function, of = _FUNCTIONS[name], inner(argument)
            return lambda inputs: function(of(inputs))
        case Power(base, exponent):
            return _power(inner(base), exponent, dtype)
        case Times(factors) if brackets := [factor for factor in factors if isinstance(factor, Bracket)]:
            rest = times(*[factor for factor in factors if not isinstance(factor, Bracket)])
            return _where([inner(bracket) for bracket in brackets], inner(rest), dtype)
        case Times(factors):
            above = [inner(factor) for factor in factors if not is_divisor(factor)]
            below = [inner(_turned_over(factor)) for factor in factors if is_divisor(factor)]
            return _quotient(above, below, dtype)
        case Plus(terms):
            added = [inner(term) for term in terms if not is_negative(term)]
            taken = [inner(negative(term)) for term in terms if is_negative(term)]
            return _difference(added, taken)
        case Bracket(sides, relations):
            return _bracket([inner(side) for side in sides], relations, dtype)
    raise TypeError(f"{expression} is not point-wise")


def _turned_over(divisor: Expression) -> Expression:
    return power(divisor.base, -divisor.exponent) if isinstance(divisor, Power) else divisor


def _power(base: Compiled, exponent: int, dtype: np.dtype[Any]) -> Compiled:
    one = dtype.type(1)

    def run(inputs: Sequence[Array]) -> Any:
        x = base(inputs)
        raised = x * x if abs(exponent) == 2 else x ** abs(exponent) if abs(exponent) > 2 else x
        return one / raised if exponent < 0 else raised

    return run


def _quotient(above: list[Compiled], below: list[Compiled], dtype: np.dtype[Any]) -> Compiled:
    one = dtype.type(1)

    def run(inputs: Sequence[Array]) -> Any:
        result = above[0](inputs) if above else one
        for factor in above[1:]:
            result = result * factor(inputs)
        for divisor in below:
            result = result / divisor(inputs)
        return result

    return run


def _difference(added: list[Compiled], taken: list[Compiled]) -> Compiled:
    def run(inputs: Sequence[Array]) -> Any:
        if added:
            result, rest = added[0](inputs), taken
        else:
            result, rest = -taken[0](inputs), taken[1:]
        for term in added[1:]:
            result = result + term(inputs)
        for term in rest:
            result = result - term(inputs)
        return result

    return run


def _where(brackets: list[Compiled], rest: Compiled, dtype: np.dtype[Any]) -> Compiled:
    """A product that is 0 where a bracket does not hold, be the rest infinite or NaN."""
    zero = dtype.type(0)

    def run(inputs: Sequence[Array]) -> Any:
        holds = brackets[0](inputs)
        for bracket in brackets[1:]:
            holds = holds * bracket(inputs)
        return np.where(holds != 0, rest(inputs), zero)

    return run


def _bracket(sides: list[Compiled], relations: tuple[str, ...], dtype: np.dtype[Any]) -> Compiled:
    def run(inputs: Sequence[Array]) -> Any:
        values = [side(inputs) for side in sides]
        holds: Any = True
        for relation, (left, right) in zip(relations, pairwise(values), strict=True):
            holds = holds & _RELATIONS[relation](left, right)
        return np.asarray(holds, dtype)

    return run
