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

_PART = 1 << 24  # entries that are looked at in one go


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
        For numbers that are not finite, a divisor that is not above 0, and different numbers of channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for word, least in (("mean", -np.inf), ("std", 0.0)):
            values = getattr(self, word)
            if not isinstance(values, tuple | list) or not values:
                raise SettingError(
                    f"Standardization: {word} must be numbers, one for each channel, got {values!r}"
                )
            for value in values:
                number = isinstance(value, Real) and not isinstance(value, bool)
                if not number or not np.isfinite(float(value)) or not float(value) > least:
                    above = "" if least else " above 0"
                    raise SettingError(
                        f"Standardization: {word} must be finite numbers{above}, got {value!r}"
                    )
            object.__setattr__(self, word, tuple(float(value) for value in values))
        if len(self.mean) != len(self.std):
            raise SettingError(
                f"Standardization: there are {len(self.mean)} means and {len(self.std)} standard deviations: "
                f"give one of each for every channel"
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
        channels = array.shape[1]
        step = max(1, _PART // max(1, array[0].size))
        axes = (0, *range(2, array.ndim))
        count = array.size // channels
        total = np.zeros(channels)
        for start in range(0, len(array), step):
            total += as_float(array[start : start + step]).sum(axes, dtype=np.float64)
        mean = total / count
        squares = np.zeros(channels)
        for start in range(0, len(array), step):
            apart = as_float(array[start : start + step]) - mean.reshape(-1, *[1] * (array.ndim - 2))
            squares += np.square(apart, out=apart).sum(axes)
        std = np.sqrt(squares / count)
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
