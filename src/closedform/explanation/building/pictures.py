"""What one quantity is made of, as grids, and its entries written out: what lights up with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import filterfalse, islice

from closedform.explanation.building.entries import Read
from closedform.explanation.building.grids import (
    Position,
    Prepared,
    Shown,
    grids,
    plain,
    prepared,
    transposed,
    visible_entries,
    written_out,
    zero_or_entry,
)
from closedform.explanation.building.lines import QuantityLine, Setting, axis_words
from closedform.explanation.building.many import Block, Many
from closedform.explanation.document import Expansions, Grid, Inline, Maker, Picture
from closedform.explanation.line import math_text
from closedform.explanation.math import Math
from closedform.formula.naming.name import Name
from closedform.formula.naming.recipe import Operand
from closedform.formula.tree import Access, Number, Plus, Times
from closedform.solution import Quantity

_MOST_AXES = 6  # of a weight of its own for each position; windows of maxima that overlap have no picture
_MOST_SAID = 9  # entries that are listed for those who hear a page
_MOST_READS = 120  # reads of one entry up to which every visible entry can be chosen


class Pictures:
    """The grids and expansions of one quantity."""

    def __init__(self, line: QuantityLine):
        self.line = line

    @cached_property
    def _operands(self) -> tuple[Operand, ...]:
        """The operands of the recipe as they are shown: what slides over the other with a step has zeros
        inserted instead, and a tensor of its own for each position has no border of positions."""
        recipe = self.line.recipe
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
    def zeros(self) -> dict[str, str]:
        """Where zeros stand in each operand, in words."""
        if self.line.recipe is None:
            return {}
        parts = Name("", replace(self.line.recipe, operands=self._operands)).zeros.split("; ")
        return dict(part.split(": ", 1) for part in parts if ": " in part)

    @cached_property
    def pictures(self) -> dict[str, Prepared]:
        """How each tensor of the line stands in the picture."""
        found: dict[str, Prepared] = {}
        for operand in self._operands:
            found.setdefault(operand.tensor, prepared(operand, self._base_name(operand.tensor)))
        for tensor in self.line.calculation.equation.tensors:
            if tensor not in found:
                found[tensor] = plain(self._base_name(tensor), self.line.calculation.sizes.shapes[tensor])
        return {
            tensor: picture
            for tensor, picture in found.items()
            if tensor not in self.line.ones and len(picture.lengths) <= _MOST_AXES
        }

    def _base_name(self, tensor: str) -> str:
        name = self.line.calculation.reads.get(tensor)
        return self.line.writer.address(name) if name else tensor.lower() + self.line.entries.number

    def picture(self) -> Picture:
        """The grids of what is read, and the result."""
        items: list[tuple[Grid, ...] | str] = []
        added = self._added
        tensors = sorted(self.pictures, key=lambda t: (t in added, t in self.line.entries.weights))
        if self._product:
            tensors = [*self._product, *(tensor for tensor in tensors if tensor not in self._product)]
        for tensor in tensors:
            if items:
                items.append("+" if tensor in added else self._sign)
            items.append(grids(self._shown(tensor), self.line.writer, self.line.limits))
        if len(tensors) == 1:
            items.append(self._single_sign)
        elif tensors:
            items.append("=")
        own = shown_quantity(self.line.setting, self.line.quantity)
        items.append(grids(own, self.line.writer, self.line.limits, self.makers))
        return Picture(tuple(items))

    @cached_property
    def _product(self) -> dict[str, bool]:
        """Of a product of two matrices the left one and the right one, and whether each is transposed."""
        recipe = self.line.recipe
        if recipe is None or len(recipe.operands) != 2 or len(recipe.sum_over) != 1 or len(recipe.free) != 2:
            return {}
        (inner,), (row, column) = recipe.sum_over, recipe.free
        left, right = sorted(recipe.operands, key=lambda operand: row not in operand.indices)
        is_matrix = all(operand.is_plain and len(operand.shape) == 2 for operand in recipe.operands)
        if not is_matrix or set(left.indices) != {row, inner} or set(right.indices) != {inner, column}:
            return {}
        if left.tensor not in self.pictures or right.tensor not in self.pictures:
            return {}
        return {left.tensor: left.indices[0] == inner, right.tensor: right.indices[1] == inner}

    @cached_property
    def _added(self) -> frozenset[str]:
        """Tensors that stand alone as a term, a bias."""
        right = self.line.calculation.equation.right
        terms = right.terms if isinstance(right, Plus) else ()
        return frozenset(term.tensor for term in terms if isinstance(term, Access))

    @property
    def _sign(self) -> str:
        recipe = self.line.recipe
        if recipe is None:
            return "⊙" if self._is_point_wise else ","
        if any(len(axis.walk) > 1 for operand in recipe.operands for axis in operand.axes):
            return "∗"
        wide = [{i for i in operand.indices if not self.line.is_single(i)} for operand in recipe.operands]
        return (
            "⊙"
            if all(indices == set(filterfalse(self.line.is_single, recipe.free)) for indices in wide)
            else "·"
        )

    @property
    def _is_point_wise(self) -> bool:
        """Whether an entry is a product of what stands at its place."""
        right = self.line.calculation.equation.right
        return isinstance(right, Times) and all(isinstance(f, Access | Number) for f in right.factors)

    @property
    def _single_sign(self) -> str:
        return "→"

    def counted(self, tensor: str) -> tuple[str, ...]:
        """What each axis of a tensor counts."""
        name = self.line.names.get(tensor, "")
        solution = self.line.writer.solution
        if name in solution:
            return axis_words(solution, solution[name])
        words = ("image", "channel", "i", "j", "u", "v")  # of what selects, M
        return words[: len(self.line.calculation.sizes.shapes[tensor])]

    def _shown(self, tensor: str) -> Shown:
        picture = self.pictures[tensor]
        arrays = self.line.entries.arrays
        title: tuple[Inline, ...] = (self.line.symbol_of(tensor),)
        if picture.is_rotated:
            title = (*title, " rotated by 180°")
        is_transposed = self._product.get(tensor, False)
        if is_transposed:
            picture, title = transposed(picture), (*title, " transposed")

        def content(position: Position) -> Math:
            read = Read(tensor, position, True)
            if arrays is None:
                return self.line.entries.symbol_of(read)
            return self.line.writer.numeral(self.line.entries.value_of(read))

        return Shown(
            picture,
            title,
            "".join(part if isinstance(part, str) else math_text(part) for part in title),  # type: ignore[arg-type]
            self.zeros.get(tensor, ""),
            content,
            lambda position: self.line.entries.name_of(Read(tensor, position, True)),
            self.counted(tensor),
            is_transposed,
        )

    @cached_property
    def makers(self) -> dict[Position, Maker]:
        """What each visible entry is made of; where that is much, only for the entries written out."""
        shape = self.line.quantity.shape
        written, _ = written_out(shape, self.line.limits)
        reads = sum(1 for _ in islice(self.line.entries.all_reads(written[-1]), _MOST_READS + 1))
        chosen = visible_entries(shape, self.line.limits) if reads <= _MOST_READS else written
        visible = {
            tensor: set(visible_entries(picture.shape, self.line.limits))
            for tensor, picture in self.pictures.items()
        }
        return {position: self._maker(position, visible) for position in chosen}

    def _maker(self, position: Position, visible: Mapping[str, set[Position]]) -> Maker:
        blocks = self.line.entries.blocks(position)
        if blocks is not None:
            return self._maker_of_many(position, visible, blocks)
        window: dict[str, None] = {}
        weights: dict[str, None] = {}
        said: tuple[dict[str, None], dict[str, None]] = ({}, {})
        for read in self.line.entries.all_reads(position):
            is_weight = read.tensor in self.line.entries.weights
            if read.is_inside:
                said[is_weight][self.line.entries.said(read)] = None
                if tuple(map(int, read.position)) not in visible.get(read.tensor, ()):
                    continue
            name = zero_or_entry(read, self.pictures, self.line.entries.name_of)
            if name:
                (weights if is_weight else window)[name] = None
        name = self.line.writer.entry_name(self.line.quantity.name, position)
        return Maker(
            name, tuple(window), tuple(weights), self.at(position), self._say(position, *map(list, said))
        )

    def _maker_of_many(
        self, position: Position, visible: Mapping[str, set[Position]], blocks: Sequence[Block]
    ) -> Maker:
        """What an entry of very many summands is made of: of what it reads only what is shown."""
        entries = self.line.entries
        lit: tuple[dict[str, None], dict[str, None]] = ({}, {})
        said: tuple[list[tuple[int, Callable[[int], str]]], ...] = ([], [])
        for block in blocks:
            for access in block.reads:
                part, is_weight = block.of(access), access.tensor in entries.weights
                if not block.count:
                    continue
                said[is_weight].append((part.count, self._sayer(part, access)))
                for place in sorted(visible.get(access.tensor, ())):
                    if part.meets(access, place):
                        lit[is_weight][entries.name_of(Read(access.tensor, place, True))] = None
        for read in entries.outside_reads(position):
            if read.is_inside:
                is_weight = read.tensor in entries.weights
                said[is_weight].append((1, partial(_one, entries.said(read))))
                lit[is_weight][entries.name_of(read)] = None
        name = self.line.writer.entry_name(self.line.quantity.name, position)
        sayings = self._say(position, *map(Many, said))
        return Maker(name, tuple(lit[0]), tuple(lit[1]), self.at(position), sayings)

    def _sayer(self, block: Block, access: Access) -> Callable[[int], str]:
        entries = self.line.entries
        return lambda number: entries.said(entries.read(access, block.at(number)))

    def at(self, position: Position) -> str:
        """Where an entry stands: ``i = 1, j = 2``."""
        names = self.line.entries.names_at(position)
        kept = {i: k for i, k in names.items() if self.line.calculation.sizes.extent(i) > 1}
        return ", ".join(f"{index} = {k + self.line.writer.first}" for index, k in kept.items())

    def _say(self, position: Position, read: Sequence[str], weighed: Sequence[str]) -> str:
        value = self.line.values[self.line.quantity.name]
        said = math_text(self.line.writer.entry(self.line.quantity.name, position))
        if value is not None:
            said += f" = {math_text(self.line.writer.numeral(_plain(value[position])))}"
        parts = [
            f"{what} {_listed(names)}" for what, names in (("reads", read), ("weights", weighed)) if names
        ]
        return f"{said}: {'; '.join(parts)}." if parts else f"{said}."

    def expansions(self) -> Expansions:
        """Entries written out, laid out as they stand."""
        shape = self.line.quantity.shape
        positions, left_out = written_out(shape, self.line.limits)
        value = self.line.values[self.line.quantity.name]
        found = tuple(
            self.line.entries.expansion(
                position,
                self.at(position),
                self.line.limits.terms,
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


def shown_quantity(setting: Setting, quantity: Quantity) -> Shown:
    """A quantity as it is."""
    writer, value = setting.writer, setting.values[quantity.name]

    def content(position: Position) -> Math:
        if value is None:
            return writer.entry(quantity.name, position)
        return writer.numeral(_plain(value[position]))

    symbol = writer.symbol(quantity.name)
    return Shown(
        plain(quantity.name, quantity.shape),
        (symbol,),
        math_text(symbol),
        "",
        content,
        lambda position: writer.entry_name(quantity.name, position),
        axis_words(writer.solution, quantity),
    )


def _plain(number: object) -> Fraction | float:
    return number if isinstance(number, Fraction) else float(number)  # type: ignore[arg-type]


def _one(name: str, _: int) -> str:
    return name


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _MOST_SAID:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, … {names[-1]}, {len(names)} in all"
