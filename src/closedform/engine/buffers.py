"""Places for tensors in the engine's memory: layout, border, and which memory each lies in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from closedform.formula.extents import Shape

Kind = Literal[
    "block",
    "batch",
    "parameter",
    "gradient",
    "shard",
    "shared",
    "constant",
    "x",
    "targets",
    "outputs",
    "dy",
    "dx",
    "losses",
    "weights",
    "rate",
]

TOGETHER = 16  # images that go across the lanes where channels do not
ALIGNED = 16  # elements


@dataclass(frozen=True)
class Buffer:
    """A place for a tensor in the engine's memory.

    Attributes
    ----------
    name
        Unique in the plan.
    tensor
        What it holds.
    kind
        Which memory it lies in.
    shape, order, before, after
        The tensor's shape, its axes as they lie in memory, and the border on each side.
    fill
        What stands in the border.
    together
        How many images lie side by side, the innermost of all: 1 or `TOGETHER`.
    offset
        The first element in its memory.
    """

    name: str
    tensor: str
    kind: Kind
    shape: Shape
    order: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    fill: float = 0.0
    together: int = 1
    offset: int = 0

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The shape with the border."""
        return tuple(a + n + b for a, n, b in zip(self.before, self.shape, self.after, strict=True))

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one entry to the next, for each axis."""
        found, step = [0] * len(self.shape), self.together
        for axis in reversed(self.order):
            found[axis] = step
            step *= self.dimensions[axis]
        return tuple(found)

    @property
    def size(self) -> int:
        """Elements of one image, or of `together` images, with what is left free for alignment."""
        size = math.prod(self.dimensions) * self.together
        if self.kind in ("block", "batch") and size >= 4 * ALIGNED:
            size = -(-size // ALIGNED) * ALIGNED
        return size

    @property
    def origin(self) -> int:
        """The element at which the tensor's entry (0, 0, …) lies."""
        return sum(step * border for step, border in zip(self.strides, self.before, strict=True))

    @property
    def has_border(self) -> bool:
        """Whether anything stands around the tensor."""
        return any(self.before) or any(self.after)

    @property
    def per_image(self) -> int:
        """Elements that a block needs for each of its images."""
        size = -(-self.size // self.together)
        return -(-size // ALIGNED) * ALIGNED

    def covers(self, before: Sequence[int], after: Sequence[int]) -> bool:
        """Whether its border is at least so wide."""
        return all(a >= b for a, b in zip(self.before, before, strict=True)) and all(
            a >= b for a, b in zip(self.after, after, strict=True)
        )

    def with_border(self, contents: Sequence[float]) -> tuple[float, ...]:
        """The entries of a constant with one axis, and the border around them."""
        if len(self.shape) != 1:
            raise ValueError("constants have one axis")
        return (*[self.fill] * self.before[0], *contents, *[self.fill] * self.after[0])


def lay_out_block(buffers: dict[str, Buffer], places: Mapping[str, tuple[int, int]]) -> int:
    """Give every buffer of a block its offset; those that are never alive together share memory.

    A buffer with a border has memory of its own: its border is filled once, before anything runs.

    Parameters
    ----------
    buffers
        By name; those of a block get their offsets.
    places
        For each of them the first and the last nest that touches it.

    Returns
    -------
    int
        Elements for each image of a block.
    """
    taken: list[tuple[int, int, int, int]] = []  # first nest, last nest, first element, end
    end = 0
    names = [name for name in buffers if buffers[name].kind == "block" and name in places]
    for name in sorted(names, key=lambda name: (-buffers[name].per_image, name)):
        buffer = buffers[name]
        first, last = (-1, 1 << 30) if buffer.has_border else places[name]
        size = buffer.per_image
        at = 0
        for other in sorted((t for t in taken if t[0] <= last and first <= t[1]), key=lambda t: t[2]):
            if at + size <= other[2]:
                break
            at = max(at, other[3])
        taken.append((first, last, at, at + size))
        buffers[name] = replace(buffer, offset=at)
        end = max(end, at + size)
    return end
