"""Finding the mistake that explains a wrong claim: rewriting, evaluating, comparing."""

from __future__ import annotations

import math
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

_MOST_COMBINATIONS, _FEWEST_COMBINATIONS = 400, 40
_MOST_PRODUCTS = 40_000_000  # in all combinations together
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

    def value_of(self, line: Line) -> Array | None:
        """A rewrite's numbers; None where it has none of the claim's shape."""
        if line.shape != self.given.shape:
            return None
        value = value_or_none(line, self.arrays)
        return None if value is None or value.shape != self.given.shape else value

    def has_values(self, value: Array | None) -> bool:
        """Whether these are the claim's numbers."""
        return value is not None and bool(self.tolerance.agrees(self.given, value, self.filled).all())

    def is_explained_by(self, value: Array | None) -> bool:
        """Whether these are the claim's numbers, and others than are right."""
        if value is None or not self.has_values(value):
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
    singles = [(variant, first.value_of(variant.line)) for variant in variants(first.line)]
    fitting = {variant.mistake for variant, value in singles if first.is_explained_by(value)}
    for mistake in sorted(fitting, key=rank):
        if all(_explained(case, (mistake,)) for case in judged if case is not first):
            return (mistake,)
    if len(wrong) == 1 and _differing(first) < _FEWEST_ENTRIES:
        return ()
    for mistakes in _combined(first, singles):
        if all(_explained(case, mistakes) for case in judged if case is not first):
            return mistakes
    return ()


def _combined(case: Judged, singles: Sequence[tuple[Variant, Array | None]]) -> Iterator[tuple[str, ...]]:
    """The combinations of two that have the claim's values."""
    seen: set[tuple[str, ...]] = set()
    factors, only_factors = _factors(case, singles)
    for variant, value in singles:
        for mistake, factor in factors:
            if value is not None and mistake != variant.mistake and case.is_explained_by(factor * value):
                seen.add(tuple(sorted((variant.mistake, mistake), key=rank)))
    yield from sorted(seen, key=lambda pair: [rank(mistake) for mistake in pair])
    others = [variant for variant, _ in singles if variant.mistake not in only_factors]
    for two in islice(_pairs(others, case.given.shape, only_factors), _combinations(case.line)):
        if two.mistakes not in seen and case.is_explained_by(case.value_of(two.line)):
            seen.add(two.mistakes)
            yield two.mistakes


def _factors(
    case: Judged, singles: Sequence[tuple[Variant, Array | None]]
) -> tuple[set[tuple[str, float]], set[str]]:
    """The mistakes that multiply what is right by a number, with the number; those that do nothing else."""
    found: set[tuple[str, float]] = set()
    others: set[str] = set()
    largest = np.unravel_index(np.abs(case.expected).argmax(), case.expected.shape)
    for variant, value in singles:
        if value is None or value.shape != case.expected.shape or not case.expected[largest]:
            others.add(variant.mistake)
            continue
        factor = float(value[largest] / case.expected[largest])
        if np.allclose(value, factor * case.expected, rtol=1e-9, atol=1e-12):
            found.add((variant.mistake, factor))
        else:
            others.add(variant.mistake)
    return found, {mistake for mistake, _ in found} - others


def _combinations(line: Line) -> int:
    """How many combinations are tried: fewer where each takes long."""
    products = math.prod(line.sizes.extent(index) for index in line.equation.indices)
    return max(_FEWEST_COMBINATIONS, min(_MOST_COMBINATIONS, _MOST_PRODUCTS // products))


def _differing(case: Judged) -> int:
    if case.given.shape != case.expected.shape:
        return int(case.filled.sum())
    return int((~case.tolerance.agrees(case.given, case.expected, case.filled)).sum())


def _explained(case: Judged, mistakes: tuple[str, ...]) -> bool:
    """Whether the mistakes give the claim's values at this size, or change nothing where it is right."""
    lines = [case.line]
    for mistake in mistakes:
        lines = [variant.line for line in lines for variant in variants(line, {mistake})]
    if case.is_right:
        return not lines or any(case.has_values(case.value_of(line)) for line in lines)
    return any(case.is_explained_by(case.value_of(line)) for line in lines)


def _pairs(singles: Sequence[Variant], shape: Shape, without: set[str]) -> Iterator[Variant]:
    """Combinations of two that have the claim's shape, without those mistakes as the second.

    One form of each mistake with one form of each other comes first, then every form with every form, and
    last what is off by one.
    """
    ordered = sorted((v for v in singles if v.mistake != OFF_BY_ONE), key=lambda v: rank(v.mistake))
    firsts = {(v.mistake, v.line.shape): v for v in reversed(ordered)}
    for one in sorted(firsts.values(), key=lambda v: rank(v.mistake)):
        seen: set[str] = set()
        for pair in _seconds(one, _LATER[one.mistake] - without, shape):
            if pair.mistake not in seen:
                seen.add(pair.mistake)
                yield pair
    for one in ordered:
        yield from _seconds(one, _LATER[one.mistake] - without, shape)
    for one in ordered:
        yield from _seconds(one, {OFF_BY_ONE}, shape)


def _seconds(one: Variant, later: set[str], shape: Shape) -> Iterator[Variant]:
    for two in variants(one.line, later):
        if two.line.shape == shape:
            yield Variant((one.mistake, two.mistake), two.line)
