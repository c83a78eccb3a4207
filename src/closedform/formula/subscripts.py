"""Arithmetic of subscripts: sums of products of names, with whole or fractional coefficients.

A subscript such as ``s*i+d*u-t``, a mixed-radix one such as ``|q|*g+q``, a quotient such as
``(a+t-u)/s`` and a number such as ``1/(|u|*|v|)`` are all one thing, a Laurent polynomial.
Its atoms are

- ``"i"``: an index or a setting,
- ``"|u|"`` and ``"|X.2|"``: the extent of an index, or of an axis of a tensor,
- `Floor` and `Modulo`: ``a//k`` and ``a % k`` of two polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, TypeAlias, Union


@dataclass(frozen=True)
class Floor:
    """The quotient rounded down, ``numerator//denominator``."""

    numerator: Polynomial
    denominator: Polynomial


@dataclass(frozen=True)
class Modulo:
    """The remainder, ``numerator % denominator``, from 0 up to the denominator less 1."""

    numerator: Polynomial
    denominator: Polynomial


Atom: TypeAlias = str | Floor | Modulo
Substitution: TypeAlias = Mapping[Any, "Polynomial"]  # by atom; a dict keyed by names alone will do
Monomial: TypeAlias = frozenset[tuple[Atom, int]]
Scalar: TypeAlias = Union["Polynomial", Fraction, int]

_UNIT: Monomial = frozenset()


class Polynomial:
    """A sum of monomials; equal polynomials are equal whatever the order they were written in."""

    __slots__ = ("__dict__", "terms")

    def __init__(self, terms: Mapping[Monomial, Fraction]):
        self.terms = {monomial: factor for monomial, factor in terms.items() if factor}

    @classmethod
    def of(cls, value: Scalar | Atom) -> Polynomial:
        """The polynomial that is one number, one atom, or already a polynomial."""
        if isinstance(value, Polynomial):
            return value
        if isinstance(value, str | Floor | Modulo):
            return _of_atom(value)
        return _of_number(value) if isinstance(value, int) else cls({_UNIT: Fraction(value)})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self.terms == other.terms

    @cached_property
    def _hash(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        from closedform.formula.notation import subscript_text

        return subscript_text(self)

    def __add__(self, other: Scalar) -> Polynomial:
        terms = dict(self.terms)
        for monomial, factor in Polynomial.of(other).terms.items():
            terms[monomial] = terms[monomial] + factor if monomial in terms else factor
        return Polynomial(terms)

    __radd__ = __add__

    def __neg__(self) -> Polynomial:
        return Polynomial({monomial: -factor for monomial, factor in self.terms.items()})

    def __sub__(self, other: Scalar) -> Polynomial:
        return self + (-Polynomial.of(other))

    def __mul__(self, other: Scalar) -> Polynomial:
        other = Polynomial.of(other)
        if self is _ONE:
            return other
        terms: dict[Monomial, Fraction] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                product = _times(left, right)
                terms[product] = terms[product] + a * b if product in terms else a * b
        return Polynomial(terms)

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Polynomial:
        base = self if exponent >= 0 else self.inverse()
        result = Polynomial.of(1)
        for _ in range(abs(exponent)):
            result = result * base
        return result

    def inverse(self) -> Polynomial:
        """One over a single product; `ValueError` for a sum or for 0."""
        if len(self.terms) != 1:
            raise ValueError("only a single product can be divided by")
        ((monomial, factor),) = self.terms.items()
        return Polynomial({frozenset((atom, -power) for atom, power in monomial): 1 / factor})

    def __truediv__(self, other: Scalar) -> Polynomial:
        return self * Polynomial.of(other).inverse()

    @property
    def is_monomial(self) -> bool:
        """Whether this is a single product, so that it can be divided by."""
        return len(self.terms) == 1

    @property
    def is_negative(self) -> bool:
        """Whether this is a single product with a minus before it."""
        return len(self.terms) == 1 and next(iter(self.terms.values())) < 0

    @property
    def constant(self) -> Fraction | None:
        """The number this is, or None where a name occurs."""
        if not self.terms:
            return Fraction(0)
        return self.terms[_UNIT] if set(self.terms) == {_UNIT} else None

    @property
    def lone(self) -> str | None:
        """The name this is and nothing else (``i`` of ``X[n,i]``), or None."""
        if len(self.terms) != 1:
            return None
        ((monomial, factor),) = self.terms.items()
        if factor != 1 or len(monomial) != 1:
            return None
        ((atom, power),) = monomial
        return atom if isinstance(atom, str) and power == 1 and not is_extent(atom) else None

    @cached_property
    def atoms(self) -> frozenset[Atom]:
        """Every atom that occurs, extents included."""
        return frozenset(atom for monomial in self.terms for atom, _ in monomial)

    @cached_property
    def names(self) -> frozenset[str]:
        """The indices and settings that occur, those inside ``//`` and ``%`` included."""
        found: set[str] = set()
        for atom in self.atoms:
            if isinstance(atom, str):
                if not is_extent(atom):
                    found.add(atom)
            else:
                found |= atom.numerator.names | atom.denominator.names
        return frozenset(found)

    @property
    def has_rounding(self) -> bool:
        """Whether ``//`` or ``%`` occurs."""
        return any(not isinstance(atom, str) for atom in self.atoms)

    @property
    def has_division(self) -> bool:
        """Whether a name or an extent stands below the line, or a coefficient is not whole."""
        return any(
            factor.denominator != 1 or any(power < 0 for _, power in monomial)
            for monomial, factor in self.terms.items()
        )

    @property
    def divisor(self) -> Polynomial:
        """The least single product that makes every term whole when it is multiplied with it; 1 for a sum of
        whole terms."""
        below: dict[Atom, int] = {}
        common = 1
        for monomial, factor in self.terms.items():
            common = math.lcm(common, factor.denominator)
            for atom, power in monomial:
                if power < 0:
                    below[atom] = max(below.get(atom, 0), -power)
        return Polynomial({frozenset(below.items()): Fraction(common)})

    def coefficient(self, name: str) -> Polynomial:
        """What `name` is multiplied by, where it occurs to the first power."""
        return Polynomial(
            {
                monomial - {(name, 1)}: factor
                for monomial, factor in self.terms.items()
                if (name, 1) in monomial
            }
        )

    def without(self, names: Iterable[str]) -> Polynomial:
        """The terms in which none of `names` occurs."""
        gone = set(names)
        return Polynomial(
            {m: factor for m, factor in self.terms.items() if not gone & Polynomial({m: Fraction(1)}).names}
        )

    def substitute(self, values: Substitution) -> Polynomial:
        """Replace atoms (names, extents under ``"|u|"``, whole quotients) by polynomials."""
        if not self._touches(values):
            return self
        result = Polynomial({})
        for monomial, factor in self.terms.items():
            product = Polynomial({_UNIT: factor})
            for atom, power in monomial:
                product = product * _substitute_atom(atom, values) ** power
            result = result + product
        return result

    def _touches(self, values: Mapping[Atom, object]) -> bool:
        for atom in self.atoms:
            if atom in values:
                return True
            if isinstance(atom, Floor | Modulo) and (
                atom.numerator._touches(values) or atom.denominator._touches(values)
            ):
                return True
        return False

    def value(self, values: Mapping[str, int | Fraction]) -> Fraction:
        """The number this is when every atom has the value given for it; `KeyError` where one is missing."""
        total = Fraction(0)
        for monomial, factor in self.terms.items():
            for atom, power in monomial:
                factor *= Fraction(_atom_value(atom, values)) ** power
            total += factor
        return total

    def whole(self, values: Mapping[str, int | Fraction]) -> int:
        """`value`, where that is a whole number; `ValueError` elsewhere."""
        result = self.value(values)
        if result.denominator != 1:
            raise ValueError(f"{self!r} is {result}, not a whole number")
        return int(result)

    def __iter__(self) -> Iterator[tuple[Monomial, Fraction]]:
        return iter(self.terms.items())


@lru_cache(maxsize=4096)
def _of_atom(atom: Atom) -> Polynomial:
    return Polynomial({frozenset([(atom, 1)]): Fraction(1)})


@lru_cache(maxsize=1024)
def _of_number(value: int) -> Polynomial:
    return Polynomial({_UNIT: Fraction(value)})


_ONE = Polynomial.of(1)


def is_extent(atom: str) -> bool:
    """Whether an atom is the extent of an index or an axis rather than a name."""
    return atom[0] == "|"


def extent_of(index: str) -> str:
    """The atom that stands for an index's extent; a primed index has the extent of the unprimed one."""
    return f"|{unprimed(index)}|"


def unprimed(index: str) -> str:
    """The index without its primes: u′ and u run over the same range."""
    return index.rstrip("'")


def floor_divide(numerator: Polynomial, denominator: Polynomial) -> Polynomial:
    """``numerator//denominator``, worked out where both are numbers."""
    a, b = numerator.constant, denominator.constant
    if a is not None and b:
        return Polynomial.of(Fraction(a // b))
    return Polynomial.of(Floor(numerator, denominator))


def remainder(numerator: Polynomial, denominator: Polynomial) -> Polynomial:
    """``numerator % denominator``, worked out where both are numbers."""
    a, b = numerator.constant, denominator.constant
    if a is not None and b:
        return Polynomial.of(Fraction(a % b))
    return Polynomial.of(Modulo(numerator, denominator))


def digits(subscript: Polynomial) -> list[str] | None:
    """The digits, leading first, of a mixed-radix number such as ``|i|*|j|*c+|j|*i+j``; else None.

    Each digit's weight must be the product of the extents of the digits after it, so that different
    digits always give different numbers.
    """
    found: list[tuple[str, frozenset[Atom]]] = []
    for monomial, factor in subscript:
        names = [atom for atom, _ in monomial if not (isinstance(atom, str) and is_extent(atom))]
        if factor != 1 or len(names) != 1 or any(power != 1 for _, power in monomial):
            return None
        if not isinstance(names[0], str):
            return None
        found.append((names[0], frozenset(atom for atom, _ in monomial) - {names[0]}))
    found.sort(key=lambda digit: -len(digit[1]))
    if len(found) < 2:
        return None
    order = [name for name, _ in found]
    for position, (_, weight) in enumerate(found):
        if weight != {extent_of(name) for name in order[position + 1 :]}:
            return None
    return order


def linear_form(
    subscript: Polynomial, indices: Iterable[str], values: Mapping[str, int | Fraction]
) -> tuple[dict[str, Fraction], Fraction]:
    """The numbers of an affine subscript: ``{index: coefficient}`` and the constant.

    `values` holds settings and extents.  `ValueError` where ``//`` or ``%`` holds an index.
    """
    moving = [index for index in indices if index in subscript.names]
    if subscript.has_rounding:
        for atom in subscript.atoms:
            if not isinstance(atom, str) and Polynomial.of(atom).names & set(moving):
                raise ValueError("a rounded subscript is not affine")
    coefficients = {index: subscript.coefficient(index).value(values) for index in moving}
    return coefficients, subscript.without(moving).value(values)


def _times(left: Monomial, right: Monomial) -> Monomial:
    if not left:
        return right
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return frozenset((atom, power) for atom, power in powers.items() if power)


def _substitute_atom(atom: Atom, values: Substitution) -> Polynomial:
    if atom in values:
        return values[atom]
    if isinstance(atom, str):
        return Polynomial.of(atom)
    combine = floor_divide if isinstance(atom, Floor) else remainder
    return combine(atom.numerator.substitute(values), atom.denominator.substitute(values))


def _atom_value(atom: Atom, values: Mapping[str, int | Fraction]) -> int | Fraction:
    if isinstance(atom, str):
        return values[atom]
    numerator, denominator = atom.numerator.value(values), atom.denominator.value(values)
    return numerator // denominator if isinstance(atom, Floor) else numerator % denominator
