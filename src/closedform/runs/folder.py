"""The folder of a run: what lies in it, and who may write there."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from closedform.errors import FileError
from closedform.writing import locked, reason, remove_leftovers, write_file

MODEL = "model.safetensors"
CHECKPOINT = "checkpoint"
HISTORY = "history.csv"
RUN_FILE = "run.toml"
RESULTS = "run.json"
REPORT = "report.html"
PICTURES = (
    "learning_curves.png", "confusion_matrix.png", "worst_mistakes.png", "filters.png", "feature_maps.png",
)  # fmt: skip
_WRITTEN = (MODEL, HISTORY, RESULTS, REPORT, *PICTURES, RUN_FILE)

_RUNS = Path("runs")
_LEAVING, _REPLACED = ".replacing", ".replaced"  # where the run that is replaced lies: not yet all of it, all
_SIGNS_OF_A_RUN = (MODEL, CHECKPOINT, RUN_FILE)
_OTHER = "name another folder with --out"


class RunFolder:
    """A folder that a run is or will be in.

    Parameters
    ----------
    path
        The folder; nothing is made or read before it is asked for.
    """

    def __init__(self, path: Path):
        self.path = path
        self._is_made = False

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / MODEL

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINT

    @property
    def history(self) -> Path:
        """The figures of each epoch."""
        return self.path / HISTORY

    @property
    def run_file(self) -> Path:
        """The run file as it was used."""
        return self.path / RUN_FILE

    @property
    def report(self) -> Path:
        """The page that shows everything."""
        return self.path / REPORT

    def holds_a_run(self) -> bool:
        """Whether a run has begun here."""
        return any((self.path / name).exists() for name in _SIGNS_OF_A_RUN)

    def holds_a_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return any(self._generations())

    def results(self) -> dict[str, Any] | None:
        """What a finished run found; None where none is finished here.

        Raises
        ------
        FileError
            Where it is written and cannot be read.
        """
        place = self.path / RESULTS
        try:
            found = json.loads(place.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileError(f"{place}: cannot be read: {reason(error)}") from None
        except ValueError:
            raise FileError(f"{place}: is damaged: delete it, and --resume makes it anew") from None
        if not self.model.exists() or not isinstance(found, dict):
            return None
        return found

    def write_results(self, results: dict[str, Any]) -> None:
        """Write what the run found, which makes it a finished one."""
        write_file(self.path / RESULTS, (json.dumps(results, indent=1) + "\n").encode())

    def unfinish(self) -> None:
        """Remove what shows a finished run, which goes on."""
        self._remove([self.path / name for name in (RESULTS, REPORT, *PICTURES)])

    # ---- making and clearing

    def make(self) -> None:
        """Make the folder that was asked for, or see that it can be written.

        Raises
        ------
        FileError
            Where it cannot.
        """
        is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise FileError(f"{self.path}: is no folder: {_OTHER}") from None
        except (OSError, ValueError) as error:
            raise _unmade(self.path, error) from None
        self._is_made = is_new
        try:
            with tempfile.TemporaryFile(dir=self.path):
                return
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {error.strerror}; {_OTHER}") from None

    def set_aside(self) -> None:
        """Make room for a run that replaces the one that is here, which comes back where nothing replaces it.

        Only what a run writes is moved, and nothing else.

        Raises
        ------
        FileError
            Where that cannot be done.
        """
        leaving = self.path / _LEAVING
        try:
            (leaving / CHECKPOINT).mkdir(parents=True)
            for place in [*self._generations(), *self._written()]:
                if place.exists():
                    place.replace(leaving / place.relative_to(self.path))
            leaving.rename(self.path / _REPLACED)
        except OSError as error:
            self.settle()
            raise FileError(f"{error.filename}: cannot be moved: {reason(error)}; {_OTHER}") from None

    def settle(self) -> None:
        """Remove the run that was replaced, or bring it back where nothing of another has been saved."""
        leaving, replaced = self.path / _LEAVING, self.path / _REPLACED
        with contextlib.suppress(OSError, FileError):
            if replaced.exists() and not self._holds_weights():
                self._clear()
                replaced.rename(leaving)
            if leaving.exists():
                self.checkpoint.mkdir(exist_ok=True)
                for place in [*(leaving / CHECKPOINT).iterdir(), *(leaving / name for name in _WRITTEN)]:
                    if place.exists():
                        place.replace(self.path / place.relative_to(leaving))
                _without_empty(self.checkpoint)
                shutil.rmtree(leaving)
            elif replaced.exists():
                shutil.rmtree(replaced)

    def leave(self) -> None:
        """Where nothing was saved, leave what was there before."""
        self.settle()
        if not self._holds_weights():
            with contextlib.suppress(OSError, FileError):
                self._clear()
                if self._is_made:
                    self.path.rmdir()

    def _holds_weights(self) -> bool:
        return self.holds_a_checkpoint() or self.model.exists()

    def _clear(self) -> None:
        """Remove what a run writes, and nothing else."""
        self._remove([*self._generations(), *self._written()])
        _without_empty(self.checkpoint)

    def _written(self) -> list[Path]:
        return [self.path / name for name in _WRITTEN]

    def _generations(self) -> Iterator[Path]:
        """The checkpoints."""
        if self.checkpoint.is_dir():
            yield from (p for p in self.checkpoint.iterdir() if re.fullmatch(r"\d+\.safetensors", p.name))

    def _remove(self, places: list[Path]) -> None:
        try:
            for place in places:
                place.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"{error.filename}: cannot be removed: {reason(error)}; {_OTHER}") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """While it is entered, no other training may enter.

        What a training that was killed left half-written is removed first.

        Raises
        ------
        FileError
            Where another is there.
        """
        refusal = f"{self.path}: another training is running in it: wait for it, or {_OTHER}"
        with locked(self.path, refusal):
            remove_leftovers(self.path, _WRITTEN.__contains__)
            self.settle()
            yield


def fresh_folder(name: str) -> RunFolder:
    """A new folder below ``runs``: of the name, or with the next free number behind it.

    Raises
    ------
    FileError
        Where none can be made.
    """
    for number in itertools.count(1):
        path = _RUNS / (name if number == 1 else f"{name}-{number}")
        folder = RunFolder(path)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not path.parent.is_dir():
                raise FileError(f"{path.parent}: is no folder: {_OTHER}") from None
        except OSError as error:
            raise _unmade(path, error) from None
        else:
            folder._is_made = True
            return folder
    raise AssertionError("unreachable")


def newest_run(name: str) -> RunFolder | None:
    """The run of a name below ``runs`` that began last, if there are any of those that are not finished."""
    pattern = re.compile(re.escape(name) + r"(-\d+)?")
    places = [p for p in _RUNS.iterdir() if pattern.fullmatch(p.name)] if _RUNS.is_dir() else []
    began = [folder for folder in map(RunFolder, places) if folder.run_file.is_file()]
    began.sort(key=lambda folder: folder.run_file.stat().st_mtime_ns, reverse=True)
    unfinished = [folder for folder in began if folder.results() is None]
    return next(iter(unfinished + began), None)


def _without_empty(folder: Path) -> None:
    """Remove a folder, unless it holds something, or is not there."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _unmade(folder: Path, error: OSError | ValueError) -> FileError:
    return FileError(f"{folder}: cannot be made: {reason(error)}; {_OTHER}")
