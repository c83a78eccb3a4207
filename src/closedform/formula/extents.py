"""Sizes: every index's extent and every tensor's shape, solved from the shapes that are given.

A summed index takes the extent of the bare axis that it walks.  An index on the left is as large as its
reads allow: an axis of H entries read through a window of K, with p zeros before it, p after it and a
stride s, gives ``(H - K + 2*p)//s + 1``.  The arithmetic is kept, to be printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

from closedform.errors import ShapeError
from closedform.formula.notation import subscript_text
from closedform.formula.subscripts import Polynomial, digits, unprimed
from closedform.formula.syntax import extent_names
from closedform.formula.tree import Equation

Shape = tuple[int, ...]
Value = int | Fraction


@dataclass(frozen=True)
class Sizes:
    """What the names of a formula stand for.

    Attributes
    ----------
    extents
        How many values each index takes.
    settings
        The value of each setting.
    shapes
        The shape of each tensor, the result's among them.
    arithmetic
        For each index that was worked out, how: ``{"i": "(28 - 3 + 2*1)//2 + 1 = 14"}``.
    """

    extents: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Value] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    arithmetic: Mapping[str, str] = field(default_factory=dict)

    def extent(self, index: str) -> int:
        """The extent of an index; a primed one has that of the unprimed."""
        return self.extents[index] if index in self.extents else self.extents[unprimed(index)]

    def knows(self, index: str) -> bool:
        """Whether the index has an extent."""
        return index in self.extents or unprimed(index) in self.extents

    @cached_property
    def values(self) -> dict[str, Value]:
        """Every setting and extent under the name it has in a formula: ``s``, ``|u|``, ``|X.2|``."""
        found: dict[str, Value] = dict(self.settings)
        found.update({f"|{index}|": extent for index, extent in self.extents.items()})
        for tensor, shape in self.shapes.items():
            found.update({f"|{tensor}.{axis}|": extent for axis, extent in enumerate(shape)})
        return found

    def extended(
        self, *, extents: Mapping[str, int] | None = None, shapes: Mapping[str, Shape] | None = None
    ) -> Sizes:
        """These sizes with further indices and tensors."""
        return replace(
            self, extents={**self.extents, **(extents or {})}, shapes={**self.shapes, **(shapes or {})}
        )


@dataclass(frozen=True)
class _Candidate:
    """One read's opinion of an index's extent."""

    extent: int
    bare: bool
    arithmetic: str
    place: str


def solve(
    equation: Equation,
    shapes: Mapping[str, Shape],
    bindings: Mapping[str, Value] | None = None,
) -> Sizes:
    """Solve the sizes of a formula.

    Parameters
    ----------
    equation
        The formula.
    shapes
        The shapes of the tensors that are known; the result may be among them.
    bindings
        Settings and extents by name.  A name of an index (or one written ``|u|``) is an extent.

    Raises
    ------
    ShapeError
        Where reads contradict each other, a window is larger than the padded axis, or a size cannot be
        known; with the arithmetic.
    """
    return _Solver(equation, shapes, bindings or {}).solve()


class _Solver:
    def __init__(self, equation: Equation, shapes: Mapping[str, Shape], bindings: Mapping[str, Value]):
        self.equation = equation
        named = {*equation.indices, *(n for n in extent_names(equation.right) if "." not in n)}
        named |= {n for s in equation.left.subscripts for n in _extents_in(s)}
        self.bound = {name for name in bindings if name in named}
        self.extents: dict[str, int] = {}
        for name in sorted(self.bound):
            extent = bindings[name]
            if extent != int(extent) or extent < 1:
                raise ShapeError(f"the extent of {name} must be a whole number from 1, got {extent}")
            self.extents[name] = int(extent)
        self.settings = {name: value for name, value in bindings.items() if name not in self.bound}
        self.shapes: dict[str, Shape] = dict(shapes)
        self.arithmetic: dict[str, str] = {}
        self.reads = [equation.left, *equation.accesses]
        missing = sorted(set(equation.settings) - set(self.settings))
        if missing:
            raise ShapeError(f"no value for {', '.join(missing)} of {equation}")
        for access in self.reads:
            if access.tensor in self.shapes and len(access.subscripts) != len(self.shapes[access.tensor]):
                raise ShapeError(
                    f"{access.tensor} has {len(self.shapes[access.tensor])} axes "
                    f"{self.shapes[access.tensor]}, the formula reads it with {len(access.subscripts)}"
                )

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.extents, self.settings, self.shapes, self.arithmetic)

    def solve(self) -> Sizes:
        unknown = [index for index in self.equation.indices if not self.sizes.knows(index)]
        while unknown:
            solved = [index for index in unknown if self.solve_index(index)]
            if not solved:
                break
            unknown = [index for index in unknown if index not in solved]
        if unknown:
            names = ", ".join(dict.fromkeys(map(unprimed, unknown)))
            raise ShapeError(
                f"the size of {names} does not follow from the shapes given: give {unknown[0]}=..."
            )
        self.shape_the_rest()
        return self.sizes

    def solve_index(self, index: str) -> bool:
        if self.sizes.knows(index):
            return True
        candidates: list[_Candidate] = []
        waiting = False
        values = self.sizes.values
        for access in self.reads:
            if access.tensor not in self.shapes:
                continue
            for axis, subscript in enumerate(access.subscripts):
                if index not in subscript.names or subscript.has_rounding or subscript.has_division:
                    continue
                length = self.shapes[access.tensor][axis]
                place = f"{access.tensor}'s axis {axis}"
                if subscript.lone == index:
                    candidates.append(_Candidate(length, True, str(length), place))
                    continue
                others = [n for n in self.equation.indices if n in subscript.names and n != index]
                if not all(map(self.sizes.knows, others)):
                    waiting = True
                    continue
                candidate = self.digit(index, subscript, length, place) or self.window(
                    index, subscript, others, length, place, values
                )
                if candidate is None:
                    waiting = True
                elif candidate.extent >= 0:
                    candidates.append(candidate)
        bare = [candidate for candidate in candidates if candidate.bare]
        if bare and index not in self.equation.left_indices:
            candidates, waiting = bare, False  # a sum runs over the whole axis
        if waiting or not candidates:
            return False
        best = min(candidates, key=lambda candidate: (candidate.extent, not candidate.bare))
        if len({candidate.extent for candidate in bare}) > 1:
            opinions = ", but ".join(f"{c.place} makes it {c.extent}" for c in bare)
            raise ShapeError(f"the sizes disagree on {index}: {opinions}")
        if best.extent < 1:
            raise ShapeError(f"{best.place} is empty: {index} would run over {best.extent} entries")
        self.extents[index] = best.extent
        if not best.bare:
            self.arithmetic[index] = best.arithmetic
        return True

    def digit(self, index: str, subscript: Polynomial, length: int, place: str) -> _Candidate | None:
        order = digits(subscript)
        if not order:
            return None
        below = math.prod(self.sizes.extent(other) for other in order if other != index)
        if length % below:
            raise ShapeError(
                f"{place} has {length} entries, which do not divide by {below} as {subscript_text(subscript)} needs"
            )
        return _Candidate(length // below, False, f"{length}/{below} = {length // below}", place)

    def window(
        self,
        index: str,
        subscript: Polynomial,
        others: list[str],
        length: int,
        place: str,
        values: Mapping[str, Value],
    ) -> _Candidate | None:
        try:
            stride = subscript.coefficient(index).value(values)
            start = subscript.without([index, *others]).value(values)
            steps = {other: subscript.coefficient(other).value(values) for other in others}
        except KeyError:
            return None  # an extent in a coefficient is not known yet
        if stride <= 0:
            return _Candidate(-1, False, "", place)
        forward = [(other, step) for other, step in steps.items() if step > 0]
        low = start + sum(step * (self.sizes.extent(o) - 1) for o, step in steps.items() if step < 0)
        reach = sum((step * (self.sizes.extent(o) - 1) for o, step in forward), Fraction(0)) + 1
        padding = max(Fraction(0), -low)
        room = length - reach + padding - start
        extent = int(room // stride) + 1
        shown = [f"{length}", f"- {_window_text(forward, self.sizes)}"]
        if start < 0 or padding:
            shown.append(f"+ 2*{padding}" if padding == -start else f"+ {padding - start}")
        elif start:
            shown.append(f"- {start}")
        inside = " ".join(shown)
        arithmetic = f"({inside})//{stride} + 1 = {extent}" if stride != 1 else f"{inside} + 1 = {extent}"
        if extent < 1:
            raise ShapeError(
                f"{place}: the window ({reach}) is larger than the padded image "
                f"({length} + 2*{padding}): {arithmetic}"
            )
        return _Candidate(extent, False, arithmetic, place)

    def shape_the_rest(self) -> None:
        """The shapes of the tensors that were not given: as large as they are read."""
        values, indices = self.sizes.values, self.equation.indices
        known = set(self.shapes)
        bare: dict[tuple[str, int], tuple[str, int]] = {}
        for access in self.reads:
            if access.tensor in known:
                continue
            shape = self.shapes.get(access.tensor, (0,) * len(access.subscripts))
            if len(shape) != len(access.subscripts):
                raise ShapeError(
                    f"{access.tensor} is read with {len(shape)} subscripts and with {len(access.subscripts)}"
                )
            for axis, subscript in enumerate(access.subscripts):
                if not subscript.lone or subscript.lone not in indices:
                    continue
                extent = self.sizes.extent(subscript.lone)
                other = bare.setdefault((access.tensor, axis), (subscript.lone, extent))
                if other[1] != extent:
                    raise ShapeError(
                        f"{access.tensor}'s axis {axis} is read by {other[0]} ({other[1]}) "
                        f"and by {subscript.lone} ({extent}), which differ"
                    )
            reach = tuple(self.reach(subscript, values) for subscript in access.subscripts)
            self.shapes[access.tensor] = tuple(map(max, shape, reach))

    def reach(self, subscript: Polynomial, values: Mapping[str, Value]) -> int:
        """One more than the largest whole value that the subscript takes."""
        names = [name for name in self.equation.indices if name in subscript.names]
        highest = subscript.without(names).value(values)
        for name in names:
            step = subscript.coefficient(name).value(values)
            highest += max(Fraction(0), step * (self.sizes.extent(name) - 1))
        return max(0, math.floor(highest)) + 1


def _window_text(steps: Iterable[tuple[str, Fraction]], sizes: Sizes) -> str:
    """How far a window reaches, as it is taught: ``3``, or ``(2*(3 - 1) + 1)`` when dilated."""
    known = [(sizes.extent(name), step) for name, step in steps]
    if not known:
        return "1"
    if len(known) == 1:
        ((extent, step),) = known
        return str(extent) if step == 1 else f"({step}*({extent} - 1) + 1)"
    return str(sum((step * (extent - 1) for extent, step in known), Fraction(0)) + 1)


def _extents_in(subscript: Polynomial) -> Iterable[str]:
    for atom in subscript.atoms:
        if isinstance(atom, str) and atom[0] == "|" and "." not in atom:
            yield atom[1:-1]
