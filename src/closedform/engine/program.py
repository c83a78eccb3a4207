"""A plan as one module of LLVM IR: its kernels, and the function that runs whole steps.

Every thread of a job calls the entry with its own number.  A training step has two phases with a barrier
behind each.  In the first, threads take shards of the batch; in each shard a block of images goes forward,
through the loss and back, and adds its gradients to the shard's own sums.  In the second, threads take
parts of the parameters: the shards' sums are added in a fixed tree, gradients of large parameters are worked
out from all images at once, and the optimiser updates what it got.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from closedform.engine.blocks import BlockWriter
from closedform.engine.context import ENTRY, SLOTS, Word
from closedform.engine.emit import Kernel
from closedform.engine.ir import I32, I64, PTR, Builder, Module, Value, i32, i64
from closedform.engine.parts import PartWriter
from closedform.engine.plan import Plan
from closedform.engine.schedule import Machine
from closedform.engine.updates import emit_update


@dataclass(frozen=True)
class Program:
    """The text of a module, and the kernels in it by what they are for."""

    text: str
    kernels: dict[str, list[Kernel]]


def program(plan: Plan, machine: Machine, attributes: str) -> Program:
    """Write a plan's module.

    Parameters
    ----------
    plan
        What runs.
    machine
        Vector lanes and registers.
    attributes
        Of every function.
    """
    return _ProgramWriter(plan, machine, attributes).write()


class _ProgramWriter(BlockWriter, PartWriter):
    """Writes the entry, which runs whole steps."""

    def write(self) -> Program:
        self.write_block()
        if self.can_share:
            self.write_block(is_shared=True)
        if self.is_training:
            emit_update(self.module, self.word)
            self.write_parts()
        write_barrier(self.module, self.word)
        self.write_entry()
        return Program(self.module.text, self.kernels)

    def chains(self) -> list[list[Kernel]]:
        """The kernels over parameters alone, those together that hand a buffer on."""
        found: list[tuple[set[str], list[Kernel]]] = []
        for kernel in self.kernels["prepare"]:
            names = {n for n in kernel.nest.buffers if self.plan.buffers[n].kind == "shared"}
            linked = [chain for chain in found if chain[0] & names]
            chain = (names.union(*(c[0] for c in linked)), [k for c in linked for k in c[1]] + [kernel])
            found = [c for c in found if c not in linked] + [chain]
        return [kernels for _, kernels in found]

    def write_entry(self) -> None:
        build = Builder(self.module, ENTRY, [(PTR, "context"), (I64, "thread")], is_entry=True)
        context, thread = build.parameters
        steps = self.word(build, context, Word.STEPS)
        batch = self.word(build, context, Word.BATCH)
        images = self.word(build, context, Word.IMAGES)
        shards = self.word(build, context, Word.SHARDS)
        slots = self.pointer(build, context, Word.SLOTS)
        stop = self.pointer(build, context, Word.STOP)
        stride = self.word(build, context, Word.BLOCK_STRIDE)
        memory = build.moved(self.pointer(build, context, Word.BLOCK_MEMORY), build.imul(thread, stride))

        def slot(step: Value, which: int) -> Value:
            return build.moved(slots, build.iadd(build.imul(step, i64(SLOTS)), i64(which)), I64)

        def take(step: Value, which: int, total: Value, body: Callable[[Value], None]) -> None:
            """Take numbers below a total until there are no more."""
            again, inside, done = build.label("again"), build.label("inside"), build.label("over")
            build.jump(again)
            build.begin(again)
            got = build.emit(f"atomicrmw add ptr {slot(step, which).name}, i64 1 seq_cst", I64)
            build.branch(build.icompare("slt", got, total), inside, done)
            build.begin(inside)
            body(got)
            build.jump(again)
            build.begin(done)

        def is_wanted() -> Value:
            flag = build.emit(f"load atomic i32, ptr {stop.name} monotonic, align 4", I32)
            return build.icompare("eq", flag, i32(0))

        def blocks(step: Value, first: Value, last: Value, low: Value, high: Value) -> None:
            """The images of a range, block by block; what is no longer wanted is left out."""
            again, inside, skipped, done = (build.label(word) for word in ("again", "inside", "skip", "over"))
            place = build.allocate(I64)
            build.store(first, place)
            build.jump(again)
            build.begin(again)
            at = build.load(place, I64)
            test = build.label("test")
            build.branch(build.icompare("slt", at, last), test, done)
            build.begin(test)
            build.branch(is_wanted(), inside, skipped)
            build.begin(skipped)
            build.do(f"store atomic i64 1, ptr {slot(step, 2).name} release, align 8")
            build.jump(done)
            build.begin(inside)
            after = build.least(build.iadd(at, images), last)
            size = build.isub(after, at)
            build.call_own("block", context, memory, at, size, step, thread, low, high)
            build.store(after, place)
            build.jump(again)
            build.begin(done)

        def first_phase(step: Value) -> None:
            if not self.is_training:
                total = build.idiv(build.isub(build.iadd(batch, images), i64(1)), images)

                def part(got: Value) -> None:
                    start = build.imul(got, images)
                    last = build.least(build.iadd(start, images), batch)
                    blocks(step, start, last, i64(0), i64(0))

                if not self.can_share:
                    take(step, 0, total, part)
                    return
                is_few = build.icompare("slt", total, self.word(build, context, Word.THREADS))
                shared, apart, over = build.label("shared"), build.label("apart"), build.label("over")
                build.branch(is_few, shared, apart)
                build.begin(shared)
                one = self.pointer(build, context, Word.BLOCK_MEMORY)

                def together_(got: Value) -> None:
                    start = build.imul(got, images)
                    size = build.least(images, build.isub(batch, start))
                    none = i64(0)
                    build.call_own("shared_block", context, one, start, size, step, thread, none, none)

                build.loop(i64(0), total, together_)
                build.jump(over)
                build.begin(apart)
                take(step, 0, total, part)
                build.jump(over)
                build.begin(over)
                return

            chunk = self.word(build, context, Word.CHUNK)

            def several(got: Value) -> None:
                low = build.imul(got, chunk)
                high = build.least(build.iadd(low, chunk), shards)
                if self.plan.shard_size:
                    size = i64(self.plan.shard_size)
                    sums = self.pointer(build, context, Word.SHARD_MEMORY)
                    own = build.moved(sums, build.imul(low, size))
                    length = build.imul(build.isub(high, low), i64(4 * self.plan.shard_size))
                    build.module.declare("llvm.memset.p0.i64", "void", [PTR, "i8", I64, "i1 immarg"])
                    build.do(
                        f"call void @llvm.memset.p0.i64(ptr {own.name}, i8 0, i64 {length.name}, i1 false)"
                    )
                first, last = (self.first_image(build, context, s) for s in (low, high))
                blocks(step, first, last, low, high)

            items = build.idiv(build.isub(build.iadd(shards, chunk), i64(1)), chunk)
            take(step, 0, items, several)

        def prepare(step: Value) -> None:
            if not self.plan.prepare:
                return

            def one(got: Value) -> None:
                for n, chain in enumerate(chains):

                    def run(chain: list[Kernel] = chain) -> None:
                        for kernel in chain:
                            kernel.call(build, self.place(build, context), i64(1))

                    build.when(build.icompare("eq", got, i64(n)), run)

            chains = self.chains()
            take(step, 3, i64(len(chains)), one)
            build.call_own("barrier", context)

        def body(step: Value) -> None:
            before = build.isub(step, i64(1))
            is_first = build.icompare("eq", step, i64(0))
            checked = build.select(is_first, step, before)
            stopped = build.load(slot(checked, 2), I64)
            # the first step of a job has nothing before it that could have been stopped
            goes_on = build.either(is_first, build.icompare("eq", stopped, i64(0)))
            build.when(goes_on, lambda: whole_step(step))

        def whole_step(step: Value) -> None:
            prepare(step)
            first_phase(step)
            build.call_own("barrier", context)
            finished = build.icompare("eq", build.load(slot(step, 2), I64), i64(0))

            def second() -> None:
                if self.is_training:
                    if self.parts:
                        take(step, 1, i64(self.parts), lambda got: build.call_own("part", context, got, step))
                    build.call_own("barrier", context)

                def done() -> None:
                    build.store(build.iadd(step, i64(1)), build.moved(context, int(Word.DONE), I64))

                build.when(build.icompare("eq", thread, i64(0)), done)

            build.when(finished, second)

        build.loop(i64(0), steps, body)
        build.finish()


def write_barrier(module: Module, word: Callable[[Builder, Value, Word], Value]) -> None:
    """Wait until every thread is here: turning on the spot first, then yielding, then in short sleeps."""
    build = Builder(module, "barrier", [(PTR, "context")])
    (context,) = build.parameters
    threads = word(build, context, Word.THREADS)

    def wait() -> None:
        place = build.convert("inttoptr", word(build, context, Word.BARRIER), PTR)
        before = build.emit(f"atomicrmw add ptr {place.name}, i64 1 seq_cst", I64)
        round_ = build.iadd(build.idiv(before, threads), i64(1))
        target = build.imul(round_, threads)
        turns = build.allocate(I64)
        build.store(i64(0), turns)
        again, waits, over = build.label("again"), build.label("waits"), build.label("over")
        build.jump(again)
        build.begin(again)
        now = build.emit(f"load atomic i64, ptr {place.name} acquire, align 8", I64)
        build.branch(build.icompare("slt", now, target), waits, over)
        build.begin(waits)
        turn = build.load(turns, I64)
        build.store(build.iadd(turn, i64(1)), turns)

        def rest() -> None:
            give = build.icompare("slt", turn, i64(20_500))
            function = build.select(give, word(build, context, Word.YIELD), word(build, context, Word.SLEEP))
            address = build.convert("inttoptr", function, PTR)
            known = build.icompare("ne", function, i64(0))
            build.when(known, lambda: build.do(f"call i32 {address.name}(i32 50)"))

        build.when(build.icompare("sgt", turn, i64(20_000)), rest)
        build.jump(again)
        build.begin(over)

    build.when(build.icompare("sgt", threads, i64(1)), wait)
    build.finish()
