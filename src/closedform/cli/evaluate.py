"""``closedform evaluate``: how good a trained model is."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from closedform.cli.options import add_model_options, path
from closedform.cli.output import tell_left_out

if TYPE_CHECKING:
    from closedform.cli.options import Commands

_PARTS = {"test": "test images", "held out": "images that were held out", "all": "images"}


def add(commands: Commands) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "evaluate", help="say how good a trained model is, class by class", allow_abbrev=False
    )
    add_model_options(parser)
    parser.add_argument(
        "--data",
        metavar="PATH",
        type=path,
        help="digits, or data of your own (default: what the run tested on)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line instead")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from closedform.runs.evaluate import evaluated
    from closedform.runs.trained_model import TrainedModel
    from closedform.summary import writable

    model = TrainedModel.read(options.model, engine=options.engine, threads=options.threads)
    data = None if options.data is None else str(options.data)
    found = evaluated(model, data, strict=options.strict)
    tell_left_out(found.source, found.left_out)
    if options.json:
        report = {
            "model": str(found.model),
            "data": found.source,
            "part": found.part,
            "examples": found.count,
        }
        print(json.dumps({**report, **found.metrics.to_dict()}))
        return 0
    print(f"{found.model} on {found.source}, {found.count} {_PARTS[found.part]}\n")
    print(writable(str(found.metrics), sys.stdout))
    return 0
