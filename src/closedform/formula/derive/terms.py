"""A derivative in the making: a sum of terms, each a sum over indices of a product of factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial, extent_of
from closedform.formula.tree import (
    MINUS_ONE,
    SUM,
    ZERO,
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
    substitute_free,
    times,
)


@dataclass(frozen=True)
class Term:
    """``sum[indices] factor * factor * ...``"""

    indices: tuple[str, ...]
    factors: tuple[Expression, ...]

    @classmethod
    def of(cls, indices: Iterable[str], factors: Iterable[Expression]) -> Term:
        """A term in normal form: an index that no factor reads is no sum but a factor, its extent."""
        factors = tuple(factors)
        read = frozenset().union(*map(free_names, factors))
        summed = tuple(indices)
        counted = [number(extent_of(index)) for index in summed if index not in read]
        product = times(*factors, *counted)
        kept = tuple(index for index in summed if index in read)
        return cls(kept, product.factors if isinstance(product, Times) else (product,))

    @cached_property
    def expression(self) -> Expression:
        """The term as an expression; a minus stands before the sum, not inside."""
        body = times(*self.factors)
        if is_negative(body):
            return times(MINUS_ONE, reduce(SUM, self.indices, times(MINUS_ONE, body)))
        return reduce(SUM, self.indices, body)

    @property
    def is_zero(self) -> bool:
        """Whether nothing is left of the term."""
        return ZERO in self.factors

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
        return Term.of(indices, [substitute_free(factor, {index: value}) for factor in self.factors])

    def renamed(self, names: Mapping[str, str]) -> Term:
        """The term with other names for summed indices, all at once."""
        values = {old: Polynomial.of(new) for old, new in names.items() if old != new}
        if not values:
            return self
        indices = tuple(names.get(index, index) for index in self.indices)
        return Term(indices, tuple(substitute_free(factor, values) for factor in self.factors))

    def guard(self, index: str, sizes: Sizes) -> str | None:
        """A tensor whose factor is 0 wherever `index` leaves its range: it reads it as a bare, full axis."""
        bare = Polynomial.of(index)
        for access in self.accesses:
            for axis, subscript in enumerate(access.subscripts):
                if subscript == bare and sizes.shapes[access.tensor][axis] == sizes.extent(index):
                    return access.tensor
        return None


def sides(bracket: Bracket) -> tuple[Polynomial, Polynomial]:
    """The two subscripts of ``[A = B]``."""
    left, right = bracket.sides
    if not (isinstance(left, Number) and isinstance(right, Number)):
        raise TypeError("a bracket of subscripts")
    return left.value, right.value


def equal(left: Polynomial | str, right: Polynomial | str) -> Bracket:
    """The bracket ``[left = right]``."""
    return Bracket((number(left), number(right)), ("=",))


def within(value: Polynomial, extent: str) -> Bracket:
    """The bracket ``[0 <= value < extent]``."""
    return Bracket((number(0), number(value), number(extent)), ("<=", "<"))


def total(terms: Iterable[Term]) -> Expression:
    """The sum of the terms as an expression."""
    return plus(*[term.expression for term in terms])


def taken_out(terms: Iterable[Term]) -> Expression:
    """The sum of the terms, with what no index of a sum touches before it and common factors once."""
    parts = [Term.of((), separated(term)).factors for term in terms]
    if not parts:
        return ZERO
    if len(parts) == 1:
        return times(*parts[0])
    keys = [[canonical(factor) for factor in factors] for factors in parts]
    common: list[Expression] = []
    for factor, key in zip(parts[0], keys[0], strict=True):
        needed = 1 + sum(canonical(other) == key for other in common)
        if not isinstance(factor, Number) and all(found.count(key) >= needed for found in keys):
            common.append(factor)
    scale = _common_number(parts)
    rest = []
    for factors in parts:
        left = list(factors)
        for factor in common:
            left.pop(next(k for k, other in enumerate(left) if canonical(other) == canonical(factor)))
        rest.append(times(number(scale.inverse()), *left))
    return times(number(scale), *common, plus(*rest))


def separated(term: Term) -> list[Expression]:
    """The factors that no index touches, then one sum for each group of factors that share indices."""
    outside: list[Expression] = []
    groups: list[tuple[set[str], list[Expression]]] = []
    for factor in term.factors:
        touching = free_names(factor) & set(term.indices)
        if not touching:
            outside.append(factor)
            continue
        joined = [group for group in groups if group[0] & touching]
        if not joined:
            groups.append((set(touching), [factor]))
            continue
        first, *others = joined
        first[0].update(touching, *[names for names, _ in others])
        first[1].extend(inner for _, inside in others for inner in inside)
        first[1].append(factor)
        groups = [group for group in groups if all(group is not other for other in others)]
    order = {id(factor): place for place, factor in enumerate(term.factors)}
    for names, inside in groups:
        inside.sort(key=lambda factor: order[id(factor)])
        outside.append(reduce(SUM, [index for index in term.indices if index in names], times(*inside)))
    return outside


def _common_number(parts: Sequence[Sequence[Expression]]) -> Polynomial:
    """The number that stands before every term, negative where every term is; 1 if they differ."""
    scales = [factors[0].value if isinstance(factors[0], Number) else Polynomial.of(1) for factors in parts]
    if not all(scale.is_monomial for scale in scales):
        return Polynomial.of(1)
    if len({frozenset(scale.terms) for scale in scales}) != 1:
        return Polynomial.of(1)
    factors = [abs(next(iter(scale.terms.values()))) for scale in scales]
    common = Fraction(
        math.gcd(*[factor.numerator for factor in factors]),
        math.lcm(*[factor.denominator for factor in factors]),
    )
    ((monomial, _),) = scales[0].terms.items()
    return Polynomial({monomial: -common if all(scale.is_negative for scale in scales) else common})


def fresh_index(index: str, taken: Iterable[str]) -> str:
    """The index with as many primes as it needs to differ from those taken."""
    taken = set(taken)
    while index in taken:
        index += "'"
    return index
