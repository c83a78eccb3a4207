"""Zip archives, as far as npz needs them: members stored or deflated, read in memory and never written out.

Nothing that the archive says is trusted: members must lie inside the file and apart from each other, and
unpack to as many bytes as they promise, with the right checksum.

References
----------
PKWARE Inc., "APPNOTE.TXT, .ZIP File Format Specification", version 6.3.10, 2022.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from closedform.data.opened import Bytes, allowed, filled, kept
from closedform.errors import DataError

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LONGEST_COMMENT = 65_535
_LARGEST_DIRECTORY = 1 << 18  # some thousand members; an npz with images and labels has four
_STORED, _DEFLATED = 0, 8
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Member:
    """What the directory says of a member, and where its bytes are."""

    name: str
    deflated: bool
    checksum: int
    begin: int
    packed: int
    size: int


class Archive:
    """The members of a zip archive whose bytes are given; `where` names it in messages.

    Raises
    ------
    DataError
        Where the archive is cut short or damaged, or is of a kind that is not read.
    """

    def __init__(self, content: Bytes, where: str):
        self.content, self.where = content, where
        begin, end = self._directory()
        members = list(self._members(content[begin:end].tobytes(), begin))
        self.members = {member.name: member for member in members}
        if len(self.members) < len(members):
            raise DataError(f"{where}: is damaged: two of its members have the same name")
        spans = sorted((member.begin, member.begin + member.packed, member.name) for member in members)
        for (_, end, name), (begin, _, other) in pairwise(spans):
            if begin < end:
                raise DataError(f"{where}: is damaged: its members {shown(name)} and {shown(other)} overlap")

    def stored(self, member: Member) -> Bytes | None:
        """A member's bytes where they lie in the archive, None where they are deflated."""
        return None if member.deflated else self.content[member.begin : member.begin + member.packed]

    def pieces(self, member: Member) -> Iterator[bytes]:
        """A member's content, unpacked, with its checksum compared at the end.

        Raises
        ------
        DataError
            Where it is damaged.
        """
        checksum = 0
        for piece in self._inflated(member) if member.deflated else self._chunks(member):
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if checksum != member.checksum:
            raise DataError(f"{self._place(member)}: is damaged: its checksum is wrong")

    def read(self, member: Member) -> Bytes:
        """A member's content, exactly as long as the directory promises."""
        promise = (
            f"{self._place(member)}: does not unpack to the {member.size:,} bytes that the archive promises"
        )
        return filled(self.pieces(member), member.size, promise)

    def check(self, members: list[Member]) -> None:
        """Refuse members that unpack to more than they promise, or to more than honest data do.

        Where they would take much memory for the file's size, they are unpacked without being kept.

        Raises
        ------
        DataError
            For the first of them.
        """
        deflated = [member for member in members if member.deflated]
        for member in deflated:
            allowed(member.size, member.packed, self._place(member))
        if sum(member.size for member in deflated) <= kept(len(self.content)):
            return
        for member in deflated:
            total = 0
            for piece in self.pieces(member):
                total += len(piece)
                if total > member.size:
                    break
            if total != member.size:
                raise DataError(
                    f"{self._place(member)}: does not unpack to the {member.size:,} bytes that the "
                    f"archive promises"
                )

    def _place(self, member: Member) -> str:
        return f"{self.where}: {shown(member.name)}"

    def _chunks(self, member: Member) -> Iterator[bytes]:
        for begin in range(member.begin, member.begin + member.packed, _CHUNK):
            yield self.content[begin : min(begin + _CHUNK, member.begin + member.packed)].tobytes()

    def _inflated(self, member: Member) -> Iterator[bytes]:
        stream = zlib.decompressobj(-15)
        try:
            for chunk in self._chunks(member):
                while True:
                    piece = stream.decompress(chunk, _CHUNK)
                    if piece:
                        yield piece
                    chunk = stream.unconsumed_tail
                    if stream.eof or (not chunk and len(piece) < _CHUNK):
                        break
                if stream.eof:
                    return
        except zlib.error:
            raise DataError(f"{self._place(member)}: is damaged: its deflated data are wrong") from None
        raise DataError(f"{self._place(member)}: is cut short")

    def _directory(self) -> tuple[int, int]:
        """Where the list of members begins and ends."""
        length = len(self.content)
        tail_begin = max(0, length - _LONGEST_COMMENT - _END.size)
        tail = self.content[tail_begin:].tobytes()
        at = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
        if at < 0:
            raise DataError(f"{self.where}: is cut short: the list of members at its end is missing")
        _, _, _, _, _, size, begin, _ = _END.unpack_from(tail, at)
        end = tail_begin + at
        if begin == 0xFFFFFFFF or size == 0xFFFFFFFF:
            end, size, begin = self._directory_64(end)
        if begin + size > end:
            raise DataError(f"{self.where}: is damaged: its list of members does not lie inside the file")
        if size > _LARGEST_DIRECTORY:
            raise DataError(f"{self.where}: lists more members than a file of images and labels has")
        return begin, begin + size

    def _directory_64(self, end: int) -> tuple[int, int, int]:
        found = self._unpacked(_LOCATOR, end - _LOCATOR.size, b"PK\6\7")
        record = self._unpacked(_END_64, found[2], b"PK\6\6")
        return found[2], record[8], record[9]

    def _unpacked(self, form: struct.Struct, begin: int, magic: bytes) -> tuple[Any, ...]:
        part = self.content[begin : begin + form.size].tobytes() if 0 <= begin <= len(self.content) else b""
        if len(part) < form.size or not part.startswith(magic):
            raise DataError(f"{self.where}: is damaged: byte {begin:,} is no part of a zip archive")
        return form.unpack(part)

    def _members(self, directory: bytes, limit: int) -> Iterator[Member]:
        at = 0
        while at < len(directory):
            if len(directory) < at + _ENTRY.size or directory[at : at + 4] != b"PK\1\2":
                raise DataError(
                    f"{self.where}: is damaged: its list of members is wrong at byte {limit + at:,}"
                )
            entry = _ENTRY.unpack_from(directory, at)
            flags, method, checksum, packed, size = entry[3], entry[4], entry[7], entry[8], entry[9]
            name_length, extra_length, comment_length, begin = entry[10], entry[11], entry[12], entry[16]
            at += _ENTRY.size
            name = directory[at : at + name_length].decode("utf-8", "replace")
            extra = directory[at + name_length : at + name_length + extra_length]
            at += name_length + extra_length + comment_length
            place = f"{self.where}: {shown(name)}"
            size, packed, begin = _extended((size, packed, begin), extra, place)
            if flags & 1:
                raise DataError(f"{place}: is encrypted: unpack it with its password and save it anew")
            if method not in (_STORED, _DEFLATED):
                raise DataError(
                    f"{place}: is compressed in a way that is not read ({method}): use numpy.savez"
                )
            if method == _STORED and size != packed:
                raise DataError(
                    f"{place}: is damaged: it is stored in {packed:,} bytes and promises {size:,}"
                )
            yield Member(
                name, method == _DEFLATED, checksum, self._data(begin, packed, limit, place), packed, size
            )

    def _data(self, begin: int, packed: int, limit: int, place: str) -> int:
        """Where a member's bytes begin, after its own header."""
        header = self.content[begin : begin + 30].tobytes() if begin < limit else b""
        if len(header) < 30 or not header.startswith(b"PK\3\4"):
            raise DataError(f"{place}: is damaged: it does not begin at byte {begin:,}")
        begin += 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        if begin + packed > limit:
            raise DataError(
                f"{place}: is damaged: its {packed:,} bytes from byte {begin:,} do not fit in the file"
            )
        return begin


def _extended(values: tuple[int, int, int], extra: bytes, place: str) -> tuple[int, int, int]:
    """Sizes and place of a member, from the extra field where they do not fit into 4 bytes."""
    at, found = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            found = extra[at + 4 : at + 4 + length]
        at += 4 + length
    result = []
    for value in values:
        if value == 0xFFFFFFFF:
            if len(found) < 8:
                raise DataError(f"{place}: is damaged: its sizes are missing")
            value, found = int.from_bytes(found[:8], "little"), found[8:]
        result.append(value)
    return result[0], result[1], result[2]


def shown(name: str) -> str:
    """A member's name as it may be printed: short, and without control characters."""
    text = name if len(name) <= 60 else f"{name[:57]}..."
    return text if text.isprintable() else ascii(text)[1:-1]
