"""Settings that a formula can do without: a padding of 0, a stride or a dilation of 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from closedform.formula.extents import Value
from closedform.formula.subscripts import Atom, Monomial, Polynomial
from closedform.formula.tree import Equation, Number, walk


def trivial_settings(equation: Equation, settings: Mapping[str, Value]) -> dict[str, Polynomial]:
    """The settings that are 0, or 1 where they only multiply or divide something, with their values."""
    monomials = [dict(monomial) for value in _polynomials(equation) for monomial in _monomials(value)]
    return {
        name: Polynomial.of(Fraction(value))
        for name, value in settings.items()
        if name in equation.settings and _goes(name, value, monomials)
    }


def _goes(name: str, value: Value, monomials: list[dict[Atom, int]]) -> bool:
    if value == 0:
        return all(monomial.get(name, 1) > 0 for monomial in monomials)
    stands_alone = any([atom for atom, k in monomial.items() if k > 0] == [name] for monomial in monomials)
    return value == 1 and not stands_alone


def _polynomials(equation: Equation) -> Iterator[Polynomial]:
    for access in (equation.left, *equation.accesses):
        yield from access.subscripts
    for node in walk(equation.right):
        if isinstance(node, Number):
            yield node.value


def _monomials(value: Polynomial) -> Iterator[Monomial]:
    for monomial, _ in value:
        yield monomial
        for atom, _ in monomial:
            if not isinstance(atom, str):
                yield from _monomials(atom.numerator)
                yield from _monomials(atom.denominator)
