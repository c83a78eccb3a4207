"""What is said of a claim's entries: those that differ, and the grid of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from closedform.checking.blame import Case
from closedform.checking.compare import few_digits
from closedform.checking.sheet_verdict import Cell, WrongEntry
from closedform.checking.writing import Writer
from closedform.worksheet.axes import Place
from closedform.worksheet.claims import Claim
from closedform.worksheet.rounding import is_decimal

_MOST_CELLS = 400


class Entries:
    """The entries of one claim, compared.

    Parameters
    ----------
    claim, cases
        The claim, for each set of numbers at which it is judged.
    writer
        Writes entries under the sheet's names.
    is_expanded
        Whether entries are written out in their terms.
    """

    def __init__(self, claim: Claim, cases: Sequence[Case], writer: Writer, is_expanded: bool):
        self.claim, self.cases, self.writer, self.is_expanded = claim, cases, writer, is_expanded

    def rounding(self) -> tuple[str, ...]:
        """What is said where entries are right only to their digits."""
        if not any(isinstance(entry.number, Fraction) for entry in self.claim.entries.values()):
            return ()  # floats are as exact as floats are
        for case in self.cases:
            expected = case.base[case.target]
            if expected is not None and case.stated.is_rounded(case.axes.to_sheet(expected)):
                return ("Right to the digits that are written.",)
        return ()

    def few_digits(self) -> tuple[str, ...]:
        """What is said where decimals differ only because few digits are written."""
        case = self.cases[0]
        expected = case.base[case.target]
        if self.claim.kind != "values" or expected is None:
            return ()
        differs, right, found = _differing(case), case.axes.to_sheet(expected), []
        for place, entry in self.claim.entries.items():
            if is_decimal(entry) and entry.number is not None:
                found.append((entry.text, float(entry.number), float(right[place]), bool(differs[place])))
            elif differs[place]:
                return ()
        return tuple(filter(None, [few_digits(found)]))

    def wrong(self) -> tuple[WrongEntry, ...]:
        """The entries that differ: in symbols at any set of numbers, else at the first where any does."""
        claim, writer = self.claim, self.writer
        cases = list(self.cases)
        if not claim.is_symbolic:
            cases = [next(case for case in cases if not case.is_right)]
        differing = [_differing(case) for case in cases]
        fixed = self._fixed()
        most = writer.most_expanded(claim.quantity)
        found = []
        for number, place in enumerate(map(tuple, np.argwhere(np.logical_or.reduce(differing)).tolist())):
            case = next(case for case, differs in zip(cases, differing, strict=True) if differs[place])
            expansion = ""
            if number < most and self.is_expanded:
                expansion = writer.expansion(case.base, claim.quantity, case.axes.place(place), fixed)
            expected = case.base[claim.quantity]
            assert expected is not None
            right = expected[case.axes.place(place)]
            found.append(
                WrongEntry(
                    self._index(place),
                    self._given(case, place),
                    writer.expected(claim, right, expansion),
                    "" if claim.is_symbolic else expansion,
                )
            )
        return tuple(found)

    def _index(self, place: Place) -> tuple[int, ...]:
        """An entry's place in what the claim is about, as the sheet counts it."""
        first = self.writer.symbols.first_index
        return tuple(k + first for k in place[len(self.claim.place) :])

    def _fixed(self) -> frozenset[str]:
        """What a claim in symbols reads that is the same for all numbers."""
        claim, cases = self.claim, self.cases
        calculation = self.writer.solution[claim.quantity].calculation
        if not claim.is_symbolic or calculation is None or len(cases) < 2:
            return frozenset()
        found = set()
        for name in set(calculation.reads.values()) - {claim.quantity}:
            values = [case.base[name] for case in cases]
            first = values[0]
            if first is not None and all(v is not None and np.array_equal(v, first) for v in values):
                found.add(name)
        return frozenset(found)

    def _given(self, case: Case, place: Place) -> str:
        entry = self.claim.entries.get(place)
        if entry is not None and entry.number == 0 and entry.text[:1] in "-−":
            return "0"
        return entry.text if entry is not None else Writer.number(case.stated.values[place])

    def cells(self, case: Case, is_right: bool = False) -> tuple[tuple[Place, Cell], ...]:
        """Every stated entry of a case by its place as the sheet counts it; none of a large array.

        Parameters
        ----------
        is_right
            Whether all count as right.
        """
        if case.stated.values.size > _MOST_CELLS:
            return ()
        expected = case.base[case.target]
        assert expected is not None
        written, differs = case.axes.to_sheet(expected), _differing(case)
        found = []
        for place in map(tuple, np.argwhere(case.stated.filled).tolist()):
            index = self._index(place)
            right = is_right or not differs[place]
            found.append((index, Cell(self._given(case, place), Writer.number(written[place]), right)))
        return tuple(found)


def _differing(case: Case) -> npt.NDArray[np.bool_]:
    expected = case.base[case.target]
    assert expected is not None
    return np.asarray(~case.stated.agrees(case.axes.to_sheet(expected)), bool)
