"""Images and labels from outside: checked, and in the form that a network takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError, ShapeError

Array = NDArray[Any]


def as_inputs(x: Any, input_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Inputs as float32 of shape (N, *input_shape), without a copy where they are that already.

    uint8 images are divided by 255; (N, H, W) is taken as one channel where the network has one.

    Raises
    ------
    ShapeError
        For any other shape, with what to do.
    DataError
        For what holds no numbers.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise DataError(f"x must hold numbers, got an array of {array.dtype}")
    if array.ndim == 3 and len(input_shape) == 3 and input_shape[0] == 1:
        array = array[:, None]
    if array.shape[1:] != input_shape or array.ndim != len(input_shape) + 1:
        raise ShapeError(_misfit(array.shape, input_shape))
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    return array.astype(np.float32, copy=False)


def _misfit(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    expected = f"x must have the shape (N, {', '.join(map(str, input_shape))}), got {shape}"
    if shape == input_shape:
        return f"{expected}: for one example pass x[None]"
    if len(input_shape) == 3 and shape[1:] == (*input_shape[1:], input_shape[0]):
        return f"{expected}: channels come before height and width, pass x.transpose(0, 3, 1, 2)"
    if len(input_shape) == 3 and len(shape) == 4 and shape[2:] == input_shape[1:]:
        return f"{expected}: the network takes {input_shape[0]} channels, x has {shape[1]}"
    return expected


def finite(x: NDArray[np.float32], what: str = "x") -> None:
    """Raise a DataError that names the first NaN or infinity."""
    if np.isfinite(x.sum(dtype=np.float64)):
        return
    wrong = np.argwhere(~np.isfinite(x))
    if not len(wrong):
        return
    place = tuple(int(k) for k in wrong[0])
    raise DataError(
        f"{what}[{', '.join(map(str, place))}] is {x[place]}, in example {place[0]}: images must be finite; "
        f"leave it out or replace it (numpy.nan_to_num)"
    )
