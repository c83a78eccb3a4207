"""A training in its folder: begun, gone on with, and finished."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closedform.errors import FileError, SettingError
from closedform.network import Network, load
from closedform.runs import settings
from closedform.runs.examples import class_weights, short_name
from closedform.runs.folder import RunFolder, fresh_folder, newest_run
from closedform.runs.pixels import PIXELS, pixels_of
from closedform.runs.preparing import (
    Training,
    adopted,
    difference,
    epochs_before,
    made_callbacks,
    raised,
)
from closedform.runs.run_clock import RunClock
from closedform.runs.tested_on import TESTED_ON, TestedOn, check_tested_on
from closedform.writing import write_file

if TYPE_CHECKING:
    from closedform.training.callbacks import Callback
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
        folder = self._named(path)
        if folder is None:
            return fresh_folder(short_name(path))
        folder.make()
        return folder

    def before(self, path: str | None) -> RunFolder | None:
        """The folder of the run that is to go on, on the data at a path; None where there is none."""
        folder = self._named(path) if self.resume else None
        if folder is None or not folder.path.is_dir():
            return None
        with folder.locked():  # so that a run that was not replaced after all is there again
            return folder if folder.run_file.is_file() else None

    def _named(self, path: str | None) -> RunFolder | None:
        if self.out is not None:
            return RunFolder(self.out)
        return newest_run(short_name(path)) if self.resume and path is not None else None


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
    has_trained
        Whether anything was left to be trained.
    """

    training: Training
    folder: RunFolder
    results: Mapping[str, Any]
    network: Network | None = None
    history: History | None = None
    has_trained: bool = False

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
    begin: Callable[[], None] = lambda: None,
    go_on: Callable[[str], None] = lambda how: None,
) -> Outcome:
    """Train in a folder, which holds the checkpoints, and leave everything there that a run leaves.

    Parameters
    ----------
    verbose
        As for `Network.fit`.
    started
        When the run began, as `time.perf_counter` counts.
    begin
        Called before the training, where not all of it has been done before.
    go_on
        Called when it is sure that a run goes on, with how, in words.

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
            how = _how(training, folder)
            training = _raised(training, folder)
        text = training.text(folder.path).encode()

        def goes_on_for_good() -> None:
            folder.unfinish()
            write_file(folder.run_file, text)
            go_on(how)

        try:
            if place.overwrite:
                folder.set_aside()
            if not goes_on:
                write_file(folder.run_file, text)
            begin()
            clock = RunClock(started, goes_on_for_good if goes_on else None)
            tested = TestedOn(training.examples)
            history = _fitted(training, folder, [tested, clock], goes_on, verbose)
            tested.check()
            network = training.network
            if goes_on:
                write_file(folder.run_file, text)
            network.save(folder.model)
            found = network.evaluate(*training.examples.test)
            results = _results(training, folder, network, history, {**found, **tested.state()}, clock.seconds)
            folder.write_results(results)
            return Outcome(training, folder, results, network, history, clock.has_begun)
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
    if finished is None:
        return None
    if finished.get("epochs") == training.run.training["epochs"]:
        check_tested_on(training.examples, finished, folder.path)
        _check_model(folder)
        return finished
    if not folder.holds_a_checkpoint():
        raise FileError(
            f"{folder.path}: is finished and its checkpoints are gone, so that it cannot go on: train anew "
            f"with --overwrite, or name another folder with --out"
        )
    return None


def _check_model(folder: RunFolder) -> None:
    try:
        load(folder.model, "reference")
    except FileError as error:
        mend = ": delete it, and --resume makes it anew" if folder.holds_a_checkpoint() else ""
        raise FileError(f"{error}{mend}") from None


def _how(training: Training, folder: RunFolder) -> str:
    """How a run goes on."""
    if not folder.holds_a_checkpoint():
        return "begins anew, nothing was saved"
    before, now = epochs_before(folder.path), training.run.training["epochs"]
    end = f", to epoch {now} instead of {before}" if now != before else ""
    return f"goes on from its last checkpoint{end}"


def _raised(training: Training, folder: RunFolder) -> Training:
    """With the schedule of a run whose epochs are more than its last checkpoint knows of."""
    from closedform.training.checkpoint import newest

    words = training.run.training
    found = newest(folder.checkpoint) if "schedule" in words else None
    known = {} if found is None else found.meta.get("settings")
    before = known.get("epochs") if isinstance(known, Mapping) else None
    return raised(training, before) if isinstance(before, int) and words["epochs"] > before else training


def _fitted(
    training: Training, folder: RunFolder, own: Sequence[Callback], resume: bool, verbose: int
) -> History:
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
        callbacks=[*made_callbacks(words, folder.path, verbose), HistoryFile(folder.history), *own],
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
    found: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """What is kept of a finished run: what it found, and what it was run with."""
    words, data = training.run.training, training.examples.data
    return {
        "data": training.run.data["path"],
        "test_accuracy": found["accuracy"],
        "test_loss": found["loss"],
        "test_examples": len(training.examples.test[1]),
        TESTED_ON: found[TESTED_ON],
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
        PIXELS: pixels_of(training.examples.train[0]),
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
