"""The reference engine: stride tables run by NumPy, planned once for equations and sizes.

A sum of products is a copy of the windows side by side and a matrix product; a small window is gone
through offset by offset; what is point-wise is NumPy's own.  Nothing loops over pixels or channels: loops
run over the offsets of a window, and over the blocks of a copy of windows that takes megabytes each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from closedform.engine.contraction import contraction
from closedform.engine.layout import Output, output_of, preparations
from closedform.engine.maxima import beyond, first_maximum, maximum
from closedform.engine.pointwise import compiled
from closedform.engine.views import (
    Array,
    View,
    empty_in,
    spread,
    view_of,
    with_border,
)
from closedform.errors import ShapeError
from closedform.formula.extents import Sizes
from closedform.formula.table import Buffer, Program, Table
from closedform.formula.table.lowering import lower
from closedform.formula.tree import Equation

Step: TypeAlias = Callable[[dict[str, Array]], None]
Read: TypeAlias = Callable[[dict[str, Array]], Array]


def plan(
    equations: Sequence[Equation], sizes: Sizes, outputs: Sequence[str], dtype: DTypeLike = np.float32
) -> Plan:
    """Plan the evaluation of equations.

    Parameters
    ----------
    equations
        In order: an equation may read what those before it define.
    sizes
        Settings, extents and the shapes of every tensor.
    outputs
        The tensors that are wanted.
    dtype
        The float type in which everything is computed; float16 is computed in float32 and rounded once,
        at the end.

    Raises
    ------
    ShapeError
        Where a window of a maximum lies wholly outside its tensor.
    """
    return Plan(equations, sizes, outputs, dtype)


class Plan:
    """Equations made ready to run at given sizes; immutable, and safe to call from several threads."""

    def __init__(self, equations: Sequence[Equation], sizes: Sizes, outputs: Sequence[str], dtype: DTypeLike):
        self.dtype = np.dtype(dtype)
        self._working = np.dtype(np.float32) if self.dtype == np.float16 else self.dtype
        self.outputs = tuple(outputs)
        programs = [lower(equation, sizes) for equation in equations]
        self._runs = tuple(
            (equation.left.tensor, _Run(program, self._working))
            for equation, program in zip(equations, programs, strict=True)
        )
        defined = {equation.left.tensor for equation in equations}
        self.inputs: dict[str, tuple[int, ...]] = {}
        for program in programs:
            for buffer in program.buffers.values():
                if buffer.tensor is not None and buffer.tensor not in defined:
                    self.inputs[buffer.tensor] = buffer.shape

    def __call__(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs, by name.

        Parameters
        ----------
        arrays
            Every tensor that the equations read and do not define, by name; others are ignored.  They may
            be of any layout, and are not written to.

        Returns
        -------
        dict
            New arrays, of any layout in memory; only an equation that renames or reshapes a tensor, such as
            the one of `Flatten`, gives a view of its input where that is possible.

        Raises
        ------
        ShapeError
            Where an array is missing or has another shape than was planned.
        """
        known: dict[str, Array] = {}
        for tensor, shape in self.inputs.items():
            if tensor not in arrays:
                raise ShapeError(f"no array for {tensor}: the plan reads {', '.join(self.inputs)}")
            array = np.asarray(arrays[tensor])
            if array.shape != shape:
                raise ShapeError(f"{tensor} has shape {array.shape}, but the plan was made for {shape}")
            known[tensor] = array if array.dtype == self._working else array.astype(self._working)
        with np.errstate(all="ignore"):
            for tensor, run in self._runs:
                known[tensor] = run(known)
            return {tensor: known[tensor].astype(self.dtype, copy=False) for tensor in self.outputs}


class _Run:
    """One program, made ready."""

    def __init__(self, program: Program, dtype: np.dtype[Any]):
        self.dtype = dtype
        self.buffers = program.buffers
        self.output = program.output
        self.given = tuple((b.name, b.tensor) for b in program.buffers.values() if b.tensor is not None)
        self.constants = {
            name: with_border(
                np.array(buffer.contents, dtype).reshape(buffer.shape), buffer, range(len(buffer.shape))
            )
            for name, buffer in program.buffers.items()
            if buffer.contents is not None
        }
        prepared = list(preparations(program))
        self.orders = {each.buffer.name: each.order for found in prepared for each in found if each.order}
        self.steps: list[Step] = []
        for number, table in enumerate(program.tables):
            self.steps += prepared[number]
            self.steps.append(self.step(table, output_of(program, number)))

    def __call__(self, known: Mapping[str, Array]) -> Array:
        memory = dict(self.constants)
        for name, tensor in self.given:
            memory[name] = known[tensor]
        for step in self.steps:
            step(memory)
        return memory[self.output]

    # ---- one table

    def step(self, table: Table, output: Output) -> Step:
        """How one table is run."""
        views = [view_of(slot, table.extents) for slot in table.inputs]
        names = [slot.buffer for slot in table.inputs]
        if table.reduction in ("max", "first"):
            return self.extreme(table, names, views, output)
        if table.body is None and table.guards and table.reduction == "sum":
            return self.guarded(table, names, views, output)
        if not table.is_product:
            return self.general(table, names, views, output)
        moved = {k for view in views for k in view.labels}
        repeated = math.prod(table.extents[k] for k in table.reduced if k not in moved)
        scale = self.dtype.type(table.factor * repeated)
        if not moved.intersection(table.reduced):
            return self.product(names, views, scale, output)
        return self.contraction(table, names, views, scale, output)

    def product(self, names: Sequence[str], views: Sequence[View], scale: Any, output: Output) -> Step:
        """A product without a sum."""
        if output.digits and views:
            return self.tiled_product(names, views, scale, output)

        is_view = len(views) == 1 and scale == 1

        def run(memory: dict[str, Array]) -> None:
            operands = [view.along(memory[n], output.loops) for n, view in zip(names, views, strict=True)]
            operands.sort(key=lambda operand: operand.size)
            if not operands:
                self.store(memory, np.full((1,) * len(output.loops), scale), output)
                return
            result = operands[0] if scale == 1 else operands[0] * scale
            for operand in operands[1:]:
                result = result * operand
            # a tensor that is only renamed or reshaped stays where it is, a part of one does not
            is_part = is_view and result.size != memory[names[0]].size
            self.store(memory, result.copy("K") if is_part else result, output, is_new=is_part or not is_view)

        return run

    def tiled_product(self, names: Sequence[str], views: Sequence[View], scale: Any, output: Output) -> Step:
        """A product whose output is tiles: written one place of the tile after the other."""
        places = [
            tuple(dict(zip(output.digits, at, strict=True)).get(k, slice(None)) for k in output.loops)
            for at in itertools.product(
                *[range(output.extents[output.loops.index(k)]) for k in output.digits]
            )
        ]

        def run(memory: dict[str, Array]) -> None:
            operands = [view.along(memory[n], output.loops) for n, view in zip(names, views, strict=True)]
            if scale != 1:
                smallest = min(range(len(operands)), key=lambda k: operands[k].size)
                operands[smallest] = operands[smallest] * scale
            if output.buffer.name not in memory:
                memory[output.buffer.name] = self.allocate(output.buffer, operands[0], output)
            target = output.view.along(memory[output.buffer.name], output.loops)
            for place in places:
                first, *rest = [operand[_clipped(place, operand)] for operand in operands]
                if output.accumulate:
                    for factor in rest:
                        first = first * factor
                    target[place] += first
                elif not rest:
                    target[place] = first
                else:
                    for factor in rest:
                        first = np.multiply(first, factor, out=target[place])

        return run

    def contraction(
        self, table: Table, names: Sequence[str], views: Sequence[View], scale: Any, output: Output
    ) -> Step:
        """A sum of products."""
        contract = contraction(views, table.extents, table.reduced)

        def run(memory: dict[str, Array]) -> None:
            result, labels = contract([view(memory[name]) for name, view in zip(names, views, strict=True)])
            if scale != 1:
                result = result * scale
            self.store(memory, spread(np.asarray(result), labels, output.loops), output)

        return run

    def guarded(self, table: Table, names: Sequence[str], views: Sequence[View], output: Output) -> Step:
        """A sum of products that is term by term only where that makes a difference.

        A guard stops terms whose product is 0 as long as all factors are finite.
        """
        checked = self.general(table, names, views, output)
        plain = self.step(replace(table, guards=()), output)

        def run(memory: dict[str, Array]) -> None:
            is_finite = all(np.isfinite(memory[name]).all() for name in names)
            (plain if is_finite else checked)(memory)

        return run

    def general(self, table: Table, names: Sequence[str], views: Sequence[View], output: Output) -> Step:
        """Any point-wise expression, with or without a sum over it."""
        kept, over, terms, allowed = self.terms(table, names, views)
        axes = tuple(range(len(kept), len(kept) + len(over)))
        factor, zero = self.dtype.type(table.factor), self.dtype.type(0)

        def run(memory: dict[str, Array]) -> None:
            result = terms(memory)
            if table.guards:
                result = np.where(allowed(memory), result, zero)
            if axes:
                lengths = [table.extents[k] for k in over]
                result = np.broadcast_to(result, (*result.shape[: len(kept)], *lengths))
                result = np.add.reduce(result, axis=axes)
            if factor != 1:
                result = result * factor
            self.store(memory, spread(np.asarray(result), kept, output.loops), output)

        return run

    def extreme(self, table: Table, names: Sequence[str], views: Sequence[View], output: Output) -> Step:
        """A maximum, or its first place."""
        kept, over, terms, allowed = self.terms(table, names, views)
        shape = tuple(table.extents[k] for k in (*kept, *over))
        factor = self.dtype.type(table.factor)
        is_first = table.reduction == "first"
        is_low_outside = table.body is None and all(self.buffers[n].fill == -math.inf for n in names)

        def run(memory: dict[str, Array]) -> None:
            values = np.broadcast_to(terms(memory), shape)
            inside = np.broadcast_to(allowed(memory), shape) if table.guards else None
            if not is_low_outside:
                values = beyond(values, inside)
            result = first_maximum(values, len(over), inside) if is_first else maximum(values, len(over))
            if factor != 1:
                result = result * factor
            labels = (*kept, *over) if is_first else kept
            self.store(memory, spread(np.asarray(result), labels, output.loops), output)

        return run

    def terms(
        self, table: Table, names: Sequence[str], views: Sequence[View]
    ) -> tuple[tuple[int, ...], tuple[int, ...], Read, Read]:
        """The loops that are kept and those that are reduced, the body over both, and where it counts."""
        body = _product if table.body is None else compiled(table.body, self.dtype)
        longer = [k for k, extent in enumerate(table.extents) if extent > 1]
        kept = tuple(k for k in longer if k not in table.reduced)
        over = tuple(k for k in longer if k in table.reduced)
        guards = [(slot.buffer, view_of(slot, table.extents)) for slot in table.guards]

        def terms(memory: dict[str, Array]) -> Array:
            inputs = [view.along(memory[n], (*kept, *over)) for n, view in zip(names, views, strict=True)]
            result = np.asarray(body(inputs))
            return result.reshape((1,) * (len(kept) + len(over))) if not result.ndim else result

        def allowed(memory: dict[str, Array]) -> Array:
            found: Array = np.ones((), dtype=bool)
            for name, view in guards:
                found = found & (view.along(memory[name], (*kept, *over)) != 0)
            return found

        return kept, over, terms, allowed

    # ---- what a table leaves

    def store(self, memory: dict[str, Array], result: Array, output: Output, *, is_new: bool = True) -> None:
        """Put a result where it belongs; its axes are the output's loops, some of length 1."""
        buffer = output.buffer
        if output.by_axis is not None and not output.accumulate:
            if result.shape != output.extents:
                result = np.broadcast_to(result, output.extents)
            whole = spread(result, output.loops, output.by_axis).reshape(buffer.shape)
            if 0 in whole.strides or not (is_new or output.is_last):
                whole = np.array(whole)
            memory[buffer.name] = whole
            return
        if buffer.name not in memory:
            memory[buffer.name] = self.allocate(buffer, result, output)
        target = output.view.along(memory[buffer.name], output.loops)
        if output.accumulate:
            target += result
        else:
            target[...] = result

    def allocate(self, buffer: Buffer, result: Array, output: Output) -> Array:
        """Room for a buffer, laid out as the first result that goes into it."""
        order = self.orders.get(buffer.name)
        if order is None:
            steps = dict(zip(output.loops, result.strides, strict=True))
            closest = [min((abs(steps[k]) for k in output.loops if row[k]), default=0) for row in output.rows]
            order = tuple(sorted(range(len(closest)), key=lambda axis: -closest[axis]))
        array = empty_in(order, buffer.dimensions, self.dtype)
        if buffer.has_border:
            array[...] = buffer.fill
        return array


def _clipped(place: tuple[Any, ...], operand: Array) -> tuple[Any, ...]:
    """A place of a tile in an operand that may not have the tile's axes."""
    return tuple(
        0 if isinstance(at, int) and length == 1 else at
        for at, length in zip(place, operand.shape, strict=True)
    )


def _product(inputs: Sequence[Array]) -> Array:
    result = inputs[0]
    for factor in inputs[1:]:
        result = result * factor
    return result
