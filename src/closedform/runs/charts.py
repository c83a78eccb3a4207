"""Figures as charts: learning curves and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.runs.drawing import BLUE, INK, ORANGE, PAPER, SOFT, figure, png, sequential, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from closedform.training.history import History

Counts = NDArray[np.int64]

MOST_CLASSES = 100
_NUMBERED = 20  # classes up to which a cell has room for its number
_NAMED = 40  # classes up to which each has its name beside the matrix
_DOTS = 30  # epochs up to which each has its own mark
_WIDTH = 7.6  # inches

_MEASURES = (("loss", "Loss"), ("accuracy", "Accuracy"))
_RATE = "learning_rate"


def curves_of(history: History) -> list[str]:
    """What of a history is drawn: "loss", "accuracy", "learning_rate"."""
    known = history.history
    drawn = [key for key, _ in _MEASURES if known.get(key) or known.get(f"val_{key}")]
    return [*drawn, _RATE] if known.get(_RATE) else drawn


def learning_curves(history: History) -> bytes:
    """Loss and accuracy over the epochs, in training and validation, and the learning rate, as a PNG."""
    drawn = curves_of(history)
    panels = [entry for entry in _MEASURES if entry[0] in drawn]
    has_rate = _RATE in drawn
    heights = [2.9] * bool(panels) + [1.5] * has_rate
    sheet = figure(_WIDTH, sum(heights), layout="constrained")
    grid = sheet.add_gridspec(len(heights), 1, height_ratios=heights)
    if panels:
        upper = grid[0].subgridspec(1, len(panels))
        for column, (key, title) in enumerate(panels):
            _panel(sheet.add_subplot(upper[column]), history, key, title)
    if has_rate:
        _rates(sheet.add_subplot(grid[-1]), history.history[_RATE])
    return png(sheet)


def _panel(axes: Axes, history: History, key: str, title: str) -> None:
    from matplotlib.ticker import PercentFormatter

    for name, word, colour, line, mark in (
        (key, "training", BLUE, "-", "o"),
        (f"val_{key}", "validation", ORANGE, "--", "s"),
    ):
        values = history.history.get(name)
        if values:
            _line(axes, values, label=word, color=colour, linestyle=line, marker=mark)
    axes.set_title(title)
    epoch_axis(axes, max(len(history.history.get(name, [])) for name in (key, f"val_{key}")))
    if key == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if len(axes.lines[0].get_xdata()) == 1:  # type: ignore[arg-type]
            axes.set_ylim(0, 1)
    else:
        axes.set_ylim(bottom=0)
    if len(axes.lines) > 1:
        axes.legend(loc="best")


def _rates(axes: Axes, rates: Sequence[float]) -> None:
    _line(axes, rates, color=INK, linestyle="-", marker="o")
    axes.set_title("Learning rate")
    epoch_axis(axes, len(rates))
    positive = [rate for rate in rates if rate > 0]
    if len(positive) == len(rates) and max(rates) > 50 * min(rates):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _line(axes: Axes, values: Sequence[float], *, marker: str, **settings: Any) -> None:
    """One figure over the epochs; where it is infinite or no number, the line has a gap."""
    heights = np.asarray(values, dtype=np.float64)
    heights[~np.isfinite(heights)] = np.nan
    shown = marker if len(heights) <= _DOTS else ""
    epochs = np.arange(1, len(heights) + 1)
    axes.plot(epochs, heights, marker=shown, markersize=4, linewidth=1.6, **settings)


def epoch_axis(axes: Axes, count: int) -> None:
    """An axis of so many epochs, counted from 1, with marks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    room = 0.5 if count == 1 else min(0.03 * (count - 1), 0.9)  # 0 is no epoch
    axes.set_xlim(1 - room, count + room)
    if count <= 6:
        axes.set_xticks(range(1, count + 1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.set_xlabel("epoch")
    axes.grid(axis="y")


def confusion_matrix(confusion: Counts, classes: Sequence[str]) -> bytes:
    """How often each true class (row) was given each predicted class (column), as a PNG."""
    from matplotlib.colors import PowerNorm

    count = len(confusion)
    cell = min(0.5, 6.0 / count) if count > 5 else 0.7
    side = cell * count
    sheet = figure(side, side)
    axes = sheet.add_axes((0, 0, 1, 1))
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # the root makes the few mistakes of a good network visible
    image = axes.imshow(shares, cmap=sequential(), norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    axes.spines[:].set_visible(True)
    _names(axes, [short_name(name) for name in classes])
    if count <= _NUMBERED:
        _numbers(axes, confusion, shares, cell)
    tall = max(side, 2.0) / side
    bar = sheet.colorbar(image, cax=sheet.add_axes((1 + 0.2 / side, 1 - tall, 0.14 / side, tall)))
    bar.set_ticks([0, 0.01, 0.1, 0.25, 0.5, 1], labels=["0", "1%", "10%", "25%", "50%", "100%"])
    bar.ax.tick_params(labelsize=8)
    bar.set_label("share of the true class")
    bar.outline.set_linewidth(0.5)
    return png(sheet)


def _names(axes: Axes, names: Sequence[str]) -> None:
    """The classes' names beside both axes, across where they are too long for a column."""
    shown = _named_positions(len(names))
    written = [names[k] for k in shown]
    is_long = max(map(len, written)) > 3
    axes.set_xticks(shown, written, rotation=90 if is_long else 0, parse_math=False)
    axes.set_yticks(shown, written, parse_math=False)
    size = 9.0 if len(names) <= _NUMBERED else 7.5
    axes.tick_params(length=0 if len(names) <= _NAMED else 3, labelsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")


def _named_positions(count: int) -> list[int]:
    """The classes whose names are written; of many, every so many."""
    step = next(step for step in (1, 2, 5, 10) if count <= step * _NAMED)
    return list(range(0, count, step))


def _numbers(axes: Axes, confusion: Counts, shares: NDArray[np.float64], cell: float) -> None:
    """The counts in their cells; an empty cell is 0."""
    digits = max(len(str(confusion.max())), 2)
    size = min(9.0, cell * 72 / (digits * 0.72))
    for row, column in zip(*np.nonzero(confusion), strict=True):
        is_dark = shares[row, column] > 0.2
        axes.text(
            *(column, row, str(confusion[row, column])),
            ha="center",
            va="center",
            fontsize=size,
            color=PAPER if is_dark else INK,
        )
    edges = np.arange(len(confusion) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color=SOFT, linewidth=0.3)
    axes.tick_params(which="minor", length=0)
