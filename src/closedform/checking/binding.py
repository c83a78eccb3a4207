"""What the names in a claimed formula stand for: tensors, and how far each index runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from closedform.checking.claims import FormulaClaim
from closedform.checking.lines import Line
from closedform.checking.reach import values_inside
from closedform.errors import FormulaError, SettingError
from closedform.formula.extents import Sizes
from closedform.formula.subscripts import digits, unprimed
from closedform.formula.syntax.names import extent_names
from closedform.formula.tree import Access, Equation, accesses, replace_access
from closedform.layers.base import Layer

_MOST_COMBINATIONS = 10_000_000  # of the values of a claim's indices
_MUCH_MORE = 50


def public_names(layer: Layer, formula: Equation) -> dict[str, str]:
    """The names that a claim may use for a formula's tensors, and the formula's own: weight, dweight."""
    names = {layer.public_name(tensor): tensor for tensor in formula.tensors}
    names |= {tensor: tensor for tensor in formula.tensors}
    return names | {f"d{public}": f"d{tensor}" for public, tensor in names.items()}


def target_of(layer: Layer, formula: Equation, name: str) -> str | None:
    """The tensor whose gradient a name like ``dX`` stands for; None where it is the value's own name.

    Raises
    ------
    SettingError
        Where it is neither.
    """
    if name == formula.left.tensor:
        return None
    known = {f"d{public}": t for public, t in _differentiable(layer, formula).items()}
    if name in known:
        return known[name]
    expected = ", ".join([formula.left.tensor, *(f"d{tensor}" for tensor in formula.tensors)])
    raise SettingError(f"{type(layer).__name__} has no {name}: a claim is about one of {expected}")


def _differentiable(layer: Layer, formula: Equation) -> dict[str, str]:
    names = {layer.public_name(tensor): tensor for tensor in formula.tensors}
    return names | {tensor: tensor for tensor in formula.tensors} | {"input": formula.accesses[0].tensor}


def with_own_names(claim: FormulaClaim, layer: Layer, formula: Equation) -> FormulaClaim:
    """The claim with the formula's names for weight, bias and their gradients."""
    names = public_names(layer, formula)

    def renamed(access: Access) -> Access:
        return Access(names.get(access.tensor, access.tensor), access.subscripts)

    equation = claim.equation
    return FormulaClaim(
        claim.source, Equation(renamed(equation.left), replace_access(equation.right, renamed))
    )


def fail_at(source: str, name: str, reason: str) -> FormulaError:
    """The error of a formula, with the caret under the first mention of a name."""
    found = re.search(rf"(?<![\w'|]){re.escape(name)}(?![\w'])", source)
    return FormulaError(reason, source, found.start() if found else 0)


def check_names(claim: FormulaClaim, line: Line) -> None:
    """Raise where the claim reads a tensor or a setting that there is not.

    Raises
    ------
    FormulaError
        With a caret under the place.
    """
    known = {**line.sizes.shapes, **{d.left.tensor: () for d in line.definitions}}
    known = {name: shape for name, shape in known.items() if "∂" not in name}
    known.pop(line.name, None)
    if not line.is_loss:
        known[line.upstream or f"d{line.formula.left.tensor}"] = line.sizes.shapes[line.formula.left.tensor]
    if line.wrt is None:
        known = {name: known[name] for name in line.formula.tensors}
    for access in accesses(claim.equation.right):
        if access.tensor not in known:
            shown = ", ".join(known)
            raise fail_at(
                claim.source,
                access.tensor,
                f"there is no tensor {access.tensor} here: a claim may read {shown}",
            )
        shape = line.sizes.shapes.get(access.tensor)
        if shape is not None and len(shape) != len(access.subscripts):
            raise fail_at(
                claim.source,
                access.tensor,
                f"{access.tensor} has {len(shape)} {'axis' if len(shape) == 1 else 'axes'}, "
                f"but is read with {len(access.subscripts)}",
            )
    for name in claim.equation.settings:
        if name not in line.sizes.settings:
            settings = ", ".join(sorted(line.sizes.settings)) or "none"
            raise fail_at(
                claim.source,
                name,
                f"{name} is neither an index on the left, nor summed, nor a setting of the layer, which has "
                f"{settings}: sum over it (sum[{name}]) or write a number",
            )


def claim_sizes(claim: FormulaClaim, line: Line) -> Sizes:
    """How far each index of a claim runs.

    An index on the left fills the axis where it stands, if the left side has as many axes as is right.
    Every other index of the layer keeps its extent, and a new one gets it from where it stands.

    Raises
    ------
    FormulaError
        Where that decides nothing, with a caret under the index.
    """
    equation, own = claim.equation, line.sizes
    extents: dict[str, int] = {}
    length: int | None
    if len(equation.left.subscripts) == len(line.shape):
        for subscript, length in zip(equation.left.subscripts, line.shape, strict=True):
            if subscript.lone and not digits(subscript):
                extents[subscript.lone] = length
    formula_indices = {unprimed(index) for index in line.formula.indices}
    for index in equation.indices:
        if index not in extents and unprimed(index) in formula_indices and own.knows(index):
            extents[index] = own.extent(index)
    waiting = [index for index in equation.indices if index not in extents]
    while waiting:
        left: list[str] = []
        for index in waiting:
            length = _inferred(index, equation, line, extents)
            if length is None:
                left.append(index)
            else:
                extents[index] = length
        if len(left) == len(waiting):
            raise fail_at(
                claim.source,
                left[0],
                f"it is not clear how far {left[0]} runs: no tensor is read at {left[0]} alone; "
                f"use the layer's own indices {', '.join(line.formula.indices)}",
            )
        waiting = left
    _check_work(claim, line, extents)
    shapes = {name: shape for name, shape in own.shapes.items() if name != equation.left.tensor}
    upstream = line.upstream or f"d{line.formula.left.tensor}"
    shapes.setdefault(upstream, own.shapes[line.formula.left.tensor])
    known = {**{i: own.extents[i] for i in own.extents}, **extents}
    sizes = Sizes(known, own.settings, shapes)
    for name in sorted(_bars(equation)):
        if name not in sizes.values:
            raise fail_at(claim.source, name, f"{name} has no value: there is no such index or axis here")
    return sizes


def _check_work(claim: FormulaClaim, line: Line, extents: Mapping[str, int]) -> None:
    """Raise where a claim runs over far more than the formula that is right."""
    usual = math.prod(line.sizes.extent(index) for index in line.equation.indices)
    claimed = math.prod(extents[index] for index in claim.equation.indices)
    if claimed > max(_MOST_COMBINATIONS, _MUCH_MORE * usual):
        raise FormulaError(
            f"this runs over {claimed} combinations of {', '.join(claim.equation.indices)}, "
            f"what is right over {usual}: that is too much to work out",
            claim.source,
            0,
        )


def _bars(equation: Equation) -> set[str]:
    return {f"|{name}|" for name in extent_names(equation.left) | extent_names(equation.right)}


def _inferred(index: str, equation: Equation, line: Line, extents: Mapping[str, int]) -> int | None:
    """The extent of a new index: the axis that it walks, or as many values as can lie inside one."""
    bare, reach = [], []
    values = {**line.sizes.values, **{f"|{name}|": n for name, n in extents.items()}}
    upstream = line.upstream or f"d{line.formula.left.tensor}"
    for access in equation.accesses:
        shape = line.sizes.shapes.get(access.tensor)
        if shape is None and access.tensor == upstream:
            shape = line.sizes.shapes[line.formula.left.tensor]
        for subscript, length in zip(access.subscripts, shape or (), strict=False):
            if subscript.lone == index:
                bare.append(length)
            elif index in subscript.names and not subscript.has_rounding:
                reached = values_inside(index, subscript, length, equation, extents, values)
                if reached:
                    reach.append(reached)
    if bare:
        return max(bare)
    return max(reach) if reach else None
