"""Update rules, with PyTorch's arithmetic: the same operations in the same order.

(PyTorch fuses some products with the sums that follow where the processor can; NumPy rounds both.)

An optimiser holds settings only.  Its state is a dict of arrays that belongs to whoever trains: `step`, the
number of updates made, a 0-d int64 array; and under PyTorch's names the averages of the gradient, flat
arrays as long as the parameters.

Updates go through the arrays in blocks that stay in a core's cache, so that what an update allocates does
not grow with the number of parameters.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from closedform.errors import SettingError, ShapeError

Array: TypeAlias = NDArray[Any]
State: TypeAlias = dict[str, Array]

_BLOCK = 1 << 14


@dataclass(frozen=True)
class Optimizer(ABC):
    """A rule that moves parameters against their gradients.

    Parameters
    ----------
    learning_rate : float
        How far an update moves, from 0; each rule says what it multiplies.

    Raises
    ------
    SettingError
        For a setting outside its range.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        self._check("learning_rate")

    def initial_state(self, size: int, dtype: DTypeLike = np.float32) -> State:
        """Everything that changes from update to update, before the first.

        Parameters
        ----------
        size : int
            The number of parameters.
        dtype : dtype
            That of the parameters.

        Returns
        -------
        dict of arrays
            `step`, of shape (), and a flat array of zeros of shape (size,) for each average.
        """
        state: State = {"step": np.zeros((), dtype=np.int64)}
        for name in self._moments():
            state[name] = np.zeros(size, dtype=dtype)
        return state

    def update(
        self, parameters: Array, gradients: Array, state: State, learning_rate: float | None = None
    ) -> None:
        """Make one update in place; `parameters` and `state` change, `gradients` do not.

        Parameters
        ----------
        parameters, gradients : arrays of float32 or float64
            Flat, of the same shape (size,) and dtype.
        state : dict of arrays
            From `initial_state` with the same size and dtype, or as the last update left it.
        learning_rate : float, optional
            Used for this update instead of the optimiser's own.

        Raises
        ------
        ShapeError
            If the arrays do not fit each other.
        SettingError
            If the state is another optimiser's, or the learning rate is not a number from 0 upwards.
        """
        rate = self.learning_rate if learning_rate is None else _number(self, "learning_rate", learning_rate)
        self._check_arrays(parameters, gradients, state)
        step = int(state["step"]) + 1
        state["step"][...] = step
        moments = [state[name] for name in self._moments()]
        scratch = np.empty((2, min(_BLOCK, parameters.size)), dtype=parameters.dtype)
        # a training that diverges shows in its loss; the update overflows silently, as PyTorch's does
        with np.errstate(over="ignore", invalid="ignore"):
            for block in _blocks(parameters.size):
                length = block.stop - block.start
                self._update_block(
                    parameters[block],
                    gradients[block],
                    [moment[block] for moment in moments],
                    step,
                    rate,
                    scratch[:, :length],
                )

    @abstractmethod
    def _moments(self) -> tuple[str, ...]:
        """The names of the averages that the settings call for."""

    @abstractmethod
    def _update_block(
        self,
        parameters: Array,
        gradients: Array,
        moments: list[Array],
        step: int,
        rate: float,
        scratch: Array,
    ) -> None:
        """Update one block; `step` counts from 1, `scratch` is two rows of the block's length."""

    def _check(self, *names: str, below: float = math.inf) -> None:
        """Make each named setting a float from 0 to below the limit."""
        for name in names:
            object.__setattr__(self, name, _number(self, name, getattr(self, name), below))

    def _check_arrays(self, parameters: Array, gradients: Array, state: State) -> None:
        if parameters.ndim != 1 or parameters.dtype not in (np.float32, np.float64):
            raise ShapeError(
                f"{_name(self)}: parameters must be one flat array of float32 or float64, "
                f"got an array of {parameters.dtype} of shape {parameters.shape}"
            )
        expected = {"step", *self._moments()}
        if state.keys() != expected:
            raise SettingError(
                f"{_name(self)}: expects a state of {', '.join(sorted(expected))}, "
                f"got {', '.join(sorted(state)) or 'an empty one'}; take a new one from initial_state"
            )
        for name in ("gradients", *self._moments()):
            array = gradients if name == "gradients" else state[name]
            if array.shape != parameters.shape or array.dtype != parameters.dtype:
                raise ShapeError(
                    f"{_name(self)}: {name} must be like the parameters, {parameters.dtype} of shape "
                    f"{parameters.shape}, got {array.dtype} of shape {array.shape}"
                )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent.

    Parameters
    ----------
    learning_rate : float
        What the gradient is multiplied with, from 0.
    momentum : float
        What is kept of the sum of earlier gradients, from 0 to below 1.
    nesterov : bool
        Whether to look one step of the momentum ahead.
    weight_decay : float
        The multiple of the parameters that is added to the gradients, from 0.

    Raises
    ------
    SettingError
        For a setting outside its range, and for `nesterov` without momentum.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum in deep
    learning", 2013; with the learning rate outside the momentum, as in PyTorch.

    Examples
    --------
    >>> parameters, gradients = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    >>> sgd = SGD(0.1)
    >>> sgd.update(parameters, gradients, sgd.initial_state(2, np.float64))
    >>> parameters.tolist()
    [0.95, 2.1]
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", below=1.0)
        self._check("weight_decay")
        if not isinstance(self.nesterov, bool | np.bool_):
            raise SettingError(f"SGD: nesterov must be True or False, got {self.nesterov!r}")
        object.__setattr__(self, "nesterov", bool(self.nesterov))
        if self.nesterov and self.momentum == 0:
            raise SettingError("SGD: nesterov needs a momentum above 0; pass momentum=0.9, or nesterov=False")

    def _moments(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _update_block(
        self,
        parameters: Array,
        gradients: Array,
        moments: list[Array],
        step: int,
        rate: float,
        scratch: Array,
    ) -> None:
        direction = _decayed(gradients, parameters, self.weight_decay, scratch[0])
        if self.momentum:
            (buffer,) = moments
            if step == 1:
                buffer[...] = direction
            else:
                buffer *= self.momentum
                buffer += direction
            if self.nesterov:
                np.multiply(buffer, self.momentum, out=scratch[1])
                direction = np.add(direction, scratch[1], out=scratch[1])
            else:
                direction = buffer
        np.multiply(direction, -rate, out=scratch[1])
        parameters += scratch[1]


@dataclass(frozen=True)
class Adam(Optimizer):
    """Gradient descent scaled by running averages of the gradient and of its square.

    Parameters
    ----------
    learning_rate : float
        About how far a parameter moves in one update, from 0.
    betas : tuple of two float
        What is kept of the averages of the gradient and of its square in one update, from 0 to below 1.
    eps : float
        Added to the root of the second average, above 0.
    weight_decay : float
        The multiple of the parameters that is added to the gradients, from 0.

    Raises
    ------
    SettingError
        For a setting outside its range.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("eps", "weight_decay")
        if self.eps == 0:
            raise SettingError(f"{_name(self)}: eps must be above 0, or a gradient of 0 is divided by 0")
        if not isinstance(self.betas, Sequence) or isinstance(self.betas, str) or len(self.betas) != 2:
            raise SettingError(f"{_name(self)}: betas must be two numbers, got {self.betas!r}")
        betas = tuple(_number(self, "each of betas", beta, 1.0) for beta in self.betas)
        object.__setattr__(self, "betas", betas)

    def _moments(self) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq"

    def _update_block(
        self,
        parameters: Array,
        gradients: Array,
        moments: list[Array],
        step: int,
        rate: float,
        scratch: Array,
    ) -> None:
        mean, square = moments
        beta1, beta2 = self.betas
        temporary, denominator = scratch
        gradients = self._decay(parameters, gradients, rate, denominator)

        _interpolate(mean, gradients, 1 - beta1, temporary)
        square *= beta2
        np.multiply(gradients, 1 - beta2, out=temporary)
        temporary *= gradients
        square += temporary

        np.sqrt(square, out=denominator)
        denominator /= math.sqrt(1 - beta2**step)
        denominator += self.eps
        np.multiply(mean, -(rate / (1 - beta1**step)), out=temporary)
        temporary /= denominator
        parameters += temporary

    def _decay(self, parameters: Array, gradients: Array, rate: float, out: Array) -> Array:
        """Give the gradients to go on with; they may lie in `out`."""
        return _decayed(gradients, parameters, self.weight_decay, out)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters themselves and does not enter the averages.

    Parameters
    ----------
    learning_rate, betas, eps : float, tuple of two float, float
        As for `Adam`.
    weight_decay : float
        Every update first takes from each parameter this share of it times the learning rate; from 0.

    Raises
    ------
    SettingError
        For a setting outside its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019.
    """

    weight_decay: float = 0.01

    def _decay(self, parameters: Array, gradients: Array, rate: float, out: Array) -> Array:
        if self.weight_decay:
            parameters *= 1 - rate * self.weight_decay
        return gradients


def _decayed(gradients: Array, parameters: Array, weight_decay: float, out: Array) -> Array:
    if not weight_decay:
        return gradients
    np.multiply(parameters, weight_decay, out=out)
    return np.add(gradients, out, out=out)


def _interpolate(start: Array, end: Array, weight: float, scratch: Array) -> None:
    """Move `start` towards `end` in place: exact at both ends, as PyTorch's lerp is."""
    np.subtract(end, start, out=scratch)
    if weight < 0.5:
        scratch *= weight
        start += scratch
    else:
        scratch *= 1 - weight
        np.subtract(end, scratch, out=start)


def _blocks(size: int) -> Iterator[slice]:
    for start in range(0, size, _BLOCK):
        yield slice(start, min(start + _BLOCK, size))


def _name(optimizer: Optimizer) -> str:
    return type(optimizer).__name__


def _number(optimizer: Optimizer, name: str, value: object, below: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < below:
        to = "upwards, and finite" if below == math.inf else f"to below {below:g}"
        raise SettingError(f"{_name(optimizer)}: {name} must be a number from 0 {to}, got {value!r}")
    return float(value)
