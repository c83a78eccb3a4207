"""The second phase of a step: gradients of a part of the parameters, and their update."""

from __future__ import annotations

import math
from collections.abc import Callable

from closedform.engine.buffers import TOGETHER, Buffer
from closedform.engine.context import SCALARS, Word
from closedform.engine.emit import Kernel
from closedform.engine.ir import FLOAT, I64, PTR, Builder, Value, i64, number, vector
from closedform.engine.plan import RATE
from closedform.engine.shards import trailing_ones, trailing_zeros
from closedform.engine.updates import Rule, Scalar
from closedform.engine.writer import Writer

_PART = 4096  # parameters that are updated at a time


class PartWriter(Writer):
    """Writes the functions of a part, and of the sums over shards."""

    parts = 0  # how many there are, once `write_parts` is done

    @property
    def small(self) -> list[tuple[Buffer, int, int]]:
        """Gradients that shards hold: the buffer, its first parameter, how many there are."""
        plan = self.plan
        starts = {name: buffer.offset for name, buffer in plan.buffers.items() if buffer.kind == "parameter"}
        found = []
        for buffer in plan.buffers.values():
            if buffer.kind == "shard":
                layer, own = buffer.tensor.split(".", 1)
                found.append((buffer, starts[f"{layer}.{own.removeprefix('d')}"], math.prod(buffer.shape)))
        return found

    def write_parts(self) -> None:
        """A function that does one part of the second phase, by number."""
        plan = self.plan
        for name, size in (("reduce", 1), ("reduce_together", TOGETHER)):
            self.write_reduce(name, size)
        build = Builder(self.module, "part", [(PTR, "context"), (I64, "number"), (I64, "step")])
        context, part, step = build.parameters
        batch = self.word(build, context, Word.BATCH)
        shards = self.word(build, context, Word.SHARDS)
        start = 0

        def numbered(units: int, body: Callable[[Value], None]) -> None:
            nonlocal start
            own = build.isub(part, i64(start))
            is_here = build.both(
                build.icompare("sge", part, i64(start)), build.icompare("slt", part, i64(start + units))
            )
            build.when(is_here, lambda: body(own))
            start += units

        scalars = self.pointer(build, context, Word.SCALARS)
        scalars = build.moved(scalars, build.imul(step, i64(SCALARS)))
        rule = self.word(build, context, Word.OPTIMISER)
        # plain gradient descent needs no gradient but the one in the register
        flag = build.allocate(I64)
        build.store(i64(0), flag)

        def without_decay() -> None:
            decay = build.load(build.moved(scalars, int(Scalar.DECAY)), FLOAT)
            build.store(build.convert("zext", build.compare("oeq", decay, number(0.0)), I64), flag)

        build.when(build.icompare("eq", rule, i64(int(Rule.SGD))), without_decay)
        is_plain = build.icompare("ne", build.load(flag, I64), i64(0))
        find = self.place(build, context)

        def place(name: str) -> Value:
            return build.moved(scalars, int(Scalar.RATE)) if name == RATE else find(name)

        pairs = zip(self.kernels["staged"], self.kernels["descended"], strict=True)
        for kernel, plain in pairs:

            def staged(own: Value, kernel: Kernel = kernel, plain: Kernel = plain) -> None:
                out = plan.buffers[kernel.nest.out.buffer]
                size = math.prod(out.shape)
                after = build.iadd(own, i64(1))

                def written() -> None:
                    kernel.call(build, place, batch, (own, after), shards)
                    each = i64(self.entries_of_unit(kernel, size))
                    low = build.imul(own, each)
                    high = build.least(build.imul(after, each), i64(size))
                    self.update(build, context, out.offset, low, high, step)

                build.when(is_plain, lambda: plain.call(build, place, batch, (own, after), shards))
                build.when(build.opposite(is_plain), written)

            numbered(kernel.units, staged)
        for buffer, first, size in self.small:

            def summed(own: Value, buffer: Buffer = buffer, first: int = first, size: int = size) -> None:
                low = build.imul(own, i64(_PART))
                high = build.least(build.iadd(low, i64(_PART)), i64(size))
                name = "reduce" if buffer.together == 1 else "reduce_together"
                build.call_own(name, context, i64(buffer.offset), i64(first), low, high)
                self.update(build, context, first, low, high, step)

            numbered(math.ceil(size / _PART), summed)
        self.parts = start
        build.finish()

    def entries_of_unit(self, kernel: Kernel, size: int) -> int:
        """How many entries, one after the other, a unit of a staged kernel writes."""
        loop = next(k for k in kernel.schedule.outer if k >= 0)
        each = kernel.schedule.size(loop) * abs(kernel.nest.out.strides[loop])
        if abs(kernel.nest.out.strides[loop]) * kernel.nest.extents[loop] != size:
            raise ValueError(f"{kernel.nest.label} is not split by its outermost axis")
        return each

    def update(
        self, build: Builder, context: Value, first: int, low: Value, high: Value, step: Value
    ) -> None:
        """Update a range of the parameters that begin at `first`."""
        bounds = (build.iadd(bound, i64(first)) for bound in (low, high))
        build.call_own("update", context, *bounds, step)

    def write_reduce(self, name: str, together: int) -> None:
        """Add the shards' sums of a range of parameters in a fixed tree; images side by side come first."""
        lanes = self.machine.lanes if together == 1 else together
        build = Builder(
            self.module,
            name,
            [(PTR, "context"), (I64, "offset"), (I64, "start"), (I64, "low"), (I64, "high")],
        )
        context, offset, start, low, high = build.parameters
        memory = build.moved(
            build.moved(self.pointer(build, context, Word.SHARD_MEMORY), offset),
            build.imul(low, i64(together)),
        )
        out = build.moved(build.moved(self.pointer(build, context, Word.GRADIENTS), start), low)
        shards = self.word(build, context, Word.SHARDS)
        count = build.isub(high, low)

        def entry(kind: str) -> Callable[[Value], None]:
            stack = build.allocate(kind, 8)

            def body(i: Value) -> None:
                here = build.moved(memory, build.imul(i, i64(together)))

                def shard(s: Value) -> None:
                    value = build.load(build.moved(here, build.imul(s, i64(self.plan.shard_size))), kind)
                    done = build.convert("zext", trailing_ones(build, s), I64)

                    def level(at: Value, carried: Value) -> list[Value]:
                        return [build.fadd(build.load(build.moved(stack, at, kind), kind), carried)]

                    value = build.loop(i64(0), done, level, 1, [value])[0]
                    build.store(value, build.moved(stack, done, kind))

                build.loop(i64(0), shards, shard)
                top = trailing_zeros(build, shards)
                total = build.load(build.moved(stack, top, kind), kind)
                build.store(build.lane_sum(total) if together > 1 else total, build.moved(out, i))

            return body

        if together > 1:
            build.loop(i64(0), count, entry(vector(FLOAT, lanes)))
        else:
            whole = build.imul(build.idiv(count, i64(lanes)), i64(lanes))
            build.loop(i64(0), whole, entry(vector(FLOAT, lanes)), lanes)
            if lanes > 1:
                build.loop(whole, count, entry(FLOAT))
        build.finish()
