"""Sheets of images: a network's first filters, what its first stages see, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.runs.drawing import SOFT, Sheet, as_pictures, diverging, png, short_name

if TYPE_CHECKING:
    from closedform.architecture import Architecture
    from closedform.layers import Layer
    from closedform.network import Network

Array = NDArray[Any]

_WIDTH = 7.6  # inches
_MARGIN = 0.12
_MOST_TILES = 64
_PER_ROW = 8

# ---- filters


@dataclass(frozen=True)
class Filters:
    """The kernels of a layer that are shown.

    Attributes
    ----------
    place
        The layer, as messages call it.
    kernels
        (rows, columns, R, S), or (rows, columns, 3, R, S) where each is shown in colour.
    rows, columns
        What stands before each row and above each column; empty where nothing needs to be said.
    shown, total
        How many filters the sheet shows and how many the layer has.
    are_local
        Whether each output position has its own.
    """

    place: str
    kernels: Array
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shown: int
    total: int
    are_local: bool = False

    @property
    def are_coloured(self) -> bool:
        """Whether a filter is shown as one tile of red, green and blue."""
        return self.kernels.ndim == 5


def first_filters(network: Network) -> Filters | None:
    """The kernels of the first layer that has some, or None."""
    from closedform.layers import ChannelSummedConv2d, Conv2d, DepthwiseConv2d, LocallyConnected2d

    kinds = (ChannelSummedConv2d, Conv2d, DepthwiseConv2d, LocallyConnected2d)
    architecture = network.architecture
    for position, layer in enumerate(architecture.layers):
        if isinstance(layer, kinds):
            weight = np.array(_parameters(network, position)["weight"])
            # colours are the image's: after another layer three channels are no colours
            place = architecture.place(position)
            if isinstance(layer, LocallyConnected2d):
                return _local_filters(place, weight, position == 0)
            if weight.ndim == 3:
                weight = weight[:, None]
            return _shared_filters(place, weight, position == 0)
    return None


def _shared_filters(place: str, weight: Array, sees_image: bool) -> Filters:
    """Filters (K, C, R, S)."""
    total, channels = weight.shape[:2]
    if channels == 1 or (channels == 3 and sees_image):
        chosen = weight[:_MOST_TILES] if channels == 3 else weight[:_MOST_TILES, 0]
        return Filters(place, _in_rows(chosen), (), (), len(chosen), total)
    rows, columns = min(total, _MOST_TILES // _PER_ROW), min(channels, _PER_ROW)
    names = tuple(f"filter {k}" for k in range(rows)), tuple(f"channel {k}" for k in range(columns))
    return Filters(place, weight[:rows, :columns], *names, rows, total)


def _local_filters(place: str, weight: Array, sees_image: bool) -> Filters:
    """Filters (P, Q, K, C, R, S): a row for each of some output positions, a column for each filter there."""
    height, width, filters, channels = weight.shape[:4]
    positions = _spread(height * width, _MOST_TILES // _PER_ROW)
    columns = min(filters, _PER_ROW)
    chosen = weight.reshape(height * width, *weight.shape[2:])[positions, :columns]
    kernels = chosen if channels == 3 and sees_image else chosen[:, :, 0]
    names = tuple(f"row {k // width}, column {k % width}" for k in positions)
    shown = len(positions) * columns
    above = tuple(f"filter {k}" for k in range(columns))
    return Filters(place, kernels, names, above, shown, height * width * filters, True)


def _in_rows(tiles: Array) -> Array:
    """Tiles in rows of eight, the last one filled up with NaN."""
    columns = min(len(tiles), _PER_ROW)
    rows = -(-len(tiles) // columns)
    whole = np.full((rows * columns, *tiles.shape[1:]), np.nan, np.float32)
    whole[: len(tiles)] = tiles
    return whole.reshape(rows, columns, *tiles.shape[1:])


def draw_filters(filters: Filters) -> bytes:
    """A sheet of filters as a PNG."""
    kernels = np.where(np.isfinite(filters.kernels), filters.kernels, np.nan)
    rows, columns = kernels.shape[:2]
    left = 0.3 + 0.078 * max(map(len, filters.rows), default=0)
    top = 0.4 if filters.columns else _MARGIN
    step = (_WIDTH - left - _MARGIN) / _PER_ROW
    step = min(step, 0.85) if rows * columns > 4 else 1.4
    width = max(left + columns * step + _MARGIN, 4.0)
    foot = 0.15 if filters.are_coloured else 0.85
    sheet = Sheet(width + _MARGIN, top + rows * step + foot)
    limit = _largest(kernels)
    for row, column in np.ndindex(rows, columns):
        tile = kernels[row, column]
        if np.isnan(tile).all():
            continue
        place = left + column * step, top + row * step, step * 0.88
        if filters.are_coloured:
            sheet.image(np.moveaxis(0.5 + np.nan_to_num(tile) / (2 * limit), 0, -1), *place)
        else:
            signs: dict[str, Any] = {"cmap": diverging(), "vmin": -limit, "vmax": limit}
            sheet.image(tile, *place, interpolation="nearest", **signs)
    for row, name in enumerate(filters.rows):
        sheet.words(name, left - 0.1, top + (row + 0.44) * step, ha="right")
    for column, name in enumerate(filters.columns):
        sheet.words(name, left + (column + 0.44) * step, top - 0.15, ha="center", fontsize=8)
    if not filters.are_coloured:
        sheet.scale(left, top + rows * step + 0.1, min(3.0, width - left - 0.5), limit, "weight")
    return png(sheet.figure)


def _largest(array: Array) -> float:
    """The largest magnitude, and 1 where all is zero or no number."""
    finite = array[np.isfinite(array)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    return largest or 1.0


# ---- feature maps


@dataclass(frozen=True)
class Stage:
    """What a few images look like after a layer and the activation behind it.

    Attributes
    ----------
    name
        "0: Conv2d, ReLU"
    maps
        (N, K, P, Q)
    """

    name: str
    maps: Array


def first_stages(network: Network, images: Array, most: int = 4) -> list[Stage]:
    """The outputs of the first convolutions and poolings for raw images (N, C, H, W)."""
    from closedform.data.inputs import as_float

    architecture = network.architecture
    x = np.array(as_float(images))
    if network.standardization is not None:
        x = network.standardization.apply(x)
    found: list[Stage] = []
    wanted = _stages(architecture)[:most]
    for position in range(wanted[-1][-1] + 1 if wanted else 0):
        x, _ = architecture.layers[position].apply(x, _parameters(network, position))
        for stage in wanted:
            if position == stage[-1]:
                kinds = ", ".join(type(architecture.layers[k]).__name__ for k in stage)
                found.append(Stage(f"{architecture.labels[stage[0]]}: {kinds}", x))
    return found


def _stages(architecture: Architecture) -> list[list[int]]:
    """The positions of each convolution or pooling, with those of the activations behind it."""
    stages: list[list[int]] = []
    is_open = False
    for position, layer in enumerate(architecture.layers):
        has_maps = len(architecture.shapes[position + 1]) == 3
        if has_maps and _looks_around(layer):
            stages.append([position])
            is_open = True
        elif is_open and has_maps and _is_pointwise(layer):
            stages[-1].append(position)
        else:
            is_open = False
    return stages


def _looks_around(layer: Layer) -> bool:
    from closedform.layers import Formula
    from closedform.layers.windows import Windowed

    return isinstance(layer, Windowed | Formula)


def _is_pointwise(layer: Layer) -> bool:
    from closedform.layers import LeakyReLU, ReLU, Sigmoid, Tanh

    return isinstance(layer, ReLU | LeakyReLU | Sigmoid | Tanh)


def _parameters(network: Network, position: int) -> dict[str, Array]:
    """A layer's parameters by public name."""
    return {
        parameter.key.rpartition(".")[2]: network.parameters[parameter.key]
        for parameter in network.architecture.parameters
        if parameter.layer == position
    }


def examples_of_classes(y: Array, most: int = 4) -> NDArray[np.int64]:
    """The positions of the first example of each of a few classes, spread over all that there are."""
    present, first = np.unique(y, return_index=True)
    return first[_spread(len(present), most)].astype(np.int64)


def draw_feature_maps(images: Array, names: Sequence[str], stages: Sequence[Stage]) -> bytes:
    """A block for each image: itself, and a row of channels for each stage, as a PNG."""
    pictures = as_pictures(images)
    left, size, words, wide = 1.45, 0.62, 0.2, 1.15
    step = size + 0.06
    heights = [_height(stage.maps[0, 0], size) + words + 0.06 for stage in stages]
    block = max(sum(heights), words + _height(pictures[0], wide)) + 0.18
    columns = max(min(stage.maps.shape[1], _PER_ROW) for stage in stages)
    sheet = Sheet(left + max(columns * step, 3.2), len(pictures) * block + _MARGIN)
    for number, picture in enumerate(pictures):
        y = _MARGIN + number * block
        sheet.words(short_name(names[number], 14), 0, y + words / 2, fontweight="bold")
        sheet.image(picture, 0, y + words, wide)
        for stage, height in zip(stages, heights, strict=True):
            count = stage.maps.shape[1]
            rest = f", {_PER_ROW} of {count} channels" if count > _PER_ROW else ""
            title = f"{stage.name}  {'×'.join(map(str, stage.maps.shape[2:]))}{rest}"
            sheet.words(title, left, y + words / 2, fontsize=7.5, color=SOFT)
            strength = {"cmap": "cividis", **_range(stage.maps[:, :_PER_ROW])}
            for column in range(min(count, _PER_ROW)):
                sheet.image(stage.maps[number, column], left + column * step, y + words, size, **strength)
            y += height
    return png(sheet.figure)


def _height(image: Array, size: float) -> float:
    """How high an image is in a square of that size."""
    rows, columns = image.shape[:2]
    return size * min(1.0, float(rows / columns))


def _range(maps: Array) -> dict[str, float]:
    """The colours' ends: the brightest two of a thousand numbers share one, or they would darken the rest."""
    finite = maps[np.isfinite(maps)]
    low, high = (float(finite.min()), float(np.quantile(finite, 0.998))) if finite.size else (0.0, 1.0)
    return {"vmin": low, "vmax": high if high > low else low + 1.0}


# ---- mistakes


@dataclass(frozen=True)
class Mistakes:
    """The test images that were classified wrong, those with the highest loss first.

    Attributes
    ----------
    positions, true, predicted
        In the test set, and the labels.
    probabilities
        The probability of the predicted class; None where the network gives none.
    total
        How many mistakes there are, of which these are the worst.
    """

    positions: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None
    total: int


def worst_mistakes(outputs: Array, y: Array, most: int = 25) -> Mistakes:
    """The worst mistakes among outputs (N, K), or (N, 1) probabilities of the second class."""
    scores = np.asarray(outputs, dtype=np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([1 - scores, scores], axis=1)
    each = np.arange(len(y))
    predicted = scores.argmax(axis=1)
    wrong = np.flatnonzero(predicted != y)
    sums_to_one = np.allclose(scores.sum(axis=1), 1, atol=1e-3) and scores.min(initial=0) >= 0
    # the loss is -log of the true class's probability; of other outputs, how far it lies behind
    true = scores[each, y]
    badness = -true if sums_to_one else scores[each, predicted] - true
    order = wrong[np.argsort(-badness[wrong], kind="stable")][:most]
    probabilities = scores[order, predicted[order]] if sums_to_one else None
    return Mistakes(order, np.asarray(y)[order], predicted[order], probabilities, len(wrong))


def draw_mistakes(images: Array, mistakes: Mistakes, classes: Sequence[str]) -> bytes:
    """A sheet of images, above each its true class and what it was taken for, as a PNG."""
    pictures = as_pictures(images)
    names = [
        tuple(classes[int(k)] for k in pair) for pair in zip(mistakes.true, mistakes.predicted, strict=True)
    ]
    is_short = max(len(true) + len(predicted) for true, predicted in names) <= 10
    columns = min(5, len(pictures))
    step = (_WIDTH - 2 * _MARGIN) / 5
    size, words = step - 0.18, 0.24 if is_short else 0.42
    row = words + _height(pictures[0], size) + 0.16
    sheet = Sheet(max(2 * _MARGIN + columns * step, 2.4), _MARGIN + row * -(-len(pictures) // columns))
    for number, (true, predicted) in enumerate(names):
        left, top = _MARGIN + number % columns * step, _MARGIN + number // columns * row
        chance = ""
        if mistakes.probabilities is not None:
            chance = f", {share(float(mistakes.probabilities[number]))}"
        if is_short:
            lines = [f"{short_name(true)} → {short_name(predicted)}{chance}"]
        else:
            lines = [short_name(true, 19), f"→ {short_name(predicted, 11)}{chance}"]
        for place, line in enumerate(lines):
            sheet.words(line, left, top + 0.1 + 0.17 * place, fontsize=8)
        sheet.image(pictures[number], left, top + words, size)
    return png(sheet.figure)


def share(probability: float) -> str:
    """A probability in whole percents; what is not certain is never called 100%."""
    if 0.995 <= probability < 1:
        return ">99%"
    return f"{probability:.0%}"


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the positions below count, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
