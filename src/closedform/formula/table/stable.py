"""Rewrites that keep the value and never overflow: the usual forms of softmax, log-softmax and log-sigmoid.

With ``C = max[m] B``, where B is A with its index renamed,

- ``exp(A) / sum[m] exp(B)`` becomes ``exp(A - C) / sum[m] exp(B - C)``,
- ``log(exp(A) / sum[m] exp(B))`` becomes ``A - C - log(sum[m] exp(B - C))``,
- ``log(sum[m] exp(B))`` becomes ``C + log(sum[m] exp(B - C))``,
- ``log(sigmoid(A))`` becomes ``-softplus(-A)`` and ``log(1 - sigmoid(A))`` becomes ``-softplus(A)``.
"""

from __future__ import annotations

from itertools import permutations

from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    MAX,
    MINUS_ONE,
    ONE,
    SUM,
    Expression,
    Function,
    Plus,
    Power,
    Reduce,
    Times,
    canonical,
    children,
    free_names,
    is_negative,
    minus,
    negative,
    plus,
    power,
    rebuild,
    reduce,
    substitute_free,
    times,
)


def stabilise(expression: Expression) -> Expression:
    """The expression with each quotient of exponentials and each logarithm of one in its stable form.

    Parameters
    ----------
    expression
        Any expression; the rewrites apply anywhere inside it, other factors of the product may stand by.
    """
    expression = rebuild(expression, stabilise) if children(expression) else expression
    if isinstance(expression, Function) and expression.name == "log":
        return _logarithm(expression.argument) or expression
    if isinstance(expression, Times):
        return _quotient(expression)
    return expression


def _logarithm(argument: Expression) -> Expression | None:
    match argument:
        case Function("exp", inner):
            return inner
        case Function("sigmoid", inner):
            return negative(Function("softplus", negative(inner)))
        case Plus((first, second)) if first == ONE and is_negative(second):
            below = times(MINUS_ONE, second)
            if isinstance(below, Function) and below.name == "sigmoid":
                return negative(Function("softplus", below.argument))
        case Times((Function("exp", above), Power(Reduce() as below, -1))):
            total = _log_of_sum(below)
            return minus(above, total) if total is not None else None
        case Reduce():
            return _log_of_sum(argument)
    return None


def _log_of_sum(total: Reduce) -> Expression | None:
    """``C + log(sum[m] exp(B - C))``, or the logarithm alone where the sum is relative to C already."""
    exponent = _summed_exponent(total)
    if exponent is None:
        return None
    if _is_shifted(exponent, total.indices):
        return Function("log", total)
    shift = _maximum(exponent, total.indices)
    return plus(shift, Function("log", _shifted_sum(total.indices, exponent, shift)))


def _summed_exponent(total: Expression) -> Expression | None:
    """The B of ``sum[m] exp(B)``."""
    match total:
        case Reduce(operation, _, Function("exp", exponent)) if operation == SUM:
            return exponent
    return None


def _maximum(exponent: Expression, indices: tuple[str, ...]) -> Expression:
    fresh: dict[str, Polynomial] = {}
    names: list[str] = []
    for index in indices:
        name = index + "'"
        while name in free_names(exponent) or name in names:
            name += "'"
        names.append(name)
        fresh[index] = Polynomial.of(name)
    return reduce(MAX, names, substitute_free(exponent, fresh))


def _is_shifted(exponent: Expression, indices: tuple[str, ...]) -> bool:
    """Whether an exponent is ``B - C`` already."""
    if not isinstance(exponent, Plus):
        return False
    for term in exponent.terms:
        shift = times(MINUS_ONE, term)
        if isinstance(shift, Reduce) and shift.operation == MAX:
            rest = plus(*[other for other in exponent.terms if other is not term])
            if canonical(_maximum(rest, indices)) == canonical(shift):
                return True
    return False


def _shifted_sum(indices: tuple[str, ...], exponent: Expression, shift: Expression) -> Expression:
    return reduce(SUM, indices, Function("exp", minus(exponent, shift)))


def _quotient(product: Expression) -> Expression:
    if not isinstance(product, Times):
        return product
    for position, divisor in enumerate(product.factors):
        if not (isinstance(divisor, Power) and divisor.exponent < 0 and isinstance(divisor.base, Reduce)):
            continue
        total = divisor.base
        exponent = _summed_exponent(total)
        if exponent is None or _is_shifted(exponent, total.indices):
            continue
        shift = _maximum(exponent, total.indices)
        needed = -divisor.exponent
        shifted: list[Expression] = []
        for other, factor in enumerate(product.factors):
            if other == position:
                shifted.append(power(_shifted_sum(total.indices, exponent, shift), divisor.exponent))
                continue
            changed, used = _shift_exponentials(factor, total, shift, needed)
            needed -= used
            shifted.append(changed)
        if not needed:
            return _quotient(times(*shifted))
    return product


def _shift_exponentials(
    factor: Expression, total: Reduce, shift: Expression, needed: int
) -> tuple[Expression, int]:
    """The factor with ``exp(A)`` replaced by ``exp(A - C)`` and how many were, `needed` at most."""
    match factor:
        case Function("exp", above) if needed >= 1 and _is_renamed(above, total):
            return Function("exp", minus(above, shift)), 1
        case Power(Function("exp", above), exponent) if 0 < exponent <= needed and _is_renamed(above, total):
            return power(Function("exp", minus(above, shift)), exponent), exponent
        case Reduce(operation, indices, body) if operation == SUM and not set(indices) & free_names(shift):
            changed, used = _shift_exponentials(body, total, shift, needed)
            return (reduce(SUM, indices, changed), used) if used else (factor, 0)
        case Times(factors):
            parts, count = [], 0
            for part in factors:
                changed, used = _shift_exponentials(part, total, shift, needed - count)
                parts.append(changed)
                count += used
            return times(*parts), count
    return factor, 0


def _is_renamed(above: Expression, total: Reduce) -> bool:
    """Whether `above` is the exponent of `total` with its indices renamed."""
    below = _summed_exponent(total)
    if below is None:
        return False
    if above == below:
        return True
    names = sorted(free_names(above) - free_names(total))
    if len(names) < len(total.indices):
        return False
    wanted = canonical(above)
    for choice in permutations(names, len(total.indices)):
        renaming = {index: Polynomial.of(name) for index, name in zip(total.indices, choice, strict=True)}
        if canonical(substitute_free(below, renaming)) == wanted:
            return True
    return False
