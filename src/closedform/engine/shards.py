"""Code for shards: where each begins, and the fixed tree in which their sums are added.

Shards are numbered in order and there are a power of two.  The sum of a pair goes on as soon as both are
there: as many sums wait as the number of the next shard has bits that are 1.
"""

from __future__ import annotations

from closedform.engine.ir import I64, Builder, Value, i64


def shard_bounds(build: Builder, shard: Value, count: Value, shards: Value) -> tuple[Value, Value]:
    """The first image of a shard and of the next one: shards of equal size, or nearly."""
    first = build.idiv(build.imul(shard, count), shards)
    last = build.idiv(build.imul(build.iadd(shard, i64(1)), count), shards)
    return first, last


def trailing_ones(build: Builder, value: Value) -> Value:
    """How many of the lowest bits are 1."""
    inverse = build.xor(value, i64(-1))
    build.module.declare("llvm.cttz.i64", I64, [I64, "i1 immarg"])
    wide = build.emit(f"call i64 @llvm.cttz.i64(i64 {inverse.name}, i1 false)", I64)
    return build.convert("trunc", wide, "i32")


def trailing_zeros(build: Builder, value: Value) -> Value:
    """How many of the lowest bits are 0."""
    build.module.declare("llvm.cttz.i64", I64, [I64, "i1 immarg"])
    return build.emit(f"call i64 @llvm.cttz.i64(i64 {value.name}, i1 false)", I64)
