"""Networks in files: TOML for an architecture, safetensors for a model with its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.errors import ClosedformError, FileError, ShapeError
from closedform.formula.extents import Shape
from closedform.layers import Loss
from closedform.layers.base import shape_text
from closedform.writing import PathLike, reason, write_file

if TYPE_CHECKING:
    from closedform.data.standardize import Standardization

FORMAT_VERSION = 2
_KEY = "closedform"
_LARGEST_TOML = 1 << 20
_LONGEST_TEXT = 1000
_FLOATS = ("F32", "F16", "F64")
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

Array = NDArray[Any]


def read_toml(path: PathLike, *, input_shape: Shape | None = None, loss: Loss | None = None) -> Architecture:
    """The architecture in a TOML file: a table ``[network]`` and a table ``[[layer]]`` for each layer.

    ``[network]`` holds ``input_shape`` and ``loss``; each layer its ``type`` and its constructor's words.

    Raises
    ------
    FileError
        Where the file cannot be read, with its name and the place; for an unknown key with the nearest known.
    ShapeError
        Where the layers do not fit each other.
    """
    values = toml_values(path)
    try:
        return Architecture.from_dict(values, input_shape=input_shape, loss=loss)
    except ShapeError as error:
        raise ShapeError(f"{path}: {short(error)}") from None
    except ClosedformError as error:
        raise FileError(f"{path}: {short(error)}") from None


def toml_values(path: PathLike, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The plain values in a TOML file; `parse_float` reads what has a decimal point.

    Raises
    ------
    FileError
        Where the file cannot be read, or is no TOML.
    """
    import tomllib

    data = _bytes(path, _LARGEST_TOML + 1)
    if len(data) > _LARGEST_TOML:
        raise FileError(f"{path}: is larger than {_LARGEST_TOML:,} bytes, which no network file is")
    try:
        text = data.decode("utf-8-sig")  # editors on Windows begin a file with a mark
        return tomllib.loads(text, parse_float=parse_float)
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: must be text in UTF-8, byte {error.start} is not: save it as UTF-8"
        ) from None
    except RecursionError:
        raise FileError(f"{path}: is nested too deep for a network") from None
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{path}: is not TOML: {short(error)}") from None
    except ValueError:  # Python's own limit on the digits of a number
        raise FileError(f"{path}: holds a number of too many digits") from None


def to_toml(architecture: Architecture) -> str:
    """The architecture as TOML, which `read_toml` reads back."""
    values = architecture.to_dict()
    lines = ["[network]", *(f"{key} = {toml_value(value)}" for key, value in values["network"].items())]
    for layer in values["layer"]:
        lines += ["", "[[layer]]", *(f"{key} = {toml_value(value)}" for key, value in layer.items())]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Model:
    """What a model file holds.

    Attributes
    ----------
    architecture, parameters, seed
        The network.
    standardization
        What is done to its inputs first.
    classes
        The names of its classes, by label.
    """

    architecture: Architecture
    parameters: Mapping[str, Array]
    seed: int = 0
    standardization: Standardization | None = None
    classes: tuple[str, ...] | None = None


def save_model(path: PathLike, model: Model) -> None:
    """Write a model as one safetensors file, its architecture as JSON in the header.

    The file is written beside its place and moved there, so that a model is never half-written.

    Raises
    ------
    FileError
        Where it cannot be written.
    """
    from safetensors.numpy import save

    more: dict[str, Any] = {}
    if model.standardization is not None:
        more["standardization"] = model.standardization.to_dict()
    if model.classes is not None:
        more["classes"] = [str(name) for name in model.classes]
    # who reads only the first format must not leave out what is done to the inputs
    version = FORMAT_VERSION if more else 1
    header = {"format_version": version, "seed": model.seed, **more, **model.architecture.to_dict()}
    try:
        arrays = {key: np.ascontiguousarray(array) for key, array in model.parameters.items()}
        data = save(arrays, {_KEY: json.dumps(header, sort_keys=True)})
    except MemoryError:
        raise FileError(f"{path}: cannot be written: there is not enough memory") from None
    write_file(path, data)


def load_model(path: PathLike) -> Model:
    """The architecture, parameters and seed of a model file, and what is done to its inputs.

    Raises
    ------
    FileError
        Where the file cannot be read, is of a newer version, or its arrays are not the architecture's.
    """
    header, arrays = _contents(path)
    if header is None:
        raise FileError(
            f"{path}: holds arrays but no architecture: make the network, then call "
            f"net.load_parameters({str(path)!r})"
        )
    version = header.pop("format_version", None)
    if not _is_whole(version) or version < 1:
        raise FileError(f"{path}: the header's format_version must be 1 to {FORMAT_VERSION}, got {version!r}")
    if version > FORMAT_VERSION:
        raise FileError(
            f"{path}: was written by a newer closedform, in format {version}; this one reads formats up to "
            f"{FORMAT_VERSION}: install the newest"
        )
    seed = header.pop("seed", 0)
    if not _is_whole(seed) or not 0 <= seed < 1 << 64:
        raise FileError(f"{path}: the header's seed must be a whole number from 0 to 2**64 - 1, got {seed!r}")
    header_standardization, header_classes = header.pop("standardization", None), header.pop("classes", None)
    try:
        architecture = Architecture.from_dict(header)
        standardization = _standardization(header_standardization, architecture)
        classes = _class_names(header_classes)
    except ClosedformError as error:
        raise FileError(f"{path}: {short(error)}") from None
    parameters = _matching_arrays(path, architecture, arrays)
    return Model(architecture, parameters, seed, standardization, classes)


def _standardization(values: Any, architecture: Architecture) -> Standardization | None:
    if values is None:
        return None
    from closedform.data.standardize import Standardization

    found = Standardization.from_dict(values)
    if len(found.mean) != architecture.input_shape[0]:
        raise FileError(
            f"the header's standardization is for {len(found.mean)} channels, the network takes "
            f"{architecture.input_shape[0]}"
        )
    return found


def _class_names(values: Any) -> tuple[str, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise FileError(f"the header's classes must be a list of names, got {values!r:.60}")
    return tuple(values)


def load_parameters(path: PathLike, architecture: Architecture) -> dict[str, Array]:
    """The arrays of a safetensors file, compared with the architecture before any is read.

    Raises
    ------
    FileError
        Where an array is missing, of another shape, not floating point, or belongs to no layer.
    """
    return _matching_arrays(path, architecture, _contents(path)[1])


def _matching_arrays(
    path: PathLike, architecture: Architecture, found: Mapping[str, Entry]
) -> dict[str, Array]:
    expected = {parameter.key: parameter.shape for parameter in architecture.parameters}
    for key, shape in expected.items():
        if key not in found:
            raise FileError(
                f"{path}: has no {key}; it holds {_listed(sorted(found))}{_names(found, expected)}"
            )
        if found[key].shape != shape:
            raise FileError(
                f"{path}: {key} has the shape {shape_text(found[key].shape)}, the architecture needs "
                f"{shape_text(shape)}"
            )
        if found[key].dtype not in _FLOATS:
            raise FileError(
                f"{path}: {key} holds {found[key].dtype}, expected floating-point numbers, "
                f"{', '.join(_FLOATS)}"
            )
    unknown = sorted(set(found) - set(expected))
    if unknown:
        raise FileError(f"{path}: the architecture has no layer for {_listed(unknown)}")
    with _opened(path) as file:
        return {key: _float32(path, key, file.get_tensor(key)) for key in expected}


def _float32(path: PathLike, key: str, array: Array) -> Array:
    try:
        with np.errstate(over="raise"):
            return array.astype(np.float32, copy=False)
    except FloatingPointError:
        raise FileError(f"{path}: {key} holds numbers that are too large for float32") from None


def _names(found: Iterable[str], expected: Iterable[str]) -> str:
    """What to do where a file's layers have names of their own."""
    labels = {key.rpartition(".")[0] for key in expected}
    strange = sorted({key.rpartition(".")[0] for key in found} - labels)
    name = next((label for label in strange if label.isidentifier()), None)
    return f": name the layers as the file does, as in name={name!r}" if name else ""


@dataclass(frozen=True)
class Entry:
    """What a file says of one of its arrays."""

    shape: Shape
    dtype: str


def _contents(path: PathLike) -> tuple[dict[str, Any] | None, dict[str, Entry]]:
    """The header, None where there is none of ours, and what the file says of its arrays."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
        found = {key: Entry(tuple(part.get_shape()), part.get_dtype()) for key, part in slices.items()}
    return _header(path, metadata), found


@contextmanager
def _opened(path: PathLike) -> Iterator[Any]:
    """A safetensors file, whose arrays are known to lie inside it."""
    from safetensors import SafetensorError, safe_open

    first = _bytes(path, 2)
    if not first:
        raise FileError(f"{path}: is empty")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        if first in _PICKLES:
            raise FileError(
                f"{path}: is a pickle or zip file, which is never read: write the arrays with "
                f"safetensors.torch.save_file(model.state_dict(), ...)"
            ) from None
        raise FileError(f"{path}: is no safetensors file, or is damaged or cut short") from error


def _header(path: PathLike, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    if _KEY not in metadata:
        return None
    try:
        header = json.loads(metadata[_KEY])
    except json.JSONDecodeError as error:
        raise FileError(f"{path}: the header is not JSON: {short(error)}") from None
    except RecursionError:
        raise FileError(f"{path}: the header is nested too deep for a network") from None
    except ValueError:  # Python's own limit on the digits of a number
        raise FileError(f"{path}: the header holds a number of too many digits") from None
    if not isinstance(header, dict):
        raise FileError(f"{path}: the header must be a JSON object, got {type(header).__name__}")
    return header


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return (f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown) or "nothing"


def short(error: BaseException) -> str:
    """An error's text, without the middle of what a file made enormous."""
    text, half = str(error), _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"


def _bytes(path: PathLike, limit: int) -> bytes:
    """The first bytes of a file."""
    try:
        with open(os.fspath(path), "rb") as file:  # a number would be taken for an open file
            return file.read(limit)
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read: {reason(error)}") from None


def toml_value(value: Any) -> str:
    """A plain value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_toml_key(key)} = {toml_value(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}"
    return repr(value)


def _toml_key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else json.dumps(key, ensure_ascii=False)
