"""Networks in files: TOML for an architecture, safetensors for a model with its weights."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.errors import ClosedformError, FileError
from closedform.formula.extents import Shape
from closedform.layers import Loss

FORMAT_VERSION = 1
_KEY = "closedform"
_LARGEST_TOML = 1 << 20

Array = NDArray[Any]
PathLike = str | os.PathLike[str]


def read_toml(path: PathLike, *, input_shape: Shape | None = None, loss: Loss | None = None) -> Architecture:
    """The architecture in a TOML file: a table ``[network]`` and a table ``[[layer]]`` for each layer.

    ``[network]`` holds ``input_shape`` and ``loss``; each layer its ``type`` and its constructor's words.

    Raises
    ------
    FileError
        Where the file cannot be read, with its name and the place; for an unknown key with the nearest known.
    """
    data = _bytes(path)
    try:
        return Architecture.from_dict(tomllib.loads(data.decode("utf-8")), input_shape=input_shape, loss=loss)
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is no text: byte {error.start} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise FileError(f"{path}: is nested too deep") from None
    except ClosedformError as error:
        raise type(error)(f"{path}: {error}") from None


def to_toml(architecture: Architecture) -> str:
    """The architecture as TOML, which `read_toml` reads back."""
    values = architecture.to_dict()
    lines = ["[network]", *(f"{key} = {_toml(value)}" for key, value in values["network"].items())]
    for layer in values["layer"]:
        lines += ["", "[[layer]]", *(f"{key} = {_toml(value)}" for key, value in layer.items())]
    return "\n".join(lines) + "\n"


def save_model(
    path: PathLike, architecture: Architecture, parameters: Mapping[str, Array], seed: int
) -> None:
    """Write a model as one safetensors file, its architecture as JSON in the header.

    The file is written beside its place and moved there, so that a model is never half-written.

    Raises
    ------
    FileError
        Where it cannot be written.
    """
    from safetensors.numpy import save

    header = {"format_version": FORMAT_VERSION, "seed": seed, **architecture.to_dict()}
    arrays = {key: np.ascontiguousarray(array) for key, array in parameters.items()}
    _replace(Path(path), save(arrays, {_KEY: json.dumps(header, sort_keys=True)}))


def load_model(path: PathLike) -> tuple[Architecture, dict[str, Array], int]:
    """The architecture, parameters and seed of a model file.

    Raises
    ------
    FileError
        Where the file cannot be read, is of a newer version, or its arrays are not the architecture's.
    """
    header, arrays = _read_safetensors(path, None)
    if header is None:
        raise FileError(
            f"{path}: holds arrays but no architecture: make the network, then call "
            f"net.load_parameters({str(path)!r})"
        )
    version = header.pop("format_version", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FileError(f"{path}: the header's format_version is {version!r}, expected {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise FileError(
            f"{path}: was written by a newer closedform (format {version}, this one reads up to "
            f"{FORMAT_VERSION}): install a newer version"
        )
    seed = header.pop("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 64:
        raise FileError(f"{path}: the header's seed is {seed!r}, expected a whole number from 0")
    try:
        architecture = Architecture.from_dict(header)
    except ClosedformError as error:
        raise FileError(f"{path}: {error}") from None
    return architecture, load_parameters(path, architecture, arrays), seed


def load_parameters(
    path: PathLike, architecture: Architecture, known: Mapping[str, Shape] | None = None
) -> dict[str, Array]:
    """The arrays of a safetensors file, compared with the architecture before any is read.

    Raises
    ------
    FileError
        Where an array is missing, of another shape, not floating point, or belongs to no layer.
    """
    shapes = known if known is not None else _read_safetensors(path, None)[1]
    expected = {parameter.key: parameter.shape for parameter in architecture.parameters}
    for key, shape in expected.items():
        if key not in shapes:
            raise FileError(f"{path}: has no {key}; it holds {', '.join(sorted(shapes)) or 'nothing'}")
        if shapes[key] != shape:
            raise FileError(f"{path}: {key} has shape {shapes[key]}, the architecture needs {shape}")
    unknown = sorted(set(shapes) - set(expected))
    if unknown:
        raise FileError(f"{path}: holds {', '.join(unknown)}, which belongs to no layer of the architecture")
    _, arrays = _read_safetensors(path, list(expected))
    return arrays


def _read_safetensors(path: PathLike, keys: list[str] | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The header and, for `keys`, the arrays; without keys, the shapes of all."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            found: dict[str, Any]
            if keys is None:
                found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            else:
                found = {key: _float32(path, key, file.get_tensor(key)) for key in keys}
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise FileError(f"{path}: is no safetensors file that can be read: {error}") from None
    return _header(path, metadata), found


def _header(path: PathLike, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    if _KEY not in metadata:
        return None
    try:
        header = json.loads(metadata[_KEY])
    except (json.JSONDecodeError, RecursionError) as error:
        raise FileError(f"{path}: the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FileError(f"{path}: the header must be a JSON object, got {type(header).__name__}")
    return header


def _float32(path: PathLike, key: str, array: Array) -> Array:
    if array.dtype.kind != "f":
        raise FileError(f"{path}: {key} holds {array.dtype}, expected floating-point numbers")
    return array.astype(np.float32, copy=False)


def _bytes(path: PathLike) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_TOML + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None
    if len(data) > _LARGEST_TOML:
        raise FileError(f"{path}: is larger than {_LARGEST_TOML:,} bytes, which no network file is")
    return data


def _replace(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return repr(value)
