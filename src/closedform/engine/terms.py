"""What is worked out term by term as code: point-wise expressions, sums of them, maxima."""

from __future__ import annotations

import math
from collections.abc import Sequence

from closedform.engine.frame import Frame, Point, Pointers, offset_of, points_of
from closedform.engine.ir import Value, i64, integer, number, vector
from closedform.engine.nests import IMAGES

_WINDOW = 16  # maxima over so many entries are written out


def write_terms(frame: Frame, pointers: Pointers, live: int) -> None:
    build, nest = frame.build, frame.nest

    def guarded(at: Pointers) -> Value:
        value, allowed = frame.term(at, live), frame.allowed(at, live)
        return value if allowed is None else build.select(allowed, value, number(0.0, frame.kind))

    def reduce(loops: list[int], at: Pointers, total: Value) -> Value:
        if not loops:
            return build.fadd(total, guarded(at))
        loop, *rest = loops
        stop = frame.count if loop == IMAGES else i64(nest.extents[loop])

        def body(i: Value, carried: Value) -> list[Value]:
            return [reduce(rest, frame.move(at, loop, i), carried)]

        return build.loop(i64(0), stop, body, 1, [total])[0]

    loops = list(frame.schedule.reduced)
    value = reduce(loops, pointers, number(0.0, frame.kind)) if loops else guarded(pointers)
    if nest.factor != 1:
        value = build.fmul(value, number(nest.factor, frame.kind))
    if nest.accumulate:
        value = build.fadd(frame.read(nest.out, pointers[nest.out], 0, live), value)
    value = frame.finished(value, pointers, {}, 0, live)
    frame.write_out(nest.out, value, pointers[nest.out], 0, live)


def write_extreme(frame: Frame, pointers: Pointers, live: int) -> None:
    build, nest = frame.build, frame.nest
    loops = list(nest.reduced)
    turns = math.prod(nest.extents[loop] for loop in loops)
    index_kind = vector("i32", frame.lanes)
    best = number(-math.inf, frame.kind)
    place = integer(-1, index_kind)
    is_first = nest.reduction == "first"
    unrolled = turns <= _WINDOW

    def better(value: Value, allowed: Value | None, at: Value, best: Value, place: Value) -> list[Value]:
        # a NaN wins over every number and over no other NaN; what comes first wins among equals
        takes = build.both(
            build.compare("ugt", value, best), build.compare("ord", best, number(0.0, frame.kind))
        )
        if is_first:
            takes = build.either(takes, build.icompare("eq", place, integer(-1, index_kind)))
        if allowed is not None:
            takes = build.both(takes, allowed)
        chosen = build.select(takes, value, best)
        return [chosen, build.select(takes, at, place) if is_first else place]

    if unrolled:
        for turn, step in enumerate(points_of(nest, loops)):
            value, allowed = frame.term(pointers, live, step), frame.allowed(pointers, live, step)
            if turn == 0 and allowed is None:
                best, place = value, integer(0, index_kind)
            else:
                best, place = better(value, allowed, integer(turn, index_kind), best, place)
    else:

        def search(rest: list[int], at: Pointers, turn: Value, carried: Sequence[Value]) -> list[Value]:
            if not rest:
                where = build.splat(build.convert("trunc", turn, "i32"), frame.lanes)
                return better(frame.term(at, live), frame.allowed(at, live), where, carried[0], carried[1])
            loop, *inner = rest

            def body(i: Value, *values: Value) -> list[Value]:
                here = build.iadd(build.imul(turn, i64(nest.extents[loop])), i)
                return search(inner, frame.move(at, loop, i), here, values)

            return build.loop(0, nest.extents[loop], body, 1, list(carried))

        best, place = search(loops, pointers, i64(0), [best, place])
    if not is_first:
        value = build.fmul(best, number(nest.factor, frame.kind)) if nest.factor != 1 else best
        if nest.accumulate:
            value = build.fadd(frame.read(nest.out, pointers[nest.out], 0, live), value)
        frame.write_out(nest.out, frame.finished(value, pointers, {}, 0, live), pointers[nest.out], 0, live)
        return
    one = number(nest.factor, frame.kind)

    def mark(at: Pointers, step: Point, turn: Value) -> None:
        value = build.select(build.icompare("eq", place, turn), one, number(0.0, frame.kind))
        if nest.accumulate:
            value = build.fadd(frame.read(nest.out, at[nest.out], offset_of(nest.out, step), live), value)
        value = frame.finished(value, at, step, 0, live)
        frame.write_out(nest.out, value, at[nest.out], offset_of(nest.out, step), live)

    if unrolled:
        for turn, step in enumerate(points_of(nest, loops)):
            mark(pointers, step, integer(turn, index_kind))
        return

    def spread(rest: list[int], at: Pointers, turn: Value) -> None:
        if not rest:
            mark(at, {}, build.splat(build.convert("trunc", turn, "i32"), frame.lanes))
            return
        loop, *inner = rest

        def body(i: Value) -> None:
            here = build.iadd(build.imul(turn, i64(nest.extents[loop])), i)
            spread(inner, frame.move(at, loop, i), here)

        build.loop(0, nest.extents[loop], body)

    spread(loops, pointers, i64(0))
