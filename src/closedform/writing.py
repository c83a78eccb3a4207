"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from closedform.errors import FileError

if TYPE_CHECKING:
    from pathlib import Path

PathLike = str | os.PathLike[str]

# as mkstemp makes the names that are given it
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")
_ADDED = len("..") + 8
_LONGEST = 255  # bytes that a name may have

_locks: set[int] = set()  # the open folders that this process holds a lock on


def write_file(
    target: PathLike, data: bytes, example: str = "model.safetensors", makes_folders: bool = True
) -> None:
    """Write a whole file or nothing: it is written beside its place and moved there.

    A link stays one: the file that it leads to is replaced.  What is there and is no regular file, such as a
    pipe or a device, is written to.

    Raises
    ------
    FileError
        Where it cannot be written; for a folder with the name of a file in it, as in `example`; where there
        is no folder for it and none is made.
    """
    from pathlib import Path

    path = Path(target)
    try:
        if path.is_dir():
            raise FileError(f"{path}: is a folder: name a file, as in {path / example}")
        if path.parent.exists() and not path.parent.is_dir():
            raise FileError(f"{path}: cannot be written: {path.parent} is no folder")
        found = _status(path)
        if found is not None and not stat.S_ISREG(found.st_mode):
            with open(path, "wb") as through:
                through.write(data)
            return
        if found is not None and (stream := _printed_to(found)) is not None:
            with os.fdopen(os.dup(stream), "wb") as through:  # opened anew, it would lose what it holds
                through.write(data)
            return
        place = Path(os.path.realpath(path))
        if makes_folders:
            make_folder(place.parent)
        elif not place.parent.exists():
            raise FileError(f"{path}: cannot be written: there is no folder {path.parent}: make it first")
        replace_file(place, [data])
    except FileError:
        raise
    except (OSError, ValueError, MemoryError) as error:
        raise FileError(f"{path}: cannot be written: {reason(error)}") from None


def _status(path: Path) -> os.stat_result | None:
    """What stands at a path, at the end of its links; None for nothing."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _printed_to(found: os.stat_result) -> int | None:
    """The number of the open file that is this one, of those that a program prints to."""
    for stream in (1, 2):
        try:
            if os.path.samestat(found, os.fstat(stream)):
                return stream
        except OSError:  # it is closed
            continue
    return None


def replace_file(place: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a regular file beside its place, in parts, and move it there once it is safely on disk.

    What is there gives it its permissions.
    """
    import tempfile

    found = _status(place)
    mode = 0o666 & ~_umask() if found is None else stat.S_IMODE(found.st_mode)
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{_shortened(place.name)}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, place)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what to tell
            os.unlink(temporary)
        raise
    _flush_folder(place.parent)


def remove_leftovers(folder: Path, is_wanted: Callable[[str], object]) -> None:
    """Remove what killed writers left beside the files of these names; no other writer may be at work."""
    paths = list(folder.iterdir())
    long = {_shortened(path.name) for path in paths if is_wanted(path.name)}
    for path in paths:
        found = _TEMPORARY.fullmatch(path.name)
        if found is not None and (found[1] in long or is_wanted(found[1])):
            with suppress(OSError):  # the next time tries again
                path.unlink()


def _shortened(name: str) -> str:
    """As much of a name as leaves room for what a temporary one adds to it."""
    return os.fsencode(name)[: _LONGEST - _ADDED].decode(errors="ignore")


def make_folder(folder: Path) -> list[Path]:
    """Make a folder, and those that it is to lie in, so that they outlast a loss of power.

    Returns
    -------
    list of Path
        Those that were missing, the innermost first.
    """
    if folder.is_dir():
        return []
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        _flush_folder(place.parent)
    return missing


@contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """While it is entered, nobody else may enter it with this folder, here or in another process.

    A process that is forked meanwhile has no part in that.  On Windows, and on file systems without locks,
    everybody may enter.

    Parameters
    ----------
    folder
        It is there.
    refusal
        What to say where somebody else is in it.

    Raises
    ------
    FileError
        Where somebody else is in it, and where it cannot be opened.
    """
    handle = _lock(folder, refusal)
    try:
        yield
    finally:
        _unlock(handle)


def _lock(folder: Path, refusal: str) -> int | None:
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, PermissionError):  # one may write into a folder that one may not list
        return None
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {reason(error)}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_alone = os.path.samestat(os.fstat(handle), os.stat(folder))
    except (BlockingIOError, FileNotFoundError):  # whoever was in it may have taken it away
        is_alone = False
    except OSError:  # a file system without locks
        is_alone = True
    if not is_alone:
        os.close(handle)
        raise FileError(refusal)
    _locks.add(handle)
    return handle


def _unlock(handle: int | None) -> None:
    if handle is None or handle not in _locks:
        return
    import fcntl

    _locks.discard(handle)
    with suppress(OSError):  # a process that was forked just now may have it open for a moment
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def _after_fork() -> None:
    """Close what was locked by the process that this one was forked from: it would hold the lock as well."""
    for handle in _locks:
        os.close(handle)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _flush_folder(folder: Path) -> None:
    """Put the names in a folder on disk, where the system can do that."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write into a folder that one may not list
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has no such thing
            raise
    finally:
        os.close(handle)


def reason(error: OSError | ValueError | MemoryError) -> str:
    """Why a file cannot be reached; a ValueError is Python's word for what no file can be called."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    return "no file has such a name"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
