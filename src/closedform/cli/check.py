"""``closedform check``: whether what a worksheet states is right."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from closedform.cli.options import path
from closedform.cli.output import add_output, deliver, wanted_format, width
from closedform.errors import ClosedformError, FileError

if TYPE_CHECKING:
    from closedform.cli.options import Commands


_CODES = """exit codes: 0 where everything is right, 1 where something is wrong; 2 where a file cannot
be read or written or a claim cannot be judged, and for wrong usage"""


def add(commands: Commands) -> None:
    """Add the command to the others."""
    check = commands.add_parser(
        "check",
        help="mark the claims of a worksheet: exit code 0 right, 1 wrong",
        epilog=_CODES,
        allow_abbrev=False,
    )
    check.add_argument("file", metavar="FILE.toml", type=path, help="a worksheet")
    add_output(check, ("text", "json", "html"))
    check.set_defaults(run=_check, failure=2)


def _check(options: argparse.Namespace) -> int:
    from closedform.checking.sheet import check_sheet
    from closedform.worksheet import read_worksheet

    format = wanted_format(options)
    worksheet = read_worksheet(options.file)
    if not worksheet.claims:
        raise FileError(f"{options.file}: states nothing: add a [[claim]]")
    try:
        verdict = check_sheet(worksheet)
    except ClosedformError as error:
        raise FileError(f"{options.file}: {error}") from None
    made = {"text": lambda: verdict.text(width()), "json": verdict.to_json, "html": verdict.html}
    deliver(made[format](), options, format)
    return 0 if verdict.right else 1
