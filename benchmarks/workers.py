"""One process for each side, asked in turn, so that no library's threads disturb another's.

A side is a function that takes a `Workload` and returns its modes: by name, a `Mode` that runs so many
steps.  A worker waits on its pipe while the others run; a rest before each sample lets the threads of the one
before fall asleep.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from workloads import Workload

from closedform.bench.steps import steps_for

THREADS = 2
QUIET = 0.05  # of the cores, by other processes
_REST = 0.03  # seconds; the libraries' threads spin for 5 to 20 ms when their work is done


@dataclass(frozen=True)
class Mode:
    """One way of one side to do the work.

    Attributes
    ----------
    run
        Does so many steps, and returns when the last is finished.
    check
        What all sides must agree on before anything is timed: the first loss, or the outputs.
    """

    run: Callable[[int], object]
    check: Any


@dataclass(frozen=True)
class Timings:
    """What the rounds that count have shown.

    Attributes
    ----------
    minimum, median
        Seconds a step of each mode.
    peak
        The most GFLOP/s that the processor reached in one of the rounds.
    others
        The largest share of the cores that other processes used in one of the rounds.
    """

    minimum: dict[str, float]
    median: dict[str, float]
    peak: float
    others: float


Side = Callable[[Workload], dict[str, Mode]]


def pin() -> list[int]:
    """Keep this process and those it starts on two cores, and their libraries at two threads.

    It must be called before NumPy or any competitor is imported in the processes that it is meant for.
    The C library is told to keep freed memory: by default it hands the large arrays of a step back to the
    system, and PyTorch then spends up to half of a step in page faults.
    """
    cores = sorted(os.sched_getaffinity(0))[:THREADS]
    os.sched_setaffinity(0, cores)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CLOSEDFORM_THREADS"):
        os.environ[variable] = str(THREADS)
    for variable in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        os.environ.setdefault(variable, str(1 << 32))
    return cores


class Worker:
    """A side in a process of its own."""

    def __init__(self, name: str, side: Side):
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, side), daemon=True)
        self._process.start()

    def prepare(self, workload: Workload) -> dict[str, Any]:
        """Build and warm up every mode; what each of them computes, for comparison."""
        return self._ask("prepare", workload)

    def steps(self, mode: str, seconds: float) -> int:
        """How many steps take at least so long."""
        return self._ask("steps", mode, seconds)

    def sample(self, mode: str, steps: int) -> float:
        """Seconds for one step, from so many timed as a whole, after a rest and a few untimed ones."""
        time.sleep(_REST)
        return self._ask("sample", mode, steps)

    def processor_seconds(self) -> float:
        """The processor time that all threads of the process have used."""
        with open(f"/proc/{self._process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def _ask(self, *question: Any) -> Any:
        self._pipe.send(question)
        answer, failure = self._pipe.recv()
        if failure:
            raise RuntimeError(f"{self.name}: {failure}")
        return answer


def _serve(pipe: Connection, side: Side) -> None:
    modes: dict[str, Mode] = {}
    while (question := pipe.recv()) is not None:
        try:
            pipe.send((_answer(modes, side, *question), ""))
        except Exception:
            pipe.send((None, traceback.format_exc()))


def _answer(modes: dict[str, Mode], side: Side, verb: str, *words: Any) -> Any:
    if verb == "prepare":
        modes.clear()
        modes.update(side(words[0]))
        return {name: mode.check for name, mode in modes.items()}
    run, amount = modes[words[0]].run, words[1]
    if verb == "steps":
        return steps_for(run, amount)
    run(-(-amount // 8))
    return _timed(run, amount) / amount


def _timed(run: Callable[[int], object], steps: int) -> float:
    started = time.perf_counter()
    run(steps)
    return time.perf_counter() - started


def measure(
    workload: Workload,
    workers: list[Worker],
    runs: int,
    seconds: float,
    patience: float,
    peak: Callable[[], float],
) -> Timings:
    """Prepare every mode, compare what they compute, then take samples of all of them, and of
    the processor's peak, in turn.

    A round, one sample of each, in which other processes were busy is taken again while the patience (in
    seconds) lasts; then the quietest rounds count.  Nothing but their load decides which.
    """
    modes: list[tuple[Worker, str]] = []
    checks: dict[str, Any] = {}
    for worker in workers:
        found = worker.prepare(workload)
        modes += [(worker, mode) for mode in found]
        checks |= found
    agree(checks)
    steps = {mode: worker.steps(mode, seconds) for worker, mode in modes}
    rounds: list[tuple[float, float, dict[str, float]]] = []
    deadline = time.perf_counter() + patience
    while True:
        before = _load(workers)
        times = {mode: worker.sample(mode, steps[mode]) for worker, mode in modes}
        top = peak()
        after = _load(workers)
        rounds.append(((after[0] - before[0]) / max(after[1] - before[1], 1e-9), top, times))
        quiet = sum(load < QUIET for load, _, _ in rounds)
        if quiet >= runs or (len(rounds) >= runs and time.perf_counter() > deadline):
            break
    rounds.sort(key=lambda found: found[0])
    kept = rounds[:runs]
    samples = {mode: [times[mode] for _, _, times in kept] for _, mode in modes}
    return Timings(
        {mode: min(found) for mode, found in samples.items()},
        {mode: statistics.median(found) for mode, found in samples.items()},
        max(top for _, top, _ in kept),
        kept[-1][0],
    )


def _load(workers: list[Worker]) -> tuple[float, float]:
    """Seconds that other processes have used of the cores, and seconds that the cores have had."""
    cores, tick = os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK")
    with open("/proc/stat") as file:
        lines = [line.split() for line in file if line.startswith("cpu")]
    fields = [[int(n) / tick for n in line[1:9]] for line in lines if line[0] in {f"cpu{c}" for c in cores}]
    idle, total = sum(f[3] + f[4] for f in fields), sum(map(sum, fields))
    own = time.process_time() + sum(worker.processor_seconds() for worker in workers)
    return total - idle - own, total


def agree(checks: dict[str, Any], tolerance: float = 1e-3) -> None:
    """Raise unless every mode computed what the first one did.

    Raises
    ------
    ValueError
        Naming the mode and the difference.
    """
    (first, expected), *others = checks.items()
    scale = float(np.abs(expected).max())
    for mode, found in others:
        difference = float(np.abs(np.asarray(found) - expected).max())
        if not difference <= tolerance * max(1.0, scale):
            raise ValueError(f"{mode} differs from {first} by {difference:g} where values reach {scale:g}")
