"""How far the indices of a claimed formula run, where its tensors are a network's quantities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from closedform.checking.reach import values_inside
from closedform.errors import ShapeError
from closedform.formula.extents import Shape, Sizes, Value
from closedform.formula.syntax.names import extent_names
from closedform.formula.tree import Equation


@dataclass(frozen=True)
class Known:
    """What a layer says of the indices in a claim about it.

    Attributes
    ----------
    kernels
        By tensor, for each of its axes how many entries of it lie in a window; 0 where there are no windows.
    letters
        The extents of the indices in the layer's own line.
    """

    kernels: Mapping[str, Shape]
    letters: Mapping[str, int]


def formula_sizes(
    equation: Equation, shapes: Mapping[str, Shape], settings: Mapping[str, Value], known: Known
) -> Sizes:
    """The sizes of a claimed formula.

    An index that stands alone on the left fills its axis; any other walks the axis where it stands alone,
    or a window of it; then the letters of the layer's own line count, and last an index takes as many values
    as can lie inside an axis.  Reads outside are 0.

    Raises
    ------
    ShapeError
        Where that decides nothing, or a name has no value.
    """
    missing = sorted(set(equation.settings) - set(settings))
    if missing:
        raise ShapeError(f"{', '.join(missing)} has no value: it is no index, and no setting of the layer")
    extents: dict[str, int] = {}
    for subscript, length in zip(equation.left.subscripts, shapes[equation.left.tensor], strict=True):
        if subscript.lone:
            extents[subscript.lone] = length
    waiting = [index for index in equation.indices if index not in extents]
    while waiting:
        left = []
        for index in waiting:
            found = _inferred(index, equation, shapes, extents, settings, known)
            if found is None:
                left.append(index)
            else:
                extents[index] = found
        if len(left) == len(waiting):
            raise ShapeError(
                f"it is not clear how far {left[0]} runs: read a tensor at {left[0]} alone, "
                f"as in sum[{left[0]}] A[{left[0]}] * …"
            )
        waiting = left
    sizes = Sizes(extents, dict(settings), dict(shapes))
    for name in sorted(extent_names(equation.left) | extent_names(equation.right)):
        if f"|{name}|" not in sizes.values:
            raise ShapeError(f"|{name}| has no value: there is no such index or axis")
    return sizes


def _inferred(
    index: str,
    equation: Equation,
    shapes: Mapping[str, Shape],
    extents: Mapping[str, int],
    settings: Mapping[str, Value],
    known: Known,
) -> int | None:
    values: dict[str, Value] = {**settings, **{f"|{name}|": extent for name, extent in extents.items()}}
    bare: list[int] = []
    windows: list[int] = []
    reached: list[int] = []
    for access in equation.accesses:
        kernels = known.kernels.get(access.tensor, (0,) * len(access.subscripts))
        lengths = shapes[access.tensor]
        for subscript, length, kernel in zip(access.subscripts, lengths, kernels, strict=True):
            if subscript.lone == index:
                bare.append(length)
            elif index in subscript.names and not subscript.has_rounding:
                if kernel and all(n == index or n in extents for n in subscript.names & {*equation.indices}):
                    windows.append(kernel)
                count = values_inside(index, subscript, length, equation, extents, values)
                if count is not None:
                    reached.append(count)
    # an axis of one entry is not written: its letter is free for another use
    letters = [known.letters[index]] if known.letters.get(index, 1) > 1 else []
    if not bare and not windows and not letters and index in known.letters:
        return None
    return max(bare or windows or letters or reached, default=None)
