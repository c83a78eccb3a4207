"""Reading what somebody claims: a formula, an array that may be partly filled, or a Python function.

- A formula is text in the language; it is parsed, never run.  Its left side is ``Y`` (``L`` of a loss) or a
  gradient such as ``dX``.  It may read the layer's tensors, under the formula's names or the public ones
  (``weight``, ``bias``), ``Y``, the gradient from above ``dY``, the targets ``T`` of a loss (and ``Y``, its
  probabilities), and names that the derivation defines (``M``).
- An array is nested lists or a NumPy array of numbers, `fractions.Fraction`, or text such as ``"9/4"`` and
  ``"-0.5"``, or arithmetic of numbers such as ``"1/4*2 + 3/4"``; None,
  ``"?"`` and ``""`` stand where nothing is filled in.  NaN and infinity are stated, and wrong.
- A function is called with arrays by keyword, ``f(X=..., W=..., dY=...)``: with those of the names above
  that its parameters have, or with all of them where it takes ``**arrays``.  What it returns is an array.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.errors import DataError, FormulaError, SettingError, ShapeError
from closedform.formula.extents import Shape
from closedform.formula.syntax import parse
from closedform.formula.tree import Equation, Number
from closedform.layers.base import shape_text
from closedform.solution.numbers import exact_number, plain

Array = npt.NDArray[Any]

_ARITHMETIC = re.compile(r"[\d\s+\-*/().−·×]{1,200}")
_SIGNS = str.maketrans({"−": "-", "·": "*", "×": "*"})
_NOT_FILLED = ("", "?", "_", "…", "...")


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
        filled = np.ones(values.shape, bool)
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


def arithmetic(text: str) -> Fraction | None:
    """What sums and products of numbers come to, ``1/4*2 + 3/4``; None for anything else."""
    if not _ARITHMETIC.fullmatch(text):
        return None
    try:
        right = parse(f"entry = {text.translate(_SIGNS)}").right
    except FormulaError:
        return None
    return right.value.constant if isinstance(right, Number) else None


def _entry(value: object, name: str, place: tuple[int, ...]) -> Fraction | float | None:
    """A number; None where nothing is filled in."""
    if value is None:
        return None
    if isinstance(value, str):
        written = value.strip().replace("−", "-")
        if written in _NOT_FILLED:
            return None
        read = exact_number(written)
        read = arithmetic(written) if read is None else read
        if read is not None:
            return read
    elif isinstance(value, Decimal):
        exact = exact_number(value)
        if exact is not None or not value.is_finite():
            return float(value) if exact is None else exact
    elif isinstance(value, bool | np.bool_):
        pass
    elif isinstance(value, Rational | np.integer):
        return Fraction(int(value.numerator), int(value.denominator))
    elif isinstance(value, Real | np.floating):
        return float(value)
    where = f" at {list(place)}" if place else ""
    shown = plain(value)[:60]
    raise DataError(
        f'{name} is {shown}{where}: an entry is a number, a fraction such as "9/4", or None where nothing is '
        f"filled in"
    )
