"""From a network to loaded machine code: planned, written, compiled, or taken from the cache."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from closedform.architecture import Architecture
from closedform.engine import cache
from closedform.engine.context import ENTRY
from closedform.engine.jit import Library, Target, compile_ir
from closedform.engine.passes import Mode
from closedform.engine.plan import Plan, plan
from closedform.engine.program import program
from closedform.engine.schedule import Machine


@dataclass(frozen=True)
class Layout:
    """What running compiled code needs to know of its plan: numbers that can be written as JSON.

    Attributes
    ----------
    images, together
        How many images a block has at most, and how many lie side by side.
    block, batch, shard, shared
        Elements of memory: of a block for each of its images, of an image of the batch, of a shard, of all.
    fills
        What must lie in memory beforehand: memory, first element, elements, value; those of a block and
        of a batch for each image.
    parameters
        For each parameter key: first element, shape in the formula, axes as they lie in memory.
    terms
        Multiply-adds for one image.
    """

    images: int
    together: int
    block: int
    batch: int
    shard: int
    shared: int
    fills: list[tuple[str, int, int, float]]
    parameters: dict[str, tuple[int, list[int], list[int]]]
    terms: int


def layout_of(planned: Plan) -> Layout:
    """The numbers of a plan."""
    fills: list[tuple[str, int, int, float]] = []
    for buffer in planned.buffers.values():
        if buffer.has_border and buffer.fill and buffer.kind in ("block", "batch", "shared"):
            size = -(-buffer.size // buffer.together)
            fills.append((buffer.kind, buffer.offset, size, buffer.fill))
    nests = [*planned.block, *planned.staged]
    return Layout(
        planned.images,
        planned.together,
        planned.block_size,
        planned.batch_size,
        planned.shard_size,
        planned.shared_size,
        fills,
        {key: (at, list(shape), list(order)) for key, (at, shape, order) in planned.parameters.items()},
        sum(nest.terms for nest in nests),
    )


class Code:
    """Compiled code and its layout, loaded."""

    def __init__(self, layout: Layout, library: Library):
        self.layout, self.library = layout, library
        self.address = library.address(ENTRY)


def build(architecture: Architecture, mode: Mode, target: Target, together: int = 0, batch: int = 1) -> Code:
    """The code of a network, from the cache where it lies there.

    Parameters
    ----------
    architecture, mode
        The network, and what is computed.
    target
        The processor.
    together, batch
        How many leading layers put images across the lanes, and how many images are one unit of work, as in
        `plan`.
    """
    words = repr(mode), str(together), str(batch)
    key = cache.key(cache.environment_key(target), _described(architecture), *words)
    found = cache.load(key)
    if found is not None:
        machine_code, metadata = found
        try:
            layout = Layout(**metadata)
            return Code(layout, Library(machine_code, target))
        except (TypeError, ValueError):
            pass  # an entry of another version
    machine = Machine(target.lanes, target.registers)
    planned = plan(architecture, mode, machine, together, batch)
    written = program(planned, machine, target.attributes)
    machine_code = compile_ir(written.text, target)
    layout = layout_of(planned)
    cache.store(key, machine_code, asdict(layout))
    return Code(layout, Library(machine_code, target))


def _described(architecture: Architecture) -> str:
    """Everything that decides what a network computes, as text.

    The formulas are part of it: a layer of the user's own may say something else tomorrow.
    """
    shapes = architecture.shapes
    layers = list(zip(architecture.layers, shapes, strict=False))
    if architecture.loss is not None:
        layers.append((architecture.loss, shapes[-1]))
    formulas = [f"{layer.formula_for(shape)} {layer.facts()} {layer.by_shape}" for layer, shape in layers]
    return json.dumps([architecture.to_dict(), formulas], sort_keys=True)
