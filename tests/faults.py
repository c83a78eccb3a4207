"""Writes, flushes, renames and allocations that fail: the Nth of a run, for every N."""

import builtins
import errno
import io
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

_WRITING = set("wax+")
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_ALLOCATING = {
    "closedform.files", "closedform.training.checkpoint", "closedform.training.keeper", "safetensors.numpy",
}  # fmt: skip


class WrittenTo:
    """A file whose writes are counted; the one that fails writes half of what it should."""

    def __init__(self, file, faults):
        self._file, self._faults = file, faults

    def write(self, data):
        if self._faults.is_next("write"):
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self._file, name)


@dataclass
class Faults:
    """Counts what is done to the files below a folder, and lets one of the calls fail.

    Parameters
    ----------
    folder
        What happens elsewhere is not counted.
    number
        Which call fails, counted from 1.
    lasts
        Whether all calls after it fail too.
    """

    folder: Path
    number: int
    lasts: bool = False
    count: int = 0
    failed: list[str] = field(default_factory=list)

    def is_next(self, kind):
        """Count a call; whether it is to fail."""
        self.count += 1
        fails = self.count == self.number or (self.lasts and self.count > self.number)
        if fails:
            self.failed.append(kind)
        return fails

    def _is_counted(self, place):
        return isinstance(place, str | os.PathLike) and Path(place).is_relative_to(self.folder)

    def _on_path(self, kind, function):
        def called(path, *arguments, **words):
            # nothing would be written; and what cannot be without a name is tried with one
            is_harmless = kind == "mkdir" and os.path.isdir(path)
            is_harmless |= kind == "open" and arguments[0] & _NAMELESS == _NAMELESS != 0
            if self._is_counted(path) and not is_harmless and self.is_next(kind):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
            return function(path, *arguments, **words)

        return called

    def _on_opening(self, function):
        def called(path, mode="r", *arguments, **words):
            if not self._is_counted(path) or not _WRITING & set(mode) or os.path.isdir(path):
                return function(path, mode, *arguments, **words)
            if self.is_next("open"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
            return WrittenTo(function(path, mode, *arguments, **words), self)

        return called

    def _on_descriptor(self, function):
        def called(handle):
            if self.is_next("fsync"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return function(handle)

        return called

    def _on_allocating(self, function):
        def called(*arguments, **words):
            caller = sys._getframe(1).f_globals.get("__name__")
            if caller in _ALLOCATING and self.is_next("allocation"):
                raise MemoryError
            return function(*arguments, **words)

        return called

    @contextmanager
    def injected(self):
        """While it is entered, the call fails."""
        import safetensors.numpy

        opened = os.fdopen
        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "mkdir", "unlink", "replace", "rename", "truncate", "chmod"):
                patch.setattr(os, name, self._on_path(name, getattr(os, name)))
            patch.setattr(os, "fsync", self._on_descriptor(os.fsync))
            patch.setattr(os, "fdopen", lambda *arguments: WrittenTo(opened(*arguments), self))
            for module in (builtins, io):
                patch.setattr(module, "open", self._on_opening(module.open))
            for name in ("array", "asarray", "ascontiguousarray"):
                patch.setattr(np, name, self._on_allocating(getattr(np, name)))
            patch.setattr(safetensors.numpy, "save", self._on_allocating(safetensors.numpy.save))
            yield self
