"""Layers that act on each entry by itself, softmax, and dropout."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import ClassVar

import numpy as np

from closedform.errors import SettingError, ShapeError
from closedform.formula.extents import Shape, Value
from closedform.layers.base import Array, Layer, index_names, shape_text
from closedform.random import Draw


class _Pointwise(Layer):
    """A function of each entry."""

    @abstractmethod
    def value(self) -> str:
        """The function, with ``{x}`` where the entry stands."""

    def constants(self) -> dict[str, Value]:
        """The settings that the function reads."""
        return {}

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """The same for any number of axes."""
        indices = ",".join(index_names(len(input_shape) + 1))
        return f"Y[{indices}] = {self.value().format(x=f'X[{indices}]')}", self.constants()


@dataclass(frozen=True, repr=False)
class ReLU(_Pointwise):
    """The positive part of each entry; its derivative at 0 is 0.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x and y alike, any shape with the examples first

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.

    References
    ----------
    V. Nair, G. Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Examples
    --------
    >>> print(ReLU().formula)
    Y[n,c,i,j] = relu(X[n,c,i,j])
    """

    def value(self) -> str:
        """The positive part."""
        return "relu({x})"


@dataclass(frozen=True, repr=False)
class LeakyReLU(_Pointwise):
    """The entry where it is positive, a small multiple of it elsewhere.

    The derivative at 0 is the multiple, as in PyTorch.

    Parameters
    ----------
    negative_slope : float
        The multiple, from 0.
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x and y alike, any shape with the examples first

    Raises
    ------
    SettingError
        For a slope that is not a finite number from 0, or a `name` that is not allowed.

    References
    ----------
    A. Maas, A. Hannun, A. Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Examples
    --------
    >>> print(LeakyReLU(0.1).formula)
    Y[n,c,i,j] = relu(X[n,c,i,j]) + k * X[n,c,i,j] * [X[n,c,i,j] <= 0]
    """

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(
            self, "negative_slope", _real(self, "negative_slope", self.negative_slope, float("inf"))
        )

    def value(self) -> str:
        """The entry above 0, the multiple of it elsewhere."""
        return "relu({x}) + k * {x} * [{x} <= 0]"

    def constants(self) -> dict[str, Value]:
        """The slope, as the decimal number that was written."""
        return {"k": Fraction(repr(self.negative_slope))}


@dataclass(frozen=True, repr=False)
class Sigmoid(_Pointwise):
    """The logistic function, which takes every number to one between 0 and 1.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x and y alike, any shape with the examples first

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.

    Examples
    --------
    >>> print(Sigmoid().formula)
    Y[n,c,i,j] = sigmoid(X[n,c,i,j])
    """

    def value(self) -> str:
        """The logistic function."""
        return "sigmoid({x})"


@dataclass(frozen=True, repr=False)
class Tanh(_Pointwise):
    """The hyperbolic tangent.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x and y alike, any shape with the examples first

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    """

    def value(self) -> str:
        """The hyperbolic tangent."""
        return "tanh({x})"


@dataclass(frozen=True, repr=False)
class Softmax(Layer):
    """Positive numbers that sum to 1 over the classes (axis 1); for the loss use `SoftmaxCrossEntropy`.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x and y (N, K), (N, K, H, W), or with any further axes

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    ShapeError
        Where the input has no axis of classes.

    References
    ----------
    J. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships
    to statistical pattern recognition", 1990.

    Examples
    --------
    >>> print(Softmax().formula)
    Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])
    """

    @property
    def sample_input_shape(self) -> Shape:
        """A row of classes."""
        return (5,)

    def check_input(self, input_shape: Shape) -> None:
        """At least the axis of the classes."""
        if not input_shape:
            raise ShapeError(f"Softmax: expects classes on axis 1, got {shape_text(input_shape)}")

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """Each exponential over the sum of all."""
        rest = "".join(f",{index}" for index in index_names(len(input_shape) + 1)[2:])
        return f"Y[n,k{rest}] = exp(X[n,k{rest}]) / sum[m] exp(X[n,m{rest}])", {}


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training each entry is dropped with probability `p`, the others divided by that of staying.

    The mask ``M`` is a tensor of the formula like any other.  It is drawn from a counter-based generator
    keyed by seed, step, layer, image and entry, so that it does not depend on the batch or on threads.
    Outside training the layer changes nothing.

    Parameters
    ----------
    p : float
        The probability of dropping, from 0 to below 1.
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x and y alike, any shape with the examples first

    Raises
    ------
    SettingError
        For `p` outside its range, or a `name` that is not allowed.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Examples
    --------
    >>> print(Dropout(0.5).formula)
    Y[n,c,i,j] = M[n,c,i,j] * X[n,c,i,j]
    """

    p: float = 0.5

    given: ClassVar[tuple[str, ...]] = ("M",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "p", _real(self, "p", self.p, 1.0))

    def draw(self, shape: Shape, draw: Draw) -> dict[str, Array]:
        """The mask."""
        numbers = draw.uniform(shape[0], math.prod(shape[1:]))
        mask = np.where(numbers >= np.float32(self.p), 1 / (1 - self.p), 0)
        return {"M": mask.reshape(shape)}

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """The mask has the input's shape."""
        indices = ",".join(index_names(len(input_shape) + 1))
        return f"Y[{indices}] = M[{indices}] * X[{indices}]", {}


def _real(layer: Layer, word: str, value: object, below: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < below:
        upper = "" if below == float("inf") else f" to below {below:g}"
        raise SettingError(f"{type(layer).__name__}: {word} must be a number from 0{upper}, got {value!r}")
    return float(value)
