"""Rewrites of a correct line: each makes the line that somebody would write who makes one mistake.

A family of rewrites is a function from a line to ``(mistake, line)`` pairs.  It works on trees alone, and
finds the roles of indices by structure.  A rewrite of a rewrite is a combination of two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from closedform.checking.lines import Line
from closedform.checking.rewrites import channels, factors, maxima, operands, pointwise, sums, windows
from closedform.formula.tree import canonical

OFF_BY_ONE = "off-by-one"  # has the most forms by far

Family = Callable[[Line], Iterator[tuple[str, Line]]]

# those on the left work on the sum over windows where the derivation has folded it away
_UNFOLDED: tuple[Family, ...] = (
    windows.kernel,
    windows.stride,
    windows.padding,
    windows.border,
    windows.dilation,
    maxima.selection,
    operands.off_by_one,
)
_AS_DERIVED: tuple[Family, ...] = (
    channels.swapped,
    channels.summed,
    channels.not_summed,
    sums.missing,
    sums.extra,
    factors.pool,
    factors.mean,
    factors.sign,
    pointwise.masks,
    pointwise.derivatives,
    pointwise.labels,
    pointwise.softmax,
    operands.products,
    operands.transposed,
    operands.bias_missing,
    operands.flattened,
)


@dataclass(frozen=True, eq=False)
class Variant:
    """A line as it would be with one mistake, or with several.

    Attributes
    ----------
    mistakes
        The mistakes' names.
    line
        The line that has them.
    """

    mistakes: tuple[str, ...]
    line: Line

    @property
    def mistake(self) -> str:
        """The name of the last mistake that was made."""
        return self.mistakes[-1]


def variants(line: Line, only: Collection[str] | None = None) -> Iterator[Variant]:
    """The line with each mistake that applies to it; some have several forms.

    Parameters
    ----------
    line
        A correct line, or a variant's.
    only
        The mistakes that are wanted; None for all.
    """
    seen = {_key(line)}
    unfolded = line.with_equation(line.unfolded) if line.unfolded else line
    bases = [(unfolded, _UNFOLDED), (line, _AS_DERIVED)]
    if line.unfolded:
        bases.append((line, (windows.stride, maxima.selection, operands.off_by_one)))
    for base, families in bases:
        for family in families:
            if family is operands.off_by_one and only is not None and OFF_BY_ONE not in only:
                continue
            for mistake, changed in family(base):
                if only is not None and mistake not in only:
                    continue
                key = _key(changed)
                if key not in seen:
                    seen.add(key)
                    yield Variant((mistake,), changed)


def _key(line: Line) -> tuple[object, ...]:
    extents = tuple(line.sizes.extent(index) for index in line.equation.left_indices)
    new = tuple(d.left.tensor for d in line.definitions)
    return line.equation.left, canonical(line.equation.right), line.shape, extents, new
