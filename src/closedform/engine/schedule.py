"""From a loop nest to the way it is run: vector index, register tile, loop order, unrolling.

Everything is read off strides and extents.  The order in which an entry's terms are added is decided
first and from the nest alone, so that nothing that is chosen here afterwards changes a sum; only which
index lies across the lanes of a vector may, and that depends on the vector width alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from closedform.engine.nests import IMAGES, Bound, Nest

IMAGE_TILES = (8, 4, 2, 1)
_UNROLLED = 4
_SMALL = 8  # partial sums of a tile up to which reduced loops are written out
_PARTIAL = 4
_OFTEN = 16
_TALL = 192  # reduced turns from which an image at a time pays


@dataclass(frozen=True)
class Schedule:
    """How a nest is run.

    Attributes
    ----------
    lane
        The loop across the lanes of a vector; `IMAGES` for the images, None for none.
    wide
        Vectors side by side in the register tile.
    tile
        The loops that fill the register tile, with how many turns each.
    outer
        The other loops of the output, outermost first; `IMAGES` among them or in `reduced`.
    reduced
        The reduced loops, outermost first: the order in which terms are added.
    unrolled
        How many of the innermost reduced loops are written out.
    partial
        In how many sums the innermost reduced loop is added up, turn by turn in rotation; they are added
        in pairs at the end.
    """

    lane: int | None
    wide: int
    tile: tuple[tuple[int, int], ...]
    outer: tuple[int, ...]
    reduced: tuple[int, ...]
    unrolled: int
    partial: int = 1

    def size(self, loop: int) -> int:
        """How many turns of a loop the register tile holds."""
        return dict(self.tile).get(loop, 1)


@dataclass(frozen=True)
class Machine:
    """What the scheduler must know of a processor: lanes of a vector register, and how many there are."""

    lanes: int
    registers: int

    @property
    def accumulators(self) -> int:
        """Registers that may hold partial sums; the others hold operands."""
        return self.registers - 6 if self.registers >= 32 else self.registers - 4


@lru_cache(maxsize=4096)
def schedule(nest: Nest, machine: Machine, splits: bool = False) -> Schedule:
    """Choose how a nest is run.

    Parameters
    ----------
    nest
        The loop nest.
    machine
        Vector lanes and registers.
    splits
        Whether the outermost loop is to be shared between threads: then it stays a loop.
    """
    pair = turned(nest)
    if pair is not None and machine.lanes > 1:
        return _turning(nest, *pair, machine)
    lane = vector_loop(nest, machine)
    if not nest.is_product or nest.reduction is None or lane == IMAGES:
        return _plain(nest, lane)
    return _tiled(nest, lane, machine, splits)


def turned(nest: Nest) -> tuple[int, int] | None:
    """The loops along which a plain copy reads and writes what is contiguous, where they are two."""
    if nest.reduction is not None or nest.body is not None or len(nest.inputs) != 1:
        return None
    if nest.fused or nest.accumulate or nest.factor != 1:
        return None
    (source,), out = nest.inputs, nest.out
    read = [k for k, extent in enumerate(nest.extents) if source.strides[k] == 1 and extent > 1]
    written = [k for k, extent in enumerate(nest.extents) if out.strides[k] == 1 and extent > 1]
    if len(read) != 1 or len(written) != 1 or read == written:
        return None
    if any(g.strides[read[0]] or g.strides[written[0]] not in (0, 1) for g in nest.guards):
        return None
    return read[0], written[0]


def _turning(nest: Nest, read: int, written: int, machine: Machine) -> Schedule:
    """A copy in square blocks that are turned in registers."""
    outer = [k for k in _parallel(nest, written) if k != read]
    return Schedule(written, 1, ((read, machine.lanes),), (IMAGES, *outer), (), 0)


def vector_loop(nest: Nest, machine: Machine) -> int | None:
    """The loop that goes across the lanes: the one that wastes least."""
    if machine.lanes == 1:
        return None
    found = max(_lane_candidates(nest, machine), default=(0.0, 0, None), key=lambda each: each[:2])
    return found[2]


def _lane_candidates(nest: Nest, machine: Machine) -> Iterator[tuple[float, int, int | None]]:
    """Share of a vector that does useful work, extent, loop."""
    lanes = machine.lanes
    per_output = math.prod(nest.extents[k] for k in nest.reduced)
    for loop, extent in enumerate(nest.extents):
        is_reduced = loop in nest.reduced
        if nest.reduction == "first" and is_reduced:
            continue
        if is_reduced and not (nest.is_product and nest.reduction == "sum"):
            continue
        share = extent / (math.ceil(extent / lanes) * lanes)
        cost = 1.0
        for operand in nest.operands[1:]:
            cost += _reach(operand.strides[loop], lanes)
        if is_reduced:
            cost += 10 / max(per_output / lanes, 1)
        else:
            cost += _reach(nest.out.strides[loop], lanes, is_out=True)
        yield share / cost, extent, loop
    if not nest.sums_images and not (nest.is_product and nest.reduction == "sum" and per_output > 64):
        cost = 1.0 + sum(_reach(operand.image, lanes) for operand in nest.operands[1:])
        cost += _reach(nest.out.image, lanes, is_out=True)
        yield 0.5 / cost, 0, IMAGES


def _reach(stride: int, lanes: int, is_out: bool = False) -> float:
    """What it costs to bring lanes that lie `stride` apart into a register, in multiply-adds."""
    if stride == 1 or (stride == 0 and not is_out):
        return 0.0
    if stride == -1:
        return 1.0
    return lanes * (2.0 if is_out else 1.0)


def _parallel(nest: Nest, lane: int | None) -> list[int]:
    moving = [k for k in range(len(nest.loops)) if k not in nest.reduced and k != lane]
    return sorted(moving, key=lambda k: (-abs(nest.out.strides[k]), k))


def _plain(nest: Nest, lane: int | None) -> Schedule:
    """No register tile: what is point-wise, maxima, and sums of anything but products."""
    reduced = _order(nest, lane)
    outer = tuple(_parallel(nest, lane))
    if lane != IMAGES:
        outer = (IMAGES, *outer)  # sums over images too: one image after the other is added to the output
    return Schedule(lane, 1, (), outer, reduced, 0)


def _order(nest: Nest, lane: int | None) -> tuple[int, ...]:
    """The order of adding: long strides outside, so that what is near in memory follows each other."""
    if nest.reduction in ("max", "first"):
        return nest.reduced
    reach = {k: max((abs(o.strides[k]) for o in nest.inputs), default=0) for k in nest.reduced}
    return tuple(sorted((k for k in nest.reduced if k != lane), key=lambda k: (-reach[k], k)))


def _tiled(nest: Nest, lane: int | None, machine: Machine, splits: bool) -> Schedule:
    reduced = _order(nest, lane)
    lanes = machine.lanes
    is_across = lane is not None and lane in nest.reduced  # the sum runs across the lanes
    blocks = 1 if lane is None or is_across else math.ceil(nest.extents[lane] / lanes)
    parallel = _parallel(nest, lane)
    turns = math.prod(nest.extents[k] for k in reduced)
    partial = _partial(nest, lane, reduced, lanes)
    # an image's own sum is added to the output as a whole where it does not go on from the output
    tall = turns >= _TALL or is_across or nest.factor != 1 or partial > 1
    choices = list(parallel)
    # what several threads share may be a single image
    if not nest.sums_images and (not splits or _is_read_once(nest)):
        choices.append(IMAGES)
    best: tuple[float, int, tuple[tuple[int, int], ...]] | None = None
    best_cost = math.inf
    for wide in _widths(blocks):
        room = machine.accumulators // (wide * partial)
        for tile in _tiles(nest, choices, room):
            cost = _cost(nest, lane, wide, blocks, tile, is_across) * _counting(nest, reduced, tile, lane)
            if cost < best_cost - 1e-9:
                best, best_cost = (cost, wide, tile), cost
    if best is None:
        best = (0.0, 1, ())
    _, wide, tile = best
    full = {loop for loop, size in tile if loop != IMAGES and size == nest.extents[loop]}
    if splits and parallel:
        full.discard(parallel[0])
    outer = [k for k in parallel if k not in full]
    if nest.sums_images:
        # one image after the other keeps its data near; short sums rather stay in registers
        if tall and not splits:
            outer.insert(0, IMAGES)
        else:
            reduced = (IMAGES, *reduced)
    elif IMAGES in dict(tile):
        outer.append(IMAGES)
    else:
        outer.insert(0, IMAGES)
    if partial > 1:
        return Schedule(lane, wide, tile, tuple(outer), reduced, 0, partial)
    # a large tile is long enough to hide the loop, and would only keep more operands alive
    is_small = wide * math.prod(size for _, size in tile) <= _SMALL
    # across the lanes vectors are added innermost, whatever the tile
    most = _UNROLLED if is_small and not is_across else 1
    unrolled, product = 0, 1
    for k in reversed(reduced):
        extent = nest.extents[k] if k != IMAGES else most + 1
        if product * extent > most:
            break
        product *= extent
        unrolled += 1
    return Schedule(lane, wide, tile, tuple(outer), reduced, unrolled)


def _is_read_once(nest: Nest) -> bool:
    """Whether an image reads each entry that all images share but a few times, as in a dense layer."""
    shared = [operand for operand in nest.inputs if not operand.image]
    return any(
        math.prod(extent for k, extent in enumerate(nest.extents) if not operand.strides[k]) < _OFTEN
        for operand in shared
    )


def used_bounds(nest: Nest, reduced: Sequence[int], lane: int | None) -> tuple[Bound, ...]:
    """The bounds that are kept to: one for each reduced loop but the innermost; lanes have no own ones."""
    outer = [bound for bound in nest.bounds if bound.reduced in reduced[:-1] and bound.loop != lane]
    return tuple({bound.reduced: bound for bound in outer}.values())


def _counting(
    nest: Nest, reduced: Sequence[int], tile: tuple[tuple[int, int], ...], lane: int | None
) -> float:
    """The share of a sum's turns that are left where those that read only zeros are left out."""
    share = 1.0
    for bound in used_bounds(nest, reduced, lane):
        size = dict(tile).get(bound.loop, 1)
        extent, turns = nest.extents[bound.loop], nest.extents[bound.reduced]
        left = 0
        for first in range(0, extent, size):
            last = min(first + size, extent) - 1
            low, high = bound.turns(first, last, turns)
            left += (high - low) * (last + 1 - first)
        share *= left / (extent * turns)
    return share


def _partial(nest: Nest, lane: int | None, reduced: Sequence[int], lanes: int) -> int:
    """In how many sums a lone sum is divided: one alone would wait for each addition to end."""
    if len(nest.inputs) != 1 or not reduced or lane in nest.reduced:
        return 1
    outputs = math.prod(nest.extents[k] for k in range(len(nest.loops)) if k not in nest.reduced)
    is_long = nest.extents[reduced[-1]] >= 2 * _PARTIAL
    return _PARTIAL if is_long and outputs <= _PARTIAL * lanes else 1


def _widths(blocks: int) -> list[int]:
    return [wide for wide in (1, 2, 3, 4) if wide <= blocks]


def _sizes(extent: int, room: int) -> list[int]:
    """Turns that a register tile may hold of a loop: those that split it into equal parts, or nearly."""
    found: dict[int, int] = {}
    for size in range(1, min(room, extent) + 1):
        found.setdefault(math.ceil(extent / size), size)
    return sorted(found.values())


def _tiles(nest: Nest, choices: list[int], room: int) -> Iterator[tuple[tuple[int, int], ...]]:
    yield ()
    sizes = {
        k: [s for s in IMAGE_TILES if 1 < s <= room]
        if k == IMAGES
        else [s for s in _sizes(nest.extents[k], room) if s > 1]
        for k in choices
    }
    for k in choices:
        for size in sizes[k]:
            yield ((k, size),)
    for a, b in itertools.combinations(choices, 2):
        for s, t in itertools.product(sizes[a], sizes[b]):
            if s * t <= room:
                yield ((a, s), (b, t))


def _cost(
    nest: Nest,
    lane: int | None,
    wide: int,
    blocks: int,
    tile: tuple[tuple[int, int], ...],
    is_across: bool,
) -> float:
    """About how long one multiply-add takes, in half cycles: two run at once, and two loads."""
    points = math.prod(size for _, size in tile)
    sums = points * wide
    loads = 0.0
    for operand in nest.inputs:
        copies = 1
        offsets = {0}
        for loop, size in tile:
            stride = operand.stride(loop)
            if stride:
                if loop == IMAGES:
                    copies *= size
                else:
                    offsets = {at + stride * turn for at in offsets for turn in range(size)}
        across = lane is not None and operand.strides[lane] != 0
        loads += copies * len(offsets) * (wide if across and not is_across else 1)
    waste = 1.0
    for loop, size in tile:
        if loop != IMAGES:
            extent = nest.extents[loop]
            whole, rest = divmod(extent, size)
            # a short rest runs with fewer sums than the units can overlap
            short = max(1.0, 8 / (rest * sums / size)) if rest else 1.0
            waste *= (whole * size + rest * min(short, 4.0)) / extent
    lanes_waste = math.ceil(blocks / wide) * wide / blocks
    lanes_waste = 1.0 + (lanes_waste - 1.0) * 0.5
    latency = max(1.0, 8 / sums)
    cost = max(1.0 * latency, (loads + 0.0) / sums) + 0.12 * loads / sums
    return cost * waste * lanes_waste - 0.0005 * sums
