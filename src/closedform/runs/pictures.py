"""The pictures of a training run, as files: what each shows, and why one is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import FileError
from closedform.runs.charts import MOST_CLASSES, confusion_matrix, curves_of, learning_curves
from closedform.runs.drawing import can_draw, drawing, short_name
from closedform.runs.image_sheets import (
    draw_feature_maps,
    draw_filters,
    draw_mistakes,
    examples_of_classes,
    first_filters,
    first_stages,
    worst_mistakes,
)
from closedform.writing import PathLike, reason, write_file

if TYPE_CHECKING:
    from closedform.network import Network
    from closedform.training.history import History
    from closedform.training.metrics import Metrics

__all__ = ["Picture", "Samples", "can_draw", "draw_pictures"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """One picture of a run, or the reason why there is none.

    Attributes
    ----------
    name : str
        Its file's name, "learning_curves.png".
    title, caption : str
        A few words, and what there is to see; of a picture that was left out, why.
    alt : str
        What it shows, for those who cannot see it.
    path : Path or None
        Where it is; None for one that was left out.
    """

    name: str
    title: str
    caption: str
    alt: str = ""
    path: Path | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """The test images that are shown.

    Attributes
    ----------
    x : array
        Shape (N, C, H, W), or (N, ...) for what is no image: uint8 or float, as the network takes them.
    y : array of int64
        Shape (N,): the classes.
    classes : tuple of str
        The classes' names, by label.
    outputs : array, optional
        What `Network.predict` gives for all of them, shape (N, K), where it is known already.
    """

    x: Array
    y: Array
    classes: tuple[str, ...]
    outputs: Array | None = None


@dataclass(frozen=True)
class _Run:
    """All that a picture may show."""

    network: Network
    history: History
    metrics: Metrics | None
    samples: Samples | None


@dataclass(frozen=True)
class _Drawn:
    """A picture's bytes and words."""

    data: bytes
    caption: str
    alt: str


def draw_pictures(
    folder: PathLike,
    network: Network,
    history: History,
    metrics: Metrics | None,
    samples: Samples | None,
    between: Callable[[], object] = lambda: None,
) -> list[Picture]:
    """Draw what can be shown of a training run, each picture a PNG file.

    A file is written whole or not at all.  A picture that makes no sense for the run is left out, and a file
    of its name from an earlier run removed.

    Parameters
    ----------
    folder : path
        Where the files go.
    network : Network
        As it is after training.
    history : History
        What the training reported.
    metrics : Metrics, optional
        How good it is on the test set; None where there is none.
    samples : Samples, optional
        The test set's images.
    between : callable
        Called after each picture; what it raises ends the drawing.

    Returns
    -------
    list of Picture
        All of them in the order in which a report shows them; `Picture.path` is None for those left out.

    Raises
    ------
    MissingError
        Where matplotlib is not installed.
    FileError
        Where a file cannot be written.
    """
    run = _Run(network, history, metrics, samples)
    found = []
    with drawing():
        for name, title, draw in _PICTURES:
            path = Path(folder) / f"{name}.png"
            drawn = draw(run)
            if isinstance(drawn, str):
                _remove(path)
                found.append(Picture(path.name, title, drawn))
            else:
                write_file(path, drawn.data, path.name)
                found.append(Picture(path.name, title, drawn.caption, drawn.alt, path))
            between()
    return found


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be removed: {reason(error)}") from None


# ---- each picture, or the sentence that says why there is none


def _curves(run: _Run) -> _Drawn | str:
    drawn = curves_of(run.history)
    if not drawn:
        return "There are no learning curves: no epoch was finished."
    known = run.history.history
    words = {"loss": "the loss", "accuracy": "the accuracy", "learning_rate": "the learning rate"}
    caption = f"{_listed([words[key] for key in drawn])} after each epoch.".capitalize()
    if "val_loss" in known:
        caption += (
            " Training is measured while the weights still move, validation after the epoch on images that "
            "were not trained on: where validation gets worse while training gets better, the network "
            "begins to learn its training images by heart."
        )
    ends = [f"{key.replace('_', ' ')} {_span(known[key])}" for key in known if key != "learning_rate"]
    return _Drawn(learning_curves(run.history), caption, f"Line charts over the epochs: {'; '.join(ends)}.")


def _span(values: list[float]) -> str:
    return f"{values[0]:.3g}" if len(values) == 1 else f"from {values[0]:.3g} to {values[-1]:.3g}"


def _confusion(run: _Run) -> _Drawn | str:
    if run.metrics is None or run.samples is None:
        return "There is no confusion matrix: there is no test set."
    confusion, classes = np.asarray(run.metrics.confusion), run.samples.classes
    if len(confusion) > MOST_CLASSES:
        return (
            f"The confusion matrix is drawn for up to {MOST_CLASSES} classes, and there are {len(confusion)}."
        )
    right, total = int(np.trace(confusion)), int(confusion.sum())
    empty = " An empty cell is 0." if len(confusion) <= 20 else ""
    caption = (
        f"Each row is a true class, each column what the network took its images for; the darker a cell, the "
        f"larger its share of the row.{empty} On the diagonal are the {right:,} of {total:,} test images "
        f"that are right."
    )
    frequent = _frequent(confusion, classes)
    if frequent:
        caption += f" Most often confused: {frequent}."
    alt = f"Matrix of {len(confusion)} classes: {right:,} of {total:,} right. {frequent}"
    return _Drawn(confusion_matrix(confusion, classes), caption, alt.strip())


def _frequent(confusion: Array, classes: tuple[str, ...], most: int = 3) -> str:
    """The most frequent confusions, in words."""
    mistakes = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    places = [divmod(int(k), len(confusion)) for k in order if mistakes.flat[k]]
    return ", ".join(f"{classes[i]} → {classes[j]} ({mistakes[i, j]:,})" for i, j in places)


def _filters(run: _Run) -> _Drawn | str:
    filters = first_filters(run.network)
    if filters is None:
        return "There are no filters to show: no layer of the network has any."
    rest = "All" if filters.shown == filters.total else f"{filters.shown:,} of the"
    shown = f"{rest} {filters.total:,} filters" if filters.total > 1 else "The only filter"
    where = f" of {filters.place}"
    if filters.are_coloured:
        how = "each as the colours to which it answers most strongly; grey is 0"
    else:
        how = "orange weights add, blue weights subtract, almost white is 0"
    caption = f"{shown}{where}, after training: {how}."
    if filters.are_local:
        caption += " Each output position, a row here, has filters of its own."
    return _Drawn(draw_filters(filters), caption, f"{shown}{where} as small images of their weights.")


def _maps(run: _Run) -> _Drawn | str:
    if len(run.network.input_shape) != 3:
        return "There are no feature maps: the network takes no images."
    if run.samples is None or not len(run.samples.y):
        return "There are no feature maps: there are no test images."
    chosen = examples_of_classes(run.samples.y)
    images = _images(run.network, run.samples, chosen)
    stages = first_stages(run.network, images)
    if not stages:
        return "There are no feature maps: the network has no convolution or pooling."
    names = [run.samples.classes[int(label)] for label in np.asarray(run.samples.y)[chosen]]
    caption = (
        "Test images, and what the first stages of the network make of them: yellow where a channel answers "
        "strongly, dark blue where it does not. All images of a stage share one scale, so that a channel "
        "that stays dark does nothing."
    )
    listed = _listed([short_name(name) for name in names])
    layers = _listed([stage.name for stage in stages])
    alt = f"Images of {listed}, each with the outputs of the layers {layers} as small images."
    return _Drawn(draw_feature_maps(images, names, stages), caption, alt)


def _mistakes(run: _Run) -> _Drawn | str:
    samples, network = run.samples, run.network
    if len(network.input_shape) != 3 or len(network.output_shape) != 1:
        return "There are no mistakes to show: the network does not classify images."
    if samples is None or not len(samples.y):
        return "There are no mistakes to show: there are no test images."
    outputs = network.predict(samples.x) if samples.outputs is None else samples.outputs
    mistakes = worst_mistakes(outputs, np.asarray(samples.y))
    if not mistakes.total:
        return "There are no mistakes to show: every test image was classified right."
    count = len(mistakes.positions)
    what = f"The {count} worst of {mistakes.total:,} mistakes" if count < mistakes.total else "All mistakes"
    caption = f"{what} on the test set, the worst first: the true class → what the network took it for"
    caption += ", with the probability that it gave that." if mistakes.probabilities is not None else "."
    pairs = zip(mistakes.true, mistakes.predicted, strict=True)
    listed = ", ".join(f"{samples.classes[i]} → {samples.classes[j]}" for i, j in list(pairs)[:10])
    rest = " and more" if count > 10 else ""
    data = draw_mistakes(_images(network, samples, mistakes.positions), mistakes, samples.classes)
    return _Drawn(data, caption, f"Test images that were classified wrong: {listed}{rest}.")


_PICTURES: tuple[tuple[str, str, Callable[[_Run], _Drawn | str]], ...] = (
    ("learning_curves", "Learning curves", _curves),
    ("confusion_matrix", "Confusion matrix", _confusion),
    ("worst_mistakes", "Worst mistakes", _mistakes),
    ("filters", "First filters", _filters),
    ("feature_maps", "Feature maps", _maps),
)


def _images(network: Network, samples: Samples, chosen: NDArray[np.int64]) -> Array:
    """Some of the images as (n, C, H, W)."""
    images = np.asarray(samples.x[chosen])
    return images.reshape(len(images), *network.input_shape)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
