"""The figures of each epoch, in a table that lies in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedform.errors import FileError
from closedform.training.callbacks import Callback
from closedform.writing import reason, write_file

_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


class HistoryFile(Callback):
    """Writes a CSV file anew after each epoch; a training that goes on goes on with it.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.columns: list[str] = []
        self.rows: list[list[float]] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Add the epoch, counted from 1.

        Raises
        ------
        FileError
            Where the file cannot be written.
        """
        figures = logs or {}
        self.columns = [key for key in _COLUMNS if key in figures]
        self.rows = [*self.rows[:epoch], [float(figures[key]) for key in self.columns]]
        try:
            # in place, which takes no time: the checkpoint keeps the rows, and the end writes them for good
            self.path.write_bytes(self._text())
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {reason(error)}") from None

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Write the file whole, and see it safely on disk."""
        if self.columns:
            write_file(self.path, self._text())

    def _text(self) -> bytes:
        lines = [",".join(["epoch", *self.columns])]
        lines += [",".join([str(number), *map(repr, row)]) for number, row in enumerate(self.rows, 1)]
        return ("\n".join(lines) + "\n").encode()

    def state(self) -> dict[str, Any]:
        """What has been written so far."""
        return {"columns": self.columns, "rows": self.rows}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on after these rows."""
        self.columns = [str(name) for name in state["columns"]]
        self.rows = [[float(value) for value in row] for row in state["rows"]]
