"""Memory in which everything that belongs to no buffer is a guard zone."""

import ctypes
import math
import mmap
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from compiled_jobs import ARENAS, LOSS, OUTPUT, PULLBACK, Compiled, batch_for, parameters_for
from compiled_networks import network

from closedform.engine.buffers import Buffer
from closedform.engine.plan import Plan

ZONE = 48  # elements; a multiple of 16, so that buffers stay where they are expected to begin
# a signalling NaN, which no arithmetic gives
SIGNAL = np.array(0x7FA5C35A, np.uint32).view(np.float32)
ARENA_OF = dict(zip(("block", "batch", "shard", "shared"), ARENAS, strict=True))
READ = ("x", "targets", "dy", "weights", "scalars", "order")


def spread(plan: Plan) -> None:
    """Give every buffer of a plan a place of its own, with a zone before and behind it."""
    ends = dict.fromkeys((*ARENA_OF, "parameter"), ZONE)
    starts: dict[int, int] = {}
    for name, buffer in plan.buffers.items():
        if buffer.kind in ends:
            start = ends[buffer.kind]
            plan.buffers[name] = replace(buffer, offset=start)
            ends[buffer.kind] += -(-buffer.size // 16) * 16 + ZONE
            if buffer.kind == "parameter":
                starts[buffer.offset] = start
    for name, buffer in plan.buffers.items():
        if buffer.kind == "gradient":
            plan.buffers[name] = replace(buffer, offset=starts[buffer.offset])
    for key, (start, shape, order) in plan.parameters.items():
        plan.parameters[key] = (starts[start], shape, order)
    plan.block_size, plan.batch_size = ends["block"], ends["batch"]
    plan.shard_size, plan.shared_size = ends["shard"], ends["shared"]


class Zones:
    """Places a job's memory between zones; zones and borders hold what must be there when all is done.

    Buffers hold the signal too until something is written to them, so that what is read too early is seen
    as well.

    Parameters
    ----------
    code
        What runs.
    count, threads, images
        As the job gets them.
    """

    def __init__(self, code: Compiled, count: int, threads: int = 1, images: int | None = None):
        self.code, self.threads = code, threads
        together = code.plan.together
        self.capacity = -(-count // together) * together
        self.images = min(code.images(images), self.capacity)
        self.placed: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def place(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array between two zones."""
        signal = SIGNAL if array.dtype == np.float32 else array.dtype.type(-1 << (8 * array.itemsize - 2))
        around = np.full(array.size + 2 * ZONE + 16, signal, array.dtype)
        first = -(around.ctypes.data // array.itemsize) % 16
        around = around[first : first + array.size + 2 * ZONE]
        inside, may_change = around[ZONE:-ZONE], np.zeros(around.size, bool)
        if name in ARENAS:
            self.lay_out(name, inside, may_change[ZONE:-ZONE])
        elif name in ("parameters", "gradients", "first_moment", "second_moment"):
            for start, shape, _ in self.code.plan.parameters.values():
                own = slice(start, start + math.prod(shape))
                may_change[ZONE:-ZONE][own] = True
                if name == "parameters":
                    inside[own] = array[own]
        elif name in ("outputs", "losses", "dx"):
            may_change[ZONE:-ZONE] = True
        else:
            inside[...] = array
            may_change[ZONE:-ZONE] = name not in READ
        self.placed[name] = around, around.copy(), may_change
        return inside

    def lay_out(self, name: str, inside: np.ndarray, may_change: np.ndarray) -> None:
        """Fill an arena: zones and what is not written yet with the signal, borders with what they hold."""
        for buffer in self.code.plan.buffers.values():
            if ARENA_OF.get(buffer.kind) != name:
                continue
            for start, groups in self.places(buffer, inside.size):
                dimensions = [buffer.dimensions[axis] for axis in buffer.order]
                here = np.s_[start : start + groups * buffer.size]
                entries = math.prod(dimensions) * buffer.together
                interior = [slice(None)] + [
                    slice(buffer.before[axis], buffer.before[axis] + buffer.shape[axis])
                    for axis in buffer.order
                ]
                for array, border, inner in ((inside, buffer.fill, SIGNAL), (may_change, False, True)):
                    rows = array[here].reshape(groups, buffer.size)[:, :entries]
                    own = rows.reshape(groups, *dimensions, buffer.together)
                    own[...] = border
                    own[tuple(interior)] = inner
                    # a part of a row cannot always be seen in another shape without a copy
                    rows[...] = own.reshape(groups, entries)
        if name == ARENA_OF["shard"]:
            # sums begin at 0, and all of a shard is set to 0 at once
            inside[...] = 0

    def places(self, buffer: Buffer, size: int) -> list[tuple[int, int]]:
        """Where a buffer begins, and how many groups of images it holds."""
        match buffer.kind:
            case "block":
                stride = size // self.threads
                starts = [thread * stride + buffer.offset * self.images for thread in range(self.threads)]
                return [(start, self.images // buffer.together) for start in starts]
            case "batch":
                return [(buffer.offset * self.capacity, self.capacity // buffer.together)]
            case "shard":
                return [(start + buffer.offset, 1) for start in range(0, size, self.code.plan.shard_size)]
        return [(buffer.offset, 1)]

    def check(self) -> None:
        """Assert that nothing has changed that belongs to no buffer."""
        for name, (around, before, may_change) in self.placed.items():
            changed = (bits(around) != bits(before)) & ~may_change
            where = np.flatnonzero(changed) - ZONE
            assert not changed.any(), f"{name}: {len(where)} elements written, the first at {where[0]}"


def bits(array: np.ndarray) -> np.ndarray:
    """Equal for equal bits."""
    return array.view(f"u{array.itemsize}")


class Pages:
    """Places a job's arrays so that one end of each lies at a page that nobody may read or write.

    What is read there and thrown away, as the unused lanes of a vector are, ends the process too.

    Parameters
    ----------
    at_end
        Whether that page is behind an array, or before it.
    """

    def __init__(self, at_end: bool):
        self.at_end = at_end

    def place(self, _: str, array: np.ndarray) -> np.ndarray:
        """The array between two such pages."""
        pages = -(-array.nbytes // mmap.PAGESIZE) + 2
        memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        last = (pages - 1) * mmap.PAGESIZE
        for start in (first, first + last):
            if ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), ctypes.c_size_t(mmap.PAGESIZE), 0):
                raise OSError("the system does not guard the page")
        start = last - array.nbytes if self.at_end else mmap.PAGESIZE
        inside = np.frombuffer(memory, array.dtype, array.size, start)
        inside[...] = array
        return inside


def run_at_guarded_pages(
    names: Iterable[str], width: str | None = None, change: Callable[[Plan], None] | None = None
) -> None:
    """Run networks with every array at the end, and at the beginning, of what may be read."""
    for name in names:
        architecture = network(name)
        parameters = parameters_for(architecture)
        for mode in (OUTPUT, LOSS, PULLBACK):
            code = Compiled(architecture, mode, width, change)
            for count in (1, 5, 18):
                batch = batch_for(architecture, count)
                expected = code.run(parameters, batch, threads=2)
                for at_end in (True, False):
                    found = code.run(parameters, batch, threads=2, place=Pages(at_end).place)
                    for key in expected:
                        assert np.array_equal(bits(found[key]), bits(expected[key])), key


def one_further(plan: Plan) -> None:
    """A plan that reads images one element too far."""
    nest = plan.take[0]
    (read,) = nest.inputs
    plan.take[0] = replace(nest, inputs=(replace(read, offset=1),))
