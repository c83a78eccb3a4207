"""Images varied a little, each epoch in another way.

What is done to an image in an epoch depends on the seed, the epoch and the image's position in the training
set alone.  The four words of one block of random numbers decide, in this order: the rows it moves by, the
columns it moves by, whether it is flipped, and where the square that is cut out has its centre.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from closedform.errors import SettingError, ShapeError
from closedform.random import Domain, philox

Array = NDArray[Any]
Positions = NDArray[np.int64]

_WORD = 0xFFFFFFFF
_MOST = (1 << 15) - 1  # pixels


@dataclass(frozen=True)
class Augmentation:
    """How images are varied.

    Parameters
    ----------
    shift : int
        Moved by up to so many pixels up or down and to either side; the edge's pixels fill what is left.
    crop : int
        Surrounded by so many pixels of 0 and cut at random to the old size.
    flip : bool
        Mirrored from left to right, every other time.
    cutout : int
        A square of so many pixels a side, its centre anywhere, becomes 0.

    Raises
    ------
    SettingError
        For a setting outside its range, and for `shift` and `crop` together.

    References
    ----------
    T. DeVries, G. W. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """

    shift: int = 0
    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        for word in ("shift", "crop", "cutout"):
            value = getattr(self, word)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or not 0 <= value <= _MOST:
                raise SettingError(
                    f"Augmentation: {word} must be a number of pixels from 0 to {_MOST}, got {value!r}"
                )
            object.__setattr__(self, word, int(value))
        if not isinstance(self.flip, bool | np.bool_):
            raise SettingError(f"Augmentation: flip must be True or False, got {self.flip!r}")
        object.__setattr__(self, "flip", bool(self.flip))
        if self.shift and self.crop:
            raise SettingError("Augmentation: shift and crop both move the image: give one of them")

    def apply(self, x: Array, images: Positions, seed: int, epoch: int) -> Array:
        """Vary some images.

        Parameters
        ----------
        x : array
            Images (N, C, H, W) of any type of number.
        images : array of int64
            Their positions in the training set (N,).
        seed, epoch : int
            What decides, besides the positions.

        Returns
        -------
        array
            Of the same shape and type; x is left as it is.

        Raises
        ------
        ShapeError
            For what are no images, and for images smaller than they shall be moved or cut.
        """
        self.check(x.shape[1:])
        if not len(x):
            return x.copy()
        words = self._drawn(np.asarray(images, np.uint64), seed, epoch)
        result = self._moved(x, words[0], words[1])
        if self.flip:
            is_mirrored = (words[2] & np.uint32(1)).astype(bool)
            result[is_mirrored] = result[is_mirrored, :, :, ::-1]
        if self.cutout:
            _cut(result, words[3], self.cutout)
        return result

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise a ShapeError where images of this shape (C, H, W) cannot be varied."""
        if len(shape) != 3:
            raise ShapeError(f"augment needs images (channels, height, width), got inputs of shape {shape}")
        for word in ("shift", "crop", "cutout"):
            if getattr(self, word) > min(shape[1:]):
                raise ShapeError(
                    f"augment: {word} = {getattr(self, word)} is more than an image of {shape[1]}×{shape[2]} "
                    f"pixels has: give less"
                )

    def _drawn(self, images: NDArray[np.uint64], seed: int, epoch: int) -> NDArray[np.uint32]:
        """Four random words for each image (4, N)."""
        low, high = images & np.uint64(_WORD), images >> np.uint64(32)
        key = seed & _WORD, seed >> 32
        return philox(key, (low, high, epoch, int(Domain.AUGMENTATION) << 24))

    def _moved(self, x: Array, rows: NDArray[np.uint32], columns: NDArray[np.uint32]) -> Array:
        """A copy, each image of which is its own window of the same size on the surrounded one."""
        most = self.shift or self.crop
        if not most:
            return x.copy()
        surrounded = _repeated(x, most) if self.shift else _surrounded(x, most)
        windows = sliding_window_view(surrounded, x.shape[2:], axis=(2, 3))
        top, left = _whole(rows, 2 * most + 1), _whole(columns, 2 * most + 1)
        found: Array = windows[np.arange(len(x)), :, top, left]  # (N, C, H, W)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as plain values."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in dataclasses.fields(self)
            if getattr(self, entry.name) != entry.default
        }

    @classmethod
    def from_dict(cls, values: Any) -> Augmentation:
        """Read `to_dict`'s form.

        Raises
        ------
        SettingError
            For an unknown word, with the nearest known one, and for settings that make no sense.
        """
        from closedform.architecture import nearest

        if not isinstance(values, Mapping):
            raise SettingError(f"augment must be a table, as in {{ shift = 2, flip = true }}, got {values!r}")
        known = [entry.name for entry in dataclasses.fields(cls)]
        for word in values:
            if word not in known:
                raise SettingError(f"augment: unknown key {word!r}; {nearest(str(word), known)}")
        return cls(**values)


def _whole(words: NDArray[np.uint32], limit: int) -> NDArray[np.int64]:
    """Random words as numbers from 0 to below the limit."""
    return ((words.astype(np.uint64) * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


def _surrounded(x: Array, pixels: int) -> Array:
    """With so many pixels of 0 on every side."""
    count, channels, height, width = x.shape
    result = np.zeros((count, channels, height + 2 * pixels, width + 2 * pixels), x.dtype)
    result[:, :, pixels : pixels + height, pixels : pixels + width] = x
    return result


def _repeated(x: Array, pixels: int) -> Array:
    """With so many copies of the edge's pixels on every side."""
    rows, columns = (np.clip(np.arange(-pixels, n + pixels), 0, n - 1) for n in x.shape[2:])
    return x.take(rows, axis=2).take(columns, axis=3)


def _cut(x: Array, words: NDArray[np.uint32], side: int) -> None:
    """Set a square of each image to 0, in place; it may reach beyond the edge."""
    height, width = x.shape[2:]
    centre = _whole(words, height * width)
    top, left = centre // width - side // 2, centre % width - side // 2
    row, column = np.arange(height), np.arange(width)
    inside_rows = (row >= top[:, None]) & (row < top[:, None] + side)
    inside_columns = (column >= left[:, None]) & (column < left[:, None] + side)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]  # (N, H, W), the same for all channels
    np.copyto(x, 0, where=inside[:, None])
