"""What a recipe is called, in the words in which gradients of convolutional networks are taught.

Words follow from what the recipe does and from the part that each tensor plays in the derivation, never
from the letters of a formula.  Where the recipe is none of the forms known here there are no words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from closedform.formula.naming.phrases import Phrases, Roles, border, fitted, inserted
from closedform.formula.naming.recipe import Operand, Recipe
from closedform.formula.naming.sliding import Sliding, windows_of

_NOUNS = ("full", "convolution", "1×1", "1-wide", "matrix", "outer")


def words_of(recipe: Recipe, roles: Roles, factor: str) -> str | None:
    """The recipe in words, or None.

    Parameters
    ----------
    factor
        The number before the sum as it is written in the formula, ``1/(|u|*|v|)``; empty for 1.
    """
    slides = any(windows_of(operand) for operand in recipe.operands)
    words = Sliding(recipe, roles).words() if slides else _InPlace(recipe, roles).words()
    if words is None or not factor:
        return words
    if words.startswith("for each position"):
        return None
    article = "the " if words.startswith(_NOUNS) else ""
    before = "minus" if factor == "-1" else f"{factor} times"
    return f"{before} {article}{words.removesuffix(' itself')}"


class _InPlace(Phrases):
    """The words for a recipe in which no window slides."""

    def words(self) -> str | None:
        if any(axis.repeat > 1 for operand in self.operands for axis in operand.axes):
            return self.tiled()
        described = [self.described(operand) for operand in self.operands]
        names = [name for name in described if name is not None]
        if len(names) < len(described) or self.recipe.rotate:
            return None
        if len(names) == 1:
            return self.alone(self.operands[0], names[0])
        known = self.chosen_maximum() or self.matrix_product()
        if known:
            return known
        copies = f", copied to every {', '.join(self.recipe.copied)}" if self.recipe.copied else ""
        if self.recipe.sum_over:
            return f"the sum of {' times '.join(names)} over {', '.join(self.recipe.sum_over)}{copies}"
        return None if copies else self.entry_by_entry(names)

    def described(self, operand: Operand) -> str | None:
        """The operand with what is done to it: ``the padded zero-inserted dY``."""
        simple = all(len(group) == 1 for group in operand.merge) and all(
            len(axis.walk) == 1 and axis.walk[0][1] == 1 for axis in operand.axes
        )
        if not simple or len(set(operand.indices)) < len(operand.indices):
            return None
        along = [axis.walk[0][0] for axis in operand.axes if axis.rotate]
        reversed_axes = f" reversed along {', '.join(along)}" if along else ""
        return self.product([operand], [*border(operand.axes), *inserted(operand.axes)]) + reversed_axes

    def alone(self, operand: Operand, name: str) -> str:
        """A sum, a copy, or another arrangement of one tensor."""
        recipe = self.recipe
        kept = [index for index in operand.indices if index in recipe.free]
        groups, wanted = self.axes_of(operand), _without(recipe.result, recipe.copied)
        arranged = "" if sorted(map(sorted, groups)) == sorted(map(sorted, wanted)) else ", reshaped"
        if kept != [index for index in recipe.free if index in kept]:
            matrix = len(recipe.free) == len(operand.shape) == len(groups) == 2 and not arranged
            arranged += " transposed" if matrix else ", its axes exchanged"
        if recipe.sum_over:
            name = f"the sum of {name} over {', '.join(recipe.sum_over)}"
        if recipe.copied:
            return f"{name}{arranged}, copied to every {', '.join(recipe.copied)}"
        return name + (arranged or (" itself" if name == operand.tensor else ""))

    def axes_of(self, operand: Operand) -> list[tuple[str, ...]]:
        """The indices of the result that walk each axis of a tensor that is not merged."""
        walks = iter(operand.axes)
        groups = [[next(walks).walk[0][0] for _ in extents] for extents in operand.split]
        return _without(groups, self.recipe.sum_over)

    def entry_by_entry(self, names: Sequence[str]) -> str | None:
        recipe = self.recipe
        aligned = [
            self.axes_of(o) == _without(recipe.result, [i for i in recipe.free if i not in o.indices])
            for o in self.operands
        ]
        whole = [set(operand.indices) == set(recipe.free) for operand in self.operands]
        if not all(aligned):
            return None
        if all(whole):
            return f"{' times '.join(names)}, entry by entry"
        if len(names) != 2:
            return None
        if any(whole):
            larger = whole.index(True)
            along = ", ".join(self.operands[1 - larger].indices)
            return f"{names[larger]} times {names[1 - larger]} along {along}"
        for first, second in ((0, 1), (1, 0)):
            if self.operands[first].indices + self.operands[second].indices == recipe.free:
                return f"outer product of {names[first]} and {names[second]}"
        return None

    def matrix_product(self) -> str | None:
        """Where the summed index stands tells which matrix is transposed."""
        recipe = self.recipe
        matrices = all(o.is_plain and len(o.shape) == len(o.axes) == 2 for o in self.operands)
        if not matrices or len(self.operands) != 2 or len(recipe.sum_over) != 1 or recipe.copied:
            return None
        if len(recipe.result) != 2 or len(recipe.free) != 2:
            return None
        (inner,), (row, column) = recipe.sum_over, recipe.free
        left, right = sorted(self.operands, key=lambda operand: row not in operand.indices)
        if set(left.indices) != {row, inner} or set(right.indices) != {inner, column}:
            return None
        left_name = left.tensor + (" transposed" if left.indices[0] == inner else "")
        right_name = right.tensor + (" transposed" if right.indices[1] == inner else "")
        return f"matrix product of {left_name} and {right_name}"

    def chosen_maximum(self) -> str | None:
        """Max pooling with one window, which is all of the image."""
        recipe = self.recipe
        upstream = [o for o in self.operands if o.tensor == self.roles.upstream]
        selectors = [o for o in self.operands if o.tensor in self.roles.maxima]
        if len(self.operands) != 2 or len(upstream) != 1 or len(selectors) != 1 or recipe.sum_over:
            return None
        beyond = [i for i in selectors[0].indices if i not in upstream[0].indices]
        if len(beyond) != len(self.roles.maxima[selectors[0].tensor]):
            return None
        if not all(o.is_plain for o in self.operands) or selectors[0].indices != recipe.free:
            return None
        return f"{upstream[0].tensor} sent back to the first maximum over {', '.join(beyond)}"

    def tiled(self) -> str | None:
        """Windows without gap or overlap: a//k repeats the entry of each window."""
        recipe = self.recipe
        spread = [o for o in self.operands if any(axis.repeat > 1 for axis in o.axes)]
        laid_out = [o for o in self.operands if any(len(group) > 1 for group in o.merge)]
        if len(spread) + len(laid_out) != len(self.operands) or recipe.sum_over or recipe.copied:
            return None
        changed = [[axis for axis in o.axes if not axis.is_plain] for o in spread]
        if any(axes != changed[0] for axes in changed):
            return None
        for axis in [axis for operand in self.operands for axis in operand.axes]:
            if len(axis.walk) != 1 or axis.walk[0][1] != 1 or axis.insert or axis.rotate:
                return None
        if not laid_out:
            crops = [-pad for axis in changed[0] for pad in axis.pad]
            return f"each entry of {self.product(spread)} copied to its window{fitted(crops)}"
        over = self.roles.maxima.get(laid_out[0].tensor, frozenset())
        if len(laid_out) > 1 or [o.tensor for o in spread] != [self.roles.upstream]:
            return None
        if len(over) != sum(len(group) > 1 for group in laid_out[0].merge):
            return None
        return f"{spread[0].tensor} sent back to the first maximum of its window"


def _without(groups: Iterable[Iterable[str]], gone: Iterable[str]) -> list[tuple[str, ...]]:
    left = [tuple(index for index in group if index not in set(gone)) for group in groups]
    return [group for group in left if group]
