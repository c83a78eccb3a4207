"""From a scheduled loop nest to LLVM IR: one function for each nest.

A function takes a pointer for each buffer that the nest touches and the number of images of the block.
Partial sums stay in registers while the reduced loops run; rests of a tile and of a vector get code of
their own, so that nothing outside a buffer is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from closedform.engine.frame import Frame, Pointers
from closedform.engine.ir import FLOAT, I64, PTR, Body, Builder, Module, Value, i64, number, vector
from closedform.engine.nests import IMAGES, Nest
from closedform.engine.products import write_products
from closedform.engine.schedule import Schedule, used_bounds
from closedform.engine.terms import write_extreme, write_terms
from closedform.engine.turning import write_turned


@dataclass(frozen=True)
class Kernel:
    """A function of the module.

    Attributes
    ----------
    name
        Its symbol.
    nest
        What it computes.
    schedule
        How.
    units
        Into how many parts its outermost loop may be split; 0 where it always runs whole.
    has_tree
        Whether it adds up all images of a batch itself, shard by shard.
    """

    name: str
    nest: Nest
    schedule: Schedule
    units: int = 0
    has_tree: bool = False

    def call(
        self,
        build: Builder,
        pointer: Callable[[str], Value],
        count: Value,
        part: tuple[Value, Value] | None = None,
        shards: Value | None = None,
    ) -> None:
        """Write a call; `part` is the range of units and `shards` the shards of the batch."""
        arguments = [*map(pointer, self.nest.buffers), count]
        if self.units:
            arguments += part or (i64(0), i64(self.units))
        if self.has_tree:
            arguments.append(shards or i64(1))
        build.call_own(self.name, *arguments)


def emit(
    module: Module, name: str, nest: Nest, schedule: Schedule, *, splits: bool = False, has_tree: bool = False
) -> Kernel:
    """Write the function of a nest into a module.

    Parameters
    ----------
    module
        Where it goes.
    name
        Its symbol.
    nest, schedule
        What is computed, and how.
    splits
        Whether it can be run in parts, by its outermost loop.
    has_tree
        Whether the images are added shard by shard in a fixed tree, rather than all in order.
    """
    units = _units(nest, schedule) if splits else 0
    kernel = Kernel(name, nest, schedule, units, has_tree)
    parameters = [(PTR, f"p{n}") for n in range(len(nest.buffers))] + [(I64, "count")]
    if units:
        parameters += [(I64, "first"), (I64, "last")]
    if has_tree:
        parameters.append((I64, "shards"))
    build = Builder(module, name, parameters)
    words = {value.name: value for value in build.parameters}
    part = (words["%first"], words["%last"]) if units else None
    _Loops(build, nest, schedule, words["%count"], part, words.get("%shards")).write()
    build.finish()
    return kernel


def _units(nest: Nest, schedule: Schedule) -> int:
    loops = [loop for loop in schedule.outer if loop != IMAGES]
    if not loops:
        return 0
    return math.ceil(nest.extents[loops[0]] / schedule.size(loops[0]))


class _Loops(Frame):
    """Writes the loops of the output."""

    def write(self) -> None:
        if used_bounds(self.nest, self.schedule.reduced, self.schedule.lane):
            self.is_finite = self.look_whether_finite()
        self.descend(list(self.schedule.outer), self.base, self.full_sizes())

    def look_whether_finite(self) -> Value:
        """Whether all factors that images share are finite: 0 times the sum of what is not is no number."""
        build = self.build
        total = number(0.0)
        for operand in self.nest.inputs:
            if operand.image:
                continue
            ends = [s * (n - 1) for s, n in zip(operand.strides, self.nest.extents, strict=True)]
            first, last = sum(end for end in ends if end < 0), sum(end for end in ends if end > 0)
            start, count = build.moved(self.base[operand], first), last - first + 1
            whole = count // build.lanes * build.lanes

            def added(kind: str, start: Value = start) -> Body:
                def body(i: Value, carried: Value) -> list[Value]:
                    value = build.load(build.moved(start, i), kind)
                    return [build.fma(value, number(0.0, kind), carried)]

                return body

            kind = vector(FLOAT, build.lanes)
            lanes = build.loop(0, whole, added(kind), build.lanes, [number(0.0, kind)])
            total = build.fadd(total, build.lane_sum(lanes[0]))
            total = build.loop(whole, count, added(FLOAT), 1, [total])[0]
        return build.compare("oeq", total, number(0.0))

    def full_sizes(self) -> dict[int, int]:
        return {
            loop: size for loop, size in self.schedule.tile if loop not in self.schedule.outer and size > 1
        }

    def descend(self, loops: list[int], pointers: Pointers, sizes: dict[int, int]) -> None:
        if not loops:
            self.lane_blocks(pointers, sizes)
            return
        loop, *rest = loops
        size = self.schedule.size(loop)

        def inside(turns: int) -> Callable[[Value], None]:
            def body(i: Value) -> None:
                inner = {**sizes, loop: turns} if turns > 1 else sizes
                self.at[loop] = i
                self.descend(rest, self.move(pointers, loop, i), inner)

            return body

        if loop == IMAGES:
            start: Value = i64(0)
            for step in [s for s in (size, 4, 1) if s == size or s < size]:
                stop = self.whole(start, self.count, step)
                self.build.loop(start, stop, inside(step), step)
                start = stop
            return
        extent = self.nest.extents[loop]
        whole = extent // size * size
        first_split = next((k for k in self.schedule.outer if k != IMAGES), None)
        if self.part is not None and loop == first_split:
            self.split(whole, extent - whole, size, inside)
            return
        if whole:
            self.build.loop(0, whole, inside(size), size)
        if extent - whole:
            inside(extent - whole)(i64(whole))

    def split(
        self, whole: int, rest: int, size: int, inside: Callable[[int], Callable[[Value], None]]
    ) -> None:
        """The part of the outermost loop that this call runs."""
        build = self.build
        if self.part is None:
            raise ValueError("the nest is not split")
        first, last = (build.imul(bound, i64(size)) for bound in self.part)
        build.loop(first, build.least(last, i64(whole)), inside(size), size)
        if rest:
            build.when(build.icompare("sgt", last, i64(whole)), lambda: inside(rest)(i64(whole)))

    def whole(self, start: Value, stop: Value, step: int) -> Value:
        """Where the last whole step from `start` ends."""
        build = self.build
        if step == 1:
            return stop
        turns = build.idiv(build.isub(stop, start), i64(step))
        return build.iadd(start, build.imul(turns, i64(step)))

    def lane_blocks(self, pointers: Pointers, sizes: dict[int, int]) -> None:
        lane, lanes = self.schedule.lane, self.lanes
        if lane == IMAGES:
            self.image_lanes(pointers)
            return
        if lane is None or self.is_across:
            self.block(pointers, sizes, [lanes])
            return
        extent, step = self.nest.extents[lane], self.schedule.wide * lanes
        whole = extent // step * step

        def body(i: Value) -> None:
            self.block(self.move(pointers, lane, i), sizes, [lanes] * self.schedule.wide)

        self.build.loop(0, whole, body, step)
        rest = extent - whole
        if rest:
            live = [min(lanes, rest - at) for at in range(0, rest, lanes)]
            self.block(self.move(pointers, lane, i64(whole)), sizes, live)

    def image_lanes(self, pointers: Pointers) -> None:
        """Images across the lanes; the last ones may be fewer."""
        build, lanes = self.build, self.lanes

        def body(i: Value) -> None:
            left = build.splat(build.isub(self.count, i), lanes)
            steps = Value("<" + ", ".join(f"i64 {n}" for n in range(lanes)) + ">", left.type)
            self.mask = build.icompare("slt", steps, left)
            self.block(self.move(pointers, IMAGES, i), {}, [lanes])

        build.loop(0, self.count, body, lanes)

    def block(self, pointers: Pointers, sizes: dict[int, int], live: Sequence[int]) -> None:
        nest = self.nest
        if nest.reduction is None and self.schedule.tile:
            write_turned(self, pointers, live[0])
        elif nest.reduction in ("max", "first"):
            write_extreme(self, pointers, live[0])
        elif nest.is_product and nest.reduction is not None and self.schedule.lane != IMAGES:
            write_products(self, pointers, sizes, live)
        else:
            write_terms(self, pointers, live[0])
