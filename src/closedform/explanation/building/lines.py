"""The line of one quantity as it is written: in general, with one's own sizes, and in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from closedform.explanation.building.entries import Entries
from closedform.explanation.building.grids import Limits
from closedform.explanation.building.specialise import specialised
from closedform.explanation.building.writing import Context, Writer
from closedform.explanation.document import Inline, Strong
from closedform.explanation.math import Chain, Math, Part
from closedform.formula.naming.affine import recipe_of
from closedform.formula.naming.name import Name
from closedform.formula.naming.recipe import Recipe
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    FIRST,
    MAX,
    Access,
    Equation,
    Expression,
    Function,
    Number,
    Plus,
    Reduce,
    Times,
    rebuild,
    walk,
)
from closedform.solution import Quantity, Solution, Values


@dataclass(frozen=True)
class Setting:
    """What the scenes of one document share."""

    writer: Writer
    values: Values
    limits: Limits


def axis_words(solution: Solution, quantity: Quantity) -> tuple[str, ...]:
    """What each axis of a quantity counts: images and channels, or a parameter's letters in its formula."""
    of = quantity.name.removeprefix("d") if quantity.role == "gradient" else quantity.name
    base = solution[of.removesuffix("_new")]
    if base.role == "parameter" and base.layer is not None:
        line = solution.architecture.layers[base.layer].formula_for(solution.architecture.shapes[base.layer])
        access = next(access for access in line.accesses if access.tensor == base.tensor)
        return tuple(subscript.lone or "k" for subscript in access.subscripts)
    words = ("image", "channel", "i", "j", "u", "v")
    return (*words, *("k",) * len(quantity.shape))[: len(quantity.shape)]


class QuantityLine:
    """How one calculated quantity is written.

    Parameters
    ----------
    setting
        What the scenes of the document share.
    quantity
        One that is calculated.
    """

    def __init__(self, setting: Setting, quantity: Quantity):
        calculation = setting.values.calculation(quantity.name)
        if calculation is None:
            raise ValueError(f"{quantity.name} is given, not calculated")
        self.setting, self.quantity, self.calculation = setting, quantity, calculation
        self.writer, self.values, self.limits = setting.writer, setting.values, setting.limits
        solution = self.writer.solution
        upstream = "d" + solution.output
        is_one = solution.is_output_differentiated and upstream in solution and quantity.role == "gradient"
        self.ones = frozenset(
            tensor
            for tensor, name in calculation.reads.items()
            if is_one and name == upstream and _is_always_inside(tensor, calculation.equation)
        )
        self.entries = Entries(
            self.writer, quantity, calculation, self.values.read_by(quantity.name), self.ones
        )

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The quantity that each tensor of the line, its left side among them, is."""
        return {**self.calculation.reads, self.calculation.equation.left.tensor: self.quantity.name}

    def context(self, equation: Equation, *, own: bool, parts: bool = False) -> Context:
        """How a line of this calculation is written: in general, or with one's own numbers."""
        return Context(
            self.names,
            frozenset(equation.indices) | {str(k) for k in self.calculation.sizes.extents},
            self.calculation.sizes if own else None,
            self._parts if parts else {},
            self.entries.number,
        )

    @cached_property
    def _parts(self) -> dict[str, Part]:
        found: dict[str, Part] = {self.calculation.equation.left.tensor: "result"}
        for tensor in self.calculation.equation.tensors:
            found[tensor] = "weight" if tensor in self.entries.weights else "window"
        return found

    def general(self) -> Math:
        """The formula in the layer's own symbols."""
        equation = self.calculation.equation
        return self.writer.line(equation, self.context(equation, own=False))

    def own(self, *, parts: bool = True) -> Math:
        """The formula with this network's sizes."""
        equation = self.special(self.calculation.equation)
        return self.writer.line(equation, self.context(self.calculation.equation, own=True, parts=parts))

    def special(self, equation: Equation) -> Equation:
        """A line with this network's sizes, and without what is 1."""
        return specialised(_without(equation, self.ones), self.calculation.sizes)

    @cached_property
    def name(self) -> Name | None:
        """What the gradient is called."""
        return self.calculation.derivation.name if self.calculation.derivation else None

    @cached_property
    def recipe(self) -> Recipe | None:
        """The steps of the taught name; of a forward line those of its sum."""
        if self.calculation.derivation is not None:
            return self.name.recipe if self.name else None
        equation = self.calculation.equation
        terms = equation.right.terms if isinstance(equation.right, Plus) else (equation.right,)
        main = next((term for term in terms if _main_sum(term)), None)
        return recipe_of(Equation(equation.left, main), self.calculation.sizes) if main else None

    def equality(self, left: Polynomial, right: Polynomial) -> Math:
        """Two subscripts that are equal, counted from the document's first number."""
        indices = self.indices_in(left) | self.indices_in(right)
        return Chain((self.writer.subscript(left, indices), self.writer.subscript(right, indices)))

    def indices_in(self, value: Polynomial) -> frozenset[str]:
        """The indices of a subscript, its settings not counted."""
        sizes = self.calculation.sizes
        return frozenset(n for n in value.names if sizes.knows(n) and n not in sizes.settings)

    def is_single(self, index: str) -> bool:
        """Whether an index takes one value."""
        sizes = self.calculation.sizes
        return sizes.knows(index) and sizes.extent(index) == 1

    def symbol_of(self, tensor: str) -> Math:
        """The symbol of a tensor of the line as a whole."""
        name = self.names.get(tensor)
        return self.writer.symbol(name) if name else self.writer.definition(tensor, (), self.entries.number)

    @cached_property
    def tensors(self) -> frozenset[str]:
        """Every tensor that words may name."""
        return frozenset((*self.names, *(d.left.tensor for d in self.calculation.definitions)))

    def words(self, text: str, strong: bool = False) -> list[Inline]:
        """Words in which tensors of the layer's formula become this network's symbols."""
        tensors = self.tensors
        solution = self.writer.solution
        found: list[Inline] = []
        for part in re.split(r"(\bthe loss\b|\b[A-Za-z]\w*\b)", _with_signs(text)):
            if part == "the loss" and solution.is_output_differentiated:
                found.append(self.writer.symbol(solution.differentiated))
            elif part in tensors and not (part == "a" or (part == "b" and "= b" in text)):
                found.append(self.symbol_of(part))
            elif part:
                if found and isinstance(found[-1], str) and not strong:
                    found[-1] += part
                elif found and isinstance(found[-1], Strong) and strong:
                    found[-1] = Strong(found[-1].text + part)
                else:
                    found.append(Strong(part) if strong else part)
        return found


def _is_always_inside(tensor: str, line: Equation) -> bool:
    """Whether a tensor is read by bare indices only, and so never outside."""
    reads = (access for access in line.accesses if access.tensor == tensor)
    return all(subscript.lone for access in reads for subscript in access.subscripts)


def _with_signs(text: str) -> str:
    """Words with the signs of mathematics in the formulas among them."""
    text = text.replace("rom the table,", "rom the table of derivatives,")
    for sign, shown in (("*", "·"), ("^2", "²"), (" - ", " − "), ("<=", "≤"), ("!=", "≠")):
        text = text.replace(sign, shown)
    return re.sub(r"(?<![\w’)])-(?=\d)", "−", text)


def _main_sum(term: Expression) -> bool:
    """Whether a term holds a sum and no function."""
    nodes = list(walk(term))
    if any(
        isinstance(node, Function) or (isinstance(node, Reduce) and node.operation in (MAX, FIRST))
        for node in nodes
    ):
        return False
    return any(isinstance(node, Reduce) for node in nodes) or isinstance(term, Times)


def _without(equation: Equation, ones: frozenset[str]) -> Equation:
    """The line with 1 for the entries of these tensors."""
    if not ones:
        return equation

    def change(e: Expression) -> Expression:
        if isinstance(e, Access) and e.tensor in ones:
            return Number(Polynomial.of(1))
        return rebuild(e, change)

    return Equation(equation.left, change(equation.right))
