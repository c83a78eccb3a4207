"""Rules of derivation that remove brackets and sums: rename, replace, name, unfold, solve, re-index, fold.

Each takes the terms of a derivative and gives those that are equal to them, and one sentence that says
why they are; an empty one where nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from closedform.formula.derive.reasons import Equality, Formula, Piece, Reason, Subscript, listed
from closedform.formula.derive.terms import Term, equal, sides, within
from closedform.formula.derive.working import Working
from closedform.formula.notation import text
from closedform.formula.subscripts import Floor, Modulo, Polynomial, digits, extent_of, remainder, unprimed
from closedform.formula.tree import (
    Access,
    Bracket,
    Expression,
    Number,
    Power,
    free_names,
    rebuild,
    substitute_free,
)

Outcome = tuple[list[Term], Reason]


def rename(terms: Sequence[Term], working: Working) -> Outcome:
    """``[x = y']`` with y' summed and of x's extent: write x for y'.  Equal digits of equal numbers."""
    done: list[Equality] = []
    numerals: list[str] = []
    result = []
    for term in terms:
        for bracket in term.equalities:
            left, right = map(digits, sides(bracket))
            if left and right and _extents(left, working) == _extents(right, working):
                term = term.drop(bracket).with_factors(*map(equal, left, right))
                numerals.append(text(bracket))
        while (pair := _renamable(term, working)) is not None:
            bracket, kept, summed = pair
            term = term.drop(bracket).solved(summed, Polynomial.of(kept))
            done.append(_equality(Polynomial.of(summed), Polynomial.of(kept), working))
        result.append(term)
    if not done:
        return result, Reason("Equal numbers have equal digits." if numerals else "")
    opening = "Equal numbers have equal digits, so that of" if numerals else "Of"
    return result, Reason(f"{opening} each sum only the term with ", *listed(done), " is left.")


def _extents(indices: Iterable[str], working: Working) -> list[int]:
    return [working.sizes.extent(index) for index in indices]


def _listed(changes: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(changes))


def _equality(left: Polynomial, right: Polynomial, working: Working) -> Equality:
    return Equality(left, right, f"{working.written(left)} = {working.written(right)}")


def _subscript(value: Polynomial, working: Working) -> Subscript:
    return Subscript(value, working.written(value))


def _renamable(term: Term, working: Working) -> tuple[Bracket, str, str] | None:
    for bracket in term.equalities:
        left, right = sides(bracket)
        kept, summed = left.lone, right.lone
        if kept and summed in term.indices and _extents([kept], working) == _extents([summed], working):
            return bracket, kept, summed
    return None


def replace(terms: Sequence[Term], working: Working) -> Outcome:
    """Under ``[a = e]`` write a for e (else the derivative of ReLU becomes a tensor of windows)."""
    done: list[Equality] = []
    result = []
    for term in terms:
        for bracket in term.equalities:
            index, value = sides(bracket)
            if not index.lone or value.lone:
                continue
            changed = term.mapped(_replacing(value, index))
            if changed != term:
                done.append(_equality(value, index, working))
                term = changed
        result.append(term)
    return result, Reason("Wherever the brackets are not 0, ", *listed(done), ".") if done else Reason()


def _replacing(value: Polynomial, index: Polynomial) -> Callable[[Expression], Expression]:
    def change(expression: Expression) -> Expression:
        if isinstance(expression, Access):
            return Access(expression.tensor, tuple(index if s == value else s for s in expression.subscripts))
        if isinstance(expression, Bracket) and expression.compares_subscripts:
            return expression
        return rebuild(expression, change)

    return change


def name(terms: Sequence[Term], working: Working) -> Outcome:
    """Name each factor that is no entry of a tensor and uses an index that will be solved away."""
    before = len(working.definitions)
    result = []
    for term in terms:
        solvable = {y for b in term.equalities for y in term.indices if y in sides(b)[1].names}
        factors = []
        for factor in term.factors:
            free = free_names(factor)
            if _stays_unnamed(factor) or not free & solvable:
                factors.append(factor)
                continue
            indices = [index for index in (*working.outer, *working.inner, *term.indices) if index in free]
            places = {index: k for k, index in enumerate(map(unprimed, working.inner))}
            indices = sorted(
                dict.fromkeys(indices), key=lambda index: places.get(unprimed(index), len(places))
            )
            factors.append(working.define("RPUV", indices, factor))
        result.append(Term.of(term.indices, factors))
    if result == list(terms):
        return result, Reason()
    given = listed((Formula(line, text(line)) for line in working.definitions[before:]), "; ")
    named = ("gets a name, ", *given, ",") if given else ("has a name already,",)
    return result, Reason(
        "What is not an entry of a tensor ", *named, " so that it is 0 outside its own range."
    )


def _stays_unnamed(factor: Expression) -> bool:
    base = factor.base if isinstance(factor, Power) and factor.exponent > 0 else factor
    return isinstance(base, Access | Bracket | Number)


def unfold(terms: Sequence[Term], working: Working) -> Outcome:
    """``[c = (y+e)//k]`` with y summed: y = k*c - e + r, where r runs over the remainders."""
    done: list[Piece] = []
    result = []
    for term in terms:
        for bracket in term.equalities:
            quotient, floor = sides(bracket)
            found = _unfoldable(term, quotient, floor)
            if found is None:
                continue
            atom, index = found
            divisor = atom.denominator
            rest = working.new_index("r", divisor.whole(working.sizes.values))
            value = divisor * quotient + Polynomial.of(rest) - atom.numerator.without([index])
            known = {atom: quotient, Modulo(atom.numerator, divisor): Polynomial.of(rest)}
            factors = [substitute_free(factor, known) for factor in term.drop(bracket).factors]
            if term.guard(index, working.sizes) is None:
                factors.append(within(Polynomial.of(index), extent_of(index)))
            term = Term(term.indices, tuple(factors)).solved(index, value, (rest,))
            done += [
                ", gives " if done else " gives ",
                _subscript(quotient, working),
                " at ",
                _equality(Polynomial.of(index), value, working),
                f" for every {rest} below ",
                _subscript(divisor, working),
            ]
        result.append(term)
    return result, Reason("Rounding down", *done, ".") if done else Reason()


def _unfoldable(term: Term, quotient: Polynomial, floor: Polynomial) -> tuple[Floor, str] | None:
    atom = next(iter(floor.atoms), None)
    if not isinstance(atom, Floor) or floor != Polynomial.of(atom) or quotient.has_rounding:
        return None
    if atom.numerator.has_rounding or atom.denominator.names & set(term.indices):
        return None
    for index in term.indices:
        if atom.numerator.coefficient(index) == Polynomial.of(1):
            return atom, index
    return None


@dataclass(frozen=True)
class Solution:
    """One bracket solved.

    Attributes
    ----------
    change
        Which index became what, ``i = (a+t-u)/s``.
    divides
        Whether that may be no whole number.
    guard
        The tensor that is 0 where the index has left its range; None where brackets say so.
    """

    change: Equality
    divides: bool
    guard: str | None


def solve(terms: Sequence[Term], working: Working) -> Outcome:
    """``[A = c*y + r]`` with y summed: y = (A-r)/c.

    No condition stays where some factor reads y as a bare, full axis: it is 0 where the quotient is not
    whole or out of range.  The indices of the formula's own result are solved for first.
    """
    done: list[Solution] = []
    result = []
    for term in terms:
        while (found := _solvable(term, working)) is not None:
            bracket, index = found
            left, right = sides(bracket)
            step = (right - left).coefficient(index)
            value = (left - right).without([index]) / step
            divides = value.has_division
            guard = term.guard(index, working.sizes)
            term = term.drop(bracket)
            if guard is None:
                conditions = [within(value, extent_of(index))]
                if divides:
                    # (A-r)/c is whole where |c| divides A-r
                    divisor = -step if step.is_negative else step
                    conditions.append(equal(remainder(value * divisor, divisor), Polynomial.of(0)))
                term = Term(term.indices, (*term.factors, *conditions))
            term = term.solved(index, value)
            done.append(Solution(_equality(Polynomial.of(index), value, working), divides, guard))
        result.append(term)
    return result, _solve_reason(done) if done else Reason()


def _solve_reason(done: Sequence[Solution]) -> Reason:
    reason = " is left"
    guards = _listed(solution.guard for solution in done if solution.guard)
    if guards:
        divides = any(solution.divides for solution in done if solution.guard)
        where = (
            "is not a whole number (zeros inserted) or leaves its range" if divides else "leaves its range"
        )
        reason += f"; where an index {where} (padding), {guards} reads nothing and gives 0"
    if any(solution.guard is None for solution in done):
        divides = any(solution.divides for solution in done if solution.guard is None)
        reason += f"; a bracket keeps it {'whole and ' if divides else ''}in its range"
    changes = listed(solution.change for solution in done)
    return Reason("Of each sum only the term with ", *changes, f"{reason}.")


def _solvable(term: Term, working: Working) -> tuple[Bracket, str] | None:
    for bracket in term.equalities:
        left, right = sides(bracket)
        index = _to_solve_for(term, right - left, working)
        if index is not None:
            return bracket, index
    return None


def _to_solve_for(term: Term, difference: Polynomial, working: Working) -> str | None:
    best: tuple[tuple[bool, bool, bool], str] | None = None
    for index in term.indices:
        step = difference.coefficient(index)
        if not step.is_monomial or index in difference.without([index]).names or difference.has_rounding:
            continue
        plain = step in (Polynomial.of(1), Polynomial.of(-1))
        score = (term.guard(index, working.sizes) is None, index not in working.inner, not plain)
        if best is None or score < best[0]:
            best = score, index
    return best[1] if best else None


def reindex(terms: Sequence[Term], working: Working) -> Outcome:
    """Sum over the entries that are read, where a quotient of the formula itself would be left otherwise."""
    done: list[Equality] = []
    result = []
    for term in terms:
        for index in term.indices:
            found = _quotient_of(term, index)
            if found is None or index not in working.inner or term.guard(index, working.sizes) is None:
                continue
            access, axis = found
            quotient = access.subscripts[axis]
            entry = working.new_index("ij", working.sizes.shapes[access.tensor][axis])
            value = (Polynomial.of(entry) - quotient.without([index])) / quotient.coefficient(index)
            term = term.solved(index, value, (entry,))
            done.append(_equality(Polynomial.of(index), value, working))
        result.append(term)
    if not done:
        return result, Reason()
    return result, Reason("The sum runs over the entries that are read instead: ", *listed(done), ".")


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


@dataclass(frozen=True)
class _Fold:
    """The one value of an index that counts, and the quotients that are whole there, rounded down."""

    index: str
    value: Polynomial
    quotients: Mapping[Polynomial, Polynomial]
    divisor: Polynomial

    def applied(self, term: Term) -> Term:
        def rounded(factor: Expression) -> Expression:
            if not isinstance(factor, Access):
                return factor
            return Access(factor.tensor, tuple(self.quotients.get(s, s) for s in factor.subscripts))

        return Term(term.indices, tuple(map(rounded, term.factors))).solved(self.index, self.value)


def fold(terms: Sequence[Term], working: Working, original: Sequence[str]) -> Outcome:
    """Of k consecutive numbers exactly one is divisible by k, so that a sum over them is one term.

    Only where all sums over a window go, and not where a tensor of the original formula is read by a sum's
    index itself: there the sum is the taught form.
    """
    folds: list[_Fold] = []
    result = []
    for term in terms:
        windows = [index for index in term.indices if _slides(term, index)]
        found = [_folded(term, index, working, original) for index in windows]
        own = [one for one in found if one is not None]
        if len(own) == len(windows) and any(one.quotients for one in own):
            for one in own:
                term = one.applied(term)
            folds += own
        result.append(term)
    if not folds:
        return result, Reason()
    divisors = _listed(working.written(one.divisor) for one in folds if one.quotients)
    done = listed(_equality(Polynomial.of(one.index), one.value, working) for one in folds)
    return result, Reason(
        f"Of {divisors} consecutive numbers exactly one is divisible by {divisors}: ", *done, "."
    )


def _slides(term: Term, index: str) -> bool:
    """Whether a subscript holds the index and something besides."""
    subscripts = [subscript for access in term.accesses for subscript in access.subscripts]
    return any(index in subscript.names and subscript.lone is None for subscript in subscripts)


def _folded(term: Term, index: str, working: Working, original: Sequence[str]) -> _Fold | None:
    if any(index in free_names(factor) for factor in term.factors if not isinstance(factor, Access)):
        return None
    if working.sizes.extent(index) == 1 and _quotient_of(term, index) is None:
        return _Fold(index, Polynomial.of(0), {}, Polynomial.of(1))
    value: Polynomial | None = None
    divisor = Polynomial.of(1)
    quotients: dict[Polynomial, Polynomial] = {}
    for access in term.accesses:
        for subscript in access.subscripts:
            if index not in subscript.names:
                continue
            if not subscript.has_division:
                if access.tensor in original:
                    return None
                continue
            step = subscript.coefficient(index)
            if not step.is_monomial or (subscript.names - {index}) & set(term.indices):
                return None
            divisor = -step.inverse()
            whole = subscript.without([index]) * divisor
            extent = working.sizes.extent(index)
            if extent < 2 or whole.has_division or divisor.value(working.sizes.values) != extent:
                return None
            if value is not None and value != remainder(whole, divisor):
                return None
            value = remainder(whole, divisor)
            quotients[subscript] = Polynomial.of(Floor(whole, divisor))
    return _Fold(index, value, quotients, divisor) if value is not None else None
