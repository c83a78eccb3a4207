"""The order of each tensor's axes in memory.

Images have the channel last.  A parameter has last the axis that goes across the lanes in the table that
first reads it; what is summed lies inside what is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from closedform.engine.passes import Passes, Step
from closedform.formula.extents import Shape
from closedform.formula.table.tables import Place

_LONG = 256  # terms from which a sum goes across the lanes of a vector


class Orders:
    """The order of every tensor's axes.

    Parameters
    ----------
    passes
        What the network computes.

    Attributes
    ----------
    of
        By tensor: its axes, the slowest first.
    """

    def __init__(self, passes: Passes):
        self.tensors = passes.tensors
        self.of: dict[str, tuple[int, ...]] = {}
        self.settle([*passes.forward, *passes.backward])

    def settle(self, steps: Sequence[Step]) -> None:
        for name, tensor in self.tensors.items():
            if tensor.role == "image" and (name.startswith("x") or name.startswith("dx")):
                self.of[name] = channels_last(len(tensor.shape))
        for step in steps:
            out = step.out.tensor
            if self.tensors[out].role in ("image", "shared") and out not in self.of:
                self.of[out] = self.order_of_output(step)
            for place in step.inputs:
                tensor = self.tensors[place.tensor]
                if tensor.role in ("parameter", "shared") and place.tensor not in self.of:
                    self.of[place.tensor] = self.order_for(step, place)
        for name, tensor in self.tensors.items():
            if tensor.role == "gradient":
                layer, own = name.split(".", 1)
                self.of[name] = self.of[f"{layer}.{own.removeprefix('d')}"]
            self.of.setdefault(name, tuple(range(len(tensor.shape))))

    def order_of_output(self, step: Step) -> tuple[int, ...]:
        """The axis along which an input is contiguous goes last, the others stay as they are."""
        rank = len(self.tensors[step.out.tensor].shape)
        for place in step.inputs:
            if place.tensor not in self.of or not self.tensors[place.tensor].shape:
                continue
            inner = self.innermost(place.tensor)
            if inner is None:
                continue
            loops = [k for k, moved in enumerate(place.steps[inner]) if moved and step.extents[k] > 1]
            for axis in range(rank):
                if any(step.out.steps[axis][k] for k in loops):
                    return (*[a for a in range(rank) if a != axis], axis)
        return tuple(range(rank))

    def innermost(self, name: str) -> int | None:
        shape = self.tensors[name].shape
        return next((axis for axis in reversed(self.of[name]) if shape[axis] > 1), None)

    def order_for(self, step: Step, place: Place) -> tuple[int, ...]:
        """The order of a parameter's axes that suits a table best."""
        shape = self.tensors[place.tensor].shape
        parallel = [k for k in range(len(step.loops)) if k not in step.reduced and step.extents[k] > 1]
        terms = math.prod(step.extents[k] for k in step.reduced)
        others = [p for p in step.inputs if p is not place and p.tensor in self.of]
        reach = self.reach(step, others)
        lane = None
        is_long = len(parallel) == 1 and terms >= _LONG
        if not is_long and step.out.tensor in self.of:
            inner = self.innermost(step.out.tensor)
            rows = () if inner is None else step.out.steps[inner]
            lane = next((k for k in parallel if rows and abs(rows[k]) == 1), None)

        def rank(axis: int) -> tuple[int, int, int]:
            loops = [k for k, moved in enumerate(place.steps[axis]) if moved]
            if lane is not None and any(k == lane and abs(place.steps[axis][k]) == 1 for k in loops):
                return 2, 0, axis
            reduced = any(k in step.reduced for k in loops)
            far = max((reach[k] for k in loops), default=0)
            return int(reduced), -far, axis

        return tuple(sorted(range(len(shape)), key=rank))

    def reach(self, step: Step, places: Sequence[Place]) -> list[int]:
        """For each loop how far it moves in memory: in the output, and where it is reduced in the inputs."""
        found = [0] * len(step.loops)
        for place in (*places, step.out):
            if place.tensor not in self.of:
                continue
            strides = _strides(self.tensors[place.tensor].shape, self.of[place.tensor])
            for k in range(len(step.loops)):
                moved = abs(sum(s * row[k] for s, row in zip(strides, place.steps, strict=True)))
                if place is step.out or k in step.reduced:
                    found[k] = max(found[k], moved)
        return found


def channels_last(rank: int) -> tuple[int, ...]:
    """The axes (n, c, i, j) as they lie in memory: n, i, j, c."""
    return tuple(range(rank)) if rank < 3 else (0, *range(2, rank), 1)


def _strides(shape: Shape, order: Sequence[int]) -> list[int]:
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return strides


def last_axis(order: Sequence[int], shape: Shape) -> int | None:
    """The innermost axis that is longer than 1."""
    return next((axis for axis in reversed(order) if shape[axis] > 1), None)
