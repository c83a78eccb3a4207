"""What is said of a training whose loss or parameters are no finite numbers any more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError

if TYPE_CHECKING:
    from closedform.architecture import Architecture
    from closedform.training.task import Task

Array = NDArray[Any]


def diverged(sign: str, where: str, task: Task, epoch: int, kept: Path | None) -> DataError:
    """The error for a training that has diverged.

    Parameters
    ----------
    sign
        What shows it.
    where
        What is the first that is not finite, from `place`.
    epoch
        The epoch, counted from 0.
    kept
        The last checkpoint.
    """
    updates = task.clock.updates
    rest = "" if kept is None else f"; the last checkpoint, {kept}, is from before and stays"
    first = f", first in {where}" if where else ""
    return DataError(
        f"{sign} after {updates} {'update' if updates == 1 else 'updates'}, in epoch {epoch + 1}{first}: the "
        f"training has diverged; make the network anew and train it with a learning rate below "
        f"{task.rates.base:g}{rest}"
    )


def hopeless(loss: float, x: Array, parameters: Mapping[str, Array]) -> DataError:
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


def place(architecture: Architecture, task: Task, chosen: NDArray[np.int64]) -> str:
    """The first parameter or output of a layer that is not finite for a batch; "the loss" where all are."""
    from closedform.engine.network_pass import ReferenceEngine

    for key, array in task.parameters.items():
        if not np.isfinite(array).all():
            return key
    x = task.examples.feed.take(chosen, task.clock.epochs)
    with np.errstate(all="ignore"):
        _, trace = ReferenceEngine(architecture).forward(
            x, task.parameters, training=True, seed=task.seed, step=task.clock.updates
        )
    for position, visit in enumerate(trace.visits):
        if visit is not None and not np.isfinite(visit.output).all():
            return f"the output of {architecture.place(position)}"
    return "the loss"
