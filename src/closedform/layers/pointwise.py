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
        """The function of ``x``."""

    def constants(self) -> dict[str, Value]:
        """The settings that the function reads."""
        return {}

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """The same for any number of axes."""
        indices = ",".join(index_names(len(input_shape) + 1))
        return f"Y[{indices}] = {self.value().replace('x', f'X[{indices}]')}", self.constants()


@dataclass(frozen=True, repr=False)
class ReLU(_Pointwise):
    """The positive part of each entry; its derivative at 0 is 0.

    Shapes
    ------
    x and y alike, any shape

    References
    ----------
    V. Nair, G. Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """

    def value(self) -> str:
        """max(x, 0)"""
        return "relu(x)"


@dataclass(frozen=True, repr=False)
class LeakyReLU(_Pointwise):
    """The entry where it is positive, a small multiple of it elsewhere.

    The derivative at 0 is the multiple, as in PyTorch.

    Parameters
    ----------
    negative_slope : float
        The multiple.

    Shapes
    ------
    x and y alike, any shape

    References
    ----------
    A. Maas, A. Hannun, A. Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(
            self, "negative_slope", _real(self, "negative_slope", self.negative_slope, float("inf"))
        )

    def value(self) -> str:
        """x above 0, k·x below."""
        return "relu(x) + k * x * [x <= 0]"

    def constants(self) -> dict[str, Value]:
        """The slope, as the decimal number that was written."""
        return {"k": Fraction(repr(self.negative_slope))}


@dataclass(frozen=True, repr=False)
class Sigmoid(_Pointwise):
    """The logistic function 1/(1 + exp(−x)).

    Shapes
    ------
    x and y alike, any shape
    """

    def value(self) -> str:
        """1/(1 + exp(-x))"""
        return "sigmoid(x)"


@dataclass(frozen=True, repr=False)
class Tanh(_Pointwise):
    """The hyperbolic tangent.

    Shapes
    ------
    x and y alike, any shape
    """

    def value(self) -> str:
        """tanh"""
        return "tanh(x)"


@dataclass(frozen=True, repr=False)
class Softmax(Layer):
    """Positive numbers that sum to 1 over the classes (axis 1); for the loss use `SoftmaxCrossEntropy`.

    Shapes
    ------
    x and y (N, K) or (N, K, H, W)
    """

    @property
    def sample_input_shape(self) -> Shape:
        """A row of classes."""
        return (5,)

    def check_input(self, input_shape: Shape) -> None:
        """At least the axis of the classes."""
        if not input_shape:
            raise ShapeError(f"Softmax expects classes on axis 1, got {shape_text(input_shape)}")

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """Each exponential over the sum of all."""
        rest = "".join(f",{index}" for index in index_names(len(input_shape) + 1)[2:])
        return f"Y[n,k{rest}] = exp(X[n,k{rest}]) / sum[m] exp(X[n,m{rest}])", {}


@dataclass(frozen=True, repr=False)
class Dropout(_Pointwise):
    """In training each entry is dropped with probability p and the others are divided by 1 − p.

    The mask ``M`` is a tensor of the formula like any other.  It is drawn from a counter-based generator
    keyed by seed, step, layer, image and entry, so that it does not depend on the batch or on threads.
    Outside training the layer changes nothing.

    Parameters
    ----------
    p : float
        The probability of dropping, from 0 to below 1.

    Shapes
    ------
    x and y alike, any shape

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    p: float = 0.5

    given: ClassVar[tuple[str, ...]] = ("M",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "p", _real(self, "p", self.p, 1.0))

    def value(self) -> str:
        """The mask holds 0 and 1/(1-p)."""
        return "M * x"

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
