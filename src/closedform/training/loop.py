"""The training loop: batches in a seeded order, one update each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError
from closedform.layers import Loss
from closedform.random import permutation
from closedform.training.history import History
from closedform.training.optimisers import Optimizer
from closedform.training.progress import Progress

Array = NDArray[Any]

_EVALUATION_BATCH = 256


class Runner(Protocol):
    """What the loop needs of an engine."""

    def forward(
        self,
        x: Array,
        parameters: Mapping[str, Array],
        *,
        training: bool = ...,
        seed: int = ...,
        step: int = ...,
    ) -> tuple[Array, Any]:
        """The output of a batch, and what the backward pass needs."""

    def backward(self, dy: Array, trace: Any, *, into: Mapping[str, Array] | None = ...) -> Any:
        """The gradients, written into arrays."""

    def loss(self, output: Array, targets: Array) -> tuple[float, Array]:
        """The mean loss of a batch and its gradient in the output."""

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""


@dataclass(frozen=True)
class Examples:
    """Inputs (N, ...) float32, the labels or targets as they were given, and the array T made of them."""

    x: Array
    y: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass
class Clock:
    """How far a network has been trained: what the order of the examples and dropout are drawn for."""

    epochs: int = 0
    updates: int = 0


@dataclass(frozen=True)
class Trainee:
    """What is trained: parameters and gradients, by key and as the flat arrays behind the keys."""

    engine: Runner
    loss: Loss
    parameters: Mapping[str, Array]
    flat_parameters: Array
    gradients: Mapping[str, Array]
    flat_gradients: Array
    seed: int
    clock: Clock


def fit(
    trainee: Trainee,
    examples: Examples,
    validation: Examples | None,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    progress: Progress,
) -> History:
    """Train in place; the last, shorter batch of an epoch is used too.

    Raises
    ------
    DataError
        Where the loss or a parameter is infinite or no number; the parameters are left as the last step made
        them.
    """
    history, clock = History(), trainee.clock
    state = optimizer.initial_state(trainee.flat_parameters.size, trainee.flat_parameters.dtype)
    batches = -(-len(examples) // batch_size)
    with progress:
        for epoch in range(epochs):
            started = time.perf_counter()
            progress.begin_epoch(epoch, epochs, batches)
            order = permutation(trainee.seed, clock.epochs, len(examples))
            total, right = 0.0, 0
            for number in range(batches):
                chosen = order[number * batch_size : (number + 1) * batch_size]
                loss, correct = train_step(trainee, examples, chosen, optimizer, state)
                total += loss * len(chosen)
                right += correct or 0
                progress.batch(loss)
            figures = {"loss": total / len(examples)}
            if correct is not None:
                figures["accuracy"] = right / len(examples)
            clock.epochs += 1
            if not np.isfinite(trainee.flat_parameters).all():
                raise _diverged("a parameter is not finite", clock.updates, optimizer)
            if validation is not None:
                found = evaluate(trainee.engine, trainee.loss, trainee.parameters, validation)
                if not np.isfinite(found["loss"]):
                    raise _diverged(f"the validation loss is {found['loss']}", clock.updates, optimizer)
                figures |= {f"val_{key}": value for key, value in found.items()}
            seconds = time.perf_counter() - started
            history.append(figures, seconds)
            progress.end_epoch(epoch, figures, seconds)
    return history


def train_step(
    trainee: Trainee,
    examples: Examples,
    chosen: Array,
    optimizer: Optimizer,
    state: dict[str, Array],
) -> tuple[float, int | None]:
    """One update from the examples chosen; the mean loss before it, and how many were right."""
    engine, step = trainee.engine, trainee.clock.updates
    output, trace = engine.forward(
        examples.x[chosen], trainee.parameters, training=True, seed=trainee.seed, step=step
    )
    loss, dy = engine.loss(output, examples.targets[chosen])
    if not np.isfinite(loss):
        if step == 0:
            raise _hopeless(loss, examples.x[chosen], trainee.parameters)
        raise _diverged(f"the loss is {loss}", step, optimizer)
    engine.backward(dy, trace, into=trainee.gradients)
    optimizer.update(trainee.flat_parameters, trainee.flat_gradients, state)
    trainee.clock.updates += 1
    return loss, trainee.loss.correct(output, examples.y[chosen])


def _diverged(sign: str, updates: int, optimizer: Optimizer) -> DataError:
    return DataError(
        f"{sign} after {updates} {'update' if updates == 1 else 'updates'}: the training has diverged; make "
        f"the network anew and train it with a learning rate below {optimizer.learning_rate:g}"
    )


def _hopeless(loss: float, x: Array, parameters: Mapping[str, Array]) -> DataError:
    """Why the loss is no number before anything was learned."""
    for key, array in parameters.items():
        if not np.isfinite(array).all():
            return DataError(
                f"the loss is {loss} before the first update: {key} is not finite; assign it anew"
            )
    return DataError(
        f"the loss is {loss} before the first update: the inputs, of up to {np.abs(x).max():g}, the "
        f"targets or the parameters are too large; scale them to about 1"
    )


def evaluate(
    engine: Runner, loss: Loss, parameters: Mapping[str, Array], examples: Examples
) -> dict[str, float]:
    """The mean loss over the examples, and the accuracy where the loss classifies."""
    total, right = 0.0, 0
    correct: int | None = None
    for start in range(0, len(examples), _EVALUATION_BATCH):
        part = slice(start, start + _EVALUATION_BATCH)
        output, _ = engine.forward(examples.x[part], parameters)
        total += engine.loss_value(output, examples.targets[part]) * len(output)
        correct = loss.correct(output, examples.y[part])
        right += correct or 0
    figures = {"loss": total / len(examples)}
    if correct is not None:
        figures["accuracy"] = right / len(examples)
    return figures
