"""Generations of a training's state on disk: whole files, of which the last two are kept.

A generation is a safetensors file named after its number, ``000042.safetensors``.  Its metadata holds, under
the key ``closedform``, a JSON object::

    {"checksum": "…", "format_version": 1, "meta": {…}}

The checksum is SHA-256 of the names, types, shapes and bytes of all arrays and of the rest of that object.
How it is taken belongs to no version, so that a file of a newer version is told from a damaged one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import ClosedformError, FileError, SettingError
from closedform.writing import make_folder, reason, remove_leftovers, replace_file

FORMAT_VERSION = 1

Array = NDArray[Any]

_KEY = "closedform"
_NAME = re.compile(r"([0-9]{6,})\.safetensors")
_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BOOL": "bool",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip
_WORDS = {name: word for word, name in _TYPES.items()}
_NOT_FINITE = ("nan", "inf", "-inf")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A generation that is whole.

    Attributes
    ----------
    path
        The file.
    arrays, meta
        What was written.
    note
        Which newer generations were passed over and why; empty where there were none.
    """

    path: Path
    arrays: dict[str, Array]
    meta: dict[str, Any]
    note: str = ""


def write(
    folder: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any], before: Path | None = None
) -> Path:
    """Write the next generation; when it is safely on disk, remove those older than the one before it.

    What a writer that was killed left behind is removed too.  Nothing else in the folder is touched.

    Parameters
    ----------
    folder
        Made where it is missing.
    arrays
        Arrays of numbers.
    meta
        Plain values, as JSON has them; numbers may be infinite or nan.
    before
        The generation to keep besides this one, where another than the one before is known to be whole.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileError
        Where it cannot be written: the one before stays as it was.
    SettingError
        For an array or a value that no file can hold.
    """
    folder, found = Path(folder), list[Path]()
    try:
        make_folder(folder)
        found = _generations(folder)
        if before is None and found:
            before = found[-1]
        remove_leftovers(folder, _NAME.fullmatch)
        path = folder / f"{_number(found[-1]) + 1 if found else 1:06d}.safetensors"
        replace_file(path, _parts(arrays, meta))
    except ClosedformError:
        raise
    except (OSError, ValueError, MemoryError) as error:
        raise unwritten(folder, error, before) from None
    for old in found:
        if before is None or old.name != before.name:
            with contextlib.suppress(OSError):  # the next write tries again
                old.unlink()
    return path


def unwritten(folder: Path, error: OSError | ValueError | MemoryError, before: Path | None) -> FileError:
    """Why no checkpoint can be written, and which one stays."""
    kept = "there was none before" if before is None else f"the last one, {before.name}, is whole"
    return FileError(f"{folder}: the checkpoint cannot be written: {reason(error)}; {kept}")


def newest(folder: Path) -> Checkpoint | None:
    """The newest generation that is whole; None where none was ever written.

    Raises
    ------
    FileError
        Where the folder cannot be read, no generation in it is whole, or the newest is of a newer version.
    """
    folder, passed_over = Path(folder), list[str]()
    try:
        found = _generations(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileError(f"{folder}: cannot be read: {reason(error)}: name another folder") from None
    for path in reversed(found):
        try:
            arrays, meta = _read(path)
        except _Damaged as damage:
            passed_over.append(f"{path.name} {damage}")
            continue
        note = ""
        if passed_over:
            since = f"using {path.name}: what was done after it is done once more"
            note = f"{folder}: {'; '.join(passed_over)}: {since}"
        return Checkpoint(path, arrays, meta, note)
    if not found:
        return None
    raise FileError(
        f"{folder}: no checkpoint in it is whole: {'; '.join(passed_over)}: put back a copy of one, or begin "
        f"anew in another folder"
    )


# ---- the folder


def _generations(folder: Path) -> list[Path]:
    """The files that are named like generations, the oldest first."""
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted((path for path in found if path.name == f"{_number(path):06d}.safetensors"), key=_number)


def _number(path: Path) -> int:
    return int(path.name.partition(".")[0])


# ---- a file


class _Damaged(Exception):
    """Why a file is no whole generation, as the rest of a sentence about it."""


def _parts(arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, in which no array is copied that need not be."""
    ready = {name: _ready(name, array) for name, array in arrays.items()}
    # the widest first, so that each begins where its type may
    names = sorted(ready, key=lambda name: (-ready[name].itemsize, name))
    content = {"format_version": FORMAT_VERSION, "meta": _encoded(meta, "meta")}
    text = json.dumps({"checksum": _checksum(ready, content), **content}, allow_nan=False)
    header: dict[str, Any] = {"__metadata__": {_KEY: text}}
    place = 0
    for name in names:
        array = ready[name]
        header[name] = {
            "dtype": _WORDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    data = json.dumps(header).encode()
    data += b" " * (-len(data) % 8)
    yield struct.pack("<Q", len(data)) + data
    for name in names:
        yield _bytes(ready[name])


def _ready(name: str, array: Array) -> Array:
    """An array as it lies in a file: little-endian and in C order."""
    if array.dtype.name not in _WORDS:
        raise SettingError(
            f"a checkpoint holds arrays of numbers, of {', '.join(_WORDS)}; {name} has {array.dtype}"
        )
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _checksum(arrays: Mapping[str, Array], content: Mapping[str, Any]) -> str:
    shapes = {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()}
    found = hashlib.sha256(json.dumps([content, shapes], sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(_bytes(arrays[name]))
    return found.hexdigest()


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    from safetensors import SafetensorError, deserialize

    try:
        data = path.read_bytes()
        arrays = {name: _array(entry) for name, entry in deserialize(data)}  # type: ignore[no-untyped-call]
        (size,) = struct.unpack_from("<Q", data)
        content = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_KEY])
        checksum = content.pop("checksum")
        if checksum != _checksum(arrays, content):
            raise _Damaged("is damaged: its checksum is of other bytes")
    except OSError as error:
        raise _Damaged(f"cannot be read: {reason(error)}") from None
    except MemoryError:
        raise FileError(f"{path}: cannot be read: there is not enough memory") from None
    except SafetensorError:
        raise _Damaged("is damaged or cut short") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _Damaged("is damaged, or no checkpoint") from None
    if content.get("format_version") != FORMAT_VERSION:
        raise FileError(
            f"{path}: was written by a newer closedform, in format {content.get('format_version')}; this one "
            f"reads format {FORMAT_VERSION}: install the newest"
        )
    return arrays, _decoded(content["meta"])


def _array(entry: Mapping[str, Any]) -> Array:
    array: Array = np.frombuffer(entry["data"], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    return array if array.flags.writeable else array.copy()


# ---- values


def as_read(value: Any, place: str) -> Any:
    """A plain value as it comes back from a file; `place` is its name in messages.

    Raises
    ------
    SettingError
        For a value that no file can hold.
    """
    return _decoded(json.loads(json.dumps(_encoded(value, place))))


def _encoded(value: Any, place: str) -> Any:
    """A plain value as JSON has it, in which no number is infinite or nan."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_encoded(inner, f"{place}[{number}]") for number, inner in enumerate(value)]
    if _is_object(value):
        return {key: _encoded(inner, f"{place}.{key}") for key, inner in value.items()}
    raise SettingError(f"a checkpoint holds plain values as JSON has them; {place} is {value!r:.60}")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(inner) for inner in value]
    if isinstance(value, dict):
        if _stands_for_a_number(value):
            return float(value["float"])
        return {key: _decoded(inner) for key, inner in value.items()}
    return value


def _is_object(value: Any) -> bool:
    is_plain = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    return is_plain and not _stands_for_a_number(value)


def _stands_for_a_number(value: Mapping[str, Any]) -> bool:
    return list(value) == ["float"] and value["float"] in _NOT_FINITE
