"""Jobs of compiled code run as a test wants them: any block size, any threads, memory of the test's own."""

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

import closedform as cf
from closedform.architecture import Architecture
from closedform.engine.building import Layout, layout_of
from closedform.engine.context import ENTRY, SCALARS, SLOTS, Word
from closedform.engine.jit import Library, compile_ir, host
from closedform.engine.passes import Mode
from closedform.engine.plan import Plan, plan
from closedform.engine.program import program
from closedform.engine.schedule import Machine
from closedform.engine.session import Memory, chunk_of
from closedform.engine.threads import shared
from closedform.engine.updates import Rule, Scalar

Arrays = dict[str, np.ndarray]
# name and array -> the same array where the test wants it to lie
Place = Callable[[str, np.ndarray], np.ndarray]

OUTPUT = Mode("none")
LOSS = Mode("loss", training=True, wrt_input=True)
PULLBACK = Mode("given", training=True, wrt_input=True)
ARENAS = ("block_memory", "batch_memory", "shard_memory", "shared_memory")


@dataclass(frozen=True)
class Batch:
    """What a step reads: images, and targets or the gradient in the output."""

    x: np.ndarray
    targets: np.ndarray
    dy: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


def batch_for(architecture: Architecture, count: int, seed: int = 0) -> Batch:
    """Random images, with targets that the loss takes and a gradient in the output."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, *architecture.input_shape)).astype(np.float32)
    dy = rng.normal(size=(count, *architecture.output_shape)).astype(np.float32)
    targets = rng.normal(size=dy.shape).astype(np.float32)
    if isinstance(architecture.loss, cf.SoftmaxCrossEntropy):
        classes = architecture.output_shape[0]
        targets = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, count)]
    elif isinstance(architecture.loss, cf.SigmoidBinaryCrossEntropy):
        targets = (targets > 0).astype(np.float32)
    return Batch(x, targets, dy)


def parameters_for(architecture: Architecture, seed: int = 0) -> Arrays:
    """Those that a new network has."""
    return dict(cf.Network.from_architecture(architecture, seed=seed, engine="reference").parameters)


class Compiled:
    """A network in a mode as machine code, from the plan on.

    Parameters
    ----------
    architecture, mode
        The network, and what is asked of it.
    width
        The target's name; None for the widest.
    change
        What is done to the plan before it is written as code.
    together, unit
        How many leading layers put images across the lanes, and how many images are one unit of work.
    """

    def __init__(
        self,
        architecture: Architecture,
        mode: Mode,
        width: str | None = None,
        change: Callable[[Plan], None] | None = None,
        *,
        together: int = 0,
        unit: int = 1,
    ):
        self.architecture, self.mode = architecture, mode
        target = host(width)
        machine = Machine(target.lanes, target.registers)
        self.plan = plan(architecture, mode, machine, together, unit)
        if change is not None:
            change(self.plan)
        self.program = program(self.plan, machine, target.attributes)
        self.library = Library(compile_ir(self.program.text, target), target)
        self.layout: Layout = layout_of(self.plan)

    @property
    def kernels(self) -> list:
        """All functions of the module that a loop nest became."""
        return [kernel for group in self.program.kernels.values() for kernel in group]

    def images(self, wanted: int | None) -> int:
        """How many images a block has at most: as many as are wanted, in whole groups."""
        together = self.layout.together
        return self.layout.images if wanted is None else -(-wanted // together) * together

    def packed(self, flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Views of what lies in the engine's layout, in public shapes where that needs no copy."""
        found = {}
        for key, (start, shape, order) in self.layout.parameters.items():
            inside = flat[start : start + math.prod(shape)].reshape([shape[axis] for axis in order])
            found[key] = inside.transpose(np.argsort(order)).reshape(shapes[key])
        return found

    def run(
        self,
        parameters: Mapping[str, np.ndarray],
        batch: Batch,
        *,
        threads: int = 1,
        images: int | None = None,
        chunk: int | None = None,
        steps: int = 1,
        rate: float | None = None,
        seed: int = 0,
        place: Place = lambda _, array: array,
    ) -> Arrays:
        """What the job gives: outputs, losses, dx, and gradients and parameters by key.

        Parameters
        ----------
        parameters
            By key, in public shapes.
        batch
            What the first step reads; each that follows begins one image further on.
        threads, images
            How many threads there are, and how many images a block has at most.
        chunk
            How many shards a thread takes at a time; as many as the engine would give it where it is None.
        steps
            How many steps.
        rate
            Of the gradient descent that ends a step; None for no update.
        seed
            Of dropout.
        place
            Where memory lies.
        """
        architecture, count = self.architecture, len(batch) // self.plan.unit
        layout = replace(self.layout, images=self.images(images))
        memory = Memory(layout, count, threads)
        arrays = dict(zip(ARENAS, (memory.block, memory.batch, memory.shard, memory.shared), strict=True))
        entries = max((start + math.prod(shape) for start, shape, _ in layout.parameters.values()), default=0)
        start = np.zeros(entries, np.float32)
        for key, (at, shape, order) in layout.parameters.items():
            values = np.reshape(parameters[key], shape).transpose(order)
            start[at : at + values.size] = values.ravel()
        arrays["parameters"] = start
        for name in ("gradients", "first_moment", "second_moment"):
            arrays[name] = np.zeros_like(start)
        order = np.concatenate([np.roll(np.arange(count), -step) for step in range(steps)])
        # a gradient is given for each image in the order in which they are read
        arrays |= {
            "x": batch.x.ravel(),
            "targets": batch.targets.ravel(),
            "dy": batch.dy.reshape(count, -1)[order].ravel(),
        }
        results = {
            "outputs": (steps * len(batch), *architecture.output_shape),
            "losses": (steps * count,),
            "dx": (steps * len(batch), *architecture.input_shape),
        }
        for name, shape in results.items():
            arrays[name] = np.zeros(math.prod(shape), np.float32)
        arrays["weights"] = np.zeros(memory.capacity, np.float32)
        arrays["weights"][:count] = np.float32(1) / np.float32(count)
        arrays["scalars"] = np.zeros(steps * SCALARS, np.float32)
        arrays["scalars"][Scalar.RATE :: SCALARS] = -(rate or 0)
        arrays["order"] = order
        arrays["slots"] = np.zeros(steps * SLOTS, np.int64)
        arrays["barrier"] = np.zeros(1, np.int64)
        arrays["stop"] = np.zeros(1, np.int32)
        arrays = {name: place(name, array) for name, array in arrays.items()}
        context = np.zeros(len(Word), np.int64)
        numbers = {
            "steps": steps,
            "batch": count,
            "images": memory.images,
            "capacity": memory.capacity,
            "threads": threads,
            "shards": memory.shards,
            "chunk": chunk or chunk_of(count, memory.shards, memory.images, threads),
            "seed": seed,
            "optimiser": Rule.NONE if rate is None else Rule.SGD,
            "block_stride": memory.block_stride,
            "yield": _yield(),
        }
        for name, value in (numbers | {name: array.ctypes.data for name, array in arrays.items()}).items():
            context[Word[name.upper()]] = value
        shared().run(self.library.address(ENTRY), context.ctypes.data, threads, arrays["stop"])
        if context[Word.DONE] != steps:
            raise AssertionError(f"{context[Word.DONE]} of {steps} steps were finished")
        found = {name: arrays[name].reshape(shape) for name, shape in results.items()}
        shapes = {key: np.shape(value) for key, value in parameters.items()}
        for kind in ("gradients", "parameters"):
            found |= {f"{kind}/{key}": view for key, view in self.packed(arrays[kind], shapes).items()}
        return {name: array.copy() for name, array in found.items()}


def _yield() -> int:
    """The address of what lets other threads run while one waits at a barrier; 0 where there is none."""
    try:
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
    except (OSError, AttributeError, TypeError):
        return 0
