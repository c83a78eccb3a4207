"""What is trained, on what and how, and what an engine makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from closedform.data.feed import Feed
from closedform.layers import Loss
from closedform.training.optimisers import Optimizer
from closedform.training.rates import Rates

if TYPE_CHECKING:
    from closedform.architecture import Architecture
    from closedform.parameters import Parameters

Array = NDArray[Any]


class Engine(Protocol):
    """What a training needs of an engine."""

    @property
    def architecture(self) -> Architecture:
        """The network that it runs."""

    def outputs(self, x: Array, parameters: Parameters) -> Array:
        """The output of the last layer in inference mode."""

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""

    def trainer(self, task: Task) -> Trainer:
        """What makes a training's updates."""


class Trainer(Protocol):
    """Makes updates, as many in one call as suits it."""

    def advance(self, order: NDArray[np.int64], most: int | None = None) -> Updates:
        """Make updates from the first of these examples, and count them in the clock.

        All of them see as many examples: `batch_size`, or what is left where that is fewer.  At least one is
        made, and no more than `most`; none or fewer where `stop` is called meanwhile.
        """

    def stop(self) -> None:
        """Make `advance` come back soon, without the step that is under way."""

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""

    def state(self) -> dict[str, Array]:
        """What the optimiser remembers: `step`, and flat arrays in the order of the network's parameters."""

    def restore(self, state: dict[str, Array]) -> None:
        """Go on with what `state` gave, and with the network's parameters as they are now."""

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
    """Inputs (N, ...), the labels or targets as they were given, the array T made of them, and how much each
    example counts: float32 (N,), or None where all count alike."""

    feed: Feed
    y: Array
    targets: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.feed)


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
    rates
        The learning rate of each update.
    clip_norm
        The length that the gradient of all parameters together is cut to; None leaves it.
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
    rates: Rates
    clip_norm: float | None = None
    is_watched: bool = False
