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
    build, nest = frame.build, frame.nest
    points: list[Point] = [
        dict(zip(sizes, turns, strict=True))
        for turns in itertools.product(*(range(size) for size in sizes.values()))
    ]
    places = list(itertools.product(points, range(len(live))))
    zero = number(0.0, frame.kind)
    is_chained = nest.accumulate and nest.factor == 1 and not frame.is_across and frame.shards is None

    lane = frame.schedule.lane
    step = 0 if frame.is_across or lane is None else frame.lanes * nest.out.strides[lane]

    def out_at(point: Point, block: int) -> int:
        return offset_of(nest.out, point) + block * step

    sums = [
        frame.read(nest.out, pointers[nest.out], out_at(point, block), live[block]) if is_chained else zero
        for point, block in places
    ]
    if frame.shards is not None:
        sums = _in_tree(frame, pointers, places, live, sums)
    else:
        sums = _reduced(frame, list(frame.schedule.reduced), pointers, places, live, sums)
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


def _in_tree(
    frame: Frame,
    pointers: Pointers,
    places: Sequence[tuple[Point, int]],
    live: Sequence[int],
    zeros: Sequence[Value],
) -> list[Value]:
    """The sums over all images: in order inside a shard, shards in pairs, pairs in pairs."""
    build, shards = frame.build, frame.shards
    if shards is None:
        raise ValueError("the nest has no shards")
    size = len(zeros) * frame.lanes
    stack = build.allocate(FLOAT, _LEVELS * size)
    order = list(frame.schedule.reduced)

    def slot(level: Value, number_: int) -> Value:
        return build.moved(build.moved(stack, build.imul(level, i64(size))), number_ * frame.lanes)

    def shard(s: Value) -> None:
        first, last = shard_bounds(build, s, frame.count, shards)
        sums = _over_images(frame, first, last, order[1:], pointers, places, live, list(zeros))
        done = build.convert("zext", trailing_ones(build, s), I64)

        def level(at: Value, *values: Value) -> list[Value]:
            return [build.fadd(build.load(slot(at, n), frame.kind), value) for n, value in enumerate(values)]

        sums = build.loop(i64(0), done, level, 1, sums)
        for n, value in enumerate(sums):
            build.store(value, slot(done, n))

    build.loop(i64(0), shards, shard)
    top = trailing_zeros(build, shards)
    return [build.load(slot(top, n), frame.kind) for n in range(len(zeros))]


def _over_images(
    frame: Frame,
    first: Value,
    last: Value,
    order: list[int],
    pointers: Pointers,
    places: Sequence[tuple[Point, int]],
    live: Sequence[int],
    sums: list[Value],
) -> list[Value]:
    def body(i: Value, *carried: Value) -> list[Value]:
        return _reduced(frame, order, frame.move(pointers, IMAGES, i), places, live, list(carried))

    return frame.build.loop(first, last, body, 1, sums)


def _reduced(
    frame: Frame,
    loops: list[int],
    pointers: Pointers,
    places: Sequence[tuple[Point, int]],
    live: Sequence[int],
    sums: list[Value],
) -> list[Value]:
    """The sums after the reduced loops."""
    if loops and loops[0] == IMAGES:
        return _over_images(frame, i64(0), frame.count, loops[1:], pointers, places, live, sums)
    if len(loops) <= frame.schedule.unrolled:
        if frame.is_across:
            return _across_lanes(frame, loops, pointers, places, sums)
        return _accumulated(frame, loops, pointers, places, live, sums)
    loop, *rest = loops
    if frame.schedule.partial > 1 and len(loops) == len([k for k in frame.schedule.reduced if k != IMAGES]):
        return _in_rotation(frame, loops, pointers, places, live, sums)

    def body(i: Value, *carried: Value) -> list[Value]:
        return _reduced(frame, rest, frame.move(pointers, loop, i), places, live, list(carried))

    low, high = _turns(frame, loop, places)
    return frame.build.loop(low, high, body, 1, sums)


def _turns(frame: Frame, loop: int, places: Sequence[tuple[Point, int]]) -> tuple[Value, Value]:
    """The turns of a reduced loop: those that read nothing but a border of zeros are left out."""
    build, extent = frame.build, i64(frame.nest.extents[loop])
    for bound in used_bounds(frame.nest, frame.schedule.reduced, frame.schedule.lane):
        if bound.reduced != loop:
            continue
        at = frame.at.get(bound.loop, i64(0))
        offsets = [bound.start + bound.step * point.get(bound.loop, 0) for point, _ in places]
        begin = build.imul(at, i64(bound.step))
        least, most = (build.iadd(begin, i64(end(offsets))) for end in (min, max))
        if bound.sign > 0:
            low, high = build.isub(i64(0), most), build.isub(i64(bound.length), least)
        else:
            low, high = build.isub(least, i64(bound.length - 1)), build.iadd(most, i64(1))
        low, high = build.greatest(low, i64(0)), build.least(high, extent)
        if frame.is_finite is not None:
            low = build.select(frame.is_finite, low, i64(0))
            high = build.select(frame.is_finite, high, extent)
        return low, high
    return i64(0), extent


def _in_rotation(
    frame: Frame,
    loops: list[int],
    pointers: Pointers,
    places: Sequence[tuple[Point, int]],
    live: Sequence[int],
    sums: list[Value],
) -> list[Value]:
    """An image's sum as several, to which the turns of the innermost loop are added in rotation."""
    build, partial = frame.build, frame.schedule.partial
    size = len(sums)
    *outer, inner = loops
    whole = frame.nest.extents[inner] // partial * partial

    def turn(at: Pointers, number_: int, several: list[Value]) -> None:
        own = slice(number_ * size, (number_ + 1) * size)
        several[own] = _accumulated(frame, [], at, places, live, several[own])

    def down(rest: list[int], at: Pointers, several: list[Value]) -> list[Value]:
        if rest:
            loop, *others = rest

            def next_(i: Value, *carried: Value) -> list[Value]:
                return down(others, frame.move(at, loop, i), list(carried))

            return build.loop(0, frame.nest.extents[loop], next_, 1, several)

        def body(i: Value, *carried: Value) -> list[Value]:
            found = list(carried)
            for number_ in range(partial):
                turn(frame.move(at, inner, build.iadd(i, i64(number_))), number_, found)
            return found

        several = build.loop(0, whole, body, partial, several)
        for number_ in range(frame.nest.extents[inner] - whole):
            turn(frame.move(at, inner, i64(whole + number_)), number_, several)
        return several

    several = down(outer, pointers, [number(0.0, frame.kind)] * (size * partial))
    while len(several) > size:
        half = len(several) // 2
        several = [build.fadd(a, b) for a, b in zip(several[:half], several[half:], strict=True)]
    return [build.fadd(total, value) for total, value in zip(sums, several, strict=True)]


def _across_lanes(
    frame: Frame,
    unrolled: list[int],
    pointers: Pointers,
    places: Sequence[tuple[Point, int]],
    sums: list[Value],
) -> list[Value]:
    """The reduced loop across the lanes."""
    lane, lanes = frame.schedule.lane, frame.lanes
    if lane is None:
        raise ValueError("no loop goes across the lanes")
    extent = frame.nest.extents[lane]
    whole = extent // lanes * lanes

    def body(i: Value, *carried: Value) -> list[Value]:
        return _accumulated(
            frame, unrolled, frame.move(pointers, lane, i), places, [lanes] * len(places), list(carried)
        )

    sums = frame.build.loop(0, whole, body, lanes, sums)
    if extent - whole:
        moved = frame.move(pointers, lane, i64(whole))
        sums = _accumulated(frame, unrolled, moved, places, [extent - whole] * len(places), sums)
    return sums


def _accumulated(
    frame: Frame,
    unrolled: list[int],
    pointers: Pointers,
    places: Sequence[tuple[Point, int]],
    live: Sequence[int],
    sums: list[Value],
) -> list[Value]:
    """One multiply-add for each place of the tile and each turn of the loops that are written out."""
    build, nest = frame.build, frame.nest
    sums = list(sums)
    for turns in itertools.product(*(range(nest.extents[loop]) for loop in unrolled)):
        step = dict(zip(unrolled, turns, strict=True))
        found: dict[tuple[Operand, int, int], Value] = {}
        for n, (point, block) in enumerate(places):
            values = [
                _factor(frame, operand, pointers[operand], (point, step), block, live[block], found)
                for operand in nest.inputs
            ]
            if not values:
                sums[n] = build.fadd(sums[n], number(1.0, frame.kind))
            elif len(values) == 1:
                sums[n] = build.fadd(sums[n], values[0])
            else:
                product = values[0]
                for factor in values[1:-1]:
                    product = build.fmul(product, factor)
                sums[n] = build.fma(product, values[-1], sums[n])
    return sums


def _factor(
    frame: Frame,
    operand: Operand,
    pointer: Value,
    steps: tuple[Point, Point],
    block: int,
    live: int,
    found: dict[tuple[Operand, int, int], Value],
) -> Value:
    """A factor of a product, read once for all places of the tile that need it."""
    lane = frame.schedule.lane
    stride = operand.stride(lane) if lane is not None else 0
    across = 0 if frame.is_across else block * frame.lanes * stride
    at = sum(offset_of(operand, step) for step in steps) + across
    key = operand, at, live if stride else 0
    if key not in found:
        found[key] = frame.read(operand, pointer, at, live)
    return found[key]
