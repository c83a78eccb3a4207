"""What a sheet states: one claim after the other, each about one quantity of the network."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import nearest
from closedform.errors import DataError, FormulaError, ShapeError
from closedform.formula.extents import Shape, solve
from closedform.formula.syntax import parse
from closedform.formula.tree import Access, Equation, Number, replace_access, walk
from closedform.layers.base import shape_text
from closedform.solution.exact import value_of
from closedform.solution.numbers import exact_number, plain
from closedform.worksheet.axes import Place
from closedform.worksheet.symbols import Part, Symbols

Array = NDArray[Any]
Kind = Literal["values", "formula", "function", "size", "count"]

DOUBLE, SINGLE = 1e-6, 1e-4  # of the largest entry, by the precision of floats
OPEN = ("", "?", "_", "…", "...")
_FORMS = ("values", "entries", "formula", "size", "count")
_KEYS = ("of", *_FORMS, "arithmetic", "gradient_of", "note")


@dataclass(frozen=True)
class Claimed:
    """One entry as the sheet states it.

    Attributes
    ----------
    text
        As it is written.
    number
        Its value; None where it is written in symbols.
    equation
        Its line over the network's quantities, where it is written in symbols.
    within
        How far a value may be off for its digits to be right: half of the last of two or more decimals.
    """

    text: str
    number: Fraction | float | None = None
    equation: Equation | None = None
    within: Fraction | float = 0


@dataclass(frozen=True)
class Claim:
    """One statement of a sheet.

    Attributes
    ----------
    of
        What it is about, as it is written.
    quantity
        The name of the quantity.
    kind
        ``values`` for numbers and symbols, ``formula``, ``function``, ``size`` or ``count``.
    place
        The first numbers of the entries that it is about, from 0; empty for the whole quantity.
    entries
        Of ``values``, what is stated of each entry, by its place in the sheet's order from 0.
    equation
        Of ``formula``, the line; its tensors are the network's quantities.
    function
        Of ``function``, the Python function; files hold none.
    size
        Of ``size``, the extents in the sheet's order.
    count
        Of ``count``, how many numbers there are.
    arithmetic
        How the sheet works a size out, where it says so.
    gradient_of
        The quantity and the entry, from 0, whose gradient is stated; None for the loss's.
    note
        What the sheet says beside it.
    number
        Which claim of the sheet it is, from 1.
    given_shape
        The shape that is stated, where it is another than the quantity's.
    index_base
        From which number the claim counts entries, where it is another than the rest of the sheet.
    """

    of: str
    quantity: str
    kind: Kind
    place: Place = ()
    entries: Mapping[Place, Claimed] = field(default_factory=dict)
    equation: Equation | None = None
    function: Callable[..., Any] | None = field(default=None, compare=False)
    size: Shape = ()
    count: int = 0
    arithmetic: str = ""
    gradient_of: tuple[str, Place] | None = None
    note: str = ""
    number: int = 1
    given_shape: Shape | None = None
    index_base: int | None = None

    @cached_property
    def mixed(self) -> frozenset[Place]:
        """The entries in which numbers stand beside symbols."""
        return frozenset(
            place
            for place, entry in self.entries.items()
            if entry.equation is not None and any(isinstance(n, Number) for n in walk(entry.equation.right))
        )

    @cached_property
    def is_symbolic(self) -> bool:
        """Whether an entry is written in symbols."""
        return any(entry.equation is not None for entry in self.entries.values())


def claim_from_table(table: Mapping[str, Any], number: int, symbols: Symbols) -> Claim:
    """A claim from its table in a file.

    Raises
    ------
    DataError, ShapeError, FormulaError
        Where it is malformed, with the claim's number.
    """
    where = f"claim {number}"
    for key in table:
        if key not in _KEYS:
            raise DataError(f"{where}: unknown key {key!r}; {nearest(str(key), _KEYS)}")
    of = table.get("of")
    if not isinstance(of, str) or not of:
        raise DataError(f'{where} needs of, the quantity that it is about, as in of = "dW"')
    where = f"{where} ({of})"
    forms = [form for form in _FORMS if form in table]
    if len(forms) != 1:
        got = " and ".join(forms) or "none"
        raise DataError(f"{where} needs exactly one of {', '.join(_FORMS)}; got {got}")
    note, arithmetic = _text(table, "note", where), _text(table, "arithmetic", where)
    if arithmetic and forms[0] not in ("size", "count"):
        raise DataError(f"{where}: arithmetic belongs to a size or a count")
    gradient_of = None
    if "gradient_of" in table:
        gradient_of = _differentiated(_text(table, "gradient_of", where), where, symbols)
    part, place = _part(of, where, symbols)
    base = Claim(of, part.quantity, "values", place, gradient_of=gradient_of, note=note, number=number)
    value = table[forms[0]]
    match forms[0]:
        case "values":
            return _with_values(base, value, part, where, symbols)
        case "entries":
            return replace(base, entries=_named_entries(value, place, part, where, symbols))
        case "formula":
            return replace(base, kind="formula", equation=read_formula(value, part, where, symbols))
        case "size":
            return replace(base, kind="size", size=_size(value, where), arithmetic=arithmetic)
        case _:
            return replace(base, kind="count", count=_count(value, where), arithmetic=arithmetic)


def _part(of: str, where: str, symbols: Symbols) -> tuple[Part, Place]:
    part = symbols.part(of)
    if part is None:
        found = _entry(of, where, symbols)
        if found is None:
            raise DataError(f"{where}: the network has no quantity {of!r}; {nearest(of, symbols.names)}")
        part = Part(*found)
    return part, part.place


def _entry(text: str, where: str, symbols: Symbols) -> tuple[str, Place] | None:
    try:
        return symbols.entry(text)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _differentiated(text: str, where: str, symbols: Symbols) -> tuple[str, Place]:
    found = _entry(text, where, symbols)
    if found is None:
        raise DataError(f"{where}: gradient_of must name one entry, as in 'y11', got {text!r}")
    if "d" + found[0] not in symbols.solution or symbols.solution[found[0]].role != "value":
        raise DataError(f"{where}: gradient_of must be an entry of what a layer gives, got {text!r}")
    return found


def _with_values(base: Claim, values: Any, part: Part, where: str, symbols: Symbols) -> Claim:
    """The claim with the entries of an array that a sheet states; what is left open is left out.

    Raises
    ------
    DataError
        For what is neither a number nor a sum of products of entries, and where nothing is stated.
    ShapeError
        For another number of axes.
    """
    array = as_objects(values, where, symbols.first_index)
    place = part.place
    shape = symbols.axes(part.quantity).written_shape[len(place) :]
    given = tuple(n for n in array.shape if n != 1)
    if given != shape and (len(given) != len(shape) or place):
        raise ShapeError(f"{where}: expects shape {shape_text(shape)}, got {shape_text(array.shape)}")
    array = array.reshape(given)
    found, room = {}, _float_room(array)
    for inner in np.ndindex(given):
        value: Any = array[inner]
        if not is_open(value):
            entry = claimed(value, at(inner, where, symbols), symbols)
            found[place + inner] = replace(entry, within=room) if room and not entry.within else entry
    if not found:
        raise DataError(f"{where} states nothing: fill in at least one entry")
    return replace(base, entries=found, given_shape=given if given != shape else None)


def is_open(value: Any) -> bool:
    """Whether an entry is not filled in: a question mark, or nothing."""
    return value is None or (isinstance(value, str) and value.strip() in OPEN)


def at(place: Place, where: str, symbols: Symbols) -> str:
    """Where an entry stands, for a message: ``claim 1 (dF): entry [1,2]``."""
    numbers = ",".join(str(number + symbols.first_index) for number in place)
    return f"{where}: entry [{numbers}]" if place else where


def as_objects(values: Any, where: str, first_index: int = 1) -> Array:
    """Nested lists as an array of what they hold.

    Parameters
    ----------
    first_index
        From which number a message counts rows.

    Raises
    ------
    DataError
        Where rows have different lengths.
    """

    def shape_of(value: Any, place: Place = ()) -> Shape:
        if not isinstance(value, list | tuple):
            return ()
        if len(place) > 8:
            raise DataError(f"{where}: is nested too deep for an array")
        if not value:
            raise DataError(f"{where}: a row is empty")
        inner = [shape_of(item, (*place, number)) for number, item in enumerate(value, first_index)]
        for number, shape in enumerate(inner, first_index):
            if shape != inner[0]:
                one, other = [*place, first_index], [*place, number]
                raise DataError(
                    f"{where}: must be one array, but row {_row(other)} has {_length(shape)} and row "
                    f"{_row(one)} has {_length(inner[0])}: make them alike"
                )
        return len(value), *inner[0]

    if isinstance(values, np.ndarray):
        flat = np.empty(values.size, object)
        flat[:] = list(values.ravel())  # single precision is still to be seen
        return flat.reshape(values.shape)
    shape = shape_of(values)
    found = np.empty(shape, object)
    for place in np.ndindex(shape):
        item = values
        for number in place:
            item = item[number]
        found[place] = item
    return found


def _row(place: list[int]) -> str:
    return str(place[0]) if len(place) == 1 else f"[{','.join(map(str, place))}]"


def _length(shape: Shape) -> str:
    if not shape:
        return "no entries of its own"
    return " × ".join(map(str, shape)) + (" entry" if shape == (1,) else " entries")


def claimed(value: Any, where: str, symbols: Symbols) -> Claimed:
    """One entry from a number or a text.

    Raises
    ------
    DataError
        For anything else.
    """
    number = exact_number(value)
    if number is not None:
        text = value.strip() if isinstance(value, str) else str(value)
        if isinstance(value, float | np.floating):
            text = f"{float(value):.6g}"
        return Claimed(text, number, within=_rounding(text, value))
    if isinstance(value, float | np.floating | Decimal) and not math.isfinite(value):
        return Claimed(f"{float(value)}", float(value))  # stated, and wrong
    if not isinstance(value, str):
        raise DataError(
            f"{where} must be a finite number, or a text such as '9/4' or 'x11 + x12', got {plain(value):.60}"
        )
    try:
        equation = symbols.read(value)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if not equation.tensors and not equation.settings:
        return Claimed(value.strip(), _worked_out(equation, value, where))
    return Claimed(value.strip(), None, equation)


def _worked_out(equation: Equation, text: str, where: str) -> Fraction | float:
    """The value of arithmetic: ``(10+3+9+18)/4``."""
    found = value_of(equation, {}, solve(equation, {}))[()]
    if not np.isfinite(float(found)):
        raise DataError(f"{where}: {text.strip()!r:.80} is no finite number")
    return found if isinstance(found, Fraction) else float(found)


def _rounding(text: str, value: Any) -> Fraction | float:
    """Half of the last decimal that is written, of two or more.

    Whole numbers, fractions and a single decimal are exact, and floats are as exact as floats are.
    """
    match = re.fullmatch(r"[+\-−]?\d*\.(\d{2,40})", text)
    if isinstance(value, float | np.floating) or match is None:
        return Fraction(0)
    return Fraction(1, 2 * 10 ** len(match[1]))


def _float_room(values: Array) -> float:
    """How far floats may be off: a share of the largest, by their precision."""
    floats = [value for value in values.ravel() if isinstance(value, float | np.floating)]
    finite = [abs(float(value)) for value in floats if np.isfinite(value)]
    is_single = any(isinstance(value, np.float32 | np.float16) for value in floats)
    return max(finite, default=0.0) * (SINGLE if is_single else DOUBLE)


def _named_entries(
    table: Any, place: Place, part: Part, where: str, symbols: Symbols
) -> dict[Place, Claimed]:
    if not isinstance(table, Mapping) or not table:
        raise DataError(
            f'{where}: entries must be a table, as in entries = {{ "1,2" = "13/4" }}, got {plain(table):.60}'
        )
    shape = symbols.axes(part.quantity).written_shape[len(place) :]
    found: dict[Place, Claimed] = {}
    for key, value in table.items():
        inner = symbols.place(str(key), f"{where}: entries")
        if len(inner) != len(shape) or any(k >= n for k, n in zip(inner, shape, strict=True)):
            raise ShapeError(
                f"{where}: there is no entry {key!r}: the shape is {shape_text(shape)}, "
                f"counted from {symbols.first_index}"
            )
        found[place + inner] = claimed(value, at(inner, where, symbols), symbols)
    return found


def read_formula(value: Any, part: Part, where: str, symbols: Symbols) -> Equation:
    """A line of the formula language whose tensors are the network's quantities.

    Raises
    ------
    DataError
        Where it is no text, is about another quantity, or reads what there is not.
    ShapeError
        Where a tensor has another number of subscripts than axes.
    FormulaError
        Where it cannot be read, with a caret under the place.
    """
    if not isinstance(value, str):
        raise DataError(
            f'{where}: formula must be a text, as in formula = "dW[u,v] = …", got {plain(value):.60}'
        )
    try:
        equation = parse(symbols.with_numbers(value))
    except FormulaError as error:
        raise FormulaError(f"{where}: {error.reason}", error.source, error.position) from None
    left = symbols.part(equation.left.tensor)
    if left != part:
        raise DataError(
            f"{where}: the formula defines {equation.left.tensor}, the claim is about {part.quantity}"
        )
    for access in (equation.left, *equation.accesses):
        found = symbols.part(access.tensor)
        if found is None or found.place:
            known = nearest(access.tensor, symbols.names)
            raise DataError(f"{where}: the network has no quantity {access.tensor!r}; {known}")
        axes = symbols.axes(found.quantity)
        ranks = (len(axes.shape), len(axes.written), *([1] if not axes.written else []))
        if len(access.subscripts) not in ranks:
            shape = shape_text(axes.written_shape)
            raise ShapeError(
                f"{where}: {access.tensor} has the shape {shape} but for axes of one entry, here are "
                f"{len(access.subscripts)} subscripts"
            )
    return _by_name(equation, symbols)


def _by_name(equation: Equation, symbols: Symbols) -> Equation:
    """The line with quantities by their names where keys stand for them."""

    def named(access: Access) -> Access:
        part = symbols.part(access.tensor)
        return access if part is None else replace(access, tensor=part.quantity)

    return Equation(named(equation.left), replace_access(equation.right, named))


def _size(value: Any, where: str) -> Shape:
    extents = value if isinstance(value, list | tuple) else [value]
    if not extents or not all(_is_whole(extent) and extent > 0 for extent in extents):
        raise DataError(
            f"{where}: size must be whole numbers from 1, as in size = [14, 14, 16], got {plain(value):.60}"
        )
    return tuple(int(extent) for extent in extents)


def _count(value: Any, where: str) -> int:
    if not _is_whole(value) or value < 0:
        raise DataError(f"{where}: count must be a whole number, as in count = 25088, got {plain(value):.60}")
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} must be a text, got {plain(value):.60}")
    return value
