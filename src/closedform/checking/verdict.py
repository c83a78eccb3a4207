"""What checking says of a claim."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from closedform.checking.expansion import entry_name, number_text
from closedform.checking.mistakes import MISTAKES
from closedform.formula.extents import Shape

Value = Fraction | float

_WIDTH = 100
_FEW, _EXAMPLES, MOST_SHOWN = 4, 3, 8


def how_many(differing: int, is_explained: bool) -> int:
    """How many entries are printed: examples of many where a mistake explains them, else more."""
    if is_explained:
        return differing if differing <= _FEW else _EXAMPLES
    return min(differing, MOST_SHOWN)


@dataclass(frozen=True)
class Entry:
    """An entry that differs.

    Attributes
    ----------
    index
        Where, counted from `ClaimVerdict.first_index`.
    given, expected
        What was claimed, and what is right; None where the claim has no such entry.
    expansion
        The expected entry in its terms, ``"1/4·x11 + 1/4·x12 = 1/4·3 + 1/4·4 = 7/4"``; empty where it has too
        many.
    """

    index: tuple[int, ...]
    given: Value | None
    expected: Value | None
    expansion: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values; fractions as text."""
        return {
            "index": list(self.index),
            "given": _plain(self.given),
            "expected": _plain(self.expected),
            "expansion": self.expansion,
        }


class WrongEntry(Protocol):
    """An entry that differs: where, what was given, what is right, and that in its terms."""

    @property
    def index(self) -> tuple[int, ...]:
        """Its place, empty for a single number."""

    @property
    def given(self) -> Any:
        """What was claimed."""

    @property
    def expected(self) -> Any:
        """What is right."""

    @property
    def expansion(self) -> str:
        """The right entry written out; empty where that is too long."""


@runtime_checkable
class Verdict(Protocol):
    """Right or wrong, and if wrong, where and why: what `closedform.check` returns.

    Of a layer it is a `ClaimVerdict`, of a network a `SheetVerdict`, which has a verdict on each claim in
    `steps`; its mistakes and entries are those of the first wrong step.
    """

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""

    @property
    def mistakes(self) -> tuple[str, ...]:
        """What explains every entry: the name of a mistake or of two; empty when right or unexplained."""

    @property
    def first_wrong(self) -> str | None:
        """The name of the first wrong claim; None when all are right."""

    @property
    def entries(self) -> Sequence[WrongEntry]:
        """The entries that differ."""

    @property
    def follows_from(self) -> tuple[str, ...]:
        """Names of earlier claims whose mistakes are carried forward."""

    def text(self) -> str:
        """The verdict to be read, in lines of at most 100 columns."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""


@dataclass(frozen=True, repr=False)
class ClaimVerdict:
    """The verdict on one claim.

    Attributes
    ----------
    right
        Whether the claim is right.
    mistakes
        The mistake that explains every entry exactly, or the two that together do; empty when the claim is
        right or nothing explains it.  `closedform.checking.MISTAKES` has a sentence for each.
    first_wrong
        The name of the first wrong claim, ``"dX"``; None when right.
    entries
        The first entries that differ (at most `check.MOST_ENTRIES`).
    follows_from
        Names of earlier claims from which this one would be right (an error carried forward).
    notes
        Further sentences, on ties, on conventions.
    name
        The tensor that the claim is about.
    expected
        What is right, as a formula.
    differing, compared
        How many entries differ, and how many were compared.
    shape, given_shape
        The shape of what is right and of what was given, at the size at which the entries were compared.
    first_index
        From which number entries are counted.
    """

    right: bool
    mistakes: tuple[str, ...] = ()
    first_wrong: str | None = None
    entries: tuple[Entry, ...] = ()
    follows_from: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = ""
    expected: str = ""
    differing: int = 0
    compared: int = 0
    shape: Shape = ()
    given_shape: Shape = ()
    first_index: int = 0

    def __bool__(self) -> bool:
        return self.right

    def text(self) -> str:
        """The verdict to be read, in lines of at most 100 columns."""
        lines = [f"{self.name} is right." if self.right else f"{self.name} is wrong."]
        for mistake in self.mistakes:
            lines += _wrapped(f"{mistake}: {MISTAKES[mistake].description}")
        if self.follows_from:
            lines += _wrapped(f"It follows from {', '.join(self.follows_from)}: an error carried forward.")
        if not self.right:
            lines += self._differences()
            lines += _wrapped(f"Right is {self.expected}") if self.expected else []
        for note in self.notes:
            lines += _wrapped(note)
        return "\n".join(lines)

    def _differences(self) -> list[str]:
        lines = []
        if self.shape != self.given_shape:
            lines.append(f"  It has shape {self.given_shape}, right is {self.shape}.")
        elif self.compared:
            entries = "entry" if self.compared == 1 else "entries"
            lines.append(f"  {self.differing} of {self.compared} {entries} differ:")
        chosen = self.shown
        for entry in chosen:
            line = f"{self.entry_name(entry)}: given {shown(entry.given)}, expected {shown(entry.expected)}"
            lines += _wrapped(line, "    ")
            if " = " in entry.expansion:
                lines += _wrapped("= " + entry.expansion, "      ")
        rest = self.differing - len(chosen)
        if self.entries and rest > 0:
            lines.append(f"    and {rest} more")
        return lines

    @property
    def shown(self) -> tuple[Entry, ...]:
        """The entries that a report shows."""
        return self.entries[: how_many(self.differing, bool(self.mistakes or self.follows_from))]

    def entry_name(self, entry: Entry) -> str:
        """What an entry is called: ``dW21``."""
        place = tuple(position - self.first_index for position in entry.index)
        return entry_name(self.name, place, self.shape, self.first_index)

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold; fractions as text."""
        return {
            "right": self.right,
            "name": self.name,
            "mistakes": list(self.mistakes),
            "first_wrong": self.first_wrong,
            "follows_from": list(self.follows_from),
            "entries": [entry.to_dict() for entry in self.entries],
            "differing": self.differing,
            "compared": self.compared,
            "shape": list(self.shape),
            "given_shape": list(self.given_shape),
            "expected": self.expected,
            "notes": list(self.notes),
            "first_index": self.first_index,
        }

    def html(self) -> str:
        """The verdict as one page that needs nothing else."""
        from closedform.checking.report_html import claim_html

        return claim_html(self)

    def _repr_html_(self) -> str:
        from closedform.checking.report_html import claim_fragment

        return claim_fragment(self)

    def __repr__(self) -> str:
        if self.right:
            return f"<ClaimVerdict right: {self.name}>"
        return f"<ClaimVerdict wrong: {', '.join([self.name, *self.mistakes])}>"

    def __str__(self) -> str:
        return self.text()


def _wrapped(line: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        line, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )


def shown(value: Value | None) -> str:
    """A claimed or an expected entry in words."""
    return "nothing" if value is None else number_text(value)


def _plain(value: Value | None) -> int | float | str | None:
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else str(value)
    return value if value is None else value + 0.0 if math.isfinite(value) else str(value)
