"""Numbers that are put in for entries: they can be judged only at the sheet's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from closedform.checking.blame import Case
from closedform.errors import DataError
from closedform.worksheet.claims import Claim
from closedform.worksheet.sheet import Worksheet

_MIXED = "Numbers stand in it beside symbols: it is right at the sheet's numbers."


def without_mixed(claim: Claim, cases: Sequence[Case]) -> tuple[list[Case], tuple[str, ...]]:
    """The cases, without the entries that only the sheet's numbers can judge, and what is said of them.

    An entry in which numbers stand beside symbols, right at the sheet's numbers and wrong at drawn ones, has
    numbers put in for entries.

    Parameters
    ----------
    cases
        The sheet's numbers first.
    """
    own, *drawn = cases
    right = own.stated.agrees(_expected(own))
    put_in = {
        place
        for place in claim.mixed
        for case in drawn
        if right[place] and not case.stated.agrees(_expected(case))[place]
    }
    if not put_in:
        return list(cases), ()
    kept = [place for place in claim.entries if place not in put_in]
    others = [Case(c.base, c.stated.only(kept), c.axes, c.target) for c in drawn]
    return [own, *others], (_MIXED,)


def check_constants(claim: Claim, cases: Sequence[Case], worksheet: Worksheet) -> None:
    """Refuse a number that is claimed of an entry which depends on numbers that the sheet does not give.

    Raises
    ------
    DataError
        With the numbers that are missing.
    """
    if claim.kind != "values":
        return
    first, *others = [_expected(case) for case in cases]
    for place, entry in claim.entries.items():
        if entry.number is not None and any(other[place] != first[place] for other in others):
            raise DataError(
                f"claim {claim.number} ({claim.of}): a number can be judged only at the sheet's numbers: "
                f"give {_and(_missing(claim.quantity, worksheet))}, or write the entry in symbols"
            )


def _missing(quantity: str, worksheet: Worksheet) -> list[str]:
    """The quantities without numbers on which a quantity depends."""
    found, seen, waiting = [], set(), [quantity]
    while waiting:
        name = waiting.pop(0)
        if name in seen or name in worksheet.given:
            continue
        seen.add(name)
        calculation = worksheet.solution[name].calculation
        if calculation is None:
            found.append(name)
        else:
            waiting += calculation.reads.values()
    order = [q.name for q in worksheet.solution.quantities]
    return sorted(found, key=order.index)


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _expected(case: Case) -> npt.NDArray[Any]:
    expected = case.base[case.target]
    assert expected is not None
    return case.axes.to_sheet(expected)
