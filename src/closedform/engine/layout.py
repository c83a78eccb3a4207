"""Where things lie in memory: buffers before they are read, and a table's result in its buffer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from closedform.engine.contraction import FEW, groups_of
from closedform.engine.views import Array, View, in_order, memory_order, view_of, with_border
from closedform.formula.table import Buffer, Program, Slot, Table

_WINDOWED = 1.5  # reads of each entry from which its axes are laid out anew


@dataclass(frozen=True)
class Output:
    """Where a table's result goes.

    Attributes
    ----------
    buffer
        The buffer it is part of.
    view
        The entries that are written.
    loops
        The loops that move the output: the axes of a result.
    extents
        Their extents.
    rows
        For each axis the entries moved by each loop of the table.
    by_axis
        Where the table writes the whole buffer: the same loops as the buffer's axes have them; else None.
    accumulate
        Whether the result is added.
    is_last
        Whether no later table writes to the buffer.
    digits
        The few low digits of axes that are tiled, as in ``dX[n,c,k*y+r]``.
    """

    buffer: Buffer
    view: View
    loops: tuple[int, ...]
    extents: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    by_axis: tuple[int, ...] | None
    accumulate: bool
    is_last: bool
    digits: tuple[int, ...]


def output_of(program: Program, number: int) -> Output:
    """Where the result of a program's table of this number goes."""
    table = program.tables[number]
    buffer = program.buffers[table.out.buffer]
    loops = tuple(
        k for k, extent in enumerate(table.extents) if extent > 1 and any(row[k] for row in table.out.steps)
    )
    later = program.tables[number + 1 :]
    return Output(
        buffer,
        view_of(table.out, table.extents),
        loops,
        tuple(table.extents[k] for k in loops),
        table.out.steps,
        None if buffer.has_border else _digits(table.out, table.extents, buffer.shape),
        table.accumulate,
        all(other.out.buffer != buffer.name for other in later),
        _low_digits(table),
    )


def _low_digits(table: Table) -> tuple[int, ...]:
    found: list[int] = []
    for row in table.out.steps:
        moving = sorted((k for k, n in enumerate(table.extents) if n > 1 and row[k]), key=lambda k: -row[k])
        found += moving[1:]
    few = math.prod(table.extents[k] for k in found) <= FEW
    # a plain copy is a view or one copy, whatever its digits
    return tuple(found) if few and (len(table.inputs) > 1 or table.factor != 1) else ()


def _digits(slot: Slot, extents: Sequence[int], shape: Sequence[int]) -> tuple[int, ...] | None:
    """The loops in the order of the axes, where they run through every entry of the shape in row order."""
    order: list[int] = []
    for start, row, length in zip(slot.start, slot.steps, shape, strict=True):
        moving = sorted((k for k, n in enumerate(extents) if n > 1 and row[k]), key=lambda k: -row[k])
        weight = 1
        for k in reversed(moving):
            if row[k] != weight:
                return None
            weight *= extents[k]
        if start or weight != length:
            return None
        order += moving
    return tuple(order) if len(set(order)) == len(order) else None


@dataclass(frozen=True)
class Preparation:
    """What is done to a buffer before it is read for the first time.

    Attributes
    ----------
    buffer
        The buffer.
    order
        Its axes as they shall lie in memory; None for as they come.
    like
        A buffer whose layout decides the order instead, as it is seen by the same table.
    loops
        For each axis the loop that decides, or None.
    """

    buffer: Buffer
    order: tuple[int, ...] | None
    like: tuple[str, View] | None = None
    loops: tuple[int | None, ...] = ()

    def __call__(self, memory: dict[str, Array]) -> None:
        """Give the array its border and its order."""
        array, order = memory[self.buffer.name], self.order
        if self.like is not None:
            name, view = self.like
            steps = dict(zip(view.labels, view(memory[name]).strides, strict=True))
            far = [abs(steps[k]) if k is not None else math.inf for k in self.loops]
            order = tuple(sorted(range(len(far)), key=lambda axis: -far[axis]))
        if self.buffer.has_border and self.buffer.tensor is not None:
            array = with_border(array, self.buffer, order or memory_order(array))
        elif order:
            array = in_order(array, order)
        memory[self.buffer.name] = array


def preparations(program: Program) -> Iterator[list[Preparation]]:
    """For each table what is done to the buffers that it is the first to read."""
    done: set[str] = set()
    for table in program.tables:
        found = []
        views = [view_of(slot, table.extents) for slot in table.inputs]
        for slot, view in zip(table.inputs, views, strict=True):
            buffer = program.buffers[slot.buffer]
            if buffer.name in done or buffer.contents is not None:
                continue
            done.add(buffer.name)
            if view.is_windowed and view.reuse >= _WINDOWED and table.reduction == "sum":
                found.append(_window_preparation(buffer, slot, view, table, views))
            elif buffer.has_border and buffer.tensor is not None:
                found.append(Preparation(buffer, None))
        yield sorted(found, key=lambda each: each.like is not None)  # the other operand first


def _window_preparation(
    buffer: Buffer, slot: Slot, view: View, table: Table, views: Sequence[View]
) -> Preparation:
    """Lay a buffer that windows are copied from out so that the copy has long rows.

    Where the other operand is as large, its layout decides, so that it need not be copied too.
    """
    order = _window_order(slot, [other for other in table.inputs if other is not slot], table)
    groups = groups_of(views, table.reduced)
    if groups is None or not groups.is_matrix_product:
        return Preparation(buffer, order)
    position = 1 - table.inputs.index(slot)
    other = views[position]
    movers = [[k for k in view.labels if row[k]] for row in slot.steps]
    shared = [[k for k in axis if k in other.labels] for axis in movers]
    is_large = 2 * math.prod(other.shape) >= math.prod(buffer.dimensions)
    is_outer = all(
        len(both) == 1
        and both[0] in groups.summed
        and table.extents[both[0]] == max(table.extents[k] for k in axis)
        for axis, both in zip(movers, shared, strict=True)
        if len(axis) > 1
    )
    if other.is_windowed or not is_large or not is_outer:
        return Preparation(buffer, order)
    loops = tuple(both[0] if both else None for both in shared)
    return Preparation(buffer, None, (table.inputs[position].buffer, other), loops)


def _window_order(slot: Slot, others: Sequence[Slot], table: Table) -> tuple[int, ...]:
    """Windowed axes inside, and innermost the axis that lengthens the rows of the copy most.

    A row of windows runs over loops that are all summed, or all kept: over j and n of ``X[n,p,i+u,j+v]``, or
    over v and p.
    """
    extents = table.extents
    movers = [[k for k, n in enumerate(extents) if n > 1 and row[k]] for row in slot.steps]
    windowed = [axis for axis, loops in enumerate(movers) if len(loops) > 1]
    shared = {k for k in range(len(extents)) if any(row[k] for other in others for row in other.steps)}
    kept = {k for k in range(len(extents)) if k not in shared and k not in table.reduced}
    best: tuple[int, list[int]] = (0, [])
    for group in (kept, set(table.reduced)):
        lone = [axis for axis, loops in enumerate(movers) if len(loops) == 1 and loops[0] in group]
        run = math.prod(extents[movers[axis][0]] for axis in lone)
        if windowed:
            row = slot.steps[windowed[-1]]
            run *= math.prod(extents[k] for k in movers[windowed[-1]] if k in group and abs(row[k]) == 1)
        if run > best[0]:
            best = run, lone
    outer = [axis for axis in range(len(movers)) if axis not in windowed and axis not in best[1]]
    return (*outer, *windowed, *best[1])
