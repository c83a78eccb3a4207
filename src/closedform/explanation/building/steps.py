"""The derivation of one gradient: its steps and reasons at the reader's sizes, and its taught name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property

from closedform.explanation.building.lines import QuantityLine
from closedform.explanation.document import Derivation, Inline, Paragraph, Prose, Step, Strong
from closedform.explanation.math import Math, Numeral
from closedform.formula.derive.reasons import Equality, Formula, Reason, Subscript
from closedform.formula.subscripts import Polynomial, extent_of
from closedform.formula.tree import (
    SUM,
    ZERO,
    Equation,
    Expression,
    Jacobian,
    Reduce,
    rebuild,
    reduce,
    substitute_free,
)

_OVER_INDICES = (
    r"(?P<before>,?(?: summed| the same| copied)? (?:over|to every|for each|for every) )"
    r"(?P<indices>(?:\w'?, )*\w'?)(?P<after> by itself|,|(?=$| |\.))"
)


class Steps:
    """The derivation of one gradient.

    Parameters
    ----------
    line
        The gradient.
    zeros
        Where zeros stand in each tensor of its picture, in words.
    """

    def __init__(self, line: QuantityLine, zeros: Mapping[str, str]):
        self.line, self.zeros = line, zeros

    def derivation(self, *, own: bool = True) -> Derivation:
        """The steps, each with its reason.

        Parameters
        ----------
        own
            With this network's numbers, and without the steps that change nothing at its sizes; else in the
            layer's own symbols.
        """
        derived = self.line.calculation.derivation
        if derived is None:
            raise ValueError(f"{self.line.quantity.name} is not derived")
        steps: list[Step] = []
        last: Equation | None = None
        given = [step for step in derived.steps if step.rule != "settings" or not own]
        for step in given:
            line = self.line.special(step.equation) if own else step.equation
            if line == last or isinstance(line.right, Jacobian):  # ∂L/∂x = ∂L/∂x
                continue
            last = line
            is_end = own and step is given[-1] and not self._turned
            steps.append(self._step(step.rule, line, self.reason(step.reason, own=own), own, is_end))
        if self._turned is not None:
            line = self.line.special(self._turned) if own else self._turned
            steps.append(self._step("rename", line, self._turning_reason(own), own, own))
        for definition in self.line.calculation.definitions:
            line = self.line.special(definition) if own else definition
            steps.append(self._step("where", line, (), own, False))
        return Derivation(tuple(steps))

    def _step(self, rule: str, line: Equation, reason: Prose, own: bool, is_end: bool) -> Step:
        return Step(rule, self.line.writer.line(line, self.line.context(line, own=own, parts=is_end)), reason)

    @cached_property
    def _turned(self) -> Equation | None:
        """The result with its window counted from the other end, which shows the rotation."""
        recipe = self.line.recipe
        derived = self.line.calculation.derivation
        if recipe is None or derived is None or not any(any(o.rotate) for o in recipe.operands):
            return None
        turned = [i for i in recipe.backwards if self.line.calculation.sizes.extent(i) > 1]
        primed = {index: index + "'" for index in turned}
        if not turned or any(new in derived.result.indices for new in primed.values()):
            return None
        values = {
            index: Polynomial.of(extent_of(index)) - 1 - Polynomial.of(new) for index, new in primed.items()
        }

        def turn(e: Expression) -> Expression:
            if isinstance(e, Reduce) and e.operation == SUM and set(turned) <= set(e.indices):
                indices = [primed.get(index, index) for index in e.indices]
                return reduce(SUM, indices, substitute_free(e.body, values))
            return rebuild(e, turn)

        equation = Equation(derived.result.left, turn(derived.result.right))
        return None if equation == derived.result else equation

    def _turning_reason(self, own: bool) -> Prose:
        recipe = self.line.recipe
        found: list[Inline] = ["Count the window from its other end: "]
        for index in recipe.backwards if recipe else ():
            extent = self.line.calculation.sizes.extent(index)
            if extent == 1:
                continue
            last = Polynomial.of(extent) if own else Polynomial.of(extent_of(index))
            value = last - 1 - Polynomial.of(index + "'")
            found += [", "] if len(found) > 1 else []
            found.append(self.line.equality(Polynomial.of(index), value))
        rotated = [o.tensor for o in recipe.operands if any(o.rotate)] if recipe else []
        found.append(". What comes from above is now read forwards, as in a convolution, and ")
        found += self._joined_symbols(rotated)
        return (*found, " backwards: rotated by 180°.")

    def _joined_symbols(self, tensors: Sequence[str]) -> list[Inline]:
        found: list[Inline] = []
        for tensor in tensors:
            found += [" and "] if found else []
            found.append(self.line.symbol_of(tensor))
        return found

    def reason(self, reason: Reason, *, own: bool = True) -> Prose:
        """A step's reason in this network's names, and in its numbers or the layer's symbols."""
        sizes = self.line.calculation.sizes
        numbers = {n: Polynomial.of(Fraction(v)) for n, v in sizes.values.items()} if own else {}
        found: list[Inline] = []
        skipped = False
        for piece in reason.pieces:
            if isinstance(piece, Equality):
                single = {n for n in piece.left.names | piece.right.names if own and self.line.is_single(n)}
                is_trivial = self.line.indices_in(piece.left) | self.line.indices_in(piece.right) <= single
                if piece.left.names and is_trivial:
                    skipped = True
                    continue
                right = piece.right.substitute({n: v for n, v in numbers.items() if n not in sizes.extents})
                found.append(self.line.equality(piece.left, right.substitute(_zeros(single))))
                skipped = False
            elif isinstance(piece, Subscript):
                found.append(
                    self.line.writer.subscript(
                        piece.value.substitute(numbers), self.line.indices_in(piece.value)
                    )
                )
            elif isinstance(piece, Formula):
                found.append(self._formula(piece, own))
            elif piece == ", " and (skipped or (found and found[-1] == ", ")):
                continue
            else:
                if skipped and found and found[-1] == ", ":
                    found.pop()
                found += self.line.words(piece)
        return tuple(found)

    def _formula(self, piece: Formula, own: bool) -> Math:
        is_line = isinstance(piece.formula, Equation)
        whole = piece.formula if isinstance(piece.formula, Equation) else Equation(piece.formula, ZERO)
        line = self.line.special(whole) if own else whole
        context = self.line.context(whole, own=own)
        return (
            self.line.writer.line(line, context)
            if is_line
            else self.line.writer.expression(line.left, context)
        )

    def taught(self) -> Paragraph | None:
        """The paragraph that names the gradient."""
        if self.line.name is None or self.line.ones:
            return None
        words = self._shorter(self.line.name.words)
        first = re.match(r"\w+", words)
        is_named = first is not None and first[0] in self.line.tensors
        article = "" if is_named or re.match(r"(the|each|twice|minus|for|\d|1/)\b", words) else "the "
        if self.line.name.recipe and self.line.name.recipe.factor != 1 and words.startswith("1/"):
            words = words.split(" times ", 1)[1]
            factor: list[Inline] = [Numeral(self.line.name.recipe.factor), Strong(" times ")]
        else:
            factor = []
        begin = "This is, " if words.startswith("for ") else f"This is {article}"
        found: list[Inline] = [begin, *factor, *self.line.words(words, strong=True)]
        zeros = list(self.zeros.values())
        if zeros and len(self.zeros) == 1:
            found.append(f": {zeros[0]}")
        return Paragraph((*found, "."), "taught")

    def _shorter(self, words: str) -> str:
        """The words without the indices that take one value."""

        def kept(match: re.Match[str]) -> str:
            indices = [i for i in match["indices"].split(", ") if not self.line.is_single(i)]
            if indices:
                return f"{match['before']}{', '.join(indices)}{match['after']}"
            return match["after"].removeprefix(" by itself").removeprefix("," * match[0].startswith(","))

        found = re.sub(_OVER_INDICES, kept, words)
        is_sum_of_one = found != words and found.startswith("the sum of ") and " over " not in found
        return found.removeprefix("the sum of ") if is_sum_of_one else found


def _zeros(single: Iterable[str]) -> dict[str, Polynomial]:
    return {index: Polynomial.of(0) for index in single}
