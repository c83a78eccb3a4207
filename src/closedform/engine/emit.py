"""From a scheduled loop nest to LLVM IR: one function for each nest.

A function takes a pointer for each buffer that the nest touches and the number of images of the block.
Partial sums stay in registers while the reduced loops run; rests of a tile and of a vector get code of
their own, so that nothing outside a buffer is read or written.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from closedform.engine.bodies import emit_body
from closedform.engine.ir import (
    FLOAT,
    I64,
    PTR,
    Builder,
    Module,
    Value,
    i64,
    integer,
    lane_mask,
    number,
    vector,
)
from closedform.engine.nests import IMAGES, Fused, Nest, Operand
from closedform.engine.schedule import Schedule

_WINDOW = 16  # maxima over so many entries are written out
_LEVELS = 6  # of the tree over shards: at most 32 of them

Pointers = Mapping[Operand, Value]
Point = Mapping[int, int]


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
    writer = _Writer(build, kernel)
    writer.write()
    build.finish()
    return kernel


def _units(nest: Nest, schedule: Schedule) -> int:
    loops = [loop for loop in schedule.outer if loop != IMAGES]
    if not loops:
        return 0
    return math.ceil(nest.extents[loops[0]] / schedule.size(loops[0]))


class _Writer:
    """Writes the loops of one nest."""

    def __init__(self, build: Builder, kernel: Kernel):
        self.build, self.nest, self.schedule = build, kernel.nest, kernel.schedule
        self.lanes = build.lanes if self.schedule.lane is not None else 1
        self.kind = vector(FLOAT, self.lanes)
        words = dict(zip((p.name for p in build.parameters), build.parameters, strict=True))
        self.count = words["%count"]
        self.part = (words["%first"], words["%last"]) if kernel.units else None
        self.shards = words.get("%shards")
        base = dict(zip(self.nest.buffers, build.parameters, strict=False))
        self.base: Pointers = {
            operand: build.moved(base[operand.buffer], operand.offset) for operand in self.nest.operands
        }
        lane = self.schedule.lane
        self.is_across = lane is not None and lane in self.nest.reduced
        self.is_tiled = (
            self.nest.is_product and self.nest.reduction is not None and self.schedule.lane != IMAGES
        )

    # ---- loops of the output

    def write(self) -> None:
        self.descend(list(self.schedule.outer), self.base, self.full_sizes())

    def full_sizes(self) -> dict[int, int]:
        return {
            loop: size for loop, size in self.schedule.tile if loop not in self.schedule.outer and size > 1
        }

    def move(self, pointers: Pointers, loop: int, by: Value) -> dict[Operand, Value]:
        build = self.build
        moved: dict[Operand, Value] = {}
        for operand, pointer in pointers.items():
            stride = operand.stride(loop)
            moved[operand] = build.moved(pointer, build.imul(by, i64(stride))) if stride else pointer
        return moved

    def descend(self, loops: list[int], pointers: Pointers, sizes: dict[int, int]) -> None:
        if not loops:
            self.lane_blocks(pointers, sizes)
            return
        loop, *rest = loops
        size = self.schedule.size(loop)

        def inside(turns: int) -> Callable[[Value], None]:
            def body(i: Value) -> None:
                inner = {**sizes, loop: turns} if turns > 1 else sizes
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

    # ---- blocks of lanes

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
        if self.nest.reduction is None and self.schedule.tile:
            self.turn(pointers, live[0])
        elif self.is_tiled:
            self.tile(pointers, sizes, live)
        elif self.nest.reduction in ("max", "first"):
            self.extreme(pointers, live[0])
        else:
            self.plain(pointers, live[0])

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

    def tile(self, pointers: Pointers, sizes: dict[int, int], live: Sequence[int]) -> None:
        build, nest = self.build, self.nest
        points: list[Point] = [
            dict(zip(sizes, turns, strict=True))
            for turns in itertools.product(*(range(size) for size in sizes.values()))
        ]
        places = list(itertools.product(points, range(len(live))))
        zero = number(0.0, self.kind)
        is_chained = nest.accumulate and nest.factor == 1 and not self.is_across and self.shards is None

        lane = self.schedule.lane
        step = 0 if self.is_across or lane is None else self.lanes * nest.out.strides[lane]

        def out_at(point: Point, block: int) -> int:
            return _offset(nest.out, point) + block * step

        sums = [
            self.read(nest.out, pointers[nest.out], out_at(point, block), live[block]) if is_chained else zero
            for point, block in places
        ]
        if self.shards is not None:
            sums = self.in_tree(pointers, places, live, sums)
        else:
            sums = self.reduce(list(self.schedule.reduced), pointers, places, live, sums)
        for (point, block), total in zip(places, sums, strict=True):
            value = build.lane_sum(total) if self.is_across else total
            if nest.factor != 1:
                value = build.fmul(value, number(nest.factor, value.type))
            if nest.accumulate and not is_chained:
                at = build.moved(pointers[nest.out], out_at(point, block))
                old = (
                    build.load(at, FLOAT)
                    if self.is_across
                    else self.read(nest.out, pointers[nest.out], out_at(point, block), live[block])
                )
                value = build.fadd(old, value)
            value = self.finished(value, pointers, point, block, live[block])
            self.write_out(nest.out, value, pointers[nest.out], out_at(point, block), live[block])

    def finished(self, value: Value, pointers: Pointers, point: Point, block: int, live: int) -> Value:
        """The value after everything that is fused to the nest."""
        build = self.build

        def entry(operand: Operand) -> Value:
            across = operand.stride(self.schedule.lane) if self.schedule.lane is not None else 0
            at = _offset(operand, point) + (block * self.lanes if across == 1 else 0)
            if self.is_across:
                return build.load(build.moved(pointers[operand], at), FLOAT)
            if across not in (0, 1):
                at += block * self.lanes * across
            return self.read(operand, pointers[operand], at, live)

        return fused(build, self.nest.fused, value, entry)

    def in_tree(
        self,
        pointers: Pointers,
        places: Sequence[tuple[Point, int]],
        live: Sequence[int],
        zeros: Sequence[Value],
    ) -> list[Value]:
        """The sums over all images: in order inside a shard, shards in pairs, pairs in pairs."""
        build, shards = self.build, self.shards
        if shards is None:
            raise ValueError("the nest has no shards")
        size = len(zeros) * self.lanes
        stack = build.allocate(FLOAT, _LEVELS * size)
        order = list(self.schedule.reduced)

        def slot(level: Value, number_: int) -> Value:
            return build.moved(build.moved(stack, build.imul(level, i64(size))), number_ * self.lanes)

        def shard(s: Value) -> None:
            first, last = shard_bounds(build, s, self.count, shards)
            sums = self.images(first, last, order[1:], pointers, places, live, list(zeros))
            done = build.convert("zext", i64_trailing_ones(build, s), I64)

            def level(at: Value, *values: Value) -> list[Value]:
                return [
                    build.fadd(build.load(slot(at, n), self.kind), value) for n, value in enumerate(values)
                ]

            sums = build.loop(i64(0), done, level, 1, sums)
            for n, value in enumerate(sums):
                build.store(value, slot(done, n))

        build.loop(i64(0), shards, shard)
        top = i64_trailing_zeros(build, shards)
        return [build.load(slot(top, n), self.kind) for n in range(len(zeros))]

    def images(
        self,
        first: Value,
        last: Value,
        order: list[int],
        pointers: Pointers,
        places: Sequence[tuple[Point, int]],
        live: Sequence[int],
        sums: list[Value],
    ) -> list[Value]:
        def body(i: Value, *carried: Value) -> list[Value]:
            return self.reduce(order, self.move(pointers, IMAGES, i), places, live, list(carried))

        return self.build.loop(first, last, body, 1, sums)

    def reduce(
        self,
        loops: list[int],
        pointers: Pointers,
        places: Sequence[tuple[Point, int]],
        live: Sequence[int],
        sums: list[Value],
    ) -> list[Value]:
        """The sums after the reduced loops."""
        if loops and loops[0] == IMAGES:
            return self.images(i64(0), self.count, loops[1:], pointers, places, live, sums)
        if len(loops) <= self.schedule.unrolled:
            if self.is_across:
                return self.across(loops, pointers, places, sums)
            return self.accumulate(loops, pointers, places, live, sums)
        loop, *rest = loops

        def body(i: Value, *carried: Value) -> list[Value]:
            return self.reduce(rest, self.move(pointers, loop, i), places, live, list(carried))

        return self.build.loop(0, self.nest.extents[loop], body, 1, sums)

    def across(
        self,
        unrolled: list[int],
        pointers: Pointers,
        places: Sequence[tuple[Point, int]],
        sums: list[Value],
    ) -> list[Value]:
        """The reduced loop across the lanes."""
        lane, lanes = self.schedule.lane, self.lanes
        if lane is None:
            raise ValueError("no loop goes across the lanes")
        extent = self.nest.extents[lane]
        whole = extent // lanes * lanes

        def body(i: Value, *carried: Value) -> list[Value]:
            return self.accumulate(
                unrolled, self.move(pointers, lane, i), places, [lanes] * len(places), list(carried)
            )

        sums = self.build.loop(0, whole, body, lanes, sums)
        if extent - whole:
            moved = self.move(pointers, lane, i64(whole))
            sums = self.accumulate(unrolled, moved, places, [extent - whole] * len(places), sums)
        return sums

    def accumulate(
        self,
        unrolled: list[int],
        pointers: Pointers,
        places: Sequence[tuple[Point, int]],
        live: Sequence[int],
        sums: list[Value],
    ) -> list[Value]:
        """One multiply-add for each place of the tile and each turn of the loops that are written out."""
        build, nest = self.build, self.nest
        sums = list(sums)
        for turns in itertools.product(*(range(nest.extents[loop]) for loop in unrolled)):
            step = dict(zip(unrolled, turns, strict=True))
            found: dict[tuple[Operand, int, int], Value] = {}
            for n, (point, block) in enumerate(places):
                values = [
                    self.factor(operand, pointers[operand], (point, step), block, live[block], found)
                    for operand in nest.inputs
                ]
                if not values:
                    sums[n] = build.fadd(sums[n], number(1.0, self.kind))
                elif len(values) == 1:
                    sums[n] = build.fadd(sums[n], values[0])
                else:
                    product = values[0]
                    for factor in values[1:-1]:
                        product = build.fmul(product, factor)
                    sums[n] = build.fma(product, values[-1], sums[n])
        return sums

    def factor(
        self,
        operand: Operand,
        pointer: Value,
        steps: tuple[Point, Point],
        block: int,
        live: int,
        found: dict[tuple[Operand, int, int], Value],
    ) -> Value:
        """A factor of a product, read once for all places of the tile that need it."""
        lane = self.schedule.lane
        stride = operand.stride(lane) if lane is not None else 0
        across = 0 if self.is_across else block * self.lanes * stride
        at = sum(_offset(operand, step) for step in steps) + across
        key = operand, at, live if stride else 0
        if key not in found:
            found[key] = self.read(operand, pointer, at, live)
        return found[key]

    # ---- copies whose rows become columns

    def turn(self, pointers: Pointers, live: int) -> None:
        """Copy blocks of rows, a vector each, so that their columns become vectors."""
        build, nest, lanes = self.build, self.nest, self.lanes
        loop, lane = self.schedule.tile[0][0], self.schedule.lane
        (source,) = nest.inputs
        if lane is None:
            raise ValueError("a copy without vectors is not turned")
        row, column = source.strides[lane], nest.out.strides[loop]

        def block(at: Pointers, long: int) -> None:
            rows = []
            for number_ in range(lanes):
                place = build.moved(at[source], number_ * row)
                if number_ >= live:
                    rows.append(Value("poison", self.kind))
                elif long == lanes:
                    rows.append(build.load(place, self.kind))
                else:
                    rows.append(build.load_masked(place, lane_mask(lanes, long), self.kind))
            allowed = self.allowed(at, live)
            for number_, value in enumerate(transposed(build, rows)[:long]):
                if allowed is not None:
                    value = build.select(allowed, value, number(0.0, self.kind))
                self.write_out(nest.out, value, at[nest.out], number_ * column, live)

        extent = nest.extents[loop]
        whole = extent // lanes * lanes
        build.loop(0, whole, lambda i: block(self.move(pointers, loop, i), lanes), lanes)
        if extent - whole:
            block(self.move(pointers, loop, i64(whole)), extent - whole)

    # ---- anything point-wise, with or without a sum

    def term(self, pointers: Pointers, live: int, step: Point | None = None) -> Value:
        """The body at one place."""
        step = step or {}
        values = [
            self.read(operand, pointers[operand], _offset(operand, step), live)
            for operand in self.nest.inputs
        ]
        return emit_body(self.build, self.nest.body, values, self.kind)

    def allowed(self, pointers: Pointers, live: int, step: Point | None = None) -> Value | None:
        """Where every guard reads 1; None where there are none."""
        build = self.build
        found: Value | None = None
        for operand in self.nest.guards:
            value = self.read(operand, pointers[operand], _offset(operand, step or {}), live)
            holds = build.compare("une", value, number(0.0, self.kind))
            found = holds if found is None else build.both(found, holds)
        return found

    def plain(self, pointers: Pointers, live: int) -> None:
        build, nest = self.build, self.nest

        def guarded(at: Pointers) -> Value:
            value, allowed = self.term(at, live), self.allowed(at, live)
            return value if allowed is None else build.select(allowed, value, number(0.0, self.kind))

        def reduce(loops: list[int], at: Pointers, total: Value) -> Value:
            if not loops:
                return build.fadd(total, guarded(at))
            loop, *rest = loops
            stop = self.count if loop == IMAGES else i64(nest.extents[loop])

            def body(i: Value, carried: Value) -> list[Value]:
                return [reduce(rest, self.move(at, loop, i), carried)]

            return build.loop(i64(0), stop, body, 1, [total])[0]

        loops = list(self.schedule.reduced)
        value = reduce(loops, pointers, number(0.0, self.kind)) if loops else guarded(pointers)
        if nest.factor != 1:
            value = build.fmul(value, number(nest.factor, self.kind))
        if nest.accumulate:
            value = build.fadd(self.read(nest.out, pointers[nest.out], 0, live), value)
        value = self.finished(value, pointers, {}, 0, live)
        self.write_out(nest.out, value, pointers[nest.out], 0, live)

    # ---- maxima

    def extreme(self, pointers: Pointers, live: int) -> None:
        build, nest = self.build, self.nest
        loops = list(nest.reduced)
        turns = math.prod(nest.extents[loop] for loop in loops)
        index_kind = vector("i32", self.lanes)
        best = number(-math.inf, self.kind)
        place = integer(-1, index_kind)
        is_first = nest.reduction == "first"
        unrolled = turns <= _WINDOW

        def better(value: Value, allowed: Value | None, at: Value, best: Value, place: Value) -> list[Value]:
            # a NaN wins over every number and over no other NaN; what comes first wins among equals
            takes = build.both(
                build.compare("ugt", value, best), build.compare("ord", best, number(0.0, self.kind))
            )
            if is_first:
                takes = build.either(takes, build.icompare("eq", place, integer(-1, index_kind)))
            if allowed is not None:
                takes = build.both(takes, allowed)
            chosen = build.select(takes, value, best)
            return [chosen, build.select(takes, at, place) if is_first else place]

        if unrolled:
            for turn, step in enumerate(_steps(nest, loops)):
                value, allowed = self.term(pointers, live, step), self.allowed(pointers, live, step)
                if turn == 0 and allowed is None:
                    best, place = value, integer(0, index_kind)
                else:
                    best, place = better(value, allowed, integer(turn, index_kind), best, place)
        else:

            def search(rest: list[int], at: Pointers, turn: Value, carried: Sequence[Value]) -> list[Value]:
                if not rest:
                    where = build.splat(build.convert("trunc", turn, "i32"), self.lanes)
                    return better(self.term(at, live), self.allowed(at, live), where, carried[0], carried[1])
                loop, *inner = rest

                def body(i: Value, *values: Value) -> list[Value]:
                    here = build.iadd(build.imul(turn, i64(nest.extents[loop])), i)
                    return search(inner, self.move(at, loop, i), here, values)

                return build.loop(0, nest.extents[loop], body, 1, list(carried))

            best, place = search(loops, pointers, i64(0), [best, place])
        if not is_first:
            value = build.fmul(best, number(nest.factor, self.kind)) if nest.factor != 1 else best
            if nest.accumulate:
                value = build.fadd(self.read(nest.out, pointers[nest.out], 0, live), value)
            self.write_out(nest.out, self.finished(value, pointers, {}, 0, live), pointers[nest.out], 0, live)
            return
        one = number(nest.factor, self.kind)

        def mark(at: Pointers, step: Point, turn: Value) -> None:
            value = build.select(build.icompare("eq", place, turn), one, number(0.0, self.kind))
            if nest.accumulate:
                value = build.fadd(self.read(nest.out, at[nest.out], _offset(nest.out, step), live), value)
            value = self.finished(value, at, step, 0, live)
            self.write_out(nest.out, value, at[nest.out], _offset(nest.out, step), live)

        if unrolled:
            for turn, step in enumerate(_steps(nest, loops)):
                mark(pointers, step, integer(turn, index_kind))
            return

        def spread(rest: list[int], at: Pointers, turn: Value) -> None:
            if not rest:
                mark(at, {}, build.splat(build.convert("trunc", turn, "i32"), self.lanes))
                return
            loop, *inner = rest

            def body(i: Value) -> None:
                here = build.iadd(build.imul(turn, i64(nest.extents[loop])), i)
                spread(inner, self.move(at, loop, i), here)

            build.loop(0, nest.extents[loop], body)

        spread(loops, pointers, i64(0))


def transposed(build: Builder, rows: Sequence[Value]) -> list[Value]:
    """The columns of a square of as many vectors as each has lanes: halves of pairs are exchanged."""
    values, lanes = list(rows), len(rows)
    kind = values[0].type
    half = 1
    while half < lanes:
        upper = [lane if not lane & half else lanes + lane - half for lane in range(lanes)]
        lower = [lane + half if not lane & half else lanes + lane for lane in range(lanes)]
        for number_ in range(lanes):
            if number_ & half:
                continue
            a, b = values[number_], values[number_ + half]
            for place, order in ((number_, upper), (number_ + half, lower)):
                picked = ", ".join(f"i32 {lane}" for lane in order)
                values[place] = build.emit(
                    f"shufflevector {kind} {a.name}, {kind} {b.name}, <{lanes} x i32> <{picked}>", kind
                )
        half *= 2
    return values


def fused(build: Builder, parts: Sequence[Fused], value: Value, entry: Callable[[Operand], Value]) -> Value:
    """The value after each part; `entry` reads an operand at the same place."""
    for part in parts:
        values = [value if operand is None else entry(operand) for operand in part.operands]
        result = emit_body(build, part.body, values, value.type)
        if part.factor != 1:
            result = build.fmul(result, number(part.factor, result.type))
        value = build.fadd(value, result) if part.accumulate else result
    return value


def shard_bounds(build: Builder, shard: Value, count: Value, shards: Value) -> tuple[Value, Value]:
    """The first image of a shard and of the next one: shards of equal size, or nearly."""
    first = build.idiv(build.imul(shard, count), shards)
    last = build.idiv(build.imul(build.iadd(shard, i64(1)), count), shards)
    return first, last


def i64_trailing_ones(build: Builder, value: Value) -> Value:
    """How many of the lowest bits are 1."""
    inverse = build.xor(value, i64(-1))
    build.module.declare("llvm.cttz.i64", I64, [I64, "i1 immarg"])
    wide = build.emit(f"call i64 @llvm.cttz.i64(i64 {inverse.name}, i1 false)", I64)
    return build.convert("trunc", wide, "i32")


def i64_trailing_zeros(build: Builder, value: Value) -> Value:
    """How many of the lowest bits are 0."""
    build.module.declare("llvm.cttz.i64", I64, [I64, "i1 immarg"])
    return build.emit(f"call i64 @llvm.cttz.i64(i64 {value.name}, i1 false)", I64)


def _offset(operand: Operand, point: Point) -> int:
    return sum(operand.stride(loop) * turn for loop, turn in point.items())


def _steps(nest: Nest, loops: Sequence[int]) -> Iterator[Point]:
    for turns in itertools.product(*(range(nest.extents[loop]) for loop in loops)):
        yield dict(zip(loops, turns, strict=True))
