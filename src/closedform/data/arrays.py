"""Files of NumPy arrays, `.npz`: x_train, y_train and, if it has them, x_test, y_test; or x and y.

References
----------
NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays", 2007.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet, Inputs
from closedform.data.image_arrays import as_images, image_shape
from closedform.data.labels import Part, as_labels, data_set, same_count
from closedform.data.opened import opened
from closedform.data.zipped import Archive, Member, shown
from closedform.errors import DataError

Array = NDArray[Any]

_LONGEST_HEADER = 10_000
_HEADER = re.compile(
    r"\{\s*'descr':\s*(?P<dtype>'[^']{0,40}'|\[.*\])\s*,\s*'fortran_order':\s*(?P<fortran>True|False)\s*,"
    r"\s*'shape':\s*\((?P<shape>(?:\d{1,19}L?, ?)*(?:\d{1,19}L?)?)\)\s*,?\s*\}\s*",
    re.DOTALL,
)
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


@dataclass(frozen=True)
class Npy:
    """One array of the file: what its header says."""

    member: Member
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    begin: int


class _NpzFile:
    """An npz file: its arrays' headers, then the arrays."""

    def __init__(self, path: Path):
        self.path = path
        self.archive = Archive(opened(path).data(), str(path))
        names = {name.removesuffix(".npy"): name for name in self.archive.members if name.endswith(".npy")}
        if not names:
            self._refuse()
        self.keys = names

    def _refuse(self) -> None:
        names = [shown(name) for name in self.archive.members]
        listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        raise DataError(
            f"{self.path}: is a zip archive without arrays, it holds {listed or 'nothing'}: unpack it "
            f"first and "
            f"name the folder"
        )

    def pair(self, x: str, y: str) -> tuple[Npy, Npy] | None:
        """The headers of images and their labels, None where neither is there."""
        missing = [key for key in (x, y) if key not in self.keys]
        if len(missing) == 2:
            return None
        if missing:
            names = (x, y) if x != "x_test" else ("x_train", "y_train", x, y)
            raise DataError(
                f"{self.path}: has no {missing[0]}; {self.held()}: name them as in "
                f"numpy.savez('data.npz', {', '.join(f'{name}=...' for name in names)})"
            )
        images, labels = self.header(x), self.header(y)
        image_shape(images.shape, self.where(x))
        if labels.shape:
            same_count(images.shape[0], labels.shape[0], x, self.where(y))
        return images, labels

    def held(self) -> str:
        """The keys that are there."""
        keys = [shown(key) for key in self.keys]
        return f"it holds {', '.join(keys[:6])}{f' and {len(keys) - 6} more' if len(keys) > 6 else ''}"

    def where(self, key: str) -> str:
        return f"{self.path}: {shown(key)}"

    def header(self, key: str) -> Npy:
        """The header of one array, compared with the member's size."""
        member, where = self.archive.members[self.keys[key]], self.where(key)
        head = self._head(member)
        if len(head) < 10 or not head.startswith(b"\x93NUMPY") or head[6] not in (1, 2, 3):
            raise DataError(f"{where}: is no array of NumPy's formats 1 to 3")
        begin = 10 if head[6] == 1 else 12
        length = int.from_bytes(head[8:begin], "little")
        text = head[begin : begin + length].decode("latin-1")
        match = _HEADER.fullmatch(text)
        if length > _LONGEST_HEADER or len(text) < length or match is None:
            raise DataError(f"{where}: its header, from byte 10, is none that NumPy writes for an array")
        shape = tuple(map(int, re.findall(r"\d+", match["shape"])))
        if len(shape) > 4:
            raise DataError(f"{where}: has {len(shape)} axes: images have 3 or 4, labels have 1")
        dtype = _dtype(match["dtype"], where)
        if begin + length + math.prod(shape) * dtype.itemsize != member.size:
            raise DataError(
                f"{where}: its header promises {math.prod(shape) * dtype.itemsize:,} bytes of numbers "
                f"after byte "
                f"{begin + length}, there are {member.size - begin - length:,}"
            )
        return Npy(member, dtype, shape, match["fortran"] == "True", begin + length)

    def array(self, npy: Npy) -> Array:
        """One array, mapped where it is stored in a large file."""
        content = self.archive.stored(npy.member)
        if content is None or not isinstance(content, np.memmap):
            content = self.archive.read(npy.member)
        numbers = content[npy.begin :].view(npy.dtype)
        return numbers.reshape(npy.shape, order="F" if npy.fortran else "C")

    def _head(self, member: Member) -> bytes:
        head = b""
        for piece in self.archive.pieces(member):
            head += piece[: _LONGEST_HEADER + 12 - len(head)]
            if len(head) == _LONGEST_HEADER + 12:
                break
        return head


def _dtype(text: str, where: str) -> np.dtype[Any]:
    name = text.strip("'")
    if _NUMBERS.fullmatch(name) and text[0] == "'":
        return np.dtype(name)
    if "O" in name:
        raise DataError(
            f"{where}: holds Python objects, which are a pickle and are never read: save arrays of "
            f"numbers, as in "
            f"x.astype('uint8')"
        )
    kind = "text" if re.fullmatch(r"[<>|=]?[SU]\d*", name) else f"numbers of the type {name[:40]}"
    raise DataError(f"{where}: must hold whole or real numbers, holds {kind}")


def read_npz(path: Path, source: str) -> DataSet:
    """The set in an npz file.

    Raises
    ------
    DataError
        Where an array is missing, is damaged or holds no numbers, or the arrays do not belong together.
    """
    file = _NpzFile(path)
    first = ("x_train", "y_train") if {"x_train", "y_train"} & set(file.keys) else ("x", "y")
    pairs = [(x, y, pair) for x, y in (first, ("x_test", "y_test")) if (pair := file.pair(x, y))]
    if not pairs or pairs[0][:2] != first:
        raise DataError(
            f"{path}: must hold x_train and y_train, and may hold x_test and y_test; {file.held()}: "
            f"rename them, "
            f"as in numpy.savez('data.npz', x_train=..., y_train=...)"
        )
    file.archive.check([npy.member for _, _, pair in pairs for npy in pair])
    labels = [as_labels(file.array(pair[1]), file.where(y)) for _, y, pair in pairs]
    parts = [
        Part(as_images(file.array(pair[0]), file.where(x)), classes, file.where(x), file.where(y))
        for (x, y, pair), classes in zip(pairs, labels, strict=True)
    ]
    return data_set("npz", source, parts[0], parts[1] if len(parts) > 1 else None)


def read_npz_inputs(path: Path) -> Inputs:
    """The images in an npz file to predict the classes of: `x`, else `x_test`, else `x_train`.

    Raises
    ------
    DataError
        Where an array is missing, is damaged or holds no numbers.
    """
    file = _NpzFile(path)
    key = next((key for key in ("x", "x_test", "x_train") if key in file.keys), None)
    if key is None:
        raise DataError(f"{path}: must hold x, x_test or x_train; {file.held()}")
    label_key = key.replace("x", "y", 1)
    if label_key in file.keys:
        pair = file.pair(key, label_key)
        images, labels = pair if pair else (file.header(key), None)
    else:
        images, labels = file.header(key), None
        image_shape(images.shape, file.where(key))
    file.archive.check([npy.member for npy in (images, labels) if npy])
    y = as_labels(file.array(labels), file.where(label_key)) if labels else None
    x = as_images(file.array(images), file.where(key))
    return Inputs(x, tuple(f"{path.name}[{k}]" for k in range(len(x))), y)
