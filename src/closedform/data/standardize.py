"""Inputs with mean 0 and standard deviation 1, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.inputs import as_float, as_numbers
from closedform.errors import DataError, SettingError, ShapeError

Array = NDArray[Any]
Floats = NDArray[np.float64]

_PART = 1 << 22  # entries that are looked at in one go
_BYTES = 1 << 18  # bytes, which stay in a core's cache


@dataclass(frozen=True)
class Standardization:
    """What is taken from each channel of an input, and what it is divided by.

    Parameters
    ----------
    mean, std : sequence of float
        One number for each channel, in units of the inputs as a network sees them: of bytes, 255 is 1.

    Raises
    ------
    SettingError
        For numbers that are not finite in float32, a divisor that is not above 0 there, and different
        numbers of channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        largest = float(np.finfo(np.float32).max)
        for word, least in (("mean", -largest), ("std", float(np.finfo(np.float32).tiny))):
            values = getattr(self, word)
            if not isinstance(values, tuple | list) or not values:
                raise SettingError(
                    f"Standardization: {word} must be numbers, one for each channel, got {values!r}"
                )
            for value in values:
                is_number = isinstance(value, Real) and not isinstance(value, bool)
                if not is_number or not least <= value <= largest:
                    above = " above 0" if word == "std" else ""
                    raise SettingError(
                        f"Standardization: {word} must be finite numbers{above} in float32, got {value!r:.60}"
                    )
            object.__setattr__(self, word, tuple(float(value) for value in values))
        if len(self.mean) != len(self.std):
            raise SettingError(
                f"Standardization: mean and std must have one number each for every channel, got "
                f"{len(self.mean)} and {len(self.std)}"
            )

    @classmethod
    def of(cls, x: Any) -> Standardization:
        """The mean and the standard deviation of each channel.

        Parameters
        ----------
        x : array
            Inputs (N, C, ...), bytes or other numbers; it may be larger than memory.

        Returns
        -------
        Standardization
            A channel that is the same everywhere is divided by 1.

        Raises
        ------
        ShapeError, DataError
            For no inputs, and for what holds no finite numbers.
        """
        array = as_numbers(x, "x")
        if array.ndim < 2 or not array.size:
            raise ShapeError(f"x must be inputs (N, channels, ...), at least one, got {array.shape}")
        is_bytes = array.dtype == np.uint8 and array.ndim == 4
        with np.errstate(over="ignore", invalid="ignore"):  # what is infinite is named below
            mean, std = _moments_of_bytes(array) if is_bytes else _moments(array)
        if not np.isfinite(std).all():
            raise DataError("x holds numbers that are not finite, or too large: leave them out or scale them")
        is_constant = std <= 1e-7 * np.maximum(np.abs(mean), 1e-7)
        return cls(tuple(mean.tolist()), tuple(np.where(is_constant, 1.0, std).tolist()))

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardize inputs (N, C, ...) in place; they are returned."""
        shape = -1, *[1] * (x.ndim - 2)
        x -= np.array(self.mean, np.float32).reshape(shape)
        x /= np.array(self.std, np.float32).reshape(shape)
        return x

    def to_dict(self) -> dict[str, list[float]]:
        """The numbers as plain values."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Any) -> Standardization:
        """Read `to_dict`'s form.

        Raises
        ------
        SettingError
            For anything else.
        """
        if not isinstance(values, Mapping) or set(values) != {"mean", "std"}:
            raise SettingError(f"a standardization is {{mean = [...], std = [...]}}, got {values!r:.60}")
        return cls(values["mean"], values["std"])


def _moments(x: Array) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each channel: one pass for the one, another for the other."""
    step = max(1, _PART // max(1, x[0].size))
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    total, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for start in range(0, len(x), step):
        total += as_float(x[start : start + step]).sum(axes, dtype=np.float64)
    mean = total / count
    for start in range(0, len(x), step):
        apart = as_float(x[start : start + step]) - mean.reshape(-1, *[1] * (x.ndim - 2))
        squares += np.square(apart, out=apart).sum(axes)
    return mean, np.sqrt(squares / count)


def _moments_of_bytes(x: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The same for bytes (N, C, H, W), of which 255 is 1: sums of whole numbers, in one pass and exact."""
    count, channels = x.size // x.shape[1], x.shape[1]
    pixels = x[0, 0].size
    kind = np.uint32 if pixels * 255**2 < 1 << 32 else np.uint64
    step = max(1, _BYTES // (channels * pixels))
    total, squares = np.zeros(channels, np.uint64), np.zeros(channels, np.uint64)
    for start in range(0, len(x), step):
        part = x[start : start + step].reshape(-1, channels, pixels)
        total += part.sum(2, dtype=kind).sum(0, dtype=np.uint64)
        squares += np.multiply(part, part, dtype=np.uint16).sum(2, dtype=kind).sum(0, dtype=np.uint64)
    # Python's integers: the difference of two squares loses nothing
    spread = [count * int(q) - int(t) ** 2 for t, q in zip(total, squares, strict=True)]
    return total / (255 * count), np.sqrt(np.array(spread, np.float64)) / (255 * count)
