"""The lines of a fused loss as they are taught: of the probabilities, where those derived read the logits."""

from __future__ import annotations

from dataclasses import replace

from closedform.formula.tree import Access, Equation, Expression, rebuild, substitute_free, walk
from closedform.layers.base import INPUT
from closedform.solution import Calculation, Solution, Values
from closedform.solution.names import LOSS, PROBABILITIES

_READ = "A"


def through_probabilities(solution: Solution, values: Values) -> dict[str, Calculation]:
    """The loss and the gradient in the logits, with the probabilities put for their formula.

    ``dX[n,k] = 1/|n| * (A[n,k] - T[n,k])``; empty where neither line holds it.
    """
    name = solution.names.get(PROBABILITIES)
    quantity = solution[name] if name is not None and name in solution else None
    if quantity is None or quantity.calculation is None:
        return {}
    formula = quantity.calculation.equation
    found = {}
    for read in (solution.names[LOSS], "d" + solution.output):
        calculation = values.calculation(read) if read in solution else None
        if calculation is None:
            continue
        right = _put(calculation.equation.right, formula)
        if right != calculation.equation.right:
            found[read] = replace(
                calculation,
                equation=Equation(calculation.equation.left, right),
                sizes=calculation.sizes.extended(shapes={_READ: quantity.shape}),
                reads={**calculation.reads, _READ: quantity.name},
            )
    return found


def _put(expression: Expression, formula: Equation) -> Expression:
    """The expression with an entry for each place where the formula's right side stands."""
    logits = next((n for n in walk(expression) if isinstance(n, Access) and n.tensor == INPUT), None)
    if logits is not None:
        own = dict(zip(formula.left_indices, logits.subscripts, strict=True))
        if substitute_free(formula.right, own) == expression:
            return Access(_READ, logits.subscripts)
    return rebuild(expression, lambda part: _put(part, formula))
