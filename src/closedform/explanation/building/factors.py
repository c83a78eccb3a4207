"""A fused loss taken apart: its gradient in the probabilities, and the derivative of its activation."""

from __future__ import annotations

from dataclasses import dataclass

from closedform.formula.derive import Derivation, derive
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    Access,
    Equation,
    Expression,
    canonical,
    rebuild,
    substitute,
)
from closedform.layers.base import INPUT, OUTPUT, derivation
from closedform.solution import Solution

PROBABILITY = "A"


@dataclass(frozen=True)
class Factors:
    """The two factors whose product is a fused loss's gradient.

    Attributes
    ----------
    loss
        The derivation of the loss's gradient in the probabilities, which it calls A.
    activation
        The derivation of the gradient in what the activation reads, from that in what it gives, Y.
    """

    loss: Derivation
    activation: Derivation


def factors(solution: Solution) -> Factors | None:
    """The factors of the network's loss; None where it has no activation of its own."""
    loss = solution.architecture.loss
    activation = loss.activation if loss is not None else None
    if loss is None or activation is None:
        return None
    shape = solution.architecture.output_shape
    line = loss.formula_for(shape)
    apart = _apart(line, activation.formula_for(shape))
    if apart is None:
        return None
    own = loss.sizes(shape, solution.batch)
    shapes = {PROBABILITY: own.shapes[INPUT], **own.shapes}
    sizes = Sizes(own.extents, own.settings, shapes, own.arithmetic)
    return Factors(
        derive(apart, PROBABILITY, sizes, facts=loss.facts()),
        derivation(activation, INPUT, shape, solution.batch),
    )


def _apart(loss: Equation, activation: Equation) -> Equation | None:
    """The loss's line with A for what its activation gives; None where that does not stand in it."""
    read = next((access for access in loss.accesses if access.tensor == INPUT), None)
    if read is None or activation.left.tensor != OUTPUT:
        return None
    names = zip(activation.left_indices, read.subscripts, strict=True)
    values = {index: subscript for index, subscript in names if subscript != Polynomial.of(index)}
    pattern = canonical(substitute(activation.right, values))
    entry = Access(PROBABILITY, read.subscripts)

    def change(e: Expression) -> Expression:
        return entry if canonical(e) == pattern else rebuild(e, change)

    changed = Equation(loss.left, change(loss.right))
    return changed if INPUT not in changed.tensors else None
