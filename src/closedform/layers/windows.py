"""Settings that windows share: kernel size, stride, padding and dilation for height and width."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from closedform.errors import SettingError, ShapeError
from closedform.formula.extents import Shape, Value
from closedform.layers.base import Layer, needs_image, pair

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = Pair | str


def padding_setting(layer: Layer, value: object) -> Padding:
    """``"valid"`` (no padding), ``"same"``, one whole number, or a pair."""
    if isinstance(value, str):
        if value == "valid":
            return 0, 0
        if value == "same":
            return value
        raise SettingError(
            f'{type(layer).__name__}: padding must be a whole number, a pair, "valid" or "same", '
            f"got {value!r}"
        )
    return pair(layer, "padding", value, 0)


def window_bindings(
    input_shape: Shape, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> dict[str, Value]:
    """The settings s, d, t and the extents of u and v; with "same" also those of i and j.

    "same" gives ⌈H/s⌉ rows; where the padding is odd the extra row comes after, as in PyTorch and Keras.
    """
    found: dict[str, Value] = {"u": kernel_size[0], "v": kernel_size[1]}
    for axis, number in ((0, "1"), (1, "2")):
        step, spread = stride[axis], dilation[axis]
        found[f"s{number}"], found[f"d{number}"] = step, spread
        if isinstance(padding, str):
            length = input_shape[-2 + axis]
            outputs = -(-length // step)
            missing = (outputs - 1) * step + spread * (kernel_size[axis] - 1) + 1 - length
            found[f"t{number}"] = max(missing, 0) // 2
            found["ij"[axis]] = outputs
        else:
            found[f"t{number}"] = padding[axis]
    return found


def merged(
    line: str, bindings: Mapping[str, Value], apart: Sequence[str] = ()
) -> tuple[str, dict[str, Value]]:
    """The line with s for s1 and s2 where both axes have the same value; likewise d and t.

    Those in `apart` keep their own names.
    """
    values = dict(bindings)
    for letter in "sdt":
        first, second = f"{letter}1", f"{letter}2"
        if first in values and first not in apart and values[first] == values.get(second):
            line = re.sub(rf"\b{letter}[12]\b", letter, line)
            values[letter] = values.pop(first)
            del values[second]
    used = set(re.findall(r"[a-z]\d?", line))
    return line, {name: value for name, value in values.items() if name in used}


class Windowed(Layer):
    """A layer whose window slides over the image.

    Its kinds have the settings `kernel_size`, `stride` and `padding`, some of them `dilation`.
    """

    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair

    def __post_init__(self) -> None:
        super().__post_init__()
        for word in ("kernel_size", "stride", "dilation"):
            if hasattr(self, word):
                object.__setattr__(self, word, pair(self, word, getattr(self, word)))
        object.__setattr__(self, "padding", padding_setting(self, self.padding))

    @abstractmethod
    def line(self) -> str:
        """The formula with s1, s2, d1, d2, t1, t2 for stride, dilation and padding."""

    def fixed(self) -> dict[str, Value]:
        """The further extents and settings of the formula."""
        return {}

    @property
    def reach(self) -> Pair:
        """How many rows and columns a window spans."""
        height, width = self.spread
        return height * (self.kernel_size[0] - 1) + 1, width * (self.kernel_size[1] - 1) + 1

    @property
    def spread(self) -> Pair:
        """The dilation, 1 where the layer has none."""
        return getattr(self, "dilation", (1, 1))

    @property
    def sample_input_shape(self) -> Shape:
        """Four channels and an image a good deal larger than the window."""
        return 4, self.reach[0] + 4 * self.stride[0] + 6, self.reach[1] + 3 * self.stride[1] + 5

    def written(self, input_shape: Shape) -> tuple[str, Mapping[str, Value]]:
        """The line with one letter for both axes where they agree."""
        needs_image(self, input_shape)
        bindings = window_bindings(input_shape, self.kernel_size, self.stride, self.padding, self.spread)
        return merged(self.line(), {**bindings, **self.fixed()}, self.by_shape)

    @property
    def by_shape(self) -> tuple[str, ...]:
        """The padding, where "same" makes it depend on the image."""
        return ("t1", "t2") if isinstance(self.padding, str) else ()

    def check_input(self, input_shape: Shape) -> None:
        """Raise a ShapeError where the window does not fit the padded image."""
        needs_image(self, input_shape)
        if isinstance(self.padding, str):
            return
        for axis, word in ((0, "height"), (1, "width")):
            length, padding, reach = input_shape[1 + axis], self.padding[axis], self.reach[axis]
            if reach > length + 2 * padding:
                stride = self.stride[axis]
                rows = (length - reach + 2 * padding) // stride + 1
                raise ShapeError(
                    f"{type(self).__name__}: the window's {word} ({reach}) is larger than the padded image's "
                    f"({length} + 2*{padding}): ({length} - {reach} + 2*{padding})//{stride} + 1 = {rows}"
                )
