"""Rules of derivation that shorten point-wise arithmetic: cancel, given, recognise, collect."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from closedform.formula.extents import Sizes
from closedform.formula.notation import text
from closedform.formula.subscripts import Polynomial, unprimed
from closedform.formula.terms import Term, total
from closedform.formula.tree import (
    SUM,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    canonical,
    free_names,
    power,
    rebuild,
    reduce,
    substitute_free,
    times,
)

Record = Callable[[Sequence[Term], str, str], None]


def simplify(
    terms: Sequence[Term], known: Sequence[Equation], facts: Sequence[str], sizes: Sizes, record: Record
) -> list[Term]:
    """Apply the four rules in order, recording each that changes something.

    Parameters
    ----------
    known
        Formulas whose left sides may be written for their right sides.
    facts
        Tensors whose entries sum to 1 along the last axis.
    """
    if not any(isinstance(factor, Function | Power | Plus | Reduce) for t in terms for factor in t.factors):
        return list(terms)
    terms = [cancelled(term, sizes) for term in terms]
    record(terms, "cancel", "Equal factors above and below the line cancel.")
    given = [without_labels(term, facts) for term in terms]
    if given != terms:
        record(given, "given", f"The labels {', '.join(facts)} of one example sum to 1.")
    terms = given
    for equation in known:
        terms = [recognised(term, equation, sizes) for term in terms]
        record(
            terms, "recognise", f"This is {equation.left.tensor} itself, which the forward pass has computed."
        )
    shorter = collected(terms, sizes)
    if shorter and len(text(total(shorter))) < len(text(total(terms))):
        record(shorter, "collect", "Multiplied out, equal terms are collected.")
        return shorter
    return terms


def cancelled(term: Term, sizes: Sizes) -> Term:
    """The term with equal factors gathered into one power."""
    exponents: dict[str, int] = {}
    bases: dict[str, Expression] = {}
    for position, factor in enumerate(term.factors):
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        key = canonical(base)
        if isinstance(base, Bracket | Number) or (
            isinstance(base, Access) and not _never_outside(base, sizes)
        ):
            key = f"{key} at {position}"
        bases.setdefault(key, base)
        exponents[key] = exponents.get(key, 0) + exponent
    return Term.of(term.indices, [power(bases[key], k) for key, k in exponents.items() if k])


def _never_outside(access: Access, sizes: Sizes) -> bool:
    # a read outside is 0 above and below the line, so that it may not be cancelled
    return all(
        subscript.lone is not None
        and sizes.knows(subscript.lone)
        and sizes.extent(subscript.lone) <= sizes.shapes[access.tensor][axis]
        for axis, subscript in enumerate(access.subscripts)
    )


def without_labels(term: Term, facts: Sequence[str]) -> Term:
    """The term without a factor of `facts` whose last index is summed and occurs nowhere else."""
    for access in term.accesses:
        if access.tensor not in facts:
            continue
        index = access.subscripts[-1].lone
        others = [factor for factor in term.factors if factor is not access]
        if index in term.indices and not any(index in free_names(factor) for factor in others):
            return Term.of([name for name in term.indices if name != index], others)
    return term


def recognised(term: Term, equation: Equation, sizes: Sizes) -> Term:
    """The term with the equation's left side wherever its right side stands."""
    pattern = equation.right.factors if isinstance(equation.right, Times) else (equation.right,)
    if not equation.left.subscripts or isinstance(equation.right, Access | Reduce | Plus):
        return term
    names = sorted({name for factor in term.factors for name in free_names(factor) if sizes.knows(name)})
    maps = list(_matches(equation.left_indices, names, sizes))
    if len(pattern) == 1:
        written = {
            canonical(substitute_free(pattern[0], values)): substitute_free(equation.left, values)
            for values in maps
        }

        def replaced(expression: Expression) -> Expression:
            return written.get(canonical(expression)) or rebuild(expression, replaced)

        return term.mapped(replaced)
    factors = [part for factor in term.factors for part in _single_powers(factor)]
    searching = True
    while searching:
        searching = False
        for values in maps:
            left_over = _removed(factors, [canonical(substitute_free(part, values)) for part in pattern])
            if left_over is not None:
                factors = [*left_over, substitute_free(equation.left, values)]
                searching = True
                break
    return Term.of(term.indices, _gathered(factors))


def _matches(
    indices: Sequence[str], names: Sequence[str], sizes: Sizes
) -> Iterator[Mapping[str, Polynomial]]:
    choices = [
        [n for n in names if unprimed(n) == unprimed(index) or sizes.extent(n) == sizes.extent(index)]
        for index in indices
    ]
    for choice in itertools.product(*choices):
        if len(set(choice)) == len(choice):
            yield {index: Polynomial.of(name) for index, name in zip(indices, choice, strict=True)}


def _removed(factors: Sequence[Expression], keys: Sequence[str]) -> list[Expression] | None:
    left = list(factors)
    for key in keys:
        place = next((k for k, factor in enumerate(left) if canonical(factor) == key), None)
        if place is None:
            return None
        left.pop(place)
    return left


def _single_powers(factor: Expression) -> list[Expression]:
    if not isinstance(factor, Power):
        return [factor]
    sign = 1 if factor.exponent > 0 else -1
    return [power(factor.base, sign)] * abs(factor.exponent)


def _gathered(factors: Sequence[Expression]) -> list[Expression]:
    counts: dict[Expression, int] = {}
    for factor in factors:
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        counts[base] = counts.get(base, 0) + exponent
    return [power(base, exponent) for base, exponent in counts.items()]


def collected(terms: Sequence[Term], sizes: Sizes) -> list[Term]:
    """The terms multiplied out, equal ones added."""
    numbers: dict[str, Polynomial] = {}
    shapes: dict[str, Term] = {}
    for term in terms:
        choices = [factor.terms if isinstance(factor, Plus) else (factor,) for factor in term.factors]
        for choice in itertools.product(*choices):
            product = cancelled(Term.of(term.indices, choice), sizes)
            scale = next((f.value for f in product.factors if isinstance(f, Number)), Polynomial.of(1))
            rest = Term(product.indices, tuple(f for f in product.factors if not isinstance(f, Number)))
            key = canonical(reduce(SUM, rest.indices, times(*rest.factors)))
            numbers[key] = numbers.get(key, Polynomial.of(0)) + scale
            shapes.setdefault(key, rest)
    return [
        Term.of(rest.indices, [Number(numbers[key]), *rest.factors])
        for key, rest in shapes.items()
        if numbers[key].terms
    ]
