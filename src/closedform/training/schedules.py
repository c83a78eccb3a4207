"""How the learning rate goes in the course of a training.

A schedule is a pure function of the update's number: it has no state, and what it gives does not depend on
how updates are grouped.  All its shares are of the optimiser's learning rate.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import SettingError
from closedform.training.named import made

Rates = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Schedule(ABC):
    """The learning rate of each update."""

    @abstractmethod
    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """The learning rates of some updates.

        Parameters
        ----------
        steps : array of int64
            The updates' numbers (S,), counted from 0 at the beginning of the training.
        base : float
            The optimiser's learning rate.
        epoch_steps, total_steps : int
            The updates of one epoch, and of the whole training.

        Returns
        -------
        array of float64
            (S,), from 0.
        """

    def raised(self, epoch_steps: int, before: int, after: int) -> Schedule:
        """The schedule of a training that is raised from so many epochs to more.

        Returns
        -------
        Schedule
            Itself where its rates up to there stay what they were; else it begins anew for the added epochs.
        """
        steps = np.arange(before * epoch_steps)
        then, now = (self.rates(steps, 1.0, epoch_steps, count * epoch_steps) for count in (before, after))
        return self if np.array_equal(then, now) else self._begun_anew(before)

    def _begun_anew(self, epoch: int) -> Schedule:
        return Restarts(self, (epoch,))

    def to_dict(self) -> dict[str, Any]:
        """The schedule as plain values: `type`, and the settings that differ from their defaults."""
        found: dict[str, Any] = {"type": type(self).__name__}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if value != entry.default:
                found[entry.name] = _plain(value)
        return found

    def _share(self, word: str, least: float = 0.0, most: float = math.inf, above: bool = False) -> None:
        """Make a setting a finite float within its bounds."""
        value = getattr(self, word)
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or (above and value == least):
            lower = f"above {least:g}" if above else f"from {least:g}"
            upper = "" if most == math.inf else f" to {most:g}"
            kind = type(self).__name__
            raise SettingError(f"{kind}: {word} must be a number {lower}{upper}, got {value!r}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if number == math.inf:
            raise SettingError(f"{type(self).__name__}: {word} must be finite, got {value!r:.60}")
        object.__setattr__(self, word, number)

    def _steps(self) -> None:
        """`steps`, where it is given, is a whole number from 1, and takes the place of `epochs`."""
        value, kind = getattr(self, "steps", None), type(self).__name__
        if value is None:
            return
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 < value < 1 << 63:
            raise SettingError(f"{kind}: steps must be a whole number from 1, got {value!r:.60}")
        if getattr(self, "epochs", 1.0) != 1.0:
            raise SettingError(f"{kind}: epochs and steps say the same: give one of them")
        object.__setattr__(self, "steps", int(value))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up along half a cosine, then down along half a cosine, once in the whole training.

    Parameters
    ----------
    warm_up : float
        The share of the training in which the rate rises, from 0 to 1.
    start, end : float
        The first and the last rate, as shares of the optimiser's, which is the highest.

    Raises
    ------
    SettingError
        For a setting outside its range.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018; the rates are those of PyTorch's `OneCycleLR` where the rise takes an update or more.
    """

    warm_up: float = 0.3
    start: float = 0.04
    end: float = 1e-4

    def __post_init__(self) -> None:
        self._share("warm_up", most=1.0)
        self._share("start", most=1.0)
        self._share("end", most=1.0)

    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """See `Schedule.rates`."""
        top, last = self.warm_up * total_steps - 1, float(total_steps - 1)
        rising = _between(steps, 0.0, top)
        falling = _between(steps, max(top, 0.0), last)
        up = base * (1 + (self.start - 1) / 2 * (1 + np.cos(np.pi * rising)))
        down = base * (self.end + (1 - self.end) / 2 * (1 + np.cos(np.pi * falling)))
        return np.where(steps <= top, up, down)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Down along half a cosine, update by update.

    Parameters
    ----------
    end : float
        What it goes down to, as a share of the optimiser's learning rate.

    Raises
    ------
    SettingError
        For a setting outside its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    end: float = 0.0

    def __post_init__(self) -> None:
        self._share("end", most=1.0)

    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """See `Schedule.rates`."""
        share = _between(steps, 0.0, float(total_steps))
        return base * (self.end + (1 - self.end) * (1 + np.cos(np.pi * share)) / 2)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied with a factor every so many epochs, or updates.

    Parameters
    ----------
    factor : float
        Above 0.
    epochs : float
        After how many epochs each time; above 0.
    steps : int, optional
        After how many updates, instead.

    Raises
    ------
    SettingError
        For a setting outside its range.
    """

    factor: float = 0.1
    epochs: float = 1.0
    steps: int | None = None

    def __post_init__(self) -> None:
        self._share("factor", above=True)
        self._share("epochs", above=True)
        self._steps()

    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """See `Schedule.rates`."""
        each = self.steps or max(1, round(self.epochs * epoch_steps))
        return base * self.factor ** (steps // each).astype(np.float64)


@dataclass(frozen=True)
class InverseDecay(Schedule):
    """Divided by a power of the number of updates: base·(1 + gamma·step)^−power.

    Parameters
    ----------
    gamma, power : float
        From 0.

    Raises
    ------
    SettingError
        For a setting outside its range.

    References
    ----------
    Y. Jia et al., "Caffe: convolutional architecture for fast feature embedding", 2014; there it is "inv".
    """

    gamma: float = 1e-4
    power: float = 0.75

    def __post_init__(self) -> None:
        self._share("gamma")
        self._share("power")

    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """See `Schedule.rates`."""
        return base * (1 + self.gamma * steps.astype(np.float64)) ** -self.power


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Up along a line, and then by another schedule.

    Parameters
    ----------
    epochs : float
        How many epochs it rises; above 0.
    steps : int, optional
        How many updates it rises, instead.
    start : float
        The first rate, as a share of the optimiser's.
    then : Schedule, optional
        What follows, for the updates that are left; the optimiser's learning rate where it is None.

    Raises
    ------
    SettingError
        For a setting outside its range.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.
    """

    epochs: float = 1.0
    steps: int | None = None
    start: float = 0.1
    then: Schedule | None = None

    def __post_init__(self) -> None:
        self._share("epochs", above=True)
        self._share("start", most=1.0)
        self._steps()
        if self.then is not None and not isinstance(self.then, Schedule):
            raise SettingError(f"WarmUp: then must be a schedule, as in then=cf.Cosine(), got {self.then!r}")

    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """See `Schedule.rates`."""
        count = self.steps or max(1, round(self.epochs * epoch_steps))
        rising = base * (self.start + (1 - self.start) * np.minimum(steps, count) / count)
        if self.then is None:
            return rising
        left = np.maximum(steps - count, 0)
        return np.where(
            steps < count, rising, self.then.rates(left, base, epoch_steps, max(1, total_steps - count))
        )


@dataclass(frozen=True)
class Restarts(Schedule):
    """Another schedule that begins anew at some epochs.

    It goes over the epochs from one of them to the next as over a whole training, and over what is left after
    the last one.

    Parameters
    ----------
    schedule : Schedule
        What begins anew.
    milestones : sequence of float
        After how many epochs of the training: above 0, each more than the one before.

    Raises
    ------
    SettingError
        For what is no schedule, and for milestones that are none.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, with `Cosine`.
    """

    schedule: Schedule
    milestones: tuple[float, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule):
            raise SettingError(
                f"Restarts: schedule must be a schedule, as in cf.Cosine(), got {self.schedule!r:.60}"
            )
        found = tuple(self.milestones) if isinstance(self.milestones, tuple | list) else ()
        good = all(isinstance(m, Real) and not isinstance(m, bool) and 0 < m < 1e15 for m in found)
        if not good or not found or any(a >= b for a, b in itertools.pairwise(found)):
            raise SettingError(
                f"Restarts: milestones must be epochs above 0 that ascend, as in (10, 30), "
                f"got {self.milestones!r:.60}"
            )
        object.__setattr__(self, "milestones", tuple(m if isinstance(m, int) else float(m) for m in found))

    def rates(self, steps: Steps, base: float, epoch_steps: int, total_steps: int) -> Rates:
        """See `Schedule.rates`."""
        begins = np.array([0, *(round(each * epoch_steps) for each in self.milestones)], dtype=np.int64)
        parts = np.searchsorted(begins, steps, side="right") - 1
        found = np.empty(len(steps))
        for part in np.unique(parts):
            begin = begins[part]
            end = begins[part + 1] if part + 1 < len(begins) else total_steps
            chosen = parts == part
            count = max(1, int(end - begin))
            found[chosen] = self.schedule.rates(steps[chosen] - begin, base, epoch_steps, count)
        return found

    def _begun_anew(self, epoch: int) -> Schedule:
        return Restarts(self.schedule, (*self.milestones, epoch))


SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (OneCycle, Cosine, StepDecay, InverseDecay, WarmUp, Restarts)
}


def schedule_from_dict(values: Any, where: str = "") -> Schedule:
    """Read `Schedule.to_dict`'s form, ``{"type": "OneCycle", "warm_up": 0.2}``; `where` begins messages.

    Raises
    ------
    SettingError
        For an unknown type or word, with the nearest known one, and for settings that make no sense.
    """
    return made(
        SCHEDULES, values, "schedule", where, {"then": schedule_from_dict, "schedule": schedule_from_dict}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value


def _between(steps: Steps, first: float, last: float) -> Rates:
    """How far each step is from the first to the last, from 0 to 1."""
    if last <= first:
        return np.ones(len(steps))
    return np.clip((steps - first) / (last - first), 0.0, 1.0)
