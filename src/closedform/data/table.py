"""Tables of pixels, CSV: a row for each image, its numbers and its label.

The label's column is named label, class, target or y, and is the first where none is.  Columns named id or
index, or not named at all, are left out.  The first row is a header where it holds no numbers, or one of
the label's names among other words, or among the columns' numbers, 0, 1, 2, ... or 1, 2, 3, ...; otherwise
such a name is an image's label.  A first row of nothing but 0, 1, 2, ..., three or more, is a header too,
as pandas writes it for columns without names.  Between numbers stand commas, semicolons or tabs.  The
numbers of a pixel with several channels stand side by side: a row is an image of shape (H, W, C), row by
row.  A label of digits is the number that they write: 01 is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet, Inputs
from closedform.data.labels import LARGEST_LABEL, Part, data_set
from closedform.data.opened import Source, opened
from closedform.data.rows import Block, Columns, Labels, Limits, blocks, check_label_count, is_number, parsed
from closedform.data.zipped import shown
from closedform.errors import DataError

Array = NDArray[Any]
Size = tuple[int, int] | None

_LABEL_WORDS = ("label", "class", "target", "y")
_OTHER_WORDS = ("", "id", "index", "unnamed: 0")
_FEWEST_NUMBERED = 3
_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_ENDINGS = (".csv", ".csv.gz", ".csv.xz")


@dataclass(frozen=True)
class _Table:
    """A table that has been read: images, and labels as positions in the texts of `labels`."""

    path: Path
    x: Array
    labels: Labels
    rows: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Wanted:
    """What is known of the images before the table is read."""

    size: Size
    color_mode: str | None

    def shape(self, numbers: int) -> tuple[int, int, int] | None:
        """Height, width and channels of an image of so many numbers, None where there is no such image."""
        channels = _CHANNELS[self.color_mode] if self.color_mode else None
        if self.size is None:
            pixels, rest = divmod(numbers, channels or 1)
            side = math.isqrt(pixels)
            return (side, side, channels or 1) if numbers and not rest and side * side == pixels else None
        found, rest = divmod(numbers, math.prod(self.size))
        fits = found == channels if channels else found in _CHANNELS.values()
        return (*self.size, found) if fits and not rest else None

    def misfit(self, numbers: int) -> str:
        """Why an image cannot have so many numbers."""
        if self.size is None and self.color_mode is None:
            mend = "pass image_size=(height, width), and color_mode='rgb' for colour"
            options = "the command's options --image-size and --color-mode"
            return f"{numbers:,} pixels are no square: {mend}, or {options}"
        of = f" of {self.size[0]} × {self.size[1]}" if self.size else " that is square"
        colour = f" with color_mode={self.color_mode!r}" if self.color_mode else ""
        return f"{numbers:,} numbers are no image{of}{colour}"


def is_csv_folder(names: Iterable[str]) -> bool:
    """Whether a folder holds train.csv."""
    return any(name.lower() in {f"train{ending}" for ending in _ENDINGS} for name in names)


def read_csv(path: Path, source: str, size: Size, color_mode: str | None) -> DataSet:
    """The set in one table, all of it to train on.

    Raises
    ------
    DataError
        Where a row is wrong, or the rows are no images with labels; it names the line.
    """
    table = _read(path, _Wanted(size, color_mode), needs_labels=True)
    classes, y = _classes(table)
    return data_set("CSV", source, _part(table, y), None, classes)


def read_csv_folder(folder: Path, source: str, size: Size, color_mode: str | None) -> DataSet:
    """The set in a folder with train.csv and, if it has one, test.csv.

    Raises
    ------
    DataError
        Where a row is wrong, or the rows are no images with labels; it names the file and line.
    """
    wanted = _Wanted(size, color_mode)
    train_path = _csv(folder, "train")
    if train_path is None:
        raise DataError(f"{folder}: holds no train.csv")
    train = _read(train_path, wanted, needs_labels=True)
    classes, y = _classes(train)
    part = _part(train, y)
    test_path = _csv(folder, "test")
    if test_path is None:
        return data_set("CSV", source, part, None, classes)
    test = _read(test_path, wanted, needs_labels=False)
    if test.rows is None:
        remark = f"{test_path.name}: has no labels, and is not tested on"
        return data_set("CSV", source, part, None, classes, (remark,))
    tested = _part(test, _labels_as(test, classes))
    return data_set("CSV", source, part, tested, classes)


def read_csv_inputs(path: Path, size: Size, color_mode: str | None) -> Inputs:
    """The images of a table, with their labels where it has them.

    Raises
    ------
    DataError
        Where a row is wrong, or the rows are no images; it names the line.
    """
    table = _read(path, _Wanted(size, color_mode), needs_labels=False)
    names = tuple(f"{path.name}[{k}]" for k in range(len(table.x)))
    if table.rows is None:
        return Inputs(table.x, names)
    classes, y = _classes(table)
    return Inputs(table.x, names, y, classes)


def csv_to_predict(folder: Path) -> Path:
    """A folder's test.csv, or train.csv where it has no other."""
    found = _csv(folder, "test") or _csv(folder, "train")
    if found is None:
        raise DataError(f"{folder}: holds no test.csv and no train.csv")
    return found


def _part(table: _Table, y: NDArray[np.int64]) -> Part:
    return Part(table.x, y, str(table.path), str(table.path))


def _csv(folder: Path, word: str) -> Path | None:
    """Plain before compressed."""
    files = {path.name.lower(): path for path in folder.iterdir()}
    return next((files[word + ending] for ending in _ENDINGS if word + ending in files), None)


def _read(path: Path, wanted: _Wanted, needs_labels: bool) -> _Table:
    source = opened(path)
    columns: Columns | None = None
    labels, limits, parts = Labels(), Limits(source), []
    for line, text in blocks(source, limits):
        if columns is None:
            skipped, first = _first_row(text)
            if first is None:
                limits.slow(len(text))
                continue
            columns = _columns(source, line + skipped, first, wanted, needs_labels)
            if columns.has_header:
                head, text = _after_line(text, skipped + 1)
                line += head
        block = Block(source, text, line, columns)
        parts.append(block.read(labels))
        limits.kept(parts[-1])
        limits.slow(len(text) * block.is_slow)
        check_label_count(labels, source)
    if columns is None or not sum(map(len, parts)):
        raise DataError(f"{path}: holds no rows of numbers")
    x = _together(parts, wanted.shape(len(columns.pixels)) or (0, 0, 0))
    rows = np.concatenate(labels.rows) if columns.label is not None else None
    return _Table(path, x, labels, rows)


def _first_row(text: bytes) -> tuple[int, bytes | None]:
    """How many empty lines come first, and the line after them."""
    skipped = text[: len(text) - len(text.lstrip())].count(b"\n")
    first = text.split(b"\n", skipped + 1)[skipped]
    return skipped, first if first.strip() else None


def _after_line(text: bytes, count: int) -> tuple[int, bytes]:
    parts = text.split(b"\n", count)
    return count, parts[-1]


def _columns(source: Source, line: int, first: bytes, wanted: _Wanted, needs_labels: bool) -> Columns:
    where = f"{source.path}: line {line}"
    try:
        text = first.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{where}: is no text in UTF-8: save the file as UTF-8") from None
    separator = next((mark for mark in ",;\t" if mark in text), ",")
    fields = parsed(text, separator)
    if fields is None:
        raise DataError(f"{where}: has a quotation mark that is not closed, or stands inside a field")
    if len(fields) < 2:
        raise DataError(
            f"{where}: is {shown(text)!r}: of text only CSV is read, a row of numbers for each image, with "
            f"commas, semicolons or tabs between them"
        )
    names = [name.strip().lower() for name in fields]
    has_header = _is_header(names)
    word = next((word for word in _LABEL_WORDS if has_header and word in names), None)
    used = [k for k, name in enumerate(names) if not has_header or name not in _OTHER_WORDS]
    label = names.index(word) if word is not None else _first_label(where, used, wanted, needs_labels)
    pixels = tuple(k for k in used if k != label)
    if wanted.shape(len(pixels)) is None:
        raise DataError(f"{where}: {wanted.misfit(len(pixels))}")
    return Columns(len(fields), pixels, label, separator, has_header)


def _is_header(names: list[str]) -> bool:
    """Whether a first row, in small letters, is the columns' names rather than an image and its label."""
    word = next((name for name in names if name in _LABEL_WORDS), None)
    if word is not None:
        others = names.copy()
        others.remove(word)
        return not all(map(is_number, others)) or _count_up(others, (0, 1))
    if not any(map(is_number, names[1:])):
        return True
    columns = [name for name in names if name not in _OTHER_WORDS]
    return len(columns) >= _FEWEST_NUMBERED and _count_up(columns, (0,))


def _count_up(texts: list[str], starts: tuple[int, ...]) -> bool:
    """Whether texts are the whole numbers in turn, from one of the starts on."""
    return any(texts == [str(start + place) for place in range(len(texts))] for start in starts)


def _first_label(where: str, used: list[int], wanted: _Wanted, needs_labels: bool) -> int | None:
    """The first column, unless the row is an image without it."""
    is_image, has_label = wanted.shape(len(used)), wanted.shape(len(used) - 1)
    if is_image is None or has_label is not None:
        return used[0] if used else None
    if needs_labels:
        raise DataError(
            f"{where}: has no label: its {len(used):,} numbers are {is_image[0]} × {is_image[1]} "
            f"pixels: put each "
            f"image's class into a column named label"
        )
    return None


def _together(parts: list[Array], shape: tuple[int, int, int]) -> Array:
    """Rows as images (N, C, H, W), of a height, a width and channels."""
    height, width, channels = shape
    dtype = np.float32 if any(part.dtype == np.float32 for part in parts) else np.uint8
    images = np.empty((sum(map(len, parts)), channels, height, width), dtype)
    end = len(images)
    while parts:  # each is let go once it is copied
        part = parts.pop().reshape(-1, height, width, channels)
        images[end - len(part) : end] = part.transpose(0, 3, 1, 2)
        end -= len(part)
    return images


def _classes(table: _Table) -> tuple[tuple[str, ...] | None, NDArray[np.int64]]:
    """The classes' sorted names, None where labels are numbers, and each row's class."""
    texts = list(table.labels.positions)
    if all(map(is_number, texts)):
        return None, _labels_as(table, None)
    classes = tuple(sorted(texts))
    return classes, _labels_as(table, classes)


def _labels_as(table: _Table, classes: tuple[str, ...] | None) -> NDArray[np.int64]:
    """Each row's class: its label as a number, or the position of its label in the names."""
    numbers = {name: position for position, name in enumerate(classes or ())}
    values = []
    for text, line in table.labels.lines.items():
        if classes is None:
            values.append(_class_number(text, f"{table.path}: line {line}"))
        elif text in numbers:
            values.append(numbers[text])
        else:
            raise DataError(
                f"{table.path}: line {line}: has an image of class {shown(text)}, of which the training "
                f"set has "
                f"none: leave it out, or train on such images too"
            )
    rows = table.rows if table.rows is not None else np.empty(0, np.int64)
    return np.array(values, np.int64)[rows]


def _class_number(text: str, where: str) -> int:
    number = float(text) if is_number(text) else math.nan
    if not (0 <= number <= LARGEST_LABEL and number == math.floor(number)):
        raise DataError(
            f"{where}: has the label {shown(text)}: labels must be whole numbers from 0 to the number "
            f"of classes "
            f"less 1, and no more than {LARGEST_LABEL:,}"
        )
    return int(number)
