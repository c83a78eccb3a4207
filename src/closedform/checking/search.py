"""Finding the mistake that explains a wrong claim: rewriting, evaluating, comparing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.compare import Tolerance
from closedform.checking.lines import Line
from closedform.checking.mistakes import MISTAKES, rank
from closedform.checking.rewrites import OFF_BY_ONE, Variant, variants
from closedform.errors import ClosedformError
from closedform.formula.extents import Shape

Array = npt.NDArray[Any]

_MOST_COMBINATIONS = 500
_LATER = {  # every pair is tried in one order only
    one: {two for two in MISTAKES if rank(two) > rank(one) and two != OFF_BY_ONE} for one in MISTAKES
}
_FEWEST_ENTRIES = 3  # fewer entries that differ are explained by some combination of two all too easily


@dataclass(frozen=True, eq=False)
class Judged:
    """One claim at one size.

    Attributes
    ----------
    line, arrays
        The line that is right, and the numbers of every tensor that it needs.
    given, filled
        What is claimed, and which entries are.
    expected
        What is right.
    tolerance
        When two numbers are the same.
    is_right
        Whether the claim is.
    """

    line: Line
    arrays: Mapping[str, Array]
    given: Array
    filled: Array
    expected: Array
    tolerance: Tolerance
    is_right: bool

    def is_given_by(self, line: Line) -> bool:
        """Whether a rewrite has the claim's values, and others than are right."""
        if line.shape != self.given.shape:
            return False
        value = value_or_none(line, self.arrays)
        if value is None or value.shape != self.given.shape:
            return False
        if not self.tolerance.agrees(self.given, value, self.filled).all():
            return False
        if value.shape != self.expected.shape:
            return True
        return not self.tolerance.agrees(value, self.expected, self.filled).all()


def value_or_none(line: Line, arrays: Mapping[str, Array]) -> Array | None:
    """A rewrite's numbers; None where it has none at these sizes."""
    try:
        value = line.evaluate(arrays)
    except (ClosedformError, KeyError, ArithmeticError):
        return None
    return value if np.isfinite(value).all() else None


def named_mistakes(judged: Sequence[Judged]) -> tuple[str, ...]:
    """The mistake, or the two, that explain every entry at every size; empty where none does."""
    wrong = sorted((case for case in judged if not case.is_right), key=lambda case: case.given.size)
    if not wrong:
        return ()
    first = wrong[0]
    singles = list(variants(first.line))
    fitting = {variant.mistake for variant in singles if first.is_given_by(variant.line)}
    for mistake in sorted(fitting, key=rank):
        if all(_explained(case, (mistake,)) for case in judged if case is not first):
            return (mistake,)
    if len(wrong) == 1 and _differing(first) < _FEWEST_ENTRIES:
        return ()
    tried: set[tuple[str, ...]] = set()
    for pair in islice(_pairs(singles, first.given.shape), _MOST_COMBINATIONS):
        if pair.mistakes not in tried and first.is_given_by(pair.line):
            tried.add(pair.mistakes)
            if all(_explained(case, pair.mistakes) for case in judged if case is not first):
                return pair.mistakes
    return ()


def _differing(case: Judged) -> int:
    if case.given.shape != case.expected.shape:
        return int(case.filled.sum())
    return int((~case.tolerance.agrees(case.given, case.expected, case.filled)).sum())


def _explained(case: Judged, mistakes: tuple[str, ...]) -> bool:
    """Whether the mistakes give the claim's values at this size, or change nothing where it is right."""
    if case.is_right:
        return True
    lines = [case.line]
    for mistake in mistakes[:-1]:
        lines = [variant.line for line in lines for variant in variants(line, {mistake})]
    return any(case.is_given_by(variant.line) for line in lines for variant in variants(line, {mistakes[-1]}))


def _pairs(singles: Sequence[Variant], shape: Shape) -> Iterator[Variant]:
    """Combinations of two that have the claim's shape.

    One form of each mistake with one form of each other comes first, then every form with every form, and
    last what is off by one.
    """
    ordered = sorted((v for v in singles if v.mistake != OFF_BY_ONE), key=lambda v: rank(v.mistake))
    firsts = {(v.mistake, v.line.shape): v for v in reversed(ordered)}
    for one in sorted(firsts.values(), key=lambda v: rank(v.mistake)):
        seen: set[str] = set()
        for pair in _seconds(one, _LATER[one.mistake], shape):
            if pair.mistake not in seen:
                seen.add(pair.mistake)
                yield pair
    for one in ordered:
        yield from _seconds(one, _LATER[one.mistake], shape)
    for one in ordered:
        yield from _seconds(one, {OFF_BY_ONE}, shape)


def _seconds(one: Variant, later: set[str], shape: Shape) -> Iterator[Variant]:
    for two in variants(one.line, later):
        if two.line.shape == shape:
            yield Variant((one.mistake, two.mistake), two.line)
