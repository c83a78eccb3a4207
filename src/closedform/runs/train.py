"""A training in its folder: begun, gone on with, and finished."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closedform.errors import FileError, SettingError
from closedform.network import Network
from closedform.runs import settings
from closedform.runs.examples import class_weights, short_name
from closedform.runs.folder import RunFolder, fresh_folder, newest_run
from closedform.runs.preparing import Training, adopted, difference, made_callbacks, raised
from closedform.runs.run_clock import RunClock
from closedform.writing import write_file

if TYPE_CHECKING:
    from closedform.training.history import History

_PACKAGES = ("closedform", "numpy", "llvmlite")


@dataclass(frozen=True)
class Place:
    """Where a run is to be.

    Attributes
    ----------
    out
        The folder that was named; None for one below ``runs`` that is called after the data.
    resume
        Whether to go on with the run that is there.
    overwrite
        Whether to remove it.
    """

    out: Path | None = None
    resume: bool = False
    overwrite: bool = False

    def folder(self, path: str) -> RunFolder:
        """The folder for a run on the data at a path; it is there, and can be written.

        Raises
        ------
        FileError
            Where that cannot be.
        """
        name = short_name(path)
        folder = RunFolder(self.out) if self.out is not None else newest_run(name) if self.resume else None
        if folder is None:
            return fresh_folder(name)
        folder.make()
        return folder


@dataclass(frozen=True, eq=False)
class Outcome:
    """A run that is finished.

    Attributes
    ----------
    training, folder
        What it was, and where it is.
    results
        What it found.
    network, history
        What was trained, and how it went; None where the run had been finished before.
    """

    training: Training
    folder: RunFolder
    results: Mapping[str, Any]
    network: Network | None = None
    history: History | None = None

    @property
    def has_learned_nothing(self) -> bool:
        """Whether guessing is as good, by its loss while it was trained and by what it gets right."""
        if self.history is None or not self.history.epoch or "class_weight" in self.training.run.training:
            return False
        examples = self.training.examples
        is_learning = self.history["loss"][-1] < math.log(len(examples.data.classes))
        commonest = np.bincount(examples.test[1]).max() / len(examples.test[1])
        return not is_learning and bool(self.results["test_accuracy"] <= commonest)


def trained(
    training: Training,
    folder: RunFolder,
    place: Place,
    *,
    verbose: int,
    started: float,
    begin: Callable[[bool], None] = lambda goes_on: None,
) -> Outcome:
    """Train in a folder, which holds the checkpoints, and leave everything there that a run leaves.

    Parameters
    ----------
    verbose
        As for `Network.fit`.
    started
        When the run began, as `time.perf_counter` counts.
    begin
        Called when it is sure that there is something to train, with whether a run goes on.

    Raises
    ------
    ClosedformError, KeyboardInterrupt
        Where it cannot be trained, or was interrupted; the folder holds the checkpoints, if there are any.
    """
    with folder.locked():
        goes_on = _goes_on(folder, place)
        if goes_on:
            training = adopted(training, folder.path)
            finished = _compared(training, folder)
            if finished is not None:
                return Outcome(training, folder, finished)
            training = _raised(training, folder)
        text = training.text(folder.path).encode()

        def goes_on_for_good() -> None:
            folder.unfinish()
            write_file(folder.run_file, text)

        try:
            if place.overwrite:
                folder.clear()
            if not goes_on:
                write_file(folder.run_file, text)
            begin(goes_on)
            clock = RunClock(started, goes_on_for_good if goes_on else None)
            history = _fitted(training, folder, clock, goes_on, verbose)
            network = training.network
            if goes_on:
                write_file(folder.run_file, text)
            network.save(folder.model)
            found = network.evaluate(*training.examples.test)
            results = _results(training, folder, network, history, found, clock.seconds)
            folder.write_results(results)
            return Outcome(training, folder, results, network, history)
        finally:
            folder.leave()


def _goes_on(folder: RunFolder, place: Place) -> bool:
    """Whether there is a run to go on with."""
    if not folder.holds_a_run():
        return False
    if not place.resume and not place.overwrite:
        raise FileError(
            f"{folder.path}: already holds a run: go on with it with --resume, replace it with "
            f"--overwrite, or name another folder with --out"
        )
    return place.resume


def _compared(training: Training, folder: RunFolder) -> dict[str, Any] | None:
    """See that the run that goes on is the same; what it found, where nothing is left to be done."""
    other = difference(training, folder.path)
    if other is not None:
        raise SettingError(
            f"{folder.path}: cannot go on with other settings: {other}: give the same, or name another "
            f"folder with --out"
        )
    finished = folder.results()
    is_all = finished is not None and finished.get("epochs") == training.run.training["epochs"]
    return finished if is_all else None


def _raised(training: Training, folder: RunFolder) -> Training:
    """With the schedule of a run whose epochs are more than its last checkpoint knows of."""
    from closedform.training.checkpoint import newest

    words = training.run.training
    found = newest(folder.checkpoint) if "schedule" in words else None
    known = {} if found is None else found.meta.get("settings")
    before = known.get("epochs") if isinstance(known, Mapping) else None
    return raised(training, before) if isinstance(before, int) and words["epochs"] > before else training


def _fitted(training: Training, folder: RunFolder, clock: RunClock, resume: bool, verbose: int) -> History:
    from closedform.runs.history_file import HistoryFile

    words, data, examples = training.run.training, training.run.data, training.examples
    return training.network.fit(
        *examples.train,
        epochs=words["epochs"],
        batch_size=words["batch_size"],
        optimizer=settings.optimizer(words["optimizer"]),
        validation_data=examples.validation,
        verbose=verbose,
        steps=words.get("steps"),
        schedule=settings.schedule(words["schedule"]) if "schedule" in words else None,
        callbacks=[*made_callbacks(words, folder.path, verbose), HistoryFile(folder.history), clock],
        class_weight=class_weights(words.get("class_weight"), examples.train[1], examples.data.classes),
        label_smoothing=words.get("label_smoothing", 0.0),
        clip_norm=words.get("clip_norm"),
        standardize=data["standardize"],
        augment=settings.augmentation(data["augment"]) if "augment" in data else None,
        checkpoint=folder.checkpoint,
        checkpoint_seconds=words.get("checkpoint_seconds", 60.0),
        resume=resume,
    )


def _results(
    training: Training,
    folder: RunFolder,
    network: Network,
    history: History,
    found: Mapping[str, float],
    seconds: float,
) -> dict[str, Any]:
    """What is kept of a finished run: what it found, and what it was run with."""
    words, data = training.run.training, training.examples.data
    return {
        "data": training.run.data["path"],
        "test_accuracy": found["accuracy"],
        "test_loss": found["loss"],
        "test_examples": len(training.examples.test[1]),
        "epochs": words["epochs"],
        "batch_size": words["batch_size"],
        "learning_rate": words["optimizer"]["learning_rate"],
        "seed": words["seed"],
        "parameters": training.architecture.parameter_count,
        "seconds": round(seconds, 3),
        "model": str(folder.model),
        "epochs_trained": len(history.epoch),
        "history": history.history,
        "epoch_seconds": history.seconds,
        "engine": network.engine,
        "network": training.network_name,
        "kind": data.kind,
        "classes": list(data.classes),
        "left_out": list(data.left_out),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
