"""Images and labels from outside: checked, and in the form that a network takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError, ShapeError

Array = NDArray[Any]


def as_array(values: Any, what: str) -> Array:
    """Anything that NumPy can read as one array.

    Raises
    ------
    DataError
        For no array at all, and where its parts have different shapes.
    """
    if values is None or isinstance(values, str | bytes):
        got = "None" if values is None else f"the text {values[:60]!r}"
        raise DataError(f"{what} must be an array of numbers, got {got}")
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{what} must be one array, got parts of different shapes: make them alike") from None


def as_numbers(values: Any, what: str) -> Array:
    """An array of real numbers.

    Raises
    ------
    DataError
        For what holds no real numbers.
    """
    array = as_array(values, what)
    if array.dtype.kind in "fiub":
        return array
    if not array.ndim and not isinstance(values, np.ndarray | np.generic):
        raise DataError(f"{what} must be an array of numbers, got {type(values).__name__}")
    mend = f": pass {what}.astype(float)" if array.dtype.kind == "O" else ""
    raise DataError(f"{what} must hold real numbers, got an array of {array.dtype}{mend}")


def shaped(x: Any, input_shape: tuple[int, ...]) -> Array:
    """Inputs (N, *input_shape) of whatever type of number they are, without a copy.

    (N, H, W) is taken as one channel where the network has one.

    Raises
    ------
    ShapeError
        For any other shape, with what to do.
    DataError
        For what holds no numbers.
    """
    array = as_numbers(x, "x")
    if array.ndim == 3 and len(input_shape) == 3 and input_shape[0] == 1:
        array = array[:, None]
    if array.shape[1:] != input_shape or array.ndim != len(input_shape) + 1:
        raise ShapeError(_misfit(array.shape, input_shape))
    return array


def as_float(array: Array) -> NDArray[np.float32]:
    """Inputs as float32, without a copy where they are that already; uint8 images are divided by 255."""
    if array.dtype == np.uint8 and array.ndim == 4:
        result = array.astype(np.float32)
        result /= np.float32(255)
        return result
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, which `finite` names
        return array.astype(np.float32, copy=False)


def finite(x: NDArray[np.float32], first: int = 0) -> None:
    """Raise a DataError that names the first NaN or infinity; x holds the examples from `first` on."""
    with np.errstate(invalid="ignore"):
        if np.isfinite(x.sum(dtype=np.float64)):
            return
    wrong = np.argwhere(~np.isfinite(x))
    if not len(wrong):
        return
    place = tuple(int(k) for k in wrong[0])
    named = (place[0] + first, *place[1:])
    raise DataError(
        f"x[{', '.join(map(str, named))}] is {x[place]}, in example {named[0]}: inputs must be finite in "
        f"float32; leave the example out or replace the number (numpy.nan_to_num)"
    )


def _misfit(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    expected = f"x must have the shape (N, {', '.join(map(str, input_shape))}), got {shape}"
    mend = _mend(shape, input_shape)
    return f"{expected}: {mend}" if mend else expected


def _mend(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    """What to do about the commonest wrong shapes."""
    if shape == input_shape:
        return "for one example pass x[None]"
    if len(input_shape) == 3:
        channels, *image = input_shape
        if shape == (*image, channels):
            return "channels come first, and one example needs an axis; pass x.transpose(2, 0, 1)[None]"
        if shape[1:] == (*image, channels):
            return "channels come before height and width; pass x.transpose(0, 3, 1, 2)"
        if len(shape) == 4 and shape[2:] == tuple(image):
            takes = f"{channels} channel" if channels == 1 else f"{channels} channels"
            return f"the network takes {takes}, x has {shape[1]}"
        if shape == tuple(image):
            return "for one image pass x[None]" if channels == 1 else ""
        if len(shape) == 3 and shape[1:] == tuple(image):
            return f"the network takes {channels} channels, x has no axis for them"
    if len(shape) > 1 and math.prod(shape[1:]) == math.prod(input_shape):
        return f"pass x.reshape({', '.join(map(str, (-1, *input_shape)))}) if the entries are in this order"
    return ""
