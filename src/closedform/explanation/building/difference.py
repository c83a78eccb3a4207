"""The numerical check: difference quotients of what is differentiated, beside the derived gradients."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from closedform.explanation.building.lines import Setting
from closedform.explanation.document import Inline, Paragraph
from closedform.solution import Quantity, Solution, Values

Array = NDArray[np.float64]

_STEP = 1e-5
_MOST, _FEWER = 16, 3  # entries of one quantity that are changed; fewer where the network is large
_LARGE = 5_000  # numbers in all
_MOST_PRODUCTS, _FEW_PRODUCTS = 1_000_000_000, 100_000_000  # of one pass; from the fewer one entry is changed
_MOST_NUMBERS = 20_000_000  # in all
_TOO_LARGE = (
    "The network is too large to be checked by difference quotients here: one pass takes about {} products "
    "and holds about {} numbers."
)
_TOLERANCE = 1e-5
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_EXPECTED = -8  # the exponent to which quotients agree with right gradients


def numerical_check(setting: Setting) -> Paragraph | None:
    """One line: entries changed a little, one at a time, and how far the quotients are from the gradients.

    None where nothing is differentiated.
    """
    solution = setting.writer.solution
    products = _products(solution)
    total = sum(math.prod(quantity.shape) for quantity in solution.quantities)
    if products > _MOST_PRODUCTS or total > _MOST_NUMBERS:
        checked = any(q.role == "gradient" for q in solution.quantities)
        return Paragraph((_TOO_LARGE.format(_power(products), _power(total)),), "check") if checked else None
    given, is_drawn = _numbers(solution, setting.values)
    values = Values(solution, given)
    base = _objective(solution, values)
    most = _MOST if total <= _LARGE else _FEWER
    most = most if products <= _FEW_PRODUCTS else 1
    found: list[Inline] = []
    worst, count, corners = 0.0, 0, 0
    for quantity in solution.quantities:
        gradient = "d" + quantity.name
        if gradient not in solution or quantity.role not in ("parameter", "input"):
            continue
        derived = values[gradient]
        if derived is None:
            continue
        for place in _places(quantity, most):
            array = given[quantity.name]
            up, down = (
                _objective(solution, values.with_given({quantity.name: _moved(array, place, step)}))
                for step in (_STEP, -_STEP)
            )
            quotient, slope = (up - down) / (2 * _STEP), float(derived[place])
            scale = max(1.0, abs(slope))
            bend = abs((up - base) - (base - down)) / _STEP  # by how much the slopes on the two sides differ
            if abs(quotient - slope) > _TOLERANCE * scale and bend > 1e-3 * scale:
                corners += 1
                continue
            worst, count = max(worst, abs(quotient - slope) / scale), count + 1
        found += [", "] if found else []
        found.append(setting.writer.symbol(quantity.name))
    if not found:
        return None
    numbers = "drawn numbers" if is_drawn else "these numbers"
    said, done = (f"{count} entries", "were") if count != 1 else ("1 entry", "was")
    order = ", one at a time" if count > 1 else ""
    prose: list[Inline] = [f"With {numbers}, {said} of ", *found, f" {done} changed by ±10⁻⁵{order}. "]
    if worst <= _TOLERANCE:
        prose.append(f"The difference quotients agree with the derived gradients to {_order(worst)}.")
    else:
        prose.append(f"The difference quotients differ from the derived gradients by up to {worst:.2g}.")
    if corners:
        entries = "1 entry" if corners == 1 else f"{corners} entries"
        verb = "lies" if corners == 1 else "lie"
        prose.append(f" {entries} {verb} at a corner of ReLU or a maximum, where quotients say nothing.")
    return Paragraph(tuple(prose), "check")


def _products(solution: Solution) -> int:
    """How many products one pass takes, forward and backward."""
    total = 0
    for quantity in solution.quantities:
        calculation = quantity.calculation
        if calculation is None or quantity.role == "update":
            continue
        for equation in (*calculation.definitions, calculation.equation):
            total += math.prod(calculation.sizes.extent(index) for index in equation.indices)
    return total


def _power(count: int) -> str:
    """A number as a power of ten."""
    return "10" + str(round(math.log10(count))).translate(_RAISED)


def _order(error: float) -> str:
    """An error as a bound, a power of ten; what is below the rounding of any machine is one bound."""
    exponent = _EXPECTED if error <= 10.0**_EXPECTED else math.ceil(math.log10(error))
    return "10" + str(exponent).translate(_RAISED)


def _numbers(solution: Solution, values: Values) -> tuple[dict[str, Array], bool]:
    """What is given, as floats; drawn where there are only symbols."""
    generator = np.random.default_rng(0)
    found: dict[str, Array] = {}
    is_drawn = False
    for quantity in solution.quantities:
        if quantity.calculation is not None:
            continue
        value = values[quantity.name]
        if value is None:
            is_drawn = True
            found[quantity.name] = _drawn(quantity, generator)
        else:
            found[quantity.name] = value.astype(np.float64)
    return found, is_drawn


def _drawn(quantity: Quantity, generator: np.random.Generator) -> Array:
    if quantity.role != "target":
        return generator.uniform(-1, 1, quantity.shape)
    labels = np.zeros(quantity.shape)
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels[np.arange(len(labels)), generator.integers(labels.shape[1], size=len(labels))] = 1
        return labels
    return generator.integers(0, 2, quantity.shape).astype(np.float64)


def _objective(solution: Solution, values: Values) -> float:
    """What is differentiated: the loss, or the output weighted by the gradient that comes from above."""
    has_loss = solution.architecture.loss is not None
    value = values[solution.differentiated if has_loss else solution.output]
    if value is None:
        raise ValueError("what is differentiated has no value")
    if has_loss:
        return float(value)
    upstream = values["d" + solution.output]
    weight = 1.0 if upstream is None else upstream.astype(np.float64)
    return float(np.sum(value.astype(np.float64) * weight))


def _places(quantity: Quantity, most: int) -> list[tuple[int, ...]]:
    total = math.prod(quantity.shape)
    count = min(total, most)
    chosen = {round(k * (total - 1) / max(count - 1, 1)) for k in range(count)}
    return [tuple(map(int, np.unravel_index(k, quantity.shape))) for k in sorted(chosen)]


def _moved(array: Array, place: tuple[int, ...], by: float) -> Array:
    changed = array.copy()
    changed[place] += by
    return changed
