"""Finding the mistake behind a wrong claim in a network: in its own line, or in one between it and what is
claimed before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.bases import Base
from closedform.checking.compare import Tolerance
from closedform.checking.lines import Line
from closedform.checking.mistakes import rank
from closedform.checking.rewrites import variants
from closedform.checking.search import Judged, named_mistakes, value_or_none
from closedform.checking.stated import Stated
from closedform.formula.extents import Shape
from closedform.layers import Layer
from closedform.solution import Calculation, Quantity, Solution
from closedform.solution.exact import work
from closedform.worksheet.axes import Axes, Place

Array = npt.NDArray[Any]

_MOST_WORK = 30_000_000  # terms to add up while a mistake is looked for in the claim's own line
_FEWEST_ENTRIES = 3
_MOST_BETWEEN = 6_000_000  # and in all lines between it and what is claimed before


@dataclass(frozen=True, eq=False)
class Case:
    """One claim for one set of numbers."""

    base: Base
    stated: Stated
    axes: Axes
    target: str

    def explained(self, value: Array | None) -> bool:
        """Whether a value of the target is what the claim states."""
        if value is None or value.shape != self.axes.shape or not np.isfinite(value.astype(float)).all():
            return False
        return bool(self.stated.agrees(self.axes.to_sheet(value)).all())

    @property
    def differing(self) -> list[Place]:
        """The places of the entries that differ, in the sheet's order."""
        expected = self.base[self.target]
        if expected is None:
            return []
        return list(map(tuple, np.argwhere(~self.stated.agrees(self.axes.to_sheet(expected))).tolist()))

    @property
    def is_right(self) -> bool:
        """Whether the claim is right for these numbers."""
        return self.explained(self.base[self.target])


@dataclass(frozen=True, eq=False)
class Blame:
    """What explains a claim.

    Attributes
    ----------
    mistakes
        Their names, one or two.
    where
        The quantity in whose line they were made.
    values
        For each case, what that quantity then is.
    """

    mistakes: tuple[str, ...]
    where: str
    values: tuple[Array, ...]


def line_of(solution: Solution, quantity: Quantity) -> Line | None:
    """The line of a quantity, to be rewritten; None where it has none that mistakes are known of."""
    architecture, batch = solution.architecture, solution.batch
    loss = architecture.loss
    match quantity.role:
        case "value" if quantity.layer is not None:
            layer: Layer = architecture.layers[quantity.layer]
            return Line.value(layer, architecture.shapes[quantity.layer], batch)
        case "loss" if loss is not None:
            return Line.value(loss, architecture.output_shape, batch)
        case "probabilities" if loss is not None and loss.activation is not None:
            return Line.value(loss.activation, architecture.output_shape, batch)
        case "gradient" if quantity.layer is not None:
            layer = architecture.layers[quantity.layer]
            return Line.gradient(layer, quantity.tensor, architecture.shapes[quantity.layer], batch)
        case "gradient" if loss is not None:
            return Line.gradient(loss, quantity.tensor, architecture.output_shape, batch)
        case _:
            return None


def arrays_of(base: Base, solution: Solution, quantity: Quantity) -> dict[str, Array]:
    """What the quantity's line reads, under the line's own names, in float64."""
    if quantity.calculation is None:
        return {}
    found = {}
    for tensor, name in quantity.calculation.reads.items():
        value = base.floats.values[name] if name != quantity.name else None
        if value is not None:
            found[tensor] = value
    return found


def blame(
    cases: Sequence[Case],
    solution: Solution,
    claimed: Collection[str],
    with_pairs: bool = True,
    is_certain: bool = False,
) -> Blame | None:
    """The mistake that explains every entry of a wrong claim in every case; None where there is none.

    Fewer than three numbers that differ are explained all too easily: only by one mistake in the claim's own
    line.

    Parameters
    ----------
    cases
        The claim for each set of numbers, at least one of them wrong.
    solution
        The network's quantities.
    claimed
        Quantities that the sheet has stated before: lines behind them are not looked into.
    with_pairs
        Whether two mistakes together are looked for where one alone explains nothing.
    is_certain
        Whether numbers agree by chance nowhere: one mistake is then looked for in other lines too.
    """
    target = cases[0].target
    own = solution[target]
    found = _in_line(cases, solution, own, _Budget(_MOST_WORK)) or _in_update(cases, solution, own)
    if found is not None:
        return found
    has_many = len(next(case for case in cases if not case.is_right).differing) >= _FEWEST_ENTRIES
    found = _updated_weights(cases, solution, (False, True) if has_many or is_certain else (False,))
    if found is not None or not (has_many or is_certain):
        return found
    budget = _Budget(_MOST_BETWEEN)
    for quantity in _between(own, solution, claimed):
        found = _in_line(cases, solution, quantity, budget)
        if found is not None:
            return found
    return _two_in_line(cases, solution, own) if with_pairs and has_many and _mostly_wrong(cases) else None


class _Budget:
    """How much may still be worked out."""

    def __init__(self, terms: int):
        self.left = terms

    def allows(self, terms: int) -> bool:
        self.left -= terms
        return self.left >= 0


def _between(own: Quantity, solution: Solution, claimed: Collection[str]) -> Iterator[Quantity]:
    """The quantities that the claim's own depends on, the nearest first, up to those that are claimed."""
    seen, waiting = {own.name}, [own]
    while waiting:
        quantity = waiting.pop(0)
        reads = quantity.calculation.reads.values() if quantity.calculation else ()
        nearest = sorted(
            {name for name in reads if name not in seen and name not in claimed},
            key=lambda name: not name.startswith("d"),
        )
        for name in nearest:
            seen.add(name)
            if solution[name].calculation is not None:
                waiting.append(solution[name])
                yield solution[name]


def _in_line(cases: Sequence[Case], solution: Solution, quantity: Quantity, budget: _Budget) -> Blame | None:
    """A rewrite of one quantity's line that explains all."""
    line = line_of(solution, quantity)
    if line is None:
        return None
    cost = _cost(solution, quantity, cases[0].target)
    first = min(range(len(cases)), key=lambda k: cases[k].is_right)
    arrays = [arrays_of(case.base, solution, quantity) for case in cases]
    fitting: list[tuple[int, Blame]] = []
    for variant in variants(line):
        if not budget.allows(cost):
            break
        place = _place(variant.mistake, cases[first])
        if fitting and min(fitted for fitted, _ in fitting) <= place:
            continue
        values: list[Array] = []
        order = [first, *(k for k in range(len(cases)) if k != first)]
        for k in order:
            value = value_or_none(variant.line, arrays[k])
            if value is None or not _explains(cases[k], solution, quantity, value, line):
                break
            values.append(_written(cases[k], quantity, value, line))
        else:
            put_back = dict(zip(order, values, strict=True))
            found = tuple(put_back[k] for k in range(len(cases)))
            fitting.append((place, Blame(variant.mistakes, quantity.name, found)))
    return min(fitting, key=lambda one: one[0])[1] if fitting else None


def _place(mistake: str, case: Case) -> int:
    """The place of a mistake in order of preference; of a single entry, a subscript comes first."""
    return -1 if mistake == "off-by-one" and case.stated.filled.sum() == 1 else rank(mistake)


def _written(case: Case, quantity: Quantity, value: Array, line: Line) -> Array:
    """A line's value as the sheet writes it."""
    scaled = value * float(case.base.scale) if line.is_loss and line.layer is not None else value
    return case.base._turned(quantity.name, scaled)


def _explains(case: Case, solution: Solution, quantity: Quantity, value: Array, line: Line) -> bool:
    written = _written(case, quantity, value, line)
    if quantity.name == case.target:
        return case.explained(written)
    if value.shape != quantity.shape:
        return False
    return case.explained(case.base.floats.with_given({quantity.name: written})[case.target])


def _cost(solution: Solution, quantity: Quantity, target: str) -> int:
    """How many terms are added up to know the target where the quantity has changed."""
    names, total = {quantity.name}, 0
    for other in solution.quantities:
        calculation = other.calculation
        if calculation is not None and (
            other.name == quantity.name or names & set(calculation.reads.values())
        ):
            names.add(other.name)
            total += work(calculation.equation, calculation.sizes)
        if other.name == target:
            break
    return total + 500


def _in_update(cases: Sequence[Case], solution: Solution, own: Quantity) -> Blame | None:
    """A step of gradient descent that goes uphill."""
    if own.role != "update" or own.calculation is None:
        return None
    values = []
    for case in cases:
        before, after = case.base[own.name.removesuffix("_new")], case.base[own.name]
        uphill = None if before is None or after is None else 2 * before - after
        if uphill is None or not case.explained(uphill):
            return None
        values.append(uphill)
    return Blame(("sign",), own.name, tuple(values))


def _updated_weights(
    cases: Sequence[Case], solution: Solution, ways: Sequence[bool] = (False, True)
) -> Blame | None:
    """Gradients that read the weights after the update; of `ways`, whether the values forward did too."""
    target = cases[0].target
    if solution[target].role not in ("gradient", "update") or solution.learning_rate is None:
        return None
    new = {q.name: q.name + "_new" for q in solution.quantities if q.role == "parameter"}
    new = {name: later for name, later in new.items() if later in solution}
    for forward_too in ways:
        values = []
        for case in cases:
            value = _with_updated(case.base, solution, new, forward_too, target)
            if not case.explained(value):
                break
            if value is not None:
                values.append(value)
        else:
            return Blame(("updated-weights",), target, tuple(values))
    return None


def _with_updated(
    base: Base, solution: Solution, new: Mapping[str, str], forward_too: bool, target: str
) -> Array | None:
    if forward_too:
        later = {name: base[updated] for name, updated in new.items()}
        known = {name: value for name, value in later.items() if value is not None}
        return base.with_given(known)[target]
    changed: dict[str, Calculation] = {}
    for quantity in solution.quantities:
        calculation = quantity.calculation
        if quantity.role != "gradient" or calculation is None:
            continue
        reads = {t: new.get(n, n) for t, n in calculation.reads.items()}
        if quantity.name not in {"d" + name for name in new}:  # an update needs its own gradient first
            changed[quantity.name] = replace(calculation, reads=reads)
    return base.with_calculations(changed)[target]


def _mostly_wrong(cases: Sequence[Case]) -> bool:
    """Whether half of the entries differ or more; two mistakes that leave most of them right are slips."""
    case = next(case for case in cases if not case.is_right)
    return 2 * len(case.differing) >= int(case.stated.filled.sum())


def _two_in_line(cases: Sequence[Case], solution: Solution, quantity: Quantity) -> Blame | None:
    """Two mistakes in the claim's own line."""
    line = line_of(solution, quantity)
    if line is None or cases[0].base.flipped or _cost(solution, quantity, quantity.name) > 20_000:
        return None
    judged = []
    for case in cases:
        expected = case.base[case.target]
        given = case.axes.to_formula(case.stated.values.astype(np.float64))
        filled = case.axes.to_formula(case.stated.filled)
        if expected is None or given is None or filled is None:
            return None
        arrays = arrays_of(case.base, solution, quantity)
        judged.append(
            Judged(line, arrays, given, filled, expected.astype(float), Tolerance(1e-9), case.is_right)
        )
    names = named_mistakes(judged)
    if not names:
        return None
    values = tuple(case.given for case in judged)
    return Blame(names, quantity.name, values)


def of_other_shape(
    values: Array, base: Base, solution: Solution, quantity: Quantity
) -> tuple[tuple[str, ...], Shape] | None:
    """The mistake that gives an array of another shape, and that shape; None where there is none."""
    line = line_of(solution, quantity)
    if line is None:
        return None
    arrays = arrays_of(base, solution, quantity)
    shape = tuple(n for n in values.shape if n != 1)
    for variant in sorted(variants(line), key=lambda v: rank(v.mistake)):
        if tuple(n for n in variant.line.shape if n != 1) != shape:
            continue
        value = value_or_none(variant.line, arrays)
        if value is not None and Tolerance(1e-9).agrees(values.reshape(value.shape), value).all():
            return variant.mistakes, value.shape
    return None
