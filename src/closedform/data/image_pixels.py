"""Images from files: decoded by Pillow, turned upright, brought to one size and one set of channels."""

from __future__ import annotations

import math
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.image_files import Encoded, UnreadableError, orientation, read_encoded, webp_size
from closedform.errors import MissingError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[np.uint8]

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_ROOM = 54_000_000  # bytes that a file of no size may unpack to, and that all threads have together
_BAND = 1 << 20  # pixels that are converted at once
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_SLOW_BYTES = 24  # a pixel where Pillow decodes in Python: a bound for the time rather than for the memory
_WEBP_BYTES = 16  # a pixel: two canvases of the decoder, a copy, and the image
_MOST_PIXELS = {"BMP": 128, "GIF": 4096, "PNG": 8 * 1032, "PPM": 8}  # that a byte of a file can stand for
_BILLIONS = 1 << 31
_WHITE = 255


@dataclass(frozen=True)
class Form:
    """What all images are brought to: a height and a width in pixels, and a colour mode in Keras's words."""

    height: int
    width: int
    color_mode: str


@dataclass(frozen=True)
class Header:
    """What an image file says of itself: its size when it stands upright, and whether it holds grey only."""

    height: int
    width: int
    is_grey: bool


class Room:
    """Memory that threads share: what one asks for it waits for, and more than all there is goes alone."""

    def __init__(self, limit: int = _ROOM):
        self._limit, self._taken, self._changed = limit, 0, threading.Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Wait until there is room for so many bytes, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + count <= self._limit)
            self._taken += count
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()


def need_pillow() -> None:
    """Import what Pillow reads images with, before threads do; a MissingError where it is not installed."""
    try:
        for kind in ("Bmp", "Gif", "Jpeg", "Png", "Ppm", "WebP"):
            import_module(f"PIL.{kind}ImagePlugin")
    except ImportError:
        raise MissingError("images need Pillow, which is not installed: pip install Pillow") from None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings to itself: what is wrong with a file becomes a sentence of ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def read_header(path: str) -> Header:
    """What an image file says of itself, with nothing decoded.

    Raises
    ------
    UnreadableError
        Where the file is no image, or its header is damaged.
    """
    encoded = read_encoded(path)
    image = _opened(encoded)
    width, height = image.size
    if _turn(encoded, image) >= 5:
        width, height = height, width
    is_grey = image.mode in _GREY_MODES
    return Header(height, width, is_grey)


def read_pixels(path: str, form: Form, room: Room) -> Array:
    """An image of the wanted form.

    The first image of an animation is taken.  The middle of the largest part that has the wanted proportions
    is scaled, bilinear and with antialiasing.  Transparent parts lie on white, unless there is an alpha
    channel to hold them.  16 bits a sample become 8 by scaling; of colours the higher byte is taken, and one
    colour that a PNG of 16 bits declares transparent is not.

    Returns
    -------
    array of uint8
        Shape (C, H, W).

    Raises
    ------
    UnreadableError
        Where the file cannot be decoded, or declares more pixels than a file of its size may.
    """
    encoded = read_encoded(path)
    image = _opened(encoded)
    turn = _turn(encoded, image)
    height, width = (form.width, form.height) if turn >= 5 else (form.height, form.width)
    mode = _MODES[form.color_mode]
    declared = image.size
    # a JPEG is decoded to as little as 1/8 of its size at once
    image.draft("L" if mode == "L" else None, (2 * width, 2 * height))
    need = _memory(encoded, image)
    if need > _allowed(encoded):
        raise UnreadableError(_sides_too_large(declared, encoded))
    with room.taken(need):
        _load(image)
        fitted = _fitted(image, width, height, mode)
        image.close()
    return _array(_upright(fitted, turn), mode)


def _opened(encoded: Encoded) -> Image:
    """Pillow's image of which nothing is decoded yet."""
    import io

    from PIL import Image

    if encoded.kind == "WEBP":
        size = webp_size(encoded.data)
        if size and _WEBP_BYTES * size[0] * size[1] > _allowed(encoded):
            raise UnreadableError(_sides_too_large(size, encoded))
    try:
        image = Image.open(io.BytesIO(encoded.data), formats=(encoded.kind,))
    except Image.DecompressionBombError as error:
        found = re.search(r"(\d+) pixels", str(error))
        count = int(found[1]) if found else _BILLIONS
        raise UnreadableError(_too_large(f"{count:,}" if found else "billions of", count, encoded)) from None
    except Exception as error:  # Pillow lets out whatever a damaged file makes its parsers raise
        raise UnreadableError(_damage(error)) from None
    if image.mode == "F":
        raise UnreadableError("holds floating-point numbers, which is not read: save it as PNG")
    return image


def _load(image: Image) -> None:
    try:
        image.load()
    except MemoryError:
        raise UnreadableError("does not fit into the memory that is free") from None
    except Exception as error:  # Pillow lets out whatever a damaged file makes its decoders raise
        raise UnreadableError(_damage(error)) from None


def _damage(error: Exception) -> str:
    is_short = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return "is cut short" if is_short else "is damaged"


def _memory(encoded: Encoded, image: Image) -> int:
    """Bytes that decoding takes at its peak."""
    width, height = image.size
    each = _BYTES.get(image.mode, 4)
    tiles = getattr(image, "tile", None)
    decoder = tiles[0][0] if tiles else ""
    if decoder in ("bmp_rle", "ppm"):
        each = _SLOW_BYTES
    elif encoded.kind == "WEBP":
        each = _WEBP_BYTES
    elif encoded.kind == "GIF":
        each = 2  # what the next image of an animation begins with is made as well
    return width * height * each + encoded.coefficients


def _allowed(encoded: Encoded) -> int:
    """Bytes that a file may unpack to: with the file itself, within 4 times its size and 64 MB."""
    return _ROOM + 3 * encoded.size


def _too_large(declared: str, count: int, encoded: Encoded) -> str:
    most = _MOST_PIXELS.get(encoded.kind)
    if most is not None and count > most * encoded.size:
        return f"is damaged: it declares {declared} pixels, more than {encoded.size:,} bytes can hold"
    return (
        f"declares {declared} pixels, too many for a file of {encoded.size:,} bytes: make the image smaller, "
        f"or save it as a JPEG that is not progressive"
    )


def _sides_too_large(size: tuple[int, int], encoded: Encoded) -> str:
    width, height = size
    return _too_large(f"{width:,} × {height:,}", width * height, encoded)


def _turn(encoded: Encoded, image: Image) -> int:
    exif = encoded.exif or image.info.get("exif")
    return orientation(exif) if isinstance(exif, bytes) else 1


def _fitted(image: Image, width: int, height: int, mode: str) -> Image:
    """The middle of an image, scaled: RGBA where it has transparency, otherwise L or RGB."""
    from PIL import Image

    scale = min(image.width / width, image.height / height)
    across, down = width * scale, height * scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    outer = math.floor(left), math.floor(top), math.ceil(left + across), math.ceil(top + down)
    factor = max(1, int(scale / 2))  # at least two pixels are left for each, to scale with care
    small = _reduced(
        image, (outer[0], outer[1], min(outer[2], image.width), min(outer[3], image.height)), factor, mode
    )
    right, bottom = (left - outer[0] + across) / factor, (top - outer[1] + down) / factor
    box = (
        (left - outer[0]) / factor,
        (top - outer[1]) / factor,
        min(right, small.width),
        min(bottom, small.height),
    )
    return small.resize((width, height), Image.Resampling.BILINEAR, box)


def _reduced(image: Image, box: tuple[int, int, int, int], factor: int, mode: str) -> Image:
    """A part of an image in plain colours, 1/factor of its size; converted in bands, never whole."""
    from PIL import Image

    left, top, right, bottom = box
    rows = max(1, _BAND // (right - left) // factor) * factor
    small: Image.Image | None = None
    for start in range(top, bottom, rows):
        band = _plain(image.crop((left, start, right, min(start + rows, bottom))), mode)
        if factor > 1:
            band = band.reduce(factor)
        if start == top and start + rows >= bottom:
            return band
        if small is None:
            small = Image.new(band.mode, (band.width, math.ceil((bottom - top) / factor)))
        small.paste(band, (0, (start - top) // factor))
    if small is None:
        raise UnreadableError("has no pixels")
    return small


def _plain(image: Image, mode: str) -> Image:
    """RGBA where an image has transparency, L where grey is wanted, and RGB."""
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L" if mode == "L" else "RGB")


def _eight_bits(image: Image) -> Image:
    """16 bits a pixel scaled to 8: 65535 becomes 255."""
    from PIL import Image

    samples = np.asarray(image).clip(0, 65535).astype(np.uint32)
    grey = Image.fromarray(((samples + 128) // 257).astype(np.uint8))
    transparent: Any = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    alpha = Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))


def _upright(image: Image, turn: int) -> Image:
    from PIL.Image import Transpose

    methods = (
        None,
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    method = methods[turn - 1]
    return image if method is None else image.transpose(method)


def _array(image: Image, mode: str) -> Array:
    """A small image as an array (C, H, W); transparent parts lie on white where there is no alpha channel."""
    from PIL import Image

    if image.mode == "RGBA" and mode != "RGBA":
        white = Image.new("RGBA", image.size, (_WHITE, _WHITE, _WHITE, _WHITE))
        image = Image.alpha_composite(white, image)
    pixels: Array = np.asarray(image.convert(mode))
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)
