"""How parameters begin: the width of the uniform distribution, read off the formula."""

from __future__ import annotations

import math

from closedform.formula.extents import Shape, Sizes
from closedform.formula.subscripts import digits
from closedform.formula.tree import SUM, Access, Equation, Expression, Number, Plus, Reduce, Times, children
from closedform.layers.base import INPUT, ONES, ZEROS, Layer


def uniform_limit(layer: Layer, tensor: str, input_shape: Shape, before_relu: bool) -> float:
    """The parameter begins uniform between minus and plus this limit.

    He's √(6/fan_in) where a ReLU follows, else Glorot's √(6/(fan_in + fan_out)).  fan_in is the number of
    products that one output sums, fan_out the number of outputs that one input reaches through the weights
    of one position.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", 2015.  X. Glorot, Y. Bengio, "Understanding the difficulty
    of training deep feedforward neural networks", 2010.
    """
    fan_in, fan_out = fans(layer.formula_for(input_shape), tensor, layer.sizes(input_shape))
    return math.sqrt(6 / fan_in) if before_relu else math.sqrt(6 / (fan_in + fan_out))


def fans(equation: Equation, tensor: str, sizes: Sizes) -> tuple[int, int]:
    """fan_in and fan_out of one parameter of a formula."""
    access = next(access for access in equation.accesses if access.tensor == tensor)
    summed = _sums_around(equation, access)
    own = {name for subscript in access.subscripts for name in subscript.names}
    fan_in = math.prod(sizes.extent(index) for index in summed)
    # positions are the indices on the left that move the window; they do not multiply what one input reaches
    reads = [s for a in equation.accesses if a.tensor == INPUT for s in a.subscripts]
    positions = {name for subscript in reads for name in subscript.names} - set(summed)
    outputs = [index for index in equation.left_indices if index in own - positions]
    # a subscript of digits, a group and a channel in it, is no window
    sliding = [s for s in reads if s.lone is None and digits(s) is None]
    window = [index for index in summed if any(index in s.names for s in sliding)]
    fan_out = math.prod(sizes.extent(index) for index in (*outputs, *window))
    return max(fan_in, 1), max(fan_out, 1)


def beginning(layer: Layer, tensor: str) -> str | None:
    """``zeros`` or ``ones`` where the layer or its formula says so, None for a scaled parameter.

    A parameter that is only added, wherever in the formula, begins at 0.
    """
    stated = layer.initial(tensor)
    if stated in (ZEROS, ONES):
        return stated
    if stated is None and _only_added(layer.formula, tensor):
        return ZEROS
    return None


def _only_added(equation: Equation, tensor: str) -> bool:
    def added(expression: Expression) -> int:
        own = sum(map(added, children(expression)))
        if isinstance(expression, Plus):
            own += sum(_is_term(term, tensor) for term in expression.terms)
        return own

    times_added = added(equation.right) + _is_term(equation.right, tensor)
    return times_added == sum(access.tensor == tensor for access in equation.accesses)


def _is_term(expression: Expression, tensor: str) -> bool:
    """Whether a term of a sum is an entry of the tensor, or a constant multiple of one."""
    factors = expression.factors if isinstance(expression, Times) else (expression,)
    others = [factor for factor in factors if not isinstance(factor, Number)]
    return len(others) == 1 and isinstance(others[0], Access) and others[0].tensor == tensor


def _sums_around(equation: Equation, access: Access) -> tuple[str, ...]:
    def search(expression: object, around: tuple[str, ...]) -> tuple[str, ...] | None:
        if expression == access:
            return around
        if isinstance(expression, Reduce) and expression.operation == SUM:
            around = (*around, *expression.indices)
        for child in children(expression):  # type: ignore[arg-type]
            found = search(child, around)
            if found is not None:
                return found
        return None

    return search(equation.right, ()) or ()
