"""A plan as one module of LLVM IR: its kernels, and the function that runs whole steps.

Every thread of a job calls the entry with its own number.  A training step has two phases with a barrier
behind each.  In the first, threads take shards of the batch; in each shard a block of images goes forward,
through the loss and back, and adds its gradients to the shard's own sums.  In the second, threads take
parts of the parameters: the shards' sums are added in a fixed tree, gradients of large parameters are worked
out from all images at once, and the optimiser updates what it got.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, auto

from closedform.engine.buffers import TOGETHER, Buffer
from closedform.engine.emit import Kernel, emit
from closedform.engine.ir import (
    FLOAT,
    I32,
    I64,
    PTR,
    Builder,
    Module,
    Value,
    i32,
    i64,
    number,
    vector,
)
from closedform.engine.masks import emit_mask
from closedform.engine.nests import Nest
from closedform.engine.plan import RATE, Plan
from closedform.engine.schedule import Machine, schedule
from closedform.engine.shards import trailing_ones, trailing_zeros
from closedform.engine.updates import Rule, Scalar, emit_update

ENTRY = "run"
_PART = 4096  # parameters that are updated at a time
SHARED_OPERATIONS = 500_000  # of one image, from which a loop nest is shared between threads
SLOTS = 8  # int64 that a step counts in: shards taken, parts taken, whether it was stopped
SCALARS = 8  # float32 that the optimiser gets for a step


class Word(IntEnum):
    """What the words of a context are: numbers and addresses, each an int64."""

    STEPS = 0
    BATCH = auto()
    IMAGES = auto()  # of a block
    CAPACITY = auto()  # images that the batch's memory has room for
    THREADS = auto()
    SHARDS = auto()
    CHUNK = auto()  # shards that a thread takes at a time
    FIRST_STEP = auto()
    SEED = auto()
    OPTIMISER = auto()
    X = auto()
    ORDER = auto()
    TARGETS = auto()
    PARAMETERS = auto()
    GRADIENTS = auto()
    FIRST_MOMENT = auto()
    SECOND_MOMENT = auto()
    SCALARS = auto()
    BLOCK_MEMORY = auto()
    BLOCK_STRIDE = auto()  # elements from one thread's memory to the next
    BATCH_MEMORY = auto()
    SHARD_MEMORY = auto()
    SHARED_MEMORY = auto()
    WEIGHTS = auto()
    OUTPUTS = auto()
    LOSSES = auto()
    DY = auto()
    DX = auto()
    STOP = auto()
    SLOTS = auto()
    BARRIER = auto()
    YIELD = auto()
    SLEEP = auto()
    DONE = auto()  # steps that were finished


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
    return _Writer(plan, machine, attributes).write()


class _Writer:
    def __init__(self, plan: Plan, machine: Machine, attributes: str):
        self.plan, self.machine = plan, machine
        self.module = Module(machine.lanes, attributes)
        self.is_training = plan.mode.source != "none"
        self.kernels: dict[str, list[Kernel]] = {
            "take": self.emit("take", plan.take),
            "prepare": self.emit("prepare", plan.prepare),
            "block": [
                kernel
                for n, nest in enumerate(plan.block)
                for kernel in self.emit(f"block{n}_", [nest], parts=self.is_shared(nest))
            ],
            "put": self.emit("put", plan.put),
            "staged": self.emit("staged", plan.staged, parts=True, has_tree=True),
        }
        self.kernels["descended"] = [
            emit(self.module, f"descended{n}", nest, kernel.schedule, splits=True, has_tree=True)
            for n, (nest, kernel) in enumerate(zip(plan.descended, self.kernels["staged"], strict=True))
        ]

    def emit(
        self, group: str, nests: list[Nest], parts: bool = False, has_tree: bool = False
    ) -> list[Kernel]:
        return [
            emit(
                self.module,
                f"{group}{n}",
                nest,
                schedule(nest, self.machine, parts),
                splits=parts,
                has_tree=has_tree,
            )
            for n, nest in enumerate(nests)
        ]

    def is_shared(self, nest: Nest) -> bool:
        """Whether several threads may work on one image: where there are few images and much to do."""
        return not self.is_training and nest.is_product and nest.operations >= SHARED_OPERATIONS

    @property
    def can_share(self) -> bool:
        """Whether threads can work on one block together."""
        return any(kernel.units > 1 for kernel in self.kernels["block"])

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

    # ---- the context

    def word(self, build: Builder, context: Value, word: Word) -> Value:
        """A number of the context."""
        return build.load(build.moved(context, int(word), I64), I64)

    def pointer(self, build: Builder, context: Value, word: Word) -> Value:
        """An address of the context."""
        return build.convert("inttoptr", self.word(build, context, word), PTR)

    def base(self, build: Builder, context: Value, buffer: Buffer) -> Value | None:
        """Where a buffer lies that is the same for all blocks; None for others."""
        match buffer.kind:
            case "parameter":
                return build.moved(self.pointer(build, context, Word.PARAMETERS), buffer.offset)
            case "gradient":
                return build.moved(self.pointer(build, context, Word.GRADIENTS), buffer.offset)
            case "shared":
                return build.moved(self.pointer(build, context, Word.SHARED_MEMORY), buffer.offset)
            case "constant":
                return self.module.constant_array(self.plan.contents[buffer.name])
            case "batch":
                room = build.imul(self.word(build, context, Word.CAPACITY), i64(buffer.offset))
                return build.moved(self.pointer(build, context, Word.BATCH_MEMORY), room)
        return None

    # ---- a block of images

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

    def first_image(self, build: Builder, context: Value, shard: Value) -> Value:
        """Where a shard begins: whole groups of images that lie together, as equal in number as can be."""
        batch, shards = self.word(build, context, Word.BATCH), self.word(build, context, Word.SHARDS)
        together = i64(self.plan.together)
        units = build.idiv(build.iadd(batch, i64(self.plan.together - 1)), together)
        first = build.idiv(build.imul(shard, units), shards)
        return build.least(build.imul(first, together), batch)

    def draw_key(self, build: Builder, context: Value) -> tuple[Value, Value]:
        """The seed, and the number of the first step."""
        return self.word(build, context, Word.SEED), self.word(build, context, Word.FIRST_STEP)

    # ---- parts of the parameters

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

    def place(self, build: Builder, context: Value) -> Callable[[str], Value]:
        """Where buffers lie that are the same for all blocks."""

        def find(name: str) -> Value:
            base = self.base(build, context, self.plan.buffers[name])
            if base is None:
                raise ValueError(f"{name} is there only while its block runs")
            return base

        return find

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

    def chains(self) -> list[list[Kernel]]:
        """The kernels over parameters alone, those together that hand a buffer on."""
        found: list[tuple[set[str], list[Kernel]]] = []
        for kernel in self.kernels["prepare"]:
            names = {n for n in kernel.nest.buffers if self.plan.buffers[n].kind == "shared"}
            linked = [chain for chain in found if chain[0] & names]
            chain = (names.union(*(c[0] for c in linked)), [k for c in linked for k in c[1]] + [kernel])
            found = [c for c in found if c not in linked] + [chain]
        return [kernels for _, kernels in found]

    # ---- whole steps

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
