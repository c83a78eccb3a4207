"""The sections of a worked solution, in the order in which one works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from closedform.architecture import Architecture
from closedform.explanation.building.difference import numerical_check
from closedform.explanation.building.factors import PROBABILITY, factors
from closedform.explanation.building.grids import Limits, grids, is_partial
from closedform.explanation.building.lines import Setting
from closedform.explanation.building.pictures import shown_quantity
from closedform.explanation.building.scenes import QuantityScene
from closedform.explanation.building.specialise import specialised
from closedform.explanation.building.writing import Context
from closedform.explanation.document import (
    Block,
    Code,
    Display,
    Expansions,
    Flow,
    Inline,
    Paragraph,
    Picture,
    Prose,
    Section,
    Station,
    Table,
    blocks_of,
)
from closedform.explanation.line import math_text
from closedform.explanation.math import Add, Chain, Derivative, Math, Multiply, Negative, Symbol
from closedform.formula.notation import text
from closedform.formula.tree import FIRST, Access, Expression, Reduce, Times, accesses, times
from closedform.layers import Layer
from closedform.solution import Quantity, Solution
from closedform.summary import count_arithmetic, size_arithmetic

_ARTICLES = {"Conv2d": "convolution"}


def sections(setting: Setting, only: int | None = None) -> tuple[Block, ...]:
    """The whole solution, or what concerns one layer."""
    solution = setting.writer.solution
    positions = range(len(solution.architecture.layers)) if only is None else (only,)
    found: list[Block] = []
    if only is None:
        if solution.architecture.layers:
            found += [flow(setting), sizes(setting), forward(setting, positions)]
        if solution.architecture.loss is not None:
            found.append(loss(setting))
    else:
        found.append(forward(setting, positions))
    if any(q.role == "gradient" for q in solution.quantities):
        found.append(backward(setting, positions, with_chain=only is None))
        found.append(kept(setting, positions))
    if only is None:
        if any(q.role == "update" for q in solution.quantities):
            found.append(descent(setting))
        checked = numerical_check(setting)
        if checked is not None:
            found.append(Section(("Numerical check",), (checked,), "check"))
    return tuple(found)


# ---- the network and its sizes


def flow(setting: Setting) -> Flow:
    """The network from input to output."""
    writer, solution = setting.writer, setting.writer.solution
    architecture = solution.architecture
    stations = []
    for position in range(len(architecture.layers) + 1):
        symbol = writer.symbol(solution.output_of(position - 1))
        shape = tuple(n for n in architecture.shapes[position] if n > 1)
        if position < len(architecture.layers):
            layer = architecture.layers[position]
            stations.append(Station(symbol, shape, type(layer).__name__, _about(setting, position)))
        else:
            name = type(architecture.loss).__name__ if architecture.loss else ""
            stations.append(Station(symbol, shape, name))
    if architecture.loss is not None:
        stations.append(Station(writer.symbol(solution.differentiated), ()))
    return Flow(tuple(stations))


def _about(setting: Setting, position: int) -> str:
    parameters = setting.writer.solution.parameters_of(position)
    return ", ".join(f"{math_text(setting.writer.symbol(q.name))} {_shape(q.shape)}" for q in parameters)


def _shape(shape: Sequence[int]) -> str:
    wide = [n for n in shape if n > 1]
    return " × ".join(map(str, wide)) if wide else "1"


def sizes(setting: Setting) -> Section:
    """Every size and number of parameters, as arithmetic."""
    architecture = setting.writer.solution.architecture
    rows: list[tuple[Prose, ...]] = []
    for position, layer in enumerate(architecture.layers):
        own = [p for p in architecture.parameters if p.layer == position]
        reasons = ", ".join(size_arithmetic(architecture, position)) or _unchanged(architecture, position)
        rows.append(
            (
                (f"{architecture.labels[position]} {type(layer).__name__}",),
                (_shape(architecture.shapes[position]),),
                (_shape(architecture.shapes[position + 1]),),
                (reasons,),
                (", ".join(count_arithmetic(own, sum(p.size for p in own))) or "0",),
            )
        )
    foot: tuple[Prose, ...] = (
        ("network",),
        (_shape(architecture.input_shape),),
        (_shape(architecture.output_shape),),
        (),
        (f"{architecture.parameter_count:,}",),
    )
    head: tuple[Prose, ...] = (("layer",), ("input",), ("output",), ("size",), ("parameters",))
    blocks: list[Block] = []
    if any("//" in str(row[3]) or "+ 1" in str(row[3]) for row in rows):
        blocks.append(
            Paragraph(
                (
                    "A window of K rows on H rows, with t zeros before them and after them, taken every s "
                    "rows, gives (H − K + 2·t)//s + 1 rows; // rounds down.",
                )
            )
        )
    blocks.append(Table(head, tuple(rows), foot, frozenset({4})))
    single = _single_axes(setting)
    if single:
        blocks.append(Paragraph((single,), "note"))
    return Section(("Sizes and parameters",), tuple(blocks), "sizes")


def _unchanged(architecture: Architecture, position: int) -> str:
    before, after = architecture.shapes[position : position + 2]
    if before == after:
        return "as the input"
    return "one number for each channel" if len(before) == 3 and len(after) == 1 else ""


def _single_axes(setting: Setting) -> str:
    solution = setting.writer.solution
    parts = ["one image"] if solution.batch == 1 else []
    shapes = [s for s in solution.architecture.shapes if len(s) == 3]
    if shapes and all(s[0] == 1 for s in shapes):
        parts.append("one channel")
    if not parts:
        return ""
    what = " and ".join(parts)
    verb = "their indices take one value and are" if len(parts) > 1 else "its index takes one value and is"
    return f"{what[0].upper()}{what[1:]}: {verb} not written."


# ---- forward


def forward(setting: Setting, positions: Iterable[int]) -> Section:
    """Every layer's value: the formula, the same with this network's sizes, entries written out, the grid."""
    inside = tuple(_forward_layer(setting, position) for position in positions)
    return Section(("Forward",), inside, "forward")


def _forward_layer(setting: Setting, position: int) -> Section:
    solution = setting.writer.solution
    layer = solution.architecture.layers[position]
    quantity = solution[solution.output_of(position)]
    scene = QuantityScene(setting, quantity)
    key = f"forward-{quantity.name}"
    blocks: list[Block] = [
        Paragraph(_in_general(setting, layer, position)),
        Display(scene.line.general()),
        Paragraph(
            (
                "To the library this layer is one line, counted from 0: ",
                Code(text(scene.line.calculation.equation)),
            ),
            "note",
        ),
    ]
    blocks += [Paragraph(("With the sizes here:",)), scene.forward(f"scene-{key}")]
    title: Prose = (*_layer_title(solution, position), ": ", setting.writer.symbol(quantity.name))
    return Section(title, tuple(blocks), key)


def _layer_title(solution: Solution, position: int) -> tuple[str, ...]:
    layer = solution.architecture.layers[position]
    kind = type(layer).__name__
    return (f"{layer.name} ({kind})" if layer.name else f"Layer {position}, {kind}",)


def _in_general(setting: Setting, layer: Layer, position: int) -> Prose:
    line = layer.formula_for(setting.writer.solution.architecture.shapes[position])
    known = [
        f"{name} = {value}"
        for name, value in layer.sizes(setting.writer.solution.architecture.shapes[position]).settings.items()
        if name in line.settings
    ]
    return (f"In general, here with {', '.join(known)}:" if known else "In general:",)


def loss(setting: Setting) -> Section:
    """The loss: its formula, its value, and the probabilities behind it."""
    solution = setting.writer.solution
    blocks: list[Block] = []
    for quantity in solution.quantities:
        if quantity.role == "probabilities":
            scene = QuantityScene(setting, quantity)
            blocks += [
                Paragraph(("The outputs become probabilities:",)),
                scene.forward("scene-probabilities"),
            ]
    if any(q.role == "target" for q in solution.quantities):
        blocks += _given(setting, [q for q in solution.quantities if q.role == "target"])
    scene = QuantityScene(setting, solution[solution.differentiated])
    blocks += [Paragraph(("The loss, in general:",)), Display(scene.line.general())]
    blocks += [Paragraph(("With the sizes here:",)), scene.forward("scene-loss")]
    return Section(("The loss",), tuple(blocks), "loss")


def _given(setting: Setting, quantities: Sequence[Quantity]) -> list[Block]:
    items = []
    for quantity in quantities:
        value = setting.values[quantity.name]
        if value is None:
            continue
        items.append(grids(shown_quantity(setting, quantity), setting.writer, setting.limits))
    if not items:
        return []
    loss = setting.writer.solution.architecture.loss
    is_classified = loss is not None and loss.activation is not None
    what = "The labels, as zeros and ones:" if is_classified else "The targets:"
    return [Paragraph((what,)), Picture(tuple(items))]


# ---- backward


def backward(setting: Setting, positions: Iterable[int], *, with_chain: bool) -> Section:
    """The chain rule, then every gradient from the end to the start."""
    solution = setting.writer.solution
    blocks: list[Block] = []
    if with_chain and len(solution.architecture.layers) > 1:
        blocks.append(chain(setting))
    blocks += _upstream(setting)
    allowed = set(positions)
    for quantity in solution.quantities:
        if quantity.role != "gradient":
            continue
        if quantity.layer is None and not with_chain:
            continue
        if quantity.layer is not None and quantity.layer not in allowed:
            continue
        blocks.append(_gradient(setting, quantity))
    return Section(("Backward",), tuple(blocks), "backward")


def _upstream(setting: Setting) -> list[Block]:
    """Where the way back begins, without a loss."""
    solution, writer = setting.writer.solution, setting.writer
    if solution.architecture.loss is not None:
        return []
    output = solution[solution.output]
    symbol = writer.symbol(output.name)
    if solution.is_output_differentiated:
        if solution.batch > 1:
            return [Paragraph(("The gradients are those of the sum of ", symbol, " over the images."))]
        return [Paragraph(("There is no loss: ", symbol, " itself is one number, and is differentiated."))]
    upstream = solution["d" + output.name]
    if setting.values[upstream.name] is None:
        return [
            Paragraph(
                ("The gradient of the loss in ", symbol, " comes from what follows; it is given as ",
                 writer.symbol(upstream.name), ".")
            )
        ]  # fmt: skip
    shown = shown_quantity(setting, upstream)
    return [
        Paragraph(("The gradient of the loss in ", symbol, " is given:")),
        Picture((grids(shown, writer, setting.limits),)),
    ]


def chain(setting: Setting) -> Section:
    """The chain rule, factor by factor, for every gradient that is wanted."""
    solution, writer = setting.writer.solution, setting.writer
    lines: list[Block] = [
        Paragraph(
            ("Each quantity acts on ", writer.symbol(solution.differentiated),
             " only through those that are computed from it; the factors from the end on are found once and "
             "used for all:")
        )
    ]  # fmt: skip
    for quantity in solution.quantities:
        if quantity.name not in solution.wanted or "d" + quantity.name not in solution:
            continue
        position = quantity.layer if quantity.layer is not None else 0
        path = [solution.differentiated] if solution.architecture.loss is not None else []
        if "probabilities" in solution.names:
            path.append(solution.names["probabilities"])
        path += [
            solution.output_of(k) for k in range(len(solution.architecture.layers) - 1, position - 1, -1)
        ]
        path.append(quantity.name)
        path = list(dict.fromkeys(path))
        if len(path) < 3:
            continue
        symbols = [writer.symbol(name) for name in path]
        factors = tuple(Derivative(a, b) for a, b in pairwise(symbols))
        lines.append(Display(Chain((Derivative(symbols[0], symbols[-1]), Multiply(factors)))))
    lines += _loss_factors(setting)
    return Section(("The chain rule, factor by factor",), tuple(lines), "chain")


def _loss_factors(setting: Setting) -> list[Block]:
    """The first two factors of a fused loss by themselves; their product is the gradient that follows."""
    solution, writer = setting.writer.solution, setting.writer
    found = factors(solution)
    if found is None:
        return []
    total = writer.symbol(solution.differentiated)
    probabilities, output = solution.names["probabilities"], solution.output
    target = solution.names["target"]
    lines = []
    for derived, names, of, by in (
        (found.loss, {PROBABILITY: probabilities, "T": target}, None, probabilities),
        (found.activation, {"X": output, "Y": probabilities}, probabilities, output),
    ):
        special = specialised(derived.result, derived.sizes)
        right = special.right if of is None else _divided(special.right, derived.upstream)
        if right is None:
            continue
        context = Context(names, frozenset(derived.result.indices), derived.sizes)
        below = tuple(
            writer.subscript(s, derived.result.indices)
            for s, n in zip(special.left.subscripts, derived.sizes.shapes[derived.by], strict=True)
            if n > 1
        )
        above = total if of is None else writer.symbol(of, below)
        left = Derivative(above, writer.symbol(by, below))
        lines.append(Display(Chain((left, writer.expression(right, context)))))
    if len(lines) < 2:
        opening = "The first factor by itself; with the activation's derivative it gives the gradient in "
    else:
        opening = "The first two factors by themselves; their product is the gradient in "
    return [Paragraph((opening, writer.symbol(output), " below:")), *lines]


def _divided(right: Expression, upstream: str | None) -> Expression | None:
    """What the gradient from above is multiplied by; None where it is not one factor."""
    parts = right.factors if isinstance(right, Times) else (right,)
    above = [part for part in parts if isinstance(part, Access) and part.tensor == upstream]
    others = [part for part in parts if part not in above]
    inside = {access.tensor for part in others for access in accesses(part)}
    return times(*others) if len(above) == 1 and upstream not in inside else None


def _gradient(setting: Setting, quantity: Quantity) -> Section:
    scene = QuantityScene(setting, quantity)
    key = f"gradient-{quantity.name.removeprefix('d')}"
    title: Prose = ("Gradient in ", setting.writer.symbol(quantity.name.removeprefix("d")))
    blocks: list[Block] = []
    if "step(" in str(scene.line.calculation.equation):
        blocks.append(Paragraph(("step(x) is 1 where x is positive, and 0 elsewhere.",), "note"))
    if len(setting.writer.solution.architecture.layers) <= 1:
        blocks += [Paragraph(("In general:",)), scene.steps.derivation(own=False)]
        blocks.append(Paragraph(("With the sizes here:",)))
    return Section(title, (*blocks, scene.backward(f"scene-{key}")), key)


# ---- what was kept


def kept(setting: Setting, positions: Iterable[int]) -> Section:
    """What the backward pass reads of the forward pass, and why."""
    solution, writer = setting.writer.solution, setting.writer
    allowed = set(positions)
    is_whole = len(allowed) == len(solution.architecture.layers)
    needed: dict[str, list[Inline]] = {}
    symbols: dict[str, Math] = {}
    reasons: dict[str, str] = {}
    for quantity in solution.quantities:
        calculation = quantity.calculation
        if quantity.role != "gradient" or calculation is None or calculation.derivation is None:
            continue
        if quantity.layer not in allowed and not (is_whole and quantity.layer is None):
            continue
        selecting = {
            d.left.tensor
            for d in calculation.definitions
            if isinstance(d.right, Reduce) and d.right.operation == FIRST
        }
        for tensor in calculation.derivation.saved:
            name = calculation.reads.get(tensor)
            label = name or solution.definition_name(quantity, tensor)
            scene = QuantityScene(setting, quantity)
            symbols[label] = (
                writer.symbol(name) if name else writer.definition(tensor, (), scene.line.entries.number)
            )
            needed.setdefault(label, [])
            needed[label] += [", "] if needed[label] else []
            needed[label].append(writer.symbol(quantity.name))
            by = quantity.name.removeprefix("d")
            is_factor = name is not None and solution[by].role == "parameter"
            reasons.setdefault(
                label,
                "the gradient of a weight is what the weight is multiplied by"
                if is_factor
                else _why(solution, name, tensor in selecting),
            )
    if not needed:
        prose: Prose = ("Nothing: the gradients here read only what comes from above.",)
        return Section(("What had to be kept",), (Paragraph(prose),), "kept")
    rows = tuple(((symbols[k],), tuple(needed[k]), (reasons[k],)) for k in needed)
    values = [q.name for q in solution.quantities if q.role == "value" and q.layer in allowed]
    unused = [name for name in values if name not in needed and name != solution.differentiated]
    unused = unused if is_whole else []  # another layer may read it
    blocks: list[Block] = [
        Paragraph(
            ("What a gradient's formula reads, besides what comes from above, must still be there when the "
             "backward pass reaches it:",)
        ),
        Table((("kept",), ("for",), ("because",)), rows),
    ]  # fmt: skip
    if unused:
        listed: list[Inline] = []
        for name in unused:
            listed += [", "] if listed else []
            listed.append(writer.symbol(name))
        verb = "is" if len(unused) == 1 else "are"
        blocks.append(Paragraph((*listed, f" {verb} read by no gradient and need not be kept."), "note"))
    return Section(("What had to be kept",), tuple(blocks), "kept")


def _why(solution: Solution, name: str | None, selects: bool) -> str:
    if selects:
        return "it says which entry was the maximum"
    if name is None:
        return "it is a factor of the gradient"
    role = solution[name].role
    return {
        "parameter": "weights carry the gradient back; the old ones, before the update",
        "target": "the gradient of the loss is a difference from it",
    }.get(role, "the derivative depends on this value")


# ---- gradient descent


def descent(setting: Setting) -> Section:
    """The update of every parameter, with numbers where there is a learning rate."""
    solution, writer = setting.writer.solution, setting.writer
    rate = solution.learning_rate
    eta: Math = Symbol("η")
    blocks: list[Block] = [
        Paragraph(
            ("Every parameter takes a small step against its gradient",
             *((", here with the rate ", Chain((eta, writer.numeral(rate)))) if rate is not None else
               (", as long as the rate ", eta, " is small")),
             ". All gradients belong to the old parameters: they are computed before the first is changed.")
        )
    ]  # fmt: skip
    for quantity in solution.quantities:
        if quantity.role != "update":
            continue
        old = quantity.name.removesuffix("_new")
        step = Negative(Multiply((eta, writer.symbol("d" + old))))
        line = Chain((writer.symbol(quantity.name), Add((writer.symbol(old), step))))
        blocks.append(Display(line))
        if setting.values[quantity.name] is not None:
            own = [solution[old], solution["d" + old], quantity]
            shown = [grids(shown_quantity(setting, q), writer, setting.limits) for q in own]
            number = math_text(writer.numeral(rate)) if rate is not None else "η"
            blocks.append(Picture((shown[0], f"− {number} ·", shown[1], "=", shown[2])))
    return Section(("Gradient descent",), tuple(blocks), "descent")


# ---- what is shown in part


def is_elided(blocks: tuple[Block, ...]) -> bool:
    """Whether anything in the blocks is shown only in part."""
    for block in blocks_of(blocks):
        match block:
            case Expansions(found, _, left_out):
                if left_out or any(one.left_out for one in found):
                    return True
            case Picture(items):
                shown = [grid for item in items if not isinstance(item, str) for grid in item]
                if any(is_partial(grid) for grid in shown):
                    return True
    return False


def elision(limits: Limits) -> str:
    """One sentence on how much is shown of what is large."""
    return (
        f"Of an axis of more than {limits.rows} entries the first {limits.head} and the last are shown, of "
        f"more than {limits.stack} grids of one array the first {limits.stack - 1} and the last; of more "
        f"than {2 * limits.entries} entries the first {limits.entries - 1} and the last are written out, of "
        f"more than {limits.terms} terms of a sum the first {limits.terms - 1} and the last. "
        "What is left out is counted; of an axis, the size above its grid says how long it is."
    )
