"""What share of the processor's peak each compiled loop, and each whole step, reaches.

    python benchmarks/roofline.py [NETS...] [--batches 1 32 128] [--runs 9] [--json FILE]

The peak is measured with a loop of our own that does nothing but multiply-adds on registers, on one core and
on two at once.  Useful operations of a step are two for each multiply-add of the formulas, without what a
gradient multiplies with padding, and without the gradient in the first input (`closedform.bench.operations`).
Those of a loop are what it runs, less what reads zeros of a border (the column "zeros").

A loop runs alone, on one core, with its block in the cache; a step is `net.fit`'s on two.  The peak is taken
anew beside each.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import workers

workers.pin()  # before NumPy

import loops  # noqa: E402
import ours  # noqa: E402
import table  # noqa: E402
from workloads import Workload  # noqa: E402

from closedform.bench import peak  # noqa: E402
from closedform.bench.steps import steps_for  # noqa: E402

BATCHES = (1, 32, 128)
_LOOP_SECONDS = 0.003  # short, so that some samples are not interrupted by other processes


@dataclass(frozen=True)
class Share:
    """One line: seconds for an image, and the rate next to the peak of the same moment.

    Attributes
    ----------
    what, threads
        A loop or a whole step, and on how many threads.
    operations
        Useful operations for an image; 0 for what is no sum of products.
    zeros
        The share of a loop's multiply-adds that read zeros of a border, which are not useful.
    minimum, median
        Seconds.
    peak
        GFLOP/s on as many threads.
    """

    net: str
    batch: int
    what: str
    threads: int
    operations: float
    zeros: float
    minimum: float
    median: float
    peak: float

    @property
    def rate(self) -> float:
        """GFLOP/s."""
        return self.operations / self.minimum / 1e9

    def __str__(self) -> str:
        times = f"{self.minimum * 1e6:.3f} ({self.median * 1e6:.3f})"
        rate = f"{self.rate:9.1f}{self.rate / self.peak:7.0%}" if self.operations else ""
        zeros = f"{self.zeros:7.0%}" if self.zeros else ""
        return f"{self.net:12s}{self.batch:6d}  {self.what:52s}{times:>22s}{rate:16s}{zeros}".rstrip()


def shares(workload: Workload, gauge: peak.Gauge, runs: int) -> Iterator[Share]:
    """The loops of a step one by one, then the step."""
    for loop in loops.loops(workload):
        images = max(1, loop.images)
        figures = measure(loop.run, 1, gauge, 3 * runs, _LOOP_SECONDS)
        minimum, median, top = (figures[0] / images, figures[1] / images, figures[2])
        useful = loop.operations * (1 - loop.zeros) / images
        yield Share(workload.name, workload.batch, loop.name, 1, useful, loop.zeros, minimum, median, top)
    for mode in ours.training(workload).values():
        minimum, median, top = measure(mode.run, workers.THREADS, gauge, runs, table.SAMPLE_SECONDS)
        batch = workload.batch
        useful = workload.operations() / batch
        times = (minimum / batch, median / batch)
        yield Share(workload.name, batch, "whole step", workers.THREADS, useful, 0.0, *times, top)


def measure(
    run: Callable[[int], object], threads: int, gauge: peak.Gauge, runs: int, seconds: float
) -> tuple[float, float, float]:
    """Minimum and median seconds of one run, and the highest peak; samples of both in turn."""
    run(1)
    count = steps_for(run, seconds)
    times, tops = [], []
    for _ in range(runs):
        started = time.perf_counter()
        run(count)
        times.append((time.perf_counter() - started) / count)
        tops.append(gauge.rate(threads, seconds))
    return min(times), statistics.median(times), max(tops)


def main() -> None:
    """Print the peak, then the shares."""
    options = table.arguments(__doc__, BATCHES)
    print(table.machine())
    gauge = peak.Gauge()
    top = gauge.measure()
    print(f"peak: {top.one:.1f} GFLOP/s on one core, {top.two:.1f} on two; {top.lanes} lanes\n")
    print(f"{'net':12s}{'batch':>6s}  {'':52s}{'µs an image':>22s}{'GFLOP/s':>9s}{'peak':>7s}{'zeros':>7s}")
    found = []
    for name in options.nets:
        for batch in options.batches:
            for share in shares(Workload(name, batch), gauge, options.runs):
                found.append(share)
                print(share, flush=True)
    if options.json:
        rows = [{**asdict(share), "rate": share.rate} for share in found]
        text = json.dumps({"machine": table.machine(), "peak": asdict(top), "shares": rows}, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
