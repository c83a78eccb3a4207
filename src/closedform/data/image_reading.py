"""Reading many image files in a few threads, in order, leaving out those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from closedform.data.image_files import UnreadableError
from closedform.data.image_folders import ImageFile, shown
from closedform.data.image_pixels import Room, quiet_pillow
from closedform.errors import DataError

Array = NDArray[np.uint8]
Result = TypeVar("Result")

_AT_ONCE = 256  # files that the threads are given at a time: after an error no more are read than these
_MOST_THREADS = 4


class Reading:
    """Reads files of one folder, and keeps a sentence for each that is left out.

    Parameters
    ----------
    root
        The folder.
    strict
        Whether the first file that would be left out is a DataError.
    """

    def __init__(self, root: str, strict: bool):
        self.root, self.strict = root, strict
        self.left_out: list[str] = []
        self.room = Room()
        self._open = ExitStack()

    def __enter__(self) -> Reading:
        self._open.enter_context(quiet_pillow())
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        self._pool = self._open.enter_context(ThreadPoolExecutor(threads))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def leave_out(self, sentence: str) -> None:
        """Note that a file is left out.

        Raises
        ------
        DataError
            Where the reading is strict.
        """
        if self.strict:
            raise DataError(shown(os.path.join(self.root, sentence)))
        self.left_out.append(sentence)

    def sentences(self) -> tuple[str, ...]:
        """A sentence for each file that was left out, in order of name and not of finding out."""
        return tuple(sorted(self.left_out))

    def each(
        self, files: Sequence[ImageFile], read: Callable[[str], Result]
    ) -> list[tuple[ImageFile, Result]]:
        """What a function reads from each file, in order, without the files that cannot be read.

        Raises
        ------
        DataError
            For the first file that cannot be read, where the reading is strict.
        """
        results = []
        for start in range(0, len(files), _AT_ONCE):
            some = files[start : start + _AT_ONCE]
            for file, result in zip(
                some, self._pool.map(lambda file: _tried(read, file.path), some), strict=True
            ):
                if isinstance(result, UnreadableError):
                    self.leave_out(f"{file.name}: {result}")
                else:
                    results.append((file, result))
        return results

    def array(
        self, files: Sequence[ImageFile], shape: tuple[int, int, int], read: Callable[[str], Array]
    ) -> tuple[tuple[ImageFile, ...], Array]:
        """The images of the files that can be read, in one array (N, *shape), and these files.

        Raises
        ------
        DataError
            Where the images need more memory than there is, and for the first file that cannot be read where
            the reading is strict.
        """
        try:
            images = np.empty((len(files), *shape), np.uint8)
        except (MemoryError, ValueError):
            size = len(files) * shape[0] * shape[1] * shape[2] / 1e9
            raise DataError(
                f"{shown(self.root)}: {len(files):,} images of {shape[1]} × {shape[2]} pixels take "
                f"{size:,.1f} GB, which is not free: pass a smaller image_size"
            ) from None
        kept: list[ImageFile] = []
        for start in range(0, len(files), _AT_ONCE):
            for file, image in self.each(files[start : start + _AT_ONCE], read):
                images[len(kept)] = image
                kept.append(file)
        return tuple(kept), images[: len(kept)]


def _tried(read: Callable[[str], Result], path: str) -> Result | UnreadableError:
    try:
        return read(path)
    except UnreadableError as error:
        return error
