"""Seconds to an accuracy on real data, next to PyTorch's best mode, on two threads.

    python benchmarks/time_to_accuracy.py [--data DIR] [--sets mnist fashion cifar10] [--seeds 3]

Claimed, as medians of three seeds: MNIST 99.0 % of the test images within 3 epochs and Fashion-MNIST 90 %
within 4, at least twice as fast as PyTorch to the same accuracy; CIFAR-10, trained on 30,000 images, 80 %
within 12, faster than PyTorch.

The time counts from the beginning of the reading of data to the end of the first epoch whose accuracy on the
test set reaches the bar; reading, compiling and evaluating after each epoch are in it.  Each run is a process
of its own, and the sides take turns seed by seed.  What a side keeps of compiled code from run to run is
emptied before each, except with --warm.

Both sides train the same network with the same optimiser, schedule, batches, kind of augmentation and initial
weights (`accuracy_tasks.py`); those settings were chosen with closedform alone, on images held back from
the training part.  PyTorch's mode is the one whose whole training is predicted to be shortest by a run of the
first epochs of each, its compiler's time included.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import workers
from accuracy_tasks import DEFAULT_FOLDER, TASKS, Task, Watch

from closedform.bench import steps

OURS, THEIRS = "closedform", "PyTorch"
MODES = ("NCHW", "channels last", "compile, NCHW", "compile, channels last")
_PROBED = 2  # epochs: the first compiles, the second does not
_CACHES = ("CLOSEDFORM_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes
    ----------
    set, side, mode, seed
        What was trained by whom; our mode is empty.
    imported, read
        Seconds from the start of the process until the library was imported; from the beginning of the
        reading until the data were in memory.
    epochs
        Seconds from the beginning of the reading to the end of each epoch.
    accuracies
        On the test set, after each epoch.
    others
        The share of the cores that other processes used meanwhile.
    """

    set: str
    side: str
    mode: str
    seed: int
    imported: float
    read: float
    epochs: list[float]
    accuracies: list[float]
    others: float

    def reached(self, bar: float) -> int | None:
        """The first epoch, from 0, whose accuracy reaches the bar; None where none does."""
        return next((epoch for epoch, found in enumerate(self.accuracies) if found >= bar), None)

    def seconds(self, bar: float) -> float:
        """Until the bar was reached; infinite where it was not."""
        epoch = self.reached(bar)
        return float("inf") if epoch is None else self.epochs[epoch]

    def predicted(self, epochs: int) -> float:
        """The time of so many epochs, if all that follow take as long as the last."""
        last = self.epochs[-1] - self.epochs[-2]
        return self.epochs[-1] + (epochs - len(self.epochs)) * last


# ---- one run, in a process of its own


def child(words: Sequence[str]) -> None:
    """Train, and print what came out as a line of JSON."""
    name, side, mode, folder, seed, threads, epochs, ends_at_bar, launched = words
    task: Task = replace(TASKS[name], ends_at_bar=ends_at_bar == "True")
    if side == OURS:
        import accuracy_ours

        imported = time.monotonic()
        watch = accuracy_ours.run(task, folder, int(seed), int(threads))
    else:
        import accuracy_pytorch

        imported = time.monotonic()
        watch = accuracy_pytorch.run(task, folder, int(seed), int(threads), int(epochs), mode)
    print(json.dumps({"imported": imported - float(launched), **_figures(watch)}))


def _figures(watch: Watch) -> dict[str, object]:
    return {"read": watch.read, "epochs": watch.epochs, "accuracies": watch.accuracies}


def trained(
    options: argparse.Namespace, name: str, side: str, mode: str, seed: int, epochs: int | None = None
) -> Result:
    """Run one training in a new process.

    Raises
    ------
    SystemExit
        Where the process fails, with what it said.
    """
    task = TASKS[name]
    with tempfile.TemporaryDirectory() as empty:
        environment = dict(os.environ)
        if not options.warm:
            environment |= {variable: str(Path(empty) / variable) for variable in _CACHES}
        words = [name, side, mode, str(options.data / task.folder), seed, options.threads]
        ends_at_bar = options.until_bar and epochs is None
        words += [epochs or task.epochs, ends_at_bar, time.monotonic()]
        command = [sys.executable, __file__, "--child", *map(str, words)]
        before = _used()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        after = _used()
    if done.returncode:
        raise SystemExit(f"{side} failed on {name}:\n{done.stderr}")
    others = (after[0] - before[0]) / max(after[1] - before[1], 1e-9)
    found = json.loads(done.stdout.splitlines()[-1])
    return Result(name, side, mode, seed, **found, others=max(0.0, others))


def _used() -> tuple[float, float]:
    """Seconds of the cores: used by other processes than this and its children; and had in all."""
    try:
        cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        with open("/proc/stat") as file:
            lines = [line.split() for line in file if line.split()[0] in cores]
    except OSError:
        return 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    fields = [[int(count) / tick for count in line[1:9]] for line in lines]
    idle, total = sum(each[3] + each[4] for each in fields), sum(map(sum, fields))
    own = os.times()
    return total - idle - sum(own[:4]), total


# ---- all runs


def measure(options: argparse.Namespace, name: str) -> list[Result]:
    """Choose PyTorch's mode, then run seed by seed, one side after the other."""
    sides = [] if options.only_pytorch else [(OURS, "")]
    if not options.only_ours:
        sides.append((THEIRS, options.mode or _best_mode(options, name)))
    results = []
    for seed in range(options.seeds):
        for side, mode in sides:
            result = trained(options, name, side, mode, seed)
            results.append(result)
            print(run_line(result), flush=True)
            _write(options.json, {"kind": "run", **asdict(result)})
    return results


def _best_mode(options: argparse.Namespace, name: str) -> str:
    task = TASKS[name]
    predicted = {}
    for mode in MODES:
        probe = trained(options, name, THEIRS, mode, 0, _PROBED)
        predicted[mode] = probe.predicted(task.epochs)
        print(mode_line(probe, task), flush=True)
        _write(options.json, {"kind": "mode", "predicted": predicted[mode], **asdict(probe)})
    return min(predicted, key=predicted.__getitem__)


def _write(path: Path | None, values: dict[str, object]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(values) + "\n")


# ---- what is printed


def mode_line(probe: Result, task: Task) -> str:
    """What the first epochs of one of PyTorch's modes have shown."""
    first, second = probe.epochs[0] - probe.read, probe.epochs[1] - probe.epochs[0]
    return (
        f"  {probe.set:8s} {THEIRS} {probe.mode:24s} first epoch {first:6.2f} s, second {second:6.2f} s, "
        f"{task.epochs} epochs: {probe.predicted(task.epochs):6.1f} s with compiling, "
        f"{probe.read + task.epochs * second:6.1f} s without{_busy([probe])}"
    )


def run_line(result: Result) -> str:
    """One run."""
    bar = TASKS[result.set].bar
    epoch = result.reached(bar)
    reached = f"reached {bar:.1%} in {result.seconds(bar):.2f} s, epoch {(epoch or 0) + 1}"
    return (
        f"  {result.set:8s} {result.side:10s} seed {result.seed}  "
        f"{reached if epoch is not None else f'never reached {bar:.1%}'}; "
        f"accuracies {' '.join(f'{found:.4f}' for found in result.accuracies)}; "
        f"import {result.imported:.2f} s, reading {result.read:.2f} s, all {result.epochs[-1]:.2f} s"
        f"{_busy([result])}"
    )


def _busy(results: Sequence[Result]) -> str:
    most = max(result.others for result in results)
    return f"; others busy {most:.0%}" if most > workers.QUIET else ""


HEADER = (
    "| set | side | accuracy, last epoch | epochs | seconds to the bar | with imports | all epochs "
    "| ratio | bar |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def rows(results: Sequence[Result]) -> list[str]:
    """The table's lines for one set, in Markdown: medians of the seeds, in brackets least and most."""
    task, found = TASKS[results[0].set], []
    medians = {}
    for side in (OURS, THEIRS):
        runs = [result for result in results if result.side == side]
        if not runs:
            continue
        accuracies = [run.accuracies[-1] for run in runs]
        seconds = [run.seconds(task.bar) for run in runs]
        medians[side] = statistics.median(seconds)
        with_imports = statistics.median([run.imported + run.seconds(task.bar) for run in runs])
        reached = [str((run.reached(task.bar) or 0) + 1) for run in runs if run.reached(task.bar) is not None]
        is_last = side == THEIRS or all(result.side == OURS for result in results)
        cells = [
            results[0].set,
            f"{side} ({runs[0].mode})" if runs[0].mode else side,
            f"{statistics.median(accuracies):.2%} ({min(accuracies):.2%} to {max(accuracies):.2%})",
            " ".join(reached) or "none",
            f"{_seconds(medians[side])} ({_seconds(min(seconds))} to {_seconds(max(seconds))})",
            _seconds(with_imports),
            _seconds(statistics.median([run.epochs[-1] for run in runs])),
            f"{medians[THEIRS] / medians[OURS]:.2f}" if len(medians) == 2 else "",
            verdict(task, results) if is_last else "",
        ]
        found.append(f"| {' | '.join(cells)} |")
    return found


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < float("inf") else "never"


def verdict(task: Task, results: Sequence[Result]) -> str:
    """Whether our median accuracy reaches the bar, and how often as fast as PyTorch."""
    ours = [result for result in results if result.side == OURS]
    theirs = [result for result in results if result.side == THEIRS]
    if not ours:
        return ""
    own = statistics.median([run.seconds(task.bar) for run in ours])
    words = [f"{task.bar:.1%} {'met' if own < float('inf') else '**missed**'}"]
    if theirs:
        other = statistics.median([run.seconds(task.bar) for run in theirs])
        is_met = own < float("inf") and other >= task.ratio * own
        words.append(f"ratio {task.ratio:g} {'met' if is_met else '**missed**'}")
    return ", ".join(words)


# ---- the command line


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for, checked: the data are there, and PyTorch is."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_FOLDER), metavar="DIR")
    parser.add_argument("--sets", nargs="+", choices=tuple(TASKS), default=list(TASKS), metavar="SET")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, choices=range(1, workers.THREADS + 1), default=workers.THREADS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="lines of JSON are added to it")
    parser.add_argument("--mode", choices=MODES, help="PyTorch's, instead of the one that is found best")
    parser.add_argument(
        "--until-bar", action="store_true", help="end a run with the epoch that reaches the bar"
    )
    parser.add_argument("--warm", action="store_true", help="keep what was compiled in earlier runs")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-ours", action="store_true")
    only.add_argument("--only-pytorch", action="store_true")
    options = parser.parse_args(words)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    for name in options.sets:
        folder = options.data / TASKS[name].folder
        if not folder.is_dir():
            parser.error(f"no data for {name}: expected them in {folder}; pass --data DIR, the folder above")
    if not options.only_ours and importlib.util.find_spec("torch") is None:
        parser.error("PyTorch is not installed: pip install torch, or pass --only-ours")
    return options


def main() -> None:
    """Measure."""
    options = arguments()
    workers.pin()  # what is measured are the processes to come
    kept = "kept" if options.warm else "emptied before each run"
    print(f"{steps.machine(('numpy', 'llvmlite', 'torch'))}")
    print(f"{options.threads} threads, {options.seeds} seeds, compiled code {kept}\n", flush=True)
    table = [row for name in options.sets for row in rows(measure(options, name))]
    print("\n".join(["", HEADER, *table]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
