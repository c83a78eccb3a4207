"""Files of images as bytes: of what kind they are, and what of them a decoder needs to see.

A decoder is given the pixels, and what they mean, alone.  What else an image file carries, such as comments,
colour profiles, thumbnails and EXIF tags, is taken out first: a few hostile bytes of it can unpack to
gigabytes.  Of EXIF only the orientation is used, which is read here.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from dataclasses import dataclass

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")
KINDS = "PNG, JPEG, BMP, GIF, WebP, PPM, PGM and PBM"

_LARGEST = 1 << 28
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY_FACTORS = {b"\2\0": 85, b"\4\0": 17}  # from a grey of 2 or 4 bits to a byte
_COLOUR_16 = b"\x10\2"
_LARGEST_BYTE = 255
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_MOST_SCANS = 100  # of a progressive JPEG; ten are usual, and each goes over the whole image
_ORIENTATION = 0x0112
_SHORT = 3


class UnreadableError(Exception):
    """Why a file gives no image, as what follows its name in a sentence."""


@dataclass(frozen=True)
class Encoded:
    """An image file without what says nothing of its pixels.

    Attributes
    ----------
    kind : str
        Pillow's name of the format.
    data : bytes
        What a decoder is given.
    size : int
        Bytes of the whole file.
    exif : bytes
        The EXIF tags, where they have been taken out.
    coefficients : int
        Bytes that a JPEG in several scans takes before it is an image.
    """

    kind: str
    data: bytes
    size: int
    exif: bytes = b""
    coefficients: int = 0


def image_kind(first: bytes) -> str | None:
    """Pillow's name of an image file's format, from its first 18 bytes or more; None for anything else."""
    if first.startswith(_PNG):
        return "PNG"
    if first.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if first.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if first.startswith(b"RIFF") and first[8:12] == b"WEBP":
        return "WEBP"
    if first.startswith(b"BM") and int.from_bytes(first[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if first[:2] in (b"P4", b"P5", b"P6") and first[2:3].isspace():
        return "PPM"
    return None


def read_encoded(path: str) -> Encoded:
    """Read an image file, and take out what says nothing of its pixels.

    Raises
    ------
    UnreadableError
        Where there is no image file, or it ends too early.
    """
    data = _contents(path)
    kind = image_kind(data)
    if kind is None:
        raise UnreadableError(_no_image(data))
    if kind == "PNG":
        return _png(data)
    if kind == "JPEG":
        return _jpeg(data)
    return Encoded(kind, data, len(data))


def orientation(exif: bytes) -> int:
    """How EXIF says that an image is turned, from 1 (not at all) to 8; 1 where it says nothing."""
    tags = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tags[:4])
    if order is None or len(tags) < 8:
        return 1
    start = struct.unpack_from(f"{order}I", tags, 4)[0]
    if start + 2 > len(tags):
        return 1
    count = struct.unpack_from(f"{order}H", tags, start)[0]
    for place in range(start + 2, min(start + 2 + 12 * count, len(tags) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tags, place)
        if tag == _ORIENTATION:
            return int(value) if kind == _SHORT and 1 <= value <= 8 else 1
    return 1


def webp_size(data: bytes) -> tuple[int, int] | None:
    """The width and height that a WebP file declares, for which its decoder makes room at once."""
    first = data[12:16]
    if first == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if first == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if first == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def reason(error: OSError | ValueError) -> str:
    """Why a file or folder cannot be reached; a ValueError is Python's word for what none can be called."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "no file has such a name"


def _contents(path: str) -> bytes:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its writer
            raise UnreadableError("is no regular file")
        if status.st_size > _LARGEST:
            raise UnreadableError(f"is larger than {_LARGEST >> 20} MB, which no image for training is")
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read: {reason(error)}") from None
    if not data:
        raise UnreadableError("is empty")
    return data


def _no_image(data: bytes) -> str:
    """What a file is that is of no kind that is read."""
    if data[4:8] == b"ftyp":
        return "is HEIC or AVIF, which is not read: save it as PNG or JPEG"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "is TIFF, which is not read: save it as PNG"
    if data[:2] in (b"P1", b"P2", b"P3") and data[2:3].isspace():
        return "holds its pixels as text, which is not read: save it as PNG"
    return f"is no image: {KINDS} are read"


def _png(data: bytes) -> Encoded:
    """Keep a PNG's chunks that are critical, and the one of transparency."""
    kept, exif, form, place = [_PNG], b"", b"", len(_PNG)
    while True:
        if place + 12 > len(data):
            raise UnreadableError("is cut short")
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if not name.isalpha():
            raise UnreadableError("is damaged")
        if end > len(data):
            raise UnreadableError("is cut short")
        if name == b"iCCP" and not _is_profile(data[place + 8 : place + 89]):
            raise UnreadableError("is damaged")
        if name == b"eXIf":
            exif = data[place + 8 : end - 4]
        elif name == b"tRNS":
            kept.append(_transparency(data[place:end], form))
        elif name[:1].isupper():
            kept.append(data[place:end])
        if name == b"IHDR":
            form = data[place + 16 : place + 18]
        if name == b"IEND":
            return Encoded("PNG", b"".join(kept), len(data), exif)
        place = end


def _transparency(chunk: bytes, form: bytes) -> bytes:
    """A PNG's chunk of transparency as Pillow takes it, from its bits a sample and kind of colour.

    Pillow scales greys of 2 and 4 bits to bytes, and the one that is transparent has to be scaled with them.
    Of colours of 16 bits it keeps the higher bytes, by which the transparent one cannot be told.
    """
    if form == _COLOUR_16:
        return b""
    factor = _GREY_FACTORS.get(form)
    if factor is None or len(chunk) != 14:
        return chunk
    grey = int.from_bytes(chunk[8:10], "big") % (_LARGEST_BYTE // factor + 1)
    content = b"tRNS" + (factor * grey).to_bytes(2, "big")
    return chunk[:4] + content + zlib.crc32(content).to_bytes(4, "big")


def _is_profile(first: bytes) -> bool:
    """Whether a colour profile, after its name, is compressed in the only way there is."""
    return first.partition(b"\0")[2][:1] == b"\0"


def _jpeg(data: bytes) -> Encoded:
    """Keep what libjpeg needs of a JPEG file, which is little of what stands before its first scan."""
    kept, exif, place, frame = [data[:2]], b"", 2, b""
    is_progressive = False
    while True:
        place = data.find(b"\xff", place)
        while place >= 0 and data[place + 1 : place + 2] == b"\xff":  # markers may be padded
            place += 1
        if place < 0 or place + 4 > len(data):
            raise UnreadableError("is cut short")
        marker = data[place + 1]
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:  # these have no length
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if end > len(data):
            raise UnreadableError("is cut short")
        segment = data[place + 4 : end]
        if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            exif = exif or segment
        elif marker < 0xE0 or marker in (0xE0, 0xEE):  # JFIF and Adobe say what the colours are
            kept.append(data[place:end])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame, is_progressive = segment, marker in (0xC2, 0xC6, 0xCA, 0xCE)
        if marker == 0xDA:
            kept.append(data[end:])
            break
        place = max(end, place + 2)
    if data.count(b"\xff\xda", place) > _MOST_SCANS:
        raise UnreadableError(f"has more than {_MOST_SCANS} scans")
    in_one_scan = not is_progressive and len(frame) > 5 and segment[:1] == frame[5:6]
    coefficients = 0 if in_one_scan else _coefficients(frame)
    return Encoded("JPEG", b"".join(kept), len(data), exif, coefficients)


def _coefficients(frame: bytes) -> int:
    """Bytes of all coefficients of a JPEG image, of two bytes each."""
    if len(frame) < 6:
        return 0
    height, width = struct.unpack_from(">HH", frame, 1)
    samplings = [(value >> 4, value & 15) for value in frame[7::3]]
    largest = max((across for across, _ in samplings), default=0) * max(
        (down for _, down in samplings), default=0
    )
    if not largest:
        return 0
    return int(2 * height * width * sum(across * down for across, down in samplings) // largest)
