"""``closedform report``: the pictures and the page of a run that is finished."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from closedform.cli.options import path
from closedform.cli.output import tell_left_out, tell_report

if TYPE_CHECKING:
    from closedform.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "report",
        help="draw the pictures of a finished run and write its report.html, as train does at its end",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="RUN", type=path, help="the run's folder, as in runs/digits")
    parser.add_argument(
        "--data", metavar="PATH", type=path, help="where its data are now (default: where they were)"
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from closedform.runs.folder import RunFolder
    from closedform.runs.showing import FinishedRun, show

    folder = RunFolder(options.folder)
    run = FinishedRun.read(folder, None if options.data is None else str(options.data))
    data = run.training.examples.data
    tell_left_out(data.source, data.left_out)
    with folder.locked():
        has_pictures = show(run.training, folder, run.results, run.network, run.history)
    tell_report(folder.report, has_pictures)
    return 0
