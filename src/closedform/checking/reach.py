"""How far an index of a claim can go before it reads outside."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from closedform.formula.extents import Value
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import Equation


def values_inside(
    index: str,
    subscript: Polynomial,
    length: int,
    equation: Equation,
    extents: Mapping[str, int],
    values: Mapping[str, Value],
) -> int | None:
    """How many values of an index can read inside an axis."""
    others = [name for name in equation.indices if name in subscript.names and name != index]
    if any(name not in extents for name in others):
        return None
    try:
        step = subscript.coefficient(index).value(values)
        low = high = subscript.without([index, *others]).value(values)
        for name in others:
            ends = (Fraction(0), subscript.coefficient(name).value(values) * (extents[name] - 1))
            low, high = low + min(ends), high + max(ends)
    except KeyError:
        return None
    if step < 0:
        return max(1, int(high // -step) + 1)
    return max(1, int((length - 1 - low) // step) + 1) if step else None
