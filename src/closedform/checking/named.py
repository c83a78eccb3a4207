"""Marking named claims about a network from Python: a dict of arrays, formulas and functions, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from closedform.architecture import Architecture
from closedform.checking.compare import MOST_DIGITS, is_digits
from closedform.checking.sheet import check_sheet
from closedform.checking.sheet_verdict import SheetVerdict
from closedform.errors import SettingError
from closedform.layers import Layer
from closedform.layers.base import checked_shape
from closedform.solution import Quantity, Solution
from closedform.solution.lone import architecture_of
from closedform.solution.numbers import batch_of, exact_number, given_array
from closedform.worksheet.claims import Claim
from closedform.worksheet.reading import read_claims
from closedform.worksheet.rounding import rounded_to
from closedform.worksheet.sheet import Worksheet
from closedform.worksheet.symbols import Symbols

if TYPE_CHECKING:
    from closedform.network import Network


def check_claims(
    claims: Mapping[str, Any],
    of: Network | Architecture | Layer,
    *,
    x: Any = None,
    weights: Mapping[str, Any] | None = None,
    y: Any = None,
    dy: Any = None,
    input_shape: Sequence[int] | None = None,
    names: Mapping[str, str] | None = None,
    learning_rate: Fraction | float | str | None = None,
    first_index: int | None = None,
    digits: int | None = None,
    title: str = "solution",
) -> SheetVerdict:
    """Mark a solution of a whole network: what it states, in its order.

    Parameters
    ----------
    claims
        By the quantity's name or key (``"Z1"``, ``"dW1"``, ``"d0.weight"``): an array of numbers, fractions
        and texts, partly filled if need be; a formula, ``"dW1[u,v] = ..."``; or a Python function of arrays
        by keyword.  ``"Z1.size"`` states a size, ``"W1.count"`` how many numbers there are.
    of
        The network.
    x, weights, y, dy
        The numbers: the input, the parameters by name or key, and the labels or targets; without a loss the
        gradient in the output.  A network's own parameters are used where `x` is given and `weights` is not.
    input_shape
        The shape of one input, for a layer alone; else that of `x`.
    names
        Names of quantities by key, ``{"0.weight": "F"}``.
    learning_rate
        Of gradient descent, for claims about updated parameters (``"W1_new"``).
    first_index
        From which number entries are counted in symbols and in the verdict; None takes 1, or 0 where the
        claims can only be read so.
    digits
        Decimals to which decimals and floats in the claims were rounded.
    title
        What the verdict is called.

    Returns
    -------
    SheetVerdict

    Raises
    ------
    SettingError, DataError, ShapeError, FormulaError
        For what is malformed, with the claim's number and name.
    """
    if not isinstance(claims, Mapping) or not claims:
        raise SettingError(
            "claims must be a dict of claims by name, as in {'O': [[10, 3], [9, 18]], 'dF': ...}"
        )
    if first_index is not None and (isinstance(first_index, bool) or first_index not in (0, 1)):
        raise SettingError(f"first_index must be 0 or 1, got {first_index!r}")
    architecture, own = _taken_apart(of, x, input_shape)
    if weights is None and x is not None:
        weights = own
    rate = None if learning_rate is None else exact_number(learning_rate)
    if learning_rate is not None and (rate is None or not rate > 0):
        raise SettingError(f"learning_rate must be a number above 0, got {learning_rate!r}")
    batch = 1 if x is None else batch_of(x, architecture.input_shape)
    solution = Solution(architecture, batch, names, None, rate)
    given = _given(solution, x, weights, y, dy, 1 if first_index is None else first_index)
    tables, functions = _tables(claims)
    symbols, read, note = read_claims(tables, lambda first: Symbols(solution, first), first_index)
    read = tuple(_with_function(claim, functions) for claim in read)
    if digits is not None:
        if not is_digits(digits):
            raise SettingError(f"digits must be a whole number from 0 to {MOST_DIGITS}, got {digits!r}")
        read = rounded_to(digits, read)
    return check_sheet(
        Worksheet(title, architecture, solution, given, read, symbols.first_index, index_note=note)
    )


def check_network(
    claim: object,
    of: Any,
    wrt: str | None = None,
    input_shape: Sequence[int] | None = None,
    *,
    arrays: Mapping[str, Any] | None = None,
    **numbers: Any,
) -> SheetVerdict:
    """`closedform.check` of a network: one claim, or several by name.

    Raises
    ------
    SettingError
        For arguments that belong to a layer.
    """
    if not isinstance(of, Architecture | Layer) and not hasattr(of, "architecture"):
        raise SettingError(f"of must be a layer, a loss or a network, got {type(of).__name__}")
    if arrays is not None:
        raise SettingError("arrays belongs to a layer; for a network pass x, weights and y or dy")
    if isinstance(claim, Mapping):
        if wrt is not None:
            raise SettingError("wrt belongs to a single claim: the claims of a dict are named by its keys")
        return check_claims(claim, of, input_shape=input_shape, **numbers)
    if isinstance(claim, str) and "=" in claim:
        name = claim.partition("=")[0].partition("[")[0].strip()
        return check_claims({name: claim}, of, input_shape=input_shape, **numbers)
    if wrt is None:
        raise SettingError("wrt must name the quantity in which the claim is the gradient, as in wrt='W1'")
    return check_claims({f"d{wrt}": claim}, of, input_shape=input_shape, **numbers)


def _taken_apart(of: Any, x: Any, input_shape: Any) -> tuple[Architecture, Mapping[str, Any] | None]:
    if isinstance(of, Architecture):
        return of, None
    if isinstance(of, Layer):
        if input_shape is not None:
            return architecture_of(of, checked_shape(tuple(input_shape))), None
        if x is None:
            raise SettingError("the size of the input is not known: give x or input_shape")
        shape = _shape_of(x, of)
        return architecture_of(of, shape), None
    architecture = getattr(of, "architecture", None)
    if isinstance(architecture, Architecture):
        return architecture, of.parameters
    raise SettingError(f"of must be a network, an architecture or a layer, got {type(of).__name__}")


def _shape_of(x: Any, layer: Layer) -> tuple[int, ...]:
    shape = np.asarray(x, object).shape
    rank = len(layer.sample_input_shape)
    if len(shape) > rank:
        return tuple(shape[-rank:])
    return (1,) * (rank - len(shape)) + tuple(shape)


def _given(
    solution: Solution, x: Any, weights: Mapping[str, Any] | None, y: Any, dy: Any, first_index: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def read(quantity: Quantity, array: Any) -> Any:
        return given_array(solution, quantity, array, first_index=first_index)

    if x is not None:
        found[solution.input] = read(solution[solution.input], x)
    if weights is not None and not isinstance(weights, Mapping):
        raise SettingError(f"weights must be a dict of arrays by name or key, got {type(weights).__name__}")
    for key, value in (weights or {}).items():
        quantity = _parameter(solution, key)
        if quantity.role not in ("parameter", "given"):
            raise SettingError(f"weights: {key} is no parameter of the network")
        found[quantity.name] = read(quantity, value)
    loss = solution.architecture.loss
    if y is not None:
        if loss is None:
            raise SettingError("y needs a loss: give the network one, or pass dy, the gradient in its output")
        target = solution[solution.names["target"]]
        found[target.name] = read(target, y)
    upstream = "d" + solution.output
    if dy is not None:
        if loss is not None:
            raise SettingError("dy follows from the loss: pass y")
        found[upstream] = read(solution[upstream], dy)
    elif solution.is_output_differentiated:
        shape = solution[upstream].shape
        found[upstream] = read(solution[upstream], _ones(shape))
    return found


def _parameter(solution: Solution, key: str) -> Quantity:
    """A parameter by its name or key; of a layer alone the key goes without the layer's."""
    labels = solution.architecture.labels
    alone = f"{labels[0]}.{key}" if len(labels) == 1 else key
    return solution.find(alone if any(q.key == alone for q in solution.quantities) else key)


def _ones(shape: tuple[int, ...]) -> Any:
    return np.ones(shape, int)


def _tables(claims: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[int, Any]]:
    """The claims in the form of a file, and the functions among them by their numbers."""
    tables: list[dict[str, Any]] = []
    functions: dict[int, Any] = {}
    for number, (name, value) in enumerate(claims.items(), 1):
        if not isinstance(name, str):
            raise SettingError(f"claim {number}: a claim is named by a text, got {name!r:.60}")
        base, _, word = name.rpartition(".")
        if word in ("size", "count"):
            tables.append({"of": base, word: value})
        elif callable(value):
            functions[number] = value
            tables.append({"of": name, "count": 0})  # of which only the quantity's name is read
        elif isinstance(value, str) and "=" in value:
            tables.append({"of": name, "formula": value})
        else:
            tables.append({"of": name, "values": value})
    return tables, functions


def _with_function(claim: Claim, functions: Mapping[int, Any]) -> Claim:
    if claim.number not in functions:
        return claim
    return replace(claim, kind="function", function=functions[claim.number])
