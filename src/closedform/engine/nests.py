"""Loop nests over physical buffers: what the planner hands to the scheduler and the emitter.

A nest is a stride table whose slots have become places in the engine's own memory.  Beside its own
loops it runs over the images of a block, whose number is known only when it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from closedform.formula.tree import Expression

IMAGES = -1  # stands for the loop over the images of a block where loops are meant by position


@dataclass(frozen=True)
class Operand:
    """How a nest moves through one buffer.

    Attributes
    ----------
    buffer
        The buffer's name.
    offset
        The element at which every loop is 0.
    strides
        The elements moved when a loop advances by one, for each loop.
    image
        The elements from one image to the next; 0 where all images share the buffer.
    """

    buffer: str
    offset: int
    strides: tuple[int, ...]
    image: int = 0

    def stride(self, loop: int) -> int:
        """The elements moved with a loop of the nest, the one over images among them."""
        return self.image if loop == IMAGES else self.strides[loop]


@dataclass(frozen=True)
class Fused:
    """What is done with an entry while it is in a register.

    Attributes
    ----------
    body
        A point-wise expression over the operands, as in a stride table; None for their product.
    operands
        What it reads; None stands for the value so far.
    factor
        A constant that the result is multiplied by.
    accumulate
        Whether the result is added to the value so far, or takes its place.
    """

    body: Expression | None
    operands: tuple[Operand | None, ...]
    factor: float = 1.0
    accumulate: bool = False


@dataclass(frozen=True)
class Bound:
    """Turns of a reduced loop that read nothing but zeros, and may be left out.

    A turn counts where ``0 <= start + step * loop + sign * reduced < length``; elsewhere a factor lies in its
    buffer's border.

    Attributes
    ----------
    reduced, loop
        The reduced loop, and the one of the output that decides which of its turns count.
    start, step, sign, length
        Entries along one axis of the factor; `sign` is 1 or -1.
    """

    reduced: int
    loop: int
    start: int
    step: int
    sign: int
    length: int

    def turns(self, first: int, last: int, extent: int) -> tuple[int, int]:
        """The first turn that counts, and the one behind the last, where the loop is from first to last."""
        ends = [self.start + self.step * turn for turn in (first, last)]
        if self.sign > 0:
            low, high = -max(ends), self.length - min(ends)
        else:
            low, high = min(ends) - self.length + 1, max(ends) + 1
        low = min(max(low, 0), extent)
        return low, max(min(high, extent), low)


@dataclass(frozen=True)
class Nest:
    """``out (+)= factor * reduction(body)``, then what is fused to it, for every image of a block.

    Attributes
    ----------
    label
        What is computed, for people.
    loops
        Name and extent of each loop.
    out, inputs, guards
        Where the output, the inputs and the conditions lie.
    reduced
        The loops that are reduced, by position; the loop over images is, where `out` does not move with it.
    reduction
        ``"sum"``, ``"max"``, ``"first"`` or None.
    factor, accumulate, body
        As in a stride table.
    fused
        What follows in registers, in order.
    together
        How many images lie side by side in what it writes; the loop over images then runs over so many at
        once.
    bounds
        What may be left out because it reads a border of zeros.
    """

    label: str
    loops: tuple[tuple[str, int], ...]
    out: Operand
    inputs: tuple[Operand, ...]
    reduced: tuple[int, ...] = ()
    reduction: str | None = None
    factor: float = 1.0
    accumulate: bool = False
    body: Expression | None = None
    guards: tuple[Operand, ...] = ()
    fused: tuple[Fused, ...] = ()
    together: int = 1
    bounds: tuple[Bound, ...] = ()

    @property
    def extents(self) -> tuple[int, ...]:
        """The extent of each loop."""
        return tuple(extent for _, extent in self.loops)

    @property
    def sums_images(self) -> bool:
        """Whether the images of the block are added up."""
        return self.out.image == 0

    @property
    def is_product(self) -> bool:
        """Whether it is a sum of plain products."""
        return self.body is None and not self.guards and self.reduction in (None, "sum")

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Every place that is touched, the output first."""
        fused = tuple(operand for part in self.fused for operand in part.operands if operand is not None)
        return (self.out, *self.inputs, *self.guards, *fused)

    @property
    def buffers(self) -> tuple[str, ...]:
        """The buffers that are touched, the output's first."""
        return tuple(dict.fromkeys(operand.buffer for operand in self.operands))

    @property
    def terms(self) -> int:
        """How often the body is worked out for one image."""
        return math.prod(self.extents)

    @property
    def operations(self) -> int:
        """Useful operations for one image: two for each multiply-add of a sum of products."""
        return 2 * self.terms if self.is_product and self.reduction == "sum" and len(self.inputs) > 1 else 0


def trimmed(nest: Nest) -> Nest:
    """The nest without loops of one turn."""
    return _without(nest, [k for k, extent in enumerate(nest.extents) if extent == 1])


def simplified(nest: Nest) -> Nest:
    """The nest without loops of one turn, and with loops that walk all buffers as one loop made one."""
    nest = trimmed(nest)
    if nest.reduction in ("max", "first"):
        return nest  # their loops are counted in row order
    while True:
        pair = _mergeable(nest)
        if pair is None:
            return nest
        nest = _merged(nest, *pair)


def _without(nest: Nest, gone: list[int]) -> Nest:
    keep = [k for k in range(len(nest.loops)) if k not in gone]
    new = {old: k for k, old in enumerate(keep)}
    return replace(
        mapped(nest, lambda operand: replace(operand, strides=tuple(operand.strides[k] for k in keep))),
        loops=tuple(nest.loops[k] for k in keep),
        reduced=tuple(new[k] for k in nest.reduced if k in new),
        bounds=tuple(
            replace(bound, reduced=new[bound.reduced], loop=new[bound.loop])
            for bound in nest.bounds
            if bound.reduced in new and bound.loop in new
        ),
    )


def _mergeable(nest: Nest) -> tuple[int, int] | None:
    for inner in range(len(nest.loops)):
        for outer in range(len(nest.loops)):
            if outer == inner or (outer in nest.reduced) != (inner in nest.reduced):
                continue
            extent = nest.extents[inner]
            if all(o.strides[outer] == o.strides[inner] * extent for o in nest.operands):
                return outer, inner
    return None


def _merged(nest: Nest, outer: int, inner: int) -> Nest:
    name = f"{nest.loops[outer][0]}{nest.loops[inner][0]}"
    extent = nest.extents[outer] * nest.extents[inner]
    loops = list(nest.loops)
    loops[inner] = (name, extent)
    bounds = tuple(b for b in nest.bounds if not {b.reduced, b.loop} & {outer, inner})
    return _without(replace(nest, loops=tuple(loops), bounds=bounds), [outer])


def mapped(nest: Nest, change: Callable[[Operand], Operand]) -> Nest:
    """The nest with every operand changed."""
    fused = tuple(
        replace(part, operands=tuple(None if o is None else change(o) for o in part.operands))
        for part in nest.fused
    )
    return replace(
        nest,
        out=change(nest.out),
        inputs=tuple(map(change, nest.inputs)),
        guards=tuple(map(change, nest.guards)),
        fused=fused,
    )
