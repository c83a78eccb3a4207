"""Arrays of images from any source in the one form that the library takes: (N, C, H, W), uint8 or float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.opened import sizes
from closedform.errors import DataError

Array = NDArray[Any]

_CHANNELS = (1, 3, 4)
_CHUNK_VALUES = 1 << 20


def image_shape(shape: tuple[int, ...], where: str) -> tuple[int, int, int]:
    """Channels, height and width of the images in an array of that shape.

    Raises
    ------
    DataError
        For a shape that holds no images.
    """
    if len(shape) not in (3, 4):
        mend = (
            ": give each image its rows and columns, as in x.reshape(-1, 28, 28)" if len(shape) == 2 else ""
        )
        got = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
        raise DataError(
            f"{where}: images must have the shape (N, H, W), (N, C, H, W) or (N, H, W, C), got {got}{mend}"
        )
    if 0 in shape:
        raise DataError(f"{where}: holds no images, its shape is {sizes(shape)}")
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    if _channels_last(shape):
        return shape[3], shape[1], shape[2]
    return shape[1], shape[2], shape[3]


def as_images(array: Array, where: str) -> Array:
    """An array of numbers as images of shape (N, C, H, W).

    Whole numbers from 0 to 255 become uint8, other numbers float32 as they are.  Channels are moved from the
    end where there are 1, 3 or 4.  A mapped array of uint8 or float32 stays mapped.

    Raises
    ------
    DataError
        For a shape that holds no images, and for pixels that are not finite in float32.
    """
    image_shape(array.shape, where)
    images = array[:, None] if array.ndim == 3 else array
    if _channels_last(images.shape):
        images = images.transpose(0, 3, 1, 2)
    if array.dtype.kind in "iu" and array.dtype != np.uint8 and _fits_bytes(images):
        return _converted(images, np.uint8, where)
    if array.dtype not in (np.uint8, np.float32):
        return _converted(images, np.float32, where)
    if array.dtype == np.float32:
        for begin, part in _parts(images):
            _check_finite(part, begin, where)
    return images if isinstance(array, np.memmap) else np.ascontiguousarray(images)


def of_one_type(first: Array, second: Array) -> tuple[Array, Array]:
    """Two arrays of images, each uint8 or float32, in one type, so that both are on one scale.

    Of two types, float32 becomes uint8 where it holds nothing but whole numbers from 0 to 255; else uint8
    becomes float32, as `on_scale` has it.
    """
    if first.dtype == second.dtype:
        return first, second
    floats = first if first.dtype == np.float32 else second
    if _fits_bytes(floats):
        return _as_type(first, np.uint8), _as_type(second, np.uint8)
    largest = largest_of(floats)
    return tuple(_as_floats(part, largest) for part in (first, second))  # type: ignore[return-value]


def on_scale(images: Array, dtype: Any, largest: float) -> Array:
    """Images, uint8 or float32, on the scale of others of a type and with a largest number.

    Parameters
    ----------
    images
        Shape (N, C, H, W).
    dtype, largest
        Of uint8, a network sees the numbers divided by 255: float32 becomes uint8 where it holds nothing but
        whole numbers up to 255 and one above 1.  Of float32, it sees them as they are: uint8 becomes float32,
        divided by 255 where the others go to 1 only and these do not.
    """
    if dtype != np.uint8:
        return _as_floats(images, largest)
    are_bytes = images.dtype != np.uint8 and _fits_bytes(images) and largest_of(images) > 1
    return _as_type(images, np.uint8) if are_bytes else images


def largest_of(images: Array) -> float:
    """The largest number in images."""
    return max(float(part.max()) for _, part in _parts(images))


def _as_floats(images: Array, largest: float) -> Array:
    if images.dtype == np.float32:
        return images
    result = _converted(images, np.float32, "")
    if largest <= 1 < largest_of(images):
        result /= np.float32(255)
    return result


def _as_type(images: Array, dtype: Any) -> Array:
    return images if images.dtype == dtype else _converted(images, dtype, "")


def _channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[3] in _CHANNELS and shape[1] not in _CHANNELS


def _parts(images: Array) -> Iterator[tuple[int, Array]]:
    """The images in turn, about a million numbers at a time, each part with the number of its first image."""
    count = max(1, _CHUNK_VALUES // images[0].size)
    for begin in range(0, len(images), count):
        yield begin, images[begin : begin + count]


def _fits_bytes(images: Array) -> bool:
    """Whether all are whole numbers from 0 to 255."""
    return all(
        part.min() >= 0 and part.max() <= 255 and (part.dtype.kind != "f" or (part == np.floor(part)).all())
        for _, part in _parts(images)
    )


def _converted(images: Array, dtype: Any, where: str) -> Array:
    result = np.empty(images.shape, dtype)
    for begin, part in _parts(images):
        target = result[begin : begin + len(part)]
        with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes infinite
            target[...] = part
        if dtype is np.float32:
            _check_finite(target, begin, where)
    return result


def _check_finite(part: Array, begin: int, where: str) -> None:
    good = np.isfinite(part).reshape(len(part), -1)
    if not good.all():
        image, pixel = (int(k) for k in np.argwhere(~good)[0])
        value = part.reshape(len(part), -1)[image, pixel]
        raise DataError(
            f"{where}: image {begin + image} has a pixel that is {value}: pixels must be finite numbers in "
            f"float32; leave the image out or replace the number (numpy.nan_to_num)"
        )
