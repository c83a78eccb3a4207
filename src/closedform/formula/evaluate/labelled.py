"""Arrays whose axes have names, and what formulas do with them: products, sums of products, extrema."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

_SHORT = 16  # NumPy's reductions over shorter inner loops cost more than a copy in a better order
_WORTH_A_CALL = 2048  # multiplications below which a matrix product is mostly overhead


@dataclass(frozen=True, eq=False)  # by identity: whether two arrays are equal is no one truth
class Labelled:
    """An array with one axis for each of its labels."""

    array: Array
    labels: tuple[str, ...]

    def along(self, labels: Sequence[str]) -> Array:
        """A view with its axes in this order, and one of length 1 for every label that it lacks."""
        kept = [self.labels.index(label) for label in labels if label in self.labels]
        where = [slice(None) if label in self.labels else None for label in labels]
        return self.array.transpose(kept)[(*where, ...)]

    def spread(self, extents: Mapping[str, int]) -> Array:
        """Its entries along all of these labels, repeated along those that it lacks."""
        array = self.along(tuple(extents))
        shape = tuple(extents.values())
        return array if array.shape == shape else np.broadcast_to(array, shape)

    @property
    def extents(self) -> dict[str, int]:
        """The length of each axis by its label."""
        return dict(zip(self.labels, self.array.shape, strict=True))


def union(values: Iterable[Labelled]) -> tuple[str, ...]:
    """Every label, in the order in which they come."""
    return tuple(dict.fromkeys(label for value in values for label in value.labels))


def masked(value: Labelled, masks: Iterable[Labelled], fill: float) -> Labelled:
    """The value where every mask is true, `fill` elsewhere; it gains the labels of the masks."""
    for mask in masks:
        labels = union([value, mask])
        value = Labelled(
            np.where(mask.along(labels), value.along(labels), value.array.dtype.type(fill)), labels
        )
    return value


def all_of(masks: Sequence[Labelled]) -> Labelled:
    """Where every mask is true."""
    labels = union(masks)
    result = np.ones((), bool)
    for mask in masks:
        result = result & mask.along(labels)
    return Labelled(result, labels)


def any_over(masks: Iterable[Labelled], indices: Collection[str]) -> list[Labelled]:
    """Masks that are all true where, for some values of the indices, all of these are."""
    untouched: list[Labelled] = []
    groups: list[list[Labelled]] = []  # masks of different groups share none of the indices
    for mask in masks:
        own = set(mask.labels) & set(indices)
        if not own:
            untouched.append(mask)
            continue
        joined = [group for group in groups if own & set(union(group))]
        groups = [group for group in groups if group not in joined]
        groups.append([mask, *(member for group in joined for member in group)])
    return untouched + [reduced(all_of(group), indices, np.logical_or) for group in groups]


def reduced(value: Labelled, indices: Collection[str], operation: np.ufunc) -> Labelled:
    """The sum, the maximum … over those labels that are among the indices."""
    gone = [label for label in value.labels if label in indices]
    if not gone:
        return value
    kept = tuple(label for label in value.labels if label not in indices)
    axes = [value.labels.index(label) for label in gone]
    inner = min(axes, key=lambda axis: abs(value.array.strides[axis]))
    if not kept or value.array.shape[inner] >= _SHORT:
        return Labelled(np.asarray(operation.reduce(value.array, axis=tuple(axes))), kept)
    windows = np.ascontiguousarray(value.along([*gone, *kept]))
    return Labelled(operation.reduce(windows.reshape(-1, *windows.shape[len(gone) :]), axis=0), kept)


def first_maximum(value: Labelled, indices: Sequence[str], masks: Sequence[Labelled]) -> Labelled:
    """1 at the first maximum over the indices in row order among the terms that the masks allow, else 0.

    A NaN counts as the maximum.
    """
    kept = [label for label in value.labels if label not in indices]
    labels = (*indices, *kept)
    terms = np.ascontiguousarray(value.along(labels))
    flat = terms.reshape(-1, *terms.shape[len(indices) :])
    found = (flat == flat.max(axis=0)) | np.isnan(flat)
    if masks:
        allowed = np.broadcast_to(all_of(masks).along(labels), terms.shape)
        found &= allowed.reshape(found.shape)
    found[1:] &= ~np.logical_or.accumulate(found, axis=0)[:-1]
    return Labelled(found.reshape(terms.shape).astype(terms.dtype), labels)


def contract(operands: Sequence[Labelled], out: Sequence[str]) -> Labelled:
    """The product of the operands, summed over every label that is not in `out`.

    Two operands are multiplied at a time, that pair first whose product is smallest next to what it
    replaces; a label is summed as soon as no other operand has it.
    """
    waiting = [
        reduced(operand, _lonely(operand, [*operands[:k], *operands[k + 1 :]], out), np.add)
        for k, operand in enumerate(operands)
    ]
    while len(waiting) > 1:
        first, second = min(
            combinations(range(len(waiting)), 2), key=lambda pair: _growth(waiting, pair, out)
        )
        right, left = waiting.pop(second), waiting.pop(first)
        waiting.append(_multiply(left, right, [*out, *union(waiting)]))
    return waiting[0]


def _lonely(operand: Labelled, others: Sequence[Labelled], out: Sequence[str]) -> set[str]:
    return set(operand.labels).difference(out, union(others))


def _growth(waiting: Sequence[Labelled], pair: tuple[int, int], out: Sequence[str]) -> int:
    left, right = (waiting[k] for k in pair)
    others = [operand for k, operand in enumerate(waiting) if k not in pair]
    extents = left.extents | right.extents
    kept = set(out).union(union(others)) & set(extents)
    return math.prod(extents[label] for label in kept) - left.array.size - right.array.size


def _multiply(left: Labelled, right: Labelled, kept: Sequence[str]) -> Labelled:
    """The product, summed over what is not kept (both have that); ordered as `kept` where that is free."""
    labels = tuple(dict.fromkeys(label for label in kept if label in left.labels or label in right.labels))
    shared = [label for label in left.labels if label in right.labels]
    summed = [label for label in shared if label not in labels]
    if not summed:
        return Labelled(left.along(labels) * right.along(labels), labels)
    if labels and labels[-1] in left.labels:
        left, right = right, left  # so that the last axis comes from the right matrix's columns
    batch = [label for label in labels if label in shared]
    rows = [label for label in labels if label in left.labels and label not in shared]
    columns = [label for label in labels if label in right.labels and label not in shared]
    if not rows and not columns:
        numbers = {label: k for k, label in enumerate(union([left, right]))}
        operands = [part for v in (left, right) for part in (v.array, [numbers[label] for label in v.labels])]
        product = np.einsum(*operands, [numbers[label] for label in batch])
        return Labelled(np.asarray(product), tuple(batch))
    extents = left.extents | right.extents
    tail: list[str] = []  # the columns that the result ends in
    for label in reversed(labels):
        if label not in columns:
            break
        tail.insert(0, label)
    if tail and math.prod(extents[label] for label in [*rows, *summed, *tail]) >= _WORTH_A_CALL:
        # one matrix product for each of the leading columns: the result then has its order already
        columns = tail
    batch = [label for label in labels if label not in rows and label not in columns]
    # [rows×summed]·[summed×columns] → [rows×columns] for each of the batch
    product = _matrix(left, batch, rows, summed) @ _matrix(right, batch, summed, columns)
    ordered = (*batch, *rows, *columns)
    return Labelled(product.reshape([extents[label] for label in ordered]), ordered)


def _matrix(value: Labelled, batch: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> Array:
    """The matrices (*batch, rows, columns), stored by rows or by columns, whichever copies in longer runs."""

    def run(labels: Sequence[str]) -> tuple[int, int]:
        own = [label for label in labels if label in value.labels]
        strides = dict(zip(value.labels, value.array.strides, strict=True))
        return min(((abs(strides[label]), -value.extents[label]) for label in own), default=(1 << 62, 0))

    by_columns = run(rows) < run(columns)
    order = [*batch, *columns, *rows] if by_columns else [*batch, *rows, *columns]
    array = value.along(order)
    split = len(batch) + len(columns if by_columns else rows)
    height, width = math.prod(array.shape[len(batch) : split]), math.prod(array.shape[split:])
    array = array.reshape(*array.shape[: len(batch)], height, width)
    if array.strides[-1] != array.itemsize or array.strides[-2] < width * array.itemsize:
        array = np.ascontiguousarray(array)  # BLAS takes no other strides
    return array.swapaxes(-1, -2) if by_columns else array
