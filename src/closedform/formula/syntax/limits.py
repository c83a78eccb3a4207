"""Arithmetic on numbers of a formula that stops before it takes long.

A few signs can ask for a number of a million digits or a product of a million terms.  No formula that
anybody means comes near these limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import Expression, Number, Plus, Power, Times, plus, power, times

MAX_EXPONENT = 64
MAX_TERMS = 64
MAX_BITS = 1024  # the largest double has as many
MAX_DIGITS = 308


class TooLargeError(ValueError):
    """A number past the limits; the message is a reason to put before a caret."""


class Limits:
    """Sums, products and powers of expressions, their numbers kept within the limits.

    Attributes
    ----------
    is_near : bool
        Whether some number came near a limit.
    """

    def __init__(self) -> None:
        self.is_near = False

    def sum(self, terms: Iterable[Expression]) -> Expression:
        """`tree.plus` of the terms."""
        constant, others = Polynomial({}), list[Expression]()
        for term in terms:
            for part in term.terms if isinstance(term, Plus) else (term,):
                if isinstance(part, Number):
                    constant = self.checked(constant + part.value)
                else:
                    others.append(part)
        return plus(Number(constant), *others)

    def product(self, factors: Iterable[Expression]) -> Expression:
        """`tree.times` of the factors."""
        constant, others = Polynomial.of(1), list[Expression]()
        for factor in factors:
            for part in factor.factors if isinstance(factor, Times) else (factor,):
                if isinstance(part, Number):
                    self._check_terms(len(constant.terms) * len(part.value.terms))
                    constant = self.checked(constant * part.value)
                else:
                    others.append(part)
        return times(Number(constant), *others)

    def power(self, base: Expression, exponent: int) -> Expression:
        """`tree.power`."""
        for part in base.factors if isinstance(base, Times) else (base,):
            if isinstance(part, Number):
                self._check_power(part.value, abs(exponent))
            elif isinstance(part, Power) and abs(part.exponent * exponent) > MAX_EXPONENT:
                raise TooLargeError(f"an exponent is at most {MAX_EXPONENT}")
        return power(base, exponent)

    def checked(self, value: Polynomial) -> Polynomial:
        """The number itself; `TooLargeError` where it is past a limit."""
        self._check_terms(len(value.terms))
        above = below = factors = 0
        for monomial, factor in value:
            above = max(above, factor.numerator.bit_length())
            below += factor.denominator.bit_length() - 1
            factors = max(factors, sum(abs(exponent) for _, exponent in monomial))
        self.is_near |= above + below > MAX_BITS // 8 or factors > MAX_EXPONENT // 8
        if above + below > MAX_BITS:
            raise TooLargeError("this number has too many digits")
        if factors > MAX_EXPONENT:
            raise TooLargeError(f"multiplied out, this has a product of more than {MAX_EXPONENT} factors")
        return value

    def _check_power(self, value: Polynomial, exponent: int) -> None:
        terms = len(value.terms)
        if terms > 1:
            self._check_terms(math.comb(terms + exponent - 1, terms - 1))
        self.checked(value**exponent)

    def _check_terms(self, terms: int) -> None:
        self.is_near |= terms > MAX_TERMS // 8
        if terms > MAX_TERMS:
            raise TooLargeError(f"multiplied out, this has more than {MAX_TERMS} terms")
