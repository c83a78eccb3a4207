"""A run file with comments, to begin with."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from closedform.files import to_toml, toml_value
from closedform.runs.preparing import prepared
from closedform.runs.run_file import PACKAGED, RunFile

_WRITTEN = ("path", "image_size", "color_mode", "standardize", "augment", "epochs", "batch_size")


def example(file: Path, path: str | None = None) -> str:
    """The text of a run file that trains as it stands.

    Parameters
    ----------
    file
        Where it will lie.
    path
        The data, seen from the current folder; None for the packaged digits.

    Raises
    ------
    ClosedformError
        For data that cannot be trained on.
    """
    text = resources.files("closedform.runs").joinpath("example.toml").read_text(encoding="utf-8")
    text = text.replace("closedform train FILE", f"closedform train {file}")
    if path is None or path == PACKAGED:
        return text
    training = prepared(RunFile(data={"path": path}))
    settings = {**training.run.data, **training.run.training, "path": _seen_from(path, file)}
    for key in _WRITTEN:
        if key in settings:
            text = _said(text, key, settings[key])
    text = text.replace("threads = 1\n", "# threads = 2\n")
    return text[: text.index("[network]\n")] + to_toml(training.architecture)


def _said(text: str, key: str, value: Any) -> str:
    """The text with the first line of a setting, even one behind #, saying this."""
    line = f"{key} = {toml_value(value)}"
    return re.sub(rf"^(# )?{key} = .*$", lambda _: line, text, count=1, flags=re.MULTILINE)


def _seen_from(path: str, file: Path) -> str:
    if Path(path).is_absolute():
        return path
    return Path(os.path.relpath(path, file.parent)).as_posix()
