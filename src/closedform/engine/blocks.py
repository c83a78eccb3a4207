"""The function of a block of images: brought in, forward, through the loss and back, given out."""

from __future__ import annotations

import math
from collections.abc import Callable

from closedform.engine.buffers import Buffer
from closedform.engine.context import Word
from closedform.engine.emit import Kernel
from closedform.engine.ir import I64, PTR, Builder, Value, i64
from closedform.engine.masks import emit_mask
from closedform.engine.writer import Writer


class BlockWriter(Writer):
    """Writes the functions of a block."""

    def write_block(self, is_shared: bool = False) -> None:
        """The function of a block of images: run by one thread, or by all of them together."""
        plan, module = self.plan, self.module
        parameters = [(PTR, "context"), (PTR, "memory")]
        words = ("first", "count", "step", "thread", "low", "high")
        parameters += [(I64, word) for word in words]
        build = Builder(module, "shared_block" if is_shared else "block", parameters)
        context, memory, first, count, step, thread, low, high = build.parameters
        room = self.word(build, context, Word.IMAGES)
        sums = self.pointer(build, context, Word.SHARD_MEMORY)
        batch = self.word(build, context, Word.BATCH)
        number_ = build.iadd(build.imul(step, batch), first)
        order = self.pointer(build, context, Word.ORDER)
        found: dict[str, Value] = {}

        def outside(buffer: Buffer, image: Value) -> Value:
            word = {
                "x": Word.X,
                "targets": Word.TARGETS,
                "outputs": Word.OUTPUTS,
                "losses": Word.LOSSES,
                "dy": Word.DY,
                "dx": Word.DX,
            }[buffer.kind]
            base = self.pointer(build, context, word)
            return build.moved(base, build.imul(image, i64(math.prod(buffer.shape))))

        def resolve(name: str) -> Value:
            if name not in found:
                buffer = plan.buffers[name]
                base = self.base(build, context, buffer)
                if buffer.kind == "batch" and base is not None:
                    base = build.moved(base, build.imul(first, i64(buffer.size)))
                elif buffer.kind == "block":
                    base = build.moved(memory, build.imul(room, i64(buffer.offset)))
                elif buffer.kind == "shard":
                    base = build.moved(sums, buffer.offset)
                elif buffer.kind == "weights":
                    base = build.moved(self.pointer(build, context, Word.WEIGHTS), first)
                if base is None:
                    raise ValueError(f"{name} has no place in a block")
                found[name] = base
            return found[name]

        for buffer in plan.buffers.values():
            if buffer.kind not in ("x", "targets", "outputs", "losses", "dy", "dx", "rate"):
                resolve(buffer.name)

        # lanes that have no image of their own hold the block's last one, so that all of them can be read
        together = plan.together
        groups = build.idiv(build.iadd(count, i64(together - 1)), i64(together))
        filled = build.imul(groups, i64(together))
        last = build.isub(count, i64(1))

        def one_by_one(kernels: list[Kernel], stop: Value) -> None:
            if not kernels:
                return

            def image(i: Value) -> None:
                at = build.iadd(number_, build.least(i, last))
                chosen = at
                if any(plan.buffers[n].kind in ("x", "targets") for k in kernels for n in k.nest.buffers):
                    chosen = build.load(build.moved(order, at, I64), I64)

                def place(name: str) -> Value:
                    buffer = plan.buffers[name]
                    if buffer.kind in ("x", "targets"):
                        return outside(buffer, chosen)
                    if buffer.kind in ("outputs", "losses", "dy", "dx"):
                        return outside(buffer, at)
                    if buffer.together == 1:
                        return build.moved(resolve(name), build.imul(i, i64(buffer.size)))
                    group = build.imul(build.idiv(i, i64(buffer.together)), i64(buffer.size))
                    lane = build.iremainder(i, i64(buffer.together))
                    return build.moved(resolve(name), build.iadd(group, lane))

                for kernel in kernels:
                    kernel.call(build, place, i64(1))

            build.loop(i64(0), stop, image)

        def alone(body: Callable[[], None]) -> None:
            """What one thread does while the others wait."""
            if not is_shared:
                body()
                return
            build.when(build.icompare("eq", thread, i64(0)), body)
            build.call_own("barrier", context)

        def run(kernel: Kernel, turns: Value) -> None:
            if plan.buffers[kernel.nest.out.buffer].kind != "shard":
                kernel.call(build, resolve, turns)
                return
            build.loop(low, high, lambda s: in_shard(kernel, s))

        def in_shard(kernel: Kernel, s: Value) -> None:
            """Add what a shard has of the block's images to the shard's sums."""
            together = kernel.nest.together
            begin, end = (self.first_image(build, context, n) for n in (s, build.iadd(s, i64(1))))
            begin = build.select(build.icompare("sgt", begin, first), begin, first)
            end = build.least(end, build.iadd(first, count))
            ahead = build.isub(begin, first)

            def place(name: str) -> Value:
                buffer = plan.buffers[name]
                if buffer.kind == "shard":
                    return build.moved(resolve(name), build.imul(s, i64(plan.shard_size)))
                if buffer.kind in ("block", "batch"):
                    skipped = build.idiv(ahead, i64(buffer.together))
                    return build.moved(resolve(name), build.imul(skipped, i64(buffer.size)))
                return build.moved(resolve(name), ahead) if buffer.kind == "weights" else resolve(name)

            here = build.isub(end, begin)
            turns = build.idiv(build.iadd(here, i64(together - 1)), i64(together))
            is_any = build.icompare("sgt", here, i64(0))
            build.when(is_any, lambda: kernel.call(build, place, turns))

        alone(lambda: one_by_one(self.kernels["take"], filled))
        for name, layer, drop in plan.draws:
            key = self.draw_key(build, context)
            where = {"first": first, "count": filled, "step": step, "layer": i64(layer)}
            emit_mask(self.module, build, plan.buffers[name], resolve(name), key, where, drop)
        threads = self.word(build, context, Word.THREADS)
        for kernel in self.kernels["block"]:
            turns = groups if kernel.nest.together > 1 else count
            if is_shared and kernel.units:
                units = i64(kernel.units)
                after = build.iadd(thread, i64(1))
                part = tuple(build.idiv(build.imul(units, t), threads) for t in (thread, after))
                kernel.call(build, resolve, turns, (part[0], part[1]))
                build.call_own("barrier", context)
            else:
                alone(lambda kernel=kernel, turns=turns: run(kernel, turns))  # type: ignore[misc]
        alone(lambda: one_by_one(self.kernels["put"], count))
        build.finish()

    def draw_key(self, build: Builder, context: Value) -> tuple[Value, Value]:
        """The seed, and the number of the first step."""
        return self.word(build, context, Word.SEED), self.word(build, context, Word.FIRST_STEP)
