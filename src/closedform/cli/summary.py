"""``closedform summary``: the sizes of a network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from closedform.cli.options import path, whole

if TYPE_CHECKING:
    from closedform.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the command to the others."""
    summary = commands.add_parser(
        "summary", help="print a network's layers, sizes and parameters", allow_abbrev=False
    )
    summary.add_argument(
        "net", metavar="NET", type=path, help="a network file, a run file, a model, or a run's folder"
    )
    summary.add_argument(
        "--plan", action="store_true", help="print the compiled engine's plan of a training step too"
    )
    summary.add_argument("--batch", metavar="N", type=whole(1, 1 << 24), help="of the plan, default: 32")
    summary.add_argument("--threads", metavar="N", type=whole(1, 1 << 12), help="of the plan")
    summary.set_defaults(run=_summary, misused=summary.error)


def _summary(options: argparse.Namespace) -> int:
    from closedform.files import load_model
    from closedform.runs.run_file import read_network
    from closedform.summary import summary, writable

    if not options.plan and (options.batch or options.threads):
        options.misused("--batch and --threads are settings of the plan: add --plan")
    place = _file(options.net)
    is_model = place.suffix == ".safetensors"
    architecture = load_model(place).architecture if is_model else read_network(place)
    text = summary(architecture)
    if options.plan:
        from closedform.engine.plan_table import plan_text
        from closedform.engine.threads import thread_count

        text += "\n\n" + plan_text(architecture, options.batch or 32, thread_count(options.threads))
    print(writable(text, sys.stdout))
    return 0


def _file(place: Path) -> Path:
    """The file that says the network: of a run's folder its model, or its run file before there is one."""
    from closedform.errors import FileError
    from closedform.runs.folder import RunFolder

    if not place.is_dir():
        return place
    folder = RunFolder(place)
    for file in (folder.model, folder.run_file):
        if file.is_file():
            return file
    raise FileError(f"{place}: holds no run: name a network file, a model, or the folder of a run")
