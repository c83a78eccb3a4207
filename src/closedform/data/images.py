"""Folders of images: a folder for each class, and PNG, JPEG, BMP, GIF, WebP, PPM, PGM or PBM files in it."""

from __future__ import annotations

import os
from collections import Counter
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from closedform.data.dataset import DataSet, Inputs
from closedform.data.image_files import image_kind
from closedform.data.image_folders import PARTS, ImageFile, images_below, layout, shown
from closedform.data.image_pixels import CHANNELS, Form, Header, need_pillow, read_header, read_pixels
from closedform.data.image_reading import Reading
from closedform.errors import DataError, SettingError

PathLike = str | os.PathLike[str]
ImageSize = int | tuple[int, int] | None
Array = NDArray[np.uint8]
Labels = NDArray[np.int64]

_LARGEST_SIDE = 4096
_LARGEST_SHARED = 256  # photographs that happen to share a larger size are made smaller
_SMALL_SIDE, _SIDE = 32, 64
_FEW = 20  # one in so many is few


def is_image(first: bytes) -> bool:
    """Whether a file whose first bytes (18 or more) these are is an image that is read."""
    return image_kind(first) is not None


def is_image_folder(path: PathLike) -> bool:
    """Whether a path is a folder that holds images, at any depth.

    Raises
    ------
    DataError
        Where a folder in it cannot be read.
    """
    place = os.fspath(path)
    return os.path.isdir(place) and bool(images_below(place))


def read_image_folder(
    path: PathLike, *, image_size: ImageSize = None, color_mode: str | None = None, strict: bool = False
) -> DataSet:
    """Labelled images from a folder that has one folder for each class.

    The classes are the folders' names, sorted; their images, at any depth, are sorted by name.  Where the
    folder has ``train``, that part is trained on, and ``test`` (or ``val``, ``valid``, ``validation``) is
    tested on.  Hidden files are ignored.

    An image is turned as its EXIF tag says; of an animation the first image is taken.  16 bits a sample are
    scaled to 8.  The middle of an image, of the largest part that has the wanted proportions, is scaled to
    the wanted size, bilinear and with antialiasing.  What is transparent lies on white, but for the one
    colour that a PNG of 16 bits a sample may declare so.  Colour profiles are not applied.

    Parameters
    ----------
    path
        The folder.
    image_size
        (height, width) in pixels, or one number for both.  Without it, images that all have one size of at
        most 256 × 256 keep it, and others become 64 × 64, or 32 × 32 where most are smaller than that.
    color_mode
        "grayscale", "rgb" or "rgba".  Without it, "grayscale" where no image has a colour, and "rgb"
        elsewhere.
    strict
        Whether a file that cannot be read is an error.  It is left out otherwise.

    Returns
    -------
    DataSet
        Images of shape (N, C, H, W), uint8, and in `left_out` a sentence for each file that is left out.

    Raises
    ------
    DataError
        Where the folder is not laid out so, or a class has no image that can be read; with `strict` for the
        first file that would be left out.
    SettingError
        For an image size or colour mode that there is none of.
    MissingError
        Where Pillow is not installed.

    Notes
    -----
    Whatever a file declares, decoding it takes no more than 54 MB and three times its size.  That is always
    enough for 13 million pixels in PNG and BMP, for 3 million in WebP and 9 million in progressive JPEG, and
    for hundreds of millions in other JPEG, which is decoded at a fraction of its size; a file of more bytes
    may have more pixels.  A file that would take more is one that cannot be read.
    """
    root = os.fspath(path)
    size = _size(image_size)
    _check_mode(color_mode)
    need_pillow()
    found = layout(root)
    with Reading(root, strict) as reading:
        for remark in found.remarks:
            reading.leave_out(remark)
        files, x = _images(reading, (*found.train, *(found.test or ())), size, color_mode)
    trained = set(found.train)
    count = sum(each in trained for each in files)
    labels = np.array([each.label for each in files], dtype=np.int64)
    names = tuple(each.name for each in files)
    _check_parts(root, found.classes, labels[:count], reading.left_out)
    if found.test is None:
        return _data_set(path, found.classes, reading, (x, labels, names))
    if count == len(files):
        raise DataError(f"{shown(root)}: no image to test on can be read; {reading.left_out[-1]}")
    parts = (x[:count], labels[:count], names[:count]), (x[count:], labels[count:], names[count:])
    return _data_set(path, found.classes, reading, *parts)


def read_image_inputs(
    path: PathLike, *, image_size: ImageSize, color_mode: str | None, strict: bool = False
) -> Inputs:
    """Images to predict: one file, or all in a folder at any depth, sorted by name.

    Every image is brought to the wanted form as `read_image_folder` does it.  Where all lie in folders, in
    parts such as ``train`` and ``test`` or without, the folders' names are taken for their classes.

    Returns
    -------
    Inputs
        Images of shape (N, C, H, W), uint8.

    Raises
    ------
    DataError
        Where there is no image, or none that can be read; with `strict` for the first that cannot.
    SettingError
        For an image size or colour mode that there is none of.
    MissingError
        Where Pillow is not installed.
    """
    root = os.fspath(path)
    size = _size(image_size)
    _check_mode(color_mode)
    need_pillow()
    if not os.path.isdir(root) and os.path.lexists(root):
        alone = ImageFile(root, shown(os.path.basename(root)))
        with Reading(os.path.dirname(root), strict=True) as reading:
            x = _images(reading, (alone,), size, color_mode)[1]
        return Inputs(x, (alone.name,))
    names = images_below(root)
    if not names:
        raise DataError(f"{shown(root)}: holds no images")
    places = [os.path.join(root, *name.split("/")) for name in names]
    classes, labels = _folder_classes(names)
    found = tuple(
        ImageFile(place, shown(name), label) for place, name, label in zip(places, names, labels, strict=True)
    )
    with Reading(root, strict) as reading:
        files, x = _images(reading, found, size, color_mode)
    y = np.array([each.label for each in files], dtype=np.int64) if classes else None
    return Inputs(x, tuple(each.name for each in files), y, classes, reading.sentences())


def _images(
    reading: Reading, files: tuple[ImageFile, ...], size: tuple[int, int] | None, color_mode: str | None
) -> tuple[tuple[ImageFile, ...], Array]:
    """The files that can be read, and their images (N, C, H, W)."""
    count, mode = len(files), color_mode
    if size is None or mode is None:
        headers = reading.each(files, read_header)
        if headers and size is None:
            headers, size = _common_size(reading, headers)
        files = tuple(file for file, _ in headers)
        mode = mode or ("grayscale" if all(header.is_grey for _, header in headers) else "rgb")
    if files and size is not None:
        form = Form(*size, mode)
        images = reading.array(
            files, (CHANNELS[mode], *size), lambda path: read_pixels(path, form, reading.room)
        )
        files, x = images
        if files:
            return files, x[:, :1].copy() if color_mode is None and mode == "rgb" and _is_grey(x) else x
    held = f"none of the {count} images can" if count > 1 else "its one image cannot"
    raise DataError(f"{shown(reading.root)}: {held} be read; {reading.left_out[-1]}")


def _common_size(
    reading: Reading, headers: list[tuple[ImageFile, Header]]
) -> tuple[list[tuple[ImageFile, Header]], tuple[int, int]]:
    """The size of all images where they have one, or a usual one; and the headers that can be trusted.

    Where few have another size than the rest, their headers may be damaged: these are decoded first.
    """
    sizes = Counter((header.height, header.width) for _, header in headers)
    usual = sizes.most_common(1)[0][0]
    strange = [file for file, header in headers if (header.height, header.width) != usual]
    if 0 < len(strange) <= len(headers) // _FEW:
        form = Form(1, 1, "grayscale")
        sound = {
            file for file, _ in reading.each(strange, lambda path: read_pixels(path, form, reading.room))
        }
        headers = [each for each in headers if each[0] in sound or each[0] not in strange]
        sizes = Counter((header.height, header.width) for _, header in headers)
    if len(sizes) == 1 and max(usual) <= _LARGEST_SHARED:
        return headers, usual
    short = median_low([min(header.height, header.width) for _, header in headers])
    side = _SIDE if short >= _SIDE else _SMALL_SIDE
    return headers, (side, side)


def _is_grey(x: Array) -> bool:
    """Whether three channels are the same in every image."""
    return all(bool((image[:1] == image[1:]).all()) for image in x)


def _folder_classes(names: list[str]) -> tuple[tuple[str, ...] | None, list[int]]:
    """The classes that folders say, and each image's label; None where an image lies in no folder."""
    places = [name.split("/") for name in names]
    depth = 1 if all(place[0].lower() in PARTS and len(place) > 2 for place in places) else 0
    if any(len(place) < depth + 2 for place in places):
        return None, [0] * len(names)
    classes = sorted({place[depth] for place in places})
    positions = {name: label for label, name in enumerate(classes)}
    return tuple(map(shown, classes)), [positions[place[depth]] for place in places]


def _data_set(
    path: PathLike,
    classes: tuple[str, ...],
    reading: Reading,
    train: tuple[Array, Labels, tuple[str, ...]],
    test: tuple[Array, Labels, tuple[str, ...]] | tuple[None, None, None] = (None, None, None),
) -> DataSet:
    return DataSet(
        x_train=train[0],
        y_train=train[1],
        x_test=test[0],
        y_test=test[1],
        classes=classes,
        kind="folder of images",
        source=str(path),
        left_out=reading.sentences(),
        names_train=train[2],
        names_test=test[2],
    )


def _check_parts(root: str, classes: tuple[str, ...], labels: Labels, left_out: list[str]) -> None:
    """Every class needs an image to learn from."""
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        name = classes[int(np.flatnonzero(counts == 0)[0])]
        first = next(sentence for sentence in left_out if f"{name}/" in sentence)
        raise DataError(f"{shown(root)}: no image of the class {name} can be read; {first}")


def _size(image_size: ImageSize) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(sides) != 2 or not all(_is_side(side) for side in sides):
        raise SettingError(
            f"image_size must be a height and a width from 1 to {_LARGEST_SIDE} pixels, or one number for "
            f"both, got {image_size!r}"
        )
    return int(sides[0]), int(sides[1])


def _is_side(side: object) -> bool:
    if isinstance(side, bool) or not isinstance(side, int | np.integer):
        return False
    return 1 <= int(side) <= _LARGEST_SIDE


def _check_mode(color_mode: str | None) -> None:
    if color_mode is not None and color_mode not in CHANNELS:
        raise SettingError(f'color_mode must be "grayscale", "rgb" or "rgba", got {color_mode!r}')
