"""Data from any source: what a file or folder holds is known by its content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closedform.data.dataset import Array, DataSet, Inputs
from closedform.data.foreign import HEAD, is_pickle, is_text, refuse_foreign
from closedform.data.opened import Source, opened, sizes
from closedform.errors import DataError, SettingError

ImageSize = int | tuple[int, int] | None

COLOR_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
"""How many channels an image has in each colour mode."""


def load_data(
    path: str | os.PathLike[str],
    *,
    image_size: ImageSize = None,
    color_mode: str | None = None,
    strict: bool = False,
) -> DataSet:
    """Labelled images from a file or folder, whose kind is known by its content.

    ====================  ==============================================================================
    IDX                   a folder with MNIST's four files, or one of them: the others are found beside it
    CIFAR-10, CIFAR-100   the binary version: a folder with its files, or one file of records
    npz                   x_train, y_train and, if it has them, x_test, y_test; or x, y
    CSV                   a row of pixels for each image, with its label; or a folder with train.csv, test.csv
    folder of images      a folder for each class, in train and test where these are there
    ====================  ==============================================================================

    Every file may be compressed by gzip or xz.  A large file that is not compressed is mapped rather than
    read (IDX, CIFAR in one file, arrays stored in npz), so that a set may be larger than memory.

    Parameters
    ----------
    path
        The file or folder.
    image_size
        (height, width) in pixels, or one number for both: to what images from a folder are scaled, or how a
        row of a CSV file is divided, which is square without it.
    color_mode
        "grayscale", "rgb" or "rgba": to what images from a folder are turned, or how many numbers of a CSV
        file are one pixel; those of a pixel stand side by side.
    strict
        Whether an image that cannot be read is an error.  It is left out otherwise.

    Returns
    -------
    DataSet
        Images of shape (N, C, H, W), uint8, or float32 where the source holds other numbers than 0 to 255.

    Raises
    ------
    DataError
        Where the data cannot be read or make no set to train on; it names the file and the place in it.
    SettingError
        For an image size or colour mode that there is none of.
    """
    size, place = _wanted_size(image_size, color_mode), _place(path)
    with _in_memory(place):
        if place.is_dir():
            data = _from_folder(place, str(path), size, color_mode, strict)
        else:
            data = _from_file(place, str(path), size, color_mode)
    _check_wanted(data.x_train, str(path), size, color_mode)
    return data


def read_inputs(
    path: str | os.PathLike[str],
    *,
    image_size: ImageSize = None,
    color_mode: str | None = None,
    strict: bool = False,
) -> Inputs:
    """Images to predict the classes of: one image, a folder of images, or a file or folder of data.

    Of data in two parts, those to test on are taken; of npz, `x`, else `x_test`, else `x_train`.

    Parameters
    ----------
    path, image_size, color_mode, strict
        As for `load_data`.

    Returns
    -------
    Inputs
        Images of shape (N, C, H, W), and their labels where the source has them.

    Raises
    ------
    DataError
        Where the data cannot be read; it names the file and the place in it.
    SettingError
        For an image size or colour mode that there is none of.
    """
    size, place = _wanted_size(image_size, color_mode), _place(path)
    with _in_memory(place):
        if place.is_dir():
            inputs = _inputs_from_folder(place, size, color_mode, strict)
        else:
            inputs = _inputs_from_file(place, size, color_mode, strict)
    _check_wanted(inputs.x, str(path), size, color_mode)
    return inputs


def kind_of(source: Source) -> str:
    """What a file holds: "idx", "npz", "image", "csv" or, for any other bytes, "cifar".

    Raises
    ------
    DataError
        For a file of a known kind that is not read.
    """
    from closedform.data.idx import has_idx_magic
    from closedform.data.images import is_image

    head = source.head(HEAD)
    if not head:
        raise DataError(f"{source.path}: is empty once it is unpacked")
    if has_idx_magic(head):
        return "cifar" if _may_be_cifar(source, head) else "idx"
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "npz"
    if is_image(head):
        return "image"
    refuse_foreign(source, head)
    return "csv" if is_text(head) else "cifar"


def _may_be_cifar(source: Source, head: bytes) -> bool:
    """Whether a file that begins as IDX does is CIFAR: a record with label 0 and two dark pixels does too."""
    from closedform.data.cifar import layout_of
    from closedform.data.idx import read_header

    if source.compression or layout_of(source.stored, head) is None:
        return False
    return head[3] > 4 or read_header(source).bytes != source.stored


def _from_file(path: Path, source: str, size: tuple[int, int] | None, color_mode: str | None) -> DataSet:
    from closedform.data import arrays, cifar, idx, table

    kind = kind_of(opened(path))
    if kind == "idx":
        return idx.read_idx(path, source)
    if kind == "npz":
        return arrays.read_npz(path, source)
    if kind == "csv":
        return table.read_csv(path, source, size, color_mode)
    if kind == "image":
        raise DataError(f"{path}: is one image: to train on, name a folder that has a folder for each class")
    return cifar.read_cifar_file(path, source)


def _from_folder(
    path: Path, source: str, size: tuple[int, int] | None, color_mode: str | None, strict: bool
) -> DataSet:
    from closedform.data import cifar, idx, table
    from closedform.data.images import is_image_folder, read_image_folder

    names = _listing(path)
    if idx.is_idx_folder(names):
        return idx.read_idx(path, source)
    if cifar.is_cifar_folder(names):
        return cifar.read_cifar_folder(path, source)
    if table.is_csv_folder(names):
        return table.read_csv_folder(path, source, size, color_mode)
    if not is_image_folder(path):
        _refuse_folder(path, names)
    return read_image_folder(path, image_size=size, color_mode=color_mode, strict=strict)


def _inputs_from_file(
    path: Path, size: tuple[int, int] | None, color_mode: str | None, strict: bool
) -> Inputs:
    from closedform.data import arrays, cifar, idx, table
    from closedform.data.images import read_image_inputs

    kind = kind_of(opened(path))
    if kind == "idx":
        return idx.read_idx_inputs(path)
    if kind == "npz":
        return arrays.read_npz_inputs(path)
    if kind == "csv":
        return table.read_csv_inputs(path, size, color_mode)
    if kind == "image":
        return read_image_inputs(path, image_size=size, color_mode=color_mode, strict=strict)
    return cifar.read_cifar_inputs(path)


def _inputs_from_folder(
    path: Path, size: tuple[int, int] | None, color_mode: str | None, strict: bool
) -> Inputs:
    from closedform.data import cifar, idx, table
    from closedform.data.images import is_image_folder, read_image_inputs

    names = _listing(path)
    if idx.is_idx_folder(names):
        return _part_to_test(idx.read_idx(path, str(path)))
    if cifar.is_cifar_folder(names):
        return _part_to_test(cifar.read_cifar_folder(path, str(path)))
    if table.is_csv_folder(names):
        return table.read_csv_inputs(table.csv_to_predict(path), size, color_mode)
    if not is_image_folder(path):
        _refuse_folder(path, names)
    return read_image_inputs(path, image_size=size, color_mode=color_mode, strict=strict)


def _part_to_test(data: DataSet) -> Inputs:
    x, y, part = data.x_test, data.y_test, "test"
    if x is None:
        x, y, part = data.x_train, data.y_train, "train"
    return Inputs(x, tuple(f"{part}[{k}]" for k in range(len(x))), y, data.classes, data.left_out)


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None


def _refuse_folder(folder: Path, names: list[str]) -> None:
    """Say why a folder without any data that are read is none."""
    if not names:
        raise DataError(f"{folder}: is an empty folder")
    for name in names:
        path = folder / name
        if path.is_file() and path.stat().st_size and is_pickle(head := opened(path).head(HEAD)):
            refuse_foreign(opened(path), head)
    inside = [name for name in names if (folder / name).is_dir()]
    shown = f"{', '.join(names[:6])}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"
    mend = "name a file in it" if not inside else f"name what is inside, as in {folder / inside[0]}"
    raise DataError(
        f"{folder}: is no folder of data, it holds {shown}: expected MNIST's files, CIFAR's binary files, "
        f"train.csv, or a folder of images for each class; or {mend}"
    )


def _place(path: str | os.PathLike[str]) -> Path:
    place = Path(path)
    if not os.path.exists(place):
        raise DataError(f"{path}: there is no such file or folder{_nearest(place)}")
    return place


def _nearest(path: Path) -> str:
    """The name beside it that is most like a missing one."""
    from difflib import get_close_matches

    parent = path.parent
    try:
        found = get_close_matches(path.name, os.listdir(parent), 1)
    except (OSError, ValueError):
        return ""
    return f"; did you mean {parent / found[0]}?" if found else ""


@contextmanager
def _in_memory(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise DataError(
            f"{path}: does not fit into memory: save it uncompressed as IDX or numpy.savez, which is "
            f"not read whole"
        ) from None


def _wanted_size(image_size: ImageSize, color_mode: str | None) -> tuple[int, int] | None:
    if color_mode is not None and color_mode not in COLOR_CHANNELS:
        raise SettingError(
            f"color_mode must be {', '.join(map(repr, COLOR_CHANNELS))} or None, got {color_mode!r}"
        )
    if image_size is None:
        return None
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    good = isinstance(size, tuple | list) and len(size) == 2
    if not good or any(not isinstance(side, int) or isinstance(side, bool) or side < 1 for side in size):
        raise SettingError(
            f"image_size must be (height, width) in pixels, or one number for both, got {image_size!r}"
        )
    return size[0], size[1]


def _check_wanted(x: Array, where: str, size: tuple[int, int] | None, color_mode: str | None) -> None:
    """Refuse a wish that only folders of images and CSV can fulfil."""
    if size is not None and x.shape[2:] != size:
        raise DataError(
            f"{where}: its images have {sizes(x.shape[2:])} pixels, image_size asks for {sizes(size)}: only "
            f"images from a folder are scaled"
        )
    channels = x.shape[1]
    if color_mode is not None and channels != (wanted := COLOR_CHANNELS[color_mode]):
        raise DataError(
            f"{where}: its images have {channels} channel{'s' * (channels > 1)}, color_mode={color_mode!r} "
            f"asks for {wanted}: only images from a folder are turned into others"
        )
