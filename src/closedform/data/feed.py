"""The inputs of a network as an engine reads them: float32, and never all of them where they are many."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.inputs import as_float, finite, shaped

if TYPE_CHECKING:
    from closedform.data.augment import Augmentation
    from closedform.data.standardize import Standardization

Array = NDArray[np.float32]
Positions = NDArray[np.int64]

_WHOLE = 1 << 30  # bytes that inputs may take as float32, all at once
_PART = 1 << 26  # bytes of a part of larger ones
_BLOCK = 1 << 16  # entries that are converted in one go


class Feed:
    """Inputs of any type of number, converted when they are wanted.

    What does not need to be converted, float32 in C order without gaps, is used where it lies; what is small
    is converted once; of the rest, an array on disk above all, only the examples of the moment are in memory.

    Parameters
    ----------
    x : array
        Inputs (N, *input_shape).  uint8 images are divided by 255; (N, H, W) is taken as one channel where
        the network has one.
    input_shape : tuple of int
        The shape of one input.
    standardization : Standardization, optional
        What is taken from every input and what it is divided by.
    augmentation : Augmentation, optional
        How inputs are varied, each epoch in another way.
    seed : int
        Decides what the augmentation does.
    whole : int, optional
        Bytes up to which all inputs are converted at once.

    Raises
    ------
    ShapeError
        For any other shape, with what to do.
    DataError
        For what holds no numbers.
    """

    def __init__(
        self,
        x: Any,
        input_shape: tuple[int, ...],
        standardization: Standardization | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        whole: int | None = None,
    ):
        self.raw = shaped(x, input_shape)
        self.standardization, self.augmentation, self.seed = standardization, augmentation, seed
        self._most = _WHOLE if whole is None else whole

    def __len__(self) -> int:
        return len(self.raw)

    @cached_property
    def plain(self) -> Array | None:
        """All of them, converted when they are first wanted; None where they are many, or varied."""
        if self.augmentation is not None:
            return None
        lies = self.raw.flags
        is_ready = self.raw.dtype == np.float32 and lies.c_contiguous and lies.aligned
        if not (is_ready and self.standardization is None) and 4 * self.raw.size > self._most:
            return None
        return self._converted(self.raw)

    def whole(self) -> Array:
        """All of them at once."""
        return self._converted(self.raw) if self.plain is None else self.plain

    def take(self, chosen: Positions, epoch: int = 0) -> Array:
        """The examples at these positions, float32, as the epoch varies them."""
        if self.plain is not None:
            return self.plain[chosen]
        part = np.asarray(self.raw[chosen])
        if self.augmentation is not None:
            part = self.augmentation.apply(part, chosen, self.seed, epoch)
        return self._converted(part)

    def parts(self, count: int | None = None) -> Iterator[tuple[int, Array]]:
        """All examples as they are without augmentation, in order: the first's position, and some of them.

        Parameters
        ----------
        count
            How many at a time; as many as fit into memory easily where it is None.
        """
        if not len(self.raw):
            return
        size = 4 * max(1, self.raw[0].size)
        most = len(self.raw) if self.plain is not None else max(1, _PART // size)
        step = min(most, count or most)
        # alike where they can be: what runs them is made for a size
        step = -(-len(self.raw) // -(-len(self.raw) // step))
        for start in range(0, len(self.raw), step):
            part = slice(start, start + step)
            yield start, self._converted(self.raw[part]) if self.plain is None else self.plain[part]

    def check_finite(self) -> None:
        """Raise a DataError that names the first NaN or infinity."""
        if self.raw.dtype.kind != "f":
            return
        step = max(1, _PART // max(1, 4 * self.raw[:1].size))
        for start in range(0, len(self.raw), step):
            finite(as_float(self.raw[start : start + step]), start)

    def _converted(self, part: NDArray[Any]) -> Array:
        if self.standardization is None:
            return as_float(part)
        result: Array = np.empty(part.shape, np.float32)
        step = max(1, _BLOCK // max(1, part[:1].size))
        for start in range(0, len(part), step):  # in pieces that stay in the cache
            result[start : start + step] = as_float(part[start : start + step])
            self.standardization.apply(result[start : start + step])
        return result
