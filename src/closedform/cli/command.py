"""From the words of a command line to an exit code."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from closedform.cli import bench, check, evaluate, explain, init, predict, report, summary, train
from closedform.cli.options import Parser
from closedform.errors import CheckpointWarning, ClosedformError

_COMMANDS = (train, evaluate, predict, report, init, summary, bench, explain, check)
_INTERRUPTED = 130
_CODES = """exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; those of explain and check are in
their own help"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table is still a table without its signs
    with _warnings_in_one_line():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    failure = 1
    try:
        options = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.run
        failure = options.failure
        code = command(options)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except ClosedformError as error:
        code = _failed(str(error), failure)
    except KeyboardInterrupt:
        code = _failed("stopped", _INTERRUPTED)
    except BrokenPipeError:
        code = failure
    except MemoryError:
        code = _failed("there is not enough memory: make the network or the batch smaller", failure)
    except OSError as error:
        code = _failed(_reason(error), failure)
    except Exception as error:
        kind = type(error).__name__
        code = _failed(f"a mistake of closedform's own, please report it: {kind}: {error}", failure)
    return _flushed(code, failure)


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """While it is entered, what the library warns of is said as its errors are."""
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, CheckpointWarning):
            print(f"closedform: {message}", file=sys.stderr)
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=CheckpointWarning)
        warnings.showwarning = show
        yield


def _failed(message: str, code: int) -> int:
    print(f"closedform: {message}", file=sys.stderr)
    return code


def _reason(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _flushed(code: int, failure: int) -> int:
    """Write what was printed; where that cannot be done, nothing is tried again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return failure
        return code if code in (failure, 2) else _failed(_reason(error), failure)


def _parser() -> Parser:
    from closedform import __version__

    parser = Parser(
        prog="closedform",
        description="Networks in which a layer is one line of index notation.",
        epilog=_CODES,
        allow_abbrev=False,
    )
    parser.set_defaults(failure=1)
    parser.add_argument("--version", action="version", version=f"closedform {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
