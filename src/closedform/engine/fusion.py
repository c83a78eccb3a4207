"""Nests that belong in one: what is done with an entry while it still lies in a register.

A bias, a ReLU or the gradient of one reads exactly the entries that the nest before it writes.  It then
becomes a part of that nest, and the tensor between the two is never written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from closedform.engine.nests import Fused, Nest, Operand, mapped


def fuse(nests: Sequence[Nest], kept: Collection[str]) -> list[Nest]:
    """Nests in order, with those that are point-wise made part of the nest before where that is possible.

    Parameters
    ----------
    nests
        In the order in which they run, without loops of one turn.
    kept
        Buffers that must be written whatever reads them.
    """
    result: list[Nest] = []
    for position, nest in enumerate(nests):
        rest = nests[position + 1 :]
        place = _host(nest, result)
        if place is not None:
            joined = _added(result[place], nest) or _continued(result, place, nest, rest, kept)
            if joined is not None:
                result[place] = joined
                continue
        result.append(nest)
    return result


def _host(nest: Nest, before: Sequence[Nest]) -> int | None:
    """The last nest that writes something which this one reads or adds to, if all else is there before it."""
    if nest.reduction is not None or nest.guards:
        return None
    touched = {nest.out.buffer, *(operand.buffer for operand in nest.inputs)}
    fused = {o.buffer for part in nest.fused for o in part.operands if o is not None}
    for place in range(len(before) - 1, -1, -1):
        if before[place].out.buffer in touched | fused:
            return place
        if nest.out.buffer in before[place].buffers:
            return None
    return None


def _added(host: Nest, nest: Nest) -> Nest | None:
    """The host with what the nest adds to its output."""
    if not nest.accumulate or nest.out.buffer != host.out.buffer or host.together != nest.together:
        return None
    loops = _loops(host, nest, nest.out)
    if loops is None or host.accumulate or host.reduction == "first" or nest.fused:
        return None
    part = Fused(nest.body, _operands(host, nest, loops), nest.factor, accumulate=True)
    return replace(host, fused=(*host.fused, part))


def _continued(
    before: Sequence[Nest], place: int, nest: Nest, rest: Sequence[Nest], kept: Collection[str]
) -> Nest | None:
    """The host with what the nest makes of its output, which nothing else reads."""
    host = before[place]
    between = host.out.buffer
    reads = [operand for operand in nest.inputs if operand.buffer == between]
    if nest.accumulate or between in kept or not reads or host.accumulate or host.together != nest.together:
        return None
    if host.sums_images or nest.sums_images or nest.out.buffer == between:
        return None
    others = [*before[:place], *before[place + 1 :], *rest]
    if any(between in other.buffers for other in others):
        return None
    if any(nest.out.buffer == other.out.buffer for other in others):
        return None
    nest = _split(host, nest, reads[0])
    reads = [operand for operand in nest.inputs if operand.buffer == between]
    loops = _loops(host, nest, reads[0])
    if loops is None or any(operand != reads[0] for operand in reads):
        return None
    out = _moved(nest.out, host, loops)
    if any(mine == 1 != other for mine, other in zip(host.out.strides, out.strides, strict=True)):
        return None  # what the host writes side by side would be scattered
    part = Fused(nest.body, _operands(host, nest, loops), nest.factor)
    more = tuple(
        replace(each, operands=tuple(None if o is None else _moved(o, host, loops) for o in each.operands))
        for each in nest.fused
    )
    label = host.label if nest.label in host.label else f"{host.label} + {nest.label}"
    return replace(host, label=label, out=out, fused=(*host.fused, part, *more))


def _loops(host: Nest, nest: Nest, operand: Operand) -> dict[int, int] | None:
    """For each loop of the nest the loop of the host that walks the same entries."""
    out = host.out
    if operand.offset != out.offset or operand.image != out.image:
        return None
    own = [k for k, extent in enumerate(host.extents) if out.strides[k] and extent > 1]
    if host.reduction in ("sum", "max") and any(k in host.reduced for k in own):
        return None
    if len(own) != len(
        [k for k in range(len(host.loops)) if k not in host.reduced or host.reduction == "first"]
    ):
        return None
    if len(own) != len(nest.loops):
        return None
    found: dict[int, int] = {}
    for loop, extent in enumerate(nest.extents):
        match = [k for k in own if (out.strides[k], host.extents[k]) == (operand.strides[loop], extent)]
        if len(match) != 1 or match[0] in found.values():
            return None
        found[loop] = match[0]
    return found


def _split(host: Nest, nest: Nest, operand: Operand) -> Nest:
    """The nest with loops in two where the host walks the same entries with two, as windows that tile do."""
    strides = {(host.out.strides[k], extent) for k, extent in enumerate(host.extents)}
    for loop, extent in enumerate(nest.extents):
        stride = operand.strides[loop]
        if (stride, extent) in strides:
            continue
        for inner in [n for s, n in strides if s == stride and n and extent % n == 0]:
            if (stride * inner, extent // inner) in strides:
                nest = _in_two(nest, loop, inner)
                break
    return nest


def _in_two(nest: Nest, loop: int, inner: int) -> Nest:
    name, extent = nest.loops[loop]
    loops = list(nest.loops)
    loops[loop] = (name, extent // inner)
    loops.append((f"{name}'", inner))

    def change(operand: Operand) -> Operand:
        strides = list(operand.strides)
        strides.append(strides[loop])
        strides[loop] *= inner
        return replace(operand, strides=tuple(strides))

    return replace(mapped(nest, change), loops=tuple(loops))


def _operands(host: Nest, nest: Nest, loops: dict[int, int]) -> tuple[Operand | None, ...]:
    between = host.out.buffer
    return tuple(
        None if operand.buffer == between else _moved(operand, host, loops) for operand in nest.inputs
    )


def _moved(operand: Operand, host: Nest, loops: dict[int, int]) -> Operand:
    """An operand of the nest in the loops of the host."""
    strides = [0] * len(host.loops)
    for loop, own in loops.items():
        strides[own] = operand.strides[loop]
    return replace(operand, strides=tuple(strides))
