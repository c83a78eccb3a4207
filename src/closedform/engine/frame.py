"""What all code of a kernel needs: its nest, its pointers, and how its operands are read and written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from closedform.engine.bodies import emit_body
from closedform.engine.ir import FLOAT, Builder, Value, i64, lane_mask, number, vector
from closedform.engine.nests import IMAGES, Fused, Nest, Operand
from closedform.engine.schedule import Schedule

Pointers = Mapping[Operand, Value]
Point = Mapping[int, int]


class Frame:
    """A function that is being written for a nest.

    Parameters
    ----------
    build
        Where the code goes.
    nest, schedule
        What it computes, and how.
    count
        The number of images.
    part
        The units of the outermost loop that it runs; None for all.
    shards
        The shards whose sums it adds in a tree; None where the images are added in order.
    """

    def __init__(
        self,
        build: Builder,
        nest: Nest,
        schedule: Schedule,
        count: Value,
        part: tuple[Value, Value] | None,
        shards: Value | None,
    ):
        self.build, self.nest, self.schedule = build, nest, schedule
        self.count, self.part, self.shards = count, part, shards
        self.lanes = build.lanes if schedule.lane is not None else 1
        self.kind = vector(FLOAT, self.lanes)
        base = dict(zip(nest.buffers, build.parameters, strict=False))
        self.base: Pointers = {
            operand: build.moved(base[operand.buffer], operand.offset) for operand in nest.operands
        }
        self.is_across = schedule.lane is not None and schedule.lane in nest.reduced
        self.at: dict[int, Value] = {}  # the turn of each outer loop
        self.is_finite: Value | None = None  # whether all that images share is; None where nobody asks
        self.mask = lane_mask(self.lanes, self.lanes)

    def move(self, pointers: Pointers, loop: int, by: Value) -> dict[Operand, Value]:
        build = self.build
        moved: dict[Operand, Value] = {}
        for operand, pointer in pointers.items():
            stride = operand.stride(loop)
            moved[operand] = build.moved(pointer, build.imul(by, i64(stride))) if stride else pointer
        return moved

    # ---- memory

    def read(self, operand: Operand, pointer: Value, offset: int, live: int) -> Value:
        """The lanes of an operand, `offset` elements from a pointer."""
        build, lane = self.build, self.schedule.lane
        at = build.moved(pointer, offset)
        if self.lanes == 1:
            return build.load(at, FLOAT)
        stride = operand.stride(lane) if lane is not None else 0
        if stride == 0:
            return build.splat(build.load(at, FLOAT), self.lanes)
        if lane == IMAGES:
            return build.gather(at, stride, self.kind, self.mask)
        if stride == 1:
            if live == self.lanes:
                return build.load(at, self.kind)
            return build.load_masked(at, lane_mask(self.lanes, live), self.kind)
        if stride == -1 and live == self.lanes:
            return build.reverse(build.load(build.moved(at, 1 - self.lanes), self.kind))
        return build.gather(at, stride, self.kind, lane_mask(self.lanes, live))

    def write_out(self, operand: Operand, value: Value, pointer: Value, offset: int, live: int) -> None:
        build, lane = self.build, self.schedule.lane
        at = build.moved(pointer, offset)
        if self.lanes == 1 or self.is_across:
            build.store(value, at)
            return
        stride = operand.stride(lane) if lane is not None else 0
        if lane == IMAGES:
            build.scatter(value, at, stride, self.mask)
        elif stride == 1:
            if live == self.lanes:
                build.store(value, at)
            else:
                build.store_masked(value, at, lane_mask(self.lanes, live))
        else:
            build.scatter(value, at, stride, lane_mask(self.lanes, live))

    # ---- sums of products in a register tile

    def finished(self, value: Value, pointers: Pointers, point: Point, block: int, live: int) -> Value:
        """The value after everything that is fused to the nest."""
        build = self.build

        def entry(operand: Operand) -> Value:
            across = operand.stride(self.schedule.lane) if self.schedule.lane is not None else 0
            at = offset_of(operand, point) + (block * self.lanes if across == 1 else 0)
            if self.is_across:
                return build.load(build.moved(pointers[operand], at), FLOAT)
            if across not in (0, 1):
                at += block * self.lanes * across
            return self.read(operand, pointers[operand], at, live)

        return fused(build, self.nest.fused, value, entry)

    def term(self, pointers: Pointers, live: int, step: Point | None = None) -> Value:
        """The body at one place."""
        step = step or {}
        values = [
            self.read(operand, pointers[operand], offset_of(operand, step), live)
            for operand in self.nest.inputs
        ]
        return emit_body(self.build, self.nest.body, values, self.kind)

    def allowed(self, pointers: Pointers, live: int, step: Point | None = None) -> Value | None:
        """Where every guard reads 1; None where there are none."""
        build = self.build
        found: Value | None = None
        for operand in self.nest.guards:
            value = self.read(operand, pointers[operand], offset_of(operand, step or {}), live)
            holds = build.compare("une", value, number(0.0, self.kind))
            found = holds if found is None else build.both(found, holds)
        return found


def fused(build: Builder, parts: Sequence[Fused], value: Value, entry: Callable[[Operand], Value]) -> Value:
    """The value after each part; `entry` reads an operand at the same place."""
    for part in parts:
        values = [value if operand is None else entry(operand) for operand in part.operands]
        result = emit_body(build, part.body, values, value.type)
        if part.factor != 1:
            result = build.fmul(result, number(part.factor, result.type))
        value = build.fadd(value, result) if part.accumulate else result
    return value


def offset_of(operand: Operand, point: Point) -> int:
    """The elements that an operand moves to a point of the loops."""
    return sum(operand.stride(loop) * turn for loop, turn in point.items())


def points_of(nest: Nest, loops: Sequence[int]) -> Iterator[Point]:
    """Every point of some loops, in row order."""
    for turns in itertools.product(*(range(nest.extents[loop]) for loop in loops)):
        yield dict(zip(loops, turns, strict=True))
