"""A plan as text: its loop nests, its buffers, and the memory that it takes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from closedform.architecture import Architecture
from closedform.engine.buffers import Buffer
from closedform.engine.building import layout_of
from closedform.engine.jit import host
from closedform.engine.lanes import layers_together
from closedform.engine.memory import Need, in_bytes, need
from closedform.engine.nests import IMAGES, Nest, Operand
from closedform.engine.passes import Mode, mixing_layers
from closedform.engine.plan import Plan, plan
from closedform.engine.schedule import Machine, Schedule, schedule
from closedform.engine.session import shards_of
from closedform.engine.writer import SHARED_OPERATIONS

WIDTH = 100
AVX2 = Machine(8, 16)
_MOST_COUNTED = 1 << 22  # products of a nest that are gone through to find those with a border
_LITTLE = 0.25  # of the products with a border's zeros, below which nothing is said

_NESTS = (("", 3), ("nest", 26), ("loops", 22), ("vector", 7), ("tile", 10), ("adds", 10), ("operations", 10))
_BUFFERS = (
    ("buffer", 26),
    ("memory", 9),
    ("shape", 22),
    ("order", 6),
    ("offset", 8),
    ("bytes", 8),
    ("nests", 7),
)
_RIGHT = {"operations", "offset", "bytes"}
_NEST_LEGEND = (
    "vector: the loop across the lanes, * vectors side by side; tile: turns kept in registers; adds: the",
    "order in which terms are added, the last innermost, |x| across the lanes, x/4 in four sums;",
    "operations: two for each multiply-add, for one image; N: images of a block, T: images side by side",
)
_BUFFER_LEGEND = (
    "offset: float32 entries in its memory, in a block those of one image; bytes: of a block, of the",
    "batch, of one shard; nests: the first and the last that touch it",
)


@dataclass(frozen=True)
class Row:
    """A nest of the plan as it runs.

    Attributes
    ----------
    number
        Its place among all nests, in the order in which they run.
    stage
        When it runs: a part of the plan.
    nest, schedule
        What it is, and how it is run.
    zeros
        The share of its products that multiply the zeros of a border.
    notes
        What keeps it from the processor's peak.
    unit
        How many images it runs for at a time where the plan does not divide the batch.
    """

    number: int
    stage: str
    nest: Nest
    schedule: Schedule
    zeros: float
    notes: tuple[str, ...]
    unit: int = 1

    @property
    def operations(self) -> int:
        """Two for each multiply-add, for one image."""
        return self.nest.operations // self.nest.together // self.unit


def plan_text(architecture: Architecture, batch: int, threads: int) -> str:
    """The plan of a training step, or of a forward pass where there is no loss.

    Parameters
    ----------
    architecture
        The network.
    batch
        Images at a time.
    threads
        Threads that share them.
    """
    if find_spec("llvmlite") is None:
        machine, remark = AVX2, "AVX2 (assumed: llvmlite is not installed)"
    else:
        target = host()
        machine, remark = Machine(target.lanes, target.registers), target.name
    planned, mixing = _planned(architecture, batch, machine)
    what = "training step" if architecture.loss else "forward pass"
    found = rows(planned, machine)
    lines = [
        f"Plan of a {what} at batch {batch}, {remark}: {machine.lanes} lanes, {machine.registers} registers",
        *_mixing_lines(architecture, mixing),
        "",
        *nest_lines(found, planned),
        *_NEST_LEGEND,
        "",
        *buffer_lines(planned, found, batch),
        *_BUFFER_LEGEND,
        "",
        *_totals(architecture, planned, found, batch, threads),
    ]
    return "\n".join(lines)


def predicted(architecture: Architecture, batch: int, threads: int, moments: int = 0) -> Need:
    """The memory that a training step takes, or a forward pass where there is no loss.

    Parameters
    ----------
    architecture
        The network.
    batch
        Images at a time.
    threads
        Threads that share them.
    moments
        How many numbers the optimiser remembers for each parameter.
    """
    target = host()
    planned, _ = _planned(architecture, batch, Machine(target.lanes, target.registers))
    return _need(architecture, planned, batch, threads, moments)


def _planned(architecture: Architecture, batch: int, machine: Machine) -> tuple[Plan, tuple[int, ...]]:
    """The plan of a training step, or of a forward pass, and the layers that mix images."""
    mode = Mode("loss", training=True) if architecture.loss else Mode()
    mixing = mixing_layers(architecture)
    together = 0 if mixing else layers_together(architecture, batch, machine.lanes)
    return plan(architecture, mode, machine, together, batch if mixing else 1), mixing


def _need(architecture: Architecture, planned: Plan, batch: int, threads: int, moments: int) -> Need:
    is_training = planned.mode.source != "none"
    units = batch // planned.unit
    return need(
        layout_of(planned),
        units,
        min(threads, units),
        shards_of(units, planned.together) if is_training else 0,
        architecture.parameter_count,
        moments if is_training else None,
    )


def rows(planned: Plan, machine: Machine) -> list[Row]:
    """Every nest of a plan, in the order in which they run.

    Parameters
    ----------
    planned
        The plan.
    machine
        What it was made for.
    """
    found: list[Row] = []
    stages = (
        ("prepare", planned.prepare),
        ("take", planned.take),
        ("block", planned.block),
        ("put", planned.put),
        ("staged", planned.staged),
    )
    for stage, nests in stages:
        for nest in nests:
            how = schedule(
                nest, machine, stage == "staged" or (stage == "block" and _is_shared(nest, planned))
            )
            zeros = border_share(nest, planned.buffers)
            notes = tuple(_notes(nest, how, machine, planned, stage, zeros))
            found.append(Row(len(found), stage, nest, how, zeros, notes, planned.unit))
    return found


def _is_shared(nest: Nest, planned: Plan) -> bool:
    """Whether threads share the nest where there are fewer blocks than threads."""
    is_large = nest.is_product and nest.operations >= SHARED_OPERATIONS
    return is_large and planned.mode.source == "none"


def border_share(nest: Nest, buffers: Mapping[str, Buffer]) -> float:
    """The share of a nest's products that read a border: they add nothing, and some are left out.

    Parameters
    ----------
    nest
        A sum of products.
    buffers
        The plan's buffers.
    """
    if not nest.operations:
        return 0.0
    bordered = [operand for operand in nest.inputs if buffers[operand.buffer].has_border]
    loops = [k for k in range(len(nest.loops)) if any(_walks(o, k, nest, buffers) for o in bordered)]
    extents = [nest.extents[k] for k in loops]
    if math.prod(extents) > _MOST_COUNTED:
        return 0.0
    inside = np.ones(extents, bool)
    for operand in bordered:
        inside &= _is_inside(operand, buffers[operand.buffer], loops, extents)
    return 1.0 - float(inside.mean())


def _walks(operand: Operand, loop: int, nest: Nest, buffers: Mapping[str, Buffer]) -> bool:
    """Whether a loop moves an operand along an axis that has a border, or may do so."""
    buffer = buffers[operand.buffer]
    pairs = zip(buffer.strides, buffer.before, buffer.after, strict=True)
    least = min(stride for stride, before, after in pairs if before or after)
    return abs(operand.strides[loop]) * (nest.extents[loop] - 1) >= least


def _is_inside(operand: Operand, buffer: Buffer, loops: list[int], extents: list[int]) -> np.ndarray:
    at = np.full(extents, operand.offset)
    for position, loop in enumerate(loops):
        moved = np.arange(extents[position]) * operand.strides[loop]
        at = at + moved.reshape([-1 if k == position else 1 for k in range(len(extents))])
    inside = np.ones(extents, bool)
    for axis, stride in enumerate(buffer.strides):
        entry = at // stride % buffer.dimensions[axis] - buffer.before[axis]
        inside &= (entry >= 0) & (entry < buffer.shape[axis])
    return inside


def _notes(
    nest: Nest, how: Schedule, machine: Machine, planned: Plan, stage: str, zeros: float
) -> Iterator[str]:
    lane, lanes = how.lane, machine.lanes
    images = planned.images if stage == "block" else 1
    if lane is None:
        if lanes > 1 and nest.terms * images > 1:
            yield "no loop lies across the lanes of a vector"
    elif nest.terms * images > 1:
        extent = images if lane == IMAGES else nest.extents[lane]
        if 2 * extent < lanes:
            yield f"{extent} of {lanes} lanes used"
        if nest.reduction is not None or not how.tile:  # a copy in a tile is turned in registers
            yield from _scattered(nest, lane)
    if zeros > _LITTLE:
        yield f"{zeros:.0%} of its products are with a border's zeros"


def _scattered(nest: Nest, lane: int) -> Iterator[str]:
    """What has to be gathered into a vector, or scattered from it, entry by entry."""
    read = [operand.buffer for operand in nest.operands[1:] if operand.stride(lane) not in (0, 1, -1)]
    if read:
        yield f"gathers {', '.join(dict.fromkeys(read))}"
    if lane not in nest.reduced and nest.out.stride(lane) != 1:
        yield f"scatters {nest.out.buffer}"


def nest_lines(found: Sequence[Row], planned: Plan) -> list[str]:
    """The table of the nests.

    Parameters
    ----------
    found
        From `rows`.
    planned
        The plan that they belong to.
    """
    titles = {
        "prepare": "prepare: once a step, from the parameters alone",
        "take": "take in: image by image",
        "block": f"block: up to {planned.images} images at a time, whose loop is N",
        "put": "give out: image by image",
        "staged": "per batch: once all images are done, entry by entry, shards in a fixed tree",
    }
    cells: list[tuple[str, ...]] = [tuple(name for name, _ in _NESTS)]
    extra: dict[int, list[str]] = {}
    stage = ""
    for row in found:
        if row.stage != stage:
            stage = row.stage
            extra.setdefault(len(cells) - 1, []).append(titles[stage])
        cells.append(_nest_cells(row))
        if row.notes:
            extra.setdefault(len(cells) - 1, []).append(f"     ! {'; '.join(row.notes)}")
    return _table(cells, [limit for _, limit in _NESTS], extra)


def _nest_cells(row: Row) -> tuple[str, ...]:
    nest, how = row.nest, row.schedule

    def name(loop: int) -> str:
        return "N" if loop == IMAGES else _short(nest.loops[loop][0])

    lanes = "-" if how.lane is None else f"{name(how.lane)}*{how.wide}" if how.wide > 1 else name(how.lane)
    reduced = [k for k in how.reduced if k != IMAGES]
    order = ["N"] * nest.sums_images + [name(k) for k in reduced]
    if how.partial > 1:
        order[-1] += f"/{how.partial}"
    if how.lane is not None and how.lane in nest.reduced:
        order.append(f"|{name(how.lane)}|")
    return (
        str(row.number),
        nest.label,
        " ".join(f"{_short(loop)}:{extent}" for loop, extent in nest.loops) or "-",
        lanes,
        " ".join(f"{name(loop)}:{size}" for loop, size in how.tile) or "-",
        " ".join(order) if row.stage not in ("prepare", "take", "put") and order else "-",
        f"{row.operations:,}" if row.operations else "-",
    )


def _short(loop: str) -> str:
    return loop.replace("together", "T")


def buffer_lines(planned: Plan, found: Sequence[Row], batch: int) -> list[str]:
    """The table of the buffers.

    Parameters
    ----------
    planned
        The plan.
    found
        Its nests, from `rows`.
    batch
        Images at a time.
    """
    touched: dict[str, list[int]] = {}
    for row in found:
        for name in row.nest.buffers:
            touched.setdefault(name, []).append(row.number)
    cells: list[tuple[str, ...]] = [tuple(name for name, _ in _BUFFERS)]
    for buffer in planned.buffers.values():
        cells.append(
            (
                buffer.name,
                _MEMORIES.get(buffer.kind, buffer.kind),
                ", ".join(_with_border(buffer)) or "1",
                "".join(map(str, buffer.order)) or "-",
                f"{buffer.offset:,}" if buffer.kind in _OWN else "-",
                in_bytes(4 * _elements(buffer, planned, batch)) if buffer.kind in _OWN else "-",
                _between(buffer, touched.get(buffer.name, []), len(found)),
            )
        )
    return _table(cells, [limit for _, limit in _BUFFERS], {})


_OWN = ("block", "batch", "parameter", "gradient", "shard", "shared", "constant")
_MEMORIES = {
    **dict.fromkeys(("x", "targets", "outputs", "losses", "dy", "dx"), "caller's"),
    **dict.fromkeys(("weights", "rate"), "step"),
}


def _with_border(buffer: Buffer) -> Iterator[str]:
    for before, extent, after in zip(buffer.before, buffer.shape, buffer.after, strict=True):
        yield f"{before}+{extent}+{after}" if before or after else str(extent)
    if buffer.together > 1:
        yield f"N:{buffer.together}"


def _elements(buffer: Buffer, planned: Plan, batch: int) -> int:
    if buffer.kind not in ("block", "batch"):
        return buffer.size
    images = planned.images if buffer.kind == "block" else batch
    return buffer.size * -(-images // buffer.together)


def _between(buffer: Buffer, numbers: Iterable[int], count: int) -> str:
    """The first and the last nest that needs the buffer's memory."""
    known = sorted(numbers)
    if not known:
        return "-"
    if buffer.kind == "block" and buffer.has_border:
        return "always"  # its border is filled once, before anything runs
    return str(known[0]) if known[0] == known[-1] else f"{known[0]}-{known[-1]}"


def _mixing_lines(architecture: Architecture, mixing: Sequence[int]) -> list[str]:
    if not mixing:
        return []
    names = ", ".join(architecture.labels[position] for position in mixing)
    verb = "mixes" if len(mixing) == 1 else "mix"
    return [f"! {names} {verb} images: the whole batch is one unit and runs on one thread"]


def _totals(
    architecture: Architecture, planned: Plan, found: Sequence[Row], batch: int, threads: int
) -> list[str]:
    is_training = planned.mode.source != "none"
    units = batch // planned.unit
    shards = shards_of(units, planned.together)
    threads = min(threads, units)
    parts = _need(architecture, planned, batch, threads, 0)
    operations = sum(row.operations for row in found)
    zeros = sum(row.operations * row.zeros for row in found) / max(operations, 1)
    with_zeros = f", {zeros:.0%} of them with a border's zeros" if zeros >= 0.005 else ""
    images = min(planned.images, units)
    in_block = f"{images} {'image' if images == 1 else 'images'}" if planned.unit == 1 else "the whole batch"
    lines = [
        f"Operations for one image: {operations:,}{with_zeros}",
        f"{in_block} in a block"
        + (f", {shards} {'shard' if shards == 1 else 'shards'}" if is_training else "")
        + f", {threads} {'thread' if threads == 1 else 'threads'}",
        *textwrap.wrap(f"Memory: {in_bytes(parts.total)} ({parts})", WIDTH),
    ]
    if is_training:
        one = in_bytes(2 * parts.gradients)
        lines.append(f"What the optimiser remembers adds {one} with momentum, twice that with Adam")
    return lines


def _table(rows: Sequence[Sequence[str]], limits: Sequence[int], extra: Mapping[int, list[str]]) -> list[str]:
    """Rows of cells in columns, long cells over several lines; `extra` has lines that follow a row."""
    wrapped = [[_wrapped(cell, limit) for cell, limit in zip(row, limits, strict=True)] for row in rows]
    widths = [max(len(line) for row in wrapped for line in row[column]) for column in range(len(limits))]
    lines: list[str] = []
    for number, row in enumerate(wrapped):
        for at in range(max(map(len, row))):
            cells = []
            for column, cell in enumerate(row):
                text = cell[at] if at < len(cell) else ""
                is_right = rows[0][column] in _RIGHT and number
                cells.append(text.rjust(widths[column]) if is_right else text.ljust(widths[column]))
            lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in widths))
        for line in extra.get(number, []):
            lines += textwrap.wrap(line, WIDTH, subsequent_indent=" " * 7, drop_whitespace=True) or [""]
    return lines


def _wrapped(cell: str, limit: int) -> list[str]:
    return textwrap.wrap(cell, limit, break_long_words=True, break_on_hyphens=False) or [""]
