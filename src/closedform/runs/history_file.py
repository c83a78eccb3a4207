"""The figures of each epoch, in a table that lies in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedform.files import write_file
from closedform.training.callbacks import Callback

_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


class HistoryFile(Callback):
    """Writes a CSV file anew after each epoch, whole; a training that goes on goes on with it.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.rows: list[list[float]] = []
        self.columns: list[str] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Add the epoch, counted from 1."""
        figures = logs or {}
        self.columns = [key for key in _COLUMNS if key in figures]
        self.rows = [*self.rows[:epoch], [float(figures[key]) for key in self.columns]]
        lines = [",".join(["epoch", *self.columns])]
        lines += [",".join([str(number), *map(repr, row)]) for number, row in enumerate(self.rows, 1)]
        write_file(self.path, ("\n".join(lines) + "\n").encode())

    def state(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on after these rows."""
        self.rows = [[float(value) for value in row] for row in state["rows"]]
