"""What a run leaves to be looked at: its pictures, and the page that shows everything."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from closedform.errors import FileError
from closedform.network import Network, load
from closedform.runs.folder import RESULTS, RunFolder
from closedform.runs.pictures import Picture, Samples, can_draw, draw_pictures
from closedform.runs.preparing import Training, prepared
from closedform.runs.report import ReportData, write_report
from closedform.runs.run_file import RunFile
from closedform.runs.tested_on import check_tested_on
from closedform.training.history import History
from closedform.training.interrupts import Interrupts
from closedform.training.metrics import Metrics

_TABLES = ("data", "training")


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run that is finished, read from its folder.

    Attributes
    ----------
    training
        What was trained on what; its network is a fresh one.
    results
        What it found.
    network, history
        The trained network, and how the training went.
    """

    training: Training
    results: Mapping[str, Any]
    network: Network
    history: History

    @classmethod
    def read(cls, folder: RunFolder, data: str | None = None) -> FinishedRun:
        """Read a run, and its data.

        Parameters
        ----------
        data
            Where the data are; None for where they were.

        Raises
        ------
        ClosedformError
            Where there is none, or it is not finished, or its data are not there any more.
        """
        if not folder.holds_a_run():
            raise FileError(f"{folder.path}: holds no run: name the folder of one, as in runs/digits")
        results = folder.results()
        if results is None:
            again = f"closedform train --resume --out {shlex.quote(str(folder.path))}"
            raise FileError(f"{folder.path}: holds a run that is not finished: go on with it with {again}")
        history = _history(results, folder)
        run = RunFile.read(folder.run_file).on(data)
        training = replace(prepared(run), network_name=results.get("network"))
        check_tested_on(training.examples, results, folder.path)
        network = load(folder.model, run.training.get("engine"), run.training.get("threads"))
        if network.architecture != training.architecture:
            raise FileError(f"{folder.model}: is another network than {folder.run_file}: put back the run's")
        return cls(training, results, network, history)


def _history(results: Mapping[str, Any], folder: RunFolder) -> History:
    """The epochs, as `runs.train` wrote them down."""
    try:
        figures = {str(key): list(map(float, values)) for key, values in results["history"].items()}
        seconds = list(map(float, results["epoch_seconds"]))
        float(results["seconds"]), dict(results["versions"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FileError(
            f"{folder.path / RESULTS}: is damaged: delete it, and --resume makes it anew"
        ) from None
    return History(figures, list(range(len(seconds))), seconds)


def show(
    training: Training, folder: RunFolder, results: Mapping[str, Any], network: Network, history: History
) -> bool:
    """Draw a run that is finished, and write its report.

    Returns
    -------
    bool
        Whether there are pictures; without matplotlib the report has none.

    Raises
    ------
    FileError
        Where something cannot be written.
    KeyboardInterrupt
        Where it was interrupted: after the picture that was being drawn, or at once by a second interrupt.
    """
    # not in the midst of matplotlib, which would make other errors of it
    with Interrupts(lambda: None, is_wanted=True) as interrupts:

        def leave_if_wanted() -> None:
            if interrupts.came:
                raise KeyboardInterrupt

        x, y = training.examples.test
        metrics = network.metrics(x, y)
        leave_if_wanted()
        pictures: list[Picture] | None = None
        if can_draw():
            samples = Samples(x, y, training.examples.data.classes)
            pictures = draw_pictures(folder.path, network, history, metrics, samples, leave_if_wanted)
        write_report(folder.report, _report(training, folder, results, network, history, metrics, pictures))
    return pictures is not None


def _report(
    training: Training,
    folder: RunFolder,
    results: Mapping[str, Any],
    network: Network,
    history: History,
    metrics: Metrics,
    pictures: list[Picture] | None,
) -> ReportData:
    data = training.examples.data
    return ReportData(
        title=f"{folder.path.name}: {data.source}",
        network=network,
        network_words=_network_words(training),
        settings={key: value for table in _TABLES for key, value in getattr(training.run, table).items()},
        data=_facts(training),
        classes=data.classes,
        left_out=data.left_out,
        history=history,
        metrics=metrics,
        seconds=results["seconds"],
        pictures=pictures,
        versions=results["versions"],
        seed=network.seed,
        command=f"closedform train {folder.run_file}",
    )


def _network_words(training: Training) -> str:
    from closedform.runs.defaults import described, image_text

    words = described(training.architecture)
    if training.network_name is None:
        return f"{words}."
    return f"The default for {image_text(training.examples.shape)} images, {training.network_name}: {words}."


def _facts(training: Training) -> dict[str, Any]:
    examples = training.examples
    watched = 0 if examples.validation is None else len(examples.validation[1])
    return {
        "source": examples.data.source,
        "kind": examples.data.kind,
        "training images": len(examples.train[1]),
        "validation images": watched,
        "test images": f"{len(examples.test[1])}{', held out' if examples.is_held_out else ''}",
    }
