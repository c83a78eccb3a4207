"""The values of a solution's quantities, worked out from the reader's numbers when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.solution.exact import value_of
from closedform.solution.quantities import Calculation, Solution

Array = NDArray[Any]


class Values:
    """The values of the quantities.

    Parameters
    ----------
    solution
        The quantities.
    given
        The reader's numbers by quantity: of dtype object where they are exact, else float64.  A quantity
        that has a calculation may be given too: then that is what later ones read.
    calculations
        Calculations that take the place of the solution's own, by quantity.
    """

    def __init__(
        self,
        solution: Solution,
        given: Mapping[str, Array],
        calculations: Mapping[str, Calculation] | None = None,
    ):
        self.solution = solution
        self._given = dict(given)
        self._calculations = dict(calculations or {})
        self._known: dict[str, Array | None] = dict(given)
        self._definitions: dict[str, dict[str, Array]] = {}

    def calculation(self, name: str) -> Calculation | None:
        """How the quantity is worked out here."""
        return self._calculations.get(name, self.solution[name].calculation)

    def with_given(self, given: Mapping[str, Array]) -> Values:
        """The values where other quantities have been given too."""
        return self._changed(Values(self.solution, {**self._given, **given}, self._calculations), given)

    def with_calculations(self, calculations: Mapping[str, Calculation]) -> Values:
        """The values where other calculations take the place of the solution's own."""
        changed = Values(self.solution, self._given, {**self._calculations, **calculations})
        return self._changed(changed, calculations)

    def _changed(self, changed: Values, names: Iterable[str]) -> Values:
        """The changed values, which know already what does not depend on those names."""
        affected = set(names)
        before = -1
        while before != len(affected):  # a calculation that was put in may read what comes later
            before = len(affected)
            for quantity in self.solution.quantities:
                calculation = changed.calculation(quantity.name)
                if quantity.name in changed._given or calculation is None:
                    continue
                if affected & set(calculation.reads.values()):
                    affected.add(quantity.name)
        for name, value in self._known.items():
            if name not in affected:
                changed._known[name] = value
        return changed

    def in_floats(self) -> Values:
        """The values worked out in float64 throughout."""
        given = {name: array.astype(np.float64) for name, array in self._given.items()}
        return Values(self.solution, given, self._calculations)

    def __getitem__(self, name: str) -> Array | None:
        """The value of a quantity in its formula's shape; None where a number that it needs is not given."""
        if name not in self._known:
            self._known[name] = self._worked_out(name)
        return self._known[name]

    def is_exact(self, name: str) -> bool:
        """Whether the value is known, in fractions."""
        value = self[name]
        return value is not None and value.dtype == object

    def read_by(self, name: str) -> dict[str, Array] | None:
        """What the quantity's line reads, by the names in the line, definitions among them; None where a
        number is not given."""
        calculation = self.calculation(name)
        if calculation is None:
            return {}
        arrays = self._read(calculation)
        if arrays is not None and name not in self._definitions:
            self._definitions[name] = arrays
        return arrays

    def _worked_out(self, name: str) -> Array | None:
        calculation = self.calculation(name)
        if calculation is None or self._lacks_rate(name):
            return None
        arrays = self.read_by(name)
        return None if arrays is None else value_of(calculation.equation, arrays, calculation.sizes)

    def _lacks_rate(self, name: str) -> bool:
        return self.solution[name].role == "update" and self.solution.learning_rate is None

    def _read(self, calculation: Calculation) -> dict[str, Array] | None:
        defined = {definition.left.tensor for definition in calculation.definitions}
        equations = (*calculation.definitions, calculation.equation)
        arrays: dict[str, Array] = {}
        for equation in equations:
            for tensor in equation.tensors:
                if tensor in arrays or tensor in defined:
                    continue
                value = self[calculation.reads[tensor]]
                if value is None:
                    return None
                arrays[tensor] = value
        for definition in calculation.definitions:
            arrays[definition.left.tensor] = value_of(definition, arrays, calculation.sizes)
        return arrays
