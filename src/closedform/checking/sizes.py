"""Judging sizes and numbers of parameters, and the arithmetic behind them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from closedform.checking.lines import Line
from closedform.errors import ClosedformError, DataError, FormulaError
from closedform.formula.extents import Shape
from closedform.formula.syntax import parse
from closedform.formula.tree import Number
from closedform.solution import Quantity, Solution
from closedform.worksheet.axes import Axes
from closedform.worksheet.claims import Claim
from closedform.worksheet.symbols import Symbols

_FLOORS = str.maketrans({"⌊": "(", "⌋": ")", "−": "-", "·": "*", "×": "*", "÷": "/"})


@dataclass(frozen=True)
class Sized:
    """A size or a count, and how it may have come about.

    Attributes
    ----------
    given, expected
        As the sheet writes them.
    is_right
        Whether they are the same.
    mistakes
        What explains a wrong one.
    notes
        What else is to be said.
    """

    given: str
    expected: str
    is_right: bool
    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def size_text(shape: Shape) -> str:
    """A size as a sheet writes it: 14×14×16."""
    return "×".join(map(str, shape))


def judged_size(claim: Claim, solution: Solution, symbols: Symbols, arrived: dict[int, Shape]) -> Sized:
    """Compare a size or a count with what follows from the shapes that arrive at each layer.

    Parameters
    ----------
    arrived
        Shapes of one example after a layer, by its position, that the sheet has stated; empty for what is
        right.
    """
    quantity = solution[claim.quantity]
    shape = _shape(quantity, solution, arrived)
    if shape is None:
        return Sized(_given(claim), "", False)
    axes = Axes(shape, symbols.axes(claim.quantity).order)
    if claim.kind == "count":
        return _judged_count(claim, quantity, shape, solution, arrived)
    told = axes.size[1:] if _has_batch(quantity, solution) else axes.size
    accepted = {told, tuple(n for n in told if n != 1) or (1,), axes.size}
    if claim.size in accepted:
        inner = shape[1:] if _has_batch(quantity, solution) else shape
        mistakes, notes = _arithmetic(claim, quantity, solution, arrived, inner)
        return Sized(size_text(claim.size), size_text(told), not (mistakes or notes), mistakes, notes)
    mistakes = _size_mistakes(claim, quantity, solution, axes, arrived)
    notes = ()
    if sorted(claim.size) == sorted(told):
        notes = ("The extents are right, their order is not.",)
    return Sized(size_text(claim.size), size_text(told), False, mistakes, notes)


def _given(claim: Claim) -> str:
    return size_text(claim.size) if claim.kind == "size" else str(claim.count)


def _has_batch(quantity: Quantity, solution: Solution) -> bool:
    return quantity.role not in ("parameter", "update", "loss") and not (
        quantity.role == "gradient" and solution[quantity.name[1:]].role == "parameter"
    )


def shape_of_layer(position: int, solution: Solution, arrived: dict[int, Shape]) -> Shape | None:
    """The shape of one example after a layer, from the last stated shape before it; None where none fits."""
    architecture = solution.architecture
    start = max((place for place in arrived if place < position), default=-1)
    shape = arrived.get(start, architecture.shapes[0])
    try:
        for layer in architecture.layers[start + 1 : position + 1]:
            shape = layer.output_shape(shape)
    except ClosedformError:
        return None
    return shape


def _shape(quantity: Quantity, solution: Solution, arrived: dict[int, Shape]) -> Shape | None:
    if quantity.layer is None or not arrived:
        return quantity.shape
    base = quantity if quantity.role != "gradient" else solution[quantity.name[1:]]
    if base.role == "value":
        shape = shape_of_layer(quantity.layer if base is quantity else (base.layer or 0), solution, arrived)
        return None if shape is None else (solution.batch, *shape)
    before = _before(quantity.layer, solution, arrived)
    if before is None or base.role != "parameter":
        return quantity.shape
    try:
        sizes = solution.architecture.layers[quantity.layer].sizes(before, solution.batch)
    except ClosedformError:
        return None
    return sizes.shapes[base.tensor]


def _before(position: int, solution: Solution, arrived: dict[int, Shape]) -> Shape | None:
    """The shape of one example before a layer."""
    if position - 1 in arrived:
        return arrived[position - 1]
    return (
        solution.architecture.shapes[0] if position == 0 else shape_of_layer(position - 1, solution, arrived)
    )


def _judged_count(
    claim: Claim, quantity: Quantity, shape: Shape, solution: Solution, arrived: dict[int, Shape]
) -> Sized:
    size = math.prod(shape[1:]) if _has_batch(quantity, solution) else math.prod(shape)
    given, expected = f"{claim.count}", f"{size}"
    if claim.count == size:
        notes: tuple[str, ...] = ()
        if claim.arithmetic and _value(claim.arithmetic) != size:
            notes = (f"The arithmetic {claim.arithmetic} does not come to {size}.",)
        return Sized(given, expected, not notes, (), notes)
    if quantity.role == "parameter" and quantity.layer is not None:
        every = solution.parameters_of(quantity.layer)
        if len(every) > 1 and claim.count == sum(math.prod(q.shape) for q in every):
            return Sized(given, expected, False, (), ("The bias was counted too.",))
    return Sized(given, expected, False)


# ---- mistakes in sizes


def _windows(
    quantity: Quantity, solution: Solution, arrived: dict[int, Shape]
) -> list[tuple[int, int, int, int]]:
    """Length, reach, stride and padding of each axis along which the layer's windows move."""
    if quantity.layer is None or quantity.role != "value":
        return []
    before = _before(quantity.layer, solution, arrived)
    if before is None:
        return []
    line = Line.value(solution.architecture.layers[quantity.layer], before, solution.batch)
    found = []
    for window in line.roles.windows:
        values = line.sizes.values
        reach = 1
        if window.kernel:
            reach += int(window.dilation.value(values)) * (line.sizes.extent(window.kernel) - 1)
        found.append(
            (
                before[window.axis - 1],
                reach,
                int(window.stride.value(values)),
                max(0, -int(window.start.value(values))),
            )
        )
    return found


def _lengths(length: int, reach: int, stride: int, padding: int) -> Iterator[tuple[str, int]]:
    """What an axis comes to with each mistake."""
    if padding:
        yield "padding-once-in-size", (length - reach + padding) // stride + 1
        yield "padding-forgotten", (length - reach) // stride + 1
    if stride > 1:
        yield "stride-ignored", length - reach + 2 * padding + 1
    yield "off-by-one", (length - reach + 2 * padding) // stride


def _size_mistakes(
    claim: Claim, quantity: Quantity, solution: Solution, axes: Axes, arrived: dict[int, Shape]
) -> tuple[str, ...]:
    windows = _windows(quantity, solution, arrived)
    if not windows:
        return ()
    each = [dict(_lengths(*window)) for window in windows]
    for mistake in dict.fromkeys(name for lengths in each for name in lengths):
        right = list(axes.shape)
        for axis, lengths in zip(range(len(right) - len(windows), len(right)), each, strict=True):
            right[axis] = lengths.get(mistake, right[axis])
        told = Axes(tuple(right), axes.order).size[1:]
        if claim.size in (told, tuple(n for n in told if n != 1)):
            return (mistake,)
    return ()


def _arithmetic(
    claim: Claim, quantity: Quantity, solution: Solution, arrived: dict[int, Shape], shape: Shape
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with the arithmetic of a size that is right itself: the mistake, and a sentence."""
    if not claim.arithmetic:
        return (), ()
    value = _value(claim.arithmetic)
    windows = _windows(quantity, solution, arrived)
    if not windows:
        is_right = value in (math.prod(shape), *shape)
        return (
            ((), ()) if is_right else ((), (f"The arithmetic {claim.arithmetic} comes to {_short(value)}.",))
        )
    for length, reach, stride, padding in windows:
        right = Fraction(length - reach + 2 * padding, stride) + 1
        once = Fraction(length - reach + padding, stride) + 1
        if value == right or (value == math.floor(right) and not (padding and value == once)):
            return (), ()
        if padding and value == once and _mentions(claim.arithmetic, length, reach):
            hidden = math.floor(once) == math.floor(right)
            note = f"{claim.arithmetic} should be ({length} - {reach} + 2*{padding})/{stride} + 1."
            if hidden:
                note += f" The floor hides it: {math.floor(right)} is right all the same."
            return ("padding-once-in-size",), (note,)
    if value in shape:
        return (), ()
    note = f"The arithmetic {claim.arithmetic} comes to {_short(value)}, which is no extent of this size."
    return (), (note,)


def _short(value: Fraction) -> str:
    return f"{value.numerator / value.denominator:g}"


def _mentions(text: str, *numbers: int) -> bool:
    written = {int(word) for word in re.findall(r"\d+", text)}
    return set(numbers) <= written


def _value(arithmetic: str) -> Fraction:
    """What a sum or product of numbers comes to, divided without rounding."""
    text = arithmetic.translate(_FLOORS).replace("//", "/").replace("floor", "")
    if not re.fullmatch(r"[\d\s+\-*/().]{1,200}", text):
        raise DataError(f"arithmetic must be numbers with + - * / between them, got {arithmetic!r:.60}")
    try:
        right = parse(f"size = {text}").right
    except FormulaError as error:
        raise DataError(f"arithmetic {arithmetic!r:.60} cannot be read: {error.reason}") from None
    constant = right.value.constant if isinstance(right, Number) else None
    if constant is None:
        raise DataError(f"arithmetic must come to one number, got {arithmetic!r:.60}")
    return constant
