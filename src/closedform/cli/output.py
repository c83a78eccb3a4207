"""Where a command's text goes: to the terminal, or into a file of some format."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path

from closedform.cli.options import path
from closedform.errors import SettingError

_WIDEST = 100  # columns of a text
_SUFFIXES = {"text": "txt", "table": "txt", "latex": "tex"}
_OTHER_SUFFIXES = {"tex": "latex", "htm": "html"}
_MOST_LEFT_OUT = 20  # sentences about files
_PLAIN_MARKS = str.maketrans({"✓": "+", "✗": "x", "→": ">", "×": "x", "–": "-"})


def add_output(parser: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    parser.add_argument(
        "--format", choices=formats, help=f"default: by the name after --out, else {formats[0]}"
    )
    parser.add_argument("--out", metavar="FILE", type=path, help="write there instead of printing")
    parser.set_defaults(formats=formats)


def wanted_format(options: argparse.Namespace) -> str:
    """The format that was asked for, or that the output file's name shows.

    Raises
    ------
    SettingError
        For an output that nothing is written to: the file that is read, or one of another format's name.
    """
    out: Path | None = options.out
    if out is None:
        return str(options.format or options.formats[0])
    if str(out) == "-":
        raise SettingError("--out -: leave --out out to print")
    spare(out, options.file, "--out")
    if options.format is not None:
        return str(options.format)
    suffix = out.suffix.lower().lstrip(".")
    plain: str = options.formats[0]
    found = plain if suffix in ("", "txt") else _OTHER_SUFFIXES.get(suffix, suffix)
    if found not in options.formats:
        known = ", ".join(f".{_SUFFIXES.get(name, name)}" for name in options.formats)
        raise SettingError(f"{out}: .{suffix} is the ending of no format; known are {known}: or add --format")
    return found


def spare(out: Path, read: Path, option: str) -> None:
    """Nothing is written over the file that is read."""
    is_same = False
    with contextlib.suppress(OSError, ValueError):  # one of them is not there
        is_same = os.path.samefile(out, read)
    if is_same:
        raise SettingError(f"{out}: {option} is the file that is read: name another")


def deliver(text: str, options: argparse.Namespace, format: str) -> None:
    """Print what was made, or write it whole."""
    from closedform.writing import write_file

    if options.out is None:
        say(text.rstrip("\n"))
        return
    write_file(
        options.out,
        (text.rstrip("\n") + "\n").encode(),
        f"{options.file.stem}.{_SUFFIXES.get(format, format)}",
        makes_folders=False,
    )


def say(text: str) -> None:
    """Print, with plain signs where the output has no others."""
    from closedform.summary import writable

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if "✓".encode(encoding, "ignore") == b"":
        text = text.translate(_PLAIN_MARKS)
    print(writable(text, sys.stdout), flush=True)


def width() -> int:
    """The columns of the terminal, from 40 to 100; 100 where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return _WIDEST
    return max(40, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))


def tell_report(report: Path, has_pictures: bool) -> None:
    """Say where the page of a run is; a run is no failure for want of matplotlib."""
    if has_pictures:
        print(f"its pictures are in {report}")
    else:
        again = f"closedform report {shlex.quote(str(report.parent))}"
        print(f"{report} has no pictures: pip install 'closedform[plots]', and draw them with {again}")


def tell_left_out(source: str, left_out: tuple[str, ...]) -> None:
    """Say which files of the data were left out, and why."""
    if not left_out:
        return
    count = "1 file was" if len(left_out) == 1 else f"{len(left_out)} files were"
    print(f"closedform: {source}: {count} left out:", file=sys.stderr)
    for sentence in left_out[:_MOST_LEFT_OUT]:
        print(f"  {sentence}", file=sys.stderr)
    if len(left_out) > _MOST_LEFT_OUT:
        print(f"  and {len(left_out) - _MOST_LEFT_OUT} more", file=sys.stderr)
