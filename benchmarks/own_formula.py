"""A layer that no library has: how near the loops of its training step come to the processor's peak.

    python benchmarks/own_formula.py

Each row of the image has filters of its own.  Every loop that multiplies and adds runs alone, on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import loops
import table
from roofline import measure

import closedform as cf
from closedform.bench import peak

FORMULA = "Y[n,q,i,j] = b[q,i] + sum[p,u,v] W[i,q,p,u,v] * X[n,p,i+u,j+v]"
RUNS, SECONDS = 15, 0.005


@dataclass(frozen=True)
class OwnLayer:
    """A network around the formula, as `loops` wants it."""

    batch: int = 32

    @property
    def architecture(self) -> cf.Architecture:
        """Something before it, so that the gradient in its input is needed too."""
        first = cf.Conv2d(32, 3, name="before")
        own = cf.Formula(FORMULA, q=32, u=3, v=3, name="own")
        layers = (first, cf.ReLU(), own, cf.ReLU(), cf.GlobalAvgPool2d(), cf.Dense(10))
        return cf.Architecture(layers, (1, 28, 28), cf.SoftmaxCrossEntropy())


def main() -> None:
    """Print the loops of the layer, and the share of the peak that they reach together."""
    print(table.machine())
    print(FORMULA)
    gauge = peak.Gauge()
    operations = seconds = top = 0.0
    for loop in loops.loops(OwnLayer()):
        if not loop.name.startswith("own") or not loop.operations:
            continue
        best, _, most = measure(loop.run, 1, gauge, RUNS, SECONDS)
        operations, seconds, top = operations + loop.operations, seconds + best, max(top, most)
        print(line(loop.name, loop.operations / best, most))
    print(line("together", operations / seconds, top))


def line(name: str, rate: float, most: float) -> str:
    """Operations a second, and their share of the peak in GFLOP/s."""
    return f"{name:36s}{rate / 1e9:8.1f} GFLOP/s{rate / 1e9 / most:6.0%} of {most:.1f}"


if __name__ == "__main__":
    main()
