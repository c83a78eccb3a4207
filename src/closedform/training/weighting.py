"""How much each example counts, and how sure the labels are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.inputs import as_numbers
from closedform.errors import DataError, SettingError, ShapeError
from closedform.layers import Loss, MeanSquaredError, SigmoidBinaryCrossEntropy

Array = NDArray[Any]


def example_weights(
    y: Array, classes: int, class_weight: Mapping[int, float] | None, sample_weight: Any
) -> NDArray[np.float32] | None:
    """How much each example counts in the loss: its class's weight times its own; None where all count alike.

    Parameters
    ----------
    y
        Labels (N,).
    classes
        How many classes there are; 0 where the loss does not classify.
    class_weight
        By label; classes that are not named count 1.
    sample_weight
        (N,) numbers from 0.

    Raises
    ------
    SettingError, ShapeError, DataError
        For weights that fit neither classes nor examples, or are no numbers from 0.
    """
    if class_weight is None and sample_weight is None:
        return None
    weights = np.ones(len(y))
    if class_weight is not None:
        weights *= _by_class(class_weight, classes)[np.asarray(y).astype(np.int64).reshape(-1)]
    if sample_weight is not None:
        own = as_numbers(sample_weight, "sample_weight")
        if own.shape != (len(y),):
            raise ShapeError(
                f"sample_weight must have one number for each example, shape ({len(y)},), got {own.shape}"
            )
        wrong = np.flatnonzero(~(np.isfinite(own) & (own >= 0)))
        if wrong.size:
            raise DataError(
                f"sample_weight must hold finite numbers from 0, got {own[wrong[0]]} at position {wrong[0]}"
            )
        weights *= own
    with np.errstate(over="ignore", under="ignore"):  # both are named below
        result = weights.astype(np.float32)
    if not result.any():
        raise SettingError("every example has the weight 0: give at least one of them a larger one")
    if not np.isfinite(result).all():
        raise SettingError("the weights of the examples are too large for float32: scale them to about 1")
    return result


def _by_class(class_weight: Mapping[int, float], classes: int) -> NDArray[np.float64]:
    if not classes:
        raise SettingError("class_weight needs a loss that classifies, as SoftmaxCrossEntropy: leave it out")
    if not isinstance(class_weight, Mapping):
        raise SettingError(
            f"class_weight must be a dict from label to weight, as in {{0: 1.0, 1: 5.0}}, got "
            f"{class_weight!r}"
        )
    weights = np.ones(classes)
    for label, weight in class_weight.items():
        is_whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if not is_whole or not 0 <= label < classes:
            raise SettingError(
                f"class_weight: labels are whole numbers from 0 to {classes - 1}, got {label!r}"
            )
        is_number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= sys.float_info.max:
            raise SettingError(
                f"class_weight: the weight of {label} must be a finite number from 0, got {weight!r:.60}"
            )
        weights[label] = weight
    return weights


def smoothed(targets: Array, label_smoothing: float, loss: Loss) -> Array:
    """Targets that leave each class a share of the label's one, as they are for a share of 0.

    Parameters
    ----------
    targets
        What `Loss.targets` made of the labels.
    label_smoothing
        The share, from 0 to below 1, that is divided evenly among all classes.
    loss
        Which must classify.

    Raises
    ------
    SettingError
        For another share, and for a loss that does not classify.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
    """
    share = label_smoothing
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
        raise SettingError(f"label_smoothing must be a number from 0 to below 1, got {label_smoothing!r}")
    if not share:
        return targets
    if not loss.classifies or isinstance(loss, MeanSquaredError):
        raise SettingError(
            f"label_smoothing needs a loss that classifies, got {type(loss).__name__}: leave it out"
        )
    classes = 2 if isinstance(loss, SigmoidBinaryCrossEntropy) else targets.shape[-1]
    return (targets * (1 - share) + share / classes).astype(targets.dtype)
