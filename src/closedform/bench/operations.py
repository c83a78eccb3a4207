"""The arithmetic that a network needs, counted from the sizes of its formulas; no plan is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from closedform.architecture import Architecture
from closedform.engine.lines import lines
from closedform.layers import Dense, LocallyConnected2d

FORWARD, IN_PARAMETERS, IN_INPUT = "forward", "gradient in W", "gradient in X"


@dataclass(frozen=True)
class Product:
    """One sum of products of a step: the layer, the direction, and its operations for one image."""

    layer: str
    direction: str
    operations: int


def products(architecture: Architecture) -> list[Product]:
    """The sums of products of one training step for one image, two operations for each multiply-add.

    Only convolutions, locally connected, channel-summed and dense layers count.  Each direction has the
    products of the forward formula, once, for the entries of its output that are read: what a gradient
    multiplies with padding or with inserted zeros is not counted, and there is no gradient in the network's
    input.  A channel-summed layer is counted as if its channels were one.
    """
    found: list[Product] = []
    for line in lines(architecture, training=True):
        if "W" not in line.parameters:
            continue
        layer = architecture.layers[line.position]
        weight, output = line.sizes.shapes["W"], line.sizes.shapes["Y"][1:]
        # every entry of W meets every output entry that it does not choose itself
        if isinstance(layer, LocallyConnected2d | Dense):
            pairs = math.prod(weight)
        else:
            pairs = math.prod(weight) * math.prod(output[1:])
        label = f"{architecture.labels[line.position]} {type(layer).__name__}"
        directions = [FORWARD, IN_PARAMETERS] + ([IN_INPUT] if found else [])
        found += [Product(label, direction, 2 * pairs) for direction in directions]
    return found


def operations(architecture: Architecture, *, training: bool = True) -> int:
    """The useful operations for one image of a training step, or of the forward pass alone."""
    found = products(architecture)
    return sum(each.operations for each in found if training or each.direction == FORWARD)
