"""Formulas of the language as mathematics for readers: under their names, counted from 0 or from 1."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from closedform.explanation.math import (
    Add,
    Apply,
    Chain,
    Condition,
    Derivative,
    Floor,
    Large,
    Marked,
    Math,
    Multiply,
    Negative,
    Numeral,
    Over,
    Part,
    Raised,
    Range,
    Remainder,
    Symbol,
)
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Atom, Polynomial, is_extent
from closedform.formula.subscripts import Floor as FloorAtom
from closedform.formula.tree import (
    FIRST,
    MAX,
    MINUS_ONE,
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
    is_negative,
    power,
    times,
)
from closedform.solution import Solution

_SHOWN_FUNCTIONS = {"relu": "ReLU"}
_OPERATIONS: dict[str, Literal["sum", "max", "first"]] = {SUM: "sum", MAX: "max", FIRST: "first"}


@dataclass(frozen=True)
class Context:
    """How the names of one line are written.

    Attributes
    ----------
    names
        The quantity that each tensor of the line is; a tensor that is none (a definition) is left out.
    indices
        Every index of the line.
    sizes
        For a line in which one's own numbers stand: ranges are written, and axes of one entry are not.
    parts
        The roles in which tensors are marked.
    number
        Written above the names of definitions.
    """

    names: Mapping[str, str]
    indices: frozenset[str]
    sizes: Sizes | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    number: str = ""


class Writer:
    """Writes the formulas of one solution.

    Parameters
    ----------
    solution
        The quantities, whose names are written.
    first
        The number of the first entry, 0 or 1.
    digits
        Significant digits of what is not exact.
    """

    def __init__(self, solution: Solution, first: int = 1, digits: int = 4):
        self.solution, self.first, self.digits = solution, first, digits
        lowered: dict[str, list[str]] = {}
        for quantity in solution.quantities:
            if quantity.role not in ("gradient", "update"):
                lowered.setdefault(_lower(quantity.name), []).append(quantity.name)
        self._kept = {name for names in lowered.values() if len(names) > 1 for name in names}

    # ---- names

    def symbol(self, name: str, below: tuple[Math, ...] = ()) -> Math:
        """A quantity, or with subscripts one entry of it: ``X``, ``x₁₂``, ``∂L/∂w₁₂``."""
        if name in self.solution and self.solution[name].role == "update":
            base = self.symbol(name.removesuffix("_new"), below)
            above = f"{base.above} new".strip() if isinstance(base, Symbol) else ""
            return Symbol(base.letter, below, above) if isinstance(base, Symbol) else base
        if name not in self.solution.names.values() and name[:1] == "d" and name in self.solution:
            return Derivative(self.symbol(self.solution.differentiated), self.symbol(name[1:], below))
        is_entry = bool(below) or self._is_number(name)
        letter, number = _parted(name)
        return Symbol(self._letter(name, letter) if is_entry else letter, below, number)

    def definition(self, tensor: str, below: tuple[Math, ...], number: str = "") -> Symbol:
        """What stands for a part of a calculation, ``M``, or one entry of it."""
        letter, own = _parted(tensor)
        return Symbol(letter.lower() if len(letter) == 1 and below else letter, below, own or number)

    def _letter(self, name: str, letter: str) -> str:
        is_scalar = name in self.solution and self.solution[name].role == "loss"
        return letter if name in self._kept or is_scalar or len(letter) > 1 else letter.lower()

    def _is_number(self, name: str) -> bool:
        """Whether the quantity is one number in all."""
        return name in self.solution and all(n == 1 for n in self.solution[name].shape)

    def numeral(self, value: Fraction | float) -> Numeral:
        """A number as it is shown."""
        return Numeral(value if isinstance(value, Fraction) else float(value), self.digits)

    def entry(self, name: str, position: tuple[int, ...]) -> Math:
        """One entry of a quantity by its position, counted from 0 in the formula's shape."""
        return self.symbol(name, tuple(Numeral(Fraction(k + self.first)) for k in self.kept(name, position)))

    def kept(self, name: str, position: tuple[int, ...]) -> tuple[int, ...]:
        """The position without the axes of one entry."""
        shape = self.solution[name].shape
        return tuple(k for k, extent in zip(position, shape, strict=True) if extent > 1)

    def entry_name(self, name: str, position: tuple[int, ...]) -> str:
        """The name of an entry in addresses and attributes: ``x12``, ``z1_1_12``."""
        return joined_name(self.address(name), [k + self.first for k in self.kept(name, position)])

    def address(self, name: str) -> str:
        """The name of a quantity in addresses and attributes."""
        letter, number = _parted(name)
        if name in self.solution.names.values():
            return self._letter(name, letter) + number
        if name in self.solution and name[:1] == "d":
            return "d" + self.address(name[1:])
        return name

    # ---- lines

    def line(self, equation: Equation, context: Context) -> Math:
        """A whole line."""
        left = self._access(equation.left, context)
        return Chain((left, self.expression(equation.right, context)))

    def subscript(self, value: Polynomial, indices: Collection[str]) -> Math:
        """A subscript, counted from the first index's number."""
        return self._shifted(value, frozenset(indices), Fraction(self.first))

    def expression(self, e: Expression, context: Context) -> Math:
        """The right side of a line, or a part of it."""
        match e:
            case Number(value):
                return self._polynomial(value)
            case Access():
                return self._access(e, context)
            case Jacobian(of, by):
                return Derivative(self._access(of, context), self._access(by, context))
            case Plus(terms):
                return Add(tuple(self.expression(term, context) for term in terms))
            case Times() | Power():
                return self._product(e, context)
            case Function(name, argument):
                return Apply(_SHOWN_FUNCTIONS.get(name, name), (self.expression(argument, context),))
            case Bracket():
                return self._bracket(e, context)
            case Reduce(operation, indices, body):
                ranges = tuple(self._range(index, context) for index in indices)
                inner = self.expression(body, context)
                return Large(_OPERATIONS[operation], ranges, inner)

    def _range(self, index: str, context: Context) -> Range:
        if context.sizes is None:
            return Range(index)
        extent = context.sizes.extent(index)
        return Range(index, Numeral(Fraction(self.first)), Numeral(Fraction(extent - 1 + self.first)))

    def _access(self, access: Access, context: Context) -> Math:
        shape = context.sizes.shapes.get(access.tensor) if context.sizes else None
        below = tuple(
            self.subscript(subscript, context.indices)
            for axis, subscript in enumerate(access.subscripts)
            if not (shape and shape[axis] == 1 and subscript.constant == 0)
        )
        name = context.names.get(access.tensor)
        written: Math
        if name is None:
            written = self.definition(access.tensor, below, context.number)
        else:
            written = self.symbol(name, below)
        part = context.parts.get(access.tensor)
        return Marked(written, part=part) if part else written

    def _bracket(self, bracket: Bracket, context: Context) -> Math:
        relations = list(bracket.relations)
        if not bracket.compares_subscripts:
            return Condition(tuple(self.expression(s, context) for s in bracket.sides), tuple(relations))
        sides = []
        for k, side in enumerate(bracket.sides):
            value = side.value if isinstance(side, Number) else Polynomial.of(0)
            is_bound = k == len(bracket.sides) - 1 and relations and relations[-1] == "<" and self.first == 1
            if is_bound and not value.names & context.indices:
                relations[-1] = "<="  # e < |X| is e + 1 ≤ |X|
                sides.append(self._polynomial(value))
            else:
                sides.append(self.subscript(value, context.indices))
        return Condition(tuple(sides), tuple(relations))

    def _product(self, e: Times | Power, context: Context) -> Math:
        if is_negative(e):
            return Negative(self.expression(times(MINUS_ONE, e), context))
        factors = e.factors if isinstance(e, Times) else (e,)
        above = [f for f in factors if not (isinstance(f, Power) and f.exponent < 0)]
        below = [power(f.base, -f.exponent) for f in factors if isinstance(f, Power) and f.exponent < 0]
        if below:
            return Over(self._factors(above, context), self._factors(below, context))
        return self._factors(above, context)

    def _factors(self, factors: Collection[Expression], context: Context) -> Math:
        written: list[Math] = []
        for factor in factors:
            if isinstance(factor, Power):
                written.append(Raised(self.expression(factor.base, context), factor.exponent))
            else:
                written.append(self.expression(factor, context))
        if not written:
            return Numeral(Fraction(1))
        return written[0] if len(written) == 1 else Multiply(tuple(written))

    # ---- subscripts

    def _shifted(self, value: Polynomial, indices: frozenset[str], start: Fraction) -> Math:
        """A polynomial over indices counted from 0 as one over indices counted from `first`, plus `start`."""
        if value.has_rounding or value.has_division:
            shift = {index: Polynomial.of(index) - self.first for index in indices & value.names}
            return _added(self._polynomial(value.substitute(shift)), start)
        terms: list[Math] = []
        rest = Polynomial.of(0)
        for monomial, factor in value:
            moving = [atom for atom, exponent in monomial if atom in indices and exponent == 1]
            if len(moving) != 1:
                rest = rest + Polynomial({monomial: factor})
                continue
            (index,) = moving
            weight = Polynomial({monomial - {(index, 1)}: factor})
            letter = Symbol(str(index))
            if weight.constant in (1, -1):
                start -= self.first * (weight.constant or 0)
                terms.append(letter if weight.constant == 1 else Negative(letter))
                continue
            counted = letter if self.first == 0 else Add((letter, Negative(Numeral(Fraction(self.first)))))
            sign, weight = (Negative, -weight) if weight.is_negative else (None, weight)
            product = Multiply((self._polynomial(weight), counted), dots=False)
            terms.append(sign(product) if sign else product)
        constant = rest.terms.pop(frozenset(), Fraction(0)) + start
        terms += [self._monomial(monomial, factor) for monomial, factor in rest]
        terms.sort(key=lambda term: isinstance(term, Negative))
        if constant > 0 and terms and isinstance(terms[0], Negative):
            terms.insert(0, _numeral(constant))
        elif constant or not terms:
            terms.append(_numeral(constant))
        return terms[0] if len(terms) == 1 else Add(tuple(terms))

    def _polynomial(self, value: Polynomial) -> Math:
        constant = value.constant
        if constant is not None:
            return _numeral(constant)
        divisor = value.divisor
        if divisor != Polynomial.of(1):
            above = self._polynomial(value * divisor)
            if isinstance(above, Negative):
                return Negative(Over(above.argument, self._polynomial(divisor)))
            return Over(above, self._polynomial(divisor))
        ordered = sorted(value, key=lambda term: (term[1] < 0, not term[0]))
        terms = [self._monomial(monomial, factor) for monomial, factor in ordered]
        return terms[0] if len(terms) == 1 else Add(tuple(terms))

    def _monomial(self, monomial: frozenset[tuple[Atom, int]], factor: Fraction) -> Math:
        atoms = sorted(monomial, key=lambda item: (not _is_extent(item[0]), str(item[0])))
        factors: list[Math] = [
            self._atom(atom) if exponent == 1 else Raised(self._atom(atom), exponent)
            for atom, exponent in atoms
        ]
        if abs(factor) != 1 or not factors:
            factors.insert(0, Numeral(abs(factor)))
        written = factors[0] if len(factors) == 1 else Multiply(tuple(factors), dots=False)
        return Negative(written) if factor < 0 else written

    def _atom(self, atom: Atom) -> Math:
        if isinstance(atom, str):
            return Apply("abs", (Symbol(atom[1:-1]),)) if is_extent(atom) else Symbol(atom)
        above, below = self._polynomial(atom.numerator), self._polynomial(atom.denominator)
        return Floor(above, below) if isinstance(atom, FloorAtom) else Remainder(above, below)


def joined_name(letter: str, numbers: Collection[int]) -> str:
    """``x12`` where that is unambiguous, else ``z1_1_12``."""
    if not numbers:
        return letter
    if letter[-1].isdigit() or any(not 0 <= number <= 9 for number in numbers):
        return "_".join([letter, *map(str, numbers)])
    return letter + "".join(map(str, numbers))


def _numeral(value: Fraction) -> Math:
    return Negative(Numeral(-value)) if value < 0 else Numeral(value)


def _added(written: Math, number: Fraction) -> Math:
    if not number:
        return written
    return Add((written, _numeral(number)))


def _parted(name: str) -> tuple[str, str]:
    """The letters and the number of a name: ``("Z", "1")``."""
    match = re.fullmatch(r"([A-Za-z_]+?)_?(\d*)", name)
    return (match[1], match[2]) if match else (name, "")


def _lower(name: str) -> str:
    letter, number = _parted(name)
    return (letter.lower() if len(letter) == 1 else letter) + number


def _is_extent(atom: Atom) -> bool:
    return isinstance(atom, str) and is_extent(atom)
