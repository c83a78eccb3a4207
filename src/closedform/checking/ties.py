"""Where a gradient is not the only one: equal maxima in a window, and ReLU at exactly 0.

Of equal maxima any one may get the gradient, and so may any mixture whose shares are not negative and sum
to 1.  At 0 the derivative of ReLU may be anything from 0 to 1, of a leaky one anything from its slope to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.compare import Tolerance
from closedform.checking.lines import Line
from closedform.checking.rewrites.maxima import selections
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    FIRST,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Number,
    Reduce,
    rebuild,
    walk,
)

Array = npt.NDArray[Any]

_MOST_CHOICES = 4096


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a maximum, one row for each, and where each entry of a window lies in the input."""

    line: Line
    arrays: Mapping[str, Array]
    definition: Equation

    @property
    def body(self) -> Access:
        """The entry of which the maximum is taken."""
        body = self.definition.right
        assert isinstance(body, Reduce)
        assert isinstance(body.body, Access)
        return body.body

    @cached_property
    def _grid(self) -> dict[str, Array]:
        assert isinstance(self.definition.right, Reduce)
        indices = self.definition.left_indices
        extents = [self.line.sizes.extent(index) for index in indices]
        own = [k for k, index in enumerate(indices) if index not in self.definition.right.indices]
        inner = [k for k, index in enumerate(indices) if index in self.definition.right.indices]
        grids = np.indices(extents)
        rows = int(np.prod([extents[k] for k in own]))
        return {index: grids[k].transpose(own + inner).reshape(rows, -1) for k, index in enumerate(indices)}

    def _numbers(self, subscript: Polynomial) -> Array:
        values = self.line.sizes.values
        total = np.full(
            next(iter(self._grid.values())).shape, int(subscript.without(self._grid).value(values))
        )
        for index, numbers in self._grid.items():
            total = total + int(subscript.coefficient(index).value(values)) * numbers
        return total

    @cached_property
    def inside(self) -> Array:
        """Which entries lie in the input rather than in its padding."""
        shape = self.arrays[self.body.tensor].shape
        inside = np.ones(next(iter(self._grid.values())).shape, bool)
        for subscript, length in zip(self.body.subscripts, shape, strict=True):
            numbers = self._numbers(subscript)
            inside &= (numbers >= 0) & (numbers < length)
        return inside

    @cached_property
    def places(self) -> Array:
        """Where each entry lies in the flat input; 0 outside."""
        shape = self.arrays[self.body.tensor].shape
        axes = [np.where(self.inside, self._numbers(s), 0) for s in self.body.subscripts]
        return np.asarray(np.ravel_multi_index(axes, shape))

    @cached_property
    def tied(self) -> Array:
        """Which entries are the largest of their window."""
        values = np.where(self.inside, self.arrays[self.body.tensor].ravel()[self.places], -np.inf)
        return np.asarray(values == values.max(1, keepdims=True))

    @cached_property
    def upstream(self) -> Array:
        """The gradient that comes to each window from above."""
        axes = [self._numbers(s)[:, 0] for s in self.line.formula.left.subscripts]
        return np.asarray(self.arrays[self.line.upstream or ""][tuple(axes)])

    @cached_property
    def are_apart(self) -> bool:
        """Whether no entry of the input lies in two windows."""
        used = self.places[self.inside]
        return len(np.unique(used)) == len(used)

    def spread(self, shares: Array) -> Array:
        """The gradient in the input where each window's goes to its entries by these shares."""
        flat = np.zeros(self.arrays[self.body.tensor].size)
        np.add.at(flat, self.places[self.inside], (shares * self.upstream[:, None])[self.inside])
        return flat.reshape(self.arrays[self.body.tensor].shape)

    def shares_of(self, claim: Array) -> Array | None:
        """The shares that give a claim, where windows are apart; None where none do."""
        if not self.are_apart:
            return None
        entries = np.where(self.inside, claim.ravel()[self.places], 0.0)
        upstream = self.upstream[:, None]
        first = np.zeros_like(entries)
        first[np.arange(len(first)), self.tied.argmax(1)] = 1
        return np.asarray(np.where(upstream == 0, first, entries / np.where(upstream == 0, 1, upstream)))


def windows_of(line: Line, arrays: Mapping[str, Array]) -> Windows | None:
    """The windows of a gradient of a maximum of entries; None for anything else."""
    found = selections(line)
    if len(found) != 1 or not line.of_input or line.upstream is None:
        return None
    right = found[0].right
    if not (isinstance(right, Reduce) and isinstance(right.body, Access)):
        return None
    return Windows(line, arrays, found[0])


def accepted_by_ties(
    line: Line, arrays: Mapping[str, Array], claim: Array, filled: Array, tolerance: Tolerance
) -> tuple[bool, tuple[str, ...]]:
    """Whether a claim is another valid gradient, and what is to be said of ties."""
    if claim.shape != line.shape or not np.isfinite(claim[filled]).all():
        return False, ()
    windows = windows_of(line, arrays)
    if windows is not None:
        count = int((windows.tied.sum(1) > 1).sum())
        if not count:
            return False, ()
        where = "1 window has" if count == 1 else f"{count} windows have"
        note = f"{where} equal maxima: the gradient may go to any of them, or be shared among them."
        return _accepts_choice(windows, claim, filled, tolerance), (note,)
    if line.upstream is None or not line.of_input:
        return False, ()
    return _accepts_at_zero(line, arrays, claim, filled, tolerance)


def _accepts_choice(windows: Windows, claim: Array, filled: Array, tolerance: Tolerance) -> bool:
    if filled.all():
        shares = windows.shares_of(claim)
        if shares is not None:
            room = 1e-9 if tolerance.digits is None and tolerance.relative <= 1e-9 else 1e-3
            shares = np.where(windows.tied, shares, 0)
            valid = (shares >= -room).all() and (np.abs(shares.sum(1) - 1) <= room).all()
            return bool(valid and tolerance.agrees(claim, windows.spread(shares), filled).all())
    return any(tolerance.agrees(claim, windows.spread(s), filled).all() for s in _choices(windows.tied))


def _choices(tied: Array) -> Iterator[Array]:
    """Equal shares, then one tied entry for each window, in every way while they are not too many."""
    yield tied / tied.sum(1, keepdims=True)
    options = [np.flatnonzero(row) for row in tied]
    count = 1
    for option in options:
        count *= len(option)
    chosen: Iterator[Sequence[Any]] = iter(product(*options))
    if count > _MOST_CHOICES:
        chosen = iter([[option[0] for option in options], [option[-1] for option in options]])
    for choice in chosen:
        shares = np.zeros(tied.shape)
        shares[np.arange(len(tied)), list(choice)] = 1
        yield shares


def _accepts_at_zero(
    line: Line, arrays: Mapping[str, Array], claim: Array, filled: Array, tolerance: Tolerance
) -> tuple[bool, tuple[str, ...]]:
    right = line.equation.right
    if not any(isinstance(node, Function) and node.name == "step" for node in walk(right)):
        return False, ()
    other = line.rewritten(_from_above(right)).evaluate(arrays)
    usual = line.evaluate(arrays)
    differs = ~Tolerance().agrees(other, usual)
    count = int(differs.sum())
    if not count:
        return False, ()
    where = "1 entry depends" if count == 1 else f"{count} entries depend"
    note = f"{where} on the derivative of ReLU at 0: any value between the slopes on both sides is accepted."
    if any(isinstance(node, Reduce) and node.operation != FIRST for node in walk(right)):
        return bool(tolerance.agrees(claim, other, filled).all()), (note,)
    clipped = np.clip(claim, np.minimum(usual, other), np.maximum(usual, other))
    nearest = np.where(differs, clipped, usual)
    return bool(tolerance.agrees(claim, nearest, filled).all()), (note,)


def _from_above(expression: Expression) -> Expression:
    """The derivatives of ReLU with their value right of 0 also at 0."""
    zero = Number(Polynomial.of(0))
    if isinstance(expression, Function) and expression.name == "step":
        return Bracket((zero, expression.argument), ("<=",))
    if isinstance(expression, Bracket) and not expression.compares_subscripts:
        return Bracket(expression.sides, tuple("<" if r == "<=" else r for r in expression.relations))
    return rebuild(expression, _from_above)


def to_one_other_entry(windows: Windows, claim: Array) -> bool:
    """Whether each window gives all its gradient to one entry, and some window not to its largest."""
    shares = windows.shares_of(claim) if np.isfinite(claim).all() else None
    if shares is None:
        return False
    one = (np.abs(shares - 1) <= 1e-9).sum(1) == 1
    rest = (np.abs(shares) <= 1e-9).sum(1) == shares.shape[1] - 1
    wrong = (~windows.tied & (np.abs(shares - 1) <= 1e-9)).any()
    return bool(one.all() and rest.all() and wrong and np.allclose(windows.spread(shares), claim))
