"""Data files as bytes: plain or compressed, told apart by their content, and never more than is wanted.

A compressed file can unpack to a thousand times its size and more.  What is unpacked is therefore counted
against what the file's header promises, and against two limits that no honest set of images reaches: 200
times the stored bytes, and 64 MiB where that is less; tables of numbers, which take longer to read than to
unpack, have narrower ones besides, in `rows`.  What would be large for the file is counted before
any of it is kept.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError

Bytes = NDArray[np.uint8]

MAPPED = 64 << 20
"""A plain file of so many bytes is mapped rather than read."""

_CHUNK = 1 << 18
_ALWAYS = 64 << 20  # so much may be unpacked from any file
_RATIO = 200  # and so many times its size
_KEPT = 32 << 20  # so much, and twice the file's size, is kept without having been counted before
_XZ_MEMORY = 100 << 20  # xz's strongest presets need 65 MiB
_STREAMS, _IN_EACH = 1000, 1024  # so many may be short; of more, each holds so many bytes, on average
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\0"


@dataclass(frozen=True)
class Source:
    """A file of data: where it is, how it is compressed ("", "gzip" or "xz") and its bytes on the disk."""

    path: Path
    compression: str
    stored: int

    def pieces(self) -> Iterator[bytes]:
        """The content in pieces of at most 256 KiB, unpacked.

        Raises
        ------
        DataError
            Where the compressed bytes are damaged or cut short, and where the file cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                if self.compression == "gzip":
                    yield from _unpacked(file, self.path, _Gzip)
                elif self.compression == "xz":
                    yield from _unpacked(file, self.path, _Xz)
                else:
                    yield from iter(lambda: file.read(_CHUNK), b"")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from None

    def head(self, count: int) -> bytes:
        """The first bytes of the content, fewer where it has fewer."""
        head = b""
        for piece in self.pieces():
            head += piece[: count - len(head)]
            if len(head) == count:
                break
        return head

    def data(self, expected: int | None = None) -> Bytes:
        """The whole content; a large plain file is mapped, not read.

        Parameters
        ----------
        expected : int, optional
            How many bytes it must have, as its header promises; any number without it.

        Raises
        ------
        DataError
            Where it has another number of bytes, is damaged, or unpacks to what no images do.
        """
        if not self.compression:
            self._same(expected, self.stored)
            if self.stored >= MAPPED:
                return self._mapped()
            return filled(self.pieces(), self.stored, f"{self.path}: changed while it was read")
        if expected is None:
            return self._unmeasured()
        allowed(expected, self.stored, str(self.path))
        if expected > kept(self.stored):
            self._same(expected, self.count(expected + 1))
        return filled(self.pieces(), expected, self._promise(expected))

    def count(self, most: int | None = None) -> int:
        """How many bytes the content has; no further than the limit on what may be unpacked, or `most`."""
        if not self.compression:
            return self.stored
        total = 0
        for piece in self.pieces():
            total += len(piece)
            if most is not None and total >= most:
                break
            allowed(total, self.stored, str(self.path))
        return total

    def _mapped(self) -> Bytes:
        try:
            return np.memmap(self.path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read: {error}") from None

    def _unmeasured(self) -> Bytes:
        content, length = np.empty(kept(self.stored), np.uint8), 0  # what is not filled takes no memory
        for piece in self.pieces():
            if length + len(piece) > len(content):
                del content
                return self.data(self.count())
            content[length : length + len(piece)] = np.frombuffer(piece, np.uint8)
            length += len(piece)
        return content[:length]

    def _same(self, expected: int | None, found: int) -> None:
        if expected is not None and found != expected:
            raise DataError(self._promise(expected, found))

    def _promise(self, expected: int, found: int | None = None) -> str:
        if found is None:
            has = "unpacks to another number"
        elif self.compression and found > expected:
            has = "unpacks to more"
        else:
            has = f"has {found:,}"
        return f"{self.path}: the header promises a file of {expected:,} bytes, it {has}"


def opened(path: Path) -> Source:
    """A file that can be read, and how it is compressed.

    Raises
    ------
    DataError
        For an empty file, for what is no regular file, and for what cannot be opened.
    """
    try:
        status = os.stat(path)
        first = _first_bytes(path) if stat.S_ISREG(status.st_mode) else None
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file has such a name"
        raise DataError(f"{path}: cannot be read: {reason}") from None
    if first is None:
        raise DataError(f"{path}: must be a file, is a {'folder' if path.is_dir() else 'device or pipe'}")
    if not first:
        raise DataError(f"{path}: is empty")
    compression = "gzip" if first.startswith(_GZIP) else "xz" if first == _XZ else ""
    return Source(path, compression, status.st_size)


def _first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(len(_XZ))


def allowed(size: int, stored: int, where: str) -> None:
    """Refuse what unpacks to more than honest data do.

    Raises
    ------
    DataError
        Above 64 MiB that are more than 200 times the stored bytes.
    """
    if size > max(_ALWAYS, _RATIO * stored):
        raise DataError(
            f"{where}: {stored:,} compressed bytes would unpack to {size:,} or more, which no images do: "
            f"unpack it first if it is to be trusted"
        )


def kept(stored: int) -> int:
    """How many unpacked bytes of a file are kept without having been counted before."""
    return _KEPT + 2 * stored


def filled(pieces: Iterable[bytes], size: int, otherwise: str) -> Bytes:
    """Pieces in one array of exactly so many bytes; `otherwise` is the error where they are not so many."""
    content, begin = np.empty(size, np.uint8), 0
    for piece in pieces:
        end = begin + len(piece)
        if end > size:
            raise DataError(otherwise)
        content[begin:end] = np.frombuffer(piece, np.uint8)
        begin = end
    if begin < size:
        raise DataError(otherwise)
    return content


class _Gzip:
    """One gzip member."""

    name = "gzip"

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(31)

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """At most one piece of what the data unpack to, and the data that are left."""
        piece = self._stream.decompress(data, _CHUNK)
        return piece, self._stream.unused_data if self.ended else self._stream.unconsumed_tail

    @property
    def ended(self) -> bool:
        return self._stream.eof


class _Xz:
    """One xz stream."""

    name = "xz"

    def __init__(self) -> None:
        import lzma

        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """At most one piece of what the data unpack to; what is left of them stays in the stream."""
        piece = self._stream.decompress(data, _CHUNK)
        return piece, self._stream.unused_data if self.ended else b""

    @property
    def ended(self) -> bool:
        return self._stream.eof


def _unpacked(file: IO[bytes], path: Path, stream_type: type[_Gzip] | type[_Xz]) -> Iterator[bytes]:
    """The content of all the streams that follow each other in a file, zeros between them ignored."""
    data, total, streams = file.read(_CHUNK), 0, 0
    while data:
        stream = stream_type()
        while not stream.ended:
            piece, data = _stepped(stream, data, path, total)
            total += len(piece)
            if piece:
                yield piece
            elif not data and not stream.ended:
                data = file.read(_CHUNK)
                if not data:
                    raise DataError(
                        f"{path}: is cut short: its {stream.name} data end after byte {total:,} of "
                        f"the content"
                    )
        streams += 1
        if streams > _STREAMS and total < streams * _IN_EACH:
            raise DataError(f"{path}: holds {streams:,} {stream.name} streams with next to nothing in them")
        data = _after_zeros(file, data)


def _stepped(stream: _Gzip | _Xz, data: bytes, path: Path, total: int) -> tuple[bytes, bytes]:
    try:
        return stream.step(data)
    except MemoryError:
        raise
    except Exception as error:  # lzma's own error has no name until lzma is imported
        if "emory usage limit" in str(error):
            raise DataError(
                f"{path}: needs more than {_XZ_MEMORY >> 20} MiB of memory to unpack: unpack it first"
            ) from None
        raise DataError(
            f"{path}: is damaged: its {stream.name} data are wrong after byte {total:,} of the content"
        ) from None


def _after_zeros(file: IO[bytes], data: bytes) -> bytes:
    data = data.lstrip(b"\0")
    while not data:
        data = file.read(_CHUNK)
        if not data:
            return b""
        data = data.lstrip(b"\0")
    return data


def text_of(path: Path, most: int) -> str:
    """A short text beside the data, such as the classes' names.

    Raises
    ------
    DataError
        Where it is longer, or not UTF-8.
    """
    head = opened(path).head(most + 1)
    if len(head) > most:
        raise DataError(f"{path}: is longer than {most:,} bytes")
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be text in UTF-8, byte {error.start} is not") from None


def sizes(shape: Iterable[Any]) -> str:
    """A shape as it is read aloud: "60,000 × 28 × 28"."""
    return " × ".join(f"{extent:,}" for extent in shape)
