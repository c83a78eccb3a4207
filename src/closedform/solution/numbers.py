"""The reader's numbers: exact where they are given exactly, and in the shapes of the formulas."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, time
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
_NUMBER = re.compile(
    r"(?P<sign>[+\-]?)\s*(?:(?P<decimal>(?:\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})(?:[eE][+\-]?\d{1,2})?)"
    r"|(?:(?P<whole>\d{1,60})\s+)?(?P<quotient>\d{1,60}/0*[1-9]\d{0,59}))",
    re.ASCII,
)


def numbers(values: Any, what: str, exact: bool = True, first_index: int = 0) -> Array:
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
    first_index
        From which number a message counts entries.

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
            where = f" at {[number + first_index for number in place]}" if place else ""
            got = plain(array[place])
            raise DataError(f"{what}{where} must be a finite number, or a text such as '9/4', got {got:.60}")
        inexact = inexact or isinstance(number, float)
        found[place] = number
    if not inexact:
        return found
    return found.astype(np.float64)


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
        return _read(value)
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


def _read(text: str) -> Fraction | None:
    """``9/4``, ``0.75``, ``.75``, ``1e-3``, ``2 1/4``, ``½``."""
    match = _NUMBER.fullmatch(plain_signs(text, " {}").strip())
    if match is None:
        return None
    if match["decimal"] is not None:
        size = Fraction(match["decimal"])
    else:
        size = Fraction(match["quotient"]) + int(match["whole"] or 0)
    return -size if match["sign"] == "-" else size


def plain_signs(text: str, fraction: str = "{}") -> str:
    """A text with the keyboard's minus for the typographic one, and ``1/2`` for ``½``, put into a pattern."""
    found = ""
    for sign in text:
        if unicodedata.decomposition(sign).startswith("<fraction>"):
            found += fraction.format(unicodedata.normalize("NFKC", sign).replace("\u2044", "/"))
        else:
            found += "-" if sign in "−–" else sign
    return found


def plain(value: Any) -> str:
    """A value for a message, as a file or a reader writes it: ``1/2``, ``2026-01-01``, ``'two'``."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Decimal | Fraction | date | time):
        return str(value)
    return repr(value)


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


def given_array(
    solution: Solution, quantity: Quantity, values: Any, exact: bool = True, first_index: int = 0
) -> Array:
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
        array = numbers(values, what, exact, first_index)
        if array.size == math.prod(quantity.shape):
            return fitted(array, quantity.shape, what)
        labels = array.ravel() if array.size == solution.batch else array
        classes = max(2, quantity.shape[1]) if labels.shape == (solution.batch,) else 0
        for place, label in enumerate(labels.ravel(), first_index):
            if label != int(label):
                raise DataError(f"{what} at [{place}] must be a label, a whole number from 0, got {label}")
            if first_index and classes and not 0 <= label < classes:
                raise DataError(f"{what} at [{place}] must be a label from 0 to {classes - 1}, got {label}")
        one_hot = loss.targets(
            np.array([int(label) for label in labels]), solution.batch, quantity.shape[1:], np.dtype(float)
        )
        return numbers(one_hot, what, exact)
    also: tuple[Shape, ...] = ()
    if quantity.role == "parameter" and quantity.layer is not None:
        also = (solution.architecture.layers[quantity.layer].stored_shape(quantity.shape),)
    return fitted(numbers(values, what, exact, first_index), quantity.shape, what, also)
