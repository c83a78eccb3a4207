"""How good a trained model is on data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet
from closedform.errors import DataError, SettingError
from closedform.runs.examples import load, load_own, with_test
from closedform.runs.run_file import PACKAGED
from closedform.runs.trained_model import TrainedModel

if TYPE_CHECKING:
    from closedform.training.metrics import Metrics

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found.

    Attributes
    ----------
    model, source
        The model's file, and the data.
    part
        Which part of the data: "test", "held out" or "all".
    count
        How many images.
    metrics
        How good the model is on them.
    left_out
        A sentence for each file that was left out.
    """

    model: Path
    source: str
    part: str
    count: int
    metrics: Metrics
    left_out: tuple[str, ...] = ()


def evaluated(model: TrainedModel, path: str | None = None, *, strict: bool = False) -> Evaluation:
    """Evaluate a model on data, or on the test part of the data that it was trained on.

    Parameters
    ----------
    path
        The data; their test part counts where they have one.  None for the data of the model's run.
    strict
        Whether a file that cannot be read is an error.

    Raises
    ------
    DataError, SettingError
        For data that cannot be read, of other images or other classes than the model's.
    """
    data, part = _data(model, path, strict)
    x, y = (data.x_test, data.y_test) if data.x_test is not None else (data.x_train, data.y_train)
    model.check_shape(x.shape[1:], data.source)
    labels = _labels(model, data, np.asarray(y))
    return Evaluation(
        model.path, data.source, part, len(labels), model.network.metrics(x, labels), data.left_out
    )


def _data(model: TrainedModel, path: str | None, strict: bool) -> tuple[DataSet, str]:
    """The data, and which part of them counts."""
    run = model.run_file
    own = None if run is None else run.data_path()
    if path is None and own is None:
        raise SettingError(f"{model.path}: lies in no run's folder: name the data with --data PATH")
    if run is not None and own is not None and (path is None or _is_same(path, own)):
        data, is_held_out = with_test(load_own(run, strict=strict))
        return data, "held out" if is_held_out else "test"
    data = load(str(path), {**model.image_settings(str(path)), "strict": strict})
    return data, "all" if data.x_test is None else "test"


def _is_same(path: str, other: str) -> bool:
    if PACKAGED in (path, other):
        return path == other
    return os.path.realpath(path) == os.path.realpath(other)


def _labels(model: TrainedModel, data: DataSet, y: Array) -> Array:
    """The labels as the model counts its classes: by their names, or as they are where one side has none."""
    if data.classes == model.classes:
        return y
    if _are_numbers(data.classes) or _are_numbers(model.classes):
        if len(data.classes) == len(model.classes):
            return y
    elif set(data.classes) <= set(model.classes):
        return np.array([model.classes.index(name) for name in data.classes], dtype=np.int64)[y]
    raise DataError(
        f"{data.source}: has the classes {listed(data.classes)}, {model.path} was trained on "
        f"{listed(model.classes)}: give it data of those classes"
    )


def _are_numbers(classes: tuple[str, ...]) -> bool:
    return all(name == str(position) for position, name in enumerate(classes))


def listed(classes: tuple[str, ...], most: int = 10) -> str:
    """The names of some classes, the first few of many."""
    shown = ", ".join(classes[:most])
    return shown if len(classes) <= most else f"{shown} and {len(classes) - most} more"
