"""One entry of a line, written out term by term, in names and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.lines import Line
from closedform.formula.evaluate import evaluate
from closedform.formula.notation import text
from closedform.formula.subscripts import Atom, Polynomial, digits
from closedform.formula.tree import (
    SUM,
    ZERO,
    Access,
    Equation,
    Expression,
    Number,
    Plus,
    Reduce,
    Times,
    free_names,
    replace_access,
    substitute_free,
    walk,
)

Array = npt.NDArray[Any]
Value = Fraction | float

_MOST_TERMS = 6
_MOST_VALUES = 2_000  # that are looked at for one entry
_LONGEST = 240
_LARGEST_DENOMINATOR = 1000
_LONGEST_PART = 32


@dataclass(frozen=True)
class Term:
    """A product: a number, and factors with their names and values."""

    number: Fraction
    names: tuple[str, ...]
    values: tuple[Value, ...]

    @property
    def value(self) -> Value:
        """What it comes to."""
        total: Value = self.number
        for value in self.values:
            total = total * value
        return total


def number_text(value: Value) -> str:
    """A number as one writes it: 7/4, -3, 0.25."""
    if isinstance(value, Fraction):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.6g}"


class Expansion:
    """Writes out entries of one line for given arrays.

    Parameters
    ----------
    line, arrays
        The line, and the numbers of every tensor that it reads.
    first_index
        From which number entries are counted.
    """

    def __init__(self, line: Line, arrays: Mapping[str, Array], first_index: int = 0):
        self.line, self.first_index = line, first_index
        self.arrays = {name: np.asarray(array) for name, array in line.completed(arrays).items()}
        self.defined = {definition.left.tensor for definition in line.definitions}
        self.count = 0  # of the terms of one entry

    def entry(self, place: tuple[int, ...]) -> tuple[Value, str]:
        """The value at a place, and ``1/4·x11 + 1/4·x12 = 1/4·3 + 1/4·4 = 7/4``."""
        self.count = 0
        names: dict[str, int | Fraction] = dict(self.line.sizes.values)
        for subscript, position in zip(self.line.equation.left.subscripts, place, strict=True):
            names.update(self._solved(subscript, position))
        terms = self._terms(self.line.equation.right, names)
        if terms is None:
            return self._whole(place), ""
        total: Value = sum((term.value for term in terms), Fraction(0))
        return total, self._written(terms, total)

    def _whole(self, place: tuple[int, ...]) -> Value:
        return float(evaluate(self.line.equation, self.arrays, self.line.sizes)[place]) + 0.0

    def _solved(self, subscript: Polynomial, position: int) -> dict[str, int]:
        order = [subscript.lone] if subscript.lone else digits(subscript) or []
        found = {}
        for name in reversed([name for name in order if name]):
            position, found[name] = divmod(position, self.line.sizes.extent(name))
        return found

    def _terms(self, expression: Expression, names: dict[str, int | Fraction]) -> list[Term] | None:
        """The terms at one place; None where there are too many to write out."""
        match expression:
            case Plus(terms):
                return self._joined([self._terms(term, names) for term in terms])
            case Reduce(operation, indices, body) if operation == SUM:
                found: list[list[Term] | None] = []
                for values in product(*[range(self.line.sizes.extent(index)) for index in indices]):
                    self.count += 1
                    if self.count > _MOST_VALUES:
                        return None
                    found.append(self._terms(body, {**names, **dict(zip(indices, values, strict=True))}))
                return self._joined(found)
            case Number(value):
                number = value.value(names)
                return [Term(number, (), ())] if number else []
            case Times(factors):
                return self._product(factors, names)
            case Access():
                return self._read(expression, names)
            case _:
                worth = self._value(expression, names)
                return [Term(Fraction(1), (self._part_text(expression, names, worth),), (worth,))]

    def _joined(self, parts: list[list[Term] | None]) -> list[Term] | None:
        found: list[Term] = []
        for part in parts:
            if part is None:
                return None
            found += part
        return found

    def _product(
        self, factors: tuple[Expression, ...], names: dict[str, int | Fraction]
    ) -> list[Term] | None:
        found = [Term(Fraction(1), (), ())]
        for factor in factors:
            inner = self._terms(factor, names)
            if inner is None:
                return None
            if isinstance(factor, Plus) and inner:
                value = sum((term.value for term in inner), Fraction(0))
                inner = [Term(Fraction(1), (f"({self._sum(inner)})",), (value,))]
            found = [
                Term(one.number * two.number, one.names + two.names, one.values + two.values)
                for one in found
                for two in inner
            ]
            if not found:
                return []
        return found

    def _read(self, access: Access, names: dict[str, int | Fraction]) -> list[Term]:
        array = self.arrays[access.tensor]
        place = []
        for subscript, length in zip(access.subscripts, array.shape, strict=True):
            position = subscript.value(names)
            if position.denominator != 1 or not 0 <= position < length:
                return []
            place.append(int(position))
        value = as_number(array[tuple(place)])
        if access.tensor in self.defined and value in (0, 1):
            return [] if value == 0 else [Term(Fraction(1), (), ())]
        return [Term(Fraction(1), (self.name(access.tensor, tuple(place)),), (value,))]

    def name(self, tensor: str, place: tuple[int, ...]) -> str:
        """An entry's name, ``x12`` or ``X[0,1]``; axes of one entry are left out."""
        shape = self.arrays[tensor].shape if tensor in self.arrays else self.line.shape
        return entry_name(tensor, place, shape, self.first_index)

    def _value(self, expression: Expression, names: dict[str, int | Fraction]) -> Value:
        """The value of a part that is no sum of products."""
        alone = Equation(Access("value", ()), self._placed(expression, names))
        return as_number(evaluate(alone, self.arrays, self.line.sizes)[()])

    def _placed(self, expression: Expression, names: dict[str, int | Fraction]) -> Expression:
        values: dict[Atom, Polynomial] = {
            name: Polynomial.of(names[name]) for name in free_names(expression) if name in names
        }
        return substitute_free(expression, values)

    def _part_text(self, expression: Expression, names: dict[str, int | Fraction], value: Value) -> str:
        """A part in names, ``step(x12)``; its value where it is long."""

        def named(access: Access) -> Expression:
            place = [subscript.constant for subscript in access.subscripts]
            shape = self.arrays[access.tensor].shape
            if any(k is None or not 0 <= k < n for k, n in zip(place, shape, strict=True)):
                return ZERO
            return Access(self.name(access.tensor, tuple(int(k or 0) for k in place)), ())

        if any(isinstance(node, Reduce) for node in walk(expression)):
            return number_text(value)
        written = text(replace_access(self._placed(expression, names), named))
        return written if len(written) <= _LONGEST_PART else number_text(value)

    def _sum(self, terms: list[Term]) -> str:
        return _signed([_term_text(term, term.names) for term in terms])

    def _written(self, terms: list[Term], total: Value) -> str:
        terms = [term for term in terms if term.number]
        if not terms:
            return "0"
        found = ""
        for most in range(_MOST_TERMS, 0, -1):  # fewer terms where they are long
            shown = terms[:most]
            rest = f" + … ({len(terms)} terms)" if len(terms) > len(shown) else ""
            symbols = _signed([_term_text(term, term.names) for term in shown]) + rest
            numbers = _signed([_term_text(term, map(_closed, term.values)) for term in shown]) + rest
            found = " = ".join(dict.fromkeys([symbols, numbers, number_text(total)]))
            if len(found) <= _LONGEST:
                break
        return found


def entry_name(tensor: str, place: tuple[int, ...], shape: tuple[int, ...], first_index: int) -> str:
    """An entry's name; axes of one entry are left out, and counted from 1 it is ``x12``."""
    kept = [position + first_index for position, length in zip(place, shape, strict=True) if length > 1]
    if not kept:
        return tensor
    if first_index == 1 and all(position < 10 for position in kept):
        return (tensor.lower() if len(tensor) == 1 else tensor) + "".join(map(str, kept))
    return f"{tensor}[{','.join(map(str, kept))}]"


def as_number(value: Any) -> Value:
    """The fraction that a floating-point number stands for, where it is a simple one."""
    if isinstance(value, Fraction):
        return value
    number = float(value)
    near = Fraction(number).limit_denominator(_LARGEST_DENOMINATOR)
    return near if float(near) == number else number


def _term_text(term: Term, factors: Any) -> str:
    inside = "·".join(factors)
    if not inside:
        return number_text(term.number)
    if term.number == 1:
        return inside
    if term.number == -1:
        return "-" + inside
    return f"{number_text(term.number)}·{inside}"


def _closed(value: Value) -> str:
    written = number_text(value)
    return f"({written})" if written.startswith("-") else written


def _signed(terms: list[str]) -> str:
    written = terms[0]
    for term in terms[1:]:
        written += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return written
