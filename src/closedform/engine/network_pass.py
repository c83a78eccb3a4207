"""The reference engine: a network's forward and backward pass, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from closedform.architecture import Architecture
from closedform.engine.layer_pass import LayerPass, layer_pass
from closedform.layers import Layer
from closedform.layers.base import INPUT, Array
from closedform.random import Draw

FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class _Visit:
    """What one layer of a forward pass leaves for the backward pass."""

    bound: LayerPass
    arrays: dict[str, Array]


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the backward pass, layer by layer; None where one did nothing."""

    visits: tuple[_Visit | None, ...]


class ReferenceEngine:
    """Runs an architecture by NumPy over stride tables, in float32.

    Every array is an argument; the engine keeps plans only, and may be used from several threads.
    """

    name = "reference"

    def __init__(self, architecture: Architecture):
        self.architecture = architecture

    def forward(
        self,
        x: Array,
        parameters: Mapping[str, Array],
        *,
        training: bool = False,
        seed: int = 0,
        step: int = 0,
    ) -> tuple[Array, Trace]:
        """The output of the last layer, and what `backward` needs.

        Parameters
        ----------
        x
            Inputs (N, ...), float32, of the architecture's shape.
        parameters
            By key, in their public shapes.
        training, seed, step
            Whether layers that draw do so, and with what.
        """
        visits: list[_Visit | None] = []
        batch = len(x)
        for position, layer in enumerate(self.architecture.layers):
            if _draws(layer) and not training:
                visits.append(None)
                continue
            bound = layer_pass(layer, self.architecture.shapes[position], batch, FLOAT.str)
            arrays = {INPUT: x, **self._parameters(position, parameters)}
            if _draws(layer):
                arrays |= layer.draw(x.shape, Draw(seed, step, position))
            y = bound.forward(arrays)
            visits.append(_Visit(bound, {**arrays, bound.output: y}))
            x = y
        return x, Trace(tuple(visits))

    def backward(
        self, dy: Array, trace: Trace, *, wrt_input: bool = False, into: Mapping[str, Array] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        """The gradients, from the gradient in the last layer's output.

        Parameters
        ----------
        dy
            Of the output's shape.
        trace
            From `forward`.
        wrt_input
            Whether the gradient in the network's input is wanted; it is computed only then.
        into
            Arrays that receive the parameters' gradients, by key; fresh ones without.
        """
        gradients: dict[str, Array] = {}
        first = min((p.layer for p in self.architecture.parameters), default=len(trace.visits))
        for position in reversed(range(len(trace.visits))):
            visit = trace.visits[position]
            if visit is None:
                continue
            arrays = {**visit.arrays, f"d{visit.bound.output}": dy}
            for parameter in self.architecture.parameters:
                if parameter.layer == position:
                    gradient = visit.bound.gradient(parameter.tensor, arrays).reshape(parameter.shape)
                    if into is not None:
                        into[parameter.key][...] = gradient
                        gradient = into[parameter.key]
                    gradients[parameter.key] = gradient
            if not wrt_input and position <= first:
                break
            dy = visit.bound.gradient(INPUT, arrays)
        ordered = {p.key: gradients[p.key] for p in self.architecture.parameters}
        return (dy if wrt_input else None), ordered

    def loss(self, output: Array, targets: Array) -> tuple[float, Array]:
        """The mean loss of a batch, and its gradient in the output."""
        bound, arrays = self._loss_pass(output, targets)
        return float(bound.forward(arrays)), bound.gradient(INPUT, arrays)

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""
        bound, arrays = self._loss_pass(output, targets)
        return float(bound.forward(arrays))

    def _loss_pass(self, output: Array, targets: Array) -> tuple[LayerPass, dict[str, Array]]:
        loss = self.architecture.loss
        if loss is None:
            raise TypeError("the architecture has no loss")
        bound = layer_pass(loss, self.architecture.output_shape, len(output), FLOAT.str)
        return bound, {INPUT: output, loss.given[0]: targets}

    def activate(self, output: Array) -> Array:
        """The probabilities of the loss's own activation, or the output itself."""
        loss = self.architecture.loss
        activation = None if loss is None else loss.activation
        if activation is None:
            return output
        bound = layer_pass(activation, self.architecture.output_shape, len(output), FLOAT.str)
        return bound.forward({INPUT: output})

    def _parameters(self, position: int, parameters: Mapping[str, Array]) -> dict[str, Any]:
        return {
            parameter.tensor: parameters[parameter.key].reshape(parameter.formula_shape)
            for parameter in self.architecture.parameters
            if parameter.layer == position
        }


def _draws(layer: Layer) -> bool:
    return type(layer).draw is not Layer.draw
