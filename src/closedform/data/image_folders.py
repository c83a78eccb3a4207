"""Folders of images: which files there are, of which class and part."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from closedform.data.image_files import KINDS, SUFFIXES, reason
from closedform.errors import DataError

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")  # the first that is there is taken
PARTS = _TRAIN + _TEST
_IGNORED = ("__macosx", "thumbs.db", "desktop.ini")
_OTHER_SUFFIXES = (
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
)  # images that are not read, which is worth saying


@dataclass(frozen=True)
class ImageFile:
    """A file that should hold an image.

    Attributes
    ----------
    path : str
        Where it is.
    name : str
        Its path in the folder, in signs that can be printed.
    label : int
        The position of its class, from 0.
    """

    path: str
    name: str
    label: int = 0


@dataclass(frozen=True)
class Layout:
    """The files of a folder of images in their parts; `test` is None where there is no such part.

    `remarks` has a sentence for each thing that is left out.
    """

    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...] | None
    remarks: tuple[str, ...]


def shown(name: str) -> str:
    """A file's name with what cannot be printed escaped."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in name
    )


def is_image_name(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return name.lower().endswith(SUFFIXES + _OTHER_SUFFIXES)


def listing(folder: str) -> tuple[list[str], list[str]]:
    """The folders and the other files in a folder, sorted, without hidden ones and what systems leave behind.

    Raises
    ------
    DataError
        Where the folder cannot be read.
    """
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
                    continue
                (folders if _leads_to_folder(entry) else files).append(entry.name)
    except FileNotFoundError:
        raise DataError(f"{shown(folder)}: there is no such folder") from None
    except NotADirectoryError:
        raise DataError(
            f"{shown(folder)}: is a file: expected a folder that has one folder of images for each class"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(folder)}: cannot be read: {reason(error)}") from None
    return sorted(folders), sorted(files)


def images_below(folder: str) -> list[str]:
    """The paths of all images in a folder at any depth, sorted; no folder is read twice."""
    open_folders = [""]
    seen: set[tuple[int, int]] = set()
    found = []
    while open_folders:
        inner = open_folders.pop()
        place = os.path.join(folder, inner) if inner else folder
        folders, files = listing(place)
        identity = _identity(place)
        if identity in seen:
            continue
        seen.add(identity)
        found += [f"{inner}/{name}" if inner else name for name in files if is_image_name(name)]
        open_folders += [f"{inner}/{name}" if inner else name for name in reversed(folders)]
    return sorted(found, key=lambda name: name.split("/"))


def layout(folder: str) -> Layout:
    """The files of a folder of images, of which every class has at least one.

    Raises
    ------
    DataError
        Where the folder has no classes, one only, an empty one, or a test part with classes of its own.
    """
    folders, files = listing(folder)
    train = _part(folders, _TRAIN)
    tests = [name for name in (_part(folders, (word,)) for word in _TEST) if name]
    others = [name for name in folders if name != train and name not in tests]
    if not train and tests and not others and any(listing(os.path.join(folder, each))[0] for each in tests):
        raise DataError(f"{shown(folder)}: has {tests[0]} but no train: name the folder to train on train")
    if not train or (others and not tests) or not listing(os.path.join(folder, train))[0]:
        classes, images, strays = _classes(folder, "")
        return Layout(_two(folder, classes), images, None, _stray(strays, ""))

    classes, images, strays = _classes(folder, train)
    _two(os.path.join(folder, train), classes)
    remarks = _stray(filter(is_image_name, files), "") + _stray(strays, train)
    remarks += tuple(f"{shown(name)}: is no part that is read, as train and test are" for name in others)
    remarks += tuple(f"{shown(name)}: is not read, as {shown(tests[0])} is there" for name in tests[1:])
    if not tests:
        return Layout(classes, images, None, remarks)
    test_classes, test_images, strays = _classes(folder, tests[0])
    strange = [name for name in test_classes if name not in classes]
    if strange:
        raise DataError(_strange(os.path.join(folder, tests[0]), train, strange))
    labels = [classes.index(name) for name in test_classes]
    relabelled = tuple(ImageFile(each.path, each.name, labels[each.label]) for each in test_images)
    return Layout(classes, images, relabelled, remarks + _stray(strays, tests[0]))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _part(folders: Iterable[str], words: tuple[str, ...]) -> str | None:
    """The folder that has one of these names, in capitals or not."""
    return next((name for word in words for name in folders if name.lower() == word), None)


def _classes(folder: str, part: str) -> tuple[tuple[str, ...], tuple[ImageFile, ...], list[str]]:
    """The classes of a part, their images, and images that lie beside the classes."""
    place = os.path.join(folder, part) if part else folder
    folders, files = listing(place)
    strays = [name for name in files if is_image_name(name)]
    if not folders:
        raise DataError(_no_classes(place, strays))
    images = []
    for label, name in enumerate(folders):
        inside = os.path.join(place, name)
        names = images_below(inside)
        if not names:
            raise DataError(_empty_class(inside))
        before = f"{part}/{name}" if part else name
        images += [
            ImageFile(os.path.join(inside, *each.split("/")), shown(f"{before}/{each}"), label)
            for each in names
        ]
    return tuple(map(shown, folders)), tuple(images), strays


def _two(place: str, classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(classes) < 2:
        raise DataError(
            f"{shown(place)}: has one class only, {classes[0]}: at least two are needed, each in a folder of "
            f"its own"
        )
    return classes


def _stray(names: Iterable[str], part: str) -> tuple[str, ...]:
    before = f"{part}/" if part else ""
    return tuple(f"{shown(before + name)}: lies outside the folders of the classes" for name in names)


def _no_classes(place: str, images: list[str]) -> str:
    ways = "such as cat/1.png and dog/1.png"
    if not images:
        return f"{shown(place)}: holds no images: expected a folder of images for each class, {ways}"
    held = f"{len(images)} images" if len(images) > 1 else "one image"
    mend = f"put each class's images into a folder of its own, {ways}"
    return f"{shown(place)}: holds {held} and no folders: {mend}"


def _empty_class(place: str) -> str:
    folders, files = listing(place)
    if files:
        return f"{shown(place)}: has no image, only files such as {shown(files[0])}: {KINDS} are read"
    if folders:
        return (
            f"{shown(place)}: has folders but no image: put images of the class there, or remove the folder"
        )
    return f"{shown(place)}: is empty: put images of the class there, or remove the folder"


def _strange(place: str, train: str, names: list[str]) -> str:
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    classes, they = ("the class", "it") if len(names) == 1 else ("the classes", "them")
    return (
        f"{shown(place)}: has {classes} {listed}, which {shown(train)} lacks: give {they} a folder in "
        f"{shown(train)}, or remove {they} from here"
    )
