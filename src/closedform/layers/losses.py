"""Losses: layers that end in one number, the mean over the examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from closedform.errors import DataError, ShapeError
from closedform.formula.extents import Shape, Sizes, Value, solve
from closedform.layers.base import INPUT, Array, Layer, index_names, shape_text
from closedform.layers.pointwise import Sigmoid, Softmax

TARGET = "T"


@dataclass(frozen=True, repr=False)
class Loss(Layer):
    """A layer that ends in one number.  It reads the network's output X and the targets T.

    Parameters
    ----------
    name : str, optional
        Taken as by every layer; a loss has no parameter keys, and messages call it by its class.
    """

    given = (TARGET,)

    def sizes(self, input_shape: Shape, batch: int = 1) -> Sizes:
        """Solve the sizes for a batch of network outputs."""
        self.check_input(input_shape)
        shape = (batch, *input_shape)
        return solve(self.formula_for(input_shape), {INPUT: shape, TARGET: shape}, {})

    @property
    def sample_input_shape(self) -> Shape:
        """A row of outputs."""
        return (5,)

    @property
    def activation(self) -> Layer | None:
        """The layer that turns the network's output into probabilities, where the loss has one."""
        return None

    @property
    def classifies(self) -> bool:
        """Whether `correct` says how many examples are classified right."""
        return type(self).correct is not Loss.correct

    def targets(self, y: Any, examples: int, output_shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Labels or targets as the array T, checked.

        Raises
        ------
        DataError
            For labels of the wrong kind or out of range, naming the first.
        """
        raise NotImplementedError

    def correct(self, output: Array, y: Array) -> int | None:
        """How many examples are classified right; None where the loss does not classify."""
        return None


@dataclass(frozen=True, repr=False)
class SoftmaxCrossEntropy(Loss):
    """Softmax and the cross-entropy with integer labels, as one loss with one derivation.

    Its gradient is the probabilities minus the labels, divided by the number of examples.

    Parameters
    ----------
    name : str, optional
        Taken as by every layer; a loss has no parameter keys, and messages call it by its class.

    Shapes
    ------
    logits (N, K), labels (N,) integers from 0 to K − 1

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    ShapeError
        Where the network does not end in rows of logits.
    DataError
        In training and evaluation, for labels that are not integers in range.

    References
    ----------
    J. Bridle, "Probabilistic interpretation of feedforward classification network outputs, with relationships
    to statistical pattern recognition", 1990.

    Examples
    --------
    >>> print(SoftmaxCrossEntropy().formula)
    L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))
    """

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """T holds 1 at each example's label."""
        return "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))", {}

    def facts(self) -> tuple[str, ...]:
        """The labels of one example sum to 1."""
        return (TARGET,)

    def check_input(self, input_shape: Shape) -> None:
        """A row of logits."""
        if len(input_shape) != 1:
            raise ShapeError(
                f"SoftmaxCrossEntropy: expects rows of logits, got {shape_text(input_shape)} for each "
                f"example: end the network in Flatten() and Dense(K)"
            )

    @property
    def activation(self) -> Layer:
        """Softmax."""
        return Softmax()

    def targets(self, y: Any, examples: int, output_shape: Shape, dtype: np.dtype[Any]) -> Array:
        """One-hot rows."""
        labels = integer_labels(y, examples, output_shape[0])
        one_hot = np.zeros((examples, output_shape[0]), dtype)
        one_hot[np.arange(examples), labels] = 1
        return one_hot

    def correct(self, output: Array, y: Array) -> int:
        """Examples whose largest logit is the label's; the first of equal ones counts."""
        return int(np.count_nonzero(output.argmax(1) == y))


@dataclass(frozen=True, repr=False)
class SigmoidBinaryCrossEntropy(Loss):
    """Sigmoid and the cross-entropy with labels 0 and 1, as one loss with one derivation.

    Its gradient is the probability minus the label, divided by the number of examples.

    Parameters
    ----------
    name : str, optional
        Taken as by every layer; a loss has no parameter keys, and messages call it by its class.

    Shapes
    ------
    logits (N, 1), labels (N,) integers 0 or 1

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    ShapeError
        Where the network does not end in one logit for each example.
    DataError
        In training and evaluation, for labels other than 0 and 1.

    References
    ----------
    S. Solla, E. Levin, M. Fleisher, "Accelerated learning in layered neural networks", 1988.
    """

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """The mean over the examples."""
        return (
            "L = -1/|n| * sum[n,k] (T[n,k] * log(sigmoid(X[n,k])) + (1 - T[n,k]) * log(1 - sigmoid(X[n,k])))",
            {},
        )

    @property
    def sample_input_shape(self) -> Shape:
        """One logit."""
        return (1,)

    def check_input(self, input_shape: Shape) -> None:
        """One logit."""
        if input_shape != (1,):
            raise ShapeError(
                f"SigmoidBinaryCrossEntropy: expects one logit for each example, "
                f"got {shape_text(input_shape)}: end the network in Dense(1)"
            )

    @property
    def activation(self) -> Layer:
        """Sigmoid."""
        return Sigmoid()

    def targets(self, y: Any, examples: int, output_shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The labels as a column."""
        return integer_labels(y, examples, 2).astype(dtype)[:, None]

    def correct(self, output: Array, y: Array) -> int:
        """Examples whose logit is positive and whose label is 1, or neither."""
        return int(np.count_nonzero((output[:, 0] > 0) == (np.asarray(y) == 1)))


@dataclass(frozen=True, repr=False)
class MeanSquaredError(Loss):
    """The mean of the squared differences over all examples and outputs.

    Parameters
    ----------
    name : str, optional
        Taken as by every layer; a loss has no parameter keys, and messages call it by its class.

    Shapes
    ------
    outputs (N, ...), targets of the same shape; (N,) will do for outputs (N, 1)

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    DataError
        In training and evaluation, for targets of another shape, or that are not finite numbers.

    Examples
    --------
    >>> print(MeanSquaredError().formula)
    L = 1/(|k|*|n|) * sum[n,k] (X[n,k] - T[n,k])^2
    """

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """The mean over every entry."""
        indices = index_names(len(input_shape) + 1, "k")
        entry, extents = ",".join(indices), "*".join(f"|{index}|" for index in indices)
        scale = f"1/({extents})" if len(indices) > 1 else f"1/{extents}"
        return f"L = {scale} * sum[{entry}] (X[{entry}] - T[{entry}])^2", {}

    def targets(self, y: Any, examples: int, output_shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The targets, of the output's shape; (N,) will do for one output an example."""
        targets = np.asarray(y)
        if targets.shape == (examples,) and output_shape == (1,):
            targets = targets[:, None]
        if targets.shape != (examples, *output_shape):
            expected = shape_text((examples, *output_shape))
            raise DataError(
                f"targets must have the shape of the network's output, {expected}, "
                f"got {shape_text(targets.shape)}"
            )
        if targets.dtype.kind not in "fiub":
            raise DataError(f"targets must be numbers, got an array of {targets.dtype}")
        with np.errstate(over="ignore"):
            targets = targets.astype(dtype)
        if not np.isfinite(targets).all():
            place = tuple(int(k) for k in np.argwhere(~np.isfinite(targets))[0])
            raise DataError(f"the target at {place} is {targets[place]}: targets must be finite")
        return targets


def integer_labels(y: Any, examples: int, classes: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Labels (N,) as int64, checked."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape == (examples, classes):
        raise DataError(
            f"labels must be integers of shape ({examples},), got one-hot rows {shape_text(labels.shape)}: "
            f"pass y.argmax(axis=1)"
        )
    if labels.shape != (examples,):
        raise DataError(
            f"there must be one label for each example, shape ({examples},), got {shape_text(labels.shape)}"
            + (": pass y.ravel()" if labels.shape == (examples, 1) else "")
        )
    if labels.dtype.kind not in "iub":
        raise DataError(
            f"labels must be integers, got an array of {labels.dtype}"
            + (": pass y.astype(int)" if labels.dtype.kind == "f" else "")
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise DataError(
            f"labels must be from 0 to {classes - 1}, got {labels[wrong[0]]} at position {wrong[0]}"
            + (
                ": labels that begin at 1 need y - 1"
                if labels[wrong[0]] == classes and labels.min() > 0
                else ""
            )
        )
    return labels.astype(np.int64)
