"""A network's parameters: views of one flat array, under PyTorch's keys."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture, Parameter, nearest
from closedform.data.inputs import as_numbers
from closedform.errors import SettingError, ShapeError
from closedform.layers.base import shape_text

Array = NDArray[np.float32]

# where several threads run Python at once, a count of references says nothing about the next moment
_COUNTS = hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()


class Parameters(MutableMapping[str, Array]):
    """A network's parameters by key: views of one flat array.

    ``parameters["0.weight"][...] = w`` and ``parameters["0.weight"] = w`` both write into the network.

    Parameters
    ----------
    architecture
        Whose parameters they are.  They begin as zeros.

    Attributes
    ----------
    source
        What brings the flat array up to date before it is read, where the parameters are elsewhere: in the
        compiled engine's layout, while it trains.
    """

    def __init__(self, architecture: Architecture):
        self._architecture = architecture
        self._places: dict[str, tuple[int, Parameter]] = {}
        start = 0
        for parameter in architecture.parameters:
            self._places[parameter.key] = start, parameter
            start += parameter.size
        self._views: dict[str, weakref.ref[Array]] = {}
        self._flat = flat_array(start)
        # nothing but this object refers to the array yet; every view of it, and of its views, does
        self._alone = sys.getrefcount(self._flat) if _COUNTS else 0
        self._is_touched = True
        self._version = 0
        self.source: Callable[[], None] | None = None

    def __getstate__(self) -> tuple[Architecture, Array]:
        self._update()
        return self._architecture, self._flat.copy()

    def __setstate__(self, state: tuple[Architecture, Array]) -> None:
        architecture, values = state
        Parameters.__init__(self, architecture)
        self._flat[...] = values

    # ---- by key

    def __getitem__(self, key: str) -> Array:
        if key not in self._places:
            raise SettingError(f"the network has no parameter {key!r}; {nearest(str(key), self._places)}")
        self._update()
        known = self._views.get(key)
        view = None if known is None else known()
        if view is None:
            start, parameter = self._places[key]
            view = self._flat[start : start + parameter.size].reshape(parameter.shape)
            self._views[key] = weakref.ref(view)
        self._is_touched = True  # only now: the view counts as long as it is there
        return view

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter, or the default where the network has none of that name."""
        return self[key] if key in self._places else default

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
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shapes = {key: shape_text(parameter.shape) for key, (_, parameter) in self._places.items()}
        return f"Parameters({{{', '.join(f'{key!r}: {shape}' for key, shape in shapes.items())}}})"

    # ---- for the engines

    @property
    def memory(self) -> Array:
        """The flat array itself; nobody notices what is written through it, see `written`."""
        return self._flat

    @property
    def is_watched(self) -> bool:
        """Whether anybody may hold a view of the flat array."""
        return not _COUNTS or sys.getrefcount(self._flat) > self._alone

    def changes(self) -> int:
        """Bring the flat array up to date; a number that has grown where it may have changed meanwhile."""
        if self.source is not None:
            self.source()
        return self.version()

    def version(self) -> int:
        """The same, with the flat array left as it is."""
        is_touched, self._is_touched = self._is_touched, False
        if not _COUNTS or sys.getrefcount(self._flat) > self._alone:
            is_touched = self._is_touched = True
        if is_touched:
            self._version += 1
        return self._version

    def written(self) -> int:
        """Say that the flat array was written to; the number from then on."""
        self._is_touched = True
        return self.version()

    def _update(self) -> None:
        if self.source is not None:
            self.source()


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
