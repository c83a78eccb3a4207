"""What recipes with sliding windows are called: convolutions, pooling, locally connected layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from closedform.formula.naming.phrases import Phrases, Roles, border, fitted, inserted
from closedform.formula.naming.recipe import Axis, Operand, Recipe
from closedform.formula.subscripts import unprimed


@dataclass(frozen=True)
class Window:
    """A sliding window: the index that places it, the index inside it, and the axis that they walk."""

    place: str
    inside: str
    axis: Axis

    @property
    def stride(self) -> int:
        """How far the window moves."""
        return dict(self.axis.walk)[self.place]

    @property
    def spacing(self) -> int:
        """How far apart its entries are."""
        return dict(self.axis.walk)[self.inside]


def windows_of(operand: Operand) -> list[Window]:
    """The operand's axes that are walked by two indices."""
    return [Window(axis.walk[0][0], axis.walk[1][0], axis) for axis in operand.axes if len(axis.walk) > 1]


class Sliding(Phrases):
    """The words for a recipe in which a window slides over at least one operand."""

    def __init__(self, recipe: Recipe, roles: Roles):
        super().__init__(recipe, roles)
        self.moving = [operand for operand in self.operands if windows_of(operand)]
        self.still = [operand for operand in self.operands if not windows_of(operand)]
        self.windows = windows_of(self.moving[0])
        self.places = [window.place for window in self.windows]
        self.inside = [window.inside for window in self.windows]

    def words(self) -> str | None:
        """The recipe in words, or None."""
        shared_axes = [[window.axis for window in windows_of(operand)] for operand in self.moving]
        if any(axes != shared_axes[0] for axes in shared_axes) or not all(map(self.is_simple, self.operands)):
            return None
        if not self.in_order(self.places):
            return None
        if set(self.inside) <= set(self.recipe.sum_over):
            return self.sum_over_windows()
        return self.own_windows() if self.in_order(self.inside) else None

    def is_simple(self, operand: Operand) -> bool:
        """Whether nothing is done to it but what a convolution does: its kernel's axes may be reversed."""
        for axis, group in zip(operand.axes, operand.merge, strict=True):
            if len(group) > 1 or axis.repeat > 1 or not 1 <= len(axis.walk) <= 2:
                return False
            reversed_kernel = axis.rotate and axis.walk[0][0] in self.inside
            if len(axis.walk) == 1 and not (Axis(axis.walk) if reversed_kernel else axis).is_plain:
                return False
        alone = [axis.walk[0][0] for axis in operand.axes if len(axis.walk) == 1]
        return len(set(alone)) == len(alone)

    def in_order(self, wanted: Sequence[str]) -> bool:
        """Whether the result has all of the wanted indices, rows before columns."""
        return [index for index in self.recipe.free if index in wanted] == list(wanted)

    def bare(self, operand: Operand) -> list[str]:
        """The indices that walk an axis of the operand alone."""
        return [axis.walk[0][0] for axis in operand.axes if len(axis.walk) == 1]

    # ---- a sum over each window

    def sum_over_windows(self) -> str | None:
        """Each entry of the result is a sum over a window."""
        bare = {operand: [i for i in self.bare(operand) if i in self.inside] for operand in self.operands}
        if any(set(self.places) & set(self.bare(operand)) for operand in self.operands):
            return None
        if any(found not in ([], self.inside) for found in bare.values()):
            return None
        carriers = [operand for operand in self.moving if bare[operand]]
        riders = [operand for operand in self.moving if not bare[operand]]
        backwards = [index for index in self.inside if index in self.recipe.backwards]
        if backwards and backwards != list(filter(self.counts, self.inside)):
            return None
        if backwards and (self.stride_words() or self.recipe.rotate):
            return None
        if not carriers and riders and len(self.still) <= 1 and all(bare[operand] for operand in self.still):
            if not self.still:
                return self.window_of_ones(riders, bool(backwards))
            return self.convolution(riders, self.still[0], bool(backwards))
        if len(carriers) == 1 and not self.still and [o.tensor for o in riders] == [self.roles.upstream]:
            return self.sent_back(riders[0], carriers[0])
        return None

    def convolution(self, riders: Sequence[Operand], kernel: Operand, backwards: bool) -> str | None:
        """A kernel slides: over all of the padded operand, or backwards, which is the full convolution."""
        single = self.in_kernel() and not any(map(self.counts, self.inside))
        name = kernel.tensor
        if any(window.spacing > 1 for window in self.windows):
            name = f"the {'dilated' if self.in_kernel() else 'zero-inserted'} {name}"
        if single and self.reads_inputs_first(kernel):
            name += " transposed"
        if backwards:
            name += f" {self.turned_words()}"
        kind = "×".join("1" for _ in self.windows) + " convolution" if single else "convolution"
        if single and len(self.windows) == 1:
            kind = "1-wide convolution"
        field = {index for operand in riders for index in operand.indices}
        weights = set(kernel.indices)
        shared = [i for i in self.recipe.free if i in field & weights and i not in self.inside]
        over_weights = [i for i in self.recipe.sum_over if i in weights - field]
        name += self.summed(over_weights)
        words = self.slid(kind, riders, name, weights, backwards or (single and not self.stride_words()))
        return None if words is None else words + self.apart(shared)

    def window_of_ones(self, riders: Sequence[Operand], backwards: bool) -> str | None:
        """Average pooling's gradient and its kind."""
        axes = [window.axis for window in self.windows]
        if not any(map(self.counts, self.inside)):
            beyond = [i for i in self.recipe.sum_over if i not in self.inside and self.counts(i)]
            if self.stride_words() or self.recipe.rotate or beyond:
                return None
            return self.product(riders, [*border(axes), *inserted(axes)]) + self.apart([])
        dilated = any(window.spacing > 1 for window in self.windows)
        ones = f"a {'dilated ' if dilated else ''}window of ones"
        words = self.slid("convolution", riders, ones, set(self.inside), backwards)
        return None if words is None else words + self.apart([])

    def slid(
        self, kind: str, riders: Sequence[Operand], kernel: str, weights: set[str], full: bool
    ) -> str | None:
        axes = [window.axis for window in self.windows]
        field = {index for operand in riders for index in operand.indices}
        over_field = self.summed([i for i in self.recipe.sum_over if i in field - weights])
        over_field += "," if over_field else ""
        if full:
            crops = [crop for window in self.windows for crop in self.crops(window)]
            cut = ", cropped by the padding," if any(crop > 0 for crop in crops) else ""
            kind = kind if kind.startswith("1") else f"full {kind}"
            return (
                f"{kind}{cut} of {self.product(riders, inserted(axes))}{over_field} with {kernel}"
                f"{fitted([min(0, crop) for crop in crops])}"
            )
        turned = ""
        if self.recipe.rotate:
            if set(self.recipe.rotate) != set(filter(self.counts, self.places)):
                return None
            turned = f", the result {self.turned_words()}"
        operand = self.product(riders, [*border(axes), *inserted(axes)])
        return f"{kind}{self.stride_words()} of {operand}{over_field} with {kernel}{turned}"

    def sent_back(self, upstream: Operand, carrier: Operand) -> str | None:
        """What the window's position gets is divided among its entries as the carrier says."""
        recipe = self.recipe
        beyond = set(recipe.sum_over) - set(self.inside)
        both = set(upstream.indices) & set(carrier.indices)
        if (
            recipe.rotate
            or self.stride_words()
            or (any(map(self.counts, self.inside)) and not recipe.backwards)
        ):
            return None
        if carrier.tensor in self.roles.maxima:
            over = self.roles.maxima[carrier.tensor]
            if over != set(map(unprimed, self.inside)) or beyond or recipe.copied:
                return None
            if any(self.overlaps(window, upstream) for window in self.windows):
                each = "each window, added where windows overlap"
                return f"{upstream.tensor} sent back to the first maximum of {each}"
            return f"{upstream.tensor} sent back to the first maximum of its window"
        if carrier.tensor not in self.roles.tensors or not beyond <= both:
            return None
        by = self.product([upstream], inserted(window.axis for window in self.windows))
        crops = [crop for window in self.windows for crop in self.crops(window)]
        shared = [i for i in recipe.free if i in both and i not in self.places]
        return f"each position's own {carrier.tensor} spread back by {by}{fitted(crops)}{self.apart(shared)}"

    # ---- no sum over windows

    def own_windows(self) -> str | None:
        """Each position keeps its own window, times its own entry."""
        recipe = self.recipe
        if len(self.moving) != 1 or [o.tensor for o in self.still] != [self.roles.upstream]:
            return None
        (field,), (weights,) = self.moving, self.still
        both = set(field.indices) & set(weights.indices)
        if recipe.copied or recipe.rotate or recipe.backwards or not weights.is_plain:
            return None
        if any(len({w.place, w.inside} & set(weights.indices)) != 1 for w in self.windows):
            return None
        if set(self.bare(field)) & {*self.places, *self.inside} or not set(recipe.sum_over) <= both:
            return None
        axes = [window.axis for window in self.windows]
        padded = [adjective for adjective in border(axes) if adjective == "padded"]
        window = self.product([field], [*padded, *inserted(axes)])
        shared = [i for i in recipe.free if i in both and i not in (*self.places, *self.inside)]
        over = f", summed over {', '.join(recipe.sum_over)}" if recipe.sum_over else ""
        return f"for each position, its window of {window} times {weights.tensor}{over}{self.apart(shared)}"

    # ---- what windows do

    def in_kernel(self) -> bool:
        """Whether the formula itself sums over the windows: what slides is a kernel."""
        return bool(set(map(unprimed, self.inside)) & self.roles.summed)

    def reads_inputs_first(self, kernel: Operand) -> bool:
        """Whether the axis that is summed stands before the one that stays, unlike in W[out,in]."""
        field = {index for operand in self.moving for index in operand.indices}
        order = kernel.indices
        inner = [order.index(i) for i in order if i in self.recipe.sum_over and i not in self.inside]
        outer = [order.index(i) for i in order if i in self.recipe.free and i not in field]
        return bool(inner and outer) and min(inner) < min(outer)

    def crops(self, window: Window) -> tuple[int, int]:
        """How much longer the full convolution is than the result, before and after."""
        before, after = window.axis.pad
        return self.reach(window) - before, self.reach(window) - after

    def overlaps(self, window: Window, operand: Operand) -> bool:
        """Whether neighbouring windows share an entry."""
        several = operand.lengths[operand.axes.index(window.axis)] > 1
        return several and self.reach(window) > window.axis.insert

    def reach(self, window: Window) -> int:
        """The distance between the window's first and last entry."""
        return window.spacing * (self.recipe.extents[window.inside] - 1)

    def summed(self, indices: Iterable[str]) -> str:
        listed = ", ".join(filter(self.counts, indices))
        return f", summed over {listed}" if listed else ""

    def stride_words(self) -> str:
        strides = [window.stride for window in self.windows if self.counts(window.place)]
        if set(strides) <= {1}:
            return ""
        if len(set(strides)) == 1:
            return f" with stride {strides[0]}"
        return f" with strides {', '.join(map(str, strides[:-1]))} and {strides[-1]}"

    def turned_words(self) -> str:
        return {1: "reversed", 2: "rotated by 180°"}.get(len(self.windows), "reversed along every axis")
