"""One quantity as a scene: its formula or derivation, the grids that it is made of, entries written out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import filterfalse

from closedform.explanation.building.entries import Entries, Read
from closedform.explanation.building.grids import (
    Limits,
    Position,
    Prepared,
    Shown,
    grids,
    plain,
    prepared,
    visible_entries,
    written_out,
    zero_or_entry,
)
from closedform.explanation.building.specialise import specialised
from closedform.explanation.building.writing import Context, Writer
from closedform.explanation.document import (
    Block,
    Derivation,
    Display,
    Expansions,
    Grid,
    Inline,
    Maker,
    Paragraph,
    Picture,
    Prose,
    Scene,
    Step,
    Strong,
)
from closedform.explanation.line import math_text
from closedform.explanation.math import Chain, Math, Numeral, Part
from closedform.formula.derive.reasons import Equality, Formula, Reason, Subscript
from closedform.formula.naming.affine import recipe_of
from closedform.formula.naming.name import Name
from closedform.formula.naming.recipe import Operand, Recipe
from closedform.formula.subscripts import Polynomial, extent_of
from closedform.formula.tree import (
    FIRST,
    MAX,
    SUM,
    ZERO,
    Access,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    Plus,
    Reduce,
    Times,
    rebuild,
    reduce,
    substitute_free,
    walk,
)
from closedform.solution import Quantity, Values

_OVER_INDICES = (
    r"(?P<before>,?(?: summed| the same| copied)? (?:over|to every|for each|for every) )"
    r"(?P<indices>(?:\w'?, )*\w'?)(?P<after> by itself|,|(?=$| |\.))"
)
_MOST_AXES = 6  # of a weight of its own for each position; windows of maxima that overlap have no picture
_MOST_SAID = 9  # entries that are listed for those who hear a page
_MOST_READS = 120  # reads of one entry up to which every visible entry can be chosen


@dataclass(frozen=True)
class Setting:
    """What the scenes of one document share."""

    writer: Writer
    values: Values
    limits: Limits


class QuantityScene:
    """The scene of one calculated quantity."""

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

    # ---- formulas

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

    # ---- the derivation

    def derivation(self, *, own: bool = True) -> Derivation:
        """The steps, each with its reason.

        Parameters
        ----------
        own
            With this network's numbers, and without the steps that change nothing at its sizes; else in the
            layer's own symbols.
        """
        derived = self.calculation.derivation
        if derived is None:
            raise ValueError(f"{self.quantity.name} is not derived")
        steps: list[Step] = []
        last: Equation | None = None
        given = [step for step in derived.steps if step.rule != "settings" or not own]
        for step in given:
            line = self.special(step.equation) if own else step.equation
            if line == last or isinstance(line.right, Jacobian):  # ∂L/∂x = ∂L/∂x
                continue
            last = line
            is_end = own and step is given[-1] and not self._turned
            steps.append(self._step(step.rule, line, self.reason(step.reason, own=own), own, is_end))
        if self._turned is not None:
            line = self.special(self._turned) if own else self._turned
            steps.append(self._step("rename", line, self._turning_reason(own), own, own))
        for definition in self.calculation.definitions:
            line = self.special(definition) if own else definition
            steps.append(self._step("where", line, (), own, False))
        return Derivation(tuple(steps))

    def _step(self, rule: str, line: Equation, reason: Prose, own: bool, is_end: bool) -> Step:
        return Step(rule, self.writer.line(line, self.context(line, own=own, parts=is_end)), reason)

    @cached_property
    def _turned(self) -> Equation | None:
        """The result with its window counted from the other end, which shows the rotation."""
        recipe = self.recipe
        derived = self.calculation.derivation
        if recipe is None or derived is None or not any(any(o.rotate) for o in recipe.operands):
            return None
        turned = [i for i in recipe.backwards if self.calculation.sizes.extent(i) > 1]
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
        recipe = self.recipe
        found: list[Inline] = ["Count the window from its other end: "]
        for index in recipe.backwards if recipe else ():
            extent = self.calculation.sizes.extent(index)
            if extent == 1:
                continue
            last = Polynomial.of(extent) if own else Polynomial.of(extent_of(index))
            value = last - 1 - Polynomial.of(index + "'")
            found += [", "] if len(found) > 1 else []
            found.append(self._equality(Polynomial.of(index), value))
        rotated = [o.tensor for o in recipe.operands if any(o.rotate)] if recipe else []
        found.append(". What comes from above is now read forwards, as in a convolution, and ")
        found += self._joined_symbols(rotated)
        return (*found, " backwards: rotated by 180°.")

    def _joined_symbols(self, tensors: Sequence[str]) -> list[Inline]:
        found: list[Inline] = []
        for tensor in tensors:
            found += [" and "] if found else []
            found.append(self._whole(tensor))
        return found

    def _equality(self, left: Polynomial, right: Polynomial) -> Math:
        indices = self._indices_in(left) | self._indices_in(right)
        return Chain((self.writer.subscript(left, indices), self.writer.subscript(right, indices)))

    def _indices_in(self, value: Polynomial) -> frozenset[str]:
        sizes = self.calculation.sizes
        return frozenset(n for n in value.names if sizes.knows(n) and n not in sizes.settings)

    def reason(self, reason: Reason, *, own: bool = True) -> Prose:
        """A step's reason in this network's names, and in its numbers or the layer's symbols."""
        sizes = self.calculation.sizes
        numbers = {n: Polynomial.of(Fraction(v)) for n, v in sizes.values.items()} if own else {}
        found: list[Inline] = []
        skipped = False
        for piece in reason.pieces:
            if isinstance(piece, Equality):
                single = {n for n in piece.left.names | piece.right.names if own and self._is_single(n)}
                is_trivial = self._indices_in(piece.left) | self._indices_in(piece.right) <= single
                if piece.left.names and is_trivial:
                    skipped = True
                    continue
                right = piece.right.substitute({n: v for n, v in numbers.items() if n not in sizes.extents})
                found.append(self._equality(piece.left, right.substitute(_zeros(single))))
                skipped = False
            elif isinstance(piece, Subscript):
                found.append(
                    self.writer.subscript(piece.value.substitute(numbers), self._indices_in(piece.value))
                )
            elif isinstance(piece, Formula):
                found.append(self._formula(piece, own))
            elif piece == ", " and (skipped or (found and found[-1] == ", ")):
                continue
            else:
                if skipped and found and found[-1] == ", ":
                    found.pop()
                found += self.words(piece)
        return tuple(found)

    def _formula(self, piece: Formula, own: bool) -> Math:
        is_line = isinstance(piece.formula, Equation)
        whole = piece.formula if isinstance(piece.formula, Equation) else Equation(piece.formula, ZERO)
        line = self.special(whole) if own else whole
        context = self.context(whole, own=own)
        return self.writer.line(line, context) if is_line else self.writer.expression(line.left, context)

    def _whole(self, tensor: str) -> Math:
        name = self.names.get(tensor)
        return self.writer.symbol(name) if name else self.writer.definition(tensor, (), self.entries.number)

    @cached_property
    def _tensors(self) -> frozenset[str]:
        """Every tensor that words may name."""
        return frozenset((*self.names, *(d.left.tensor for d in self.calculation.definitions)))

    def words(self, text: str, strong: bool = False) -> list[Inline]:
        """Words in which tensors of the layer's formula become this network's symbols."""
        tensors = self._tensors
        solution = self.writer.solution
        found: list[Inline] = []
        for part in re.split(r"(\bthe loss\b|\b[A-Za-z]\w*\b)", _with_signs(text)):
            if part == "the loss" and solution.is_output_differentiated:
                found.append(self.writer.symbol(solution.differentiated))
            elif part in tensors and not (part == "a" or (part == "b" and "= b" in text)):
                found.append(self._whole(part))
            elif part:
                if found and isinstance(found[-1], str) and not strong:
                    found[-1] += part
                elif found and isinstance(found[-1], Strong) and strong:
                    found[-1] = Strong(found[-1].text + part)
                else:
                    found.append(Strong(part) if strong else part)
        return found

    # ---- the taught name

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

    def taught(self) -> Paragraph | None:
        """The paragraph that names the gradient."""
        if self.name is None or self.ones:
            return None
        words = self._shorter(self.name.words)
        first = re.match(r"\w+", words)
        is_named = first is not None and first[0] in self._tensors
        article = "" if is_named or re.match(r"(the|each|twice|minus|for|\d|1/)\b", words) else "the "
        if self.name.recipe and self.name.recipe.factor != 1 and words.startswith("1/"):
            words = words.split(" times ", 1)[1]
            factor: list[Inline] = [Numeral(self.name.recipe.factor), Strong(" times ")]
        else:
            factor = []
        begin = "This is, " if words.startswith("for ") else f"This is {article}"
        found: list[Inline] = [begin, *factor, *self.words(words, strong=True)]
        zeros = list(self._zeros.values())
        if zeros and len(self._zeros) == 1:
            found.append(f": {zeros[0]}")
        return Paragraph((*found, "."), "taught")

    def _shorter(self, words: str) -> str:
        """The words without the indices that take one value."""

        def kept(match: re.Match[str]) -> str:
            indices = [i for i in match["indices"].split(", ") if not self._is_single(i)]
            if indices:
                return f"{match['before']}{', '.join(indices)}{match['after']}"
            return match["after"].removeprefix(" by itself").removeprefix("," * match[0].startswith(","))

        found = re.sub(_OVER_INDICES, kept, words)
        is_sum_of_one = found != words and found.startswith("the sum of ") and " over " not in found
        return found.removeprefix("the sum of ") if is_sum_of_one else found

    def _is_single(self, index: str) -> bool:
        """Whether an index takes one value."""
        sizes = self.calculation.sizes
        return sizes.knows(index) and sizes.extent(index) == 1

    @cached_property
    def _zeros(self) -> dict[str, str]:
        """Where zeros stand in each operand, in words."""
        if self.recipe is None:
            return {}
        parts = Name("", replace(self.recipe, operands=self._operands)).zeros.split("; ")
        return dict(part.split(": ", 1) for part in parts if ": " in part)

    # ---- pictures

    @cached_property
    def _operands(self) -> tuple[Operand, ...]:
        """The operands of the recipe as they are shown: what slides over the other with a step has zeros
        inserted instead, and a tensor of its own for each position has no border of positions."""
        recipe = self.recipe
        if recipe is None:
            return ()
        steps = {
            index: step
            for operand in recipe.operands
            for axis in operand.axes
            if len(axis.walk) > 1
            for index, step in axis.walk
            if index in recipe.sum_over
        }
        return tuple(_as_shown(operand, steps) for operand in recipe.operands)

    @cached_property
    def pictures(self) -> dict[str, Prepared]:
        """How each tensor of the line stands in the picture."""
        found: dict[str, Prepared] = {}
        for operand in self._operands:
            found.setdefault(operand.tensor, prepared(operand, self._base_name(operand.tensor)))
        for tensor in self.calculation.equation.tensors:
            if tensor not in found:
                found[tensor] = plain(self._base_name(tensor), self.calculation.sizes.shapes[tensor])
        return {
            tensor: picture
            for tensor, picture in found.items()
            if tensor not in self.ones and len(picture.lengths) <= _MOST_AXES
        }

    def _base_name(self, tensor: str) -> str:
        name = self.calculation.reads.get(tensor)
        return self.writer.address(name) if name else tensor.lower() + self.entries.number

    def picture(self) -> Picture:
        """The grids of what is read, and the result."""
        items: list[tuple[Grid, ...] | str] = []
        added = self._added
        tensors = sorted(self.pictures, key=lambda t: (t in added, t in self.entries.weights))
        for tensor in tensors:
            if items:
                items.append("+" if tensor in added else self._sign)
            items.append(grids(self._shown(tensor), self.writer, self.limits))
        if len(tensors) == 1:
            items.append(self._single_sign)
        elif tensors:
            items.append("=")
        own = self._result()
        items.append(grids(own, self.writer, self.limits, self.makers))
        return Picture(tuple(items))

    @cached_property
    def _added(self) -> frozenset[str]:
        """Tensors that stand alone as a term, a bias."""
        right = self.calculation.equation.right
        terms = right.terms if isinstance(right, Plus) else ()
        return frozenset(term.tensor for term in terms if isinstance(term, Access))

    @property
    def _sign(self) -> str:
        recipe = self.recipe
        if recipe is None:
            return "⊙" if self._is_point_wise else ","
        if any(len(axis.walk) > 1 for operand in recipe.operands for axis in operand.axes):
            return "∗"
        wide = [{i for i in operand.indices if not self._is_single(i)} for operand in recipe.operands]
        return (
            "⊙" if all(indices == set(filterfalse(self._is_single, recipe.free)) for indices in wide) else "·"
        )

    @property
    def _is_point_wise(self) -> bool:
        """Whether an entry is a product of what stands at its place."""
        right = self.calculation.equation.right
        return isinstance(right, Times) and all(isinstance(f, Access | Number) for f in right.factors)

    @property
    def _single_sign(self) -> str:
        return "→"

    def _words(self, tensor: str) -> tuple[str, ...]:
        name = self.names.get(tensor)
        shape = self.calculation.sizes.shapes.get(tensor, self.quantity.shape)
        role = self.writer.solution[name].role if name else "definition"
        base = name.removeprefix("d") if name and role == "gradient" else name
        if base and self.writer.solution[base].role == "parameter":
            derived = self.calculation.derivation
            line = derived.of if derived is not None else self.calculation.equation
            access = next((a for a in line.accesses if a.tensor == tensor), self._access(tensor))
            letters = [s.lone or "" for s in access.subscripts] if access else []
            return tuple(letter or "k" for letter in letters) if letters else ("k",) * len(shape)
        words = ("image", "channel", "i", "j", "u", "v")
        return words[: len(shape)] + ("k",) * max(0, len(shape) - len(words))

    def _access(self, tensor: str) -> Access | None:
        equation = self.calculation.equation
        every = (equation.left, *equation.accesses)
        return next((access for access in every if access.tensor == tensor), None)

    def _shown(self, tensor: str) -> Shown:
        picture = self.pictures[tensor]
        arrays = self.entries.arrays
        title: tuple[Inline, ...] = (self._whole(tensor),)
        if picture.is_rotated:
            title = (*title, " rotated by 180°")

        def content(position: Position) -> Math:
            read = Read(tensor, position, True)
            if arrays is None:
                return self.entries.symbol_of(read)
            return self.writer.numeral(self.entries.value_of(read))

        return Shown(
            picture,
            title,
            "".join(part if isinstance(part, str) else math_text(part) for part in title),  # type: ignore[arg-type]
            self._zeros.get(tensor, ""),
            content,
            lambda position: self.entries.name_of(Read(tensor, position, True)),
            self._words(tensor),
        )

    def _result(self) -> Shown:
        name, value = self.quantity.name, self.values[self.quantity.name]

        def content(position: Position) -> Math:
            if value is None:
                return self.writer.entry(name, position)
            number = value[position]
            return self.writer.numeral(number if isinstance(number, Fraction) else float(number))

        symbol = self.writer.symbol(name)
        return Shown(
            plain(name, self.quantity.shape),
            (symbol,),
            math_text(symbol),
            "",
            content,
            lambda position: self.writer.entry_name(name, position),
            self._words(self.calculation.equation.left.tensor),
        )

    # ---- what lights up

    @cached_property
    def makers(self) -> dict[Position, Maker]:
        """What each visible entry is made of; where that is much, only for the entries written out."""
        shape = self.quantity.shape
        written, _ = written_out(shape, self.limits)
        reads = sum(1 for _ in self.entries.all_reads(written[-1]))
        chosen = visible_entries(shape, self.limits) if reads <= _MOST_READS else written
        visible = {
            tensor: set(visible_entries(picture.shape, self.limits))
            for tensor, picture in self.pictures.items()
        }
        return {position: self._maker(position, visible) for position in chosen}

    def _maker(self, position: Position, visible: Mapping[str, set[Position]]) -> Maker:
        window: dict[str, None] = {}
        weights: dict[str, None] = {}
        said: tuple[dict[str, None], dict[str, None]] = ({}, {})
        for read in self.entries.all_reads(position):
            is_weight = read.tensor in self.entries.weights
            if read.is_inside:
                said[is_weight][self.entries.said(read)] = None
                if tuple(map(int, read.position)) not in visible.get(read.tensor, ()):
                    continue
            name = zero_or_entry(read, self.pictures, self.entries.name_of)
            if name:
                (weights if is_weight else window)[name] = None
        name = self.writer.entry_name(self.quantity.name, position)
        return Maker(name, tuple(window), tuple(weights), self.at(position), self._say(position, *said))

    def at(self, position: Position) -> str:
        """Where an entry stands: ``i = 1, j = 2``."""
        names = self.entries.names_at(position)
        kept = {i: k for i, k in names.items() if self.calculation.sizes.extent(i) > 1}
        return ", ".join(f"{index} = {k + self.writer.first}" for index, k in kept.items())

    def _say(self, position: Position, read: Iterable[str], weighed: Iterable[str]) -> str:
        value = self.values[self.quantity.name]
        said = math_text(self.writer.entry(self.quantity.name, position))
        if value is not None:
            said += f" = {math_text(self.writer.numeral(_plain(value[position])))}"
        parts = [
            f"{what} {_listed(names)}"
            for what, names in (("reads", list(read)), ("weights", list(weighed)))
            if names
        ]
        return f"{said}: {'; '.join(parts)}." if parts else f"{said}."

    # ---- the scene

    def expansions(self) -> Expansions:
        """Entries written out, laid out as they stand."""
        shape = self.quantity.shape
        positions, left_out = written_out(shape, self.limits)
        value = self.values[self.quantity.name]
        found = tuple(
            self.entries.expansion(
                position,
                self.at(position),
                self.limits.terms,
                None if value is None else _plain(value[position]),
            )
            for position in positions
        )
        wide = [n for n in shape if n > 1]
        columns = wide[-1] if wide and not left_out and wide[-1] <= 4 else min(3, len(found))
        longest = max((len(one.terms) for one in found), default=1)
        return Expansions(
            found, max(1, min(columns, 1 if longest > 8 else 2 if longest > 4 else 4)), left_out
        )

    def scene(self, key: str, blocks: Sequence[Block]) -> Scene:
        """The blocks with the grids and expansions of the quantity after them."""
        name = math_text(self.writer.symbol(self.quantity.name))
        prompt = f"Choose an entry of {name} to see what it is made of." if self.makers else ""
        return Scene(key, (*blocks, self.picture(), self.expansions()), prompt)

    def forward(self, key: str) -> Scene:
        """The scene of a value: the formula with this network's sizes."""
        return self.scene(key, (Display(self.own()),))

    def backward(self, key: str) -> Scene:
        """The scene of a gradient: its derivation and its taught name."""
        taught = self.taught()
        return self.scene(key, (self.derivation(), *([taught] if taught else [])))


def _is_always_inside(tensor: str, line: Equation) -> bool:
    """Whether a tensor is read by bare indices only, and so never outside."""
    reads = (access for access in line.accesses if access.tensor == tensor)
    return all(subscript.lone for access in reads for subscript in access.subscripts)


def _as_shown(operand: Operand, steps: Mapping[str, int]) -> Operand:
    """The operand with zeros inserted where others are walked with a step by the same index."""
    axes = list(operand.axes)
    wide = [place for place, n in enumerate(operand.lengths) if n > 1 or axes[place].pad != (0, 0)]
    for place, axis in enumerate(axes):
        step = steps.get(axis.walk[0][0], 1) if len(axis.walk) == 1 else 1
        if step > 1 and replace(axis, rotate=False).is_plain:
            axes[place] = replace(axis, insert=step - 1)
        elif place in wide[:-2] and axis.pad != (0, 0):
            axes[place] = replace(axis, pad=(0, 0), insert=0)
    return replace(operand, axes=tuple(axes))


def _with_signs(text: str) -> str:
    """Words with the signs of mathematics in the formulas among them."""
    for sign, shown in (("*", "·"), ("^2", "²"), (" - ", " − "), ("<=", "≤"), ("!=", "≠")):
        text = text.replace(sign, shown)
    return re.sub(r"(?<![\w’)])-(?=\d)", "−", text)


def _plain(number: object) -> Fraction | float:
    return number if isinstance(number, Fraction) else float(number)  # type: ignore[arg-type]


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _MOST_SAID:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, … {names[-1]}, {len(names)} in all"


def _zeros(single: Iterable[str]) -> dict[str, Polynomial]:
    return {index: Polynomial.of(0) for index in single}


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
