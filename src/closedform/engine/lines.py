"""The formulas of a network one after the other, each with the sizes at which it is worked out.

What nobody reads is not worked out.  A pooling of 2 × 2 on 11 × 11 entries leaves the last row and column
out: then the convolution before it need not make them, nor the one before that what only they are made of.
The gradient in what nobody reads is zero, so that the backward pass leaves out the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from closedform.architecture import Architecture
from closedform.errors import ShapeError
from closedform.formula.derive import Derivation, derive
from closedform.formula.extents import Shape, Sizes, solve
from closedform.formula.subscripts import unprimed
from closedform.formula.syntax import parse
from closedform.formula.syntax.names import extent_names
from closedform.formula.tree import Equation
from closedform.layers import Dense, Dropout, Flatten, Layer
from closedform.layers.base import INPUT, OUTPUT, derivation


@dataclass(frozen=True)
class Line:
    """One formula of the network: a layer's, or that of a flattening and the dense layer behind it.

    Attributes
    ----------
    position
        That of its layer.
    equation, sizes
        The formula, and the sizes at which it is worked out.
    layer
        The layer; None where the formula is that of two.
    input_shape
        The shape of one input of the layer, whole.
    before, after
        The numbers of the tensors that it reads and makes.
    parameters
        The network's names of its parameters, by the formula's.
    is_partial
        Whether it is worked out for a part of its output, or of its input.
    """

    position: int
    equation: Equation
    sizes: Sizes
    layer: Layer | None
    input_shape: Shape
    before: int
    after: int
    parameters: Mapping[str, str]
    is_partial: bool = False

    def derivation(self, tensor: str) -> Derivation:
        """The derivation of the gradient in one of the formula's tensors."""
        if self.layer is None or self.is_partial:
            facts, keep = ((), ()) if self.layer is None else (self.layer.facts(), self.layer.by_shape)
            return derive(self.equation, tensor, self.sizes, facts=facts, keep=keep)
        return derivation(self.layer, tensor, self.input_shape, self.sizes.shapes[INPUT][0])


def lines(architecture: Architecture, *, training: bool, batch: int = 1) -> list[Line]:
    """The formulas in order, without what nobody reads.

    Parameters
    ----------
    training
        Whether layers that draw do something.
    batch
        How many images are one unit of work.
    """
    return _read(list(_whole(architecture, training, batch)))


def _whole(architecture: Architecture, training: bool, batch: int) -> Iterable[Line]:
    """Every formula; flattening before a dense layer is part of the dense layer's."""
    now, layers = 0, architecture.layers
    for position, layer in enumerate(layers):
        shape = architecture.shapes[position]
        names = {p.tensor: f"{position}.{p.tensor}" for p in architecture.parameters if p.layer == position}
        if isinstance(layer, Dropout) and not training:
            continue
        if isinstance(layer, Flatten) and position + 1 < len(layers) and type(layers[position + 1]) is Dense:
            continue
        before, now = now, position + 1
        if type(layer) is Dense and position and isinstance(layers[position - 1], Flatten):
            shape = architecture.shapes[position - 1]
            if len(shape) > 1:
                equation, sizes = _dense_on_images(layer, shape, batch)
                yield Line(position, equation, sizes, None, shape, before, now, names)
                continue
        equation, sizes = layer.formula_for(shape), layer.sizes(shape, batch)
        yield Line(position, equation, sizes, layer, shape, before, now, names)


def _dense_on_images(layer: Dense, shape: Shape, batch: int) -> tuple[Equation, Sizes]:
    """Flattening and a dense layer as one formula: its weight's columns are the image's entries."""
    axes = [f"a{k}" for k in range(len(shape))]
    entry = ",".join(axes)
    bias = "b[o] + " if layer.bias else ""
    line = f"Y[n,o] = {bias}sum[{entry}] W[o,{entry}] * X[n,{entry}]"
    equation = parse(line, settings=frozenset({"o"}))
    sizes = solve(equation, {INPUT: (batch, *shape)}, {"o": layer.out_features})
    if math.prod(sizes.shapes["W"]) != layer.out_features * math.prod(shape):
        raise ValueError("a dense layer's weight must have a column for each entry")
    return equation, sizes


# ---- what is read


def _read(whole: Sequence[Line]) -> list[Line]:
    """The lines at the sizes of what is read; the network's input and output stay as they are."""
    uncut = {len(whole) - 1}  # lines whose output has to be made whole
    while True:
        found, failed = _cut(whole, _free_axes(whole, uncut))
        if failed is None:
            return found
        uncut.add(failed)


def _cut(whole: Sequence[Line], free: Sequence[tuple[bool, ...]]) -> tuple[list[Line], int | None]:
    """The lines cut to what is read; or the place of one that turns out to have to make all of its output."""
    found: list[Line] = []
    made = whole[-1].sizes.shapes[OUTPUT] if whole else ()
    for place in reversed(range(len(whole))):
        line = whole[place]
        shapes = line.sizes.shapes
        read = shapes[INPUT]
        if place:
            reach = _reach(line, made)
            read = tuple(r if f else n for n, r, f in zip(read, reach, free[place - 1], strict=True))
        if (read, made) == (shapes[INPUT], shapes[OUTPUT]):
            found.append(line)
        else:
            sizes = _sizes(line, read, made)
            if sizes is None:
                return [], place if made != shapes[OUTPUT] else place - 1
            found.append(replace(line, sizes=sizes, is_partial=True))
        made = read
    return found[::-1], None


def _free_axes(whole: Sequence[Line], uncut: set[int]) -> list[tuple[bool, ...]]:
    """For each axis of each output whether it can be made in part.

    Nothing else may be as long as it: no parameter, no mask, and no axis of the input that is whole.
    """
    free: list[tuple[bool, ...]] = []
    for place, line in enumerate(whole):
        left, equation = line.equation.left.subscripts, line.equation
        draws = line.layer is None or type(line.layer).draw is not Layer.draw
        if draws or place in uncut or _reads_lengths(line):
            free.append((False,) * len(left))
            continue
        taken: set[str | None] = {None}
        for access in equation.accesses:
            if access.tensor != INPUT:
                taken |= {name for subscript in access.subscripts for name in subscript.names}
                continue
            before = free[-1] if free else (False,) * len(access.subscripts)
            taken |= {s.lone for s, is_free in zip(access.subscripts, before, strict=True) if not is_free}
        free.append(tuple(axis > 0 and subscript.lone not in taken for axis, subscript in enumerate(left)))
    return free


def _reads_lengths(line: Line) -> bool:
    """Whether the length of an axis of input or output decides more than how far the formula goes.

    It may be a number in it; and a primed index, of a sum perhaps, runs as far as the unprimed one.
    """
    equation = line.equation
    names = extent_names(equation.left) | extent_names(equation.right)
    left = set(equation.left_indices)
    has_primes = any(unprimed(index) != index for index in equation.indices)
    return has_primes or any(name in left or name.partition(".")[0] in (INPUT, OUTPUT) for name in names)


def _reach(line: Line, made: Shape) -> Shape:
    """How much of each axis of the input is read to make so much of the output."""
    equation, shape = line.equation, line.sizes.shapes[INPUT]
    if _reads_lengths(line):
        return shape
    extents = dict(line.sizes.extents)
    extents |= {
        s.lone: length for s, length in zip(equation.left.subscripts, made, strict=True) if s.lone is not None
    }
    values = line.sizes.values
    reach = [0] * len(shape)
    for access in equation.accesses:
        if access.tensor != INPUT:
            continue
        for axis, subscript in enumerate(access.subscripts):
            names = [name for name in equation.indices if name in subscript.names]
            if subscript.has_rounding or subscript.has_division:
                reach[axis] = shape[axis]
                continue
            highest = subscript.without(names).value(values)
            for name in names:
                step = subscript.coefficient(name).value(values)
                highest += max(Fraction(0), step * (extents[name] - 1))
            reach[axis] = max(reach[axis], math.floor(highest) + 1)
    return tuple(min(n, max(1, r)) for n, r in zip(shape, reach, strict=True))


def _sizes(line: Line, read: Shape, made: Shape) -> Sizes | None:
    """The sizes for a part of input and output; None where anything else would be of another size."""
    if line.layer is None:
        return None
    bindings = line.layer.written(line.input_shape)[1]
    try:
        sizes = solve(line.equation, {INPUT: read, OUTPUT: made}, bindings)
    except ShapeError:
        return None
    cut = {*line.equation.left_indices, INPUT, OUTPUT}
    before, after = ({**s.extents, **s.shapes} for s in (line.sizes, sizes))
    is_same = all(after.get(name) == before[name] for name in before if name not in cut)
    return sizes if is_same and sizes.settings == line.sizes.settings else None
