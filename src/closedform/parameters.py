"""A network's parameters: views of one flat array, under PyTorch's keys."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture, nearest
from closedform.data.inputs import as_numbers
from closedform.errors import SettingError, ShapeError
from closedform.layers.base import shape_text

Array = NDArray[np.float32]


class Parameters(MutableMapping[str, Array]):
    """A network's parameters by key: views of one flat array.

    ``parameters["0.weight"][...] = w`` and ``parameters["0.weight"] = w`` both write into the network.
    """

    def __init__(self, architecture: Architecture, flat: Array):
        self.flat = flat
        self._views: dict[str, Array] = {}
        start = 0
        for parameter in architecture.parameters:
            view = flat[start : start + parameter.size].reshape(parameter.shape)
            self._views[parameter.key] = view
            start += parameter.size

    def __getitem__(self, key: str) -> Array:
        if key not in self._views:
            raise SettingError(f"the network has no parameter {key!r}; {nearest(str(key), self._views)}")
        return self._views[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter, or the default where the network has none of that name."""
        return self._views.get(key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        self[key][...] = self.fitting(key, value)

    def fitting(self, key: str, value: Any) -> NDArray[Any]:
        """The value as an array of numbers that has the parameter's shape.

        Raises
        ------
        SettingError, DataError, ShapeError
            For an unknown key, for what holds no numbers, and for another shape.
        """
        shape, array = self[key].shape, as_numbers(value, key)
        if array.shape != shape:
            raise ShapeError(f"{key} must have the shape {shape_text(shape)}, got {shape_text(array.shape)}")
        return array

    def __delitem__(self, key: str) -> None:
        raise SettingError(f"{key} belongs to the network and cannot be removed")

    def __contains__(self, key: object) -> bool:
        return key in self._views

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        inside = ", ".join(f"{key!r}: {shape_text(view.shape)}" for key, view in self._views.items())
        return f"Parameters({{{inside}}})"


def flat_array(count: int) -> Array:
    """Room for all parameters of a network, zeros.

    Raises
    ------
    SettingError
        Where there is not enough memory.
    """
    try:
        return np.zeros(count, np.float32)
    except (MemoryError, ValueError):
        raise SettingError(
            f"the network's {count:,} parameters need {4 * count / 1e9:,.1f} GB, more memory than there is: "
            f"make its layers smaller"
        ) from None
