"""The numbers for which an array is claimed: named, completed, and put in the formula's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.binding import check_names, public_names
from closedform.checking.cases import line_of
from closedform.checking.claims import ArrayClaim, Claim, FormulaClaim, read_array
from closedform.errors import DataError, SettingError, ShapeError
from closedform.formula.extents import Shape
from closedform.layers.base import Layer, is_input, shape_text
from closedform.layers.losses import TARGET, Loss

Array = npt.NDArray[Any]


class Given:
    """The line and the numbers that an array of answers is about."""

    def __init__(
        self, layer: Layer, tensor: str | None, arrays: Mapping[str, Any], shape: Shape | None, claim: Claim
    ):
        formula = layer.formula if shape is None else layer.formula_for(shape)
        names = public_names(layer, formula)
        upstream = "d" + formula.left.tensor
        self.read: dict[str, ArrayClaim] = {}
        for name, array in arrays.items():
            own = names.get(name, name)
            if isinstance(layer, Loss) and own == TARGET:
                array = _targets(layer, array, arrays, shape)
            self.read[own] = _complete(read_array(array, name), name)
        input_name = next(t for t in formula.tensors if is_input(t))
        given = self.read.get(input_name)
        batch = 1
        if given is not None:
            rank = len(layer.sample_input_shape) + 1 if shape is None else len(shape) + 1
            if shape is None and given.values.ndim > rank:
                rank = given.values.ndim
            whole = (1,) * (rank - given.values.ndim) + given.values.shape
            if shape is not None and whole[1:] != shape:
                raise ShapeError(
                    f"{input_name} has shape {shape_text(whole)}, but input_shape is {shape_text(shape)}"
                )
            shape, batch = whole[1:], whole[0]
        if shape is None:
            raise SettingError(
                f"the size of the input is not known: give arrays={{'{input_name}': ...}} or input_shape=..."
            )
        if given is None:
            batch = self._batch(upstream, layer, shape)
        self.line = line_of(layer, tensor, shape, batch, {})
        self.arrays: dict[str, Array] = {}
        needed = self._needed(claim)
        missing = [name for name in needed if name not in self.read]
        if missing:
            example = ", ".join(f"'{name}': ..." for name in missing)
            raise SettingError(
                f"{self.line.name} of {type(layer).__name__} depends on {', '.join(needed)}; no numbers for "
                f"{', '.join(missing)}: give arrays={{{example}}}"
            )
        self.is_exact = True
        for name, array in self.read.items():
            expected = self._shape(name)
            if expected is not None:
                array = _fitted(array, expected, layer, name)
            self.arrays[name] = array.values
            if name in needed:
                self.is_exact &= array.exact is not None

    def _batch(self, upstream: str, layer: Layer, shape: Shape) -> int:
        given = self.read.get(upstream)
        rank = len(layer.output_shape(shape)) + 1 if not isinstance(layer, Loss) else 0
        return given.values.shape[0] if given is not None and given.values.ndim == rank else 1

    def _shape(self, name: str) -> Shape | None:
        shape = self.line.sizes.shapes.get(name)
        if shape is None and name == f"d{self.line.formula.left.tensor}":
            return self.line.sizes.shapes[self.line.formula.left.tensor]
        return shape

    def _needed(self, claim: Claim) -> list[str]:
        needed = dict.fromkeys(self.line.needs)
        if isinstance(claim, FormulaClaim):
            check_names(claim, self.line)
            needed.update(dict.fromkeys(self.line.needed_by(claim.equation)))
        return list(needed)


def _targets(layer: Loss, value: Any, arrays: Mapping[str, Any], shape: Shape | None) -> Any:
    """Integer labels as one-hot rows; anything else as it is."""
    labels = np.asarray(value)
    logits = np.asarray(arrays.get("X", 0))
    if labels.ndim == 1 and labels.dtype.kind in "iu" and logits.ndim == 2 and len(labels) == len(logits):
        one = layer.targets(labels, len(labels), logits.shape[1:], np.dtype(np.float64))
        return one.astype(int) if np.array_equal(one, one.astype(int)) else one
    return value


def _complete(claim: ArrayClaim, name: str) -> ArrayClaim:
    if not claim.filled.all():
        place = [int(k) for k in np.argwhere(~claim.filled)[0]]
        raise SettingError(f"arrays: {name} has no number at {place}: only a claim may be partly filled")
    if not np.isfinite(claim.values).all():
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(claim.values))[0])
        raise DataError(f"arrays: {name} is {claim.values[at]} at {list(at)}: numbers must be finite")
    return claim


def _fitted(array: ArrayClaim, expected: Shape, layer: Layer, name: str) -> ArrayClaim:
    """The array in the formula's shape; axes of one entry may be there or not."""
    if array.values.shape == expected:
        return array
    if squeezed(array.values.shape) == squeezed(expected):
        return array.reshaped(expected)
    raise ShapeError(
        f"{type(layer).__name__}: {name} must have shape {shape_text(expected)}, "
        f"got {shape_text(array.values.shape)}"
    )


def squeezed(shape: Shape) -> Shape:
    return tuple(length for length in shape if length != 1)
