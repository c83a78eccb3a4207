"""What a training keeps on disk, and how it goes on from there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import CheckpointWarning, FileError, SettingError
from closedform.training.history import History
from closedform.writing import locked, make_folder

if TYPE_CHECKING:
    from closedform.training.checkpoint import Checkpoint
    from closedform.training.loop import Training
    from closedform.training.rates import Rates

Array = NDArray[Any]

# what may be changed when a training goes on: the schedule as long as the past stays what it was
_FREE = ("epochs", "schedule")
_OF_CALLBACKS = "callback_settings"
_CALLER = 5  # `Network.fit`'s, as `Keeper.begin` sees it


@dataclass
class Keeper:
    """Writes a training's checkpoints.

    A checkpoint holds everything that decides the training's future: parameters, the optimiser's averages,
    how far it is in which epoch, the clock that the random numbers are drawn by, the learning rate, the
    figures so far and what the callbacks remember, the best parameters among it.

    Parameters
    ----------
    folder
        Where they are written.
    seconds
        How often, besides the end of each epoch.
    resumes
        Whether to go on from the newest one that is there.
    settings
        What must be the same when the training goes on, as plain values.
    """

    folder: Path
    seconds: float
    resumes: bool
    settings: dict[str, Any]
    last: Path | None = None
    _written: float = 0.0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it is entered, no other training may keep its checkpoints in the folder.

        A folder that is missing is made, and taken away again where nothing was written into it.

        Raises
        ------
        FileError
            Where another training is in it, and where it cannot be made.
        """
        from closedform.training.checkpoint import unwritten

        try:
            missing = make_folder(self.folder)
        except FileExistsError:
            raise FileError(f"{self.folder}: is no folder: name another folder") from None
        except (OSError, ValueError) as error:
            raise unwritten(self.folder, error, None) from None
        refusal = "another training is keeping its checkpoints in it: wait for it, or name another folder"
        with locked(self.folder, f"{self.folder}: {refusal}"):
            try:
                yield
            finally:
                with suppress(OSError):  # one of them holds something
                    for folder in missing:
                        folder.rmdir()

    def begin(self, training: Training) -> None:
        """Take the training to where the newest checkpoint left it, if there is one and that is wanted.

        Raises
        ------
        SettingError
            For a folder that holds a training that is not to go on, and for other settings than its own.
        FileError
            Where what is there cannot be read.

        Warns
        -----
        CheckpointWarning
            Where a newer one is damaged, and was passed over.
        """
        from closedform.training.checkpoint import newest

        self._written = time.monotonic()
        found = newest(self.folder)
        if found is None:
            return
        if not self.resumes:
            raise SettingError(
                f"{self.folder}: holds the checkpoints of a training: pass resume=True to go on with it, or "
                f"name another folder"
            )
        self._compare(found)
        self.last = found.path
        if found.note:
            warnings.warn(found.note, CheckpointWarning, stacklevel=_CALLER)
        try:
            is_same = _has_same_rates(training.task.rates, found.meta)
            if is_same:
                _restore(training, found)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FileError(
                f"{found.path}: is no checkpoint of this training ({type(error).__name__}: {error}): name "
                f"another folder"
            ) from None
        if not is_same:
            raise SettingError(self._other_rates(training, found))

    def is_due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() - self._written >= self.seconds

    def save(self, training: Training) -> None:
        """Write a checkpoint.

        Raises
        ------
        FileError
            Where it cannot be written; the one before stays.
        """
        from closedform.training.checkpoint import unwritten, write

        try:
            arrays, meta = _kept(training)
        except MemoryError as error:
            raise unwritten(self.folder, error, self.last) from None
        self.last = write(self.folder, arrays, {"settings": self.settings, **meta}, self.last)
        self._written = time.monotonic()

    def _compare(self, found: Checkpoint) -> None:
        before = found.meta.get("settings")
        if not isinstance(before, Mapping):
            raise FileError(f"{found.path}: is no checkpoint of a training: name another folder")
        for difference in _differences(before, self.settings):
            raise SettingError(
                f"{found.path}: the training that is to go on had {difference}: give the same, or begin anew "
                f"in another folder"
            )

    def _other_rates(self, training: Training, found: Checkpoint) -> str:
        """What is said where the updates that were made had other learning rates than they have now."""
        before, rates = found.meta["settings"], training.task.rates
        begin = f"{found.path}: the updates that were made had other learning rates"
        epochs, schedule = before.get("epochs"), rates.schedule
        is_it = schedule is not None and before.get("schedule") == repr(schedule)
        if schedule is None or not is_it or not isinstance(epochs, int) or training.epochs <= epochs:
            return (
                f"{begin}: of schedule = {before.get('schedule')} over {epochs} epochs, now it is {schedule} "
                f"over {training.epochs}: give the same, or begin anew in another folder"
            )
        raised = schedule.raised(rates.epoch_steps, epochs, training.epochs)
        return (
            f"{begin}: {type(schedule).__name__} went over {epochs} epochs, now there are "
            f"{training.epochs}: let it begin anew for those that are added, with schedule={raised}"
        )


def _differences(before: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """In words, what must not differ and does."""
    for word in {**before, **settings}:
        if word not in (*_FREE, _OF_CALLBACKS) and before.get(word) != settings.get(word):
            yield _difference(word, before.get(word), settings.get(word))
    if _OF_CALLBACKS in before:  # earlier versions did not write them
        yield from _differences_of_callbacks(before, settings)


def _differences_of_callbacks(before: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    from closedform.training.checkpoint import as_read

    given = as_read(settings[_OF_CALLBACKS], _OF_CALLBACKS)
    for name, then, now in zip(settings["callbacks"], before[_OF_CALLBACKS], given, strict=True):
        for word in {**then, **now}:
            if then.get(word) != now.get(word):
                yield _difference(f"{name}'s {word}", then.get(word), now.get(word))


def _difference(word: str, then: Any, now: Any) -> str:
    """In words, what differs."""
    if word in ("data", "network", "validation"):
        return {
            "data": "other examples",
            "network": "another network",
            "validation": "other validation examples",
        }[word]
    return f"{word} = {then!r}, now it is {now!r}"


def _kept(training: Training) -> tuple[dict[str, Array], dict[str, Any]]:
    task, course, rates = training.task, training.course, training.task.rates
    arrays = {f"parameters.{key}": np.array(array) for key, array in task.parameters.items()}
    arrays |= {f"optimizer.{name}": array for name, array in training.trainer.state().items()}
    callbacks = []
    for number, callback in enumerate(training.callbacks):
        values = {}
        for word, value in callback.state().items():
            if isinstance(value, np.ndarray):
                arrays[f"callbacks.{number}.{word}"] = value
            else:
                values[word] = value
        callbacks.append(values)
    history = course.history
    return arrays, {
        "clock": {"epochs": task.clock.epochs, "updates": task.clock.updates},
        "rate": {
            "base": rates.base,
            "begun": rates.begun,
            "changes": rates.changes,
            "shares": rates.shares(task.clock.updates - rates.begun).tolist(),
        },
        "course": {
            "epoch": course.epoch,
            "done": course.done,
            "total": course.total,
            "right": course.right,
            "is_begun": course.is_begun,
            "is_in_batch": course.is_in_batch,
            "is_stopped": course.is_stopped,
            "is_finished": course.is_finished,
        },
        "history": {
            "figures": history.history,
            "seconds": history.seconds,
            "unfinished": course.seconds,
        },
        "callbacks": callbacks,
    }


def _has_same_rates(rates: Rates, meta: Mapping[str, Any]) -> bool:
    """Whether the updates that were made have the learning rates now that they had."""
    now = rates.shares(int(meta["clock"]["updates"]) - int(meta["rate"]["begun"]))
    then = np.array(meta["rate"]["shares"], np.float64)
    return now.shape == then.shape and np.allclose(now, then, rtol=1e-9, atol=1e-12)


def _restore(training: Training, found: Checkpoint) -> None:
    task, course, meta = training.task, training.course, found.meta
    task.clock.epochs, task.clock.updates = int(meta["clock"]["epochs"]), int(meta["clock"]["updates"])
    task.rates.base, task.rates.begun = float(meta["rate"]["base"]), int(meta["rate"]["begun"])
    task.rates.changes |= bool(meta["rate"]["changes"])
    for key in task.parameters:
        task.parameters[key] = found.arrays[f"parameters.{key}"]
    begin = "optimizer."
    state = {name[len(begin) :]: array for name, array in found.arrays.items() if name.startswith(begin)}
    training.trainer.restore(state)
    for word, value in meta["course"].items():
        setattr(course, word, type(getattr(course, word))(value))
    figures = {
        str(key): [float(value) for value in values] for key, values in meta["history"]["figures"].items()
    }
    seconds = [float(value) for value in meta["history"]["seconds"]]
    course.history = History(figures, list(range(len(seconds))), seconds)
    course.seconds = float(meta["history"].get("unfinished", 0.0))  # earlier versions did not write it
    for number, (callback, values) in enumerate(zip(training.callbacks, meta["callbacks"], strict=True)):
        begin = f"callbacks.{number}."
        own = {name[len(begin) :]: array for name, array in found.arrays.items() if name.startswith(begin)}
        callback.load_state({**values, **own})
    if course.epoch < training.epochs and not course.is_stopped:
        course.is_finished = False
