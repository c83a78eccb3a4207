"""CIFAR-10 and CIFAR-100, the binary version: records of a label, or two, and 3 × 32 × 32 bytes.

References
----------
A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet, Inputs
from closedform.data.labels import Part, data_set
from closedform.data.opened import Bytes, Source, opened, text_of
from closedform.errors import DataError

Array = NDArray[Any]

_PIXELS = 3 * 32 * 32
_LONGEST_NAMES = 1 << 16


@dataclass(frozen=True)
class Layout:
    """One of the two sets: its records begin with `limits`-many labels, the last of which is the class."""

    kind: str
    limits: tuple[int, ...]
    names_file: str
    names: tuple[str, ...]

    @property
    def record(self) -> int:
        """The bytes of a record."""
        return len(self.limits) + _PIXELS

    @property
    def records(self) -> np.dtype[Any]:
        return np.dtype([("labels", np.uint8, (len(self.limits),)), ("pixels", np.uint8, (3, 32, 32))])


CIFAR_10 = Layout(
    "CIFAR-10",
    (10,),
    "batches.meta.txt",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
CIFAR_100 = Layout("CIFAR-100", (20, 100), "fine_label_names.txt", tuple(map(str, range(100))))

_BATCH = re.compile(r"(data|test)_batch(?:_\d+)?\.bin(?:\.gz|\.xz)?")
_WHOLE = re.compile(r"(train|test)\.bin(?:\.gz|\.xz)?")


def is_cifar_folder(names: Iterable[str]) -> bool:
    """Whether a folder holds files named as CIFAR's are."""
    return any(_BATCH.fullmatch(name) or _WHOLE.fullmatch(name) for name in names)


def layout_of(length: int, labels: Bytes | bytes) -> Layout | None:
    """The set to which a file of so many bytes can belong, None where it is neither.

    `labels` are the file's first bytes, or all of them, which tell the sets apart where both lengths fit.
    """
    fitting = [layout for layout in (CIFAR_10, CIFAR_100) if length and length % layout.record == 0]
    if len(fitting) == 2:
        content = np.frombuffer(labels, np.uint8)
        whole = len(content) - len(content) % CIFAR_10.record
        return CIFAR_10 if (content[: whole : CIFAR_10.record] < 10).all() else CIFAR_100
    return fitting[0] if fitting else None


def read_cifar_folder(folder: Path, source: str) -> DataSet:
    """The set in a folder: its batches in the order of their numbers, and its class names.

    Raises
    ------
    DataError
        Where a file is damaged, or none is there to train on.
    """
    files = sorted(folder.iterdir(), key=_number)
    by_part = {
        (layout, word): _plain_first(
            path for path in files if (match := pattern.fullmatch(path.name)) and match[1] == word
        )
        for layout, pattern, word in (
            (CIFAR_10, _BATCH, "data"),
            (CIFAR_10, _BATCH, "test"),
            (CIFAR_100, _WHOLE, "train"),
            (CIFAR_100, _WHOLE, "test"),
        )
    }
    layout, train = CIFAR_10, by_part[CIFAR_10, "data"]
    if not train:
        layout, train = CIFAR_100, by_part[CIFAR_100, "train"]
    if not train:
        raise DataError(
            f"{folder}: holds no images to train on: CIFAR-10's are in data_batch_1.bin to data_batch_5.bin, "
            f"CIFAR-100's in train.bin"
        )
    test = by_part[layout, "test"]
    classes = _class_names(folder, layout)
    parts = _read([*train, *test], layout)
    tested = _together(parts[len(train) :], test) if test else None
    return data_set(layout.kind, source, _together(parts[: len(train)], train), tested, classes)


def read_cifar_file(path: Path, source: str) -> DataSet:
    """The set in one file, all of it to train on.

    Raises
    ------
    DataError
        For what are no records of either set.
    """
    layout, part = _file(path)
    return data_set(layout.kind, source, part, None, _class_names(path.parent, layout))


def read_cifar_inputs(path: Path) -> Inputs:
    """The images of one file, with their labels.

    Raises
    ------
    DataError
        For what are no records of either set.
    """
    layout, part = _file(path)
    names = tuple(f"{path.name}[{k}]" for k in range(len(part.x)))
    return Inputs(part.x, names, part.y, _class_names(path.parent, layout))


def _file(path: Path) -> tuple[Layout, Part]:
    source = opened(path)
    content = source.data()
    layout = layout_of(len(content), content)
    if layout is None:
        raise DataError(
            f"{path}: is of no kind that is read (IDX, CIFAR's binary version, npz, CSV, images): it "
            f"begins with "
            f"{content[:4].tobytes().hex(' ')}, and its {len(content):,} bytes are no whole number of CIFAR "
            f"records, of {CIFAR_10.record:,} or {CIFAR_100.record:,} bytes"
        )
    return layout, _together([_records(source, layout, content)], [path])


def _read(paths: list[Path], layout: Layout) -> list[tuple[Array, Array]]:
    """The files' records in order; two files at a time, as unpacking takes longest and needs no Python."""
    from concurrent.futures import ThreadPoolExecutor

    sources = [opened(path) for path in paths]
    for source in sources:
        if not source.compression:
            _whole_records(source, source.stored, layout)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda source: _records(source, layout), sources))


def _records(source: Source, layout: Layout, content: Bytes | None = None) -> tuple[Array, Array]:
    """Images of shape (N, 3, 32, 32) and labels; the images are a view, mapped where the file is."""
    if content is None:
        content = source.data()
    _whole_records(source, len(content), layout)
    records = content.view(layout.records)
    for position, limit in enumerate(layout.limits):
        labels = records["labels"][:, position]
        if labels.max() >= limit:
            record = int(np.argmax(labels >= limit))
            raise DataError(
                f"{source.path}: record {record:,} has the label {labels[record]} (byte "
                f"{record * layout.record + position:,}), {layout.kind}'s are 0 to {limit - 1}"
            )
    return records["pixels"], records["labels"][:, -1].astype(np.int64)


def _whole_records(source: Source, length: int, layout: Layout) -> None:
    if length % layout.record or not length:
        count, rest = divmod(length, layout.record)
        raise DataError(
            f"{source.path}: must be whole records of {layout.record:,} bytes ({layout.kind}), got "
            f"{length:,} bytes: record {count:,} is cut short after {rest:,}"
        )


def _together(parts: list[tuple[Array, Array]], paths: list[Path]) -> Part:
    """Parts one after the other; one large file stays mapped, several are read into one array."""
    where = str(paths[0].parent if len(paths) > 1 else paths[0])
    if len(parts) == 1 and isinstance(parts[0][0], np.memmap):
        return Part(*parts[0], where, where)
    y = np.concatenate([labels for _, labels in parts])
    x = np.empty((len(y), 3, 32, 32), np.uint8)
    end = len(y)
    while parts:  # each is let go once it is copied
        images, _ = parts.pop()
        x[end - len(images) : end] = images
        end -= len(images)
    return Part(x, y, where, where)


def _class_names(folder: Path, layout: Layout) -> tuple[str, ...]:
    path = folder / layout.names_file
    if not path.is_file():
        return layout.names
    names = tuple(line.strip() for line in text_of(path, _LONGEST_NAMES).splitlines() if line.strip())
    if len(names) != len(layout.names) or len(set(names)) != len(names):
        raise DataError(
            f"{path}: must hold {len(layout.names)} different class names, one a line, got {len(names)} "
            f"lines with {len(set(names))} different names"
        )
    return names


def _number(path: Path) -> tuple[int, str]:
    digits = re.search(r"_(\d{1,9})\.bin", path.name)
    return int(digits[1]) if digits else 0, path.name


def _plain_first(paths: Iterable[Path]) -> list[Path]:
    """Each file once, where it is there both plain and compressed."""
    chosen: dict[str, Path] = {}
    for path in paths:
        chosen.setdefault(path.name.partition(".bin")[0], path)  # "x.bin" is sorted before "x.bin.gz"
    return list(chosen.values())
