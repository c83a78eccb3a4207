"""Entries in words: a right entry written out under the sheet's names."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.bases import Base
from closedform.checking.blame import line_of
from closedform.checking.expansion import Expansion, Term
from closedform.checking.lines import Line
from closedform.checking.verdict import MOST_SHOWN
from closedform.errors import ClosedformError
from closedform.formula.tree import Access
from closedform.solution import Solution
from closedform.solution.exact import work
from closedform.worksheet.claims import Claim
from closedform.worksheet.symbols import Symbols

Array = npt.NDArray[Any]

_MOST_ENTRIES = 60
_MOST_TERMS = 3_000  # in all entries of a claim together, but for those that are shown
_MOST_SHOWN_TERMS = 2_000  # of each of these


class _Named(Expansion):
    """An expansion whose entries are called as on the sheet."""

    def __init__(
        self,
        line: Line,
        arrays: Mapping[str, Array],
        symbols: Symbols,
        reads: Mapping[str, str],
        fixed: Collection[str],
    ):
        super().__init__(line, arrays, symbols.first_index)
        self.symbols, self.reads, self.fixed = symbols, reads, fixed

    def _read(self, access: Access, names: dict[str, int | Fraction]) -> list[Term]:
        found = super()._read(access, names)
        if self.reads.get(access.tensor) not in self.fixed:
            return found
        numbers = [term.value for term in found]
        if any(not isinstance(number, Fraction) for number in numbers):
            return found
        return [Term(number, (), ()) for number in numbers if isinstance(number, Fraction) and number]

    def name(self, tensor: str, place: tuple[int, ...]) -> str:
        if tensor not in self.reads:
            return super().name(tensor, place)
        axes = self.symbols.axes(self.reads[tensor])
        return self.symbols.entry_text(self.reads[tensor], tuple(place[axis] for axis in axes.written))


class Writer:
    """Writes entries under the sheet's names."""

    def __init__(self, symbols: Symbols, solution: Solution):
        self.symbols, self.solution = symbols, solution

    @staticmethod
    def number(value: Any) -> str:
        """A number as one writes it."""
        if isinstance(value, Fraction):
            return str(value)
        number = float(value)
        if number.is_integer() and abs(number) < 1e15:
            return str(int(number))
        return f"{number:.6g}"

    def most_expanded(self, quantity: str) -> int:
        """How many entries of a quantity are written out: few where each has many terms."""
        own = self.solution[quantity]
        if own.calculation is None:
            return 0
        terms = work(own.calculation.equation, own.calculation.sizes) // max(1, math.prod(own.shape))
        shown = MOST_SHOWN if terms <= _MOST_SHOWN_TERMS else 0
        return max(shown, min(_MOST_ENTRIES, _MOST_TERMS // max(1, terms)))

    def expansion(
        self, base: Base, quantity: str, place: tuple[int, ...], fixed: Collection[str] = ()
    ) -> str:
        """``1/4·X11 + 1/4·X12 = 1/4·2 + 1/4·3 = 5/4``; empty where it is too long to be read.

        Quantities of `fixed` are written as the numbers that they are.
        """
        own = self.solution[quantity]
        line = line_of(self.solution, own)
        if line is None or own.calculation is None:
            return ""
        arrays = base.values.read_by(quantity)
        if arrays is None:
            return ""
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        for tensor, name in own.calculation.reads.items():
            value = base.values[name] if name != quantity else None
            if value is not None:
                arrays.setdefault(tensor, value)
        try:
            found = _Named(line, arrays, self.symbols, own.calculation.reads, fixed).entry(place)[1]
        except (ClosedformError, ArithmeticError, KeyError, TypeError):
            return ""
        return found

    def expected(self, claim: Claim, right: Any, expansion: str) -> str:
        """What is right, in symbols where the claim is in symbols."""
        if claim.is_symbolic and expansion:
            return expansion.split(" = ")[0]
        return self.number(right)
