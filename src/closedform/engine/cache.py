"""Compiled objects on disk, so that a network is compiled once for a machine.

An entry is one file, named by its key:

    16 bytes   MAGIC, which ends in the number of the format
    32 bytes   SHA-256 of all that follows
     8 bytes   length of the description, little-endian
     8 bytes   length of the object, little-endian
               the description: JSON in UTF-8, {"key": …, "metadata": {…}}
               the object

Machine code that comes from this folder is run, so nothing is read from a folder or a file that somebody else
could have written.  A folder that cannot be used, and a file that is damaged, mean that there is no entry;
they are never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import string
import struct
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import closedform
from closedform.engine.jit import Target, compiler_version
from closedform.errors import SettingError

FOLDER_VARIABLE = "CLOSEDFORM_CACHE"
SIZE_VARIABLE = "CLOSEDFORM_CACHE_SIZE"
MAGIC = b"closedform obj 1"
SUFFIX = ".object"

_UNFINISHED = "new-"
# the parts of the library that decide what is compiled
_DECIDING = ("engine", "formula", "layers", "training", "architecture.py", "random.py")

_LENGTHS = struct.Struct("<QQ")
_HEAD = len(MAGIC) + hashlib.sha256().digest_size + _LENGTHS.size
_DEFAULT_MEGABYTES = 256
_DAY, _HOUR = 86400, 3600
_IS_POSIX = os.name == "posix"
# Windows would translate line ends, and has no links to refuse
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def load(key: str) -> tuple[bytes, dict[str, Any]] | None:
    """The object and the metadata that were stored under a key; None where there are none.

    A file that is no whole entry is removed.

    Raises
    ------
    SettingError
        Where CLOSEDFORM_CACHE_SIZE is no number of megabytes.
    """
    limit = _limit()
    place = folder()
    if place is None:
        return None
    path = place / _file_name(key)
    entry = None
    with suppress(OSError):
        file = os.open(path, _READ)
        try:
            found = os.fstat(file)
            if _is_ours(found) and found.st_size <= limit:
                with open(file, "rb", closefd=False) as stream:
                    entry = _unpacked(stream.read(found.st_size), key)
        finally:
            os.close(file)
        if entry is None:
            path.unlink()
        elif time.time() - found.st_mtime > _DAY:
            os.utime(path)  # the entries that nobody used for longest go first
    return entry


def store(key: str, machine_code: bytes, metadata: dict[str, Any]) -> None:
    """Keep an object and what JSON can say about it; nothing happens where it cannot be kept.

    The entries used least recently are removed while all together are larger than CLOSEDFORM_CACHE_SIZE
    megabytes (256 where it is not set).

    Raises
    ------
    SettingError
        Where CLOSEDFORM_CACHE_SIZE is no number of megabytes.
    """
    limit = _limit()
    name = _file_name(key)
    data = _packed(key, machine_code, metadata)
    place = folder()
    if place is None or len(data) > limit:
        return
    with suppress(OSError):
        # moved into place whole: no process ever sees half an entry
        file, temporary = tempfile.mkstemp(prefix=_UNFINISHED, suffix=SUFFIX, dir=place)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
            os.replace(temporary, place / name)
        except BaseException:
            os.unlink(temporary)
            raise
        _shrink(place, limit, name)


def folder() -> Path | None:
    """The folder of the entries, made where it is missing; None where there is none that can be trusted.

    It is CLOSEDFORM_CACHE where that is set (to nothing for no cache), else ``closedform/objects`` in the
    user's own folder for caches.  It must belong to the user, be writable by nobody else, and be no link.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named == "":
        return None
    try:
        place = _users_caches() / "closedform" / "objects" if named is None else Path(named).expanduser()
        for missing in [path for path in (*reversed(place.parents), place) if not path.exists()]:
            with suppress(FileExistsError):
                missing.mkdir(mode=0o700)
        found = place.lstat()
    except (OSError, RuntimeError, ValueError):  # no home folder, a name with a null character
        return None
    return place if stat.S_ISDIR(found.st_mode) and _is_ours(found) else None


def key(*parts: str | bytes) -> str:
    """A key for what is determined by these parts, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    return digest.hexdigest()


def environment_key(target: Target) -> str:
    """A key for what machine code depends on besides what it computes: this library, LLVM, the processor."""
    return key(
        closedform.__version__,
        _sources(),
        compiler_version(),
        target.name,
        target.triple,
        target.cpu,
        target.features,
        target.attributes,
    )


@cache
def _sources() -> str:
    """A digest of the source that decides: while it is worked on, the version stays and the code changes."""
    root = Path(closedform.__file__).parent
    parts: list[str | bytes] = []
    for name in _DECIDING:
        for path in sorted((root / name).rglob("*.py")) if "." not in name else [root / name]:
            parts += [path.relative_to(root).as_posix(), path.read_bytes()]
    return key(*parts)


def _file_name(key: str) -> str:
    if len(key) != 64 or not set(key) <= set(string.hexdigits):
        raise ValueError(f"a key must be 64 hexadecimal digits, got {key!r}")
    return key + SUFFIX


def _packed(key: str, machine_code: bytes, metadata: dict[str, Any]) -> bytes:
    description = json.dumps({"key": key, "metadata": metadata}, sort_keys=True).encode()
    rest = _LENGTHS.pack(len(description), len(machine_code)) + description + machine_code
    return MAGIC + hashlib.sha256(rest).digest() + rest


def _unpacked(data: bytes, key: str) -> tuple[bytes, dict[str, Any]] | None:
    if len(data) < _HEAD or not data.startswith(MAGIC):
        return None
    lengths = data[_HEAD - _LENGTHS.size : _HEAD]
    words, code = _LENGTHS.unpack(lengths)
    if _HEAD + words + code != len(data):
        return None
    rest = memoryview(data)[_HEAD - _LENGTHS.size :]
    if hashlib.sha256(rest).digest() != data[len(MAGIC) : _HEAD - _LENGTHS.size]:
        return None
    try:
        description = json.loads(data[_HEAD : _HEAD + words])
    except (ValueError, RecursionError):
        return None
    # a file under another's name is somebody's copy, and no entry
    if not isinstance(description, dict) or description.get("key") != key:
        return None
    metadata = description.get("metadata")
    return (data[_HEAD + words :], metadata) if isinstance(metadata, dict) else None


def _limit() -> int:
    text = os.environ.get(SIZE_VARIABLE) or str(_DEFAULT_MEGABYTES)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SettingError(f"{SIZE_VARIABLE} must be a whole number of megabytes, as in 256, got {text!r}")
    return int(text) * 1_000_000


def _users_caches() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    named = os.environ.get("XDG_CACHE_HOME", "")
    # the convention says to ignore a path that is not absolute
    return Path(named) if os.path.isabs(named) else Path.home() / ".cache"


def _is_ours(found: os.stat_result) -> bool:
    if not _IS_POSIX:
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _shrink(place: Path, limit: int, newest: str) -> None:
    """Remove the entries used least recently until the rest fits, and what broken-off writes left behind."""
    entries, now = [], time.time()
    with os.scandir(place) as found:
        for item in found:
            with suppress(OSError):  # another process may have removed it
                status = item.stat(follow_symlinks=False)
                if not item.name.endswith(SUFFIX):
                    continue
                if not item.name.startswith(_UNFINISHED):
                    entries.append((item.name == newest, status.st_mtime, status.st_size, item.path))
                elif now - status.st_mtime > _HOUR:
                    os.unlink(item.path)
    total = sum(size for _, _, size, _ in entries)
    for _, _, size, path in sorted(entries):
        if total <= limit:
            return
        with suppress(OSError):
            os.unlink(path)
        total -= size
