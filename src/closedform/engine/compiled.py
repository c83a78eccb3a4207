"""The compiled engine: a network's passes and whole training steps as machine code.

A network is planned and compiled once for each thing that is asked of it (its output; its gradients; the
pullback of its output) and the same code serves every batch size.  What is compiled is kept on disk.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.engine import cache
from closedform.engine.jit import Library, Target, compile_ir, host
from closedform.engine.passes import Mode
from closedform.engine.plan import Plan, plan
from closedform.engine.program import ENTRY, SCALARS, SLOTS, Word, program
from closedform.engine.schedule import Machine
from closedform.engine.threads import shared, thread_count
from closedform.formula.extents import Shape

Array = NDArray[np.float32]
_MOST_SHARDS = 16
_SHARD_IMAGES = 4
_SHORT = 4_000_000  # multiply-adds that a call does in under a millisecond


@dataclass(frozen=True)
class Layout:
    """What running compiled code needs to know of its plan: numbers that can be written as JSON.

    Attributes
    ----------
    images, together
        How many images a block has at most, and how many lie side by side.
    block, batch, shard, shared
        Elements of memory: of a block for each of its images, of an image of the batch, of a shard, of all.
    fills
        What must lie in memory beforehand: memory, first element, elements, value; those of a block and
        of a batch for each image.
    parameters
        For each parameter key: first element, shape in the formula, axes as they lie in memory.
    terms
        Multiply-adds for one image.
    output, inputs, targets
        Elements of one output, of one input, of one example's targets.
    """

    images: int
    together: int
    block: int
    batch: int
    shard: int
    shared: int
    fills: list[tuple[str, int, int, float]]
    parameters: dict[str, tuple[int, list[int], list[int]]]
    terms: int


def layout_of(planned: Plan) -> Layout:
    """The numbers of a plan."""
    fills = []
    for buffer in planned.buffers.values():
        if buffer.has_border and buffer.fill and buffer.kind in ("block", "batch", "shared"):
            size = -(-buffer.size // buffer.together)
            fills.append((buffer.kind, buffer.offset, size, buffer.fill))
    nests = [*planned.block, *planned.staged]
    return Layout(
        planned.images,
        planned.together,
        planned.block_size,
        planned.batch_size,
        planned.shard_size,
        planned.shared_size,
        fills,
        {key: (at, list(shape), list(order)) for key, (at, shape, order) in planned.parameters.items()},
        sum(nest.terms for nest in nests),
    )


class Code:
    """Compiled code and its layout, loaded."""

    def __init__(self, layout: Layout, library: Library):
        self.layout, self.library = layout, library
        self.address = library.address(ENTRY)


def build(architecture: Architecture, mode: Mode, target: Target, together: int = 0) -> Code:
    """The code of a network in a mode, from the cache where it lies there."""
    described = json.dumps(architecture.to_dict(), sort_keys=True)
    key = cache.key(cache.environment_key(target), described, repr(mode), str(together))
    found = cache.load(key)
    if found is not None:
        machine_code, metadata = found
        try:
            layout = Layout(**metadata)
            return Code(layout, Library(machine_code, target))
        except (TypeError, ValueError):
            pass  # an entry of another version
    machine = Machine(target.lanes, target.registers)
    planned = plan(architecture, mode, machine, together)
    written = program(planned, machine, target.attributes)
    machine_code = compile_ir(written.text, target)
    layout = layout_of(planned)
    cache.store(key, machine_code, asdict(layout))
    return Code(layout, Library(machine_code, target))


def shards_of(batch: int, together: int = 1) -> int:
    """Into how many shards a batch is divided: a power of two that depends on its size alone."""
    units = -(-batch // together)
    least = _SHARD_IMAGES if together == 1 else 1
    shards = 1
    while shards < _MOST_SHARDS and units // (2 * shards) >= least:
        shards *= 2
    if shards == 1 and units > 1:
        shards = 2
    return shards


class Memory:
    """The arrays that a job works in; made once for a batch size and a number of threads."""

    def __init__(self, layout: Layout, batch: int, threads: int):
        together = layout.together
        self.images = min(layout.images, -(-batch // together) * together)
        self.capacity = -(-batch // together) * together
        self.shards = shards_of(batch, together)
        self.block_stride = _padded(layout.block * self.images)
        self.block = aligned(self.block_stride * threads)
        self.batch = aligned(layout.batch * self.capacity)
        self.shard = aligned(layout.shard * self.shards)
        self.shared = aligned(layout.shared)
        for kind, offset, size, value in layout.fills:
            if kind == "shared":
                self.shared[offset : offset + size] = value
            elif kind == "batch":
                self.batch[offset * self.capacity : (offset + size) * self.capacity] = value
            else:
                for thread in range(threads):
                    start = thread * self.block_stride
                    self.block[start + offset * self.images : start + (offset + size) * self.images] = value

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.block.nbytes + self.batch.nbytes + self.shard.nbytes + self.shared.nbytes


def _padded(count: int) -> int:
    return -(-count // 16) * 16


def aligned(count: int) -> Array:
    """Zeros that begin at a multiple of 64 bytes."""
    raw = np.zeros(count + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + count]


class Session:
    """Code with the memory and the context for one batch size; one job runs at a time."""

    def __init__(self, code: Code, batch: int, threads: int):
        self.code, self.batch, self.threads = code, batch, threads
        layout = code.layout
        self.memory = memory = Memory(layout, batch, threads)
        self.stop = np.zeros(1, np.int32)
        self._barrier = np.zeros(1, np.int64)
        self._slots = np.zeros(SLOTS, np.int64)
        self.order = np.arange(batch, dtype=np.int64)
        self.weights = aligned(_padded(memory.capacity))
        self.weights[:batch] = np.float32(1) / np.float32(batch)
        self.context = context = np.zeros(len(Word), np.int64)
        context[Word.BATCH] = batch
        context[Word.IMAGES] = memory.images
        context[Word.CAPACITY] = memory.capacity
        context[Word.SHARDS] = memory.shards
        context[Word.BLOCK_MEMORY] = memory.block.ctypes.data
        context[Word.BLOCK_STRIDE] = memory.block_stride
        context[Word.BATCH_MEMORY] = memory.batch.ctypes.data
        context[Word.SHARD_MEMORY] = memory.shard.ctypes.data
        context[Word.SHARED_MEMORY] = memory.shared.ctypes.data
        context[Word.WEIGHTS] = self.weights.ctypes.data
        context[Word.STOP] = self.stop.ctypes.data
        context[Word.BARRIER] = self._barrier.ctypes.data
        context[Word.YIELD], context[Word.SLEEP] = _waiting()
        self._address = context.ctypes.data
        self._terms = layout.terms * batch

    def run(self, steps: int = 1, **arrays: Any) -> int:
        """Run steps; the number of those that were finished.

        Parameters
        ----------
        steps
            How many.
        arrays
            By the words of the context: arrays, or numbers.
        """
        context = self.context
        held = []
        for word, value in arrays.items():
            if isinstance(value, np.ndarray):
                held.append(value)
                context[Word[word.upper()]] = value.ctypes.data
            else:
                context[Word[word.upper()]] = value
        if len(self._slots) < steps * SLOTS:
            self._slots = np.zeros(steps * SLOTS, np.int64)
        else:
            self._slots[: steps * SLOTS] = 0
        self.stop[0] = 0
        is_short = self._terms * steps < _SHORT
        context[Word.SLOTS] = self._slots.ctypes.data
        context[Word.STEPS] = steps
        context[Word.DONE] = 0
        self._barrier[0] = 0
        threads = 1 if is_short else self.threads
        context[Word.THREADS] = threads
        shared().run(self.code.address, self._address, threads, self.stop, short=is_short)
        return int(context[Word.DONE])


def _waiting() -> tuple[int, int]:
    """The addresses of what yields the processor and of what sleeps for some microseconds; 0 for none."""
    try:
        library = ctypes.CDLL(None)
        return tuple(  # type: ignore[return-value]
            ctypes.cast(function, ctypes.c_void_p).value or 0
            for function in (library.sched_yield, library.usleep)
        )
    except (OSError, AttributeError, TypeError):
        return 0, 0


class CompiledEngine:
    """Runs an architecture by machine code made for it, in float32.

    Parameters
    ----------
    architecture
        The network.
    threads
        How many threads may be used; None for CLOSEDFORM_THREADS, or for as many cores as there are.
    """

    name = "compiled"

    def __init__(self, architecture: Architecture, threads: int | None = None):
        self.architecture = architecture
        self.threads = thread_count(threads)
        self.target = host()
        self._codes: dict[tuple[Mode, int], Code] = {}
        self._sessions: dict[tuple[Mode, int], Session] = {}
        self._lock = threading.RLock()
        self._packed: Array | None = None

    def code(self, mode: Mode, together: int = 0) -> Code:
        """The code for a mode, made at the first call."""
        with self._lock:
            key = mode, together
            if key not in self._codes:
                self._codes[key] = build(self.architecture, mode, self.target, together)
            return self._codes[key]

    def session(self, mode: Mode, batch: int) -> Session:
        """Code with memory for a batch size."""
        with self._lock:
            key = mode, batch
            if key not in self._sessions:
                while len(self._sessions) >= 4:
                    self._sessions.pop(next(iter(self._sessions)))
                self._sessions[key] = Session(self.code(mode), batch, self.threads)
            return self._sessions[key]

    def pack(self, code: Code, parameters: Mapping[str, Array], out: Array) -> None:
        """Put parameters, by key and in their public shapes, into the engine's layout."""
        for view, public in self._pairs(code, parameters, out):
            view[...] = public

    def unpack(self, code: Code, flat: Array, into: Mapping[str, Array]) -> None:
        """Write parameters, or gradients, in the engine's layout back into their public shapes."""
        for view, public in self._pairs(code, into, flat):
            public[...] = view

    def _pairs(self, code: Code, public: Mapping[str, Array], flat: Array) -> list[tuple[Array, Array]]:
        found = []
        for key, (start, shape, order) in code.layout.parameters.items():
            values = public[key].reshape(shape).transpose(order)
            found.append((flat[start : start + values.size].reshape(values.shape), values))
        return found
