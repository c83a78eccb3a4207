"""Our side of `train_step.py` and `inference.py`: the one place that knows how the engine is called."""

from __future__ import annotations

from workers import THREADS, Mode
from workloads import Workload

from closedform.bench.steps import training_loop

NAME = "closedform"


def training(workload: Workload) -> dict[str, Mode]:
    """A training step by `Network.fit`."""
    net = workload.network(THREADS)
    x, y = workload.examples()
    first = net.gradients(x[: workload.batch], y[: workload.batch])[0]
    run = training_loop(net, x, y, workload.batch)
    run(3)
    return {NAME: Mode(run, first)}


def inference(workload: Workload) -> dict[str, Mode]:
    """A forward pass by `Network.forward`."""
    net = workload.network(THREADS)
    x, _ = workload.examples()
    batches = [x[start : start + workload.batch] for start in range(0, len(x), workload.batch)]

    def run(steps: int) -> None:
        for step in range(steps):
            net.forward(batches[step % len(batches)])

    run(3)
    return {NAME: Mode(run, net.forward(batches[0]))}
