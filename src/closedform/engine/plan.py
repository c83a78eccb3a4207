"""The plan of a network: which loop nests run, over which buffers, and where each buffer lies.

Images are laid out with the channel last, so that channels go across the lanes of a vector; where a
network has too few channels for that, sixteen images go across the lanes instead.  Nothing here depends
on the number of threads, and nothing but the number of images in flight on the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from closedform.architecture import Architecture
from closedform.engine.buffers import ALIGNED, TOGETHER, Buffer, Kind, lay_out_block
from closedform.engine.fusion import fuse
from closedform.engine.nests import Bound, Fused, Nest, Operand, simplified, trimmed
from closedform.engine.orders import Orders, last_axis
from closedform.engine.passes import LOSS, TARGET, Mode, Passes, Step, passes
from closedform.engine.repeats import without_repeats
from closedform.engine.schedule import Machine, schedule
from closedform.formula.extents import Shape
from closedform.formula.table.tables import Place

_CACHE = 512 * 1024  # bytes of a block's buffers that shall stay in the second-level cache
_STAGED = 4096  # parameters from which a gradient is no longer held once for each shard
_REUSED = 16  # uses of a parameter in one image from which a copy of it in another order pays
WEIGHTS = "weights"
RATE = "rate"


@dataclass
class Plan:
    """Everything that is known before anything runs.

    Attributes
    ----------
    mode
        What is computed.
    buffers
        By name.
    take
        Nests that bring one image, its targets or the gradient of its output in; run image by image.
    prepare
        Nests over parameters alone; run once a step.
    block
        Nests that run over every block of images, in order.
    put
        Nests that give one image's results out; run image by image.
    staged
        Gradients of large parameters, from all images of a batch at once.
    descended
        The same, that go down the gradient at once instead of writing it: ``W += rate * dW``.
    draws
        Masks to be drawn: buffer, layer, probability of dropping.
    images
        How many images a block has at most; a multiple of 4, or of `TOGETHER`.
    together
        How many images go across the lanes somewhere.
    parameters
        For each parameter its first element, its shape in the formula and its axes as they lie in memory.
    block_size, batch_size, shard_size, shared_size
        Elements of memory: for a block of one image and one thread, for an image of the batch, for a shard,
        for all.
    unit
        How many images are one unit of work: 1, or the whole batch where layers mix images.
    """

    mode: Mode
    buffers: dict[str, Buffer] = field(default_factory=dict)
    contents: dict[str, tuple[float, ...]] = field(default_factory=dict)
    take: list[Nest] = field(default_factory=list)
    prepare: list[Nest] = field(default_factory=list)
    block: list[Nest] = field(default_factory=list)
    put: list[Nest] = field(default_factory=list)
    staged: list[Nest] = field(default_factory=list)
    descended: list[Nest] = field(default_factory=list)
    draws: list[tuple[str, int, float]] = field(default_factory=list)
    images: int = 1
    together: int = 1
    parameters: dict[str, tuple[int, Shape, tuple[int, ...]]] = field(default_factory=dict)
    block_size: int = 0
    batch_size: int = 0
    shard_size: int = 0
    shared_size: int = 0
    unit: int = 1


def plan(architecture: Architecture, mode: Mode, machine: Machine, together: int = 0, batch: int = 1) -> Plan:
    """Plan a network.

    Parameters
    ----------
    architecture
        The network.
    mode
        What is to be computed.
    machine
        Vector lanes and registers.
    together
        The number of leading layers whose images go across the lanes, the loss counted as a layer.
    batch
        How many images are one unit of work: 1, or the whole batch where layers mix images.
    """
    return _Planner(architecture, mode, machine, together, batch).plan()


class _Planner:
    def __init__(self, architecture: Architecture, mode: Mode, machine: Machine, together: int, batch: int):
        self.architecture, self.machine, self.unit = architecture, machine, batch
        self.passes: Passes = without_repeats(passes(architecture, mode, batch))
        self.result = Plan(mode, unit=batch)
        self.tensors = self.passes.tensors
        self.steps = [*self.passes.forward, *self.passes.backward]
        self.together = together
        self.orders = Orders(self.passes)
        self.named: dict[tuple[str, float, int, tuple[int, ...] | None], str] = {}
        self.copies: dict[str, list[Nest]] = {}
        self.nests: list[Nest] = []

    def plan(self) -> Plan:
        self.settle_borders()
        self.lay_out_parameters()
        self.take_in()
        for step in self.steps:
            self.add(step)
        self.put_out()
        self.fuse_and_stage()
        self.settle_memory()
        return self.result

    # ---- borders

    def settle_borders(self) -> None:
        self.borders: dict[tuple[str, float], tuple[list[int], list[int]]] = {}
        for step in self.steps:
            for place in (*step.inputs, *step.guards):
                shape = self.tensors[place.tensor].shape
                before, after = self.borders.setdefault(
                    (place.tensor, place.fill), ([0] * len(shape), [0] * len(shape))
                )
                for axis, (low, high) in enumerate(place.reach(step.extents)):
                    before[axis] = max(before[axis], -low)
                    after[axis] = max(after[axis], high - shape[axis] + 1)
        self.fills: dict[str, float] = {}
        for (name, fill), (before, after) in sorted(self.borders.items(), key=lambda each: each[0][1] != 0):
            if any(before) or any(after):
                self.fills.setdefault(name, fill)

    def border(self, name: str, fill: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        rank = len(self.tensors[name].shape)
        before, after = self.borders.get((name, fill), ([0] * rank, [0] * rank))
        return tuple(before), tuple(after)

    # ---- buffers

    def lay_out_parameters(self) -> None:
        architecture, start = self.architecture, 0
        for parameter in architecture.parameters:
            name = f"{parameter.layer}.{parameter.tensor}"
            tensor = self.tensors[name]
            self.result.parameters[parameter.key] = (start, tensor.shape, self.orders.of[name])
            none = (0,) * len(tensor.shape)
            self.result.buffers[name] = Buffer(
                name, name, "parameter", tensor.shape, self.orders.of[name], none, none, offset=start
            )
            start += parameter.size

    def primary(self, name: str, together: int) -> Buffer:
        """The buffer that a tensor is written to."""
        tensor = self.tensors[name]
        if name in self.result.buffers:
            return self.result.buffers[name]
        kind: Kind = {
            "image": "block",
            "shared": "shared",
            "constant": "constant",
            "gradient": "shard",
            "parameter": "parameter",
        }[tensor.role]  # type: ignore[assignment]
        fill = self.fills.get(name, 0.0)
        before, after = self.border(name, fill)
        if tensor.role == "gradient":
            before = after = (0,) * len(tensor.shape)
        buffer = Buffer(
            name,
            name,
            kind,
            tensor.shape,
            self.orders.of[name],
            before,
            after,
            fill,
            together if tensor.role in ("image", "gradient") else 1,
        )
        if tensor.role == "constant" and tensor.contents is not None:
            self.result.contents[name] = buffer.with_border(tensor.contents)
        self.result.buffers[name] = buffer
        return buffer

    def variant(self, step: Step, place: Place, together: int) -> Buffer:
        """The buffer that a table reads a tensor from: the primary one, or a copy that suits it."""
        name, tensor = place.tensor, self.tensors[place.tensor]
        base = self.primary(name, together)
        before, after = self.border(name, place.fill)
        bordered = any(before) or any(after)
        if tensor.role == "constant":
            return self.constant(base, place, before, after)
        if tensor.role == "gradient":
            return base
        order = base.order
        is_fit = not bordered or (base.fill == place.fill and base.covers(before, after))
        if tensor.role in ("parameter", "shared"):
            wanted = self.orders.order_for(step, place)
            terms = math.prod(step.extents)
            reused = terms >= _REUSED * max(math.prod(tensor.shape), 1)
            if reused and last_axis(wanted, tensor.shape) != last_axis(order, tensor.shape):
                is_fit, order = False, wanted
            elif not is_fit:
                order = wanted
        elif base.together != together:
            is_fit = False
        if is_fit:
            return base
        kind: Kind = "shared" if tensor.role in ("parameter", "shared") else "block"
        shared = kind == "shared"
        key = (name, place.fill if bordered else 0.0, together, order)
        if key not in self.named:
            number = sum(other[0] == name for other in self.named)
            copy = Buffer(
                f"{name}'{number + 1}",
                name,
                kind,
                tensor.shape,
                order,
                before,
                after,
                place.fill,
                1 if shared else together,
            )
            self.named[key] = copy.name
            self.result.buffers[copy.name] = copy
            nest = self.copied(base, copy, f"{name} for {step.label}")
            outside = {n.out.buffer for n in self.result.take} | {name for name, *_ in self.result.draws}
            if shared:
                self.result.prepare.append(nest)
            elif base.name in outside:
                self.nests.insert(0, nest)
            elif not any(n.out.buffer == base.name for n in self.nests):
                self.copies.setdefault(base.name, []).append(nest)
            else:
                last = max(k for k, n in enumerate(self.nests) if n.out.buffer == base.name)
                self.nests.insert(last + 1, nest)
        return self.result.buffers[self.named[key]]

    def constant(self, base: Buffer, place: Place, before: tuple[int, ...], after: tuple[int, ...]) -> Buffer:
        if base.fill == place.fill and base.covers(before, after):
            return base
        name = f"{base.name}'{place.fill}"
        if name not in self.result.buffers:
            copy = replace(base, name=name, before=before, after=after, fill=place.fill)
            self.result.buffers[name] = copy
            self.result.contents[name] = copy.with_border(self.tensors[base.tensor].contents or ())
        return self.result.buffers[name]

    def copied(self, source: Buffer, copy: Buffer, label: str) -> Nest:
        """A nest that copies one buffer into another."""
        loops = tuple((f"a{axis}", extent) for axis, extent in enumerate(source.shape))
        count = max(source.together, copy.together)
        read = Operand(source.name, source.origin, source.strides, self.image_stride(source, count))
        write = Operand(copy.name, copy.origin, copy.strides, self.image_stride(copy, count))
        nest = Nest(f"copy of {label}", loops, write, (read,))
        if count > 1:
            nest = self.with_lanes(nest, {source.name: source, copy.name: copy}, count)
        if source.together < copy.together and source.tensor.startswith("dx"):
            nest = replace(nest, guards=(self.weight(nest),))
        return trimmed(nest)

    def weight(self, nest: Nest) -> Operand:
        """What an image counts in the loss: 0 in lanes without an image, which add nothing to any sum."""
        if WEIGHTS not in self.result.buffers:
            self.result.buffers[WEIGHTS] = Buffer(WEIGHTS, WEIGHTS, "weights", (1,), (0,), (0,), (0,))
        lane = [0] * len(nest.loops)
        if nest.together > 1:
            lane[-1] = 1
        return Operand(WEIGHTS, 0, tuple(lane), nest.together)

    def image_stride(self, buffer: Buffer, count: int) -> int:
        if buffer.kind not in ("block", "batch", "weights"):
            return 0
        return buffer.size * (count // buffer.together)

    def with_lanes(self, nest: Nest, buffers: Mapping[str, Buffer], count: int) -> Nest:
        """The nest with the images that lie together as a loop of their own."""

        def change(operand: Operand) -> Operand:
            buffer = buffers[operand.buffer]
            stride = 0
            if buffer.kind in ("block", "batch", "weights"):
                stride = 1 if buffer.together > 1 else buffer.size
            elif buffer.kind == "shard" and buffer.together > 1:
                stride = 1
            return replace(operand, strides=(*operand.strides, stride))

        return replace(
            nest,
            together=count,
            loops=(*nest.loops, ("together", count)),
            out=change(nest.out),
            inputs=tuple(map(change, nest.inputs)),
            guards=tuple(map(change, nest.guards)),
        )

    # ---- nests

    def mode_of(self, step: Step) -> int:
        """How many images lie together in what a table writes."""
        return TOGETHER if step.position < self.together else 1

    def add(self, step: Step) -> None:
        if step.factor == 0 and self.tensors[step.out.tensor].role == "gradient":
            return  # accumulators begin at 0
        together = self.mode_of(step)
        out = self.primary(step.out.tensor, together)
        buffers = {out.name: out}

        def operand(place: Place, buffer: Buffer) -> Operand:
            buffers[buffer.name] = buffer
            strides = tuple(
                sum(s * row[k] for s, row in zip(buffer.strides, place.steps, strict=True))
                for k in range(len(step.loops))
            )
            start = sum(s * at for s, at in zip(buffer.strides, place.start, strict=True))
            return Operand(buffer.name, buffer.origin + start, strides, self.image_stride(buffer, together))

        inputs = tuple(operand(place, self.variant(step, place, together)) for place in step.inputs)
        guards = tuple(operand(place, self.variant(step, place, together)) for place in step.guards)
        nest = Nest(
            step.label,
            step.loops,
            operand(step.out, out),
            inputs,
            step.reduced,
            step.reduction,
            float(step.factor),
            step.accumulate or out.kind == "shard",
            step.body,
            guards,
        )
        if nest.is_product and nest.reduction == "sum":
            nest = replace(nest, bounds=self.bounds(step))
        if together > 1 and (out.kind in ("block", "batch") or out.kind == "shard"):
            nest = self.with_lanes(nest, buffers, together)
        if step.out.tensor == f"d{self.passes.output}" and self.result.mode.source == "loss":
            nest = self.weighted(nest)
        nest = trimmed(nest)
        if out.kind == "shared":
            self.result.prepare.append(nest)
        else:
            self.nests.append(nest)
            self.nests += self.copies.pop(out.name, [])

    def weighted(self, nest: Nest) -> Nest:
        """The gradient of the loss in an image's output, by what the image counts in the mean."""
        writers = [step for step in self.steps if step.out.tensor == f"d{self.passes.output}"]
        if len(writers) > 1:
            raise ValueError(f"{nest.label} is added up from several tables")
        weight = self.weight(nest)
        guards = (*nest.guards, weight) if nest.together > 1 else nest.guards
        return replace(nest, guards=guards, fused=(Fused(None, (None, weight)),))

    def bounds(self, step: Step) -> tuple[Bound, ...]:
        """What of a sum reads a border of zeros, axis by axis.

        Zeros are left out only where the other factors are the same for all images: whether those are finite
        can be looked up, and 0 times what is not finite has to be added.
        """
        found = []
        for place in step.inputs:
            others = [self.tensors[other.tensor].role for other in step.inputs if other is not place]
            if not set(others) <= {"parameter", "shared"}:
                continue
            shape = self.tensors[place.tensor].shape
            for axis, (low, high) in enumerate(place.reach(step.extents)):
                row = place.steps[axis]
                moving = [k for k, moved in enumerate(row) if moved and step.extents[k] > 1]
                inner = [k for k in moving if k in step.reduced]
                is_bound = place.fill == 0 and (low < 0 or high >= shape[axis])
                if not is_bound or len(moving) != 2 or len(inner) != 1 or abs(row[inner[0]]) != 1:
                    continue
                (loop,) = set(moving) - set(inner)
                found.append(Bound(inner[0], loop, place.start[axis], row[loop], row[inner[0]], shape[axis]))
        return tuple(found)

    def take_in(self) -> None:
        result = self.result
        self.outside("x0", "x", result.take)
        if result.mode.source == "loss":
            self.outside(TARGET, "targets", result.take)
        elif result.mode.source == "given":
            self.outside(f"d{self.passes.output}", "dy", result.take)
        for draw in self.passes.draws:
            buffer = self.primary(draw.tensor, self.mode_at(draw.layer))
            result.draws.append((buffer.name, draw.layer, draw.drop))

    def mode_at(self, position: int) -> int:
        return TOGETHER if position < self.together else 1

    def outside(self, tensor: str, kind: Kind, nests: list[Nest]) -> None:
        """A nest between the caller's array, in row order, and a tensor of the plan."""
        end = len(self.architecture.layers)
        together = self.mode_at({"x": 0, "targets": end}.get(kind, end - 1))
        buffer = self.primary(tensor, together)
        full = buffer.shape
        none = (0,) * len(full)
        if together > 1 and kind in ("x", "dy"):
            # images are fetched one by one, and turned so that they lie side by side all at once
            rows = Buffer(f"{tensor} in rows", tensor, "block", full, tuple(range(len(full))), none, none)
            self.result.buffers[rows.name] = rows
            self.nests.append(self.copied(rows, buffer, tensor))
            buffer = rows
        caller = f"caller's {kind}"
        own = Buffer(caller, caller, kind, full, tuple(range(len(full))), none, none)
        self.result.buffers[caller] = own
        loops = tuple((f"a{axis}", extent) for axis, extent in enumerate(full))
        inner = Operand(buffer.name, buffer.origin, buffer.strides, 1)
        outer = Operand(caller, 0, own.strides, 1)
        if nests is self.result.take:
            nest = Nest(f"{kind} in", loops, inner, (outer,))
        else:
            nest = Nest(f"{kind} out", loops, outer, (inner,))
        nests.append(simplified(nest))
        if nests is self.result.take:
            self.nests += self.copies.pop(buffer.name, [])

    def put_out(self) -> None:
        result = self.result
        self.outside(self.passes.output, "outputs", result.put)
        if result.mode.source == "loss":
            self.outside(LOSS, "losses", result.put)
        if self.passes.input_gradient is not None:
            self.outside(self.passes.input_gradient, "dx", result.put)

    # ---- what runs when

    def fuse_and_stage(self) -> None:
        result = self.result
        kept = {nest.inputs[0].buffer for nest in result.put}
        nests = [simplified(nest) for nest in fuse(self.nests, kept)]
        result.prepare = [simplified(nest) for nest in result.prepare]
        staged: list[Nest] = []
        block: list[Nest] = []
        for nest in nests:
            (staged if self.is_staged(nest) else block).append(nest)
        for nest in staged:
            out = result.buffers[nest.out.buffer]
            key = next(
                key for key, (_, _, _) in result.parameters.items() if self.gradient_name(key) == out.name
            )
            result.buffers[out.name] = replace(out, kind="gradient", offset=result.parameters[key][0])
            for operand in nest.inputs:
                buffer = result.buffers[operand.buffer]
                if buffer.kind == "block":
                    result.buffers[buffer.name] = replace(buffer, kind="batch")
        result.staged = [replace(nest, accumulate=False) for nest in staged]
        result.descended = list(map(self.descended, result.staged))
        result.block = block

    def descended(self, nest: Nest) -> Nest:
        """A parameter's gradient times the learning rate, added to the parameter."""
        layer, own = nest.out.buffer.split(".", 1)
        parameter = replace(nest.out, buffer=f"{layer}.{own.removeprefix('d')}")
        self.result.buffers.setdefault(RATE, Buffer(RATE, RATE, "rate", (1,), (0,), (0,), (0,)))
        rate = Operand(RATE, 0, (0,) * len(nest.loops))
        steps = (Fused(None, (None, rate)), Fused(None, (parameter,), accumulate=True))
        return replace(nest, label=f"{nest.label}, descended", out=parameter, fused=steps)

    def gradient_name(self, key: str) -> str:
        for parameter in self.architecture.parameters:
            if parameter.key == key:
                return f"{parameter.layer}.d{parameter.tensor}"
        raise KeyError(key)

    def is_staged(self, nest: Nest) -> bool:
        """Whether a gradient is worked out from all images at once, entry by entry."""
        buffer = self.result.buffers[nest.out.buffer]
        if buffer.kind != "shard" or buffer.together > 1:
            return False
        size = math.prod(buffer.shape)
        alone = sum(other.out.buffer == nest.out.buffer for other in self.nests) == 1
        if not alone or not nest.is_product or nest.terms != size or size < _STAGED or nest.fused:
            return False
        # threads share it by the outermost axis, each with entries that follow each other in memory
        outer = [k for k in schedule(nest, self.machine, splits=True).outer if k >= 0]
        return bool(outer) and abs(nest.out.strides[outer[0]]) * nest.extents[outer[0]] == size

    # ---- memory

    def settle_memory(self) -> None:
        result, buffers = self.result, self.result.buffers
        used = {
            name
            for nests in (result.take, result.prepare, result.block, result.put, result.staged)
            for nest in (*nests, *result.descended)
            for name in nest.buffers
        } | {name for name, _, _ in result.draws}
        for name in [name for name in buffers if name not in used and buffers[name].kind != "parameter"]:
            del buffers[name]
        sizes = dict.fromkeys(("batch", "shard", "shared"), 0)
        for name, buffer in buffers.items():
            if buffer.kind in sizes:
                size = buffer.size
                buffers[name] = replace(buffer, offset=sizes[buffer.kind])
                sizes[buffer.kind] += -(-size // ALIGNED) * ALIGNED
        result.batch_size, result.shard_size = sizes["batch"], sizes["shard"]
        result.shared_size = sizes["shared"]
        places = self.lifetimes()
        together = max((b.together for b in buffers.values()), default=1)
        result.together = together
        result.block_size = lay_out_block(buffers, places)
        per_image = 4 * result.block_size
        images = max(1, _CACHE // max(per_image, 1))
        weights = 4 * sum(math.prod(shape) for _, shape, _ in result.parameters.values())
        if weights > 64 * 1024 or together > 1:
            images = max(images, 8 if per_image < 256 * 1024 else 4)
        images = min(images, 64)
        step = together if together > 1 else 4
        result.images = (
            max(step, images // step * step) if images >= step else (step if together > 1 else images)
        )

    def lifetimes(self) -> dict[str, tuple[int, int]]:
        """For each buffer of a block the first and the last nest that touches it."""
        result = self.result
        order = [*result.take, *result.block, *result.put]
        first_block, last_block = len(result.take), len(result.take) + len(result.block)
        found: dict[str, tuple[int, int]] = {}
        for position, nest in enumerate(order):
            # images are brought in and given out one by one, all before and all after the block
            at = 0 if position < first_block else last_block if position >= last_block else position
            for name in nest.buffers:
                low, high = found.get(name, (at, at))
                found[name] = min(low, at), max(high, at)
        for name, _, _ in result.draws:
            found[name] = (0, found[name][1] if name in found else 0)
        return found
