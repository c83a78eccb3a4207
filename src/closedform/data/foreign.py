"""Files of other kinds, known by their first bytes, each refused with the way to one that is read."""

from __future__ import annotations

import re

from closedform.data.opened import Source
from closedform.errors import DataError

HEAD = 4096
"""How many of a file's first bytes decide its kind."""

_SAVE = "read it with the library that wrote it, then numpy.savez('data.npz', x_train=..., y_train=...)"
_UNPACK = "unpack it first"
_BINARY = (
    "download the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, from "
    "https://www.cs.toronto.edu/~kriz/cifar.html and unpack it"
)
_PICKLE = "a pickle, which can run any program when it is read, and is never read"

_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"\x93NUMPY",
        "one NumPy array",
        "save images and labels together: numpy.savez('data.npz', x_train=x, y_train=y)",
    ),
    (b"MATLAB 5.0", "a MATLAB file", f"{_SAVE} (scipy.io.loadmat reads it)"),
    (b"MATLAB 7.3", "a MATLAB file", f"{_SAVE} (h5py reads it)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{_SAVE} (h5py reads it)"),
    (b"PAR1", "a Parquet file", f"{_SAVE} (pandas.read_parquet reads it)"),
    (b"ARROW1", "an Arrow file", f"{_SAVE} (pandas.read_feather reads it)"),
    (b"SQLite format 3\0", "a database", _SAVE),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (b"\x04\x22\x4d\x18", "an LZ4 file", _UNPACK),
    (b"\x1f\x8b", "compressed twice", "unpack it once"),
    (b"\xfd7zXZ\0", "compressed twice", "unpack it once"),
    (b"%PDF-", "a PDF document", "name a file of data"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"version https://git-lfs", "a placeholder of Git LFS", "fetch the file itself: git lfs pull"),
)
_PICKLE_STARTS = re.compile(rb"\x80[\x02-\x05]|[(](?:dp|lp|dq|lq)|[}\]]q|ccopy_reg|cnumpy", re.DOTALL)
_CIFAR_WORDS = (b"batch_label", b"fine_labels", b"coarse_label", b"num_cases_per_batch", b"filenames")
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE)


def refuse_foreign(source: Source, head: bytes) -> None:
    """Raise a DataError for a file of a known kind that is not read; `head` is its first 4096 bytes.

    Raises
    ------
    DataError
        With the kind and a way out.
    """
    where = source.path
    if is_pickle(head):
        if any(word in head for word in _CIFAR_WORDS):
            raise DataError(f"{where}: is CIFAR's python version, {_PICKLE}: {_BINARY}")
        raise DataError(
            f"{where}: is {_PICKLE}: save the arrays with numpy.savez('data.npz', x_train=..., y_train=...)"
        )
    if head[257:262] == b"ustar":
        if head.startswith((b"cifar-10-batches-py", b"cifar-100-python")):
            raise DataError(f"{where}: is an archive of CIFAR's python version, {_PICKLE}: {_BINARY}")
        raise DataError(f"{where}: is a tar archive: unpack it first (tar -xf) and name the folder")
    if _WEB_PAGE.match(head):
        raise DataError(f"{where}: is a web page, no data: the download went wrong, fetch the file again")
    for magic, kind, mend in _KINDS:
        if head.startswith(magic):
            raise DataError(f"{where}: is {kind}, which is not read: {mend}")


def is_pickle(head: bytes) -> bool:
    """Whether a file begins as a pickle does."""
    return _PICKLE_STARTS.match(head) is not None


def is_text(head: bytes) -> bool:
    """Whether a file's first bytes are text, in UTF-8 or nearly."""
    if not head or re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        in_last_letter = error.start > len(head) - 4 and error.reason == "unexpected end of data"
        return in_last_letter or 10 * sum(byte > 127 for byte in head) < len(head)
    return True
