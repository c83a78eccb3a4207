"""Labels from any source as class numbers, and whether images and labels make a set to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet
from closedform.data.image_arrays import of_one_type
from closedform.data.opened import sizes
from closedform.errors import DataError

Array = NDArray[Any]

LARGEST_LABEL = 65_535


@dataclass(frozen=True)
class Part:
    """Images and labels to train on, or to test on, and the places of both as messages name them."""

    x: Array
    y: Array
    where_images: str
    where_labels: str


def as_labels(array: Array, where: str, unit: str = "label") -> NDArray[np.int64]:
    """An array of whole numbers from 0 as labels, int64 of shape (N,); (N, 1) is taken too.

    Raises
    ------
    DataError
        For any other shape, and for what are no class numbers.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        one_hot = array.ndim == 2 and array.shape[1] > 1
        mend = ": where each row marks its class, pass y.argmax(axis=1)" if one_hot else ""
        raise DataError(
            f"{where}: labels must be a row (N,) of class numbers, got the shape {sizes(array.shape)}{mend}"
        )
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: labels must be whole numbers from 0, got {array.dtype}")
    if not len(array):
        raise DataError(f"{where}: holds no labels")
    with np.errstate(invalid="ignore"):
        good = (array >= 0) & (array <= LARGEST_LABEL)
        if array.dtype.kind == "f":
            good &= array == np.floor(array)
    if not good.all():
        first = int(np.argmin(good))
        raise DataError(
            f"{where}: {unit} {first} is {array[first]}: labels must be whole numbers from 0 to the number "
            f"of classes less 1, and no more than {LARGEST_LABEL:,}"
        )
    return array.astype(np.int64)


def same_count(images: int, labels: int, where_images: str, where_labels: str) -> None:
    """Raise a DataError where there is not one label for each image."""
    if images != labels:
        raise DataError(
            f"{where_labels}: {labels:,} labels for the {images:,} images of {where_images}: "
            f"each image needs one label"
        )


def data_set(
    kind: str,
    source: str,
    train: Part,
    test: Part | None,
    classes: tuple[str, ...] | None = None,
    left_out: tuple[str, ...] = (),
) -> DataSet:
    """A set to train on, once its labels make sense, with both parts' images in one type.

    Raises
    ------
    DataError
        For labels that begin at 1, one class only, and a test part with other classes or image sizes.
    """
    counts = np.bincount(train.y)
    present = np.flatnonzero(counts)
    if len(present) == 1:
        name = classes[present[0]] if classes else present[0]
        raise DataError(
            f"{train.where_labels}: every label is {name}: training needs images of at least two classes"
        )
    if classes is None:
        if present[0] > 0:
            mend = (
                "subtract 1" if present[0] == 1 else "numpy.unique(y, return_inverse=True)[1] numbers them so"
            )
            raise DataError(
                f"{train.where_labels}: labels begin at {present[0]}: {mend}, class numbers count from 0"
            )
        classes = tuple(map(str, range(len(counts))))
    x_train, x_test = train.x, None
    if test is not None:
        _check_test(train, test, present, classes)
        x_train, x_test = of_one_type(train.x, test.x)
    return DataSet(
        x_train=x_train,
        y_train=train.y,
        x_test=x_test,
        y_test=None if test is None else test.y,
        classes=classes,
        kind=kind,
        source=source,
        left_out=left_out,
    )


def _check_test(train: Part, test: Part, present: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """Compare the part to test on with the one to train on, which has the labels `present`."""
    strange = np.setdiff1d(test.y, present)
    if len(strange):
        raise DataError(
            f"{test.where_labels}: has images of class {_class_name(int(strange[0]), classes)}, of which the "
            f"training set has none ({train.where_labels}): leave them out, or train on such images too"
        )
    if test.x.shape[1:] != train.x.shape[1:]:
        raise DataError(
            f"{test.where_images}: images to test on must be as those to train on, "
            f"{sizes(train.x.shape[1:])} (channels × height × width), got {sizes(test.x.shape[1:])}"
        )


def _class_name(label: int, classes: tuple[str, ...]) -> str:
    return classes[label] if label < len(classes) else str(label)
