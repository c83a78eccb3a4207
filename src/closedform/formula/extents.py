"""Sizes: every index's extent and every tensor's shape, solved from the shapes that are given.

A summed index takes the extent of the bare axis that it walks.  An index on the left is as large as its
reads allow: an axis of H entries read through a window of K, with p zeros before it, p after it and a
stride s, gives ``(H - K + 2*p)//s + 1``.  The arithmetic is kept, to be printed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import NoReturn

from closedform.errors import ShapeError
from closedform.formula.notation import subscript_text, text
from closedform.formula.subscripts import Modulo, Polynomial, digits, unprimed
from closedform.formula.syntax.names import extent_names
from closedform.formula.tree import Access, Equation, free_names

Shape = tuple[int, ...]
Value = int | Fraction

_MAX_TRIALS = 10_000


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
        for index, extent in self.extents.items():
            found.setdefault(f"|{unprimed(index)}|", extent)
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
        The shapes of the tensors that are known.  The result may be among them: then the indices on the
        left are as large as it says, as if they were bound.
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
        self.reads = [equation.left, *equation.accesses]
        self.given = dict(shapes)
        self.extent_names = extent_names(equation.left) | extent_names(equation.right)
        self.check_given()
        named = {*equation.indices, *self.extent_names}
        self.extents: dict[str, int] = {}
        self.settings: dict[str, Value] = {}
        for name, value in bindings.items():
            if name.strip("|") not in named:
                self.settings[name] = value
                continue
            if value < 1 or value != int(value):
                raise ShapeError(
                    f"the extent of {name.strip('|')} must be a whole number of 1 or more, got {value}"
                )
            self.extents[name.strip("|")] = int(value)
        self.bound = set(self.extents)
        missing = sorted(set(equation.settings) - set(self.settings))
        if missing:
            needed = ", ".join(f"{name}=..." for name in missing)
            raise ShapeError(f"no value for {', '.join(missing)}: give {needed} to {equation}")
        self.check_whole_settings()
        self.arithmetic: dict[str, str] = {}
        self.values = Sizes(self.extents, self.settings, self.given).values
        self.bind_left()

    def check_whole_settings(self) -> None:
        """Raise where a setting that is no whole number makes a subscript fractional."""
        fractional = {name: value for name, value in self.settings.items() if value != int(value)}
        for access in self.reads if fractional else []:
            for axis, subscript in enumerate(access.subscripts):
                name = _fractional_setting(subscript, fractional, self.settings)
                if name:
                    written = subscript_text(subscript, self.equation.indices)
                    raise ShapeError(
                        f"{access.tensor}'s axis {axis} is read at {written}, which {name} = "
                        f"{self.settings[name]} makes fractional: subscripts count entries, "
                        f"give {name} a whole number"
                    )

    def check_given(self) -> None:
        for tensor, shape in self.given.items():
            for axis, length in enumerate(shape):
                if length < 1:
                    raise ShapeError(
                        f"{tensor}'s axis {axis} has length {length}: every axis needs at least one entry "
                        f"({tensor} is {shape})"
                    )
        for access in self.reads:
            shape = self.given.get(access.tensor, (0,) * len(access.subscripts))
            if len(access.subscripts) != len(shape):
                raise ShapeError(
                    f"{access.tensor} has {_axes(len(shape))}, {shape}, "
                    f"but the formula reads it with {len(access.subscripts)}: {text(access)}"
                )

    def bind_left(self) -> None:
        left = self.equation.left
        for subscript, length in zip(left.subscripts, self.given.get(left.tensor, ()), strict=False):
            if subscript.lone and subscript.lone not in self.extents:
                self.settle(subscript.lone, length)
                self.bound.add(subscript.lone)

    def settle(self, index: str, extent: int) -> None:
        for name in (index, unprimed(index)):
            if name == index or name in self.equation.indices:
                self.extents.setdefault(name, extent)
            self.values.setdefault(f"|{name}|", extent)

    def knows(self, index: str) -> bool:
        return index in self.extents or unprimed(index) in self.extents

    def extent(self, index: str) -> int:
        return self.extents[index] if index in self.extents else self.extents[unprimed(index)]

    def solve(self) -> Sizes:
        unknown = [index for index in self.equation.indices if not self.knows(index)]
        while unknown:
            left = [index for index in unknown if not self.solve_index(index)]
            if len(left) == len(unknown):
                self.fail_for(unknown)
            unknown = left
        self.check_whole_axes()
        shapes = self.given | self.remaining_shapes()
        sizes = Sizes(self.extents, self.settings, shapes, self.arithmetic)
        for name in sorted(self.extent_names):
            if f"|{name}|" not in sizes.values:
                raise ShapeError(f"|{name}| has no value: it follows from no shape that was given")
        return sizes

    def fail_for(self, unknown: list[str]) -> NoReturn:
        """Raise, naming the indices on which the rest waits: those of sums first."""
        read = {name for access in self.reads if access.tensor in self.given for name in free_names(access)}
        summed = [index for index in unknown if index not in self.equation.left_indices]
        lost = summed or [index for index in unknown if index not in read] or unknown
        names = list(dict.fromkeys(map(unprimed, lost)))
        needed = ", ".join(f"{name}=..." for name in names)
        raise ShapeError(f"the shapes given do not decide the size of {', '.join(names)}: give {needed}")

    def solve_index(self, index: str) -> bool:
        """Settle the extent of an index by the reads of given tensors; False where some must wait."""
        if self.knows(index):
            return True
        candidates: list[_Candidate] = []
        is_waiting = False
        for access, axis, subscript, length in self.given_axes():
            if index not in subscript.names or subscript.has_rounding or subscript.has_division:
                continue
            place = f"{access.tensor}'s axis {axis}"
            if subscript.lone == index:
                candidates.append(_Candidate(length, True, "", place))
                continue
            others = [n for n in self.equation.indices if n in subscript.names and n != index]
            if not all(map(self.knows, others)):
                is_waiting = True
                continue
            try:
                candidate = self.digit(index, subscript, length, place) or self.window(
                    index, subscript, others, length, place
                )
            except KeyError:
                is_waiting = True  # for an extent in a coefficient
                continue
            if candidate:
                candidates.append(candidate)
        bare = [candidate for candidate in candidates if candidate.bare]
        if bare and index not in self.equation.left_indices:
            candidates, is_waiting = bare, False  # a sum runs over the whole axis
        if is_waiting or not candidates:
            return False
        if len({candidate.extent for candidate in bare}) > 1:
            opinions = ", but ".join(f"{c.place} makes it {c.extent}" for c in bare)
            raise ShapeError(f"the sizes disagree on {index}: {opinions}")
        best = min(candidates, key=lambda candidate: (candidate.extent, not candidate.bare))
        self.settle(index, best.extent)
        if best.arithmetic:
            self.arithmetic[index] = best.arithmetic
        return True

    def given_axes(self) -> Iterator[tuple[Access, int, Polynomial, int]]:
        """Every read axis of a tensor whose shape was given, with its length."""
        for access in self.reads:
            for axis, length in enumerate(self.given.get(access.tensor, ())):
                yield access, axis, access.subscripts[axis], length

    def digit(self, index: str, subscript: Polynomial, length: int, place: str) -> _Candidate | None:
        order = digits(subscript)
        if not order:
            return None
        others = math.prod(self.extent(other) for other in order if other != index)
        if length % others:
            raise ShapeError(
                f"{place} has {length} entries, which is no multiple of {others}, "
                f"as {subscript_text(subscript, self.equation.indices)} needs"
            )
        return _Candidate(length // others, False, f"{length}/{others} = {length // others}", place)

    def window(
        self, index: str, subscript: Polynomial, others: list[str], length: int, place: str
    ) -> _Candidate | None:
        """How many windows fit into an axis, the same padding after it as before it."""
        stride = subscript.coefficient(index).value(self.values)
        if stride <= 0:
            return None
        start = subscript.without([index, *others]).value(self.values)
        steps = [(self.extent(other), subscript.coefficient(other).value(self.values)) for other in others]
        forward = [(extent, step) for extent, step in steps if step > 0]
        window = sum((step * (extent - 1) for extent, step in forward), Fraction(1))
        lowest = sum((step * (extent - 1) for extent, step in steps if step < 0), start)
        padding = max(Fraction(0), -lowest)
        extent = int((length - window + padding - start) // stride) + 1

        inside = f"{length} - {_window_text(forward)}"
        if padding and padding == -start:
            inside += f" + 2*{padding}"
        elif padding != start:
            inside += f" + {padding - start}" if padding > start else f" - {start - padding}"
        arithmetic = f"({inside})//{stride} + 1 = {extent}" if stride != 1 else f"{inside} + 1 = {extent}"
        if extent < 1:
            padded = f" and padded by {padding} on either side" if padding else ""
            offset = f", from entry {start} on" if start > 0 else ""
            raise ShapeError(
                f"{index} has no entries: a window of {window} does not fit into {place}, "
                f"{length} long{padded}{offset}: {arithmetic}"
            )
        return _Candidate(extent, False, arithmetic, place)

    def check_whole_axes(self) -> None:
        """Raise where a sum, a bound index or the digits of an axis do not run over all of it."""
        for access, axis, subscript, length in self.given_axes():
            place = f"{access.tensor}'s axis {axis}"
            index = subscript.lone
            order = digits(subscript)
            if order and math.prod(map(self.extent, order)) != length:
                product = "*".join(str(self.extent(digit)) for digit in order)
                raise ShapeError(
                    f"{place} has {length} entries, but {subscript_text(subscript, self.equation.indices)} "
                    f"runs over {product} = {math.prod(map(self.extent, order))}"
                )
            if not index or not self.knows(index) or self.extent(index) == length:
                continue
            is_bound = index in self.bound or unprimed(index) in self.bound
            if is_bound or index not in self.equation.left_indices:
                verb = "was given as" if is_bound else "runs over"
                raise ShapeError(f"{place} has {length} entries, but {index} {verb} {self.extent(index)}")

    def remaining_shapes(self) -> dict[str, Shape]:
        """The shapes of the tensors that were not given: as large as they are read."""
        shapes: dict[str, Shape] = {}
        bare: dict[tuple[str, int], tuple[str, int]] = {}
        for access in self.reads:
            if access.tensor in self.given:
                continue
            for axis, subscript in enumerate(access.subscripts):
                index = subscript.lone
                if not index or not self.knows(index):
                    continue
                other, extent = bare.setdefault((access.tensor, axis), (index, self.extent(index)))
                if extent != self.extent(index):
                    raise ShapeError(
                        f"{access.tensor}'s axis {axis} is read by {other}, which has {extent} values, "
                        f"and by {index}, which has {self.extent(index)}"
                    )
            shape = shapes.get(access.tensor, (1,) * len(access.subscripts))
            if len(shape) != len(access.subscripts):
                raise ShapeError(
                    f"{access.tensor} is read with {len(shape)} subscripts and with {len(access.subscripts)}"
                )
            shapes[access.tensor] = tuple(map(max, shape, map(self.reach, access.subscripts)))
        return shapes

    def reach(self, subscript: Polynomial) -> int:
        """One more than the largest whole value that the subscript takes."""
        names = [name for name in self.equation.indices if name in subscript.names]
        try:
            if subscript.has_rounding:
                return self.reach_by_trial(subscript, names)
            highest = subscript.without(names).value(self.values)
            for name in names:
                step = subscript.coefficient(name).value(self.values)
                highest += max(Fraction(0), step * (self.extent(name) - 1))
        except KeyError as error:
            raise ShapeError(
                f"{error.args[0]} has no value: it follows from no shape that was given"
            ) from None
        return max(0, math.floor(highest)) + 1

    def reach_by_trial(self, subscript: Polynomial, names: list[str]) -> int:
        ranges = [range(self.extent(name)) for name in names]
        if math.prod(map(len, ranges)) > _MAX_TRIALS:
            written = subscript_text(subscript, self.equation.indices)
            raise ShapeError(f"the shape of the tensor that is read at {written} must be given")
        values = dict(self.values)
        highest = Fraction(0)
        for entry in itertools.product(*ranges):
            values.update(zip(names, entry, strict=True))
            highest = max(highest, subscript.value(values))
        return math.floor(highest) + 1


def _fractional_setting(
    subscript: Polynomial, fractional: Mapping[str, Value], settings: Mapping[str, Value]
) -> str | None:
    """A setting among the fractional ones for which a coefficient of the subscript is no whole number."""
    for monomial, factor in subscript:
        own = [(atom, power) for atom, power in monomial if isinstance(atom, str) and atom in settings]
        names = [name for name, _ in own if name in fractional]
        if names and all(settings[name] for name, _ in own):
            value = math.prod((Fraction(settings[name]) ** power for name, power in own), start=factor)
            if value.denominator != 1:
                return names[0]
        for atom, _ in monomial:
            if isinstance(atom, Modulo):  # a floor is whole whatever it is the floor of
                for part in (atom.numerator, atom.denominator):
                    name = _fractional_setting(part, fractional, settings)
                    if name:
                        return name
    return None


def _window_text(forward: list[tuple[int, Fraction]]) -> str:
    """How far a window reaches, as it is taught: ``3``, or ``(2*(3 - 1) + 1)`` when dilated."""
    if len(forward) != 1:
        return str(sum((step * (extent - 1) for extent, step in forward), Fraction(1)))
    ((extent, step),) = forward
    return str(extent) if step == 1 else f"({step}*({extent} - 1) + 1)"


def _axes(rank: int) -> str:
    return "1 axis" if rank == 1 else f"{rank} axes"
