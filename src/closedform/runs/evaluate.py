"""How good a trained model is on data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet
from closedform.errors import ClosedformError, DataError, SettingError
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
    tested = _tested(model, path, strict)
    model.check_shape(tested.x.shape[1:], tested.source)
    labels = _labels(model, tested)
    metrics = model.network.metrics(model.as_trained(tested.x), labels)
    return Evaluation(model.path, tested.source, tested.part, len(labels), metrics, tested.left_out)


@dataclass(frozen=True, eq=False)
class _Tested:
    """Images that a model is tested on; `classes` are the names of their labels, None for numbers."""

    x: Array
    y: Array
    classes: tuple[str, ...] | None
    source: str
    part: str
    left_out: tuple[str, ...]


def _tested(model: TrainedModel, path: str | None, strict: bool) -> _Tested:
    """What counts of the data."""
    run = model.run_file
    own = None if run is None else run.data_path()
    if path is None and own is None:
        raise SettingError(f"{model.path}: lies in no run's folder: name the data with --data PATH")
    if run is not None and own is not None and (path is None or _is_same(path, own)):
        data, is_held_out = with_test(load_own(run, strict=strict))
        return _part_of(data, "held out" if is_held_out else "test")
    return _others(str(path), {**model.image_settings(str(path)), "strict": strict})


def _part_of(data: DataSet, part: str) -> _Tested:
    x, y = (data.x_train, data.y_train) if data.x_test is None else (data.x_test, data.y_test)
    return _Tested(x, np.asarray(y), data.classes, data.source, part, data.left_out)


def _others(path: str, settings: Mapping[str, Any]) -> _Tested:
    """Data that were not trained on, which need not have images of every class."""
    try:
        data = load(path, settings)
    except DataError as error:
        found = _without_every_class(path, settings)
        if found is None:
            raise error from None
        return found
    return _part_of(data, "all" if data.x_test is None else "test")


def _without_every_class(path: str, settings: Mapping[str, Any]) -> _Tested | None:
    from closedform.data.recognise import read_inputs

    try:
        found = read_inputs(path, **settings)
    except ClosedformError:
        return None
    if found.y is None:
        return None
    return _Tested(found.x, found.y, found.classes, path, "all", found.left_out)


def _is_same(path: str, other: str) -> bool:
    if PACKAGED in (path, other):
        return path == other
    return os.path.realpath(path) == os.path.realpath(other)


def _labels(model: TrainedModel, tested: _Tested) -> Array:
    """The labels as the model counts its classes: by their names, or as they are where one side has none."""
    y, known = tested.y, model.classes
    names = tested.classes or tuple(map(str, range(int(y.max()) + 1)))
    if set(names) <= set(known):
        return np.array([known.index(name) for name in names], dtype=np.int64)[y]
    counts = len(names), len(known)
    if (_are_numbers(names) and counts[0] <= counts[1]) or (_are_numbers(known) and counts[0] == counts[1]):
        return y
    raise DataError(
        f"{tested.source}: has the classes {listed(names)}, {model.path} was trained on {listed(known)}: "
        f"give it data of those classes"
    )


def _are_numbers(classes: tuple[str, ...]) -> bool:
    return all(name == str(position) for position, name in enumerate(classes))


def listed(classes: tuple[str, ...], most: int = 10) -> str:
    """The names of some classes, the first few of many."""
    shown = ", ".join(classes[:most])
    return shown if len(classes) <= most else f"{shown} and {len(classes) - most} more"
