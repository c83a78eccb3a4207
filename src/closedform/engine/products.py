"""Sums of products as code: a tile of partial sums stays in registers while the reduced loops run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from closedform.engine.frame import Frame, Point, Pointers, offset_of
from closedform.engine.ir import FLOAT, I64, Value, i64, number
from closedform.engine.nests import IMAGES, Operand
from closedform.engine.schedule import used_bounds
from closedform.engine.shards import shard_bounds, trailing_ones, trailing_zeros

_LEVELS = 6  # of the tree over shards: at most 32 of them


def write_products(frame: Frame, pointers: Pointers, sizes: dict[int, int], live: Sequence[int]) -> None:
    """Write the register tile at a place of the outer loops.

    Parameters
    ----------
    frame
        The function.
    pointers
        Where each operand is.
    sizes
        The loops of the tile, with how many turns each.
    live
        For each vector of the tile how many lanes are used.
    """
    _Tile(frame, sizes, live).write(pointers)


class _Tile:
    """Partial sums in registers: every point of the tiled loops, times the vectors side by side."""

    def __init__(self, frame: Frame, sizes: dict[int, int], live: Sequence[int]):
        self.frame, self.live = frame, live
        points: list[Point] = [
            dict(zip(sizes, turns, strict=True))
            for turns in itertools.product(*(range(size) for size in sizes.values()))
        ]
        self.places = list(itertools.product(points, range(len(live))))

    def write(self, pointers: Pointers) -> None:
        frame, live, places = self.frame, self.live, self.places
        build, nest = frame.build, frame.nest
        zero = number(0.0, frame.kind)
        is_chained = nest.accumulate and nest.factor == 1 and not frame.is_across and frame.shards is None

        lane = frame.schedule.lane
        step = 0 if frame.is_across or lane is None else frame.lanes * nest.out.strides[lane]

        def out_at(point: Point, block: int) -> int:
            return offset_of(nest.out, point) + block * step

        sums = [
            frame.read(nest.out, pointers[nest.out], out_at(point, block), live[block])
            if is_chained
            else zero
            for point, block in places
        ]
        if frame.shards is not None:
            sums = self.in_tree(pointers, sums)
        else:
            sums = self.reduced(list(frame.schedule.reduced), pointers, sums)
        totals = build.lane_sums(sums) if frame.is_across else sums
        for (point, block), value in zip(places, totals, strict=True):
            if nest.factor != 1:
                value = build.fmul(value, number(nest.factor, value.type))
            if nest.accumulate and not is_chained:
                at = build.moved(pointers[nest.out], out_at(point, block))
                old = (
                    build.load(at, FLOAT)
                    if frame.is_across
                    else frame.read(nest.out, pointers[nest.out], out_at(point, block), live[block])
                )
                value = build.fadd(old, value)
            value = frame.finished(value, pointers, point, block, live[block])
            frame.write_out(nest.out, value, pointers[nest.out], out_at(point, block), live[block])

    def in_tree(self, pointers: Pointers, zeros: Sequence[Value]) -> list[Value]:
        """The sums over all images: in order inside a shard, shards in pairs, pairs in pairs."""
        build, shards = self.frame.build, self.frame.shards
        if shards is None:
            raise ValueError("the nest has no shards")
        size = len(zeros) * self.frame.lanes
        stack = build.allocate(FLOAT, _LEVELS * size)
        order = list(self.frame.schedule.reduced)

        def slot(level: Value, number_: int) -> Value:
            return build.moved(build.moved(stack, build.imul(level, i64(size))), number_ * self.frame.lanes)

        def shard(s: Value) -> None:
            first, last = shard_bounds(build, s, self.frame.count, shards)
            sums = self.over_images(first, last, order[1:], pointers, list(zeros))
            done = build.convert("zext", trailing_ones(build, s), I64)

            def level(at: Value, *values: Value) -> list[Value]:
                return [
                    build.fadd(build.load(slot(at, n), self.frame.kind), value)
                    for n, value in enumerate(values)
                ]

            sums = build.loop(i64(0), done, level, 1, sums)
            for n, value in enumerate(sums):
                build.store(value, slot(done, n))

        build.loop(i64(0), shards, shard)
        top = trailing_zeros(build, shards)
        return [build.load(slot(top, n), self.frame.kind) for n in range(len(zeros))]

    def over_images(
        self, first: Value, last: Value, order: list[int], pointers: Pointers, sums: list[Value]
    ) -> list[Value]:
        """The sums after a range of images, one after the other."""

        def body(i: Value, *carried: Value) -> list[Value]:
            return self.reduced(order, self.frame.move(pointers, IMAGES, i), list(carried))

        return self.frame.build.loop(first, last, body, 1, sums)

    def reduced(self, loops: list[int], pointers: Pointers, sums: list[Value]) -> list[Value]:
        """The sums after the reduced loops."""
        if loops and loops[0] == IMAGES:
            return self.over_images(i64(0), self.frame.count, loops[1:], pointers, sums)
        if len(loops) <= self.frame.schedule.unrolled:
            if self.frame.is_across:
                return self.across_lanes(loops, pointers, sums)
            return self.accumulated(loops, pointers, self.live, sums)
        loop, *rest = loops
        if self.frame.schedule.partial > 1 and len(loops) == len(
            [k for k in self.frame.schedule.reduced if k != IMAGES]
        ):
            return self.in_rotation(loops, pointers, sums)

        def body(i: Value, *carried: Value) -> list[Value]:
            return self.reduced(rest, self.frame.move(pointers, loop, i), list(carried))

        low, high = self.turns(loop)
        return self.frame.build.loop(low, high, body, 1, sums)

    def turns(self, loop: int) -> tuple[Value, Value]:
        """The turns of a reduced loop: those that read nothing but a border of zeros are left out."""
        build, extent = self.frame.build, i64(self.frame.nest.extents[loop])
        for bound in used_bounds(self.frame.nest, self.frame.schedule.reduced, self.frame.schedule.lane):
            if bound.reduced != loop:
                continue
            at = self.frame.at.get(bound.loop, i64(0))
            offsets = [bound.start + bound.step * point.get(bound.loop, 0) for point, _ in self.places]
            begin = build.imul(at, i64(bound.step))
            least, most = (build.iadd(begin, i64(end(offsets))) for end in (min, max))
            if bound.sign > 0:
                low, high = build.isub(i64(0), most), build.isub(i64(bound.length), least)
            else:
                low, high = build.isub(least, i64(bound.length - 1)), build.iadd(most, i64(1))
            low, high = build.greatest(low, i64(0)), build.least(high, extent)
            if self.frame.is_finite is not None:
                low = build.select(self.frame.is_finite, low, i64(0))
                high = build.select(self.frame.is_finite, high, extent)
            return low, high
        return i64(0), extent

    def in_rotation(self, loops: list[int], pointers: Pointers, sums: list[Value]) -> list[Value]:
        """An image's sum as several, to which the turns of the innermost loop are added in rotation."""
        build, partial = self.frame.build, self.frame.schedule.partial
        size = len(sums)
        *outer, inner = loops
        whole = self.frame.nest.extents[inner] // partial * partial

        def turn(at: Pointers, number_: int, several: list[Value]) -> None:
            own = slice(number_ * size, (number_ + 1) * size)
            several[own] = self.accumulated([], at, self.live, several[own])

        def down(rest: list[int], at: Pointers, several: list[Value]) -> list[Value]:
            if rest:
                loop, *others = rest

                def next_(i: Value, *carried: Value) -> list[Value]:
                    return down(others, self.frame.move(at, loop, i), list(carried))

                return build.loop(0, self.frame.nest.extents[loop], next_, 1, several)

            def body(i: Value, *carried: Value) -> list[Value]:
                found = list(carried)
                for number_ in range(partial):
                    turn(self.frame.move(at, inner, build.iadd(i, i64(number_))), number_, found)
                return found

            several = build.loop(0, whole, body, partial, several)
            for number_ in range(self.frame.nest.extents[inner] - whole):
                turn(self.frame.move(at, inner, i64(whole + number_)), number_, several)
            return several

        several = down(outer, pointers, [number(0.0, self.frame.kind)] * (size * partial))
        while len(several) > size:
            half = len(several) // 2
            several = [build.fadd(a, b) for a, b in zip(several[:half], several[half:], strict=True)]
        return [build.fadd(total, value) for total, value in zip(sums, several, strict=True)]

    def across_lanes(self, unrolled: list[int], pointers: Pointers, sums: list[Value]) -> list[Value]:
        """The reduced loop across the lanes."""
        lane, lanes = self.frame.schedule.lane, self.frame.lanes
        if lane is None:
            raise ValueError("no loop goes across the lanes")
        extent = self.frame.nest.extents[lane]
        whole = extent // lanes * lanes
        full = [lanes] * len(self.places)

        def body(i: Value, *carried: Value) -> list[Value]:
            return self.accumulated(unrolled, self.frame.move(pointers, lane, i), full, list(carried))

        sums = self.frame.build.loop(0, whole, body, lanes, sums)
        if extent - whole:
            moved = self.frame.move(pointers, lane, i64(whole))
            sums = self.accumulated(unrolled, moved, [extent - whole] * len(self.places), sums)
        return sums

    def accumulated(
        self, unrolled: list[int], pointers: Pointers, live: Sequence[int], sums: list[Value]
    ) -> list[Value]:
        """One multiply-add for each place of the tile and each turn of the loops that are written out."""
        build, nest = self.frame.build, self.frame.nest
        sums = list(sums)
        for turns in itertools.product(*(range(nest.extents[loop]) for loop in unrolled)):
            step = dict(zip(unrolled, turns, strict=True))
            found: dict[tuple[Operand, int, int], Value] = {}
            for n, (point, block) in enumerate(self.places):
                values = [
                    self.factor(operand, pointers[operand], (point, step), block, live[block], found)
                    for operand in nest.inputs
                ]
                if not values:
                    sums[n] = build.fadd(sums[n], number(1.0, self.frame.kind))
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
        lane = self.frame.schedule.lane
        stride = operand.stride(lane) if lane is not None else 0
        across = 0 if self.frame.is_across else block * self.frame.lanes * stride
        at = sum(offset_of(operand, step) for step in steps) + across
        key = operand, at, live if stride else 0
        if key not in found:
            found[key] = self.frame.read(operand, pointer, at, live)
        return found[key]
