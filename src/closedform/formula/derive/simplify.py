"""Rules of derivation that shorten point-wise arithmetic: cancel, given, recognise, collect."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from closedform.formula.derive.terms import Term, taken_out, total
from closedform.formula.extents import Sizes
from closedform.formula.notation import text
from closedform.formula.subscripts import Polynomial, unprimed
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
    is_divisor,
    power,
    rebuild,
    reduce,
    substitute_free,
    times,
    walk,
)

Record = Callable[[Sequence[Term], str, str], None]

_MOST_PRODUCTS = 200  # multiplying out more than these makes nothing shorter that anybody reads


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
    terms = list(terms)
    if any(isinstance(factor, Function | Power | Plus | Reduce) for t in terms for factor in t.factors):
        terms = [cancelled(term, sizes) for term in terms]
        record(terms, "cancel", "Equal factors become one power; above and below the line they cancel.")
        given = [without_labels(term, facts) for term in terms]
        if given != terms:
            record(given, "given", f"The labels {', '.join(facts)} of one example sum to 1.")
        terms = given
        for equation in known:
            terms = [recognised(term, equation, sizes) for term in terms]
            tensor = equation.left.tensor
            record(terms, "recognise", f"This is the formula of {tensor}, which has been computed already.")
        terms = [Term.of(term.indices, _without_roots(term.factors)) for term in terms]
        record(terms, "cancel", "The square of a square root is what stands under it.")
    return collect(terms, sizes, record)


def collect(terms: Sequence[Term], sizes: Sizes, record: Record) -> list[Term]:
    """Multiply out and add equal terms, where that is shorter."""
    if len(terms) < 2 and not any(isinstance(factor, Plus) for term in terms for factor in term.factors):
        return list(terms)
    shorter = collected(terms, sizes)
    if shorter is None or len(text(total(shorter))) >= len(text(total(terms))):
        return list(terms)
    record(shorter, "collect", "Multiplied out, equal terms are added up.")
    return shorter


def one_fraction(terms: Sequence[Term], sizes: Sizes, record: Record) -> list[Term]:
    """Fractions over one denominator, where that is shorter: ``(1-t)/(1-a) - t/a = (a-t)/(a*(1-a))``."""
    if len(terms) < 2 or any(term.indices for term in terms):
        return list(terms)
    divisors: dict[str, Expression] = {}
    own: list[set[str]] = []
    for term in terms:
        below = [f.base for f in term.factors if isinstance(f, Power) and f.exponent < 0]
        simple = all(f.exponent == -1 for f in term.factors if isinstance(f, Power) and f.exponent < 0)
        keys = {canonical(base) for base in below}
        if not simple or len(keys) < len(below) or not all(_may_cancel(base, sizes) for base in below):
            return list(terms)
        divisors |= {canonical(base): base for base in below}
        own.append(keys)
    if len(divisors) < 2:
        return list(terms)
    raised = [
        Term.of(
            (),
            [
                *(f for f in term.factors if not is_divisor(f)),
                *(base for key, base in divisors.items() if key not in keys),
            ],
        )
        for term, keys in zip(terms, own, strict=True)
    ]
    above = collected(raised, sizes)
    if not above:
        return list(terms)
    joined = Term.of((), [taken_out(above), *(power(base, -1) for base in divisors.values())])
    if len(text(joined.expression)) >= len(text(total(terms))):
        return list(terms)
    record([joined], "one fraction", "Over a common denominator, equal terms are added up.")
    return [joined]


def cancelled(term: Term, sizes: Sizes) -> Term:
    """The term with equal factors gathered into one power, and a sum over itself left out."""
    exponents: dict[str, int] = {}
    bases: dict[str, Expression] = {}
    for position, factor in enumerate(term.factors):
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        key = canonical(base)
        if isinstance(base, Bracket | Number):
            key = f"{key} at {position}"
        elif not _may_cancel(base, sizes):
            key = f"{key} to a power {'above' if exponent > 0 else 'below'} the line"
        bases.setdefault(key, base)
        exponents[key] = exponents.get(key, 0) + exponent
    gathered = Term.of(term.indices, [power(bases[key], k) for key, k in exponents.items() if k])
    return _without_sums(gathered)


def _without_roots(factors: Iterable[Expression]) -> Iterator[Expression]:
    """The factors with ``sqrt(a)^2`` written as ``a``."""
    for factor in factors:
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        if isinstance(base, Function) and base.name == "sqrt" and abs(exponent) > 1:
            pairs, single = divmod(abs(exponent), 2)
            sign = 1 if exponent > 0 else -1
            yield power(base.argument, sign * pairs)
            if single:
                yield power(base, sign)
        else:
            yield factor


def _without_sums(term: Term) -> Term:
    """The term without a sum of factors that is divided by that same sum: softmax's entries sum to 1."""
    for divisor in term.factors:
        if not (is_divisor(divisor) and isinstance(divisor, Power) and isinstance(divisor.base, Reduce)):
            continue
        key = canonical(divisor.base)
        for indices in itertools.combinations(term.indices, len(divisor.base.indices)):
            inside = [factor for factor in term.factors if free_names(factor) & set(indices)]
            if inside and canonical(reduce(SUM, indices, times(*inside))) == key:
                left = [f for f in term.factors if f is not divisor and all(f is not g for g in inside)]
                rest = [index for index in term.indices if index not in indices]
                left.append(power(divisor.base, divisor.exponent + 1))
                return _without_sums(Term.of(rest, left))
    return term


def _may_cancel(base: Expression, sizes: Sizes) -> bool:
    # what is 0 more than here and there, a read outside among them, makes its product 0 above and below
    # the line alike
    if isinstance(base, Access):
        return all(
            subscript.lone is not None
            and sizes.knows(subscript.lone)
            and sizes.extent(subscript.lone) <= sizes.shapes[base.tensor][axis]
            for axis, subscript in enumerate(base.subscripts)
        )
    return not any(
        isinstance(node, Bracket) or (isinstance(node, Function) and node.name in ("relu", "step"))
        for node in walk(base)
    )


def without_labels(term: Term, facts: Sequence[str]) -> Term:
    """The term without a factor of `facts` whose last index is summed and occurs nowhere else."""
    for access in term.accesses:
        if access.tensor not in facts:
            continue
        index = access.subscripts[-1].lone
        others = [factor for factor in term.factors if factor is not access]
        alone = all(index not in subscript.names for subscript in access.subscripts[:-1])
        if index in term.indices and alone and not any(index in free_names(other) for other in others):
            return Term.of([name for name in term.indices if name != index], others)
    return term


def recognised(term: Term, equation: Equation, sizes: Sizes) -> Term:
    """The term with the equation's left side wherever its right side stands."""
    pattern = equation.right.factors if isinstance(equation.right, Times) else (equation.right,)
    if not equation.left.subscripts or isinstance(equation.right, Access | Number | Reduce | Plus):
        return term
    names = sorted({name for factor in term.factors for name in free_names(factor) if sizes.knows(name)})
    maps = list(_matches(equation.left_indices, names, sizes))
    if len(pattern) == 1:
        written = {
            canonical(substitute_free(pattern[0], values)): substitute_free(equation.left, values)
            for values in maps
        }

        def replaced(expression: Expression) -> Expression:
            if not isinstance(expression, type(pattern[0])):
                return rebuild(expression, replaced)
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
    def alike(name: str, index: str) -> bool:
        return sizes.extent(name) == sizes.extent(index)

    choices = [
        [n for n in names if unprimed(n) == index or (unprimed(n) not in indices and alike(n, index))]
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
    counts: dict[tuple[Expression, bool], int] = {}
    for factor in factors:
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        key = base, exponent > 0
        counts[key] = counts.get(key, 0) + exponent
    return [power(base, exponent) for (base, _), exponent in counts.items()]


def collected(terms: Sequence[Term], sizes: Sizes) -> list[Term] | None:
    """The terms multiplied out, equal ones added; None where that is too much."""
    numbers: dict[str, Polynomial] = {}
    shapes: dict[str, Term] = {}
    for term in terms:
        choices = [factor.terms if isinstance(factor, Plus) else (factor,) for factor in term.factors]
        if math.prod(map(len, choices)) > _MOST_PRODUCTS:
            return None
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
