"""The learning rate of each update of a training."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from closedform.errors import SettingError

if TYPE_CHECKING:
    from closedform.training.schedules import Schedule


_MOST_SHARES = 256


class Rates:
    """What the learning rate is at each update.

    Parameters
    ----------
    base
        The optimiser's learning rate; `base` is what callbacks make of it.
    schedule
        How the rate goes from there; None leaves it.
    epoch_steps, total_steps
        The updates of an epoch and of the whole training.
    begun
        How many updates the network had before the training.
    changes
        Whether anything may change the rate.
    """

    def __init__(
        self,
        base: float,
        schedule: Schedule | None = None,
        epoch_steps: int = 1,
        total_steps: int = 1,
        begun: int = 0,
        changes: bool = False,
    ):
        self.base, self.schedule, self.begun = base, schedule, begun
        self.initial = base
        self.epoch_steps, self.total_steps = epoch_steps, total_steps
        self.changes = changes or schedule is not None

    def set(self, base: float) -> None:
        """Make another rate of the optimiser's own.

        Raises
        ------
        SettingError
            For what is no number from 0.
        """
        if isinstance(base, bool) or not isinstance(base, Real) or not 0 <= float(base) < math.inf:
            raise SettingError(f"learning_rate must be a number from 0, got {base!r}")
        self.base, self.changes = float(base), True

    def of(self, first: int, count: int) -> NDArray[np.float64]:
        """The rates of so many updates, the first of which follows `first` others of the network."""
        if self.schedule is None:
            return np.full(count, self.base)
        steps = np.arange(first - self.begun, first - self.begun + count, dtype=np.int64)
        return self.schedule.rates(steps, self.base, self.epoch_steps, self.total_steps)

    def shares(self, updates: int) -> NDArray[np.float64]:
        """What tells the rates of so many updates of the training from others.

        Returns
        -------
        array of float64
            Some of them, as shares of the optimiser's; then the mean of all, and that of all times step.
        """
        steps = np.arange(max(updates, 1), dtype=np.int64)
        rates = np.ones(len(steps))
        if self.schedule is not None:
            rates = self.schedule.rates(steps, 1.0, self.epoch_steps, self.total_steps)
        chosen = np.unique(np.linspace(0, len(steps) - 1, _MOST_SHARES).astype(np.int64))
        return np.array([*rates[chosen], rates.mean(), (rates * steps).mean()])

    def last(self, updates: int) -> float:
        """The rate of the last of so many updates of the network."""
        return float(self.of(max(updates - 1, self.begun), 1)[0])
