"""What a run leaves to be looked at: its pictures, and the page that shows everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from closedform.network import Network
from closedform.runs.folder import RunFolder
from closedform.runs.pictures import Picture, Samples, can_draw, draw_pictures
from closedform.runs.preparing import Training
from closedform.runs.report import ReportData, write_report

if TYPE_CHECKING:
    from closedform.training.history import History

_TABLES = ("data", "training")


def show(
    training: Training, folder: RunFolder, results: Mapping[str, Any], network: Network, history: History
) -> bool:
    """Draw a run that was just trained, and write its report.

    Returns
    -------
    bool
        Whether there are pictures; without matplotlib the report has none.

    Raises
    ------
    FileError
        Where something cannot be written.
    """
    x, y = training.examples.test
    data = training.examples.data
    metrics = network.metrics(x, y)
    pictures: list[Picture] | None = None
    if can_draw():
        pictures = draw_pictures(folder.path, network, history, metrics, Samples(x, y, data.classes))
    report = ReportData(
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
    write_report(folder.report, report)
    return pictures is not None


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
