"""Trains locally connected layers and shared kernels on the same digits, and draws what came out.

    python recipes/local_against_shared.py [--data DIR] [--seeds 3] [--runs FOLDER]

The networks of locally-connected.toml and shared-kernels.toml have the same number of units in every layer.
Runs that are in the folder already are not repeated.  The picture is local_against_shared.png, beside this
script.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import closedform as cf
from closedform.runs.drawing import BLUE, INK, ORANGE, PAPER, diverging, drawing, figure, png

HERE = Path(__file__).parent
PICTURE = HERE / "local_against_shared.png"
NAMES = {"locally-connected": ("locally connected", ORANGE), "shared-kernels": ("shared kernels", BLUE)}


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    parameters
        How many weights and biases the network has.
    error
        Percent of the test images that are classified wrong.
    errors
        The same of the validation images, after each epoch.
    filters
        Those of the first layer: (8, 5, 5), or (12, 12, 8, 5, 5) where each position has its own.
    """

    parameters: int
    error: float
    errors: list[float]
    filters: np.ndarray


def trained(name: str, seed: int, data: Path | None, runs: Path) -> Run:
    """Train a recipe with a seed, unless that has been done."""
    folder = runs / f"{name}-{seed}"
    command = [sys.executable, "-m", "closedform", "train", str(HERE / f"{name}.toml"), "--seed", str(seed)]
    command += ["--out", str(folder), "--resume", "--no-pictures", "--json"]
    if data is not None:
        command += ["--data", str(data)]
    subprocess.run(command, check=True)
    results = json.loads((folder / "run.json").read_text())
    with (folder / "history.csv").open(newline="") as file:
        errors = [100 * (1 - float(row["val_accuracy"])) for row in csv.DictReader(file)]
    first = next(iter(cf.load(folder / "model.safetensors").parameters.values()))
    filters = np.asarray(first).squeeze(-3)  # of one input channel
    return Run(results["parameters"], 100 * (1 - results["test_accuracy"]), errors, filters)


def picture(found: dict[str, list[Run]]) -> bytes:
    """Errors over weights, errors over epochs, and the filters of the first layer, as a PNG."""
    with drawing():
        sheet = figure(7.6, 6.4, layout="constrained")
        grid = sheet.add_gridspec(2, 2, height_ratios=[1, 1.15])
        _weights(sheet.add_subplot(grid[0, 0]), found)
        _epochs(sheet.add_subplot(grid[0, 1]), found)
        _filters(sheet.add_subplot(grid[1, 0]), shared(found["shared-kernels"][0].filters))
        sheet.axes[-1].set_title("Shared: all 8 filters")
        _filters(sheet.add_subplot(grid[1, 1]), local(found["locally-connected"][0].filters))
        sheet.axes[-1].set_title("Local: one of 8, at all 12×12 places")
        return png(sheet)


def _weights(axes, found):
    for name, (words, colour) in NAMES.items():
        runs = found[name]
        errors, count = [run.error for run in runs], runs[0].parameters
        axes.plot([count] * len(runs), errors, "o", color=colour, alpha=0.7, markersize=6)
        text = f"{words}\n{count:,} weights\nmedian {statistics.median(errors):.2f} %"
        place = (count, min(errors))
        behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 2}
        axes.annotate(
            text, place, (0, -10), textcoords="offset points", ha="center", va="top", color=INK, bbox=behind
        )
    counts = [found[name][0].parameters for name in NAMES]
    axes.set_xscale("log")
    axes.set_xlim(min(counts) / 4, max(counts) * 4)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.15 * max(run.error for runs in found.values() for run in runs))
    axes.set_xlabel("weights and biases")
    axes.set_ylabel("wrong of the test images, %")
    axes.set_title("Fewer weights, fewer mistakes")
    axes.grid(axis="y")


def _epochs(axes, found):
    for name, (words, colour) in NAMES.items():
        for position, run in enumerate(found[name]):
            epochs = range(1, 1 + len(run.errors))
            style = "--" if name == "locally-connected" else "-"
            label = words if position == 0 else None
            axes.plot(epochs, run.errors, style, color=colour, linewidth=1.4, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("wrong of the validation images, %")
    axes.set_title("In the course of the training")
    axes.grid(axis="y")
    axes.legend()


def _filters(axes, tiles):
    top = float(np.nanmax(np.abs(tiles)))
    axes.imshow(tiles, cmap=diverging(), vmin=-top, vmax=top, interpolation="nearest")
    axes.set_axis_off()
    axes.set_anchor("NW")


def shared(filters: np.ndarray) -> np.ndarray:
    """The filters (8, 5, 5) as two rows of four, empty lines between them."""
    return _tiled(filters.reshape(2, 4, *filters.shape[1:]))


def local(filters: np.ndarray) -> np.ndarray:
    """The first filter of every position (P, Q, 8, 5, 5), at its place, empty lines between them."""
    return _tiled(filters[:, :, 0])


def _tiled(tiles: np.ndarray) -> np.ndarray:
    """(rows, columns, height, width) as one array."""
    framed = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, height, width = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]


def main() -> None:
    """Train what is missing, print the figures and draw the picture."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="MNIST's folder (default: recipes/data/mnist)"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=HERE / "runs", metavar="FOLDER")
    options = parser.parse_args()
    seeds = range(options.seeds)
    found = {name: [trained(name, seed, options.data, options.runs) for seed in seeds] for name in NAMES}
    for name, runs in found.items():
        errors = sorted(run.error for run in runs)
        print(
            f"{name:18s}{runs[0].parameters:8,} weights; test error {statistics.median(errors):.2f} % "
            f"({errors[0]:.2f} to {errors[-1]:.2f})"
        )
    PICTURE.write_bytes(picture(found))


if __name__ == "__main__":
    main()
