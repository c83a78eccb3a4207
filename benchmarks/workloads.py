"""The networks that are measured, the examples they are given, and the arithmetic they need.

Nothing here asks an engine: the operations are counted from the shapes of the layers alone
(`closedform.bench.operations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import closedform as cf
from closedform.bench.operations import operations
from closedform.files import read_toml

FOLDER = Path(__file__).parent / "nets"
WANTED = {  # PyTorch's best time divided by ours, at batch 32 and 128
    "worksheet_e": 20.0,
    "digits": 6.0,
    "mnist": 6.0,
    "lenet": 4.0,
    "pair": 2.5,
    "worksheet_d": 4.0,
    "local": 10.0,
    "vgg": 1.3,
}
NAMES = tuple(WANTED)
SMALLEST = ("worksheet_e", "digits")
RATE = 0.01


@dataclass(frozen=True)
class Workload:
    """One network at one batch size.

    Every side makes its own arrays of it in a process of its own; the seeds are fixed, so all are given
    the same parameters and the same examples.
    """

    name: str
    batch: int

    @property
    def path(self) -> Path:
        """The file that describes the network."""
        return FOLDER / f"{self.name}.toml"

    @property
    def architecture(self) -> cf.Architecture:
        """The layers."""
        return read_toml(self.path)

    @property
    def batches(self) -> int:
        """How many different batches are resident, 64 at most and 4 at least."""
        return min(64, max(4, 2048 // self.batch))

    def network(self, threads: int | None = None) -> cf.Network:
        """The network with the parameters that every side begins with."""
        return cf.Network.from_toml(self.path, seed=0, threads=threads)

    def examples(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Images (batches · batch, C, H, W) of numbers from 0 to 1, and labels, both drawn at random.

        As pixels are; from a normal distribution `worksheet_d` diverges at batch 1, in every library.
        """
        architecture, count = self.architecture, self.batches * self.batch
        generator = np.random.default_rng(0)
        x = generator.random((count, *architecture.input_shape), dtype=np.float32)
        classes = max(2, architecture.output_shape[0])
        return x, generator.integers(0, classes, count)

    def operations(self, *, training: bool = True) -> int:
        """The useful operations of one step, or of one forward pass, for the whole batch."""
        return self.batch * operations(self.architecture, training=training)
