"""What marking a whole sheet gives: a verdict on every claim, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["right", "wrong", "carried"]

_MOST_SHOWN = 400  # entries that differ, in a report


@dataclass(frozen=True)
class WrongEntry:
    """One entry of a claim that differs from what is right.

    Attributes
    ----------
    index
        Its place as the sheet counts it; empty for a single number.
    given, expected
        What is stated, and what is right.
    terms
        The right entry written out: ``1/4·X11 + 1/4·X12 = 1/4·2 + 1/4·3 = 5/4``; empty where it is too long.
    """

    index: tuple[int, ...]
    given: str
    expected: str
    terms: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "index": list(self.index),
            "given": self.given,
            "expected": self.expected,
            "terms": self.terms,
        }


@dataclass(frozen=True)
class NamedMistake:
    """A mistake that explains every entry of a claim.

    Attributes
    ----------
    id
        Its name, ``"pool-factor-missing"``.
    description
        What was done and what is right, in a sentence.
    where
        The quantity in whose calculation it was made, where that is not the claim's own.
    """

    id: str
    description: str
    where: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"id": self.id, "description": self.description, "where": self.where}


@dataclass(frozen=True)
class Cell:
    """One entry of a claim's grid."""

    given: str
    expected: str
    is_right: bool


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on one claim.

    Attributes
    ----------
    number
        Which claim of the sheet it is, from 1.
    name
        What it is about, as the sheet writes it.
    statement
        What kind of statement it is, in a word or the formula itself.
    status
        ``right``, ``wrong``, or ``carried``: right given what is wrong before it.
    entries
        The entries that differ, in order.
    count
        How many entries are stated.
    mistakes
        What explains all of them, where something does.
    follows_from
        The numbers of the earlier claims whose mistakes it carries forward.
    notes
        What else is to be said.
    shape
        The shape of the quantity as the sheet writes it.
    cells
        Each stated entry by its place as the sheet counts it, where it is an array of moderate size.
    """

    number: int
    name: str
    statement: str
    status: Status
    entries: tuple[WrongEntry, ...] = ()
    count: int = 0
    mistakes: tuple[NamedMistake, ...] = ()
    follows_from: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    cells: tuple[tuple[tuple[int, ...], Cell], ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether nothing in it is wrong."""
        return self.status == "right"

    @property
    def mistake(self) -> str | None:
        """The name of the mistake; None where none was found."""
        return self.mistakes[0].id if self.mistakes else None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "number": self.number,
            "name": self.name,
            "statement": self.statement,
            "status": self.status,
            "stated": self.count,
            "differing": len(self.entries),
            "entries": [entry.to_dict() for entry in self.entries[:_MOST_SHOWN]],
            "mistakes": [mistake.to_dict() for mistake in self.mistakes],
            "follows_from": list(self.follows_from),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class SheetVerdict:
    """The verdict on a whole solution.

    Attributes
    ----------
    title
        The sheet's.
    claims
        The verdict on each claim, in order.
    conventions
        Conventions other than the library's that the whole solution follows, each in a sentence.
    first_index
        From which number entries are counted.
    """

    title: str
    claims: tuple[ClaimVerdict, ...]
    conventions: tuple[str, ...] = ()
    first_index: int = 1

    @property
    def is_right(self) -> bool:
        """Whether every claim is right."""
        return all(claim.is_right for claim in self.claims)

    def __bool__(self) -> bool:
        return self.is_right

    @property
    def first_wrong(self) -> ClaimVerdict | None:
        """The first claim that is wrong; None where all are right."""
        return next((claim for claim in self.claims if not claim.is_right), None)

    def __getitem__(self, name: str) -> ClaimVerdict:
        """The verdict on the last claim about a quantity."""
        found = [claim for claim in self.claims if claim.name == name]
        if not found:
            raise KeyError(name)
        return found[-1]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        first = self.first_wrong
        return {
            "format_version": 1,
            "title": self.title,
            "right": self.is_right,
            "first_wrong": None if first is None else first.number,
            "first_index": self.first_index,
            "conventions": list(self.conventions),
            "claims": [claim.to_dict() for claim in self.claims],
        }

    def to_json(self) -> str:
        """The verdict as JSON."""
        import json

        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def text(self, width: int = 100) -> str:
        """The verdict for a terminal."""
        from closedform.checking.report import text

        return text(self, width)

    def html(self) -> str:
        """The verdict as one page that needs nothing else."""
        from closedform.checking.report_html import html

        return html(self)

    def _repr_html_(self) -> str:
        from closedform.checking.report_html import fragment

        return fragment(self)

    def __str__(self) -> str:
        return self.text()
