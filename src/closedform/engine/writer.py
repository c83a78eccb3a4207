"""What all code of a program needs: its kernels, and where numbers and buffers are found."""

from __future__ import annotations

from collections.abc import Callable

from closedform.engine.buffers import Buffer
from closedform.engine.context import Word
from closedform.engine.emit import Kernel, emit
from closedform.engine.ir import I64, PTR, Builder, Module, Value, i64
from closedform.engine.nests import Nest
from closedform.engine.plan import Plan
from closedform.engine.schedule import Machine, schedule

SHARED_OPERATIONS = 500_000  # of one image, from which a loop nest is shared between threads


class Writer:
    """The module of a plan, with the functions of all its nests.

    Parameters
    ----------
    plan
        What runs.
    machine
        Vector lanes and registers.
    attributes
        Of every function.
    """

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

    def place(self, build: Builder, context: Value) -> Callable[[str], Value]:
        """Where buffers lie that are the same for all blocks."""

        def find(name: str) -> Value:
            base = self.base(build, context, self.plan.buffers[name])
            if base is None:
                raise ValueError(f"{name} is there only while its block runs")
            return base

        return find

    def first_image(self, build: Builder, context: Value, shard: Value) -> Value:
        """Where a shard begins: whole groups of images that lie together, as equal in number as can be."""
        batch, shards = self.word(build, context, Word.BATCH), self.word(build, context, Word.SHARDS)
        together = i64(self.plan.together)
        units = build.idiv(build.iadd(batch, i64(self.plan.together - 1)), together)
        first = build.idiv(build.imul(shard, units), shards)
        return build.least(build.imul(first, together), batch)
