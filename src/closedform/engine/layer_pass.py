"""One layer at one shape: its forward pass and its pullback, run by the reference engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from closedform.engine.reference import Plan, plan
from closedform.errors import SettingError, ShapeError
from closedform.formula.extents import Shape, Sizes
from closedform.layers.base import INPUT, Array, Layer, Pullback, derivation, is_input, shape_text
from closedform.random import Draw

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


class LayerPass:
    """A layer bound to a shape and a dtype.

    Parameters
    ----------
    layer
        The layer, or a loss.
    input_shape
        The shape of one input, without the batch axis.
    batch
        How many inputs.
    dtype
        A float dtype, in which everything is computed.
    """

    def __init__(self, layer: Layer, input_shape: Shape, batch: int, dtype: DTypeLike):
        self.layer, self.input_shape, self.batch = layer, input_shape, batch
        self.dtype = np.dtype(dtype)
        self.sizes: Sizes = layer.sizes(input_shape, batch)
        equation = layer.formula_for(input_shape)
        self.output = equation.left.tensor
        self._forward = plan([equation], self.sizes, [self.output], self.dtype)
        self._backward: dict[str, Plan] = {}

    @property
    def output_shape(self) -> Shape:
        """The shape of a batch of outputs."""
        return self.sizes.shapes[self.output]

    def forward(self, arrays: Mapping[str, Array]) -> Array:
        """The output, from the tensors that the formula reads."""
        return self._forward(arrays)[self.output]

    def gradient(self, tensor: str, arrays: Mapping[str, Array]) -> Array:
        """The loss's gradient in one tensor.

        `arrays` holds what the forward pass read, its output, and the output's gradient under its name with
        a d before it (``dY``).
        """
        if tensor not in self._backward:
            derived = derivation(self.layer, tensor, self.input_shape, self.batch)
            equations = [*derived.definitions, derived.result]
            self._backward[tensor] = plan(equations, derived.sizes, [derived.gradient], self.dtype)
        (gradient,) = self._backward[tensor](arrays).values()
        return gradient


@lru_cache(maxsize=512)
def layer_pass(layer: Layer, input_shape: Shape, batch: int, dtype: str) -> LayerPass:
    """The pass of a layer at one shape; made once."""
    return LayerPass(layer, input_shape, batch, dtype)


def apply_layer(
    layer: Layer,
    x: Array | tuple[Array, ...],
    parameters: Mapping[str, Array],
    training: bool,
    rng: int | np.random.Generator | Draw | None,
) -> tuple[Array, Pullback]:
    """`Layer.apply`."""
    kind = type(layer).__name__
    found = [tensor for tensor in layer.formula.tensors if is_input(tensor)] or [INPUT]
    reads = sorted(found, key=lambda tensor: int(tensor.removeprefix(INPUT) or 1))
    inputs = dict(zip(reads, _as_tuple(x, len(reads), kind), strict=True))
    known = {layer.public_name(tensor): tensor for tensor in (*layer.tensors, *_drawn_by_others(layer))}
    _check_names(kind, parameters, known)
    arrays = {tensor: np.asarray(value) for tensor, value in inputs.items()}
    arrays |= {known[name]: np.asarray(value) for name, value in parameters.items()}
    dtype = _float_dtype(arrays.values())
    arrays = {tensor: array.astype(dtype, copy=False) for tensor, array in arrays.items()}
    shape = arrays[INPUT].shape
    if not shape or shape[0] == 0:
        raise ShapeError(
            f"{kind}: x must hold at least one example on its first axis, got {shape_text(shape)}"
        )
    drawn = type(layer).draw is not Layer.draw
    if drawn and not training:
        return arrays[INPUT], lambda dy: (np.asarray(dy, dtype), {})
    bound = layer_pass(layer, shape[1:], shape[0], dtype.str)
    for tensor in arrays:
        arrays[tensor] = _fitted(kind, layer, tensor, arrays[tensor], bound.sizes.shapes[tensor])
    if drawn:
        draw = layer.draw(shape, as_draw(rng))
        arrays |= {tensor: array.astype(dtype) for tensor, array in draw.items()}
    y = bound.forward(arrays)

    def pullback(dy: Array) -> tuple[Any, dict[str, Array]]:
        gradient = np.asarray(dy, dtype)
        if gradient.shape != y.shape:
            raise ShapeError(
                f"{kind}: dy must have the shape of y, {shape_text(y.shape)}, "
                f"got {shape_text(gradient.shape)}"
            )
        available = {**arrays, bound.output: y, f"d{bound.output}": gradient}
        scale = gradient if not y.shape else None  # a loss's own formula does not read its gradient

        def of(tensor: str) -> Array:
            found = bound.gradient(tensor, available)
            return found if scale is None else found * scale

        dx = tuple(of(tensor) for tensor in reads)
        shapes = {tensor: layer.stored_shape(bound.sizes.shapes[tensor]) for tensor in layer.tensors}
        gradients = {layer.public_name(t): of(t).reshape(shape) for t, shape in shapes.items()}
        return (dx[0] if len(dx) == 1 else dx), gradients

    return y, pullback


def as_draw(rng: int | np.random.Generator | Draw | None) -> Draw:
    """What a layer draws with, from what users pass."""
    if isinstance(rng, Draw):
        return rng
    if isinstance(rng, np.random.Generator):
        return Draw(int(rng.integers(1 << 63)))
    if rng is None or (isinstance(rng, int | np.integer) and not isinstance(rng, bool)):
        return Draw(int(rng or 0))
    raise SettingError(f"rng must be a seed, a numpy.random.Generator or None, got {rng!r}")


def _drawn_by_others(layer: Layer) -> tuple[str, ...]:
    """The tensors that must be passed beside the parameters: a loss's targets."""
    return layer.given if type(layer).draw is Layer.draw else ()


def _as_tuple(x: Array | tuple[Array, ...], count: int, kind: str) -> tuple[Array, ...]:
    if count == 1 and not isinstance(x, tuple):
        return (x,)
    if not isinstance(x, tuple) or len(x) != count:
        raise ShapeError(f"{kind}: reads {count} inputs: pass a tuple of {count} arrays as x")
    return x


def _check_names(kind: str, parameters: Mapping[str, Array], known: Mapping[str, str]) -> None:
    missing = [name for name in known if name not in parameters]
    unknown = [name for name in parameters if name not in known]
    if missing or unknown:
        expected = ", ".join(known) or "none"
        raise ShapeError(f"{kind}: expects parameters {expected}; got {', '.join(parameters) or 'none'}")


def _fitted(kind: str, layer: Layer, tensor: str, array: Array, shape: Shape) -> Array:
    stored = shape if is_input(tensor) else layer.stored_shape(shape)
    if array.shape != stored:
        name = "x" if is_input(tensor) else layer.public_name(tensor)
        raise ShapeError(
            f"{kind}: {name} must have shape {shape_text(stored)}, got {shape_text(array.shape)}"
        )
    return array.reshape(shape)


def _float_dtype(arrays: Iterable[Array]) -> np.dtype[Any]:
    dtype = np.result_type(*arrays)
    return dtype if dtype.kind == "f" else np.dtype(np.float64)
