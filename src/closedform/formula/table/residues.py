"""Residue classes: what makes subscripts with quotients affine again.

``(a+t-u)/s`` is a whole number for some residues of a and u modulo s only.  Where each index is split into
``s*a + r``, every class of residues has affine subscripts or reads nothing, so that zeros inserted by a
stride are never touched.  An index that stands in ``a//k`` and ``a % k`` alone is split into two digits
instead, both of them loops.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from closedform.formula.subscripts import Floor, Modulo, Polynomial
from closedform.formula.tree import Access

Loops = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Split:
    """One way to write an index: what stands for it, and the loops in that."""

    value: Polynomial
    loops: Loops


@dataclass(frozen=True)
class ResidueClass:
    """One split for each index."""

    splits: Mapping[str, Split]

    @property
    def values(self) -> dict[str, Polynomial]:
        """What to write for each index."""
        return {name: split.value for name, split in self.splits.items()}

    @property
    def extents(self) -> dict[str, int]:
        """The extent of every loop."""
        return {loop: extent for split in self.splits.values() for loop, extent in split.loops}


def residue_classes(
    outer: Sequence[str],
    inner: Sequence[str],
    extents: Mapping[str, int],
    reads: Collection[Access],
    must: Collection[Access],
) -> Iterator[tuple[ResidueClass, list[ResidueClass]]]:
    """Each class of the outer indices with the classes of all indices in it for which every read is whole.

    Parameters
    ----------
    outer, inner
        The indices of the output, and those that are summed besides.
    extents
        The extent of each index.
    reads
        Every entry that is read; they decide how the indices are split.
    must
        The entries that have to be whole, or there is nothing to do.
    """
    subscripts = [subscript for access in reads for subscript in access.subscripts]
    options = _options([*outer, *inner], subscripts, extents)
    checks = [subscript for access in must for subscript in access.subscripts if not _is_plain(subscript)]
    for row in product(*[options[name] for name in outer]):
        outside = ResidueClass(dict(zip(outer, row, strict=True)))
        found = _completions(outside.splits, list(inner), options, checks)
        yield outside, [ResidueClass({name: c.splits[name] for name in (*outer, *inner)}) for c in found]


def _completions(
    chosen: Mapping[str, Split],
    rest: list[str],
    options: Mapping[str, Sequence[Split]],
    checks: list[Polynomial],
) -> Iterator[ResidueClass]:
    open_checks = []
    for subscript in checks:
        if subscript.names <= chosen.keys():
            found = ResidueClass(chosen)
            if not is_whole(subscript.substitute(found.values), found.extents):
                return
        else:
            open_checks.append(subscript)
    if not rest:
        yield ResidueClass(chosen)
        return
    # the index that completes a subscript soonest, so that few classes are tried
    waiting = [subscript.names - chosen.keys() for subscript in open_checks]
    first = min(rest, key=lambda name: min([len(names) for names in waiting if name in names], default=99))
    others = [name for name in rest if name != first]
    for split in options[first]:
        yield from _completions({**chosen, first: split}, others, options, open_checks)


def _options(
    names: Sequence[str], subscripts: Sequence[Polynomial], extents: Mapping[str, int]
) -> dict[str, list[Split]]:
    needed: dict[str, int] = {}
    for subscript in subscripts:
        _need(subscript, Fraction(1), needed)
    options: dict[str, list[Split]] = {}
    for name in names:
        extent, radix = extents[name], _radix(name, subscripts)
        if radix:
            options[name] = _digits(name, extent, radix)
            continue
        step = needed.get(name, 1)
        options[name] = [
            Split(Polynomial.of(name) * step + residue, ((name, -(-(extent - residue) // step)),))
            for residue in range(min(step, extent))
        ]
    return options


def _digits(name: str, extent: int, radix: int) -> list[Split]:
    low = f"{name}.{radix}"
    whole, rest = divmod(extent, radix)
    found = []
    if whole:
        value = Polynomial.of(name) * radix + Polynomial.of(low)
        found.append(Split(value, ((name, whole), (low, radix))))
    if rest:
        found.append(Split(Polynomial.of(low) + whole * radix, ((low, rest),)))
    return found


def _radix(name: str, subscripts: Sequence[Polynomial]) -> int | None:
    """The k of an index that stands in ``a//k`` and ``a % k`` with one k, and else in no quotient."""
    found: set[int] = set()
    for subscript in subscripts:
        for monomial, factor in subscript:
            for atom, _ in monomial:
                if atom == name and factor.denominator != 1:
                    return None
                if isinstance(atom, str) or name not in Polynomial.of(atom).names:
                    continue
                above, below = atom.numerator, atom.denominator.constant
                start = above.terms.get(frozenset(), Fraction(0))
                if below is None or above - start != Polynomial.of(name) or start % below or factor % 1:
                    return None
                found.add(int(below))
    return found.pop() if len(found) == 1 else None


def _need(subscript: Polynomial, multiple: Fraction, needed: dict[str, int]) -> None:
    """By what each index must be split so that all steps of the subscript are multiples of `multiple`."""
    for monomial, factor in subscript:
        for atom, _ in monomial:
            step = (factor / multiple).denominator
            if isinstance(atom, str):
                needed[atom] = math.lcm(needed.get(atom, 1), step)
            else:
                _need(atom.numerator, (step if isinstance(atom, Floor) else 1) * _divisor(atom), needed)


def affine(subscript: Polynomial, extents: Mapping[str, int]) -> tuple[dict[str, Fraction], Fraction]:
    """The step of each loop in a subscript, and where it starts.

    Raises
    ------
    ValueError
        Where a rounded quotient has loops that are not split.
    """
    steps: dict[str, Fraction] = {}
    start = Fraction(0)
    for monomial, factor in subscript:
        if not monomial:
            start += factor
            continue
        ((atom, exponent),) = monomial
        if exponent != 1:
            raise ValueError(f"{subscript!r} is not affine")
        if isinstance(atom, str):
            steps[atom] = steps.get(atom, Fraction(0)) + factor
            continue
        inner, first = affine(atom.numerator, extents)
        divisor = _divisor(atom)
        whole = {name: step for name, step in inner.items() if step % divisor == 0}
        rest = {name: step for name, step in inner.items() if name not in whole}
        remainder = first % divisor
        low, high = _range(rest, remainder, extents)
        if low < 0 or high >= divisor:
            raise ValueError(f"{subscript!r} is not affine")
        if isinstance(atom, Floor):
            parts, constant = {n: step / divisor for n, step in whole.items()}, (first - remainder) / divisor
        else:
            parts, constant = rest, remainder
        for name, step in parts.items():
            steps[name] = steps.get(name, Fraction(0)) + factor * step
        start += factor * constant
    return {name: step for name, step in steps.items() if step}, start


def is_whole(subscript: Polynomial, extents: Mapping[str, int]) -> bool:
    """Whether a subscript with whole steps is a whole number."""
    return affine(subscript, extents)[1].denominator == 1


def is_fractional(subscript: Polynomial) -> bool:
    """Whether a subscript may fall between two entries."""
    return any(factor.denominator != 1 for _, factor in subscript)


def bounds(subscript: Polynomial, extents: Mapping[str, int]) -> tuple[Fraction, Fraction]:
    """A lower and an upper bound of a subscript's values; exact where every index stands in it once."""
    low = high = Fraction(0)
    for monomial, factor in subscript:
        ends = (factor, factor)
        for atom, _ in monomial:
            if isinstance(atom, str):
                inner = (Fraction(0), Fraction(extents[atom] - 1))
            elif isinstance(atom, Modulo):
                inner = (Fraction(0), _divisor(atom) - 1)
            else:
                first, last = bounds(atom.numerator, extents)
                inner = (Fraction(first // _divisor(atom)), Fraction(last // _divisor(atom)))
            ends = (min(factor * end for end in inner), max(factor * end for end in inner))
        low, high = low + ends[0], high + ends[1]
    return low, high


def _divisor(atom: Floor | Modulo) -> Fraction:
    divisor = atom.denominator.constant
    if divisor is None or divisor <= 0:
        raise ValueError(f"{Polynomial.of(atom)!r} is divided by what is no positive number")
    return divisor


def _range(
    steps: Mapping[str, Fraction], start: Fraction, extents: Mapping[str, int]
) -> tuple[Fraction, Fraction]:
    ends = [step * (extents[name] - 1) for name, step in steps.items()]
    return start + sum(end for end in ends if end < 0), start + sum(end for end in ends if end > 0)


def _is_plain(subscript: Polynomial) -> bool:
    return not is_fractional(subscript)
