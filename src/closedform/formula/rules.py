"""Rules of derivation that remove brackets and sums: rename, replace, name, solve, re-index, fold."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from closedform.formula.extents import Sizes
from closedform.formula.notation import subscript_text
from closedform.formula.subscripts import Atom, Floor, Modulo, Polynomial, digits, remainder, unprimed
from closedform.formula.terms import Term, equal, fresh_index, sides, within
from closedform.formula.tree import (
    Access,
    Bracket,
    Equation,
    Expression,
    Number,
    Times,
    bound_indices,
    free_names,
    number,
    rebuild,
    substitute,
    substitute_free,
    times,
)


@dataclass
class Names:
    """The names and sizes of a derivation, growing as it goes.

    Attributes
    ----------
    sizes
        Extents and shapes, those of fresh names included.
    taken
        Every index that has been used.
    inner
        The indices of the formula's own result: they are solved for first.
    outer
        The indices of the gradient, which stay.
    """

    sizes: Sizes
    taken: set[str]
    inner: tuple[str, ...]
    outer: tuple[str, ...]
    definitions: list[Equation] = field(default_factory=list)

    def written(self, value: Polynomial) -> str:
        """A subscript as text, settings before indices in a product."""
        return subscript_text(value, self.taken)

    def again(self, index: str) -> str:
        """A fresh index with the extent of `index`."""
        name = fresh_index(index, self.taken)
        self.taken.add(name)
        return name

    def new_index(self, index: str, extent: int) -> str:
        """A fresh index with an extent of its own."""
        name = fresh_index(index, self.taken)
        while name != index and unprimed(name) in self.sizes.extents:
            index = next(
                c for c in string.ascii_lowercase if c not in self.sizes.extents and c not in self.taken
            )
            name = index
        self.taken.add(name)
        self.sizes = self.sizes.extended(extents={name: extent})
        return name

    def define(self, candidates: str, indices: Sequence[str], right: Expression) -> Access:
        """Give an expression a tensor's name, the first of `candidates` that is free."""
        taken = {*self.sizes.shapes, *(d.left.tensor for d in self.definitions)}
        numbered = (f"{candidates[0]}{k}" for k in range(2, 1000))
        name = next(c for c in (*candidates, *numbered) if c not in taken)
        plain = {index: unprimed(index) for index in indices}
        clash = len(set(plain.values())) < len(plain) or set(plain.values()) & set(bound_indices(right))
        names = {} if clash else {old: Polynomial.of(new) for old, new in plain.items() if old != new}
        left = Access(name, tuple(map(Polynomial.of, indices)))
        shape = tuple(map(self.sizes.extent, indices))
        self.sizes = self.sizes.extended(shapes={name: shape})
        self.definitions.append(Equation(left, right).substitute(names))
        return left


def rename(terms: Sequence[Term], names: Names) -> tuple[list[Term], list[str]]:
    """``[x = y']`` with y' summed and of x's extent: write x for y'.  Equal digits of equal numbers."""
    done: list[str] = []
    result = []
    for term in terms:
        for bracket in term.equalities:
            left, right = map(digits, sides(bracket))
            if left and right and [*map(names.sizes.extent, left)] == [*map(names.sizes.extent, right)]:
                term = term.drop(bracket).with_factors(*map(equal, left, right))
        while (pair := _renamable(term, names)) is not None:
            bracket, kept, summed = pair
            term = term.drop(bracket).solved(summed, Polynomial.of(kept))
            done.append(f"{summed} = {kept}")
        result.append(term)
    return result, list(dict.fromkeys(done))


def _renamable(term: Term, names: Names) -> tuple[Bracket, str, str] | None:
    for bracket in term.equalities:
        left, right = sides(bracket)
        kept, summed = left.lone, right.lone
        if kept and summed in term.indices and names.sizes.extent(kept) == names.sizes.extent(summed):
            return bracket, kept, summed
    return None


def replace(terms: Sequence[Term], names: Names) -> tuple[list[Term], list[str]]:
    """Under ``[a = e]`` write a for e (else the derivative of ReLU becomes a tensor of windows)."""
    done: list[str] = []
    result = []
    for term in terms:
        for bracket in term.equalities:
            index, value = sides(bracket)
            if not index.lone or value.lone:
                continue
            changed = term.mapped(_replacing(value, index))
            if changed != term:
                done.append(f"{names.written(value)} = {index.lone}")
                term = changed
        result.append(term)
    return result, list(dict.fromkeys(done))


def _replacing(value: Polynomial, index: Polynomial) -> Callable[[Expression], Expression]:
    def change(expression: Expression) -> Expression:
        if isinstance(expression, Access):
            return Access(expression.tensor, tuple(index if s == value else s for s in expression.subscripts))
        return expression if isinstance(expression, Bracket) else rebuild(expression, change)

    return change


def name(terms: Sequence[Term], names: Names) -> tuple[list[Term], list[Equation]]:
    """Name each factor that is no entry of a tensor and uses an index that will be solved away."""
    before = len(names.definitions)
    result = []
    for term in terms:
        solvable = {y for b in term.equalities for y in term.indices if y in sides(b)[1].names}
        factors = []
        for factor in term.factors:
            free = free_names(factor)
            if isinstance(factor, Access | Bracket | Number) or not free & solvable:
                factors.append(factor)
                continue
            order = dict.fromkeys((*names.outer, *names.inner, *term.indices))
            factors.append(names.define("RPU", [index for index in order if index in free], factor))
        result.append(Term.of(term.indices, factors))
    return result, names.definitions[before:]


@dataclass(frozen=True)
class Solution:
    """One bracket solved: which index became what, and whether the division may leave a remainder."""

    text: str
    value: Polynomial
    divides: bool


def unfold(terms: Sequence[Term], names: Names) -> tuple[list[Term], list[str]]:
    """``[c = (y+e)//k]`` with y summed: y = k*c - e + r, where r runs over the remainders."""
    done: list[str] = []
    result = []
    for term in terms:
        for bracket in term.equalities:
            quotient, floor = sides(bracket)
            atom = (
                next(iter(floor.atoms), None)
                if floor == Polynomial.of(next(iter(floor.atoms), "_"))
                else None
            )
            if not isinstance(atom, Floor) or quotient.has_rounding:
                continue
            index = next((y for y in term.indices if atom.numerator.coefficient(y) == Polynomial.of(1)), None)
            if index is None or not term.guards(index, names.sizes):
                continue
            divisor = atom.denominator
            rest = names.new_index("r", divisor.whole(names.sizes.values))
            value = divisor * quotient + Polynomial.of(rest) - atom.numerator.without([index])
            known: dict[Atom, Polynomial] = {
                atom: quotient,
                Modulo(atom.numerator, divisor): Polynomial.of(rest),
            }
            term = term.drop(bracket).mapped(lambda factor, known=known: substitute(factor, known))  # type: ignore[misc]
            term = term.solved(index, value, (rest,))
            done.append(f"{index} = {names.written(value)}")
        result.append(term)
    return result, done


def solve(terms: Sequence[Term], names: Names) -> tuple[list[Term], list[Solution]]:
    """``[A = c*y + r]`` with y summed: y = (A-r)/c.

    No condition stays where some factor reads y as a bare, full axis: it is 0 where the quotient is not
    whole or out of range.  The indices of the formula's own result are solved for first.
    """
    done: list[Solution] = []
    result = []
    for term in terms:
        while (found := _solvable(term, names)) is not None:
            bracket, index = found
            left, right = sides(bracket)
            step = (right - left).coefficient(index)
            value = (left - right).without([index]) / step
            divides = value.has_division
            guarded = term.guards(index, names.sizes)
            term = term.drop(bracket).solved(index, value)
            if not guarded:
                term = term.with_factors(within(value, index))
                if divides:
                    # (A-r)/c is whole where |c| divides A-r
                    divisor = -step if step.is_negative else step
                    term = term.with_factors(equal(remainder(value * divisor, divisor), Polynomial.of(0)))
            done.append(Solution(f"{index} = {names.written(value)}", value, divides))
        result.append(term)
    return result, done


def _solvable(term: Term, names: Names) -> tuple[Bracket, str] | None:
    for bracket in term.equalities:
        left, right = sides(bracket)
        index = _to_solve_for(term, right - left, names)
        if index is not None:
            return bracket, index
    return None


def _to_solve_for(term: Term, difference: Polynomial, names: Names) -> str | None:
    best: tuple[tuple[bool, bool, bool], str] | None = None
    for index in term.indices:
        step = difference.coefficient(index)
        if not step.is_monomial or index in difference.without([index]).names or difference.has_rounding:
            continue
        plain = step in (Polynomial.of(1), Polynomial.of(-1))
        score = (not term.guards(index, names.sizes), index not in names.inner, not plain)
        if best is None or score < best[0]:
            best = score, index
    return best[1] if best else None


def reindex(terms: Sequence[Term], names: Names) -> tuple[list[Term], list[str]]:
    """Sum over the entries that are read, where a quotient of the formula itself would be left otherwise."""
    done: list[str] = []
    result = []
    for term in terms:
        for index in term.indices:
            found = _quotient_of(term, index)
            if found is None or index not in names.inner or not term.guards(index, names.sizes):
                continue
            access, axis = found
            quotient = access.subscripts[axis]
            letter = next(
                c
                for c in ("i", "j", *string.ascii_lowercase)
                if c not in names.taken and c not in names.sizes.extents and c not in names.sizes.settings
            )
            entry = names.new_index(letter, names.sizes.shapes[access.tensor][axis])
            value = (Polynomial.of(entry) - quotient.without([index])) / quotient.coefficient(index)
            term = term.solved(index, value, (entry,))
            done.append(f"{index} = {names.written(value)}")
        result.append(term)
    return result, done


def _quotient_of(term: Term, index: str) -> tuple[Access, int] | None:
    for access in term.accesses:
        for axis, subscript in enumerate(access.subscripts):
            if (
                index in subscript.names
                and subscript.has_division
                and subscript.coefficient(index).is_monomial
            ):
                return access, axis
    return None


def fold(terms: Sequence[Term], names: Names, original: Sequence[str]) -> tuple[list[Term], list[str]]:
    """Of k consecutive numbers exactly one is divisible by k, so that a sum over them is one term.

    Only where it leaves no sum with a quotient behind, and not where a tensor of the original formula is
    read by the sum's index: there the sum is the taught form.
    """
    done: list[str] = []
    result = []
    for term in terms:
        folds = {
            index: value
            for index in term.indices
            if _quotient_of(term, index) and (value := _folded(term, index, names, original)) is not None
        }
        divided = [index for index in term.indices if _quotient_of(term, index)]
        if folds and len(folds) == len(divided):
            for index, (chosen, atoms) in folds.items():
                term = term.mapped(lambda factor, atoms=atoms: _rounded_down(factor, atoms))  # type: ignore[misc]
                term = term.solved(index, chosen)
                done.append(f"{index} = {names.written(chosen)}")
        result.append(term)
    return result, list(dict.fromkeys(done))


def _folded(
    term: Term, index: str, names: Names, original: Sequence[str]
) -> tuple[Polynomial, dict[Polynomial, Polynomial]] | None:
    if any(access.tensor in original and index in free_names(access) for access in term.accesses):
        return None
    if any(index in free_names(f) for f in term.factors if not isinstance(f, Access)):
        return None
    chosen: Polynomial | None = None
    rounded: dict[Polynomial, Polynomial] = {}
    for access in term.accesses:
        for subscript in access.subscripts:
            if index not in subscript.names or not subscript.has_division:
                continue
            step = subscript.coefficient(index)
            if not step.is_monomial or (subscript.names - {index}) & set(term.indices):
                return None
            divisor = -step.inverse()
            whole = subscript.without([index]) * divisor
            if whole.has_division or divisor.value(names.sizes.values) != names.sizes.extent(index):
                return None
            value = remainder(whole, divisor)
            if names.sizes.extent(index) < 2 or (chosen is not None and chosen != value):
                return None
            chosen = value
            rounded[subscript] = Polynomial.of(Floor(whole, divisor))
    return (chosen, rounded) if chosen is not None else None


def _rounded_down(expression: Expression, quotients: dict[Polynomial, Polynomial]) -> Expression:
    if isinstance(expression, Access):
        return Access(expression.tensor, tuple(quotients.get(s, s) for s in expression.subscripts))
    return expression


def inline(expression: Expression, definition: Equation, names: Names) -> Expression:
    """The expression with a definition's right side written for each read of it.

    A read outside is 0, so a range condition joins it where no other factor of the product is 0 there.
    """
    tensor = definition.left.tensor
    indices = [subscript.lone or "" for subscript in definition.left.subscripts]

    def written(access: Access, others: Sequence[Expression]) -> Expression:
        values = dict(zip(indices, access.subscripts, strict=True))
        conditions: list[Expression] = []
        for index, subscript in values.items():
            lone = subscript.lone
            if lone and names.sizes.knows(lone) and names.sizes.extent(lone) <= names.sizes.extent(index):
                continue
            guarded = any(
                subscript == other_subscript
                and names.sizes.shapes[other.tensor][axis] <= names.sizes.extent(index)
                for other in others
                if isinstance(other, Access)
                for axis, other_subscript in enumerate(other.subscripts)
            )
            if not guarded:
                conditions.append(within(subscript, index))
                if subscript.has_division:
                    divisor = Polynomial.of(_denominator(subscript))
                    conditions.append(equal(remainder(subscript * divisor, divisor), Polynomial.of(0)))
        return times(*conditions, substitute_free(definition.right, values))

    def change(part: Expression) -> Expression:
        if isinstance(part, Access) and part.tensor == tensor:
            return written(part, ())
        if isinstance(part, Times):
            return times(
                *[
                    written(factor, [other for other in part.factors if other is not factor])
                    if isinstance(factor, Access) and factor.tensor == tensor
                    else change(factor)
                    for factor in part.factors
                ]
            )
        return rebuild(part, change)

    return change(expression)


def _denominator(subscript: Polynomial) -> Polynomial:
    below: dict[Atom, int] = {}
    for monomial, _ in subscript:
        for atom, exponent in monomial:
            if exponent < 0:
                below[atom] = max(below.get(atom, 0), -exponent)
    common = math.lcm(*[factor.denominator for _, factor in subscript])
    result = number(common).value
    for atom, exponent in below.items():
        result = result * Polynomial.of(atom) ** exponent
    return result
