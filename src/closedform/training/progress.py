"""How a training shows itself: a table of epochs, with a bar below it on a terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TextIO

from closedform.errors import SettingError

COLUMNS = {
    "loss": "train loss",
    "accuracy": "train accuracy",
    "val_loss": "valid loss",
    "val_accuracy": "valid accuracy",
}
_WIDTH = 70  # columns of a terminal that all titles take; on narrower ones they are the history's keys


class Progress:
    """Nothing is shown."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin_epoch(self, epoch: int, epochs: int, batches: int) -> None:
        """An epoch begins; epochs are counted from 0."""

    def batch(self, loss: float, batches: int = 1) -> None:
        """Some batches are done; the loss is the last one's."""

    def end_epoch(self, epoch: int, figures: Mapping[str, float], seconds: float) -> None:
        """An epoch is done."""


class Table(Progress):
    """A line for each epoch, as plain text."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.keys: list[str] = []
        is_narrow = self.stream.isatty() and shutil.get_terminal_size().columns < _WIDTH
        self.titles = {key: (key if is_narrow else title).rjust(8) for key, title in COLUMNS.items()}

    def end_epoch(self, epoch: int, figures: Mapping[str, float], seconds: float) -> None:
        """Print the line, before the first one the head."""
        if not self.keys:
            self.keys = [key for key in COLUMNS if key in figures]
            titles = ["epoch", *(self.titles[key] for key in self.keys), "seconds"]
            self.write("  ".join(titles))
            self.write("  ".join("-" * len(title) for title in titles))
        cells = [str(epoch + 1).rjust(5)]
        cells += [in_column(figures[key], len(self.titles[key])) for key in self.keys]
        cells.append(in_column(seconds, 7, (".2f", ".0f")))
        self.write("  ".join(cells))

    def write(self, line: str) -> None:
        """Print one line."""
        print(line, file=self.stream, flush=True)


class Bar(Table):
    """The table, and while an epoch runs a progress bar below it."""

    def __init__(self, stream: TextIO | None = None):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        super().__init__(stream)
        self.console = Console(file=self.stream, highlight=False)
        self.bar: Any = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task: Any = None

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def begin_epoch(self, epoch: int, epochs: int, batches: int) -> None:
        """Start the bar anew."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{epochs}", total=batches, loss="")

    def batch(self, loss: float, batches: int = 1) -> None:
        """Move the bar."""
        self.bar.update(self.task, advance=batches, loss=in_column(loss, 8).strip())

    def write(self, line: str) -> None:
        """Print one line above the bar."""
        self.console.print(line, markup=False, soft_wrap=True)


def in_column(value: float, width: int, forms: Sequence[str] = (".4f", ".2e", ".1e", ".0e")) -> str:
    """A number in the first of the forms in which it fits into a column, or else in the last one."""
    texts = [f"{value:{form}}" for form in forms]
    return next((text for text in texts if len(text) <= width), texts[-1]).rjust(width)


def progress(verbose: int, stream: TextIO | None = None) -> Progress:
    """What `verbose` asks for: 0 nothing, 1 a bar on a terminal and plain lines elsewhere, 2 plain lines."""
    if verbose not in (0, 1, 2):
        raise SettingError(
            f"verbose must be 0 (nothing), 1 (a bar on a terminal) or 2 (lines), got {verbose!r}"
        )
    target = stream or sys.stdout
    if not verbose or target is None:  # there is no stdout in a process without a console
        return Progress()
    if verbose == 1 and target.isatty():
        try:
            return Bar(target)
        except ImportError:
            return Table(target)
    return Table(target)
