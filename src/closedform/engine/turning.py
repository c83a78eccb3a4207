"""Copies whose rows become columns, as code: square blocks are turned in registers."""

from __future__ import annotations

from collections.abc import Sequence

from closedform.engine.frame import Frame, Pointers
from closedform.engine.ir import Builder, Value, i64, lane_mask, number


def write_turned(frame: Frame, pointers: Pointers, live: int) -> None:
    """Copy blocks of rows, a vector each, so that their columns become vectors."""
    build, nest, lanes = frame.build, frame.nest, frame.lanes
    loop, lane = frame.schedule.tile[0][0], frame.schedule.lane
    (source,) = nest.inputs
    if lane is None:
        raise ValueError("a copy without vectors is not turned")
    row, column = source.strides[lane], nest.out.strides[loop]

    def block(at: Pointers, long: int) -> None:
        rows = []
        for number_ in range(lanes):
            place = build.moved(at[source], number_ * row)
            if number_ >= live:
                rows.append(Value("poison", frame.kind))
            elif long == lanes:
                rows.append(build.load(place, frame.kind))
            else:
                rows.append(build.load_masked(place, lane_mask(lanes, long), frame.kind))
        allowed = frame.allowed(at, live)
        for number_, value in enumerate(transposed(build, rows)[:long]):
            if allowed is not None:
                value = build.select(allowed, value, number(0.0, frame.kind))
            frame.write_out(nest.out, value, at[nest.out], number_ * column, live)

    extent = nest.extents[loop]
    whole = extent // lanes * lanes
    build.loop(0, whole, lambda i: block(frame.move(pointers, loop, i), lanes), lanes)
    if extent - whole:
        block(frame.move(pointers, loop, i64(whole)), extent - whole)


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
