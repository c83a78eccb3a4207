"""Reading what somebody claims: a formula, an array that may be partly filled, or a Python function.

- A formula is text in the language; it is parsed, never run.  Its left side is ``Y`` (``L`` of a loss) or a
  gradient such as ``dX``.  It may read the layer's tensors, under the formula's names or the public ones
  (``weight``, ``bias``), ``Y``, the gradient from above ``dY``, the targets ``T`` of a loss (and ``Y``, its
  probabilities), and names that the derivation defines (``M``).
- An array is nested lists or a NumPy array of numbers, `fractions.Fraction`, or text such as ``"9/4"`` and
  ``"-0.5"``; None, NaN, ``"?"`` and ``""`` stand where nothing is filled in.
- A function is called with arrays by keyword, ``f(X=..., W=..., dY=...)``: with those of the names above
  that its parameters have, or with all of them where it takes ``**arrays``.  What it returns is an array.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.lines import Line
from closedform.errors import DataError, FormulaError, SettingError, ShapeError
from closedform.formula.extents import Shape, Sizes
from closedform.formula.subscripts import Polynomial, digits, unprimed
from closedform.formula.syntax import parse
from closedform.formula.tree import Access, Equation, accesses, replace_access
from closedform.layers.base import Layer, shape_text

Array = npt.NDArray[Any]

_NOT_FILLED = ("", "?", "_", "…", "...")
_NUMBER = re.compile(r"[+-]?(\d{1,60}/\d{1,60}|\d{1,60}(\.\d{0,60})?|\.\d{1,60})")


@dataclass(frozen=True)
class FormulaClaim:
    """A claim in index notation.

    Attributes
    ----------
    source
        As it was written.
    equation
        Its tree.
    """

    source: str
    equation: Equation


@dataclass(frozen=True, eq=False)
class ArrayClaim:
    """Numbers.

    Attributes
    ----------
    values
        In float64, NaN where nothing is filled in.
    filled
        Which entries are.
    exact
        The entries as fractions, where all that are filled in are whole numbers or fractions; else None.
    is_single
        Whether they came in single precision.
    """

    values: Array
    filled: npt.NDArray[np.bool_]
    exact: Array | None
    is_single: bool = False

    def reshaped(self, shape: Shape) -> ArrayClaim:
        """The same entries in another shape."""
        exact = None if self.exact is None else self.exact.reshape(shape)
        return ArrayClaim(self.values.reshape(shape), self.filled.reshape(shape), exact, self.is_single)


@dataclass(frozen=True, eq=False)
class FunctionClaim:
    """A Python function."""

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """What the function is called."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def value(self, arrays: Mapping[str, Array]) -> ArrayClaim:
        """What it returns for these arrays."""
        known = self._chosen(arrays)
        try:
            result = self.function(**{name: array.copy() for name, array in known.items()})
        except Exception as error:
            raise DataError(
                f"the claimed function {self.name} raised {type(error).__name__}: {error}"
            ) from error
        return read_array(result)

    def _chosen(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            return dict(arrays)
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return dict(arrays)
        for parameter in parameters:
            if parameter.name not in arrays and parameter.default is parameter.empty:
                raise SettingError(
                    f"the claimed function {self.name} has a parameter {parameter.name}, but it is called "
                    f"with {', '.join(arrays)}"
                )
        return {p.name: arrays[p.name] for p in parameters if p.name in arrays}


Claim = FormulaClaim | ArrayClaim | FunctionClaim


def read_claim(claim: object) -> Claim:
    """A claim of any of the three kinds.

    Raises
    ------
    FormulaError
        For text that is no formula.
    DataError, ShapeError
        For an array with entries that are no numbers, or with rows of different lengths.
    """
    if isinstance(claim, FormulaClaim | ArrayClaim | FunctionClaim):
        return claim
    if isinstance(claim, str):
        return FormulaClaim(claim, parse(claim))
    if isinstance(claim, Equation):
        return FormulaClaim(str(claim), claim)
    if callable(claim):
        return FunctionClaim(claim)
    return read_array(claim)


def read_array(claim: object, name: str = "the claim") -> ArrayClaim:
    """An array, partly filled if need be."""
    if isinstance(claim, np.ndarray) and claim.dtype.kind in "fiub":
        values = claim.astype(np.float64)
        filled = ~np.isnan(values)
        if np.isinf(values).any():
            place = tuple(int(k) for k in np.argwhere(np.isinf(values))[0])
            raise DataError(f"{name} is {values[place]} at {list(place)}: entries must be finite")
        whole = claim.dtype.kind in "iu"
        exact = _exact(claim) if whole else None
        single = claim.dtype.kind == "f" and claim.dtype.itemsize < 8
        return ArrayClaim(values, filled, exact, single)
    nested = claim.tolist() if isinstance(claim, np.ndarray) else claim
    shape = _shape(nested, name, ())
    entries = [_entry(value, name, place) for place, value in _leaves(nested, ())]
    values = np.array([np.nan if e is None else float(e) for e in entries]).reshape(shape)
    filled = np.array([e is not None for e in entries], bool).reshape(shape)
    exact = None
    if all(e is None or isinstance(e, Fraction) for e in entries):
        exact = np.empty(len(entries), object)
        exact[:] = entries
        exact = exact.reshape(shape)
    return ArrayClaim(values, filled, exact)


def _exact(array: Array) -> Array:
    exact = np.empty(array.size, object)
    exact[:] = [Fraction(int(value)) for value in array.ravel()]
    return exact.reshape(array.shape)


def _is_row(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _shape(nested: Any, name: str, place: tuple[int, ...]) -> Shape:
    if not _is_row(nested):
        return ()
    if len(place) > 16:
        raise ShapeError(f"{name} is nested more than 16 deep: give an array of numbers")
    if len(nested) == 0:
        where = f" at {list(place)}" if place else ""
        raise ShapeError(f"{name} has an empty row{where}: every axis needs at least one entry")
    shapes = [_shape(inner, name, (*place, k)) for k, inner in enumerate(nested)]
    for k, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ShapeError(
                f"{name} has rows of different lengths: {[*place, 0]} has shape "
                f"{shape_text(shapes[0])}, {[*place, k]} has {shape_text(shape)}; "
                f"write None where nothing is filled in"
            )
    return (len(nested), *shapes[0])


def _leaves(nested: Any, place: tuple[int, ...]) -> list[tuple[tuple[int, ...], Any]]:
    if not _is_row(nested):
        return [(place, nested)]
    return [leaf for k, inner in enumerate(nested) for leaf in _leaves(inner, (*place, k))]


def _entry(value: object, name: str, place: tuple[int, ...]) -> Fraction | float | None:
    """A number; None where nothing is filled in."""
    if value is None:
        return None
    if isinstance(value, str):
        written = value.strip().replace("−", "-")
        if written in _NOT_FILLED:
            return None
        if _NUMBER.fullmatch(written) and not re.search(r"/0+$", written):
            return Fraction(written)
    elif isinstance(value, bool | np.bool_):
        pass
    elif isinstance(value, Rational | np.integer):
        return Fraction(int(value.numerator), int(value.denominator))
    elif isinstance(value, Real | np.floating):
        number = float(value)
        if number != number:
            return None
        if abs(number) != float("inf"):
            return number
    where = f" at {list(place)}" if place else ""
    shown = repr(value)[:60]
    raise DataError(
        f'{name} is {shown}{where}: an entry is a number, a fraction such as "9/4", or None where nothing is '
        f"filled in"
    )


# ---- the names of a claim


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
                f"{shape_text(shape)}, but is read with {len(access.subscripts)}",
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


# ---- the sizes of a claim


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
    shapes = {name: shape for name, shape in own.shapes.items() if name != equation.left.tensor}
    upstream = line.upstream or f"d{line.formula.left.tensor}"
    shapes.setdefault(upstream, own.shapes[line.formula.left.tensor])
    known = {**{i: own.extents[i] for i in own.extents}, **extents}
    sizes = Sizes(known, own.settings, shapes)
    for name in sorted(_bars(equation)):
        if name not in sizes.values:
            raise fail_at(claim.source, name, f"{name} has no value: there is no such index or axis here")
    return sizes


def _bars(equation: Equation) -> set[str]:
    from closedform.formula.syntax.names import extent_names

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
                reached = _reached(index, subscript, length, equation, extents, values)
                if reached:
                    reach.append(reached)
    if bare:
        return max(bare)
    return max(reach) if reach else None


def _reached(
    index: str,
    subscript: Polynomial,
    length: int,
    equation: Equation,
    extents: Mapping[str, int],
    values: Mapping[str, Any],
) -> int | None:
    """How many values of an index can read inside an axis."""
    others = [name for name in equation.indices if name in subscript.names and name != index]
    if any(name not in extents for name in others):
        return None
    try:
        step = subscript.coefficient(index).value(values)
        low = high = subscript.without([index, *others]).value(values)
        for name in others:
            ends = (Fraction(0), subscript.coefficient(name).value(values) * (extents[name] - 1))
            low, high = low + min(ends), high + max(ends)
    except KeyError:
        return None
    if step < 0:
        return max(1, int(high // -step) + 1)
    return max(1, int((length - 1 - low) // step) + 1) if step else None
