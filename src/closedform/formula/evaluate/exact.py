"""The value of a formula in exact fractions, entry by entry, as one would work it out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product
from math import prod
from operator import eq, le, lt, ne
from typing import Any

import numpy as np

from closedform.errors import DataError, FormulaError, SettingError, ShapeError
from closedform.formula.evaluate.labelled import Array
from closedform.formula.evaluate.reading import check_arrays, empty_window
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    FIRST,
    MAX,
    SUM,
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
    children,
)

Names = dict[str, int | Fraction]  # every setting, every extent, and the indices at one entry

_FUNCTIONS: dict[str, Callable[[Fraction], Fraction]] = {
    "relu": lambda x: max(x, Fraction(0)),
    "step": lambda x: Fraction(x > 0),
    "abs": abs,
}
# where other functions have a value in fractions: everywhere else they have none
_POINTS: dict[str, dict[Fraction, Fraction]] = {
    "exp": {Fraction(0): Fraction(1)},
    "log": {Fraction(1): Fraction(0)},
    "sigmoid": {Fraction(0): Fraction(1, 2)},
    "tanh": {Fraction(0): Fraction(0)},
    "sqrt": {Fraction(0): Fraction(0), Fraction(1): Fraction(1)},
}
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "!=": ne, "<": lt, "<=": le}


def evaluate_exactly(equation: Equation, arrays: Mapping[str, Array], sizes: Sizes) -> Array:
    """The values of the left-hand side as fractions, for small arrays.

    Parameters
    ----------
    equation
        The formula; of the functions it may hold ``relu``, ``step`` and ``abs``, and others where their value
        is a fraction, as sigmoid(0) is.
    arrays
        Every tensor that the formula reads, by name: whole numbers, fractions, or floating-point numbers,
        which are taken for the fractions that they are.
    sizes
        What `solve` made of the formula and the arrays' shapes.

    Returns
    -------
    numpy.ndarray
        Of dtype object, holding `fractions.Fraction`; shaped as `evaluate` shapes it.

    Raises
    ------
    FormulaError
        Where a function has no value in fractions.
    ShapeError
        Where an array is missing or has another shape than `sizes` says, or where every term of a maximum
        reads outside.
    DataError
        Where an entry is no number that a fraction can be, or a division is by 0.
    """
    read = {name: np.asarray(arrays[name]) for name in equation.tensors if name in arrays}
    sizes = check_arrays(equation, {name: array.shape for name, array in read.items()}, sizes)
    evaluator = _Exact(equation, {name: _fractions(name, array) for name, array in read.items()}, sizes)
    left, indices = equation.left, equation.left_indices
    entries: dict[tuple[int, ...], Fraction] = {}
    for names in evaluator.over(indices, dict(sizes.values)):
        entries[tuple(evaluator.whole(subscript, names) for subscript in left.subscripts)] = evaluator.value(
            equation.right, names
        )
    written = tuple(max(position) + 1 for position in zip(*entries, strict=True))
    shape = sizes.shapes.get(left.tensor, written)
    if any(here > there for here, there in zip(written, shape, strict=True)):
        raise ShapeError(f"{left.tensor} has shape {shape}, but {equation} writes entries up to {written}")
    result = np.full(shape, Fraction(0), object)
    for position, value in entries.items():
        result[position] = value
    return result


def _fractions(name: str, array: Array) -> Array:
    result = np.empty(array.shape, object)
    for position, entry in zip(np.ndindex(array.shape), array.ravel().tolist(), strict=True):
        try:
            result[position] = Fraction(*entry.as_integer_ratio())
        except (AttributeError, ValueError, OverflowError):
            raise DataError(f"{name}{list(position)} is {entry!r}, which is no fraction") from None
    return result


class _Exact:
    def __init__(self, equation: Equation, arrays: Mapping[str, Array], sizes: Sizes):
        self.equation, self.arrays, self.sizes = equation, arrays, sizes
        self.inside_maximum = False

    def over(self, indices: Sequence[str], names: Names) -> Iterator[Names]:
        """The names with every combination of values of the indices, in row order."""
        for numbers in product(*[range(self.sizes.extent(index)) for index in indices]):
            yield {**names, **dict(zip(indices, numbers, strict=True))}

    def number(self, value: Polynomial, names: Names) -> Fraction:
        try:
            return value.value(names)
        except KeyError as missing:
            raise ShapeError(f"no value for {missing.args[0]} of {value!r}") from None
        except ZeroDivisionError:
            raise SettingError(f"{value!r} divides by 0") from None

    def whole(self, subscript: Polynomial, names: Names) -> int:
        position = self.number(subscript, names)
        if position.denominator != 1 or position < 0:
            raise ShapeError(f"the left side of {self.equation} is not everywhere an entry, counted from 0")
        return int(position)

    def value(self, expression: Expression, names: Names) -> Fraction:
        match expression:
            case Number(value):
                return self.number(value, names)
            case Access(tensor, subscripts):
                if not self.present(expression, names):
                    return Fraction(0)
                entry: Fraction = self.arrays[tensor][tuple(int(s.value(names)) for s in subscripts)]
                return entry
            case Jacobian():
                return self.value(expression.access, names)
            case Plus(terms):
                return sum((self.value(term, names) for term in terms), Fraction(0))
            case Times(factors):
                return self.product(factors, names)
            case Power():
                return self.product((expression,), names)
            case Function(name, argument):
                if name not in _FUNCTIONS:
                    at = self.value(argument, names) if name in _POINTS else None
                    if at in _POINTS.get(name, {}):
                        return _POINTS[name][at]
                    line = str(self.equation)
                    raise FormulaError(
                        f"{name} has no value in fractions: evaluate in floating point instead",
                        line,
                        max(0, line.find(name + "(")),
                    )
                return _FUNCTIONS[name](self.value(argument, names))
            case Bracket(sides, relations):
                values = [self.value(side, names) for side in sides]
                pairs = zip(pairwise(values), relations, strict=True)
                return Fraction(all(_RELATIONS[relation](a, b) for (a, b), relation in pairs))
            case Reduce(operation, indices, body) if operation == SUM:
                return sum((self.value(body, inner) for inner in self.over(indices, names)), Fraction(0))
            case Reduce():
                return self.maximum(expression, names)

    def product(self, factors: Sequence[Expression], names: Names) -> Fraction:
        if any(self.is_zero(factor, names) for factor in factors):
            return Fraction(0)
        return prod((self.power(factor, names) for factor in factors), start=Fraction(1))

    def is_zero(self, factor: Expression, names: Names) -> bool:
        """Whether the factor makes its product 0 whatever the other factors are."""
        if isinstance(factor, Bracket):
            return self.value(factor, names) == 0
        base = factor.base if isinstance(factor, Power) else factor
        return isinstance(base, Access | Jacobian) and not self.present(base, names)

    def power(self, factor: Expression, names: Names) -> Fraction:
        if not isinstance(factor, Power):
            return self.value(factor, names)
        base = self.value(factor.base, names)
        if base == 0 and factor.exponent < 0:
            place = ", ".join(
                f"{index} = {names[index]}" for index in self.equation.indices if index in names
            )
            raise DataError(f"{self.equation} divides by 0" + (f" at {place}" if place else ""))
        return base**factor.exponent

    def maximum(self, node: Reduce, names: Names) -> Fraction:
        """``max`` and ``first``."""
        best: Fraction | None = None
        place: Names = {}
        nested, self.inside_maximum = self.inside_maximum, True
        for inner in self.over(node.indices, names):
            if self.present(node.body, inner):
                value = self.value(node.body, inner)
                if best is None or value > best:
                    best, place = value, inner
        self.inside_maximum = nested
        if best is None:
            if nested:
                return Fraction(0)
            outer = [index for index in self.equation.indices if index in names and index not in node.indices]
            raise empty_window(node, {index: int(names[index]) for index in outer})
        return best if node.operation == MAX else Fraction(all(place[i] == names[i] for i in node.indices))

    def present(self, expression: Expression, names: Names) -> bool:
        """Whether the expression does not read outside."""
        match expression:
            case Access(tensor, subscripts):
                positions = [self.number(subscript, names) for subscript in subscripts]
                return all(
                    position.denominator == 1 and 0 <= position < length
                    for position, length in zip(positions, self.arrays[tensor].shape, strict=True)
                )
            case Jacobian():
                return self.present(expression.access, names)
            case Reduce(operation, indices, body) if operation != FIRST:
                return any(self.present(body, inner) for inner in self.over(indices, names))
            case _:
                return all(self.present(child, names) for child in children(expression))
