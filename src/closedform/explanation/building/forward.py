"""The forward part of a solution: the network, its sizes, every layer's value, and the loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from closedform.architecture import Architecture
from closedform.explanation.building.grids import grids
from closedform.explanation.building.lines import Setting
from closedform.explanation.building.pictures import shown_quantity
from closedform.explanation.building.scenes import QuantityScene
from closedform.explanation.document import (
    Block,
    Code,
    Display,
    Flow,
    Paragraph,
    Picture,
    Prose,
    Section,
    Station,
    Table,
)
from closedform.explanation.line import math_text
from closedform.formula.notation import text
from closedform.layers import Layer
from closedform.solution import Quantity, Solution
from closedform.summary import count_arithmetic, size_arithmetic


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
