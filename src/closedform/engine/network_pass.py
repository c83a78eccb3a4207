"""The reference engine: a network's forward and backward pass, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.engine.blas import blas_threads
from closedform.engine.clipping import cut
from closedform.engine.layer_pass import LayerPass, layer_pass
from closedform.layers import Layer
from closedform.layers.base import INPUT, Array
from closedform.random import Draw

if TYPE_CHECKING:
    from closedform.training.task import Task, Updates

FLOAT = np.dtype(np.float32)
_BATCH = 256


@dataclass(frozen=True)
class _Visit:
    """What one layer of a forward pass leaves for the backward pass."""

    bound: LayerPass
    arrays: dict[str, Array]

    @property
    def output(self) -> Array:
        """What the layer gave."""
        return self.arrays[self.bound.output]


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the backward pass, layer by layer; None where one did nothing."""

    visits: tuple[_Visit | None, ...]


class LossPass:
    """The loss of an architecture and its activation, on the outputs of a batch."""

    def __init__(self, architecture: Architecture):
        self.architecture = architecture

    def value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""
        bound, arrays = self._bound(output, targets)
        return float(bound.forward(arrays))

    def value_and_gradient(self, output: Array, targets: Array) -> tuple[float, Array]:
        """The mean loss of a batch, and its gradient in the output."""
        bound, arrays = self._bound(output, targets)
        return float(bound.forward(arrays)), bound.gradient(INPUT, arrays)

    def activate(self, output: Array) -> Array:
        """The probabilities of the loss's own activation, or the output itself."""
        loss = self.architecture.loss
        activation = None if loss is None else loss.activation
        if activation is None or not len(output):
            return output
        bound = layer_pass(activation, self.architecture.output_shape, len(output), FLOAT.str)
        return bound.forward({INPUT: output})

    def _bound(self, output: Array, targets: Array) -> tuple[LayerPass, dict[str, Array]]:
        loss = self.architecture.loss
        if loss is None:
            raise TypeError("the architecture has no loss")
        bound = layer_pass(loss, self.architecture.output_shape, len(output), FLOAT.str)
        return bound, {INPUT: output, loss.given[0]: targets}


class ReferenceEngine:
    """Runs an architecture by NumPy over stride tables, in float32.

    Every array is an argument; the engine keeps plans only, and may be used from several threads.

    Parameters
    ----------
    architecture
        The network.
    threads
        How many threads NumPy's matrix products may use; None changes nothing.
    """

    name = "reference"

    def __init__(self, architecture: Architecture, threads: int | None = None):
        self.architecture, self.threads = architecture, threads
        self._losses = LossPass(architecture)

    def outputs(self, x: Array, parameters: Mapping[str, Array]) -> Array:
        """The output of the last layer in inference mode; large batches part by part."""
        result = np.empty((len(x), *self.architecture.output_shape), FLOAT)
        with blas_threads(self.threads):
            for start in range(0, len(x), _BATCH):
                part = slice(start, start + _BATCH)
                result[part] = self.forward(x[part], parameters)[0]
        return result

    def apply(
        self,
        x: Array,
        parameters: Mapping[str, Array],
        *,
        training: bool = False,
        seed: int = 0,
        step: int = 0,
    ) -> tuple[Array, Callable[[Array], tuple[Array, dict[str, Array]]]]:
        """The output, and its pullback, which goes on with x and the parameters as they are now."""
        then = {key: array.copy() for key, array in parameters.items()}
        with blas_threads(self.threads):
            y, trace = self.forward(np.array(x), then, training=training, seed=seed, step=step)

        def pullback(dy: Array) -> tuple[Array, dict[str, Array]]:
            with blas_threads(self.threads):
                dx, gradients = self.backward(dy, trace, wrt_input=True)
            if dx is None:
                raise TypeError("the gradient in the input was asked for")
            return dx, gradients

        return y.copy(), pullback

    def gradients(
        self,
        x: Array,
        targets: Array,
        parameters: Mapping[str, Array],
        *,
        seed: int = 0,
        step: int = 0,
        wrt_input: bool = False,
    ) -> tuple[float, dict[str, Array], Array | None]:
        """The mean loss of a batch in training mode, its gradient in every parameter, and in x if wanted."""
        with blas_threads(self.threads):
            output, trace = self.forward(x, parameters, training=True, seed=seed, step=step)
            loss, dy = self.loss(output, targets)
            dx, gradients = self.backward(dy, trace, wrt_input=wrt_input)
        return loss, gradients, dx

    def trainer(self, task: Task) -> ReferenceTrainer:
        """What makes a training's updates."""
        return ReferenceTrainer(self, task)

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
        return self._losses.value_and_gradient(output, targets)

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""
        return self._losses.value(output, targets)

    def activate(self, output: Array) -> Array:
        """The probabilities of the loss's own activation, or the output itself."""
        return self._losses.activate(output)

    def _parameters(self, position: int, parameters: Mapping[str, Array]) -> dict[str, Any]:
        return {
            parameter.tensor: parameters[parameter.key].reshape(parameter.formula_shape)
            for parameter in self.architecture.parameters
            if parameter.layer == position
        }


class ReferenceTrainer:
    """Makes a training's updates one by one, in the network's own arrays."""

    def __init__(self, engine: ReferenceEngine, task: Task):
        self.engine, self.task = engine, task
        self.flat = task.parameters.memory
        self.flat_gradients = np.zeros_like(self.flat)
        self.gradients, start = {}, 0
        for parameter in engine.architecture.parameters:
            part = self.flat_gradients[start : start + parameter.size]
            self.gradients[parameter.key] = part.reshape(parameter.shape)
            start += parameter.size
        self.averages = task.optimizer.initial_state(self.flat.size, FLOAT)

    def advance(self, order: NDArray[np.int64], most: int | None = None) -> Updates:
        """Make one update from the first of these examples; none where its loss is no finite number."""
        from closedform.training.task import Updates

        task, engine, clock = self.task, self.engine, self.task.clock
        examples = task.examples
        chosen = order[: task.batch_size]
        targets = examples.targets[chosen]
        with blas_threads(engine.threads):
            output, trace = engine.forward(
                examples.feed.take(chosen, clock.epochs),
                task.parameters,
                training=True,
                seed=task.seed,
                step=clock.updates,
            )
            loss, dy = engine.loss(output, targets)
            if examples.weights is not None:
                loss, dy = self._weighted(output, targets, dy, examples.weights[chosen])
            if np.isfinite(loss):
                engine.backward(dy, trace, into=self.gradients)
                self._update()
        return Updates([loss], len(chosen), task.loss.correct(output, examples.y[chosen]))

    def _weighted(self, output: Array, targets: Array, dy: Array, weights: Array) -> tuple[float, Array]:
        """The loss in which each example counts so much, and its gradient."""
        losses = [
            self.engine.loss_value(output[place : place + 1], targets[place : place + 1])
            for place in range(len(output))
        ]
        each = weights.reshape(-1, *[1] * (dy.ndim - 1))
        return float(np.mean(np.array(losses) * weights)), dy * each

    def _update(self) -> None:
        task = self.task
        if task.clip_norm is not None:
            cut(self.flat_gradients, task.clip_norm)
        rate = float(task.rates.of(task.clock.updates, 1)[0])
        task.optimizer.update(self.flat, self.flat_gradients, self.averages, rate)
        task.parameters.written()
        task.clock.updates += 1

    def stop(self) -> None:
        """An update is made whole: there is nothing to be left out."""

    def state(self) -> dict[str, Array]:
        """What the optimiser remembers: `step`, and flat arrays in the order of the network's parameters."""
        return {name: array.copy() for name, array in self.averages.items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Go on with what `state` gave, and with the network's parameters as they are now."""
        for name, array in self.averages.items():
            array[...] = state[name]

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return bool(np.isfinite(self.flat).all())

    def finish(self) -> None:
        """Nothing is left to be done."""


def _draws(layer: Layer) -> bool:
    return type(layer).draw is not Layer.draw
