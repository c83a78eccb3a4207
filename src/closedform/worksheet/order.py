"""What a claim may read: what comes before its quantity in the order of a solution."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from closedform.errors import DataError
from closedform.formula.tree import Equation
from closedform.solution import Quantity
from closedform.worksheet.claims import Claim, at
from closedform.worksheet.symbols import Symbols

_MOST_NAMES = 6


def check_order(claim: Claim, earlier: Collection[str], symbols: Symbols) -> None:
    """Refuse a claim that reads its own quantity, or one that follows from it.

    The gradients in the parameters of one layer stand side by side: of those a claim may read what the sheet
    has claimed before it, ``dW[i,j] = db[i] * X[j]``.

    Parameters
    ----------
    earlier
        The quantities of the claims before it.

    Raises
    ------
    DataError
        With the claim and the entry.
    """
    order = {quantity.name: place for place, quantity in enumerate(symbols.solution.quantities)}
    own = symbols.solution[claim.quantity]
    for where, equation in _lines(claim, symbols):
        for access in equation.accesses:
            part = symbols.part(access.tensor)
            if part is None or order[part.quantity] < order[own.name]:
                continue
            if part.quantity in earlier and _is_beside(symbols.solution[part.quantity], own):
                continue
            before = list(order)[: order[own.name]]
            names = ", ".join([*before[:_MOST_NAMES], *(["…"] if len(before) > _MOST_NAMES else [])])
            what = f"{own.name} itself" if part.quantity == own.name else part.quantity
            may = f"may read what comes before it: {names}, not {what}" if before else f"cannot read {what}"
            raise DataError(f"{where}: a claim on {own.name} {may}")


def _lines(claim: Claim, symbols: Symbols) -> Iterator[tuple[str, Equation]]:
    where = f"claim {claim.number} ({claim.of})"
    if claim.equation is not None:
        yield where, claim.equation
    for place, entry in claim.entries.items():
        if entry.equation is not None:
            yield at(place[len(claim.place) :], where, symbols), entry.equation


def _is_beside(one: Quantity, other: Quantity) -> bool:
    return one.role == other.role == "gradient" and one.layer == other.layer is not None
