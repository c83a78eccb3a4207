"""``check``: is somebody's value or gradient of one layer right, and if not, which mistake was made?

`check_layer` judges one layer or loss, `judge` compares one claim with one `Line` at one size, and
`verdict_of` says what follows; checks of whole networks are built on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.binding import check_names, claim_sizes, public_names, target_of, with_own_names
from closedform.checking.cases import cases
from closedform.checking.claims import ArrayClaim, Claim, FormulaClaim, FunctionClaim, read_claim
from closedform.checking.compare import DOUBLE, EXACT, SINGLE, Tolerance, few_digits, is_digits
from closedform.checking.expansion import Expansion, as_number
from closedform.checking.given import Given, squeezed
from closedform.checking.lines import Line
from closedform.checking.search import Judged, named_mistakes
from closedform.checking.ties import accepted_by_ties, to_one_other_entry, windows_of
from closedform.checking.verdict import MOST_SHOWN, ClaimVerdict, Entry, Verdict
from closedform.errors import ClosedformError, FormulaError, SettingError, ShapeError
from closedform.formula.evaluate import evaluate
from closedform.formula.notation import text
from closedform.formula.tree import Equation
from closedform.layers.base import Layer, checked_shape, is_input, shape_text

Array = npt.NDArray[Any]

MOST_ENTRIES = 50


def check(
    claim: object,
    of: object,
    wrt: str | None = None,
    input_shape: Sequence[int] | None = None,
    *,
    arrays: Mapping[str, Any] | None = None,
    digits: int | None = None,
    first_index: int | None = None,
    x: Any = None,
    weights: Mapping[str, Any] | None = None,
    y: Any = None,
    dy: Any = None,
    names: Mapping[str, str] | None = None,
    learning_rate: Any = None,
) -> Verdict:
    """Judge a value or a gradient that somebody worked out, or a whole solution of a network.

    Parameters
    ----------
    claim
        A formula (``"dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,a-u,b-v]"``), an array of numbers or
        fractions, partly filled if need be, or a Python function of arrays; see `closedform.checking.claims`.
        Of a network a dict of such claims by the names of its quantities, in their order:
        ``{"O": [[10, 3], [9, 18]], "dF": ...}``; see `closedform.checking.named`.
    of
        The layer or loss, or the network.
    wrt
        The tensor in which the claim is the gradient, under the formula's name or the public one; ``"Y"`` (of
        a loss ``"L"``) for the value itself.  ``"X"`` where it is not given; a formula's left side says it.
    input_shape
        The shape of one input, without the batch axis.  Without it a formula, or a function without
        arrays, is judged at several sizes, channels equal and unequal.
    arrays
        The numbers for which an array is claimed, ``{"X": ..., "W": ..., "dY": ...}``; axes of length 1
        may be left out.  The targets of a loss are ``"T"``.
    digits
        Decimals to which the claim was rounded: of an array, or of the arrays in a solution.
    first_index
        From which number entries are counted in the verdict, 0 or 1; None takes 0 for a layer, and for a
        network what its claims show.
    x, weights, y, dy, names, learning_rate
        Of a network: its numbers, the reader's names of its quantities by key, and the rate of gradient
        descent.

    Returns
    -------
    Verdict
        A `ClaimVerdict` for a layer; for a network a `SheetVerdict`, with a verdict on each claim.

    Raises
    ------
    FormulaError
        For a formula that cannot be read, or that reads what is not there, with a caret under the place.
    ShapeError
        For an array whose shape is wrong in a way that no mistake explains.
    DataError
        For entries that are no numbers.
    SettingError
        For arguments that contradict one another, or arrays that are missing.

    Notes
    -----
    Whole numbers and fractions are compared exactly, float64 to 1e-6 of the largest magnitude that is
    expected, float32 to 1e-4.  Nothing of a claim is ever run as Python but a function that is passed.
    """
    if isinstance(of, Layer) and not isinstance(claim, Mapping):
        return check_layer(
            claim,
            of,
            wrt,
            input_shape,
            arrays=arrays,
            digits=digits,
            first_index=0 if first_index is None else first_index,
        )
    from closedform.checking.named import check_network

    return check_network(
        claim, of, wrt, input_shape, arrays=arrays, digits=digits, first_index=first_index,
        x=x, weights=weights, y=y, dy=dy, names=names, learning_rate=learning_rate,
    )  # fmt: skip


def check_layer(
    claim: object,
    layer: Layer,
    wrt: str | None = None,
    input_shape: Sequence[int] | None = None,
    *,
    arrays: Mapping[str, Any] | None = None,
    digits: int | None = None,
    first_index: int = 0,
) -> ClaimVerdict:
    """`check` of one layer or loss."""
    shape = None if input_shape is None else checked_shape(tuple(input_shape))
    if digits is not None and not is_digits(digits):
        raise SettingError(f"digits must be a whole number from 0 to 15, got {digits!r}")
    if isinstance(first_index, bool) or first_index not in (0, 1):
        raise SettingError(f"first_index must be 0 or 1, got {first_index!r}")
    if arrays is not None and not isinstance(arrays, Mapping):
        raise SettingError(f"arrays must be a dict of arrays by name, got {type(arrays).__name__}")
    read = read_claim(claim)
    formula = layer.formula if shape is None else layer.formula_for(shape)
    if isinstance(read, FormulaClaim):
        read = with_own_names(read, layer, formula)
        tensor = _target_of_formula(read, layer, formula, wrt)
    else:
        tensor = _target(layer, formula, wrt)
    if arrays is not None or isinstance(read, ArrayClaim):
        known = Given(layer, tensor, arrays or {}, shape, read)
        claims: list[tuple[Claim, Line, Mapping[str, Array]]] = [(read, known.line, known.arrays)]
        is_exact = known.is_exact
    else:
        rank = _rank(read, layer) if isinstance(read, FormulaClaim) else None
        claims = [(read, case.line, case.arrays) for case in cases(layer, tensor, rank, shape)]
        is_exact = False
    judged = []
    notes: tuple[str, ...] = ()
    for one, line, numbers in claims:
        case, said = judge(one, line, numbers, digits=digits, is_exact=is_exact)
        judged.append(case)
        notes = notes or said
    return verdict_of(judged, notes, first_index, is_array=isinstance(read, ArrayClaim))


def _target(layer: Layer, formula: Equation, wrt: str | None) -> str | None:
    """The tensor that `wrt` names; None for the value."""
    if wrt is None:
        return next(tensor for tensor in formula.tensors if is_input(tensor))
    if not isinstance(wrt, str):
        raise SettingError(f"wrt must be the name of a tensor, got {wrt!r}")
    if wrt == formula.left.tensor:
        return None
    names = {"input": "X", **public_names(layer, formula)}
    tensor = names.get(wrt, wrt)
    if tensor in formula.tensors:
        return tensor
    return target_of(layer, formula, wrt)


def _target_of_formula(claim: FormulaClaim, layer: Layer, formula: Equation, wrt: str | None) -> str | None:
    name = claim.equation.left.tensor
    try:
        tensor = target_of(layer, formula, name)
    except SettingError as error:
        raise FormulaError(str(error), claim.source, 0) from None
    if wrt is not None and _target(layer, formula, wrt) != tensor:
        raise SettingError(f"the claim defines {name}, but wrt={wrt!r} asks for another: leave wrt out")
    return tensor


def _rank(claim: FormulaClaim, layer: Layer) -> int | None:
    """How many axes the claim gives the input, where the layer takes any number."""
    for access in (claim.equation.left, *claim.equation.accesses):
        if access.tensor.removeprefix("d") in ("X", "Y") and is_input(access.tensor.removeprefix("d")):
            return len(access.subscripts)
    return None


# ---- one claim at one size


def judge(
    claim: Claim,
    line: Line,
    arrays: Mapping[str, Array],
    *,
    digits: int | None = None,
    is_exact: bool = False,
) -> tuple[Judged, tuple[str, ...]]:
    """Compare a claim with one line at one size.

    Parameters
    ----------
    claim
        As `read_claim` returned it.
    line
        What is right.
    arrays
        The numbers of every tensor that the line and the claim need.
    digits
        Decimals to which an array was rounded.
    is_exact
        Whether the arrays are whole numbers or fractions.

    Returns
    -------
    judged, notes
        The comparison, to be passed to `named_mistakes` and `verdict_of`; sentences on ties.
    """
    known = line.completed(arrays)
    if line.unfolded is not None:
        known = line.completed(known, line.unfolded)
    expected = np.asarray(line.evaluate(known))
    tolerance = Tolerance(DOUBLE, digits)
    match claim:
        case FormulaClaim():
            given = _evaluated(claim, line, known)
            filled = np.ones(given.shape, bool)
            tolerance = Tolerance(1e-9, digits)
        case FunctionClaim() | ArrayClaim():
            if isinstance(claim, FunctionClaim):
                claim = claim.value(line.everything(known))
            else:
                tolerance = _tolerance(claim, digits, is_exact)
            if claim.values.shape != expected.shape and squeezed(claim.values.shape) == squeezed(
                expected.shape
            ):
                claim = claim.reshaped(expected.shape)
            given, filled = claim.values, claim.filled
            if not filled.any():
                raise ShapeError("nothing is filled in: give at least one entry")
    right = given.shape == expected.shape and bool(tolerance.agrees(given, expected, filled).all())
    accepted, notes = False, tuple[str, ...]()
    if isinstance(claim, ArrayClaim):
        accepted, notes = accepted_by_ties(line, known, given, filled, tolerance)
    return Judged(line, known, given, filled, expected, tolerance, right or accepted), notes


def _tolerance(claim: ArrayClaim, digits: int | None, is_exact: bool) -> Tolerance:
    if digits is not None:
        return Tolerance(EXACT, digits)
    if claim.is_single:
        return Tolerance(SINGLE)
    return Tolerance(EXACT if is_exact and claim.exact is not None else DOUBLE)


def _evaluated(claim: FormulaClaim, line: Line, arrays: Mapping[str, Array]) -> Array:
    check_names(claim, line)
    sizes = claim_sizes(claim, line)
    known = line.completed(arrays, claim.equation)
    if line.name in claim.equation.tensors:
        raise FormulaError(f"{line.name} stands on both sides", claim.source, 0)
    return np.asarray(evaluate(claim.equation, known, sizes))


# ---- the verdict


def verdict_of(
    judged: Sequence[Judged], notes: tuple[str, ...] = (), first_index: int = 0, is_array: bool = False
) -> ClaimVerdict:
    """The verdict on one claim that was judged at one size or several, or on an array."""
    wrong = [case for case in judged if not case.is_right]
    first = min(wrong or judged, key=lambda case: case.given.size)
    expected = text(first.line.equation)
    name = first.line.name
    common: dict[str, Any] = {
        "name": name,
        "expected": expected,
        "notes": notes,
        "shape": first.expected.shape,
        "given_shape": first.given.shape,
        "first_index": first_index,
        "compared": int(first.filled.sum()),
    }
    if not wrong:
        return ClaimVerdict(True, **common)
    mistakes = named_mistakes(judged) or _another_entry(judged)
    if first.given.shape != first.expected.shape:
        if not mistakes:
            layer = f"{type(first.line.layer).__name__}: " if first.line.layer else ""
            raise ShapeError(
                f"{layer}{name} must have shape {shape_text(first.expected.shape)}, "
                f"got {shape_text(first.given.shape)}, which no known mistake explains"
            )
        return ClaimVerdict(False, mistakes, name, **common)
    differs = ~first.tolerance.agrees(first.given, first.expected, first.filled)
    entries = _entries(first, differs, first_index)
    if is_array and not mistakes and first.tolerance.digits is None:
        common["notes"] = (*notes, *filter(None, [few_digits(_decimals(first, differs))]))
    return ClaimVerdict(False, mistakes, name, entries, differing=int(differs.sum()), **common)


def _another_entry(judged: Sequence[Judged]) -> tuple[str, ...]:
    """A maximum's gradient given to some other entry of each window, whichever it is."""
    for case in judged:
        windows = windows_of(case.line, case.arrays)
        if windows is None or case.given.shape != case.expected.shape or not case.filled.all():
            return ()
        if not case.is_right and not to_one_other_entry(windows, case.given):
            return ()
    return ("max-wrong-entry",)


def _entries(case: Judged, differs: Array, first_index: int) -> tuple[Entry, ...]:
    expansion = Expansion(case.line, case.arrays, first_index)
    found = []
    for number, place in enumerate(map(tuple, np.argwhere(differs)[:MOST_ENTRIES].tolist())):
        expected, written = as_number(case.expected[place] + 0.0), ""
        if number < MOST_SHOWN:
            with suppress(ClosedformError, ArithmeticError, KeyError):
                expected, written = expansion.entry(place)
        index = tuple(position + first_index for position in place)
        found.append(Entry(index, _shown(case.given[place]), expected, written))
    return tuple(found)


def _decimals(case: Judged, differs: Array) -> Iterator[tuple[str, float, float, bool]]:
    """The entries that may have been rounded, with how they are written."""
    for place in map(tuple, np.argwhere(case.filled).tolist()):
        given = float(case.given[place])
        if differs[place] or not given.is_integer():
            yield f"{given!r}", given, float(case.expected[place]), bool(differs[place])


def _shown(value: Any) -> Any:
    return as_number(value) if np.isfinite(float(value)) else float(value)
