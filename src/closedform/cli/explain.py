"""``closedform explain``: the solution of a network or a worksheet."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from closedform.cli.options import path, whole
from closedform.cli.output import add_output, deliver, wanted_format, width

if TYPE_CHECKING:
    from closedform.cli.options import Commands


_CODES = "exit codes: 0 done; 2 where a file cannot be read or written, and for wrong usage"

_EXPLAINED: dict[str, Callable[[Any], str]] = {
    "text": lambda document: document.text(width()),
    "latex": lambda document: document.latex(),
    "html": lambda document: document.html(),
    "ipynb": lambda document: document.notebook(),
    "md": lambda document: document.markdown(),
}


def add(commands: Commands) -> None:
    """Add the command to the others."""
    explain = commands.add_parser(
        "explain",
        help="write out the solution of a network or a worksheet",
        epilog=_CODES,
        allow_abbrev=False,
    )
    explain.add_argument(
        "file", metavar="FILE.toml", type=path, help="a worksheet, or a network without numbers"
    )
    explain.add_argument("--layer", metavar="NAME", help="one layer only, by its name or position")
    explain.add_argument("--wrt", metavar="W", help="one gradient only, by the quantity's name or key")
    explain.add_argument("--first-index", metavar="N", type=whole(0, 2), help="count entries from 0 or 1")
    add_output(explain, tuple(_EXPLAINED))
    explain.set_defaults(run=_explain, failure=2)


def _explain(options: argparse.Namespace) -> int:
    from closedform.explanation.explain import explain_worksheet
    from closedform.worksheet import read_worksheet

    format = wanted_format(options)
    worksheet = read_worksheet(options.file)
    document = explain_worksheet(worksheet, options.layer, options.wrt, options.first_index)
    deliver(_EXPLAINED[format](document), options, format)
    return 0
