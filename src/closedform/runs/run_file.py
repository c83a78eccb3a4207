"""Run files: in one TOML file the data, the network and how it is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from closedform.architecture import Architecture, nearest
from closedform.errors import ClosedformError, FileError, SettingError, ShapeError
from closedform.files import short, to_toml, toml_value, toml_values
from closedform.formula.extents import Shape
from closedform.layers import Loss
from closedform.runs.settings import TABLES
from closedform.writing import PathLike

PACKAGED = "digits"
_NETWORK = ("network", "layer")
_KNOWN = ("data", "network", "layer", "training")


@dataclass(frozen=True)
class RunFile:
    """What a run file says.

    Attributes
    ----------
    data, training
        The settings of both tables as plain values, checked; what is not said is not there.
    network
        The tables ``network`` and ``layer`` as plain values, which `architecture` checks; empty for none.
    source
        The file; None for a run that flags describe.
    network_source
        The file of the network, where it is another.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    source: PathLike | None = None
    network_source: PathLike | None = None

    @classmethod
    def read(cls, path: PathLike) -> RunFile:
        """Read a run file.

        Raises
        ------
        FileError
            Where it cannot be read, and for an unknown key or a wrong value, with the file and the table.
        """
        values = toml_values(path)
        for word in values:
            if word not in _KNOWN:
                raise FileError(f"{path}: {_misplaced(word)}")
        tables = {name: _settings(path, name, values.get(name, {})) for name in TABLES}
        network = {word: values[word] for word in _NETWORK if word in values}
        return cls(tables["data"], tables["training"], network, path)

    @property
    def place(self) -> str:
        """The file's name and a colon, to begin a message with; nothing where there is no file."""
        return "" if self.source is None else f"{self.source}: "

    @property
    def network_place(self) -> str:
        """As `place`, of the file of the network."""
        return self.place if self.network_source is None else f"{self.network_source}: "

    def data_path(self) -> str | None:
        """Where the data are, seen from the current folder; the packaged digits are `PACKAGED`."""
        path: str | None = self.data.get("path")
        if path is None or path == PACKAGED or self.source is None:
            return path
        return os.path.normpath(Path(self.source).parent / path)

    def changed(self, table: str, **settings: Any) -> RunFile:
        """The same with other settings in a table; epochs replace a number of steps."""
        before = self.data if table == "data" else self.training
        replaced = {"steps"} if "epochs" in settings else set()
        after = {**{word: before[word] for word in before if word not in replaced}, **settings}
        return replace(self, data=after) if table == "data" else replace(self, training=after)

    def on(self, path: str | None) -> RunFile:
        """The same on data at another path, seen from the current folder; None for the same path."""
        if path is None:
            return self
        if self.source is not None and path != PACKAGED and not os.path.isabs(path):
            path = os.path.relpath(path, Path(self.source).parent)
        return self.changed("data", path=path)

    def architecture(self, input_shape: Shape | None = None, loss: Loss | None = None) -> Architecture:
        """The network, where the file does not say it with this input shape and loss.

        Raises
        ------
        FileError, ShapeError
            For what is no network.
        """
        try:
            return Architecture.from_dict(self.network, input_shape=input_shape, loss=loss)
        except ShapeError as error:
            raise ShapeError(f"{self.network_place}{short(error)}") from None
        except ClosedformError as error:
            raise FileError(f"{self.network_place}{short(error)}") from None

    def to_toml(self, architecture: Architecture, head: str = "") -> str:
        """The whole run as text that `read` reads back.

        Parameters
        ----------
        architecture
            The network as it is trained.
        head
            A line to begin with.
        """
        lines = [f"# {head}", ""] if head else []
        for name in TABLES:
            lines += [
                f"[{name}]",
                *(f"{key} = {toml_value(value)}" for key, value in getattr(self, name).items()),
            ]
            lines.append("")
        return "\n".join(lines) + "\n" + to_toml(architecture)


def read_network(path: PathLike) -> Architecture:
    """The network in a network file or a run file.

    Raises
    ------
    FileError, ShapeError
        Where there is none in it, or it does not say the shape of its inputs.
    """
    run = RunFile.read(path)
    if run.data and run.network and "input_shape" not in _table(run.network.get("network")):
        raise FileError(
            f"{path}: [network] needs input_shape, as in input_shape = [1, 28, 28]: no data are read for this"
        )
    return run.architecture()


def _settings(path: PathLike, name: str, values: Any) -> dict[str, Any]:
    """The settings of a table, checked."""
    if not isinstance(values, Mapping):
        raise FileError(f"{path}: [{name}] must be a table of keys and values, got {values!r}")
    found = {}
    for key, value in values.items():
        if key not in TABLES[name]:
            raise FileError(f"{path}: [{name}]: {_unknown(key, name)}")
        try:
            found[key] = TABLES[name][key].value(value, key)
        except SettingError as error:
            raise FileError(f"{path}: [{name}]: {short(error)}") from None
    return deepcopy(found)


def _unknown(key: str, name: str) -> str:
    for other, known in TABLES.items():
        if key in known:
            return f"{key} belongs below [{other}]"
    return f"unknown key {key!r}; {nearest(key, TABLES[name])}"


def _misplaced(word: str) -> str:
    for name, known in TABLES.items():
        if word in known:
            return f"{word} belongs below [{name}]"
    if word in ("input_shape", "loss"):
        return f"{word} belongs below [network]"
    return f"unknown key {word!r}; {nearest(word, _KNOWN)}"


def _table(values: Any) -> Mapping[str, Any]:
    return values if isinstance(values, Mapping) else {}
