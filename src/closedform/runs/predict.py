"""The classes of images, by a trained model."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import Inputs
from closedform.runs.run_file import PACKAGED
from closedform.runs.trained_model import TrainedModel

Array = NDArray[Any]
_WIDEST_NAME = 60


@dataclass(frozen=True)
class Prediction:
    """What a model takes an image for: the most probable classes first, each with its probability."""

    name: str
    found: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Predictions:
    """What a model takes some images for, and a sentence for each file that was left out."""

    each: tuple[Prediction, ...]
    left_out: tuple[str, ...]

    def table(self) -> str:
        """A line for each image and class."""
        rows = [("image", "class", "probability")]
        for one in self.each:
            for place, (label, probability) in enumerate(one.found):
                rows.append(("" if place else _short(one.name), label, f"{probability:.2%}"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a.ljust(widths[0])}  {b.ljust(widths[1])}  {c.rjust(widths[2])}" for a, b, c in rows]
        lines.insert(1, "  ".join("─" * width for width in widths))
        return "\n".join(lines)

    def json(self) -> str:
        """A list of objects: the image's name and its classes."""
        return json.dumps(
            [
                {
                    "image": one.name,
                    "classes": [{"class": name, "probability": p} for name, p in one.found],
                }
                for one in self.each
            ],
            indent=1,
            ensure_ascii=False,
        )

    def csv(self) -> str:
        """A line for each image: its name, then class and probability of each of the most probable."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        count = len(self.each[0].found) if self.each else 1
        head = ["image"]
        for place in range(1, count + 1):
            head += ["class", "probability"] if place == 1 else [f"class_{place}", f"probability_{place}"]
        writer.writerow(head)
        for one in self.each:
            writer.writerow([one.name, *(cell for pair in one.found for cell in pair)])
        return stream.getvalue()


def predicted(model: TrainedModel, path: Path, top: int = 1, *, strict: bool = False) -> Predictions:
    """Predict the classes of the images at a path.

    Parameters
    ----------
    path
        An image, a folder of images, IDX images, a file of CIFAR's, .npz or CSV; `PACKAGED` are the digits to
        test on.
    top
        How many classes are given for each image.
    strict
        Whether a file that cannot be read is an error.

    Raises
    ------
    DataError
        For what holds no images, or images of another size than the model's.
    """
    inputs = _inputs(model, path, strict)
    model.check_shape(inputs.x.shape[1:], str(path))
    probabilities = _by_class(model.network.predict(model.as_trained(inputs.x)))
    count = min(top, probabilities.shape[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    each = tuple(
        Prediction(name, tuple((model.classes[k], float(row[k])) for k in best))
        for name, row, best in zip(inputs.names, probabilities, order, strict=True)
    )
    return Predictions(each, inputs.left_out)


def _inputs(model: TrainedModel, path: Path, strict: bool) -> Inputs:
    from closedform.data.digits import load_digits
    from closedform.data.recognise import read_inputs

    if str(path) == PACKAGED:
        _, _, x, _ = load_digits()
        names = tuple(f"{PACKAGED}[{k}]" for k in range(len(x)))
        return Inputs(x, names)
    return read_inputs(path, **model.image_settings(path), strict=strict)


def _by_class(probabilities: Array) -> Array:
    """Of two classes the network may give the second one's probability only."""
    if probabilities.shape[1] > 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], axis=1)


def _short(name: str) -> str:
    return name if len(name) <= _WIDEST_NAME else f"…{name[1 - _WIDEST_NAME :]}"
