"""One line of a solution that is right, with all that a rewrite of it must know.

    Line.value(layer, input_shape, batch)               Y[...] = ..., or L = ... of a loss
    Line.gradient(layer, tensor, input_shape, batch)    dX[...] = ..., derived
    line.evaluate(arrays)                               its numbers
    line.roles                                          what its indices are for

A rewrite makes another `Line` of it: another equation, sometimes with other sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.roles import Roles, roles_of
from closedform.errors import SettingError
from closedform.formula.derive import Derivation, derive
from closedform.formula.derive.definitions import in_order
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import Shape, Sizes, solve
from closedform.formula.tree import Access, Equation, Expression
from closedform.layers.base import INPUT, OUTPUT, Layer, is_input
from closedform.layers.losses import TARGET, Loss

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Line:
    """One correct line, or a rewrite of one.

    Attributes
    ----------
    equation
        ``Y[...] = ...`` or ``dX[...] = ...``.
    formula
        The layer's own line.
    sizes
        Extents, settings and shapes of everything that is mentioned.
    definitions
        What names stand for that the equation, or a claim, may read: Y, and M, R of the derivation.
    layer
        The layer, where there is one.
    derivation
        How the gradient follows from the formula; None for a value.
    unfolded
        The same gradient as a sum over windows, where the derivation has folded that into quotients.
    """

    equation: Equation
    formula: Equation
    sizes: Sizes
    definitions: tuple[Equation, ...] = ()
    layer: Layer | None = None
    derivation: Derivation | None = None
    unfolded: Equation | None = None

    @classmethod
    def value(
        cls, layer: Layer, input_shape: Shape, batch: int = 1, extents: Mapping[str, int] | None = None
    ) -> Line:
        """The layer's own line.

        Parameters
        ----------
        layer
            The layer or loss.
        input_shape
            The shape of one input, without the batch axis.
        batch
            How many examples.
        extents
            Extents of the formula's indices that take the place of those that the layer fixes.
        """
        return _line(layer, None, tuple(input_shape), batch, tuple(sorted((extents or {}).items())))

    @classmethod
    def gradient(
        cls,
        layer: Layer,
        tensor: str,
        input_shape: Shape,
        batch: int = 1,
        extents: Mapping[str, int] | None = None,
    ) -> Line:
        """The derived gradient in one tensor of the formula; parameters as for `value`."""
        return _line(layer, tensor, tuple(input_shape), batch, tuple(sorted((extents or {}).items())))

    @property
    def name(self) -> str:
        """The tensor that the line defines."""
        return self.equation.left.tensor

    @property
    def wrt(self) -> str | None:
        """The tensor in which this is the gradient; None for a value."""
        return self.derivation.by if self.derivation else None

    @property
    def upstream(self) -> str | None:
        """The gradient that comes from above, ``dY``; None for a value and where the formula is a loss."""
        return self.derivation.upstream if self.derivation else None

    @property
    def is_loss(self) -> bool:
        """Whether the formula ends in one number."""
        return not self.formula.left.subscripts

    @property
    def of_parameter(self) -> bool:
        """Whether this is a parameter's gradient."""
        return self.wrt in self.roles.parameters

    @property
    def of_input(self) -> bool:
        """Whether this is an input's gradient."""
        return self.wrt is not None and is_input(self.wrt)

    @property
    def shape(self) -> Shape:
        """The shape of what the line defines."""
        return self.sizes.shapes[self.name]

    @cached_property
    def roles(self) -> Roles:
        """What the formula's indices are for."""
        return roles_of(self.formula)

    @property
    def needs(self) -> tuple[str, ...]:
        """The tensors whose numbers must be known: those that the equation reads and cannot work out."""
        return self.needed_by(self.equation)

    def needed_by(self, equation: Equation) -> tuple[str, ...]:
        """The tensors that must be given to evaluate an equation with this line's definitions."""
        defined = {definition.left.tensor for definition in self.definitions}
        used = in_order(self.definitions, equation.tensors)
        read = dict.fromkeys([*equation.tensors, *(tensor for d in used for tensor in d.tensors)])
        return tuple(tensor for tensor in read if tensor not in defined)

    def completed(self, arrays: Mapping[str, Array], equation: Equation | None = None) -> dict[str, Array]:
        """The arrays with every definition that the equation needs worked out."""
        known = dict(arrays)
        for definition in in_order(self.definitions, (equation or self.equation).tensors):
            if definition.left.tensor not in known:
                known[definition.left.tensor] = evaluate(definition, known, self.sizes)
        return known

    def everything(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays with every definition of a gradient that they suffice to work out; of a value, none."""
        known = dict(arrays)
        for definition in self.definitions if self.derivation else ():
            reading = Equation(Access("", ()), definition.left)
            if all(tensor in known for tensor in self.needed_by(reading)):
                known = self.completed(known, reading)
        return known

    def evaluate(self, arrays: Mapping[str, Array]) -> Array:
        """The line's numbers in float64, for the arrays of every tensor that it needs."""
        return np.asarray(evaluate(self.equation, self.completed(arrays), self.sizes))

    def rewritten(self, right: Expression) -> Line:
        """The line with another right side."""
        return self.with_equation(Equation(self.equation.left, right))

    def with_equation(self, equation: Equation) -> Line:
        """The line with another equation, of the same sizes."""
        return replace(self, equation=equation, unfolded=None)

    def reshaped(self, left: Access, right: Expression, extents: Mapping[str, int] | None = None) -> Line:
        """The line with another left side; its shape follows from the left side and the extents."""
        sizes = self.sizes.extended(extents=extents)
        equation = Equation(left, right)
        shape = tuple(_length(subscript, equation, sizes) for subscript in left.subscripts)
        sizes = sizes.extended(shapes={left.tensor: shape})
        return replace(self, equation=equation, sizes=sizes, unfolded=None)


def _length(subscript: Any, equation: Equation, sizes: Sizes) -> int:
    indices = [index for index in equation.left_indices if index in subscript.names]
    last = {**sizes.values, **{index: sizes.extent(index) - 1 for index in indices}}
    return int(subscript.value(last)) + 1


@lru_cache(maxsize=512)
def _line(
    layer: Layer, tensor: str | None, input_shape: Shape, batch: int, extents: tuple[tuple[str, int], ...]
) -> Line:
    formula = layer.formula_for(input_shape)
    if tensor is not None and tensor not in formula.tensors:
        raise SettingError(
            f"{type(layer).__name__} has no tensor {tensor!r}: its formula reads {', '.join(formula.tensors)}"
        )
    sizes = _sizes(layer, formula, input_shape, batch, extents)
    definitions: tuple[Equation, ...] = ()
    if formula.left.tensor == OUTPUT:
        definitions = (formula,)
    elif isinstance(layer, Loss) and layer.activation is not None:
        probabilities = layer.activation
        definitions = (probabilities.formula_for(input_shape),)
        own = probabilities.sizes(input_shape, batch)
        sizes = own.extended(extents=sizes.extents, shapes=sizes.shapes)
    if tensor is None:
        return Line(formula, formula, sizes, definitions, layer)
    derivation = derive(formula, tensor, sizes, facts=layer.facts(), keep=layer.by_shape)
    unfolded = None
    for before, step in zip(derivation.steps, derivation.steps[1:], strict=False):
        if step.rule == "fold":
            unfolded = before.equation
    return Line(
        derivation.result,
        formula,
        derivation.sizes,
        (*definitions, *derivation.definitions),
        layer,
        derivation,
        unfolded,
    )


def _sizes(
    layer: Layer, formula: Equation, input_shape: Shape, batch: int, extents: tuple[tuple[str, int], ...]
) -> Sizes:
    if not extents:
        return layer.sizes(input_shape, batch)
    layer.check_input(input_shape)
    _, bindings = layer.written(input_shape)
    shapes = {INPUT: (batch, *input_shape)}
    if isinstance(layer, Loss):
        shapes[TARGET] = (batch, *input_shape)
    return solve(formula, shapes, {**bindings, **dict(extents)})
