"""Worksheets in TOML files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture, nearest
from closedform.errors import ClosedformError, DataError, FileError, ShapeError
from closedform.files import short, toml_values
from closedform.layers.base import shape_text
from closedform.solution import Quantity, Solution
from closedform.solution.numbers import batch_of, exact_number, given_array, numbers, plain
from closedform.worksheet.axes import Channels
from closedform.worksheet.claims import Claim, as_objects, claim_from_table
from closedform.worksheet.order import check_order
from closedform.worksheet.rounding import rounded_to
from closedform.worksheet.sheet import Worksheet
from closedform.worksheet.symbols import Part, Symbols
from closedform.writing import PathLike

Array = NDArray[Any]

_TABLES = (
    "sheet",
    "network",
    "layer",
    "names",
    "parts",
    "input",
    "parameters",
    "target",
    "training",
    "claim",
)
_SHEET = ("title", "about", "first_index", "channels", "batch", "wrt", "layer", "digits")
_LARGEST_BATCH = 1 << 12


def read_worksheet(path: PathLike) -> Worksheet:
    """The worksheet in a TOML file; a network file is one without numbers and claims.

    Raises
    ------
    FileError
        Where the file cannot be read, with its name and the place; for an unknown key with the nearest known.
    ShapeError
        Where layers or arrays do not fit.
    """
    values = toml_values(path, parse_float=Decimal)
    try:
        return worksheet_from_dict(values, Path(path).stem)
    except ShapeError as error:
        raise ShapeError(f"{path}: {short(error)}") from None
    except ClosedformError as error:
        raise FileError(f"{path}: {short(error)}") from None


def worksheet_from_dict(values: Mapping[str, Any], title: str) -> Worksheet:
    """A worksheet from the plain values of its file.

    Raises
    ------
    ClosedformError
        Where they are malformed, with the place.
    """
    _only_known(values, _TABLES, "")
    sheet = _table(values, "sheet")
    _only_known(sheet, _SHEET, "[sheet]: ")
    channels = _channels(sheet)
    network = {key: values[key] for key in ("network", "layer") if key in values}
    architecture = Architecture.from_dict(_plain(network))
    first = _first_index(sheet)
    x = _input(values, 1 if first is None else first)
    solution = Solution(
        architecture,
        _batch(sheet, x, architecture, channels),
        _names(values),
        _wrt(sheet),
        _learning_rate(values),
    )
    texts = _part_texts(values, solution)

    def symbols_from(first: int) -> Symbols:
        return Symbols(solution, first, channels, _parts(texts, solution, first, channels))

    symbols, claims, note = read_claims(_claims(values), symbols_from, first)
    digits = _digits(sheet)
    if digits is not None:
        claims = rounded_to(digits, claims)
    return Worksheet(
        title=_text(sheet, "title", title),
        architecture=architecture,
        solution=solution,
        given=_given(values, x, symbols),
        claims=claims,
        first_index=symbols.first_index,
        channels=channels,
        parts=symbols.parts,
        wrt=_wrt(sheet),
        layer=_layer(sheet, architecture),
        about=_text(sheet, "about", ""),
        index_note=note,
    )


def read_claims(
    tables: Sequence[Mapping[str, Any]], symbols_from: Callable[[int], Symbols], first_index: int | None
) -> tuple[Symbols, tuple[Claim, ...], str]:
    """The claims, and from which number they count entries.

    A claim that can only be read with entries counted from the other number is marked as such, for checking
    to say so.

    Parameters
    ----------
    tables
        The claims as plain values.
    symbols_from
        What the sheet's symbols stand for, by the number from which entries are counted.
    first_index
        0 or 1 where the sheet says it.  None counts from 1, but from 0 where claims can only be read so and
        none can only be read from 1.

    Returns
    -------
    symbols, claims, note
        The note says that entries are counted from 0, where the claims have shown it.

    Raises
    ------
    DataError, ShapeError, FormulaError
        Where a claim cannot be read in either way.
    """
    chosen, note = first_index, ""
    if first_index is None:
        usual = _readable(tables, symbols_from, 1)
        chosen = 1
        if not all(usual):
            other = _readable(tables, symbols_from, 0)
            only_usual = any(one and not zero for one, zero in zip(usual, other, strict=True))
            only_other = any(zero and not one for one, zero in zip(usual, other, strict=True))
            if only_other and not only_usual:
                chosen, note = 0, "Entries are counted from 0, in the whole sheet."
    symbols = symbols_from(chosen or 0)
    found: list[Claim] = []
    for number, table in enumerate(tables, 1):
        try:
            found.append(claim_from_table(table, number, symbols))
        except (DataError, ShapeError) as error:
            base = 1 - symbols.first_index
            if not _readable([table], symbols_from, base)[0]:
                raise error from None
            found.append(replace(claim_from_table(table, number, symbols_from(base)), index_base=base))
        check_order(found[-1], {claim.quantity for claim in found[:-1]}, symbols)
    return symbols, tuple(found), note


def _readable(
    tables: Sequence[Mapping[str, Any]], symbols_from: Callable[[int], Symbols], first_index: int
) -> list[bool]:
    """For each claim, whether it can be read with entries counted from this number."""
    try:
        symbols = symbols_from(first_index)
    except ClosedformError:
        return [False] * len(tables)
    found = []
    for table in tables:
        try:
            claim_from_table(table, 1, symbols)
            found.append(True)
        except ClosedformError:
            found.append(False)
    return found


# ---- [sheet]


def _first_index(sheet: Mapping[str, Any]) -> int | None:
    first: Any = sheet.get("first_index")
    if first is None:
        return None
    if isinstance(first, bool) or first not in (0, 1):
        raise FileError(f"[sheet]: first_index must be 0 or 1, got {plain(first):.60}")
    return int(first)


def _digits(sheet: Mapping[str, Any]) -> int | None:
    """The decimals to which the claims are rounded, where the sheet says it."""
    digits = sheet.get("digits")
    if digits is not None and (
        isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 15
    ):
        raise FileError(f"[sheet]: digits must be a whole number from 0 to 15, got {digits!r:.60}")
    return digits


def _channels(sheet: Mapping[str, Any]) -> Channels:
    channels: Any = sheet.get("channels", "first")
    if channels not in ("first", "last"):
        raise FileError(f"[sheet]: channels must be 'first' or 'last', got {plain(channels):.60}")
    return channels  # type: ignore[no-any-return]


def _wrt(sheet: Mapping[str, Any]) -> tuple[str, ...] | None:
    wrt = sheet.get("wrt")
    if wrt is None:
        return None
    words = [wrt] if isinstance(wrt, str) else wrt
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise FileError(f'[sheet]: wrt must be names, as in wrt = ["W1", "b1"], got {plain(wrt):.60}')
    return tuple(words)


def _layer(sheet: Mapping[str, Any], architecture: Architecture) -> str | None:
    layer = sheet.get("layer")
    if layer is not None and layer not in architecture.labels:
        raise FileError(
            f"[sheet]: there is no layer {plain(layer):.60}; {nearest(str(layer), architecture.labels)}"
        )
    return layer


def _batch(sheet: Mapping[str, Any], x: Any, architecture: Architecture, channels: Channels) -> int:
    batch = sheet.get("batch")
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise FileError(f"[sheet]: batch must be a whole number from 1, got {plain(batch):.60}")
    if batch is not None and batch > _LARGEST_BATCH:
        raise FileError(f"[sheet]: batch must be at most {_LARGEST_BATCH}, got {batch}")
    if x is None:
        return batch or 1
    shape = architecture.input_shape
    found = batch_of(x, (*shape[1:], shape[0]) if channels == "last" else shape)
    if batch not in (None, found):
        raise FileError(f"[sheet]: batch is {batch}, but [input] holds {found}")
    return found


# ---- names and parts


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    return _flat(_table(values, "names"))


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A table whose keys may have been written with a dot and without quotes."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found


def _part_texts(values: Mapping[str, Any], solution: Solution) -> dict[str, tuple[str, str]]:
    """The quantity and the numbers of each part, as they are written."""
    found: dict[str, tuple[str, str]] = {}
    for name, text in _table(values, "parts").items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise FileError(
                f"[parts]: a part is called by a letter and then letters, digits or _, got {name!r}"
            )
        if name in solution:
            raise FileError(f"[parts]: {name!r} is the name of a quantity: give another name")
        match = re.fullmatch(r"\s*([\w.]+)\s*\[([^\][]*)\]\s*", text) if isinstance(text, str) else None
        if match is None:
            raise FileError(
                f'[parts]: {name} must be a part of a quantity, as in {name} = "W[1,1]", '
                f"got {plain(text):.60}"
            )
        found[name] = (match[1], match[2])
    return found


def _parts(
    texts: Mapping[str, tuple[str, str]], solution: Solution, first_index: int, channels: Channels
) -> dict[str, Part]:
    plain = Symbols(solution, first_index, channels)
    found: dict[str, Part] = {}
    for name, (quantity, numbers_text) in texts.items():
        of = plain.part(quantity)
        if of is None:
            raise FileError(
                f"[parts]: {name}: there is no quantity {quantity!r}; {nearest(quantity, plain.names)}"
            )
        place = plain.place(numbers_text, f"[parts]: {name}")
        shape = plain.axes(of.quantity).written_shape
        if len(place) > len(shape) or any(k >= n for k, n in zip(place, shape, strict=False)):
            raise FileError(
                f"[parts]: {name}: {of.quantity} has no part [{numbers_text}]: its shape is "
                f"{shape_text(shape)}, counted from {first_index}"
            )
        found[name] = Part(of.quantity, place)
    return found


# ---- numbers


def _input(values: Mapping[str, Any], first_index: int) -> Any:
    """The input's array as it stands in the file."""
    table = _table(values, "input")
    if len(table) > 1:
        raise FileError(f"[input] holds one array, got {', '.join(table)}")
    if not table:
        return None
    ((key, array),) = table.items()
    name = str(_names(values).get("input", "X")) if key in ("x", "input") else key
    return numbers(as_objects(array, name, first_index), name, first_index=first_index)


def _given(values: Mapping[str, Any], x: Any, symbols: Symbols) -> dict[str, Array]:
    solution = symbols.solution
    found: dict[str, Array] = {}
    if x is not None:
        (key,) = _table(values, "input")
        quantity = _named(solution, key, ("input",), "[input]", {"x": solution.input})
        found[quantity.name] = _array(symbols, quantity, x)
    for key, value in _flat(_table(values, "parameters")).items():
        quantity = _named(solution, key, ("parameter", "given"), "[parameters]", {})
        if quantity.name in found:
            raise FileError(f"[parameters]: {quantity.name} is given twice")
        found[quantity.name] = _array(symbols, quantity, value)
    found |= _target(_table(values, "target"), symbols)
    if solution.is_output_differentiated:
        upstream = solution["d" + solution.output]
        found.setdefault(upstream.name, numbers(np.ones(upstream.shape), upstream.name))
    return found


def _target(table: Mapping[str, Any], symbols: Symbols) -> dict[str, Array]:
    solution = symbols.solution
    if not table:
        return {}
    if len(table) > 1:
        raise FileError(f"[target] holds one array, got {', '.join(table)}")
    ((key, value),) = table.items()
    if solution.architecture.loss is not None:
        target = solution.names["target"]
        quantity = _named(solution, key, ("target",), "[target]", {"y": target, "labels": target})
    else:
        upstream = "d" + solution.output
        if key != "dy" and key != upstream:
            raise FileError(
                f"[target]: the network has no loss: give the gradient in its output, as in dy = 1, "
                f"got {key!r}"
            )
        quantity = solution[upstream]
    return {quantity.name: _array(symbols, quantity, value)}


def _named(
    solution: Solution, key: str, roles: Sequence[str], where: str, also: Mapping[str, str]
) -> Quantity:
    upstream = "d" + solution.output
    known = {q.name: q for q in solution.quantities if q.role in roles and q.name != upstream}
    keys = {q.key: q for q in known.values()} | {word: solution[name] for word, name in also.items()}
    if key in known or key in keys:
        return known[key] if key in known else keys[key]
    raise FileError(
        f"{where}: the network has no {key!r}; {nearest(key, [*known, *keys]) if known else 'it has none'}"
    )


def _array(symbols: Symbols, quantity: Quantity, values: Any) -> Array:
    axes, first = symbols.axes(quantity.name), symbols.first_index
    if axes.order != tuple(range(len(axes.shape))):
        written = numbers(as_objects(values, quantity.name, first), quantity.name, first_index=first)
        fitted = axes.to_formula(written)
        if fitted is None:
            raise ShapeError(f"{quantity.name}: expects shape {axes.size}, got {written.shape}")
        return fitted
    array = as_objects(values, quantity.name, first)
    return given_array(symbols.solution, quantity, array, first_index=first)


def _learning_rate(values: Mapping[str, Any]) -> Fraction | float | None:
    table = _table(values, "training")
    _only_known(table, ("learning_rate",), "[training]: ")
    if "learning_rate" not in table:
        return None
    rate = exact_number(table["learning_rate"])
    if rate is None or not rate > 0:
        raise FileError(
            f"[training]: learning_rate must be a number above 0, got {plain(table['learning_rate']):.60}"
        )
    return rate


# ---- the file


def _claims(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    claims = values.get("claim", [])
    if not isinstance(claims, list) or not all(isinstance(claim, Mapping) for claim in claims):
        raise FileError("[claim] must be written [[claim]], in double brackets: there may be several")
    return claims


def _only_known(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise FileError(f"{where}unknown key {key!r}; {nearest(str(key), known)}")


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, Mapping):
        raise FileError(f"[{key}] must be a table of keys and values, got {plain(table):.60}")
    return table


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    text = table.get(key, default)
    if not isinstance(text, str):
        raise FileError(f"[sheet]: {key} must be a text, got {plain(text):.60}")
    return text


def _plain(value: Any) -> Any:
    """The values with floats where a network's settings are decimals."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value
