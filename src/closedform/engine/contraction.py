"""Sums of products: a copy of windows side by side and one matrix product, or offset by offset."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from closedform.engine.views import Array, View, in_order, spread

Labelled: TypeAlias = tuple[Array, tuple[int, ...]]  # an array and the loops that its axes are
Contraction: TypeAlias = Callable[[Sequence[Array]], Labelled]
Strides: TypeAlias = tuple[int, ...]

FEW = 64  # offsets of a window that are gone through one by one
_BLOCK = 1 << 20  # entries from which a copy of windows is made and multiplied in parts
_LAYOUTS = 16  # layouts of the operands for which the arrangement is remembered


@dataclass(frozen=True)
class Groups:
    """The loops of a product of two operands, by who has them; those of extent 1 are left out."""

    batch: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    summed: tuple[int, ...]

    @property
    def is_matrix_product(self) -> bool:
        """Whether each operand has loops of its own, or there is one product only."""
        return bool(self.left and self.right) or not self.batch


def groups_of(views: Sequence[View], reduced: Sequence[int]) -> Groups | None:
    """The groups of two operands; None where one has a summed loop alone, or there are more operands."""
    if len(views) != 2:
        return None
    left, right = views
    both = [k for k in left.labels if k in right.labels]
    if any(k in reduced for view in views for k in view.labels if k not in both):
        return None
    return Groups(
        tuple(k for k in both if k not in reduced),
        tuple(k for k in left.labels if k not in both),
        tuple(k for k in right.labels if k not in both),
        tuple(k for k in both if k in reduced),
    )


def contraction(views: Sequence[View], extents: Sequence[int], reduced: Sequence[int]) -> Contraction:
    """How the product of the operands is summed over the reduced loops.

    Parameters
    ----------
    views
        The operands.
    extents
        Of every loop of the table.
    reduced
        The loops that are summed, some of which move an operand.
    """
    if len(views) == 1:
        return _sum_of_one(views[0], extents, reduced)
    groups = groups_of(views, reduced)
    if groups is None:
        return _einsum(views, reduced)
    if groups.is_matrix_product:
        return _MatrixProduct(views, extents, groups)
    if max(view.reuse for view in views) > 1:
        if math.prod(extents[k] for k in groups.summed) <= FEW:
            return _sum_of_shifts(views, extents, groups.summed)
        if math.prod(extents[k] for k in (*groups.left, *groups.right)) <= FEW:
            return _dots(views, extents, groups)
    return _einsum(views, reduced)


def _sum_of_one(view: View, extents: Sequence[int], reduced: Sequence[int]) -> Contraction:
    summed = tuple(k for k in view.labels if k in reduced)
    if view.is_windowed and math.prod(extents[k] for k in summed) <= FEW:
        return _sum_of_shifts([view], extents, summed)
    axes = tuple(view.labels.index(k) for k in summed)
    kept = tuple(k for k in view.labels if k not in reduced)

    def run(arrays: Sequence[Array]) -> Labelled:
        return np.add.reduce(arrays[0], axis=axes), kept

    return run


# ---- offset by offset


def _offsets(extents: Sequence[int], loops: Sequence[int]) -> list[dict[int, int]]:
    return [dict(zip(loops, at, strict=True)) for at in product(*[range(extents[k]) for k in loops])]


def _at(offset: dict[int, int], labels: Sequence[int]) -> tuple[Any, ...]:
    return tuple(offset.get(k, slice(None)) for k in labels)


def _alike(views: Sequence[View], arrays: Sequence[Array]) -> list[Array]:
    """The operands laid out as the one with windows, so that all are run through in long rows."""
    lead = max(range(len(views)), key=lambda k: views[k].reuse)
    strides = dict(zip(views[lead].labels, arrays[lead].strides, strict=True))
    found = []
    for position, (view, array) in enumerate(zip(views, arrays, strict=True)):
        order = sorted(range(array.ndim), key=lambda axis: -abs(strides.get(view.labels[axis], 1 << 62)))
        found.append(array if position == lead else in_order(array, order))
    return found


def _sum_of_shifts(views: Sequence[View], extents: Sequence[int], summed: Sequence[int]) -> Contraction:
    """A sum over few offsets."""
    labels = tuple(sorted({k for view in views for k in view.labels} - set(summed)))
    places = [[_at(offset, view.labels) for view in views] for offset in _offsets(extents, summed)]
    kept = [tuple(k for k in view.labels if k not in summed) for view in views]

    def terms(arrays: Sequence[Array], place: Sequence[tuple[Any, ...]]) -> list[Array]:
        return [spread(array[at], own, labels) for array, at, own in zip(arrays, place, kept, strict=True)]

    def run_one(arrays: Sequence[Array]) -> Labelled:
        (first,), (second,) = terms(arrays, places[0]), terms(arrays, places[1])
        total = first + second
        for place in places[2:]:
            total += terms(arrays, place)[0]
        return total, labels

    def run_two(arrays: Sequence[Array]) -> Labelled:
        arrays = _alike(views, arrays)
        left, right = terms(arrays, places[0])
        total = np.multiply(left, right)
        scratch = np.empty_like(total)
        for place in places[1:]:
            left, right = terms(arrays, place)
            np.multiply(left, right, out=scratch)
            total += scratch
        return total, labels

    return run_one if len(views) == 1 else run_two


def _dots(views: Sequence[View], extents: Sequence[int], groups: Groups) -> Contraction:
    """For few offsets of the one operand that has loops of its own a product with the other at each."""
    own = groups.left or groups.right
    places = [[_at(offset, view.labels) for view in views] for offset in _offsets(extents, own)]
    kept = [[k for k in view.labels if k not in own] for view in views]
    shape = tuple(extents[k] for k in own)

    def run(arrays: Sequence[Array]) -> Labelled:
        left, right = _alike(views, arrays)
        found = [
            np.einsum(left[at_left], kept[0], right[at_right], kept[1], groups.batch)
            for at_left, at_right in places
        ]
        stacked = np.stack(found, axis=-1)
        return stacked.reshape(*stacked.shape[:-1], *shape), (*groups.batch, *own)

    return run


# ---- matrix products


@dataclass(frozen=True)
class _Matrix:
    """How an operand becomes matrices: transpose, reshape, copy, and exchange the last two axes.

    `block` is the axis of the loop that is gone through in blocks, None where the operand lacks it.
    """

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    is_transposed: bool
    is_plain: bool
    block: int | None

    def __call__(self, array: Array) -> Array:
        # operands that are matrices already are taken as they are
        matrix = array if self.is_plain else array.transpose(self.axes).reshape(self.shape)
        if not _suits_blas(matrix):
            matrix = np.ascontiguousarray(matrix)
        return matrix.swapaxes(-1, -2) if self.is_transposed else matrix

    def part(self, array: Array, start: int, stop: int) -> Array:
        """The matrices of one block."""
        if self.block is not None:
            array = array[(slice(None),) * self.block + (slice(start, stop),)]
        return self(array)


@dataclass(frozen=True)
class _Arrangement:
    """Which operand comes first, the two matrices, and the loops of their product with their extents."""

    first: int
    left: _Matrix
    right: _Matrix
    shape: tuple[int, ...]
    loops: tuple[int, ...]
    block: int | None


class _MatrixProduct:
    """A product of two operands as matrix products, arranged by how the operands lie in memory.

    A large copy of windows is made and multiplied block by block, so that the room it takes is bounded.
    """

    def __init__(self, views: Sequence[View], extents: Sequence[int], groups: Groups):
        self.labels = [view.labels for view in views]
        self.extents, self.groups = tuple(extents), groups
        sizes = [math.prod(view.shape) for view in views]
        self.lead = 0 if sizes[0] > sizes[1] else 1
        rows, columns, summed = (
            math.prod(extents[k] for k in loops) for loops in (groups.left, groups.right, groups.summed)
        )
        if max(view.reuse for view in views) > 1:
            # BLAS is fastest with long rows in the product, or else with the wider operand first
            self.last = self.lead if summed < max(rows, columns) else int(columns < rows)
        else:
            self.last = int(max(groups.left, default=-1) < max(groups.right, default=-1))
        self.blocks = -(-sizes[self.lead] // _BLOCK) if views[self.lead].reuse > 1 and not groups.batch else 1
        self.sums_blocks = summed > (rows, columns)[self.lead]
        self.arranged: dict[tuple[Strides, Strides], _Arrangement] = {}

    def __call__(self, arrays: Sequence[Array]) -> Labelled:
        """The product, and the loops that are its axes."""
        layout = arrays[0].strides, arrays[1].strides
        found = self.arranged.get(layout)
        if found is None:
            found = self._arrange(*layout)
            if len(self.arranged) < _LAYOUTS:
                self.arranged[layout] = found
        operands = arrays[found.first], arrays[1 - found.first]
        if found.block is None:
            product = np.matmul(found.left(operands[0]), found.right(operands[1]))
        else:
            product = self._by_blocks(found, *operands)
        return product if product.shape == found.shape else product.reshape(found.shape), found.loops

    def _by_blocks(self, found: _Arrangement, left: Array, right: Array) -> Array:
        extent = self.extents[found.block or 0]
        size = -(-extent // self.blocks)
        parts = [(start, min(start + size, extent)) for start in range(0, extent, size)]
        if self.sums_blocks:
            total: Array = np.matmul(found.left.part(left, *parts[0]), found.right.part(right, *parts[0]))
            for part in parts[1:]:
                total += np.matmul(found.left.part(left, *part), found.right.part(right, *part))
            return total
        # the loop of the blocks is the slowest of the lead's own
        height = math.prod(self.extents[k] for k in found.loops if k in self._own(found.first))
        result = np.empty((height, math.prod(found.shape) // height), left.dtype)
        fixed = found.left(left)
        width = result.shape[1] // extent
        for start, stop in parts:
            np.matmul(
                fixed, found.right.part(right, start, stop), out=result[:, start * width : stop * width]
            )
        return result

    def _own(self, operand: int) -> tuple[int, ...]:
        return self.groups.right if operand else self.groups.left

    def _arrange(self, left: Strides, right: Strides) -> _Arrangement:
        strides = [
            {k: abs(step) for k, step in zip(labels, steps, strict=True)}
            for labels, steps in zip(self.labels, (left, right), strict=True)
        ]

        def sort(loops: Sequence[int], operand: int) -> list[int]:
            return sorted(loops, key=lambda k: -strides[operand][k])

        batch, summed = sort(self.groups.batch, self.lead), sort(self.groups.summed, self.lead)
        own = [sort(self.groups.left, 0), sort(self.groups.right, 1)]
        first, last = 1 - self.last, self.last
        loops = (*batch, *own[first], *own[last])
        block: int | None = None
        if self.blocks > 1 and (self.sums_blocks or self.last == self.lead):
            block = (summed if self.sums_blocks else own[self.lead])[0]

        def matrix(operand: int, rows: list[int], columns: list[int]) -> _Matrix:
            return self._matrix(strides[operand], self.labels[operand], batch, rows, columns, block)

        return _Arrangement(
            first,
            matrix(first, own[first], summed),
            matrix(last, summed, own[last]),
            tuple(self.extents[k] for k in loops),
            loops,
            block,
        )

    def _matrix(
        self,
        strides: dict[int, int],
        labels: Sequence[int],
        batch: list[int],
        rows: list[int],
        columns: list[int],
        block: int | None,
    ) -> _Matrix:
        # of the two groups the one that lies closer together in memory stays the inner one in a copy
        is_transposed = self._run(strides, rows) > self._run(strides, columns)
        outer, inner = (columns, rows) if is_transposed else (rows, columns)
        axes = tuple(labels.index(k) for k in (*batch, *outer, *inner))
        lengths = [
            -1 if block in loops else math.prod(self.extents[k] for k in loops) for loops in (outer, inner)
        ]
        shape = (*[self.extents[k] for k in batch], *lengths)
        is_plain = axes == (0, 1) and shape == tuple(self.extents[k] for k in labels)
        return _Matrix(axes, shape, is_transposed, is_plain, labels.index(block) if block in labels else None)

    def _run(self, strides: dict[int, int], loops: Sequence[int]) -> tuple[int, int]:
        """How many entries of these loops lie side by side, and how close the others are."""
        closest = min((strides[k] for k in loops), default=0)
        run = 1
        for k in reversed(loops):
            if strides[k] != run * closest:
                break
            run *= self.extents[k]
        nearest = min(strides.values(), default=0)
        return (run if closest == nearest else 0), -closest


def _suits_blas(matrix: Array) -> bool:
    height, width = matrix.shape[-2:]
    down, along = matrix.strides[-2:]
    item = matrix.itemsize
    if width == 1 or height == 1:
        return bool(matrix.flags.c_contiguous)
    return along == item and down >= width * item and down % item == 0


def _einsum(views: Sequence[View], reduced: Sequence[int]) -> Contraction:
    labels = [list(view.labels) for view in views]
    kept = sorted({k for names in labels for k in names} - set(reduced))
    path: Any = False
    if len(views) > 2:
        # the order of the products is found on arrays of the right shape that take no room
        shapes: list[Any] = [np.broadcast_to(np.float32(0), view.shape) for view in views]
        pairs = [part for pair in zip(shapes, labels, strict=True) for part in pair]
        path = np.einsum_path(*pairs, kept, optimize="optimal")[0]

    def run(arrays: Sequence[Array]) -> Labelled:
        operands: list[Any] = [part for pair in zip(arrays, labels, strict=True) for part in pair]
        return np.einsum(*operands, kept, optimize=path), tuple(kept)

    return run
