"""Dropout's masks as code: the same numbers as `closedform.random.uniform`, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Mapping

from closedform.engine.buffers import Buffer
from closedform.engine.ir import FLOAT, I32, I64, PTR, Builder, Module, Value, i64, number
from closedform.random import Domain

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def emit_mask(
    module: Module,
    build: Builder,
    buffer: Buffer,
    pointer: Value,
    key: tuple[Value, Value],
    place: Mapping[str, Value],
    drop: float,
) -> None:
    """Fill a mask for the images of a block.

    Parameters
    ----------
    module, build
        Where the function of the mask and its call go.
    buffer, pointer
        The mask, and where its first image lies.
    key
        The seed, and the number of the first step of the job.
    place
        ``first`` and ``count`` of the images, the ``step`` of the job, the ``layer``.
    drop
        The probability of dropping.
    """
    name = "mask_" + "".join(c if c.isalnum() else "_" for c in buffer.name)
    inner = Builder(
        module,
        name,
        [(PTR, "out"), (I64, "seed"), (I64, "step"), (I64, "first"), (I64, "count"), (I64, "layer")],
    )
    out, seed, step, first, count, layer = inner.parameters
    words = tuple(inner.convert("trunc", value, I32) for value in (seed, inner.shift_right(seed, 32)))
    step32 = inner.convert("trunc", step, I32)
    domain = inner.convert("trunc", inner.iadd(layer, i64(int(Domain.DROPOUT) << 24)), I32)
    threshold, kept = number(drop), number(1 / (1 - drop))
    strides, shape = buffer.strides, buffer.shape
    entries = math.prod(shape[1:])
    axes = [axis for axis, extent in enumerate(shape) if extent > 1 and axis]

    def unit(i: Value) -> None:
        inner.loop(0, shape[0], lambda n: image(i, n))

    def image(i: Value, n: Value) -> None:
        at = inner.iadd(inner.imul(inner.iadd(first, i), i64(shape[0])), n)
        number32 = inner.convert("trunc", at, I32)
        group = inner.imul(inner.idiv(i, i64(buffer.together)), i64(buffer.size))
        lane = inner.iremainder(i, i64(buffer.together)) if buffer.together > 1 else i64(0)
        begin = inner.iadd(inner.imul(n, i64(strides[0])), i64(buffer.origin))
        base = inner.moved(out, inner.iadd(inner.iadd(group, lane), begin))

        def write(entry: Value, value: Value) -> None:
            """Store the number of an entry that is counted in row order."""
            offset: Value = i64(0)
            rest = entry
            for axis in reversed(axes):
                digit = inner.iremainder(rest, i64(shape[axis]))
                rest = inner.idiv(rest, i64(shape[axis]))
                offset = inner.iadd(offset, inner.imul(digit, i64(strides[axis])))
            stays = inner.compare("oge", value, threshold)
            inner.store(inner.select(stays, kept, number(0.0)), inner.moved(base, offset))

        def four(block: Value) -> None:
            counter = [inner.convert("trunc", block, I32), number32, step32, domain]
            drawn = _philox(inner, words, counter)
            for which, word in enumerate(drawn):
                entry = inner.iadd(inner.imul(block, i64(4)), i64(which))
                bits = inner.shift_right(word, 8)
                value = inner.fmul(inner.convert("uitofp", bits, FLOAT), number(2.0**-24))
                if entries % 4:
                    inside = inner.icompare("slt", entry, i64(entries))
                    inner.when(inside, lambda e=entry, v=value: write(e, v))  # type: ignore[misc]
                else:
                    write(entry, value)

        inner.loop(0, -(-entries // 4), four)

    inner.loop(i64(0), count, unit)
    inner.finish()
    now = build.iadd(key[1], place["step"])
    build.call_own(name, pointer, key[0], now, place["first"], place["count"], place["layer"])


def _philox(build: Builder, key: tuple[Value, ...], counter: list[Value]) -> list[Value]:
    """Philox4x32-10."""
    a, b, c, d = counter
    for turn in range(_ROUNDS):
        keys = [
            build.emit(f"add i32 {word.name}, {_signed(turn * weyl)}", I32)
            for word, weyl in zip(key, _WEYL, strict=True)
        ]
        products = [
            build.emit(f"mul i64 {build.convert('zext', word, I64).name}, {multiplier}", I64)
            for word, multiplier in zip((a, c), _MULTIPLIERS, strict=True)
        ]
        low = [build.convert("trunc", product, I32) for product in products]
        high = [build.convert("trunc", build.shift_right(product, 32), I32) for product in products]
        a, b, c, d = (
            build.xor(build.xor(high[1], b), keys[0]),
            low[1],
            build.xor(build.xor(high[0], d), keys[1]),
            low[0],
        )
    return [a, b, c, d]


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
