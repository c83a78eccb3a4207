"""The figures of each epoch in a file of separated values."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from typing import Any

from closedform.errors import FileError, SettingError
from closedform.training.callback import Callback, Logs, PathLike, flag, path


class CSVLogger(Callback):
    """Writes a row of figures for each epoch, counted from 0, below a row of their names.

    Parameters
    ----------
    filename : path
        Of the file.
    separator : str
        Between two figures, one character.
    append : bool
        Whether a file that is there is gone on with.

    Raises
    ------
    SettingError
        For another separator.
    FileError
        Where the file cannot be read or written, and for one to go on with that holds no such rows.

    Notes
    -----
    A training that goes on from a checkpoint takes away the rows that were written after it.
    """

    def __init__(self, filename: PathLike, separator: str = ",", append: bool = False):
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise SettingError(f"CSVLogger: separator must be one character, as in ';', got {separator!r}")
        self.filename, self.separator = path(self, "filename", filename), separator
        self.append = flag(self, "append", append)
        self.keys: list[str] | None = None
        self._kept: int | None = None

    def set_model(self, model: Any) -> None:
        """Say which network is trained, and forget an earlier training."""
        super().set_model(model)
        self.keys, self._kept = None, None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file, or go on with it."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._shorten(kept)
        elif self.append:
            self._go_on()
        else:
            self.keys = None
            self._write("", "w")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add a row."""
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            self._write(self._row(["epoch", *self.keys]))
        self._write(self._row([epoch, *(logs.get(key, "NA") for key in self.keys)]))

    def state(self) -> dict[str, Any]:
        """How long the file is, and which figures are in it; it is safely on disk then."""
        if os.path.isfile(self.filename):  # nothing else can be flushed
            try:
                with open(self.filename, "r+b") as file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise self._failed("written", error) from None
        return {"bytes": self._size(), "keys": self.keys}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave; the file is shortened when the training begins."""
        self._kept = int(state["bytes"])
        self.keys = None if state["keys"] is None else [str(key) for key in state["keys"]]

    def _shorten(self, size: int) -> None:
        if self._size() < size:  # somebody took it away, or part of it
            self._go_on()
            return
        try:
            if self._size() > size:
                os.truncate(self.filename, size)
        except OSError as error:
            raise self._failed("written", error) from None

    def _go_on(self) -> None:
        """Take the names from the file that is there, and see that its last line has an end."""
        self.keys = None
        if not self._size():
            return
        try:
            with open(self.filename, encoding="utf-8", newline="") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise self._failed("read", error) from None
        names = next(csv.reader(text.splitlines()[:1], delimiter=self.separator), [])
        if names[:1] != ["epoch"]:
            raise FileError(
                f"{self.filename}: begins with {text[:40]!r}, not with 'epoch': name another "
                f"file, or pass append=False to write it anew"
            )
        self.keys = names[1:]
        if not text.endswith("\n"):
            self._write("\n")

    def _row(self, values: Iterable[object]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerow(values)
        return text.getvalue()

    def _size(self) -> int:
        return os.path.getsize(self.filename) if os.path.exists(self.filename) else 0

    def _write(self, text: str, mode: str = "a") -> None:
        try:
            folder = os.path.dirname(self.filename)
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(self.filename, mode, encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise self._failed("written", error) from None

    def _failed(self, verb: str, error: OSError | UnicodeDecodeError) -> FileError:
        reason = getattr(error, "strerror", None) or error
        return FileError(f"{self.filename}: cannot be {verb}: {reason}")
