"""Training steps of `Network.fit`, timed next to the processor's peak."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.bench.operations import operations
from closedform.engine.threads import thread_count
from closedform.errors import MissingError, SettingError
from closedform.layers import Formula, MeanSquaredError
from closedform.network import Network
from closedform.training.optimisers import SGD

RATE = 0.01
_MOST = 1 << 20  # steps of a sample
_RESIDENT = 2048  # examples that lie in memory where the batch is smaller
_LARGEST = 1 << 22  # float32 entries of examples in memory where they are large
HEADER = f"{'net':<20s}{'batch':>6s}{'microseconds':>20s}{'images/s':>11s}{'GFLOP/s':>9s}{'peak':>6s}"

Examples = tuple[NDArray[np.float32], NDArray[np.float32] | NDArray[np.int64]]


@dataclass(frozen=True)
class Timing:
    """One line of the table.

    Attributes
    ----------
    net, batch
        What was measured.
    engine
        Which engine ran it.
    operations
        Useful operations of one step: two for each multiply-add of the formulas; None where a layer is a
        formula of the user's own.
    minimum, median
        Seconds for a step.
    peak
        GFLOP/s that the processor reached on as many threads in the same run; None without llvmlite.
    """

    net: str
    batch: int
    engine: str
    operations: int | None
    minimum: float
    median: float
    peak: float | None

    @property
    def rate(self) -> float | None:
        """GFLOP/s."""
        return self.operations / self.minimum / 1e9 if self.operations else None

    @property
    def share(self) -> float | None:
        """Of the processor's peak."""
        return self.rate / self.peak if self.rate and self.peak else None

    @property
    def images(self) -> float:
        """Images a second."""
        return self.batch / self.minimum

    def __str__(self) -> str:
        times = f"{self.minimum * 1e6:.1f} ({self.median * 1e6:.0f})"
        rate = "-" if self.rate is None else f"{self.rate:.1f}"
        share = "-" if self.share is None else f"{self.share:.0%}"
        remark = "" if self.engine == "compiled" else f"  {self.engine} engine"
        return f"{self.net:<20s}{self.batch:6d}{times:>20s}{self.images:11,.0f}{rate:>9s}{share:>6s}{remark}"

    def to_dict(self) -> dict[str, Any]:
        """The figures, those that follow from others too."""
        return {**asdict(self), "images_per_second": self.images, "gflops": self.rate, "share": self.share}


def measured(
    networks: Iterable[tuple[str, Architecture]],
    batches: Iterable[int],
    threads: int | None = None,
    runs: int = 7,
    seconds: float = 0.03,
) -> Iterator[Timing]:
    """Time one training step of each network at each batch size.

    Parameters
    ----------
    networks
        By name.
    batches
        The batch sizes.
    threads
        As for `thread_count`.
    runs
        How many samples are taken.
    seconds
        How long a sample takes at least.

    Raises
    ------
    SettingError
        For a network without a loss, before anything is measured.
    """
    networks, batches, threads = list(networks), list(batches), thread_count(threads)
    for name, architecture in networks:
        if architecture.loss is None:
            raise SettingError(f"{name}: a network without a loss has no training step: give it one")
    return _measured(networks, batches, threads, runs, seconds)


def _measured(
    networks: list[tuple[str, Architecture]], batches: list[int], threads: int, runs: int, seconds: float
) -> Iterator[Timing]:
    top = _peak()
    for name, architecture in networks:
        network = Network.from_architecture(architecture, 0, threads=threads)
        count = _counted(architecture)
        for batch in batches:
            run = training_loop(network, *examples(architecture, batch), batch)
            run(2)
            steps = steps_for(run, seconds)
            times, tops = [], []
            for _ in range(runs):
                times.append(_timed(run, steps) / steps)
                tops.append(top(threads))
            peak = max((found for found in tops if found is not None), default=None)
            least, middle = min(times), statistics.median(times)
            total = None if count is None else count * batch
            yield Timing(name, batch, network.engine, total, least, middle, peak)


def examples(architecture: Architecture, batch: int) -> Examples:
    """At least four batches of images with entries from 0 to 1, and labels or targets at random."""
    size = int(np.prod(architecture.input_shape))
    count = batch * max(4, min(64, _RESIDENT // batch, _LARGEST // (batch * size)))
    generator = np.random.default_rng(0)
    x = generator.random((count, *architecture.input_shape), dtype=np.float32)
    if isinstance(architecture.loss, MeanSquaredError):
        return x, generator.standard_normal((count, *architecture.output_shape), dtype=np.float32)
    return x, generator.integers(0, max(2, architecture.output_shape[0]), count)


def training_loop(network: Network, x: Any, y: Any, batch: int) -> Callable[[int], None]:
    """A function that runs so many training steps as `Network.fit` does, one batch after the other.

    What `fit` does once for a training is done beforehand; the examples are taken as they lie.
    """
    task = network._task(network._examples(x, y), batch, SGD(RATE))
    trainer = network._runner.run(lambda engine: engine.trainer(task))
    order = np.arange(len(x) // batch * batch)

    def run(steps: int) -> None:
        left, at = steps * batch, 0
        while left:
            made = trainer.advance(order[at : at + left]).examples
            left, at = left - made, (at + made) % len(order)

    return run


def steps_for(run: Callable[[int], object], seconds: float) -> int:
    """How many steps take at least so long."""
    steps = 1
    while (elapsed := min(_timed(run, steps) for _ in range(3))) < seconds and steps < _MOST:
        steps = max(2 * steps, int(1.1 * steps * seconds / elapsed) if elapsed > 1e-3 else 0)
    return steps


def machine(packages: Iterable[str] = ("closedform", "numpy", "llvmlite")) -> str:
    """The processor, and the versions of what runs on it.

    Parameters
    ----------
    packages
        Whose versions count; those that are not installed are left out.
    """
    found = [_processor(), f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next(line.split(": ")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _timed(run: Callable[[int], object], steps: int) -> float:
    started = time.perf_counter()
    run(steps)
    return time.perf_counter() - started


def _peak() -> Callable[[int], float | None]:
    """What measures the processor's peak on so many threads; gives None where llvmlite is missing."""
    from closedform.bench.peak import Gauge

    try:
        return Gauge().rate
    except MissingError:
        return lambda threads: None


def _counted(architecture: Architecture) -> int | None:
    is_known = not any(isinstance(layer, Formula) for layer in architecture.layers)
    return operations(architecture) if is_known else None
