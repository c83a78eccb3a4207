"""What marking a whole sheet gives: a verdict on every claim, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from closedform.checking.mistakes import MISTAKES
from closedform.checking.verdict import how_many

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
    expansion
        The right entry written out: ``1/4·X11 + 1/4·X12 = 1/4·2 + 1/4·3 = 5/4``; empty where it is too long.
    """

    index: tuple[int, ...]
    given: str
    expected: str
    expansion: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "index": list(self.index),
            "given": self.given,
            "expected": self.expected,
            "expansion": self.expansion,
        }


@dataclass(frozen=True)
class Cell:
    """One entry of a claim's grid."""

    given: str
    expected: str
    is_right: bool


@dataclass(frozen=True)
class StepVerdict:
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
    compared
        How many entries are stated.
    mistakes
        What explains every entry: the name of the mistake, or of the two; `closedform.checking.MISTAKES` has
        a sentence for each.
    where
        The quantity in whose calculation it was made, where that is not the claim's own.
    follows_from
        The names of the earlier claims whose mistakes it carries forward.
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
    compared: int = 0
    mistakes: tuple[str, ...] = ()
    where: str = ""
    follows_from: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    cells: tuple[tuple[tuple[int, ...], Cell], ...] = ()

    @property
    def right(self) -> bool:
        """Whether nothing in it is wrong."""
        return self.status == "right"

    @property
    def carried(self) -> bool:
        """Whether it is right given what is wrong before it: an error carried forward."""
        return self.status == "carried"

    @property
    def differing(self) -> int:
        """How many entries differ."""
        return len(self.entries)

    @property
    def shown(self) -> tuple[WrongEntry, ...]:
        """The entries that a report shows."""
        return self.entries[: how_many(self.differing, bool(self.mistakes) or self.carried)]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was done and what is right, for each mistake."""
        return tuple(MISTAKES[mistake].description for mistake in self.mistakes)

    def __bool__(self) -> bool:
        return self.right

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "number": self.number,
            "name": self.name,
            "statement": self.statement,
            "right": self.right,
            "status": self.status,
            "compared": self.compared,
            "differing": self.differing,
            "entries": [entry.to_dict() for entry in self.entries[:_MOST_SHOWN]],
            "mistakes": list(self.mistakes),
            "sentences": list(self.sentences),
            "where": self.where,
            "follows_from": list(self.follows_from),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, repr=False)
class SheetVerdict:
    """The verdict on a whole solution.

    Attributes
    ----------
    title
        The sheet's.
    steps
        The verdict on each claim, in order.
    conventions
        Conventions other than the library's that the whole solution follows, each in a sentence.
    first_index
        From which number entries are counted.
    """

    title: str
    steps: tuple[StepVerdict, ...]
    conventions: tuple[str, ...] = ()
    first_index: int = 1

    @property
    def right(self) -> bool:
        """Whether every claim is right."""
        return all(step.right for step in self.steps)

    def __bool__(self) -> bool:
        return self.right

    @property
    def first_wrong_step(self) -> StepVerdict | None:
        """The verdict on the first claim that is wrong; None where all are right."""
        return next((step for step in self.steps if not step.right), None)

    @property
    def first_wrong(self) -> str | None:
        """The name of the first claim that is wrong; None where all are right."""
        step = self.first_wrong_step
        return None if step is None else step.name

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The mistake in the first wrong claim, or the two; empty where nothing explains it."""
        step = self.first_wrong_step
        return () if step is None else step.mistakes

    @property
    def entries(self) -> tuple[WrongEntry, ...]:
        """The entries of the first wrong claim that differ."""
        step = self.first_wrong_step
        return () if step is None else step.entries

    @property
    def follows_from(self) -> tuple[str, ...]:
        """The names of claims whose mistakes later ones carry forward."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.follows_from))

    def __getitem__(self, name: str) -> StepVerdict:
        """The verdict on the last claim of a name."""
        found = [step for step in self.steps if step.name == name]
        if not found:
            raise KeyError(name)
        return found[-1]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "format_version": 1,
            "title": self.title,
            "right": self.right,
            "first_wrong": self.first_wrong,
            "first_index": self.first_index,
            "conventions": list(self.conventions),
            "steps": [step.to_dict() for step in self.steps],
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

    def __repr__(self) -> str:
        first = self.first_wrong
        return f"<SheetVerdict {'right' if first is None else f'wrong: first wrong is {first}'}>"

    def __str__(self) -> str:
        return self.text()
