"""Claims that differ from the library's choice at ties alone: equal maxima in a window, ReLU at 0."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.bases import Base
from closedform.checking.blame import Case, arrays_of, line_of
from closedform.checking.compare import Tolerance
from closedform.checking.stated import Stated
from closedform.checking.ties import accepted_by_ties, windows_of
from closedform.formula.tree import Function, walk
from closedform.solution import Quantity, Solution, Values
from closedform.worksheet.axes import Axes

Array = npt.NDArray[Any]

_MOST_CHOICES = 4096
_MOST_TRIED = 400
_MOST_TIES = 64  # where more depends on ties, only what a claim says of the tied entries themselves is heard


def accepted(case: Case, solution: Solution, claimed: Collection[str]) -> str:
    """What is to be said where another choice at ties makes the claim right; empty where none does."""
    quantity = solution[case.target]
    if quantity.role not in ("gradient", "update") or case.base.flipped:
        return ""
    own = _in_own_line(case, solution, quantity)
    if own:
        return own
    behind = [q for q in _before(quantity, solution) if q.name not in claimed]
    tied = [(q, choices) for q in behind if (choices := _choices(case, solution, q))]
    for gradient, choices in tied:
        if _some_choice(case, gradient, choices):
            return _sentence(solution, gradient)
    if len(tied) > 1 and _some_choices(case, tied):
        return " ".join(dict.fromkeys(_sentence(solution, gradient) for gradient, _ in tied))
    return ""


def without_ties(said: Stated, base: Base, solution: Solution, quantity: Quantity, axes: Axes) -> Stated:
    """What a formula states but for windows with several largest entries: it holds where they differ."""
    line = line_of(solution, quantity)
    if line is None or quantity.role != "gradient" or quantity.tensor != "X":
        return said
    known = line.completed(arrays_of(base, solution, quantity))
    windows = windows_of(line, known)
    if windows is None:
        return said
    tied = np.zeros(quantity.shape, bool)
    for row in np.flatnonzero(windows.tied.sum(1) > 1):
        tied.ravel()[windows.places[row][windows.inside[row]]] = True
    if tied.all() or base.flipped:
        return said
    return Stated(said.values, said.filled & ~axes.to_sheet(tied), said.within)


def _sentence(solution: Solution, gradient: Quantity) -> str:
    of = gradient.name[1:]
    line = line_of(solution, gradient)
    is_maximum = line is not None and any(d.left.tensor.startswith("M") for d in line.definitions)
    if is_maximum:
        return (
            f"Windows of {of} have equal maxima: the gradient may go to any of them, or be shared among them."
        )
    return f"Entries of {of} are 0: any value from 0 to 1 may stand for the derivative of ReLU there."


def _in_own_line(case: Case, solution: Solution, quantity: Quantity) -> str:
    line = line_of(solution, quantity)
    given = case.axes.to_formula(case.stated.values.astype(np.float64))
    filled = case.axes.to_formula(case.stated.filled)
    if line is None or given is None or filled is None:
        return ""
    known = line.completed(arrays_of(case.base, solution, quantity))
    is_accepted, notes = accepted_by_ties(line, known, given, filled, Tolerance(1e-9))
    return notes[0] if is_accepted and notes else ""


def _before(quantity: Quantity, solution: Solution) -> Iterator[Quantity]:
    seen, waiting = {quantity.name}, [quantity]
    while waiting:
        calculation = waiting.pop(0).calculation
        for name in calculation.reads.values() if calculation else ():
            if name not in seen and solution[name].role == "gradient":
                seen.add(name)
                waiting.append(solution[name])
                yield solution[name]


def _choices(case: Case, solution: Solution, gradient: Quantity) -> list[list[Array]]:
    """For each tie, what may be added to the gradient instead: nothing first, then the other choices."""
    line = line_of(solution, gradient)
    if line is None or gradient.tensor != "X":
        return []
    known = line.completed(arrays_of(case.base, solution, gradient))
    windows = windows_of(line, known)
    found: list[list[Array]] = []
    if windows is not None:
        rows = np.flatnonzero((windows.tied.sum(1) > 1) & (windows.upstream != 0))
        if len(rows) > _MOST_TIES:
            return []
        for row in rows:
            first = int(windows.tied[row].argmax())
            options = []
            shares = [np.eye(windows.tied.shape[1])[k] for k in np.flatnonzero(windows.tied[row])]
            shares.append(windows.tied[row] / windows.tied[row].sum())
            for share in shares:
                change = np.zeros(windows.tied.shape)
                change[row] = share
                change[row, first] -= 1
                options.append(windows.spread(change))
            found.append(options)
        return found
    if not any(isinstance(n, Function) and n.name == "step" for n in walk(line.equation.right)):
        return []
    x, upstream = known["X"], known[line.upstream or ""]
    places = np.argwhere((x == 0) & (upstream != 0))
    if len(places) > _MOST_TIES:
        return []
    for place in map(tuple, places.tolist()):
        options = []
        for slope in (0.0, 1.0, 0.5):
            change = np.zeros(x.shape)
            change[place] = slope * upstream[place]
            options.append(change)
        found.append(options)
    return found


def _values(case: Case) -> Values:
    return case.base.floats.values


def _some_choice(case: Case, gradient: Quantity, choices: list[list[Array]]) -> bool:
    """Whether choices at one layer's ties explain the claim; what follows is linear in them."""
    values = _values(case)
    start, target = values[gradient.name], values[case.target]
    if start is None or target is None:
        return False
    effects: list[list[Array]] = []
    for options in choices:
        each = []
        for change in options:
            after = values.with_given({gradient.name: start + change})[case.target]
            each.append(np.zeros(target.shape) if after is None else after - target)
        if any(np.abs(effect).max() > 0 for effect in each):
            effects.append(each)
        if len(effects) * 5 > _MOST_TRIED:
            return False
    count = 1
    for each in effects:
        count *= len(each)
    if not effects or count > _MOST_CHOICES:
        return False
    return any(case.explained(target + sum(chosen)) for chosen in product(*effects))


def _some_choices(case: Case, tied: list[tuple[Quantity, list[list[Array]]]]) -> bool:
    """Whether choices at the ties of several layers explain the claim, the last layer's first."""
    count = 1
    for _, choices in tied:
        for options in choices:
            count *= len(options)
    if count > _MOST_TRIED:
        return False
    orders = list(reversed(tied))
    for chosen in product(*[product(*choices) for _, choices in orders]):
        values = _values(case)
        for (gradient, _), changes in zip(orders, chosen, strict=True):
            start = values[gradient.name]
            if start is None:
                return False
            values = values.with_given({gradient.name: start + sum(changes)})
        if case.explained(values[case.target]):
            return True
    return False
