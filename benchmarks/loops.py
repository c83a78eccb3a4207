"""The compiled loops of a training step one by one, each with a function that runs it alone.

They are planned, scheduled and written as the engine does it for the same network and batch; around each
stands an entry of its own, which calls it again and again on memory that holds numbers from 0 to 1.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from workloads import Workload

from closedform.engine.emit import Kernel, emit
from closedform.engine.ir import I64, PTR, Builder, Module, Value, i64
from closedform.engine.jit import Library, compile_ir, host
from closedform.engine.lanes import layers_together
from closedform.engine.passes import Mode
from closedform.engine.plan import Plan, plan
from closedform.engine.plan_table import Row, rows
from closedform.engine.schedule import Machine
from closedform.engine.session import shards_of

_MARGIN = 64  # entries around a buffer, for loads that are wider than what is used


@dataclass(frozen=True)
class Loop:
    """A compiled loop.

    Attributes
    ----------
    name
        What it computes, and when: once a step, image by image, in a block, over the batch.
    images
        For how many images it runs at a time; 0 where it does not depend on them.
    operations
        Two for each multiply-add of one run; 0 where it is no sum of products.
    zeros
        The share of its multiply-adds that read zeros of a border.
    run
        Runs it so many times.
    """

    name: str
    images: int
    operations: int
    zeros: float
    run: Callable[[int], object]


def loops(workload: Workload) -> Iterator[Loop]:
    """The loops of a training step at this batch, in the order in which they run."""
    target, architecture, batch = host(), workload.architecture, workload.batch
    machine = Machine(target.lanes, target.registers)
    together = layers_together(architecture, batch, target.lanes)
    planned = plan(architecture, Mode("loss", training=True), machine, together)
    module = Module(target.lanes, target.attributes)
    found = [(row, _entry(module, row)) for row in rows(planned, machine)]
    library = Library(compile_ir(module.text, target), target)
    for row, kernel in found:
        images = {"block": min(planned.images, batch), "staged": batch, "prepare": 0}.get(row.stage, 1)
        run = _runner(library, planned, row, kernel, images, shards_of(batch, planned.together))
        name = f"{row.nest.label} ({row.stage})"
        yield Loop(name, images, row.operations * max(1, images), row.zeros, run)


def _entry(module: Module, row: Row) -> Kernel:
    """Write the loop, and the function ``run(buffers, images, shards, turns)`` that calls it."""
    is_staged = row.stage == "staged"
    kernel = emit(module, f"loop{row.number}", row.nest, row.schedule, splits=is_staged, has_tree=is_staged)
    words = [(PTR, "buffers"), (I64, "images"), (I64, "shards"), (I64, "turns")]
    build = Builder(module, f"run{row.number}", words, is_entry=True)
    buffers, images, shards, turns = build.parameters
    at = {name: build.load(build.moved(buffers, n, PTR), PTR) for n, name in enumerate(row.nest.buffers)}

    def turn(_: Value) -> None:
        kernel.call(build, at.__getitem__, images, shards=shards)

    build.loop(i64(0), turns, turn)
    build.finish()
    return kernel


def _runner(
    library: Library, planned: Plan, row: Row, kernel: Kernel, images: int, shards: int
) -> Callable[[int], object]:
    generator = np.random.default_rng(0)
    arrays = []
    for name in kernel.nest.buffers:
        buffer = planned.buffers[name]
        per_image = buffer.kind in ("block", "batch", "weights")
        count = buffer.size * (math.ceil(max(1, images) / buffer.together) if per_image else 1)
        array = generator.random(count + 2 * _MARGIN, dtype=np.float32)
        if name in planned.contents:
            array[_MARGIN : _MARGIN + len(planned.contents[name])] = planned.contents[name]
        arrays.append(array)
    addresses = np.array([array.ctypes.data + 4 * _MARGIN for array in arrays], np.int64)
    turns = math.ceil(max(1, images) / kernel.nest.together)
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 3)
    function = signature(library.address(f"run{row.number}"))

    def run(times: int, _alive: Any = (arrays, library)) -> None:
        function(addresses.ctypes.data, turns, shards, times)

    return run
