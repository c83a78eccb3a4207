"""Which layers put images across the lanes of a vector instead of channels.

A layer of six channels leaves ten of sixteen lanes empty.  Sixteen images side by side fill them, at the
price of sixteen times the memory in flight, so that it only pays for leading layers with few channels and
few parameters, and for batches that give every thread sixteen images.
"""

from __future__ import annotations

import math

from closedform.architecture import Architecture
from closedform.engine.buffers import TOGETHER

LEAST_BATCH = 24
_PARAMETERS = 4096  # that a layer may have: its gradient is held once for every lane
_IN_FLIGHT = 2 * 1024 * 1024  # bytes of activations, and as much for their gradients
_WORTH = 0.75  # the share of lanes that do useful work below which it pays


def layers_together(architecture: Architecture, batch: int, lanes: int) -> int:
    """How many leading layers put images across the lanes, the loss counted as the last layer.

    It depends on the network, on the size of the batch and on the vector width, never on threads.

    Parameters
    ----------
    architecture
        The network.
    batch
        How many images.
    lanes
        How many float32 a vector register holds.
    """
    if batch < LEAST_BATCH or lanes == 1:
        return 0
    shapes, layers = architecture.shapes, architecture.layers
    sizes = [sum(p.size for p in architecture.parameters if p.layer == k) for k in range(len(layers))]
    leading = next((k for k, size in enumerate(sizes) if size > _PARAMETERS), len(layers))
    work = done = 0.0
    for position in range(leading):
        if not sizes[position]:
            continue
        out = shapes[position + 1]
        terms = sizes[position] * math.prod(out[1:])
        work += 2 * terms
        done += 2 * terms / _share(out[0], lanes)
        if any(sizes[:position]):
            work += terms
            done += terms / _share(shapes[position][0], lanes)
    activations = sum(math.prod(shape) for shape in shapes[: leading + 1])
    if not work or work / done > _WORTH or 4 * TOGETHER * activations > _IN_FLIGHT:
        return 0
    return leading + 1 if leading == len(layers) else leading


def _share(extent: int, lanes: int) -> float:
    return extent / (math.ceil(extent / lanes) * lanes)
