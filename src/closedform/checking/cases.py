"""Sizes and numbers at which a formula is judged: channels equal and unequal, strides that divide and not.

Numbers are whole, no two of an input alike and none 0, so that no maximum is tied and no ReLU is at 0;
where the formula holds exponentials they lie between -2 and 2.  They are drawn with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.lines import Line
from closedform.checking.roles import Roles, roles_of
from closedform.errors import ShapeError
from closedform.formula.extents import Shape, Sizes
from closedform.formula.subscripts import digits
from closedform.formula.tree import Equation, Function, walk
from closedform.layers.base import Layer, is_input
from closedform.layers.losses import TARGET, Loss, MeanSquaredError

Array = npt.NDArray[Any]

_SEED = 20_240_229
_MOST_FILTERS = 4  # more say nothing new about a formula, and take longer
_LARGEST_INPUT = 4_000
_CURVED = {"exp", "sigmoid", "tanh", "softplus"}
_POSITIVE = {"log", "sqrt"}


@dataclass(frozen=True, eq=False)
class Case:
    """A correct line at one size, with numbers for every tensor."""

    line: Line
    arrays: Mapping[str, Array]


def line_of(
    layer: Layer, tensor: str | None, input_shape: Shape, batch: int, extents: Mapping[str, int]
) -> Line:
    """The layer's own line, or its gradient in a tensor."""
    if tensor is None:
        return Line.value(layer, input_shape, batch, extents)
    return Line.gradient(layer, tensor, input_shape, batch, extents)


@lru_cache(maxsize=256)
def cases(layer: Layer, tensor: str | None, rank: int | None, input_shape: Shape | None) -> tuple[Case, ...]:
    """Three sizes with numbers, and the given one before them where it is small.

    Parameters
    ----------
    layer, tensor
        Whose line, and the gradient in which tensor; None for the value.
    rank
        How many axes an input has, its batch axis among them; None for the layer's usual number.
    input_shape
        The shape of one input, where there is a given one.
    """
    found = []
    for seed, (shape, batch, extents) in enumerate(_sizes(layer, rank, input_shape)):
        line = line_of(layer, tensor, shape, batch, extents)
        found.append(Case(line, drawn(line, seed)))
    return tuple(found)


def _sizes(
    layer: Layer, rank: int | None, input_shape: Shape | None
) -> Iterator[tuple[Shape, int, dict[str, int]]]:
    usual = input_shape or layer.sample_input_shape
    if input_shape is None and rank is not None and rank != len(usual) + 1:
        usual = (4, 5, 3, 4, 3)[: rank - 1]
    if input_shape is not None:
        layer.sizes(input_shape)  # to say what is wrong with it
        if np.prod(input_shape) <= _LARGEST_INPUT:
            yield input_shape, 2, {}
    found = False
    for choice in range(3):
        try:
            size = _small(layer, usual, choice)
        except ShapeError:
            continue
        found = True
        yield size
    if not found:
        yield from ((usual, batch, {}) for batch in (2, 3))


def _small(layer: Layer, usual: Shape, choice: int) -> tuple[Shape, int, dict[str, int]]:
    """One of three small sizes."""
    formula, sizes = layer.formula_for(usual), layer.sizes(usual, 2)
    roles = roles_of(formula)
    extents = {
        index: min(sizes.extent(index), _MOST_FILTERS - 1 if sizes.extent(index) > _MOST_FILTERS else 99)
        for index in roles.outputs
    }
    filters = max([1, *extents.values()])
    shape = [
        _channels(formula, sizes, roles, filters + (0, 1, -1)[choice])
        if axis == 1
        else _length(roles, sizes, axis, choice)
        for axis in range(1, roles.rank)
    ]
    batch = (2, 3, max(2, shape[0]) if roles.rank == 2 else 2)[choice]
    line_extents = {index: n for index, n in extents.items() if n != sizes.extent(index)}
    size = tuple(shape)
    Line.value(layer, size, batch, line_extents)  # a ShapeError where it does not fit
    return size, batch, line_extents


def _channels(formula: Equation, sizes: Sizes, roles: Roles, wanted: int) -> int:
    """How many input channels; a multiple of the groups."""
    access = next(access for access in formula.accesses if is_input(access.tensor))
    order = digits(access.subscripts[1]) or []
    groups = int(np.prod([sizes.extent(index) for index in order[:-1]]))
    return groups * max(1 if roles.outputs else 2, wanted if roles.outputs else wanted + 1)


def _length(roles: Roles, sizes: Sizes, axis: int, choice: int) -> int:
    """The length of an axis beside the channels: some windows and perhaps a rest."""
    windows = [window for window in roles.windows if window.axis == axis]
    if not windows:
        return ((2, 3, 4), (4, 2, 5), (3, 3, 3))[choice][(axis - 2) % 3]
    window = windows[0]
    step = int(window.stride.value(sizes.values))
    reach = 1
    if window.kernel:
        reach += int(window.dilation.value(sizes.values)) * (sizes.extent(window.kernel) - 1)
    padding = max(0, -int(window.start.value(sizes.values)))
    count, rest = ((2 + (axis + 1) % 2, 0), (3 - axis % 2, 1), (2, step - 1))[choice]
    return max(reach - 2 * padding + step * count + min(rest, step - 1), 3, padding + 1)


def drawn(line: Line, seed: int) -> dict[str, Array]:
    """Numbers for every tensor of the line that cannot be worked out."""
    rng = np.random.default_rng([_SEED, seed])
    functions = {node.name for node in walk(line.formula.right) if isinstance(node, Function)}
    names = [*line.formula.tensors]
    if not line.is_loss:
        names.append(f"d{line.formula.left.tensor}" if line.upstream is None else line.upstream)
    found: dict[str, Array] = {}
    for name in names:
        shape = line.sizes.shapes.get(name, line.sizes.shapes[line.formula.left.tensor])
        if name == TARGET and isinstance(line.layer, Loss):
            found[name] = _targets(line, rng, shape)
        else:
            found[name] = _numbers(rng, shape, functions)
    return found


def _numbers(rng: np.random.Generator, shape: Shape, functions: set[str]) -> Array:
    """Different whole numbers, none of them 0; within [-2, 2] before exponentials, positive before roots."""
    size = int(np.prod(shape))
    half = size // 2 + 4
    values = rng.permutation([k for k in range(-half, half + 1) if k != 0])[:size].astype(float)
    if functions & (_CURVED | _POSITIVE):
        values = values * (2 / half)
    if functions & _POSITIVE:
        values = np.abs(values) + 0.5 * (values > 0) / half
    return np.asarray(values.reshape(shape))


def _targets(line: Line, rng: np.random.Generator, shape: Shape) -> Array:
    if isinstance(line.layer, MeanSquaredError):
        return np.asarray(rng.integers(-9, 10, shape).astype(float))
    if shape[-1] == 1:
        return np.asarray(np.arange(np.prod(shape)).reshape(shape) % 2, float)
    labels = np.zeros(shape)
    labels[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = 1
    return labels
