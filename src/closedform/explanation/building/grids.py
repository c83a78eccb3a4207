"""Arrays as grids of cells: the channels of an image side by side, borders and inserted zeros, gaps.

What is too large is shown in part: the first rows, columns and channels and the last, with a gap between
them, and a note that says how many entries there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from closedform.explanation.building.entries import Read
from closedform.explanation.building.many import digits
from closedform.explanation.building.writing import Writer
from closedform.explanation.document import Cell, Grid, Maker, Prose
from closedform.explanation.math import Math, Numeral
from closedform.formula.naming.recipe import Axis, Operand

Position = tuple[int, ...]


@dataclass(frozen=True)
class Limits:
    """How much of an array is shown.

    Attributes
    ----------
    rows
        The longest axis that is shown whole; of a longer one the first `head` entries and the last `tail`.
    stack
        The most grids that are shown for one array.
    entries
        How many entries of an array are written out.
    terms
        How many terms of a sum are written.
    """

    rows: int = 10
    head: int = 7
    tail: int = 1
    stack: int = 4
    entries: int = 6
    terms: int = 16


_GAP = "… "
_LARGE = 800  # entries of all quantities from which less of each is shown


def limits_for(shapes: Iterable[Position]) -> Limits:
    """How much is shown of arrays of these shapes, which are all that a document holds."""
    if sum(map(math.prod, shapes)) <= _LARGE:
        return Limits()
    return Limits(rows=5, head=3, stack=3, entries=3, terms=8)


def shown_along(length: int, limits: Limits) -> list[int | None]:
    """Which of an axis's entries are shown, None for the gap."""
    if length <= limits.rows:
        return list(range(length))
    return [*range(limits.head), None, *range(length - limits.tail, length)]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A tensor as it enters a sum: zeros inserted and around it, perhaps reversed, windows laid side by side.

    Attributes
    ----------
    name
        Of the tensor, in the names of its zeros.
    shape
        Before it is prepared.
    own
        What was done with each axis after axes were split and merged.
    split
        The extents into which the axes of the tensor were split.
    merge
        Which of these were laid together as one axis.
    axes
        What was done with each axis of the tensor; None where axes were split or merged first.
    """

    name: str
    shape: Position
    own: tuple[Axis, ...]
    split: Position
    merge: tuple[tuple[int, ...], ...]
    axes: tuple[Axis, ...] | None

    @property
    def lengths(self) -> Position:
        """The lengths of the axes after they are prepared."""
        before = [math.prod(self.split[k] for k in group) for group in self.merge]
        return tuple(_spread(axis, n) + sum(axis.pad) for axis, n in zip(self.own, before, strict=True))

    @property
    def is_rotated(self) -> bool:
        """Whether an axis of more than one entry is reversed."""
        return self.axes is not None and any(
            axis.rotate for axis, n in zip(self.axes, self.shape, strict=True) if n > 1
        )

    def entry(self, place: Position) -> Position | None:
        """Which entry stands at a place; None where a zero does."""
        parts = [0] * len(self.split)
        for at, axis, group in zip(place, self.own, self.merge, strict=True):
            extents = [self.split[k] for k in group]
            spread = _spread(axis, math.prod(extents))
            from_start = at - axis.pad[0]
            if axis.rotate:
                from_start = spread - 1 - from_start
            if not 0 <= from_start < spread or from_start % (axis.insert + 1):
                return None
            for k, part in zip(
                group, digits(from_start // (axis.insert + 1) // axis.repeat, extents), strict=True
            ):
                parts[k] = part
        number = 0
        for part, extent in zip(parts, self.split, strict=True):
            number = number * extent + part
        return digits(number, self.shape)

    def place(self, position: Sequence[Fraction | int]) -> Position | None:
        """Where a read outside or between the entries falls; None where nothing is shown."""
        found = []
        for k, n, length, axis in zip(
            position, self.shape, self.lengths, self.axes or (), strict=bool(self.axes)
        ):
            if axis.repeat > 1:
                return None
            place = Fraction(k) * (axis.insert + 1)
            place = ((n - 1) * (axis.insert + 1) - place if axis.rotate else place) + axis.pad[0]
            if place.denominator != 1 or not 0 <= place < length:
                return None
            found.append(int(place))
        return tuple(found)

    def zero_name(self, place: Position) -> str:
        """The name of the zero at a place."""
        return "_".join([self.name, "zero", *map(str, place)])

    def header(self, axis: int, place: int, first: int) -> str:
        """The number of a row or column; an inserted one has none."""
        if self.axes is None:
            return str(place + first)
        own, n = self.axes[axis], self.shape[axis]
        from_start = place - own.pad[0]
        if from_start % (own.insert + 1):
            return "·"
        number = from_start // (own.insert + 1)
        if own.repeat > 1:
            number //= own.repeat
        return _signed((n - 1 - number if own.rotate else number) + first)


def _spread(axis: Axis, length: int) -> int:
    """The length of an axis when its entries are repeated and zeros stand between them."""
    length *= axis.repeat
    return length + axis.insert * (length - 1)


def _signed(number: int) -> str:
    return f"−{-number}" if number < 0 else str(number)


def prepared(operand: Operand, name: str) -> Prepared:
    """A recipe's operand as a picture."""
    is_simple = all(len(group) == 1 for group in operand.merge) and all(len(p) == 1 for p in operand.split)
    split = tuple(extent for axis in operand.split for extent in axis)
    axes = operand.axes if is_simple else None
    return Prepared(name, operand.shape, operand.axes, split, operand.merge, axes)


def transposed(picture: Prepared) -> Prepared:
    """A matrix with its rows as columns."""
    own, merge = picture.own[::-1], picture.merge[::-1]
    return Prepared(picture.name, picture.shape, own, picture.split, merge, None)


def plain(name: str, shape: Position) -> Prepared:
    """A tensor as it is."""
    axes = tuple(Axis(((f"axis{k}", 1),)) for k in range(len(shape)))
    return Prepared(name, shape, axes, shape, tuple((k,) for k in range(len(shape))), axes)


@dataclass(frozen=True)
class Shown:
    """One array for the page.

    Attributes
    ----------
    prepared
        Its axes.
    title
        What stands above each grid, and in words.
    label
        The title in plain words.
    note
        What was done to it, beside its size.
    content
        The number or symbol of an entry.
    name
        The name of an entry.
    words
        What each axis counts: ``image``, ``channel``, ``q``.
    is_column
        Whether a single row stands upright, as it is transposed.
    """

    prepared: Prepared
    title: Prose
    label: str
    note: str
    content: Callable[[Position], Math]
    name: Callable[[Position], str]
    words: tuple[str, ...]
    is_column: bool = False


def _stack(extents: Sequence[int], limits: Limits) -> tuple[list[Position], int]:
    """Which grids of an array are shown, and how many there are."""
    count = math.prod(extents)
    numbers = range(count) if count <= limits.stack else [*range(limits.stack - 1), count - 1]
    return [digits(number, extents) for number in numbers], count


def grids(
    shown: Shown, writer: Writer, limits: Limits, makers: Mapping[Position, Maker] | None = None
) -> tuple[Grid, ...]:
    """The array as grids, one for each channel of each image; at most `limits.stack` of them."""
    lengths = shown.prepared.lengths
    wide = [axis for axis, length in enumerate(lengths) if length > 1]
    rows, columns = (wide[-2], wide[-1]) if len(wide) > 1 else (None, wide[-1] if wide else None)
    if shown.is_column and len(wide) == 1:
        rows, columns = columns, None
    stacked = wide[:-2]
    chosen, count = _stack([lengths[axis] for axis in stacked], limits)
    found = []
    for number, place in enumerate(chosen):
        fixed = dict(zip(stacked, place, strict=True))
        about = [
            f"{shown.words[axis]} {k + writer.first}"
            if len(shown.words[axis]) > 1
            else f"{shown.words[axis]} = {k + writer.first}"
            for axis, k in fixed.items()
        ]
        if len(chosen) < count and number == len(chosen) - 1:
            about.append(f"{_GAP}{count - len(chosen)} more before it")
        found.append(_grid(shown, writer, limits, makers or {}, fixed, rows, columns, about))
    return tuple(found)


def _grid(
    shown: Shown,
    writer: Writer,
    limits: Limits,
    makers: Mapping[Position, Maker],
    fixed: Mapping[int, int],
    rows: int | None,
    columns: int | None,
    about: Sequence[str],
) -> Grid:
    lengths = shown.prepared.lengths
    down: list[int | None] = [0] if rows is None else shown_along(lengths[rows], limits)
    across: list[int | None] = [0] if columns is None else shown_along(lengths[columns], limits)
    own = shown.prepared.shape if shown.prepared.axes else lengths
    size = " × ".join(str(own[axis]) for axis in (rows, columns) if axis is not None) or "1"
    notes = [*about, size, shown.note]
    cells = tuple(
        tuple(_cell(shown, makers, _place(lengths, fixed, rows, i, columns, j)) for j in across) for i in down
    )
    return Grid(
        shown.title,
        ", ".join(note for note in notes if note),
        tuple(
            "" if rows is None or i is None else shown.prepared.header(rows, i, writer.first) for i in down
        ),
        tuple(
            "" if columns is None or j is None else shown.prepared.header(columns, j, writer.first)
            for j in across
        ),
        cells,
        ", ".join([shown.label, *about]),
    )


def _place(
    lengths: Position,
    fixed: Mapping[int, int],
    rows: int | None,
    i: int | None,
    columns: int | None,
    j: int | None,
) -> Position | None:
    if i is None or j is None:
        return None
    found = [fixed.get(axis, 0) for axis in range(len(lengths))]
    if rows is not None:
        found[rows] = i
    if columns is not None:
        found[columns] = j
    return tuple(found)


def _cell(shown: Shown, makers: Mapping[Position, Maker], place: Position | None) -> Cell:
    if place is None:
        return Cell(None, kind="gap")
    entry = shown.prepared.entry(place)
    if entry is None:
        return Cell(Numeral(Fraction(0)), shown.prepared.zero_name(place), "zero")
    return Cell(shown.content(entry), shown.name(entry), maker=makers.get(entry))


def is_partial(grid: Grid) -> bool:
    """Whether a grid has gaps, or stands after grids that are left out."""
    return _GAP in grid.note or any(cell.kind == "gap" for row in grid.cells for cell in row)


def visible_entries(shape: Position, limits: Limits) -> Iterator[Position]:
    """The entries of a tensor, as it is, that its grids show."""
    wide = [axis for axis, length in enumerate(shape) if length > 1]
    stacked = wide[:-2]
    chosen, _ = _stack([shape[axis] for axis in stacked], limits)
    lines = [[k for k in shown_along(shape[axis], limits) if k is not None] for axis in wide[-2:]]
    for place in chosen:
        for inside in product(*lines):
            found = [0] * len(shape)
            for axis, k in zip((*stacked, *wide[-2:]), (*place, *inside), strict=True):
                found[axis] = k
            yield tuple(found)


def left_out(shape: Position, limits: Limits) -> int:
    """How many entries of a tensor its grids do not show."""
    return math.prod(shape) - sum(1 for _ in visible_entries(shape, limits))


def written_out(shape: Position, limits: Limits) -> tuple[list[Position], int]:
    """The entries that are written out (the first ones and the last), and how many are not."""
    total = math.prod(shape)
    if total <= 2 * limits.entries:
        return [digits(k, shape) for k in range(total)], 0
    numbers = [*range(limits.entries - 1), total - 1]
    return [digits(k, shape) for k in numbers], total - len(numbers)


def zero_or_entry(read: Read, pictures: Mapping[str, Prepared], name: Callable[[Read], str]) -> str:
    """The name of what is read: an entry, or a zero that the picture shows; empty where it shows none."""
    if read.is_inside:
        return name(read)
    picture = pictures.get(read.tensor)
    place = picture.place(read.position) if picture else None
    return picture.zero_name(place) if picture and place is not None else ""
