"""What the readers of data files give back: labelled images to train on, or images to predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from closedform.data.opened import sizes
from closedform.data.zipped import shown

Array = NDArray[Any]

_MOST_NAMES = 6


@dataclass(frozen=True, eq=False)
class DataSet:
    """Labelled images in two parts, and what their source says of them.

    Attributes
    ----------
    x_train, x_test : array
        Shape (N, C, H, W): uint8 from 0 to 255, or float32 where the source holds other numbers.  Both have
        one type, as a network divides uint8 by 255 and leaves float32 as it is: where their sources hold
        different ones, both are uint8 if the float32 part holds nothing but whole numbers from 0 to 255,
        else both are float32: their numbers as they are, but that the bytes are divided by 255 where the
        float32 part goes to 1 only and they do not.  Read from a large file, an array may be a
        `numpy.memmap`, which is never in memory whole.
    y_train, y_test : array of int64
        Shape (N,): the classes, from 0.
    classes : tuple of str
        The classes' names, where position k names label k.
    kind : str
        "IDX", "CIFAR-10", "CIFAR-100", "npz", "CSV" or "folder of images".
    source : str
        The path as it was given.
    left_out : tuple of str
        A sentence for each file that was left out.
    names_train, names_test : tuple of str, or None
        Each image's file, relative to the folder; None where the images are no files of their own.

    `x_test` and `y_test` are None where the source holds one part only.
    """

    x_train: Array
    y_train: Array
    x_test: Array | None
    y_test: Array | None
    classes: tuple[str, ...]
    kind: str
    source: str
    left_out: tuple[str, ...] = ()
    names_train: tuple[str, ...] | None = None
    names_test: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        count = f"{len(self.x_train):,} images to train on"
        if self.x_test is not None:
            count += f" and {len(self.x_test):,} to test on"
        left_out = f", {len(self.left_out):,} left out" if self.left_out else ""
        return (
            f"DataSet({self.kind}, {self.source!r}: {count}, {sizes(self.x_train.shape[1:])} "
            f"{self.x_train.dtype}{left_out};\n    {self._class_names()})"
        )

    def _class_names(self) -> str:
        """How many classes there are, and the names of the first ones and the last."""
        names = [shown(name) for name in self.classes]
        if len(names) > _MOST_NAMES:
            names = [*names[: _MOST_NAMES - 2], "...", names[-1]]
        return f"{len(self.classes):,} classes: {', '.join(names)}"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images to predict the classes of.

    Attributes
    ----------
    x : array
        Shape (N, C, H, W): uint8 from 0 to 255, or float32 where the source holds other numbers.
    names : tuple of str
        Each image's name: its file, or the file and the position in it, as in "t10k-images-idx3-ubyte[17]".
    y : array of int64, or None
        Shape (N,): the classes, where the source has them.
    classes : tuple of str, or None
        The classes' names, where the source has them.
    left_out : tuple of str
        A sentence for each file that was left out.
    """

    x: Array
    names: tuple[str, ...]
    y: Array | None = None
    classes: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()
