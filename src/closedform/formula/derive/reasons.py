"""The reason for a step: a sentence that knows which of its pieces are formulas.

Whoever counts from 1, or writes LaTeX, writes those pieces anew; everyone else has a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import Access, Equation


@dataclass(frozen=True)
class Equality:
    """Two subscripts that are equal, ``i = (a+t-u)/s``, with the text of both."""

    left: Polynomial
    right: Polynomial
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Subscript:
    """One subscript or number, with its text."""

    value: Polynomial
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Formula:
    """An entry or a line, with its text."""

    formula: Access | Equation
    text: str

    def __str__(self) -> str:
        return self.text


Piece: TypeAlias = str | Equality | Subscript | Formula


class Reason(str):
    """A sentence.

    Attributes
    ----------
    pieces
        Words, and the formulas among them, in order.
    """

    pieces: tuple[Piece, ...]

    def __new__(cls, *pieces: Piece) -> Reason:
        """The sentence made of the pieces."""
        found = super().__new__(cls, "".join(map(str, pieces)))
        found.pieces = pieces
        return found


def listed(pieces: Iterable[Piece], joint: str = ", ") -> tuple[Piece, ...]:
    """The pieces, each once, with a comma between them."""
    found: list[Piece] = []
    for piece in dict.fromkeys(pieces):
        found += [joint, piece] if found else [piece]
    return tuple(found)
