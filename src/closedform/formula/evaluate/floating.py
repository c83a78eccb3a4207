"""The value of a formula: in floating point by strided windows and matrix products, or exactly.

What a formula means (both evaluations hold to it):

- A tensor read outside its extent, or between its entries, is 0, and a product with such a factor is 0
  whatever its other factors are, 1/0 and log(0) among them; so is a product with a bracket that does
  not hold.  A function of such a read is the function of 0.
- A term of a maximum that reads outside takes no part.  A sum reads outside where all its terms do.
- The maximum of terms among which one is NaN is NaN; ``first`` marks the first such term.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from closedform.errors import DataError, ShapeError
from closedform.formula.evaluate.exact import evaluate_exactly
from closedform.formula.evaluate.labelled import (
    Array,
    Labelled,
    any_over,
    contract,
    first_maximum,
    masked,
    reduced,
    union,
)
from closedform.formula.evaluate.reading import Reader, check_arrays, empty_window
from closedform.formula.extents import Shape, Sizes
from closedform.formula.subscripts import Polynomial, digits
from closedform.formula.tree import (
    FIRST,
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
    free_names,
    is_divisor,
)

__all__ = ["evaluate", "evaluate_exactly"]


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    result: Array = np.where(x < 0, small, x.dtype.type(1)) / (1 + small)
    return result


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "step": lambda x: (x > 0).astype(x.dtype),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "softplus": lambda x: np.logaddexp(x, 0),
}
_FINITE_OF_FINITE = {"relu", "step", "sigmoid", "tanh", "abs", "softplus"}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
}


def evaluate(equation: Equation, arrays: Mapping[str, Array], sizes: Sizes) -> Array:
    """The values of the left-hand side, vectorised.

    Parameters
    ----------
    equation
        The formula.
    arrays
        Every tensor that the formula reads, by name; a Jacobian under ``"∂Y/∂X"``.
    sizes
        What `solve` made of the formula and the arrays' shapes.

    Returns
    -------
    numpy.ndarray
        A new array of the shape that `sizes` has for the tensor on the left, else as large as its indices
        reach.  Its dtype is the common one of the arrays read, float64 where they are not floating point
        or none is read.  float16 is computed in float32 and rounded once, at the end.

    Raises
    ------
    ShapeError
        Where an array is missing or has another shape than `sizes` says, or where every term of a maximum
        reads outside.
    DataError
        Where an array does not hold real numbers.

    Notes
    -----
    Infinities and NaN follow IEEE 754 without a warning.  Where the data itself holds them, a convolution
    may multiply them by the zeros of its padding.
    """
    read = {name: np.asarray(arrays[name]) for name in equation.tensors if name in arrays}
    sizes = check_arrays(equation, {name: array.shape for name, array in read.items()}, sizes)
    for name, array in read.items():
        if array.dtype.kind not in "fiub":
            raise DataError(
                f"{name} holds {array.dtype}: evaluate takes real floating-point numbers, "
                "evaluate_exactly takes fractions"
            )
    dtype = (
        np.result_type(*[array.dtype for array in read.values()]).newbyteorder("=")
        if read
        else np.dtype(np.float64)
    )
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    working = np.dtype(np.float32) if dtype == np.float16 else dtype
    with np.errstate(all="ignore"):
        evaluator = _Evaluator(
            equation,
            {name: array.astype(working, copy=False) for name, array in read.items()},
            sizes,
            working,
        )
        result = evaluator.left(evaluator.value(equation.right)).astype(dtype, copy=False)
    if result.flags.carray and not any(np.may_share_memory(result, array) for array in read.values()):
        return result
    return result.copy()


class _Evaluator:
    def __init__(self, equation: Equation, arrays: Mapping[str, Array], sizes: Sizes, dtype: np.dtype[Any]):
        self.equation, self.arrays, self.sizes, self.dtype = equation, arrays, sizes, dtype
        self.reader = Reader(equation.indices, sizes)
        self.indices = frozenset(equation.indices)
        self.inside_maximum = False

    def value(self, expression: Expression) -> Labelled:
        """The expression over all values of its free indices."""
        match expression:
            case Number(value):
                return self.number(value)
            case Access():
                return self.reader.read(expression, self.arrays[expression.tensor])
            case Jacobian():
                return self.value(expression.access)
            case Plus(terms):
                return self.plus([self.value(term) for term in terms])
            case Times(factors):
                return self.product(factors, ())
            case Power():
                return self.product((expression,), ())
            case Function(name, argument):
                return self.pointwise(argument, _FUNCTIONS[name])
            case Bracket():
                return self.bracket(expression)
            case Reduce(operation, indices, body):
                return self.sum(indices, body) if operation == SUM else self.maximum(expression)

    def number(self, value: Polynomial) -> Labelled:
        labels = self.reader.labels(value)
        if not labels:
            return Labelled(np.asarray(self.rounded(self.reader.constant(value))), ())
        numerators, divisor = self.reader.numbers(value, labels)
        return Labelled(numerators.astype(self.dtype) / self.dtype.type(divisor), labels)

    def rounded(self, value: Fraction) -> Any:
        """A fraction in the working precision, infinite where it is too large for float64."""
        if self.dtype.itemsize <= 8:
            try:
                return self.dtype.type(float(value))
            except OverflowError:
                return self.dtype.type(math.inf if value > 0 else -math.inf)
        return self.dtype.type(value.numerator) / self.dtype.type(value.denominator)

    def extents(self, labels: Iterable[str]) -> dict[str, int]:
        return {label: self.sizes.extent(label) for label in labels}

    def ordered(self, labels: Collection[str]) -> tuple[str, ...]:
        return tuple(index for index in self.equation.indices if index in labels)

    def pointwise(self, argument: Expression, function: Callable[[Array], Array]) -> Labelled:
        if isinstance(argument, Access):
            array = self.arrays[argument.tensor]
            reads = math.prod(self.extents(free_names(argument) & self.indices).values())
            if array.size <= reads:  # each entry once, however many windows it is in
                outside = function(np.zeros((), self.dtype))
                return self.reader.read(argument, np.asarray(function(array)), fill=float(outside))
        value = self.value(argument)
        return Labelled(np.asarray(function(value.array)), value.labels)

    def plus(self, terms: Sequence[Labelled]) -> Labelled:
        labels = self.ordered(union(terms))
        total = terms[0].along(labels)
        for term in terms[1:]:
            total = total + term.along(labels)
        return Labelled(np.asarray(total), labels)

    # ---- products and sums of products

    def sum(self, indices: Sequence[str], body: Expression) -> Labelled:
        if isinstance(body, Plus) and any(map(self.is_contraction, body.terms)):
            return self.plus([self.sum(indices, term) for term in body.terms])
        return self.product(body.factors if isinstance(body, Times) else (body,), indices)

    def is_contraction(self, term: Expression) -> bool:
        """Whether no factor of the term has all its indices, so that summing it first saves room."""
        own = free_names(term) & self.indices
        return isinstance(term, Times) and all(free_names(f) & self.indices < own for f in term.factors)

    def product(self, factors: Sequence[Expression], summed: Sequence[str]) -> Labelled:
        """The product of the factors, summed over indices."""
        constant = Fraction(1)
        operands: list[Labelled] = []
        # the operands that may be infinite or NaN though the data is not; beside a bracket the data counts
        doubtful: list[int] = []
        has_bracket = len(factors) > 1 and any(isinstance(factor, Bracket) for factor in factors)
        for k, factor in enumerate(factors):
            if isinstance(factor, Number) and not factor.value.names & self.indices:
                constant *= self.reader.constant(factor.value)
                continue
            if has_bracket or not _is_finite(factor):
                doubtful.append(len(operands))
            others = [free_names(other) for other in (*factors[:k], *factors[k + 1 :])]
            lonely = free_names(factor).intersection(summed).difference(*others)
            operands.append(self.factor(factor, lonely))
        doubtful = [k for k in doubtful if not np.isfinite(operands[k].array).all()]
        if doubtful:
            masks = [mask for factor in factors for mask in self.zeros(factor)]
            for k in doubtful:
                operands[k] = masked(operands[k], masks, 0)
        labels = self.ordered(set(union(operands)).difference(summed))
        for index in summed:
            if not any(index in free_names(factor) for factor in factors):
                constant *= self.sizes.extent(index)
        if not operands:
            return Labelled(np.asarray(self.rounded(constant)), ())
        result = contract(operands, labels)
        if constant == 1:
            return result
        return Labelled(np.asarray(result.array * self.rounded(constant)), result.labels)

    def factor(self, factor: Expression, lonely: Collection[str]) -> Labelled:
        """One factor of a product, those indices summed where that saves work that it alone has."""
        if isinstance(factor, Access) and lonely:
            return self.reader.read(*self.reader.summed_first(factor, self.arrays[factor.tensor], lonely))
        if isinstance(factor, Power):
            exponent = factor.exponent
            return self.pointwise(
                factor.base, lambda x: 1 / np.power(x, -exponent) if exponent < 0 else np.power(x, exponent)
            )
        return self.value(factor)

    def zeros(self, factor: Expression) -> list[Labelled]:
        """Masks, one of which is false wherever the factor makes its product 0."""
        if isinstance(factor, Bracket):
            value = self.bracket(factor)
            return [Labelled(value.array != 0, value.labels)]
        base = factor.base if isinstance(factor, Power) else factor
        return self.present(base) if isinstance(base, Access | Jacobian) else []

    def bracket(self, bracket: Bracket) -> Labelled:
        labels = self.ordered(free_names(bracket))
        holds = np.ones((), bool)
        for (left, right), relation in zip(pairwise(bracket.sides), bracket.relations, strict=True):
            if isinstance(left, Number) and isinstance(right, Number):
                (a, below_a), (b, below_b) = (
                    self.reader.numbers(side.value, labels) for side in (left, right)
                )
                a, b = a * below_b, b * below_a
            else:
                a, b = (self.value(side).along(labels) for side in (left, right))
            holds = holds & _RELATIONS[relation](a, b)
        held = Labelled(holds, labels).spread(self.extents(labels))
        return Labelled(held.astype(self.dtype), labels)

    # ---- maxima

    def maximum(self, node: Reduce) -> Labelled:
        """``max`` and ``first``."""
        masks = self.present(node.body)
        if isinstance(node.body, Access):
            terms = self.reader.read(node.body, self.arrays[node.body.tensor], fill=-math.inf)
        else:
            nested, self.inside_maximum = self.inside_maximum, True
            terms = masked(self.value(node.body), masks, -math.inf)
            self.inside_maximum = nested
        absent = [index for index in node.indices if index not in terms.labels]
        if absent:
            labels = (*absent, *terms.labels)
            terms = Labelled(terms.spread(self.extents(labels)), labels)
        windows = any_over(masks, node.indices)
        if not self.inside_maximum:
            self.check_windows(node, windows)
        if node.operation == FIRST:
            return first_maximum(terms, node.indices, masks)
        result = reduced(terms, node.indices, np.maximum)
        return masked(result, windows, 0) if self.inside_maximum else result

    def check_windows(self, node: Reduce, windows: Sequence[Labelled]) -> None:
        for window in windows:
            if not window.array.all():
                place = np.argwhere(~window.array)[0]
                raise empty_window(node, dict(zip(window.labels, map(int, place), strict=True)))

    def present(self, expression: Expression) -> list[Labelled]:
        """Masks that are all true where the expression does not read outside."""
        match expression:
            case Access():
                return self.reader.inside(expression, self.arrays[expression.tensor].shape)
            case Jacobian():
                return self.present(expression.access)
            case Reduce(operation, indices, body) if operation != FIRST:
                return any_over(self.present(body), indices)
            case _:
                return [mask for child in children(expression) for mask in self.present(child)]

    # ---- the left-hand side

    def left(self, value: Labelled) -> Array:
        """The value laid out as the left-hand side says; entries that nothing writes are 0."""
        left = self.equation.left
        shape = self.sizes.shapes.get(left.tensor)
        radices = [[s.lone] if s.lone else digits(s) or [] for s in left.subscripts]
        order = [index for radix in radices for index in radix]
        if all(radices) and len(set(order)) == len(order):
            lengths = [math.prod(self.extents(radix).values()) for radix in radices]
            entries = value.spread(self.extents(order)).reshape(lengths)
            if shape is None or entries.shape == shape:
                return entries
            reach: Shape = entries.shape
            places: tuple[Any, ...] = tuple(map(slice, reach))
        else:
            labels = self.equation.left_indices
            entries = value.spread(self.extents(labels))
            positions = [self.reader.numbers(subscript, labels) for subscript in left.subscripts]
            if any(divisor != 1 or numerators.min() < 0 for numerators, divisor in positions):
                raise ShapeError(
                    f"the left side of {self.equation} is not everywhere an entry, counted from 0"
                )
            reach = tuple(int(numerators.max()) + 1 for numerators, _ in positions)
            places = tuple(numerators for numerators, _ in positions)
        if shape is not None and any(here > there for here, there in zip(reach, shape, strict=True)):
            raise ShapeError(
                f"{left.tensor} has shape {shape}, but {self.equation} writes entries up to {reach}"
            )
        result = np.zeros(shape or reach, self.dtype)
        result[places] = entries
        return result


def _is_finite(expression: Expression) -> bool:
    """Whether the value is finite wherever the data is, overflow aside."""
    if is_divisor(expression):
        return False
    if isinstance(expression, Function) and expression.name not in _FINITE_OF_FINITE:
        return False
    return all(map(_is_finite, children(expression)))
