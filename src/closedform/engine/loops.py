"""The loops of a plan one by one, to be timed: each kernel as a function of its own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.engine.emit import Kernel, emit
from closedform.engine.ir import I64, PTR, Builder, Module, Value, i64
from closedform.engine.jit import Library, Target, compile_ir, host
from closedform.engine.passes import Mode
from closedform.engine.plan import Plan, plan
from closedform.engine.schedule import Machine, schedule


@dataclass(frozen=True)
class Loop:
    """One kernel, ready to run on arrays of its own.

    Attributes
    ----------
    kernel
        What it is.
    images
        For how many images one call runs.
    operations
        Useful operations of one call.
    run
        Runs it once.
    """

    kernel: Kernel
    images: int
    operations: int
    run: Callable[[], None]


def loops(
    architecture: Architecture,
    mode: Mode,
    target: Target | None = None,
    images: int | None = None,
    together: int = 0,
) -> Iterator[Loop]:
    """The kernels of a plan with arrays of random numbers.

    Parameters
    ----------
    architecture, mode
        What is planned.
    target
        What for; this machine where it is None.
    images
        For how many images each call runs; as many as a block has where it is None.
    """
    target = target or host()
    machine = Machine(target.lanes, target.registers)
    planned = plan(architecture, mode, machine, together)
    count = planned.images if images is None else images
    module = Module(target.lanes, target.attributes)
    kernels: list[Kernel] = []
    for nest in planned.block:
        kernels.append(emit(module, f"loop{len(kernels)}", nest, schedule(nest, machine)))
    for nest in planned.staged:
        chosen = schedule(nest, machine, splits=True)
        kernels.append(emit(module, f"loop{len(kernels)}", nest, chosen, splits=True, has_tree=True))
    for kernel in kernels:
        _entry(module, kernel)
    library = Library(compile_ir(module.text, target), target)
    rng = np.random.default_rng(0)
    for kernel in kernels:
        arrays = [_memory(planned, name, count, rng) for name in kernel.nest.buffers]
        context = np.array([array.ctypes.data for array in arrays], np.int64)
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(
            library.address(f"time_{kernel.name}")
        )

        def run(function: Any = function, context: Any = context, arrays: Any = arrays) -> None:
            function(context.ctypes.data, count)

        yield Loop(kernel, count, kernel.nest.operations * count, run)
    del library


def _memory(planned: Plan, name: str, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    buffer = planned.buffers[name]
    if name in planned.contents:
        return np.array(planned.contents[name], np.float32)
    images = -(-count // buffer.together) if buffer.kind in ("block", "batch") else 1
    values: NDArray[np.float32] = rng.random(
        max(buffer.size * images, count) + 16, dtype=np.float32
    ) - np.float32(0.5)
    start = (-values.ctypes.data // 4) % 16
    return values[start:]


def _entry(module: Module, kernel: Kernel) -> None:
    build = Builder(module, f"time_{kernel.name}", [(PTR, "context"), (I64, "count")], is_entry=True)
    context, count = build.parameters
    names = kernel.nest.buffers

    def place(name: str) -> Value:
        at = build.moved(context, names.index(name), I64)
        return build.convert("inttoptr", build.load(at, I64), PTR)

    turns = count if kernel.nest.together == 1 else build.idiv(count, i64(kernel.nest.together))
    kernel.call(build, place, turns, None, i64(1))
    build.finish()
