"""Small files of data in every format, written byte by byte or by the format's own library, never by ours."""

import gzip
import io
import lzma
import struct
import zipfile

import numpy as np

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
PACKERS = {"": bytes, ".gz": lambda data: gzip.compress(data, 6, mtime=0), ".xz": lzma.compress}


def images(count, height=5, width=5, seed=0):
    """Greyscale images, uint8 of shape (count, height, width)."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)


def labels(count, classes=3):
    """Labels 0, 1, 2, 0, ..., uint8."""
    return (np.arange(count) % classes).astype(np.uint8)


def idx_bytes(array):
    """An array as IDX."""
    code = IDX_CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def cifar_bytes(pixels, *label_rows):
    """Records of CIFAR: labels, then 3072 bytes; pixels of shape (N, 3, 32, 32)."""
    return b"".join(
        bytes(int(row[k]) for row in label_rows) + pixels[k].tobytes() for k in range(len(pixels))
    )


def npz_bytes(compressed=False, **arrays):
    """Arrays as npz, written by NumPy."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def zip_bytes(members, method=zipfile.ZIP_STORED, level=None):
    """Members, name to bytes, as a zip archive written by Python."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=level) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy_bytes(array):
    """An array as npy, written by NumPy."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npy_header(descr, shape, version=1, fortran=False):
    """The header alone, of any promise."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode("latin-1")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def csv_text(table, header=None, separator=",", end="\n"):
    """A table of numbers as text."""
    lines = [separator.join(map(str, row)) for row in table]
    return end.join(([separator.join(header)] if header else []) + lines) + end
