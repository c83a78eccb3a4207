"""A derivative in the making: a sum of terms, each a sum over indices of a product of factors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial, extent_of
from closedform.formula.tree import (
    MINUS_ONE,
    SUM,
    Access,
    Bracket,
    Expression,
    Number,
    Times,
    canonical,
    free_names,
    is_negative,
    number,
    plus,
    reduce,
    substitute,
    times,
)


@dataclass(frozen=True)
class Term:
    """``sum[indices] factor * factor * ...``"""

    indices: tuple[str, ...]
    factors: tuple[Expression, ...]

    @classmethod
    def of(cls, indices: Iterable[str], factors: Iterable[Expression]) -> Term:
        """A term whose product is in normal form."""
        product = times(*factors)
        return cls(tuple(indices), product.factors if isinstance(product, Times) else (product,))

    @cached_property
    def expression(self) -> Expression:
        """The term as an expression; a minus stands before the sum, not inside."""
        body = times(*self.factors)
        if is_negative(body):
            return times(MINUS_ONE, reduce(SUM, self.indices, times(MINUS_ONE, body)))
        return reduce(SUM, self.indices, body)

    @property
    def equalities(self) -> tuple[Bracket, ...]:
        """The brackets ``[A = B]`` of subscripts among the factors."""
        return tuple(
            factor
            for factor in self.factors
            if isinstance(factor, Bracket) and factor.compares_subscripts and factor.relations == ("=",)
        )

    @property
    def accesses(self) -> tuple[Access, ...]:
        """The factors that are entries of tensors."""
        return tuple(factor for factor in self.factors if isinstance(factor, Access))

    def drop(self, factor: Expression) -> Term:
        """The term without one factor."""
        left = list(self.factors)
        left.remove(factor)
        return Term(self.indices, tuple(left))

    def with_factors(self, *factors: Expression) -> Term:
        """The term with further factors."""
        return Term(self.indices, (*self.factors, *factors))

    def mapped(self, change: Callable[[Expression], Expression]) -> Term:
        """The term with every factor changed."""
        return Term.of(self.indices, map(change, self.factors))

    def solved(self, index: str, value: Polynomial, instead: tuple[str, ...] = ()) -> Term:
        """The term with `value` written for a summed index, which is summed no longer (or `instead` is)."""
        place = self.indices.index(index)
        indices = (*self.indices[:place], *instead, *self.indices[place + 1 :])
        return Term.of(indices, [substitute(factor, {index: value}) for factor in self.factors])

    def guards(self, index: str, sizes: Sizes) -> bool:
        """Whether some factor is 0 wherever `index` leaves its range: it reads it as a bare, full axis."""
        bare = Polynomial.of(index)
        return any(
            subscript == bare and sizes.shapes[access.tensor][axis] == sizes.extent(index)
            for access in self.accesses
            for axis, subscript in enumerate(access.subscripts)
        )


def sides(bracket: Bracket) -> tuple[Polynomial, Polynomial]:
    """The two subscripts of ``[A = B]``."""
    left, right = bracket.sides
    if not (isinstance(left, Number) and isinstance(right, Number)):
        raise TypeError("a bracket of subscripts")
    return left.value, right.value


def equal(left: Polynomial | str, right: Polynomial | str) -> Bracket:
    """The bracket ``[left = right]``."""
    return Bracket((number(left), number(right)), ("=",))


def within(value: Polynomial, index: str) -> Bracket:
    """The bracket ``[0 <= value < |index|]``."""
    return Bracket((number(0), number(value), number(extent_of(index))), ("<=", "<"))


def total(terms: Iterable[Term]) -> Expression:
    """The sum of the terms as an expression."""
    return plus(*[term.expression for term in terms])


def taken_out(terms: Iterable[Term]) -> Expression:
    """The sum of the terms, with what no index of a sum touches before it and common factors once."""
    parts: list[list[Expression]] = []
    for term in terms:
        inside = [factor for factor in term.factors if free_names(factor) & set(term.indices)]
        outside = [factor for factor in term.factors if not free_names(factor) & set(term.indices)]
        parts.append([*outside, reduce(SUM, term.indices, times(*inside))])
    parts = [list(Term.of((), factors).factors) for factors in parts]
    if len(parts) == 1:
        return times(*parts[0])
    if not parts:
        return number(0)
    keys = [[canonical(factor) for factor in factors] for factors in parts]
    common = [
        factor
        for factor in parts[0]
        if not isinstance(factor, Number) and all(canonical(factor) in found for found in keys)
    ]
    scale = _common_number(parts)
    rest = []
    for factors in parts:
        left = list(factors)
        for factor in common:
            left.pop(next(k for k, other in enumerate(left) if canonical(other) == canonical(factor)))
        rest.append(times(number(scale.inverse()), *left))
    return times(number(scale), *common, plus(*rest))


def _common_number(parts: list[list[Expression]]) -> Polynomial:
    """The number that stands before every term, its sign that of the positive terms; 1 if they differ."""
    scales = [factors[0].value if isinstance(factors[0], Number) else Polynomial.of(1) for factors in parts]
    if not all(scale.is_monomial for scale in scales):
        return Polynomial.of(1)
    if len({frozenset(scale.terms) for scale in scales}) != 1:
        return Polynomial.of(1)
    sizes = {abs(next(iter(scale.terms.values()))) for scale in scales}
    scale = scales[0]
    if len(sizes) > 1:
        smallest = min(sizes)
        scale = scale * Polynomial.of(smallest / abs(next(iter(scale.terms.values()))))
    if scale.is_negative and any(not other.is_negative for other in scales):
        scale = -scale
    return scale


def fresh_index(index: str, taken: set[str]) -> str:
    """The index with as many primes as it needs to differ from those taken."""
    while index in taken:
        index += "'"
    return index


def renamed(expression: Expression, names: Mapping[str, str]) -> Expression:
    """The expression with indices renamed, bound ones included."""
    return substitute(expression, {old: Polynomial.of(new) for old, new in names.items()})
