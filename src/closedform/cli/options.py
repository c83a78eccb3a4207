"""What the commands' options have in common: how a value is read, and what is said of a wrong one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from closedform.architecture import alike, nearest
from closedform.errors import SettingError

if TYPE_CHECKING:
    from closedform.runs.settings import Kind

    Commands = argparse._SubParsersAction["Parser"]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, then how the command is used."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Take what is known; anything else is an error of the command that it was said to."""
        options, others = super().parse_known_args(args, namespace)
        for word in others:
            if word.startswith("-"):
                self.error(self._unknown(word.partition("=")[0]))
        if others:
            self.error(f"unexpected: {' '.join(others)}")
        return options, others

    def _unknown(self, option: str) -> str:
        known = [word[2:] for word in self._option_string_actions if word.startswith("--")]
        match = alike(option[2:], known) if option.startswith("--") else None
        hint = f"did you mean --{match}?" if match else f"{self.prog} --help lists them"
        return f"unknown option {option}; {hint}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action, f"{value!r} is unknown; {nearest(str(value), action.choices)}"
            )


def whole(least: int, limit: int = 1 << 32) -> Callable[[str], Any]:
    """Whole numbers from `least` to below `limit`."""
    from closedform.runs import settings

    return setting(settings.whole(least, limit))


def path(text: str) -> Path:
    """A file or a folder."""
    if not text:
        raise argparse.ArgumentTypeError("must name a file or folder, got ''")
    return Path(text)


def setting(kind: Kind) -> Callable[[str], Any]:
    """A setting of a run, as a run file has it."""

    def read(text: str) -> Any:
        try:
            return kind.parsed(text)
        except SettingError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the model, and how it is run."""
    from closedform.runner import ENGINES

    parser.add_argument("model", metavar="MODEL", type=path, help="a model.safetensors, or a run's folder")
    parser.add_argument("--strict", action="store_true", help="refuse data with a file that cannot be read")
    parser.add_argument(
        "--engine", choices=ENGINES, help="default: compiled, or reference where llvmlite is missing"
    )
    parser.add_argument("--threads", metavar="N", type=whole(1, 1 << 12), help="default: all processors")
