"""Tables that another one has worked out already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from closedform.engine.passes import Passes, Step
from closedform.formula.table.tables import Place


def without_repeats(found: Passes) -> Passes:
    """The tables without those that work out a second time what another has worked out."""
    written: dict[str, int] = {}
    for step in (*found.forward, *found.backward):
        written[step.out.tensor] = written.get(step.out.tensor, 0) + 1
    same: dict[str, str] = {}
    known: dict[object, str] = {}

    def place(each: Place) -> Place:
        return replace(each, tensor=same.get(each.tensor, each.tensor))

    def kept(steps: Iterable[Step]) -> list[Step]:
        result = []
        for old in steps:
            step = replace(
                old,
                out=place(old.out),
                inputs=tuple(map(place, old.inputs)),
                guards=tuple(map(place, old.guards)),
            )
            name = old.out.tensor
            if "~" not in name or written[name] != 1 or step.accumulate:
                result.append(step)
                continue
            out = (step.out.fill, step.out.start, step.out.steps, found.tensors[name].shape)
            places = (step.inputs, step.guards)
            key = (step.extents, out, places, step.reduced, step.reduction, step.factor, step.body)
            if key in known:
                same[name] = known[key]
                found.tensors.pop(name, None)
                continue
            known[key] = name
            result.append(step)
        return result

    found.forward, found.backward = kept(found.forward), kept(found.backward)
    return found
