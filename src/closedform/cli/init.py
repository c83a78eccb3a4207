"""``closedform init``: a run file to begin with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from closedform.cli.options import path
from closedform.errors import FileError

if TYPE_CHECKING:
    from closedform.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "init", help="write a run file with comments, to be changed and trained", allow_abbrev=False
    )
    parser.add_argument(
        "file", metavar="FILE.toml", nargs="?", type=path, default=Path("run.toml"), help="default: run.toml"
    )
    parser.add_argument(
        "--data", metavar="PATH", type=path, help="data of your own, for which it is made (default: digits)"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> int:
    from closedform.runs.example import example
    from closedform.writing import write_file

    file: Path = options.file
    if file.suffix != ".toml":
        raise FileError(f"{file}: a run file's name ends in .toml, as in {file.with_suffix('.toml')}")
    if file.exists() and not options.force:
        raise FileError(f"{file}: is there already: name another file, or write over it with --force")
    text = example(file, None if options.data is None else str(options.data))
    write_file(file, text.encode(), makes_folders=False)
    print(f"{file} is written: read it, change it, then: closedform train {file}")
    return 0
