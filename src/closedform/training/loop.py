"""The training loop: batches in a seeded order, one update each."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError
from closedform.layers import Loss
from closedform.random import permutation
from closedform.training.history import History
from closedform.training.optimisers import Optimizer
from closedform.training.progress import Progress

if TYPE_CHECKING:
    from closedform.parameters import Parameters

Array = NDArray[Any]

_EVALUATION_BATCH = 256


class Engine(Protocol):
    """What the loop needs of an engine."""

    def outputs(self, x: Array, parameters: Parameters) -> Array:
        """The output of the last layer in inference mode."""

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""

    def trainer(self, task: Task) -> Trainer:
        """What makes a training's updates."""


class Trainer(Protocol):
    """Makes updates, as many in one call as suits it."""

    def advance(self, order: NDArray[np.int64]) -> Updates:
        """Make updates, at least one, from the first of these examples, and count them in the clock.

        All of them see as many examples: `batch_size`, or what is left where that is fewer.
        """

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""

    def finish(self) -> None:
        """Leave the network as the last finished update made it, also where `advance` was interrupted."""


@dataclass(frozen=True)
class Updates:
    """What some updates leave to be reported.

    Attributes
    ----------
    losses
        The mean loss of each batch before its update.
    examples
        How many examples they saw in all.
    correct
        How many of them were classified right; None where the loss does not classify.
    """

    losses: list[float]
    examples: int
    correct: int | None


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
class Task:
    """What is trained, on what, and how.

    Attributes
    ----------
    is_watched
        Whether examples are evaluated after each epoch.
    """

    parameters: Parameters
    loss: Loss
    examples: Examples
    batch_size: int
    optimizer: Optimizer
    seed: int
    clock: Clock
    is_watched: bool = False


def fit(
    engine: Engine,
    trainer: Trainer,
    task: Task,
    validation: Examples | None,
    *,
    epochs: int,
    progress: Progress,
) -> History:
    """Train in place; the last, shorter batch of an epoch is used too.

    Raises
    ------
    DataError
        Where the loss or a parameter is infinite or no number; the parameters are left as the last update
        made them.
    """
    history, clock = History(), task.clock
    count = len(task.examples)
    batches = -(-count // task.batch_size)
    with progress:
        for epoch in range(epochs):
            started = time.perf_counter()
            progress.begin_epoch(epoch, epochs, batches)
            order = permutation(task.seed, clock.epochs, count)
            total, right, done = 0.0, 0, 0
            while done < count:
                before = clock.updates
                updates = trainer.advance(order[done:])
                each = updates.examples // len(updates.losses)
                for number, loss in enumerate(updates.losses):
                    if not math.isfinite(loss):
                        first = done + number * each
                        raise _lost(loss, before + number, task, order[first : first + each])
                progress.batch(updates.losses[-1], len(updates.losses))
                total += sum(updates.losses) * each
                right += updates.correct or 0
                done += updates.examples
            figures = {"loss": total / count}
            if updates.correct is not None:
                figures["accuracy"] = right / count
            clock.epochs += 1
            if not trainer.is_finite():
                raise _diverged("a parameter is not finite", clock.updates, task.optimizer)
            if validation is not None:
                found = evaluate(engine, task.loss, task.parameters, validation)
                if not np.isfinite(found["loss"]):
                    raise _diverged(f"the validation loss is {found['loss']}", clock.updates, task.optimizer)
                figures |= {f"val_{key}": value for key, value in found.items()}
            seconds = time.perf_counter() - started
            history.append(figures, seconds)
            progress.end_epoch(epoch, figures, seconds)
    return history


def _lost(loss: float, updates: int, task: Task, chosen: Array) -> DataError:
    if updates == 0:
        return _hopeless(loss, task.examples.x[chosen], task.parameters)
    return _diverged(f"the loss is {loss}", updates, task.optimizer)


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


def evaluate(engine: Engine, loss: Loss, parameters: Parameters, examples: Examples) -> dict[str, float]:
    """The mean loss over the examples, and the accuracy where the loss classifies."""
    total, right = 0.0, 0
    correct: int | None = None
    for start in range(0, len(examples), _EVALUATION_BATCH):
        part = slice(start, start + _EVALUATION_BATCH)
        output = engine.outputs(examples.x[part], parameters)
        total += engine.loss_value(output, examples.targets[part]) * len(output)
        correct = loss.correct(output, examples.y[part])
        right += correct or 0
    figures = {"loss": total / len(examples)}
    if correct is not None:
        figures["accuracy"] = right / len(examples)
    return figures
