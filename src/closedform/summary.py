"""The table that `Network.summary` and ``closedform summary`` print."""

from __future__ import annotations

import math
from typing import TextIO

from closedform.architecture import Architecture, Parameter
from closedform.formula.extents import Shape
from closedform.layers.base import shape_text
from closedform.layers.windows import Windowed

_PLAIN = str.maketrans({"─": "-", "−": "-", "·": "*", "⌈": "ceil(", "⌉": ")"})


def summary(architecture: Architecture) -> str:
    """A table: layer, output shape, parameters, and the arithmetic behind both."""
    rows = [("layer", "output", "parameters", "arithmetic")]
    rows.append(("input", shape_text(architecture.input_shape), "", ""))
    for position, layer in enumerate(architecture.layers):
        own = [p for p in architecture.parameters if p.layer == position]
        count = sum(parameter.size for parameter in own)
        kind = type(layer).__name__
        label = f"{architecture.labels[position]} {kind}"
        reasons = [*size_arithmetic(architecture, position), *count_arithmetic(own, count)]
        rows.append((label, shape_text(architecture.shapes[position + 1]), f"{count:,}", "; ".join(reasons)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for number, (label, shape, count_text, reason) in enumerate(rows):
        count_cell = count_text.ljust(widths[2]) if number == 0 else count_text.rjust(widths[2])
        lines.append(f"{label.ljust(widths[0])}  {shape.ljust(widths[1])}  {count_cell}  {reason}".rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in (*widths[:3], max(len("arithmetic"), 10))))
    lines.append(f"{architecture.parameter_count:,} parameters" + _loss(architecture))
    return "\n".join(lines)


def writable(text: str, stream: TextIO | None) -> str:
    """The text, with plain signs for those of mathematics where the stream's encoding lacks them."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN)
    return text


def _loss(architecture: Architecture) -> str:
    return f", loss {type(architecture.loss).__name__}" if architecture.loss else ""


def size_arithmetic(architecture: Architecture, position: int) -> list[str]:
    """How the size of a layer's output follows from its input's, an equation for each that differs."""
    layer, shape = architecture.layers[position], architecture.shapes[position]
    sizes = layer.sizes(shape)
    output = sizes.shapes["Y"][1:]
    if len(output) == 1 and len(shape) > 1 and output[0] == math.prod(shape):
        return [f"{'·'.join(map(str, shape))} = {output[0]}"]
    if isinstance(layer, Windowed) and isinstance(layer.padding, str):
        ceilings = [
            f"⌈{length}/{stride}⌉ = {rows}"
            for length, stride, rows in zip(shape[-2:], layer.stride, output[-2:], strict=True)
        ]
        return list(dict.fromkeys(ceilings))
    on_left = [index for index in layer.formula_for(shape).left_indices if index in sizes.arithmetic]
    found = [sizes.arithmetic[index].replace("*", "·").replace(" - ", " − ") for index in on_left]
    return list(dict.fromkeys(found))


def count_arithmetic(parameters: list[Parameter], count: int) -> list[str]:
    """How many numbers a layer's parameters are, as one equation; nothing where there are none."""
    if not parameters:
        return []
    products = ["·".join(map(str, _taught_order(p.shape))) for p in parameters]
    return [f"{' + '.join(products)} = {count}"]


def _taught_order(shape: Shape) -> Shape:
    """Kernel, input channels, filters, positions: 3·3·1·16 for a weight (16, 1, 3, 3)."""
    return (*shape[-2:], *reversed(shape[:-2][-2:]), *shape[:-4]) if len(shape) > 2 else shape[::-1]
