"""What a claim states for one set of numbers, and where it agrees with what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.bases import Base
from closedform.checking.formula_sizes import Known, formula_sizes
from closedform.checking.lines import Line
from closedform.errors import DataError, ShapeError
from closedform.formula.extents import Shape, Value, solve
from closedform.formula.tree import Equation
from closedform.layers.base import shape_text
from closedform.solution import Quantity, Solution
from closedform.solution.exact import value_of
from closedform.worksheet.axes import Axes, Place
from closedform.worksheet.claims import Claim
from closedform.worksheet.symbols import Symbols

Array = npt.NDArray[Any]

EXACT = 1e-9  # of the largest entry: what float64 arithmetic in another order may differ by
SINGLE = 1e-4


@dataclass(frozen=True, eq=False)
class Stated:
    """The entries that are stated, in the sheet's order.

    Attributes
    ----------
    values
        Of dtype object where all are exact, else float64; 0 where nothing is stated.
    filled
        Which entries are stated.
    within
        How far each may be off.
    """

    values: Array
    filled: npt.NDArray[np.bool_]
    within: Array

    def agrees(self, expected: Array) -> npt.NDArray[np.bool_]:
        """For each entry whether it is right; what is not stated counts as right."""
        if self.values.dtype == object and expected.dtype == object and not self.within.any():
            return np.asarray(self.values == expected, bool) | ~self.filled
        right = expected.astype(np.float64)
        given = self.values.astype(np.float64)
        scale = float(np.abs(right).max(initial=0.0)) or 1.0
        with np.errstate(invalid="ignore"):
            close = np.abs(given - right) <= np.maximum(self.within.astype(float) * (1 + 1e-9), EXACT * scale)
        return np.asarray(close, bool) | ~self.filled

    @property
    def is_finite(self) -> bool:
        """Whether every entry is a finite number, with which one can go on."""
        return bool(np.isfinite(self.values.astype(np.float64)).all())

    def only(self, places: Sequence[Place]) -> Stated:
        """These entries alone."""
        chosen = np.zeros(self.filled.shape, bool)
        for place in places:
            chosen[place] = True
        return Stated(self.values, self.filled & chosen, self.within)

    def is_rounded(self, expected: Array) -> bool:
        """Whether an entry that counts as right is so only to the digits that are written."""
        exactly = Stated(self.values, self.filled, np.zeros_like(self.within))
        return bool((self.agrees(expected) & ~exactly.agrees(expected)).any())

    def completed(self, other: Array) -> Array:
        """The stated entries, with those of another array where nothing is stated."""
        if self.values.dtype == object and other.dtype == object:
            return np.where(self.filled, self.values, other)
        return np.where(self.filled, self.values.astype(np.float64), other.astype(np.float64))


def stated(claim: Claim, base: Base, solution: Solution, symbols: Symbols) -> Stated | None:
    """What the claim states for these numbers; None where a number that it needs is not known.

    Raises
    ------
    ShapeError, FormulaError, DataError
        Where a formula cannot be worked out.
    """
    axes = symbols.axes(claim.quantity)
    if claim.kind == "formula" and claim.equation is not None:
        return _of_formula(claim, claim.equation, base, solution, symbols)
    if claim.function is not None:
        return _of_function(claim, base, solution, axes)
    values = np.full(axes.written_shape, Fraction(0), object)
    filled = np.zeros(axes.written_shape, bool)
    within = np.zeros(axes.written_shape)
    for place, entry in claim.entries.items():
        number = entry.number
        if entry.equation is not None:
            number = _of_entry(entry.equation, base, solution)
        if number is None:
            return None
        values[place], filled[place], within[place] = number, True, float(entry.within)
    if any(not isinstance(value, Fraction) for value in values.ravel()):
        values = values.astype(np.float64)
    return Stated(values, filled, within)


def _of_entry(equation: Equation, base: Base, solution: Solution) -> Any:
    arrays = _arrays(equation, base)
    if arrays is None:
        return None
    sizes = solve(equation, {tensor: solution[tensor].shape for tensor in equation.tensors})
    return value_of(equation, arrays, sizes)[()]


def _arrays(equation: Equation, base: Base) -> dict[str, Array] | None:
    found = {}
    for tensor in equation.tensors:
        value = base[tensor]
        if value is None:
            return None
        found[tensor] = value
    if any(array.dtype != object for array in found.values()):
        return {tensor: array.astype(np.float64) for tensor, array in found.items()}
    return found


def _of_formula(
    claim: Claim, equation: Equation, base: Base, solution: Solution, symbols: Symbols
) -> Stated | None:
    arrays = _arrays(equation, base)
    if arrays is None:
        return None
    ranks = {access.tensor: len(access.subscripts) for access in (equation.left, *equation.accesses)}
    shapes: dict[str, Shape] = {}
    for tensor, rank in ranks.items():
        shapes[tensor] = _written_shape(symbols.axes(_quantity(tensor, symbols)), rank)
    read = {
        tensor: _written(array, symbols.axes(_quantity(tensor, symbols)), ranks[tensor])
        for tensor, array in arrays.items()
    }
    bindings = formula_settings(solution[claim.quantity], equation, solution)
    try:
        known = _known(claim.quantity, ranks, solution, symbols)
        value = value_of(equation, read, formula_sizes(equation, shapes, bindings, known))
    except (ShapeError, DataError) as error:
        raise type(error)(f"claim {claim.number} ({claim.of}): {error}") from None
    shape = symbols.axes(claim.quantity).written_shape
    if tuple(n for n in value.shape if n != 1) != shape:
        raise ShapeError(
            f"claim {claim.number} ({claim.of}): the formula gives shape {shape_text(value.shape)}, "
            f"expected {shape_text(shape)}"
        )
    value = value.reshape(shape)
    return Stated(value, np.ones(shape, bool), np.zeros(shape))


def _known(of: str, ranks: Mapping[str, int], solution: Solution, symbols: Symbols) -> Known:
    """What the layer of a quantity says of the indices in a claim about it."""
    quantity = solution[of]
    letters = dict(quantity.calculation.sizes.extents) if quantity.calculation is not None else {}
    if quantity.layer is None:
        return Known({}, letters)
    architecture, position = solution.architecture, quantity.layer
    line = Line.value(architecture.layers[position], architecture.shapes[position], solution.batch)
    windows = {
        window.axis: line.sizes.extent(window.kernel) for window in line.roles.windows if window.kernel
    }
    kernels: dict[str, Shape] = {}
    ends = (solution.output_of(position - 1), solution.output_of(position))
    for tensor, rank in ranks.items():
        name = _quantity(tensor, symbols)
        if name.removeprefix("d") not in ends and name not in ends:
            continue
        axes = symbols.axes(name)
        written = axes.order if rank == len(axes.order) else axes.written
        kernels[tensor] = tuple(windows.get(axis, 0) for axis in written) or (0,) * rank
    return Known(kernels, letters)


def _quantity(tensor: str, symbols: Symbols) -> str:
    part = symbols.part(tensor)
    return part.quantity if part is not None else tensor


def _written_shape(axes: Axes, rank: int) -> Shape:
    if rank == len(axes.shape):
        return axes.size
    return axes.written_shape if rank == len(axes.written) else (1,) * rank


def _written(array: Array, axes: Axes, rank: int) -> Array:
    """An array with as many axes as the formula writes subscripts."""
    return array.transpose(axes.order).reshape(_written_shape(axes, rank))


def formula_settings(quantity: Quantity, equation: Equation, solution: Solution) -> dict[str, Value]:
    """The settings that a formula about this quantity may name: ``k, s, p, d`` of its layer, ``r``.

    Those that the layer's own line names, such as ``t``, are among them.
    """
    known: dict[str, Value] = {}
    if solution.learning_rate is not None:
        known["r"] = known["eta"] = Fraction(solution.learning_rate)
    if quantity.layer is not None:
        layer = solution.architecture.layers[quantity.layer]
        words = {"k": "kernel_size", "s": "stride", "p": "padding", "d": "dilation"}
        for name, word in words.items():
            value = getattr(layer, word, None)
            if isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int):
                known[name] = value[0]
        label = solution.architecture.labels[quantity.layer]
        forward = solution[solution.names[label]].calculation
        known.update(forward.sizes.settings if forward is not None else {})
    return {name: known[name] for name in equation.settings if name in known}


def _of_function(claim: Claim, base: Base, solution: Solution, axes: Axes) -> Stated | None:
    """What a Python function returns for the arrays that it names."""
    from closedform.checking.claims import FunctionClaim

    if claim.function is None:
        return None
    known = _known_floats(base, solution, claim.quantity)
    array = FunctionClaim(claim.function).value(known)
    shape = axes.written_shape
    values = array.values
    formula = axes.to_formula(values)
    if formula is None:
        if tuple(n for n in values.shape if n != 1) != tuple(n for n in axes.shape if n != 1):
            raise ShapeError(
                f"{claim.of}: the function gives shape {shape_text(values.shape)}, "
                f"expected {shape_text(axes.size)}"
            )
        formula = values.reshape(axes.shape)
    room = SINGLE if array.is_single else EXACT
    filled = np.ones(shape, bool) if array.filled.all() else axes.to_sheet(array.filled.reshape(axes.shape))
    written = np.where(filled, axes.to_sheet(formula), 0.0)
    scale = float(np.abs(written[np.isfinite(written)]).max(initial=0.0))
    return Stated(written, filled, np.full(shape, room * scale))


def _known_floats(base: Base, solution: Solution, of: str) -> Mapping[str, Array]:
    found = {}
    for quantity in solution.quantities:
        if quantity.name == of:
            break
        value = base[quantity.name]
        if value is not None:
            found[quantity.name] = value.astype(np.float64)
    return found
