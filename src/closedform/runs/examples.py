"""The images of a run in three parts: to train on, to validate and to test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import nearest
from closedform.data.dataset import DataSet
from closedform.data.split import stratified_split
from closedform.errors import DataError, FileError, SettingError
from closedform.formula.extents import Shape
from closedform.runs.run_file import PACKAGED, RunFile

Array = NDArray[Any]

_TEST_SHARE = 0.2
_COPIED = 1 << 30  # bytes of images that are copied where they are divided
_TEST_SEED = 0  # what is held out is the same for every seed of a training


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images, divided.

    Attributes
    ----------
    data
        What they were divided from.
    train, test
        What is trained and tested on, x and y.
    validation
        What is watched, x and y; None for nothing.
    is_held_out
        Whether the test part was taken from the only part that the source has.
    """

    data: DataSet
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    validation: tuple[Array, Array] | None
    is_held_out: bool

    @property
    def shape(self) -> Shape:
        """The shape (C, H, W) of an image."""
        return tuple(self.train[0].shape[1:])


def load(path: str, settings: Mapping[str, Any]) -> DataSet:
    """The data at a path, or the packaged digits.

    Parameters
    ----------
    settings
        Of the table ``[data]``: image_size, color_mode and strict.

    Raises
    ------
    DataError
        Where there are none, or they cannot be read.
    """
    if path == PACKAGED:
        return _digits(settings)
    if not Path(path).exists() and (found := nearest(path, (PACKAGED,))).startswith("did"):
        raise DataError(f"{path}: there is no such file or folder; {found}")
    from closedform.data.recognise import load_data

    size = settings.get("image_size")
    return load_data(
        path,
        image_size=tuple(size) if isinstance(size, list) else size,
        color_mode=settings.get("color_mode"),
        strict=settings.get("strict", False),
    )


def load_own(run: RunFile, *, strict: bool = False) -> DataSet:
    """The data that a run names.

    Raises
    ------
    DataError
        Where they are not there any more, or cannot be read.
    FileError
        Where it names none.
    """
    path = run.data_path()
    if path is None:
        raise FileError(f'{run.place}says no data: add [data] with path = "..." to it, or pass --data PATH')
    try:
        return load(path, {**run.data, "strict": strict or run.data.get("strict", False)})
    except DataError as error:
        if run.source is None or path == PACKAGED or Path(path).exists():
            raise
        raise DataError(f"{run.place}[data]: {error}; say where the data are now with --data PATH") from None


def _digits(settings: Mapping[str, Any]) -> DataSet:
    from closedform.data import digits

    for word in ("image_size", "color_mode"):
        if word in settings:
            raise SettingError(
                f"{word} is for data of your own: the packaged digits are 8×8 greyscale: leave it out"
            )
    parts = digits.load_digits()
    return DataSet(*parts, classes=tuple("0123456789"), kind="packaged digits", source=PACKAGED)


def divided(data: DataSet, validation: float, seed: int) -> Examples:
    """The data in their parts, every class in the same proportion in each.

    Parameters
    ----------
    validation
        The share of the training part that is only watched, or how many images of it.
    seed
        Decides which.

    Raises
    ------
    DataError
        Where there are too few images to divide.
    SettingError
        For more images to validate than there are.
    """
    data, is_held_out = with_test(data)
    count = len(data.y_train)
    wanted = validation if isinstance(validation, int) else int(validation * count + 1e-9)
    if wanted >= count:
        raise SettingError(
            f"validation is {wanted:,} images, and there are {count:,} to train on: take fewer, or a share "
            f"such as 0.1"
        )
    test = cast(Array, data.x_test), cast(Array, data.y_test)
    if not wanted:
        return Examples(data, (data.x_train, data.y_train), test, None, is_held_out)
    rest, kept = _positions(data, wanted, seed)
    train, watched = ((data.x_train[part], data.y_train[part]) for part in (rest, kept))
    return Examples(data, train, test, watched, is_held_out)


def with_test(data: DataSet) -> tuple[DataSet, bool]:
    """The data with a test part, and whether it had to be taken from the only part there is."""
    if data.x_test is not None:
        return data, False
    count = len(data.y_train)
    wanted = int(count * _TEST_SHARE)
    if not wanted:
        raise DataError(
            f"{data.source}: {count} images are too few to train on some and test on others: add more"
        )
    rest, held = _positions(data, wanted, _TEST_SEED)
    names = data.names_train
    return replace(
        data,
        x_train=data.x_train[rest],
        y_train=data.y_train[rest],
        x_test=data.x_train[held],
        y_test=data.y_train[held],
        names_train=None if names is None else tuple(np.array(names)[rest].tolist()),
        names_test=None if names is None else tuple(np.array(names)[held].tolist()),
    ), True


def _positions(data: DataSet, count: int, seed: int) -> tuple[Any, Any]:
    """What stays of the training part, and `count` images that are taken from it.

    They are chosen at random, in proportion to the classes.  An array that is too large to be copied is cut
    near its end instead, so that both parts may stay on disk.
    """
    if data.x_train.nbytes <= _COPIED:
        return stratified_split(data.y_train, count, seed)
    cut = len(data.y_train) - count
    if len(np.unique(data.y_train[cut:])) < len(np.unique(data.y_train)):
        raise DataError(
            f"{data.source}: is too large to be divided at random, and its last {count:,} images are not "
            f"of all classes: shuffle it, or give it a part to test on and set validation = 0"
        )
    return slice(0, cut), slice(cut, None)


def class_weights(given: Any, labels: Array, classes: tuple[str, ...]) -> dict[int, float] | None:
    """How much each class counts, by label.

    Parameters
    ----------
    given
        "balanced": each class as much as the others together have on average; or numbers by a class's name
        or label.

    Raises
    ------
    SettingError
        For a class that there is none of.
    """
    if given is None:
        return None
    if given == "balanced":
        counts = np.bincount(labels, minlength=len(classes))
        return {k: len(labels) / (len(classes) * int(n)) for k, n in enumerate(counts) if n}
    found = {}
    for name, weight in given.items():
        label = _label(name, classes)
        if label is None:
            raise SettingError(f"class_weight: {name!r} is no class; {nearest(name, classes)}")
        found[label] = float(weight)
    return found


def _label(name: str, classes: tuple[str, ...]) -> int | None:
    if name in classes:
        return classes.index(name)
    return int(name) if name.isdecimal() and int(name) < len(classes) else None


def short_name(path: str) -> str:
    """What a run on the data at a path is called: the last part of the path, without endings."""
    if path == PACKAGED:
        return path
    place = Path(path).resolve()
    name = place.name if place.is_dir() else place.name.split(".")[0]
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
