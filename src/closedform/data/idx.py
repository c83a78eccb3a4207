"""IDX, the format of MNIST and its family: a header of sizes, then one array.

    bytes 0, 1   zero
    byte 2       the kind of number: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte 3       the number of axes
    then         each axis's length, 4 bytes, and the numbers; everything with the highest byte first

References
----------
Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet, Inputs
from closedform.data.image_arrays import as_images, image_shape
from closedform.data.labels import Part, as_labels, data_set, same_count
from closedform.data.opened import Source, opened, sizes
from closedform.errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LONGEST_HEADER = 4 + 4 * 255
_TEST_WORDS = ("t10k", "test")
_PACKED = (".gz", ".xz")


@dataclass(frozen=True)
class IdxFile:
    """An IDX file whose header has been read."""

    source: Source
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def header_bytes(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def bytes(self) -> int:
        """The size of the content that the header promises."""
        return self.header_bytes + math.prod(self.shape) * self.dtype.itemsize

    def array(self) -> NDArray[Any]:
        """The array, mapped where the file is plain and large."""
        content = self.source.data(self.bytes)
        return content[self.header_bytes :].view(self.dtype).reshape(self.shape)


def has_idx_magic(head: bytes) -> bool:
    """Whether a file begins as IDX does."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in _DTYPES and head[3] > 0


def read_header(source: Source) -> IdxFile:
    """The header of an IDX file.

    Raises
    ------
    DataError
        For what is no IDX file, and for a header that is cut short.
    """
    head = source.head(_LONGEST_HEADER)
    if not has_idx_magic(head):
        raise DataError(
            f"{source.path}: must be an IDX file, which begins with 00 00, the kind of number and the number "
            f"of axes, got {head[:4].hex(' ')}"
        )
    axes = head[3]
    if len(head) < 4 + 4 * axes:
        raise DataError(
            f"{source.path}: is cut short: its header of {axes} sizes ends after byte {len(head)}"
        )
    shape = tuple(int.from_bytes(head[4 * k : 4 * k + 4], "big") for k in range(1, axes + 1))
    if axes > 4:
        raise DataError(f"{source.path}: byte 3 promises {axes} axes: images have 3 or 4, labels have 1")
    return IdxFile(source, np.dtype(_DTYPES[head[2]]), shape)


def read_idx(path: Path, source: str) -> DataSet:
    """The set that a folder of IDX files holds, or of which one file is named.

    Raises
    ------
    DataError
        Where a file is missing or damaged, or files do not belong together.
    """
    pairs = _pairs(path)
    headers = [(read_header(opened(images)), read_header(opened(labels))) for images, labels in pairs]
    for images, labels in headers:
        _fit(images, labels)
    parts = [_part(images, labels) for images, labels in headers]
    return data_set("IDX", source, parts[0], parts[1] if len(parts) > 1 else None)


def read_idx_inputs(path: Path) -> Inputs:
    """The images of one IDX file, with their labels where these are beside it.

    Raises
    ------
    DataError
        Where the file is damaged or holds no images.
    """
    file = read_header(opened(path))
    image_shape(file.shape, str(path))
    wanted = _plain_name(path).replace("images", "labels")
    found = _named(path.parent.iterdir(), wanted) if wanted != _plain_name(path) else None
    y = None
    if found is not None:
        labels = read_header(opened(found))
        _fit(file, labels)
        y = as_labels(labels.array(), str(found))
    x = as_images(file.array(), str(path))
    return Inputs(x, tuple(f"{path.name}[{k}]" for k in range(len(x))), y)


def is_idx_folder(names: Iterable[str]) -> bool:
    """Whether a folder holds files named as MNIST's are."""
    return any(_FAMILY.fullmatch(_plain(name)) for name in names)


_FAMILY = re.compile(r"(.*?)(train|t10k|test)[-_](images|labels)([-_.].*)?")


def _fit(images: IdxFile, labels: IdxFile) -> None:
    """Compare what the headers promise, before anything large is read."""
    where_images, where_labels = str(images.source.path), str(labels.source.path)
    image_shape(images.shape, where_images)
    if len(labels.shape) != 1:
        raise DataError(
            f"{where_labels}: labels must be a row (N,), byte 3 promises {len(labels.shape)} axes: "
            f"{sizes(labels.shape)}"
        )
    for file in (images, labels):
        if not file.source.compression and file.source.stored != file.bytes:
            file.array()  # says so
    same_count(images.shape[0], labels.shape[0], where_images, where_labels)


def _part(images: IdxFile, labels: IdxFile) -> Part:
    where_images, where_labels = str(images.source.path), str(labels.source.path)
    y = as_labels(labels.array(), where_labels)
    return Part(as_images(images.array(), where_images), y, where_images, where_labels)


def _pairs(path: Path) -> list[tuple[Path, Path]]:
    """Images and labels to train on, and those to test on where they are there."""
    if path.is_dir():
        return _pairs_of_folder(path)
    own = _plain_name(path)
    images_name, labels_name = own.replace("labels", "images"), own.replace("images", "labels")
    if images_name == labels_name:
        raise DataError(
            f"{path}: an IDX file of images needs its labels beside it, in a file of the same name with "
            f"labels for images, as in train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    siblings = sorted(path.parent.iterdir())
    pair = _pair(path, siblings, images_name)
    match = _FAMILY.fullmatch(images_name)
    if match is None:
        return [pair]
    prefix, part = match[1], match[2]
    others = ("train",) if part in _TEST_WORDS else _TEST_WORDS
    for word in others:
        name = f"{prefix}{word}{images_name[match.end(2) :]}"
        if _named(siblings, name) is not None:
            other = _pair(path.parent / name, siblings, name)
            return [other, pair] if part in _TEST_WORDS else [pair, other]
    return [pair]


def _pair(path: Path, siblings: list[Path], images_name: str) -> tuple[Path, Path]:
    found = []
    for name in (images_name, images_name.replace("images", "labels")):
        file = path if _plain_name(path) == name and path.exists() else _named(siblings, name)
        if file is None:
            raise DataError(
                f"{path}: has no {'images' if name == images_name else 'labels'} beside it: "
                f"there is no {_shown(name)} in the folder, plain, .gz or .xz"
            )
        found.append(file)
    return found[0], found[1]


def _pairs_of_folder(folder: Path) -> list[tuple[Path, Path]]:
    siblings = sorted(folder.iterdir())
    found = {match[1]: match[4] for path in siblings if (match := _FAMILY.fullmatch(_plain_name(path)))}
    if len(found) > 1:
        raise DataError(
            f"{folder}: holds {len(found)} sets, {', '.join(sorted(found)[:6])}: name one file of images"
        )
    images = [
        path for path in siblings if (match := _FAMILY.fullmatch(_plain_name(path))) and match[3] == "images"
    ]
    train = [path for path in images if _part_word(path) == "train"]
    if not images:
        raise DataError(f"{folder}: holds labels but no images: train-images-idx3-ubyte is missing")
    return _pairs((train or images)[0])


def _part_word(path: Path) -> str:
    match = _FAMILY.fullmatch(_plain_name(path))
    return match[2] if match else ""


def _named(files: Iterable[Path], name: str) -> Path | None:
    """The file with that name, plain before compressed."""
    found = [file for file in files if _plain_name(file) == name and file.is_file()]
    return min(found, key=lambda file: (file.suffix in _PACKED, file.name), default=None)


def _plain_name(path: Path) -> str:
    return _plain(path.name)


def _plain(name: str) -> str:
    """A file's name in small letters without .gz and without the digit of idx3: labels have another."""
    name = name.lower()
    for suffix in _PACKED:
        name = name.removesuffix(suffix)
    return re.sub(r"([-_.])idx\d", r"-idx", name)


def _shown(name: str) -> str:
    axes = "3" if "images" in name else "1"
    return name.replace("-idx", f"-idx{axes}")
