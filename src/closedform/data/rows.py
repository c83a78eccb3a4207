"""Rows of numbers in text, read in small blocks: digits by NumPy at once, the rest by Python."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, compress, cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.labels import LARGEST_LABEL
from closedform.data.opened import Source
from closedform.data.zipped import shown
from closedform.errors import DataError

Array = NDArray[Any]

_BLOCK = 1 << 18  # what is made of it stays in the processor's cache
_LONGEST_LINE = 2 << 20
_TEXT = 64 << 20, 200  # so many bytes may be unpacked from any file, or so many times its size
_SLOW_TEXT = 16 << 20, 100  # of them, with other characters than digits; reading takes 0.05 s a MiB
_NUMBERS = 40 << 20, 64  # bytes of memory that the pixels and rows take
_ROW = 100  # bytes that a row takes besides its pixels, for its label and name
_COMMANDS = {"gzip": "gunzip", "xz": "unxz"}
_LARGEST_BYTE = 255
_MOST_DIGITS = 9
_COMMA, _NEWLINE, _ZERO, _NINE = b",\n09"
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Columns:
    """Where a table's rows have their label and their pixels."""

    count: int
    pixels: tuple[int, ...]
    label: int | None
    separator: str
    has_header: bool


@dataclass
class Labels:
    """The labels' texts, each once with the line where it was first seen, and each row's position in them.

    Digits are the number that they write: 01 and 1 are one label, 1.
    """

    lines: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    rows: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, texts: list[str], line_of: Callable[[int], int]) -> None:
        """The labels of some rows in turn; `line_of` gives a row's line."""
        positions, labels = self.positions, {text: _label(text) for text in set(texts)}
        for row, text in enumerate(texts):
            label = labels[text]
            if label not in positions:
                positions[label] = len(positions)
                self.lines[label] = line_of(row)
        self.rows.append(np.array([positions[labels[text]] for text in texts], np.int64))

    def add_numbers(self, numbers: NDArray[np.int32], line_of: Callable[[int], int]) -> None:
        """The same of whole numbers."""
        values, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        texts = [str(value) for value in values]
        for text, row in zip(texts, first, strict=True):
            if text not in self.positions:
                self.positions[text] = len(self.positions)
                self.lines[text] = line_of(int(row))
        self.rows.append(np.array([self.positions[text] for text in texts], np.int64)[inverse])


def _label(text: str) -> str:
    return text.lstrip("0") or "0" if text.isascii() and text.isdigit() else text


class Limits:
    """What a compressed table has come to, against what those of images come to."""

    def __init__(self, source: Source):
        self.source = source
        self._slow = self._rows = self._pixels = 0
        self._bytes_each = 1

    def unpacked(self, size: int) -> None:
        """There are so many bytes of text.

        Raises
        ------
        DataError
            For more than tables have; so do the other methods.
        """
        self._check(size, _TEXT, "text")

    def slow(self, size: int) -> None:
        """So many more bytes of text have other characters than digits and separators."""
        self._slow += size
        self._check(self._slow, _SLOW_TEXT, "text that is not digits alone")

    def kept(self, pixels: Array) -> None:
        """More images are kept, of shape (rows, pixels)."""
        self._rows += len(pixels)
        self._pixels += pixels.size
        self._bytes_each = max(self._bytes_each, pixels.itemsize)
        self._check(self._bytes_each * self._pixels + _ROW * self._rows, _NUMBERS, "numbers")

    def _check(self, size: int, limit: tuple[int, int], what: str) -> None:
        source, (always, ratio) = self.source, limit
        if source.compression and size > max(always, ratio * source.stored):
            raise DataError(
                f"{source.path}: {source.stored:,} compressed bytes become {size:,} bytes or more of {what}, "
                f"as tables of images rarely do: unpack it first if it is to be trusted, "
                f"{_COMMANDS[source.compression]} {source.path.name}"
            )


class Block:
    """Some whole lines of a table."""

    def __init__(self, source: Source, text: bytes, first_line: int, columns: Columns):
        self.source, self.first_line, self.columns = source, first_line, columns
        self.is_slow = False
        self._all = text
        self.text = text
        if text.startswith(b"\n") or b"\n\n" in text or b" \n" in text:
            self.text = b"".join(line + b"\n" for line in text.split(b"\n") if line.strip())
            self.is_slow = True

    def line_of(self, row: int) -> int:
        """The number of a row's line in the file, from 1."""
        return self.first_line + self._lines[row]

    @cached_property
    def _lines(self) -> list[int]:
        return [number for number, line in enumerate(self._all.split(b"\n")) if line.strip()]

    def read(self, labels: Labels) -> Array:
        """Pixels of shape (rows, pixels), uint8 where all are whole numbers to 255, else float32."""
        if not self.text:
            return np.empty((0, len(self.columns.pixels)), np.uint8)
        numbers = self._digits()
        if numbers is None:
            self.is_slow = True
            return self._fields(labels)
        if self.columns.label is not None:
            labels.add_numbers(numbers[:, self.columns.label], self.line_of)
        return _smallest(self._pixels_of(numbers))

    def wrong(self, row: int, message: str) -> DataError:
        return DataError(f"{self.source.path}: line {self.line_of(row)}: {message}")

    def _pixels_of(self, table: Array) -> Array:
        begin, end = self.columns.pixels[0], self.columns.pixels[-1] + 1
        if end - begin == len(self.columns.pixels):
            return table[:, begin:end]
        return table[:, list(self.columns.pixels)]

    def _digits(self) -> NDArray[np.int32] | None:
        """The numbers of a block that has nothing but digits, separators and line ends, None for another."""
        separator = self.columns.separator
        plain = self.text if separator == "," else self.text.replace(separator.encode(), b",")
        text = np.frombuffer(plain, np.uint8)
        ends = np.flatnonzero(text < _ZERO).astype(np.int32)
        marks = text[ends]
        if text.max() > _NINE or not ((marks == _COMMA) | (marks == _NEWLINE)).all():
            return None
        lengths = _gaps(ends) - 1
        if lengths.min() == 0 or lengths.max() > _MOST_DIGITS:
            return None
        self._check_counts(np.flatnonzero(marks == _NEWLINE))
        numbers = (text[ends - 1] - _ZERO).astype(np.int32)
        for place in range(1, int(lengths.max())):
            longer = np.flatnonzero(lengths > place)
            numbers[longer] += 10**place * (text[ends[longer] - 1 - place] - _ZERO).astype(np.int32)
        return numbers.reshape(-1, self.columns.count)

    def _check_counts(self, line_ends: NDArray[Any]) -> None:
        """Compare each row's number of fields, from the positions of line ends among the separators."""
        counts = _gaps(line_ends)
        if (counts != self.columns.count).any():
            row = int(np.argmax(counts != self.columns.count))
            raise self._ragged(row, int(counts[row]))

    def _ragged(self, row: int, count: int) -> DataError:
        return self.wrong(
            row, f"must have {self.columns.count:,} fields as the first line has, got {count:,}"
        )

    def _fields(self, labels: Labels) -> Array:
        """The same of a block with other characters, field by field."""
        fields = self._quoted() if b'"' in self.text else self._split()
        count, label = self.columns.count, self.columns.label
        if label is not None:
            names = [field.strip() for field in fields[label::count]]
            if "" in names:
                raise self.wrong(names.index(""), f"its label, in column {label + 1}, is empty")
            labels.add(names, self.line_of)
        kept = set(self.columns.pixels)
        return self._numbers(list(compress(fields, cycle([column in kept for column in range(count)]))))

    def _split(self) -> list[str]:
        separator = self.columns.separator
        array = np.frombuffer(self.text, np.uint8)
        marks = array[(array == ord(separator)) | (array == _NEWLINE)]
        self._check_counts(np.flatnonzero(marks == _NEWLINE))
        return self._decoded()[:-1].replace("\n", separator).split(separator)

    def _quoted(self) -> list[str]:
        lines = self._decoded()[:-1].split("\n")
        try:
            rows = list(csv.reader(lines, delimiter=self.columns.separator, strict=True))
        except csv.Error:
            rows = []
        if len(rows) != len(lines) or any(len(row) != self.columns.count for row in rows):
            raise self._no_row(lines)
        return list(chain.from_iterable(rows))

    def _no_row(self, lines: list[str]) -> DataError:
        """What is wrong with the first line that is no row by itself."""
        rows = (parsed(line, self.columns.separator) for line in lines)
        row, found = next(
            (row, found)
            for row, found in enumerate(rows)
            if found is None or len(found) != self.columns.count
        )
        if found is None:
            return self.wrong(row, "has a quotation mark that is not closed, or stands inside a field")
        return self._ragged(row, len(found))

    def _decoded(self) -> str:
        try:
            return self.text.decode("utf-8")
        except UnicodeDecodeError as error:
            row = self.text.count(b"\n", 0, error.start)
            raise self.wrong(row, "is no text in UTF-8: save the file as UTF-8") from None

    def _numbers(self, texts: list[str]) -> Array:
        width = len(self.columns.pixels)
        try:
            numbers = self._values(texts)
        except ValueError:
            raise self._no_number(texts) from None
        numbers = numbers.reshape(-1, width)
        pixels = _smallest(numbers)
        if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
            row, place = (int(k) for k in np.argwhere(~np.isfinite(pixels))[0])
            column = self.columns.pixels[place] + 1
            raise self.wrong(
                row,
                f"the pixel in column {column:,} is {pixels[row, place]}: pixels must be finite numbers in "
                f"float32; leave the row out or replace the number",
            )
        return pixels

    def _values(self, texts: list[str]) -> Array:
        """The texts as numbers, int64 where all are whole; a ValueError where one is none."""
        distinct = set(texts)
        if b"_" in self.text and any("_" in text for text in distinct):  # Python reads 1_000 as a number
            raise ValueError
        try:
            return _each(texts, distinct, int, np.int64)
        except (ValueError, OverflowError):
            return _each(texts, distinct, float, np.float64)

    def _no_number(self, texts: list[str]) -> DataError:
        width = len(self.columns.pixels)
        place, text = next((place, text) for place, text in enumerate(texts) if not is_number(text))
        row, position = divmod(place, width)
        got = f"got {shown(text.strip())!r}" if text.strip() else "it is empty"
        column = self.columns.pixels[position] + 1
        return self.wrong(row, f"the pixel in column {column:,} must be a number, {got}")


def _gaps(ends: NDArray[Any]) -> NDArray[Any]:
    """How far each position is behind the one before it; the first, behind −1."""
    gaps = ends.copy()
    gaps[1:] -= ends[:-1]
    gaps[:1] += 1
    return gaps


def _each(texts: list[str], distinct: set[str], kind: Callable[[str], float], dtype: Any) -> Array:
    """What `kind` makes of each text; where they are few, each different one is read once."""
    if 2 * len(distinct) > len(texts):
        return np.fromiter(map(kind, texts), dtype, len(texts))
    values = {text: kind(text) for text in distinct}
    return np.fromiter(map(values.__getitem__, texts), dtype, len(texts))


def _smallest(numbers: Array) -> Array:
    if numbers.dtype.kind == "i" and numbers.min() >= 0 and numbers.max() <= _LARGEST_BYTE:
        return numbers.astype(np.uint8)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is named
        return numbers.astype(np.float32)


def is_number(text: str) -> bool:
    """Whether a field is a number as tables have them."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def parsed(line: str, separator: str) -> list[str] | None:
    """A line's fields without their quotation marks, None where these are wrong."""
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return None


def blocks(source: Source, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """A text's whole lines, about a quarter of a megabyte at a time, each with the number of its first line.

    Every line ends with one newline; a mark at the beginning is left out.

    Raises
    ------
    DataError
        For a line of more than 2 MiB, and for a compressed file that unpacks to more than tables do.
    """
    line, rest, total = 1, b"", 0
    for piece in source.pieces():
        total += len(piece)
        limits.unpacked(total)
        rest += piece if total > len(piece) else piece.removeprefix(_MARK)
        if len(rest) < _BLOCK:
            continue
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, len(rest) - 1)) + 1
        if end:
            text = _plain_ends(rest[:end])
            yield line, text
            line += text.count(b"\n")
            rest = rest[end:]
        elif len(rest) > _LONGEST_LINE:
            raise DataError(f"{source.path}: line {line:,} is longer than {_LONGEST_LINE:,} bytes")
    if rest:
        text = _plain_ends(rest)
        yield line, text if text.endswith(b"\n") else text + b"\n"


def _plain_ends(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def check_label_count(labels: Labels, source: Source) -> None:
    """Refuse more different labels than there can be classes.

    Raises
    ------
    DataError
        For more than 65,536.
    """
    if len(labels.positions) > LARGEST_LABEL + 1:
        raise DataError(
            f"{source.path}: has more than {LARGEST_LABEL + 1:,} different labels: name the column of "
            f"classes label"
        )
