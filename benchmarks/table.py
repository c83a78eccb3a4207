"""What `train_step.py` and `inference.py` share: the command line, a cell of the table, and its printing.

    python benchmarks/table.py FILE.json

prints the table of a file that one of them wrote as Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import ours
import workers
from workers import Worker
from workloads import NAMES, SMALLEST, Workload

from closedform.bench import peak, steps

SAMPLE_SECONDS = 0.03


@dataclass(frozen=True)
class Cell:
    """The figures of one network at one batch size, in seconds a step."""

    net: str
    batch: int
    operations: int
    minimum: dict[str, float]
    median: dict[str, float]
    peak: float  # GFLOP/s of two cores, in the same run
    others: float  # the share of the cores that other processes used meanwhile

    @property
    def seconds(self) -> float:
        """Our time."""
        return self.minimum[ours.NAME]

    @property
    def rate(self) -> float:
        """Our GFLOP/s of useful operations."""
        return self.operations / self.seconds / 1e9

    def best(self, library: str) -> str | None:
        """The library's mode of the least minimum; None where it was not measured."""
        modes = [mode for mode in self.minimum if mode.startswith(library)]
        return min(modes, key=self.minimum.__getitem__, default=None)

    def ratio(self, library: str) -> float | None:
        """The library's best time divided by ours."""
        mode = self.best(library)
        return self.minimum[mode] / self.seconds if mode else None


Bar = Callable[[Cell], tuple[float, str] | None]  # the most seconds that our step may take, and why


def verdict(cell: Cell, bar: Bar) -> str:
    """Whether the bar is met, by how much not, and which bar it was."""
    found = bar(cell)
    if found is None:
        return ""
    excess = cell.seconds / found[0]
    return f"met ({found[1]})" if excess <= 1 else f"missed {excess:.2f}x ({found[1]})"


def header(libraries: Sequence[str]) -> str:
    """The table's first line."""
    columns = "".join(f"{library + ' µs':>20s}{'ratio':>7s}" for library in libraries)
    return f"{'net':12s}{'batch':>6s}{'ours µs':>20s}{'GFLOP/s':>9s}{'peak':>6s}{columns}  verdict"


def row(cell: Cell, libraries: Sequence[str], bar: Bar) -> str:
    """One line of the table: minimum (median), the verdict, and the best mode of the first library."""
    text = (
        f"{cell.net:12s}{cell.batch:6d}{_times(cell, ours.NAME)}{cell.rate:9.1f}{cell.rate / cell.peak:6.0%}"
    )
    for library in libraries:
        mode, ratio = cell.best(library), cell.ratio(library)
        text += f"{_times(cell, mode)}{ratio:7.2f}" if mode else " " * 27
    first = cell.best(libraries[0])
    remarks = [verdict(cell, bar), (first or "").removeprefix(libraries[0]).strip(" ,")]
    if cell.others > workers.QUIET:
        remarks.append(f"others busy {cell.others:.0%}")
    return f"{text}  {'; '.join(filter(None, remarks))}".rstrip()


def _times(cell: Cell, mode: str) -> str:
    return _cell_times(cell, mode).rjust(20)


def _cell_times(cell: Cell, mode: str) -> str:
    return f"{cell.minimum[mode] * 1e6:.1f} ({cell.median[mode] * 1e6:.0f})"


def means(cells: Iterable[Cell], library: str, batches: Sequence[int]) -> dict[str, float]:
    """Geometric means of the ratio to a library, over these batches and all, with and without small nets."""
    known = [(cell, ratio) for cell in cells if (ratio := cell.ratio(library)) is not None]
    found = {}
    everything = {cell.batch for cell, _ in known}
    groups = {"every batch": everything}
    if everything - set(batches):
        groups = {f"batch {' and '.join(map(str, batches))}": set(batches), **groups}
    for which, chosen in groups.items():
        for without in ((), SMALLEST):
            logs = [math.log(r) for cell, r in known if cell.net not in without and cell.batch in chosen]
            if logs:
                name = f"{which}{', without the two smallest' if without else ''}"
                found[name] = math.exp(statistics.fmean(logs))
    return found


def machine() -> str:
    """The processor, and the versions of what is measured."""
    return steps.machine(("numpy", "llvmlite", "torch", "jax", "onnxruntime"))


def arguments(description: str | None, batches: Sequence[int]) -> argparse.Namespace:
    """The command line of both scripts."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=layout)
    parser.add_argument("nets", nargs="*", default=list(NAMES), metavar="NET", help=", ".join(NAMES))
    parser.add_argument("--batches", nargs="+", type=int, default=list(batches))
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--only-ours", action="store_true", help="no competitor")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds a cell may wait for other processes to be quiet"
    )
    options = parser.parse_args()
    unknown = [name for name in options.nets if name not in NAMES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(NAMES)}")
    return options


def measure(
    options: argparse.Namespace,
    sides: list[Worker],
    libraries: Sequence[str],
    bar: Bar,
    batches: Sequence[int],
    *,
    training: bool,
) -> list[Cell]:
    """Measure cell after cell, print the table, and write the JSON file as it grows."""
    print(f"{machine()}\nmicroseconds: minimum (median) of {options.runs} interleaved runs, 2 threads\n")
    print(header(libraries), flush=True)
    gauge = peak.Gauge()
    cells: list[Cell] = []
    for name in options.nets:
        for batch in options.batches:
            workload = Workload(name, batch)
            found = workers.measure(
                workload, sides, options.runs, SAMPLE_SECONDS, options.patience, lambda: gauge.rate(2)
            )
            cells.append(Cell(name, batch, workload.operations(training=training), **vars(found)))
            print(row(cells[-1], libraries, bar), flush=True)
            if options.json:
                averages = means(cells, libraries[0], batches)
                options.json.write_text(_json(cells, bar, libraries, averages, options.runs))
    for side in sides:
        side.close()
    peaks = [cell.peak for cell in cells]
    print(f"\npeak of two cores: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s")
    for library in libraries:
        for group, mean in means(cells, library, batches).items():
            print(f"geometric mean of the ratio to {library}, {group}: {mean:.2f}")
    judged = [cell for cell in cells if bar(cell) is not None]
    met = [cell for cell in judged if verdict(cell, bar).startswith("met")]
    if judged:
        print(f"{len(met)} of {len(judged)} bars met")
    return cells


def _json(
    cells: list[Cell], bar: Bar, libraries: Sequence[str], averages: dict[str, float], runs: int
) -> str:
    rows: list[dict[str, Any]] = []
    for cell in cells:
        limit = bar(cell)
        judged = {"bar": limit[0], "kind": limit[1], "verdict": verdict(cell, bar)} if limit else {}
        rows.append({**asdict(cell), "rate": cell.rate, **judged})
    found = {"machine": machine(), "runs": runs, "libraries": list(libraries), "means": averages}
    return json.dumps({**found, "cells": rows}, indent=1) + "\n"


def markdown(path: Path) -> str:
    """The table of a JSON file, in microseconds; bars that are missed are bold."""
    found = json.loads(path.read_text())
    libraries = found["libraries"]
    heads = ["net", "batch", "ours", "GFLOP/s", "of peak"]
    heads += [word for library in libraries for word in (library, "ratio")] + ["bar"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    names = [each.name for each in fields(Cell)]
    for values in found["cells"]:
        cell = Cell(**{name: values[name] for name in names})
        texts = [cell.net, str(cell.batch), _cell_times(cell, ours.NAME), f"{cell.rate:.1f}"]
        texts.append(f"{cell.rate / cell.peak:.0%}")
        for library in libraries:
            mode, ratio = cell.best(library), cell.ratio(library)
            texts += [_cell_times(cell, mode), f"{ratio:.2f}"] if mode else ["", ""]
        judged = values.get("verdict", "")
        texts.append(f"**{judged}**" if judged.startswith("missed") else judged)
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join([*lines, "", found["machine"]])


if __name__ == "__main__":
    import sys

    print(markdown(Path(sys.argv[1])))
