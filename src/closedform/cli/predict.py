"""``closedform predict``: the classes of images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from closedform.cli.options import add_model_options, path, whole
from closedform.cli.output import add_output, deliver, tell_left_out, wanted_format

if TYPE_CHECKING:
    from closedform.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "predict", help="say of which classes images are, by a trained model", allow_abbrev=False
    )
    add_model_options(parser)
    parser.add_argument(
        "file",
        metavar="INPUT",
        type=path,
        help="an image, a folder of images, IDX, CIFAR's .bin, .npz, CSV, or digits",
    )
    parser.add_argument("--top", metavar="N", type=whole(1), default=1, help="classes for each, default: 1")
    add_output(parser, ("table", "json", "csv"))
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from closedform.runs.predict import predicted
    from closedform.runs.trained_model import TrainedModel

    format = wanted_format(options)
    model = TrainedModel.read(options.model, engine=options.engine, threads=options.threads)
    found = predicted(model, options.file, options.top, strict=options.strict)
    tell_left_out(str(options.file), found.left_out)
    made = {"table": found.table, "json": found.json, "csv": found.csv}
    deliver(made[format](), options, format)
    return 0
