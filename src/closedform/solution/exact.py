"""Exact values fast: whole numbers that float64 holds without rounding, divided once at the end.

`evaluate_exactly` works entry by entry in fractions, which takes seconds for a layer of some thousand
products.  A line of sums, products, maxima and ReLU of whole numbers gives whole numbers; as long as no sum
of their sizes can pass 2⁵³, vectorised float64 arithmetic makes no error.  What does not fit that is left
to fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import FormulaError
from closedform.formula.evaluate import evaluate, evaluate_exactly
from closedform.formula.extents import Sizes
from closedform.formula.table import stabilise
from closedform.formula.tree import (
    FIRST,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    children,
    number,
    times,
    walk,
)

Array = NDArray[Any]

MOST_EXACT = 5_000  # terms that are added one by one in fractions; more would take seconds
_LARGEST = 2**53
_IRRATIONAL = {"exp", "log", "sqrt", "sigmoid", "tanh", "softplus"}
_WHOLE_FUNCTIONS = {"relu", "step", "abs"}


def value_of(equation: Equation, arrays: Mapping[str, Array], sizes: Sizes) -> Array:
    """The value of one line.

    Parameters
    ----------
    arrays
        What the line reads, of dtype object where it is exact.

    Returns
    -------
    numpy.ndarray
        Fractions (dtype object) where all that is read is exact, the line has a value in fractions, and
        working it out does not take seconds; else float64.
    """
    read = {tensor: arrays[tensor] for tensor in equation.tensors}
    if all(array.dtype == object for array in read.values()):
        found = None if is_irrational(equation) else _whole_value(equation, read, sizes)
        if found is not None:
            return found
        if work(equation, sizes) <= MOST_EXACT:
            with suppress(FormulaError):  # sigmoid(0) is 1/2, sigmoid(1) no fraction
                return evaluate_exactly(equation, read, sizes)
    line = Equation(equation.left, stabilise(equation.right)) if is_irrational(equation) else equation
    return evaluate(line, {tensor: array.astype(np.float64) for tensor, array in read.items()}, sizes)


def work(equation: Equation, sizes: Sizes) -> int:
    """How many terms the line adds up."""
    return math.prod(sizes.extent(index) for index in equation.indices)


def is_irrational(equation: Equation) -> bool:
    """Whether the line holds a function that has no value in fractions."""
    return any(isinstance(node, Function) and node.name in _IRRATIONAL for node in walk(equation.right))


def _whole_value(equation: Equation, read: Mapping[str, Array], sizes: Sizes) -> Array | None:
    """The value by float64 arithmetic on whole numbers, None where that might round."""
    factors = equation.right.factors if isinstance(equation.right, Times) else (equation.right,)
    scale = Fraction(1)
    for factor in factors:
        if isinstance(factor, Number):
            if not factor.value.names <= set(sizes.settings):
                return None
            scale *= factor.value.value(sizes.values)
    body = times(number(1), *[factor for factor in factors if not isinstance(factor, Number)])
    degrees = _degrees(body)
    divisors = {tensor: _common_divisor(array) for tensor, array in read.items()}
    for tensor, divisor in divisors.items():
        if divisor != 1 and (degrees is None or tensor not in degrees):
            return None
    whole = {
        tensor: np.array([int(entry * divisors[tensor]) for entry in array.ravel()], object).reshape(
            array.shape
        )
        for tensor, array in read.items()
    }
    largest = {
        tensor: max((abs(entry) for entry in array.ravel()), default=0) for tensor, array in whole.items()
    }
    bound = _bound(body, largest, sizes)
    if bound is None or bound >= _LARGEST:
        return None
    line = Equation(equation.left, body)
    result = evaluate(line, {tensor: array.astype(np.float64) for tensor, array in whole.items()}, sizes)
    for tensor, degree in (degrees or {}).items():
        scale /= Fraction(divisors[tensor]) ** degree
    found = np.empty(result.shape, object)
    for place, entry in zip(np.ndindex(result.shape), result.ravel().tolist(), strict=True):
        found[place] = int(entry) * scale
    return found


def _common_divisor(array: Array) -> int:
    return math.lcm(*{entry.denominator for entry in array.ravel()})


def _degrees(expression: Expression) -> dict[str, int] | None:
    """How often each tensor is multiplied, in every term alike; None where that differs or is unclear."""
    match expression:
        case Number():
            return {}
        case Access(tensor, _):
            return {tensor: 1}
        case Times(factors):
            total: dict[str, int] = {}
            for factor in factors:
                own = _degrees(factor)
                if own is None:
                    return None
                for tensor, degree in own.items():
                    total[tensor] = total.get(tensor, 0) + degree
            return total
        case Power(base, exponent) if exponent > 0:
            own = _degrees(base)
            return None if own is None else {tensor: exponent * degree for tensor, degree in own.items()}
        case Reduce(operation, _, body) if operation != FIRST:
            return _degrees(body)
        case Plus(terms):
            found = [_degrees(term) for term in terms]
            return found[0] if all(own == found[0] for own in found) else None
        case Function("relu" | "abs", argument):
            return _degrees(argument)
        case Bracket() if expression.compares_subscripts:
            return {}
        case _:
            # step(X) and first(X) do not change when X is multiplied by a positive number
            compared = {a.tensor for a in walk(expression) if isinstance(a, Access)}
            is_selection = (isinstance(expression, Reduce) and expression.operation == FIRST) or (
                isinstance(expression, Function) and expression.name == "step"
            )
            inner = _degrees(children(expression)[0]) if is_selection else None
            return dict.fromkeys(compared, 0) if inner is not None else None


def _bound(expression: Expression, largest: Mapping[str, int], sizes: Sizes) -> int | None:
    """What no value, and no sum on the way to it, can pass; None where a value may not be whole."""
    match expression:
        case Number(value):
            constant = value.value(sizes.values) if value.names <= set(sizes.settings) else None
            return abs(int(constant)) if constant is not None and constant.denominator == 1 else None
        case Access(tensor, _):
            return largest[tensor]
        case Bracket():
            return 1
        case Times(factors):
            bounds = [_bound(factor, largest, sizes) for factor in factors]
            return None if None in bounds else math.prod(bound or 0 for bound in bounds)
        case Plus(terms):
            bounds = [_bound(term, largest, sizes) for term in terms]
            return None if None in bounds else sum(bound or 0 for bound in bounds)
        case Power(base, exponent) if exponent > 0:
            bound = _bound(base, largest, sizes)
            return None if bound is None else bound**exponent
        case Function(name, argument) if name in _WHOLE_FUNCTIONS:
            bound = _bound(argument, largest, sizes)
            return None if bound is None else max(bound, 1)
        case Reduce(operation, indices, body):
            bound = _bound(body, largest, sizes)
            if bound is None:
                return None
            return bound * math.prod(map(sizes.extent, indices)) if operation == "sum" else max(bound, 1)
        case _:
            return None
