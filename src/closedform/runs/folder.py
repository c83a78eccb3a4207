"""The folder of a run: what lies in it, and who may write there."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from closedform.errors import FileError
from closedform.writing import reason, remove_leftovers, write_file

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

    def clear(self) -> None:
        """Remove what a run writes, and nothing else.

        Raises
        ------
        FileError
            Where that cannot be done.
        """
        self._remove([*self._generations(), *(self.path / name for name in _WRITTEN)])
        with contextlib.suppress(OSError):  # there is none, or it holds files of somebody's
            self.checkpoint.rmdir()

    def leave(self) -> None:
        """Where nothing was saved, leave nothing."""
        if self.holds_a_checkpoint() or self.model.exists():
            return
        with contextlib.suppress(OSError, FileError):
            self.clear()
            if self._is_made:
                self.path.rmdir()

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
        try:
            import fcntl
        except ImportError:  # Windows has none
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileError(
                    f"{self.path}: another training is running in it: wait for it, or {_OTHER}"
                ) from None
            except OSError:  # a file system without locks
                pass
            remove_leftovers(self.path, _WRITTEN.__contains__)
            yield
        finally:
            os.close(handle)


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


def _unmade(folder: Path, error: OSError | ValueError) -> FileError:
    return FileError(f"{folder}: cannot be made: {reason(error)}; {_OTHER}")
