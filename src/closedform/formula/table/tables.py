"""Stride tables: what a formula is in memory.

A table is a loop nest.  For each loop it has the extent, and for each tensor the number of elements that
the tensor moves when the loop advances by one.  Padding is a border in the buffer, so that no loop has
a condition; a gradient's stride is one table for each residue, so that no inserted zero is multiplied.
`closedform.formula.table.lowering` makes the tables; both engines run them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from closedform.formula.tree import (
    Access,
    Bracket,
    Expression,
    Function,
    Number,
    Plus,
    Power,
    Times,
)


@dataclass(frozen=True)
class Buffer:
    """A tensor as it lies in memory, with a border around it.

    Attributes
    ----------
    name
        Unique in its program; a tensor that is read with two fills has two buffers.
    tensor
        The tensor of the formula whose entries it holds, or None where tables or `contents` fill it.
    shape
        The tensor's own shape, without the border.
    before, after
        Entries of border before and after, for each axis.
    fill
        What stands in the border, and nowhere else.
    order
        The axes as they lie in memory, the slowest first.
    contents
        The entries in row order, where they are known beforehand.
    """

    name: str
    tensor: str | None
    shape: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    fill: float
    order: tuple[int, ...]
    contents: tuple[float, ...] | None = None

    @cached_property
    def dimensions(self) -> tuple[int, ...]:
        """The shape with the border."""
        return tuple(a + n + b for a, n, b in zip(self.before, self.shape, self.after, strict=True))

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Elements from one entry to the next, for each axis."""
        found, step = [0] * len(self.shape), 1
        for axis in reversed(self.order):
            found[axis] = step
            step *= self.dimensions[axis]
        return tuple(found)

    @cached_property
    def size(self) -> int:
        """Elements in memory, the border among them."""
        return math.prod(self.dimensions)

    @cached_property
    def origin(self) -> int:
        """The element at which the tensor's entry (0, 0, …) lies."""
        return sum(step * border for step, border in zip(self.strides, self.before, strict=True))

    @property
    def has_border(self) -> bool:
        """Whether anything stands around the tensor."""
        return any(self.before) or any(self.after)


@dataclass(frozen=True)
class Slot:
    """How a table moves through one buffer.

    Attributes
    ----------
    buffer
        The buffer's name.
    start
        The entry at which every loop is 0, for each axis, counted with the border.
    steps
        For each axis the entries it moves with each loop.
    offset, strides
        The same in memory: an element, and for each loop the elements moved.
    """

    buffer: str
    start: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """A loop nest: ``out (+)= factor * reduction(body)``.

    Attributes
    ----------
    loops
        The name and the extent of each loop.
    out, inputs
        Where the output lies and where the inputs lie.
    reduced
        Which loops are reduced, by position.  Only in ``first`` do they move the output.
    reduction
        ``"sum"``, ``"max"``, ``"first"`` or None where nothing is reduced.  ``first`` gives 1 at the first
        maximum in row order of the reduced loops and 0 elsewhere; the first NaN counts as the maximum.
    factor
        A constant that the result is multiplied by.
    accumulate
        Whether the result is added to what the output holds, or replaces it.
    body
        A point-wise expression in which ``Access("0", ())``, ``Access("1", ())``, … are the inputs; None for
        the plain product of all inputs (1 where there are none).
    guards
        Slots that read 1 or 0.  Where one reads 0 the term is left out: it adds 0 whatever the inputs
        hold, and takes no part in a maximum.
    """

    loops: tuple[tuple[str, int], ...]
    out: Slot
    inputs: tuple[Slot, ...]
    reduced: tuple[int, ...] = ()
    reduction: str | None = None
    factor: Fraction = Fraction(1)
    accumulate: bool = False
    body: Expression | None = None
    guards: tuple[Slot, ...] = ()

    @property
    def is_product(self) -> bool:
        """Whether a term is the plain product of the inputs."""
        return self.body is None and not self.guards

    @property
    def extents(self) -> tuple[int, ...]:
        """The extent of each loop."""
        return tuple(extent for _, extent in self.loops)

    @property
    def terms(self) -> int:
        """How often the body is worked out."""
        return math.prod(self.extents)


@dataclass(frozen=True)
class Program:
    """The buffers of one equation and the tables that fill them, in order.

    Attributes
    ----------
    buffers
        By name.  Those with a tensor or with contents are filled before the first table.
    tables
        To be run in order; between them they write every entry of the output and of each temporary.
    output
        The name of the buffer that the result lies in; it has no border.
    """

    buffers: Mapping[str, Buffer]
    tables: tuple[Table, ...]
    output: str


@dataclass(frozen=True)
class Place:
    """A slot before memory is laid out: entries of a tensor, counted without a border."""

    tensor: str
    fill: float
    start: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]

    def reach(self, extents: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """The lowest and the highest entry that is touched, for each axis."""
        return tuple(
            (
                start + sum(step * (n - 1) for step, n in zip(row, extents, strict=True) if step < 0),
                start + sum(step * (n - 1) for step, n in zip(row, extents, strict=True) if step > 0),
            )
            for start, row in zip(self.start, self.steps, strict=True)
        )


@dataclass(frozen=True)
class Draft:
    """A table before memory is laid out; the fields are those of `Table`."""

    loops: tuple[tuple[str, int], ...]
    out: Place
    inputs: tuple[Place, ...]
    reduced: tuple[int, ...]
    reduction: str | None
    factor: Fraction
    accumulate: bool
    body: Expression | None
    guards: tuple[Place, ...]

    @property
    def extents(self) -> tuple[int, ...]:
        """The extent of each loop."""
        return tuple(extent for _, extent in self.loops)


def lay_out(
    drafts: Sequence[Draft],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    given: Iterable[str],
    contents: Mapping[str, tuple[float, ...]],
    order: Mapping[str, Sequence[int]],
    output: str,
) -> Program:
    """Give every tensor its buffer, with as much border as is read, and every table its strides.

    Parameters
    ----------
    drafts
        The tables, in order.
    shapes
        The shape of every tensor.
    given
        The tensors that are filled from outside.
    contents
        The entries of the tensors that are known beforehand.
    order
        The axes of a tensor as they lie in memory, slowest first; row order where nothing is said.
    output
        The tensor that is the result.
    """
    outside = set(given)
    borders: dict[tuple[str, str], tuple[list[int], list[int], float]] = {}
    for draft in drafts:
        for place in (*draft.inputs, *draft.guards):
            shape = shapes[place.tensor]
            key = (place.tensor, repr(place.fill))
            before, after, _ = borders.setdefault(key, ([0] * len(shape), [0] * len(shape), place.fill))
            for axis, (low, high) in enumerate(place.reach(draft.extents)):
                before[axis] = max(before[axis], -low)
                after[axis] = max(after[axis], high - shape[axis] + 1)
    buffers: dict[str, Buffer] = {}
    names: dict[tuple[str, str], str] = {}

    def add(tensor: str, before: Sequence[int], after: Sequence[int], fill: float) -> str:
        name = tensor
        while name in buffers:
            name += "+"
        buffers[name] = Buffer(
            name,
            tensor if tensor in outside else None,
            shapes[tensor],
            tuple(before),
            tuple(after),
            fill,
            tuple(order.get(tensor, range(len(shapes[tensor])))),
            contents.get(tensor),
        )
        return name

    # borders first: a read that stays inside may use any of the tensor's buffers
    with_border = sorted(borders.items(), key=lambda item: not any(item[1][0] + item[1][1]))
    for key, (before, after, fill) in with_border:
        known = [name for (other, _), name in names.items() if other == key[0]]
        if known and not any(before) and not any(after):
            names[key] = known[0]
        else:
            names[key] = add(key[0], before, after, fill)
    written = {draft.out.tensor for draft in drafts}
    for tensor in sorted(written - {tensor for tensor, _ in borders}):
        nothing = [0] * len(shapes[tensor])
        names[tensor, ""] = add(tensor, nothing, nothing, 0.0)
    home: dict[str, str] = {}
    for (tensor, _), name in names.items():
        home.setdefault(tensor, name)

    def slot(place: Place, name: str, loops: int) -> Slot:
        buffer = buffers[name]
        start = tuple(at + border for at, border in zip(place.start, buffer.before, strict=True))
        offset = sum(step * at for step, at in zip(buffer.strides, start, strict=True))
        strides = tuple(
            sum(step * row[loop] for step, row in zip(buffer.strides, place.steps, strict=True))
            for loop in range(loops)
        )
        return Slot(name, start, place.steps, offset, strides)

    def read(places: Iterable[Place], loops: int) -> tuple[Slot, ...]:
        return tuple(slot(place, names[place.tensor, repr(place.fill)], loops) for place in places)

    tables = tuple(
        Table(
            draft.loops,
            slot(draft.out, home[draft.out.tensor], len(draft.loops)),
            read(draft.inputs, len(draft.loops)),
            draft.reduced,
            draft.reduction,
            draft.factor,
            draft.accumulate,
            draft.body,
            read(draft.guards, len(draft.loops)),
        )
        for draft in drafts
    )
    return Program(buffers, tables, home[output])


def constant(expression: Expression, entries: Mapping[Access, float]) -> float:
    """The value of a point-wise expression for given entries, as floating point gives it."""
    match expression:
        case Number(value):
            return float(value.value({}))
        case Access():
            return entries[expression]
        case Plus(terms):
            return sum(constant(term, entries) for term in terms)
        case Times(factors):
            return math.prod(constant(factor, entries) for factor in factors)
        case Power(base, exponent):
            below = constant(base, entries)
            return float(below**exponent) if below or exponent > 0 else math.inf
        case Function(name, argument):
            return _function(name, constant(argument, entries))
        case Bracket(sides, relations):
            values = [constant(side, entries) for side in sides]
            pairs = zip(values, relations, values[1:], strict=False)
            return float(all(_compare(left, relation, right) for left, relation, right in pairs))
    raise ValueError(f"{expression} is not point-wise")


def _compare(left: float, relation: str, right: float) -> bool:
    match relation:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case "=":
            return left == right
        case _:
            return left != right


def _function(name: str, x: float) -> float:
    match name:
        case "relu":
            return max(x, 0.0)
        case "step":
            return float(x > 0)
        case "abs":
            return abs(x)
        case "sqrt":
            return math.sqrt(x) if x >= 0 else math.nan
        case "log":
            return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan
        case "tanh":
            return math.tanh(x)
        case "exp":
            return math.exp(x) if x < 709 else math.inf
        case "sigmoid":
            return 0.5 * (1 + math.tanh(0.5 * x))
        case "softplus":
            return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    raise ValueError(f"unknown function {name}")
