"""The numbers at which a sheet's claims are judged, and the conventions under which they are worked out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import Equation, Function, Number, Reduce, times, walk
from closedform.layers import MeanSquaredError
from closedform.solution import Calculation, Solution, Values
from closedform.solution.names import LOSS
from closedform.worksheet.sheet import Worksheet

Array = npt.NDArray[Any]

_SEED = 20_240_229
_DRAWS = 3
_CURVED = {"exp", "log", "sqrt", "sigmoid", "tanh", "softplus"}
_WINDOWED = ("Conv2d", "ChannelSummedConv2d", "DepthwiseConv2d", "LocallyConnected2d")


@dataclass(frozen=True)
class Convention:
    """What a whole solution may do in its own way.

    Attributes
    ----------
    scale
        What the loss is multiplied by.
    is_flipped
        Whether kernels are turned by 180° before they are laid on the input.
    sentence
        What is said of it.
    """

    scale: Fraction = Fraction(1)
    is_flipped: bool = False
    sentence: str = ""


STANDARD = Convention()


class Base:
    """The values of every quantity for one set of numbers, as the sheet names them.

    Parameters
    ----------
    values
        The values; with the flipped convention, of the network with turned kernels.
    flipped
        The quantities that the sheet writes turned by 180°.
    scale
        What the loss and its gradient are multiplied by.
    """

    def __init__(self, values: Values, flipped: frozenset[str] = frozenset(), scale: Fraction = Fraction(1)):
        self.values, self.flipped, self.scale = values, flipped, scale

    def __getitem__(self, name: str) -> Array | None:
        value = self.values[name]
        return None if value is None else self._turned(name, value)

    def _turned(self, name: str, value: Array) -> Array:
        return value[..., ::-1, ::-1] if name in self.flipped else value

    def with_given(self, given: Mapping[str, Array]) -> Base:
        """The values where other quantities have been given."""
        turned = {name: self._turned(name, value) for name, value in given.items()}
        return Base(self.values.with_given(turned), self.flipped, self.scale)

    def with_calculations(self, calculations: Mapping[str, Calculation]) -> Base:
        """The values where quantities are calculated in another way."""
        return Base(self.values.with_calculations(calculations), self.flipped, self.scale)

    @cached_property
    def floats(self) -> Base:
        """The same in float64 throughout, which is quick."""
        return Base(self.values.in_floats(), self.flipped, self.scale)


class Numbers:
    """The sets of numbers at which the claims of a worksheet are judged.

    Attributes
    ----------
    own
        The sheet's numbers.
    completed
        Draws that keep the sheet's numbers and complete them.
    free
        Draws of everything.
    """

    def __init__(self, worksheet: Worksheet, convention: Convention = STANDARD):
        solution = worksheet.solution
        if solution.learning_rate is None and any(c.quantity.endswith("_new") for c in worksheet.claims):
            solution = Solution(
                solution.architecture, solution.batch, solution.given, worksheet.wrt, Fraction(3, 7)
            )
        self.worksheet, self.solution, self.convention = worksheet, solution, convention
        self.is_curved = _is_curved(solution)
        self.is_smooth = not _has_kinks(solution)
        self.own = self._base(worksheet.given)

    @cached_property
    def completed(self) -> tuple[Base, ...]:
        """Draws that keep the sheet's numbers."""
        return tuple(self._base({**self._drawn(seed), **self.worksheet.given}) for seed in range(_DRAWS))

    @cached_property
    def free(self) -> tuple[Base, ...]:
        """Draws of everything but a gradient of 1 in an output that is itself differentiated."""
        kept = {}
        if self.solution.is_output_differentiated:
            name = "d" + self.solution.output
            kept = {name: self.worksheet.given[name]} if name in self.worksheet.given else {}
        return tuple(self._base({**self._drawn(seed), **kept}) for seed in range(_DRAWS))

    def _base(self, given: Mapping[str, Array]) -> Base:
        flipped = kernel_quantities(self.solution) if self.convention.is_flipped else frozenset()
        calculations = _scaled(self.solution, self.convention.scale)
        turned = {name: a[..., ::-1, ::-1] if name in flipped else a for name, a in given.items()}
        return Base(Values(self.solution, turned, calculations), flipped, self.convention.scale)

    def _drawn(self, seed: int) -> dict[str, Array]:
        rng = np.random.default_rng([_SEED, seed])
        found: dict[str, Array] = {}
        for quantity in self.solution.quantities:
            if quantity.calculation is not None:
                continue
            if quantity.role == "target" and not isinstance(
                self.solution.architecture.loss, MeanSquaredError
            ):
                found[quantity.name] = _labels(rng, quantity.shape)
            elif self.is_curved:
                fan = math.prod(quantity.shape[1:]) if quantity.role == "parameter" else 1
                found[quantity.name] = rng.normal(0, 1 / math.sqrt(max(fan, 1)), quantity.shape)
            else:
                found[quantity.name] = _whole(rng, quantity.shape)
        return found


def _whole(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Different whole numbers, none of them 0, as fractions."""
    size = math.prod(shape)
    half = size // 2 + 9
    chosen = rng.permutation([k for k in range(-half, half + 1) if k != 0])[:size]
    found = np.empty(size, object)
    found[:] = [Fraction(int(number)) for number in chosen]
    return found.reshape(shape)


def _labels(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One-hot rows, or 0 and 1 in turn."""
    rows = math.prod(shape[:-1])
    if shape[-1] == 1:
        flat = (np.arange(rows) + rng.integers(2)) % 2
        return flat.reshape(shape).astype(np.float64)
    labels = np.zeros((rows, shape[-1]))
    labels[np.arange(rows), rng.integers(0, shape[-1], rows)] = 1
    return labels.reshape(shape)


def _is_curved(solution: Solution) -> bool:
    return any(
        isinstance(node, Function) and node.name in _CURVED
        for quantity in solution.quantities
        if quantity.calculation is not None
        for node in walk(quantity.calculation.equation.right)
    )


def _has_kinks(solution: Solution) -> bool:
    """Whether some line chooses by the size of numbers: a maximum, ReLU."""
    return any(
        (isinstance(node, Function) and node.name in ("relu", "step", "abs"))
        or (isinstance(node, Reduce) and node.operation in ("max", "first"))
        for quantity in solution.quantities
        if quantity.calculation is not None
        for equation in (*quantity.calculation.definitions, quantity.calculation.equation)
        for node in walk(equation.right)
    )


def kernel_quantities(solution: Solution) -> frozenset[str]:
    """The kernels of convolutions, their gradients and what gradient descent makes of them."""
    layers = solution.architecture.layers
    names = [
        q.name
        for q in solution.quantities
        if q.role == "parameter" and q.tensor == "W" and q.layer is not None
        and type(layers[q.layer]).__name__ in _WINDOWED
    ]  # fmt: skip
    return frozenset(name for kernel in names for name in (kernel, "d" + kernel, kernel + "_new"))


def _scaled(solution: Solution, scale: Fraction) -> dict[str, Calculation]:
    """The calculations of the loss and of its gradient, multiplied."""
    if scale == 1 or solution.architecture.loss is None:
        return {}
    found = {}
    for name in (solution.names[LOSS], "d" + solution.output):
        calculation = solution[name].calculation if name in solution else None
        if calculation is not None:
            line = calculation.equation
            right = times(Number(Polynomial.of(scale)), line.right)
            found[name] = replace(calculation, equation=Equation(line.left, right))
    return found


def one_hot(solution: Solution, quantity: str, place: tuple[int, ...]) -> Array:
    """The gradient of one entry in the array that holds it."""
    found = np.full(solution[quantity].shape, Fraction(0), object)
    found[place] = Fraction(1)
    return found
