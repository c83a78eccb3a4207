"""The reader's numbers: exact where they are given exactly, and in the shapes of the formulas."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError, ShapeError
from closedform.formula.extents import Shape
from closedform.layers.base import shape_text
from closedform.solution.quantities import Quantity, Solution

Array = NDArray[Any]

_DIGITS = 100
_LARGEST = 10**_DIGITS
_QUOTIENT = re.compile(r"[+\-−]?\d{1,60}(/[1-9]\d{0,59}|\.\d{1,60})?")


def numbers(values: Any, what: str, exact: bool = True) -> Array:
    """An array of fractions, or of float64 where a number is not exact.

    Whole numbers, fractions, decimals and texts such as ``"9/4"`` or ``"0.1"`` are exact; so are floats that
    are whole numbers, as long as all are.

    Parameters
    ----------
    values
        Nested lists or an array.
    what
        What it is called in messages.
    exact
        Whether exact numbers stay fractions.

    Raises
    ------
    DataError
        Where the values are no finite numbers, naming the first that is none; where parts have different
        shapes.
    """
    if not exact and isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        floats = values.astype(np.float64)
        if np.isfinite(floats).all():
            return floats
    array = _object_array(values, what)
    found = np.empty(array.shape, object)
    inexact = not exact
    for place in np.ndindex(array.shape):
        number = exact_number(array[place])
        if number is None:
            where = f" at {list(place)}" if place else ""
            got = str(array[place]) if isinstance(array[place], Decimal) else repr(array[place])
            raise DataError(f"{what}{where} must be a finite number, or a text such as '9/4', got {got:.60}")
        inexact = inexact or isinstance(number, float)
        found[place] = number
    if not inexact:
        return found
    return found.astype(np.float64)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _shown(labels: Array) -> str:
    """Some labels for a message."""
    listed = [str(label) for label in labels.ravel()[:6]]
    return ", ".join([*listed, "…"] if labels.size > len(listed) else listed)


def _object_array(values: Any, what: str) -> Array:
    if isinstance(values, Mapping | set) or values is None:
        raise DataError(f"{what} must be an array of numbers, got {type(values).__name__}")
    try:
        array = np.asarray(values)
        if array.dtype.kind in "US":  # a text beside numbers has made texts of them
            array = np.asarray(values, object)
    except ValueError:
        raise DataError(f"{what} must be one array, got parts of different shapes: make them alike") from None
    if array.dtype.kind == "f" and not _is_whole(array):
        return array.astype(np.float64)
    return array.astype(object) if array.dtype.kind != "O" else array


def _is_whole(array: Array) -> bool:
    return bool(np.isfinite(array).all() and (array == np.round(array)).all())


def exact_number(value: Any) -> Fraction | float | None:
    """A number as a fraction where it is exact, also from a text such as ``"9/4"``, else as a float.

    None for what is no finite number, and for one of more than a hundred digits.
    """
    if isinstance(value, str):
        text = value.strip()
        return Fraction(text.replace("−", "-")) if _QUOTIENT.fullmatch(text) else None
    if isinstance(value, Decimal):
        digits = len(value.as_tuple().digits) + abs(value.adjusted()) if value.is_finite() else _DIGITS
        return Fraction(value) if digits < _DIGITS else None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return None
    if isinstance(value, Rational):
        above, below = int(value.numerator), int(value.denominator)
        return Fraction(above, below) if abs(above) < _LARGEST and below < _LARGEST else None
    number = float(value)
    if not math.isfinite(number):
        return None
    return Fraction(int(number)) if isinstance(value, float) and number == int(number) else number


def fitted(array: Array, shape: Shape, what: str, also: tuple[Shape, ...] = ()) -> Array:
    """The array in this shape, where it has that shape but for axes of one entry.

    Parameters
    ----------
    also
        Further shapes of the same entries in the same order that are taken as well, PyTorch's for a weight.

    Raises
    ------
    ShapeError
        For any other shape.
    """
    accepted = {tuple(n for n in s if n != 1) for s in (shape, *also)}
    if tuple(n for n in array.shape if n != 1) in accepted and array.size == math.prod(shape):
        return array.reshape(shape)
    wanted = " or ".join(dict.fromkeys(map(shape_text, (shape, *also))))
    raise ShapeError(f"{what}: expects shape {wanted}, got {shape_text(array.shape)}")


def batch_of(x: Any, input_shape: Shape) -> int:
    """How many examples an input holds: the first axis, where there is one more than an example has."""
    shape: Shape = np.asarray(x, object).shape
    if len(shape) == len(input_shape) + 1:
        return shape[0]
    squeezed = tuple(n for n in input_shape if n != 1)
    if len(shape) == len(squeezed) + 1 and tuple(shape[1:]) == squeezed and shape != tuple(input_shape):
        return shape[0]
    return 1


def given_array(solution: Solution, quantity: Quantity, values: Any, exact: bool = True) -> Array:
    """What the reader gives for a quantity, in the formula's shape.

    Targets of a classifying loss may be labels (N,).

    Raises
    ------
    DataError
        For what is no array of numbers.
    ShapeError
        For another shape.
    """
    what = quantity.name if quantity.name == quantity.key else f"{quantity.name} ({quantity.key})"
    loss = solution.architecture.loss
    if quantity.role == "target" and loss is not None:
        array = numbers(values, what, exact)
        if array.size == math.prod(quantity.shape):
            return fitted(array, quantity.shape, what)
        labels = array.ravel() if array.size == solution.batch else array
        if any(label != int(label) for label in labels.ravel()):
            raise DataError(f"{what} must be labels, whole numbers from 0, got {_shown(labels)}")
        one_hot = loss.targets(
            np.array([int(label) for label in labels]), solution.batch, quantity.shape[1:], np.dtype(float)
        )
        return numbers(one_hot, what, exact)
    also: tuple[Shape, ...] = ()
    if quantity.role == "parameter" and quantity.layer is not None:
        also = (solution.architecture.layers[quantity.layer].stored_shape(quantity.shape),)
    return fitted(numbers(values, what, exact), quantity.shape, what, also)
