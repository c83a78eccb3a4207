"""What a path holds is known by its content, and what is of another kind is refused with a way out."""

import bz2
import io
import lzma
import os
import pickle
import tarfile

import numpy as np
import pytest
from bad import assert_message, bad
from data_files import (
    PACKERS,
    cifar_bytes,
    csv_text,
    idx_bytes,
    images,
    labels,
    npy_bytes,
    npz_bytes,
    zip_bytes,
)
from PIL import Image

from closedform.data.recognise import load_data, read_inputs
from closedform.errors import DataError, SettingError

X, Y = images(6), labels(6)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)


def image_folder(folder):
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(images(1, 8, 8, k)[0]).save(folder / kind / f"{k}.png")
    return folder


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (npz_bytes(x=X, y=Y), "npz"),
        (cifar_bytes(PIXELS, Y), "CIFAR-10"),
        (cifar_bytes(PIXELS, Y, Y), "CIFAR-100"),
        (csv_text(np.column_stack([Y, X.reshape(6, 25)])).encode(), "CSV"),
    ],
)
@pytest.mark.parametrize("ending", PACKERS)
def test_the_name_of_a_file_says_nothing(tmp_path, content, kind, ending):
    path = tmp_path / "data"
    path.write_bytes(PACKERS[ending](content))
    assert load_data(path).kind == load_data(str(path)).kind == kind
    assert len(read_inputs(path).x) == 6


def test_a_folder_of_images_is_a_set_and_its_images_can_be_predicted(tmp_path):
    data = load_data(image_folder(tmp_path), image_size=8)
    assert (data.kind, data.classes, data.x_train.shape) == ("folder of images", ("cat", "dog"), (6, 1, 8, 8))
    assert read_inputs(tmp_path, image_size=8, color_mode="rgb").x.shape == (6, 3, 8, 8)
    assert read_inputs(tmp_path / "cat" / "0.png", image_size=8, color_mode="grayscale").x.shape == (
        1,
        1,
        8,
        8,
    )


def tar(*names, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


PYTHON_BATCH = {b"batch_label": b"training batch 1 of 5", b"labels": [0, 1], b"data": b"\0" * 9}
BINARY = (
    "a pickle, which can run any program when it is read, and is never read: download the binary version, "
    "cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html and "
    "unpack it"
)
SAVE = "read it with the library that wrote it, then numpy.savez('data.npz', x_train=..., y_train=...)"
FOREIGN = [
    *(
        bad(
            f"cifar-python-{protocol}",
            pickle.dumps(PYTHON_BATCH, protocol),
            DataError,
            f"is CIFAR's python version, {BINARY}",
        )
        for protocol in range(6)
    ),
    bad(
        "cifar-python-gz",
        PACKERS[".gz"](pickle.dumps(PYTHON_BATCH, 2)),
        DataError,
        f"is CIFAR's python version, {BINARY}",
    ),
    bad(
        "cifar-python-archive",
        tar("cifar-10-batches-py", "cifar-10-batches-py/data_batch_1", mode="w:gz"),
        DataError,
        f"is an archive of CIFAR's python version, {BINARY}",
    ),
    bad(
        "pickle",
        pickle.dumps([1, 2]),
        DataError,
        "is a pickle, which can run any program when it is read, and is never read: save the arrays with "
        "numpy.savez('data.npz', x_train=..., y_train=...)",
    ),
    bad("tar", tar("a/1.png"), DataError, "is a tar archive: unpack it first (tar -xf) and name the folder"),
    bad(
        "zip",
        zip_bytes({"a/1.png": b""}),
        DataError,
        "is a zip archive without arrays, it holds a/1.png: unpack it first and name the folder",
    ),
    bad(
        "npy",
        npy_bytes(X),
        DataError,
        "is one NumPy array, which is not read: save images and labels together: "
        "numpy.savez('data.npz', x_train=x, "
        "y_train=y)",
    ),
    bad(
        "matlab",
        b"MATLAB 5.0 MAT-file, Platform: GLNX86".ljust(200, b"\0"),
        DataError,
        f"is a MATLAB file, which is not read: {SAVE} (scipy.io.loadmat reads it)",
    ),
    bad(
        "hdf5",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        DataError,
        f"is an HDF5 file, which is not read: {SAVE} (h5py reads it)",
    ),
    bad(
        "parquet",
        b"PAR1" + bytes(100),
        DataError,
        f"is a Parquet file, which is not read: {SAVE} (pandas.read_parquet reads it)",
    ),
    bad("bzip2", bz2.compress(b"text"), DataError, "is a bzip2 file, which is not read: unpack it first"),
    bad(
        "twice",
        PACKERS[".gz"](PACKERS[".xz"](b"text")),
        DataError,
        "is compressed twice, which is not read: unpack it once",
    ),
    bad(
        "web-page",
        b"<!DOCTYPE html><html><title>404</title>",
        DataError,
        "is a web page, no data: the download went wrong, fetch the file again",
    ),
    bad(
        "placeholder",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        DataError,
        "is a placeholder of Git LFS, which is not read: fetch the file itself: git lfs pull",
    ),
    bad(
        "utf-16",
        csv_text([[0, 1, 2]]).encode("utf-16"),
        DataError,
        "is text in UTF-16, which is not read: save it as UTF-8",
    ),
    bad(
        "bytes",
        b"\5\6\7\0\1" * 9,
        DataError,
        "is of no kind that is read (IDX, CIFAR's binary version, npz, CSV, images): it begins with "
        "05 06 07 00, and "
        "its 45 bytes are no whole number of CIFAR records, of 3,073 or 3,074 bytes",
    ),
    bad("empty", b"", DataError, "is empty"),
    bad("empty-gz", PACKERS[".gz"](b""), DataError, "is empty once it is unpacked"),
    bad(
        "xz-cut-short",
        lzma.compress(bytes(9000))[:-20],
        DataError,
        "is cut short: its xz data end after byte 9,000 of the content",
    ),
    bad(
        "xz-damaged",
        lzma.compress(b"1,2,3,4,5\n" * 9)[:-30] + bytes(30),
        DataError,
        "is damaged: its xz data are wrong after byte 0 of the content",
    ),
    bad(
        "xz-dictionary",
        lzma.compress(b"1", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]),
        DataError,
        "needs more than 100 MiB of memory to unpack: unpack it first",
    ),
    bad(
        "bomb",
        PACKERS[".gz"](bytes(1 << 20)) * 65,
        DataError,
        "68,315 compressed bytes would unpack to 67,371,008 or more, which no images do: unpack it "
        "first if it is to "
        "be trusted",
    ),
]


@pytest.mark.parametrize(("content", "error", "message"), FOREIGN)
@pytest.mark.parametrize("call", [load_data, read_inputs])
def test_a_file_of_another_kind_is_refused_with_a_way_out(tmp_path, content, error, message, call):
    path = tmp_path / "data"
    path.write_bytes(content)
    assert_message(lambda: call(path), error, f"{path}: {message}")


def test_a_set_is_told_in_two_lines(tmp_path):
    place = tmp_path / "data.npz"
    place.write_bytes(npz_bytes(x_train=X, y_train=Y, x_test=X[:3], y_test=Y[:3]))
    assert repr(load_data(place)) == (
        f"DataSet(npz, '{place}': 6 images to train on and 3 to test on, 1 × 5 × 5 uint8;\n"
        f"    3 classes: 0, 1, 2)"
    )
    table = tmp_path / "train.csv"
    table.write_text("".join(f"{k:02}x,.5,1,1,1\n" for k in range(99)) + "new\x07,1,1,1,1\n")
    (tmp_path / "test.csv").write_text("a,b,c,d\n1,1,1,1\n")
    assert repr(load_data(tmp_path)) == (
        f"DataSet(CSV, '{tmp_path}': 100 images to train on, 1 × 2 × 2 float32, 1 left out;\n"
        f"    100 classes: 00x, 01x, 02x, 03x, ..., new\\x07)"
    )


def test_one_image_is_nothing_to_train_on(tmp_path):
    path = image_folder(tmp_path) / "cat" / "0.png"
    assert_message(
        lambda: load_data(path),
        DataError,
        f"{path}: is one image: to train on, name a folder that has a folder for each class",
    )


@pytest.mark.parametrize("call", [load_data, read_inputs])
def test_a_folder_of_cifars_python_version_is_refused_as_its_files_are(tmp_path, call):
    (tmp_path / "readme.html").write_text("<html>")
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(PYTHON_BATCH, 2))
    assert_message(
        lambda: call(tmp_path), DataError, f"{tmp_path}/data_batch_1: is CIFAR's python version, {BINARY}"
    )


@pytest.mark.parametrize("call", [load_data, read_inputs])
def test_a_folder_without_data_says_what_it_holds(tmp_path, call):
    assert_message(lambda: call(tmp_path), DataError, f"{tmp_path}: is an empty folder")
    expected = (
        "expected MNIST's files, CIFAR's binary files, train.csv, or a folder of images for each class; or"
    )
    (tmp_path / "data.npz").write_bytes(npz_bytes(x=X, y=Y))
    assert_message(
        lambda: call(tmp_path),
        DataError,
        f"{tmp_path}: is no folder of data, it holds data.npz: {expected} name a file in it",
    )
    (tmp_path / "raw").mkdir()
    assert_message(
        lambda: call(tmp_path),
        DataError,
        f"{tmp_path}: is no folder of data, it holds data.npz, raw: {expected} name what is inside, as in "
        f"{tmp_path}/raw",
    )


@pytest.mark.parametrize("call", [load_data, read_inputs])
def test_a_path_that_leads_nowhere_names_the_one_most_like_it(tmp_path, call):
    (tmp_path / "mnist").mkdir()
    assert_message(
        lambda: call(tmp_path / "mnits"),
        DataError,
        f"{tmp_path}/mnits: there is no such file or folder; did you mean {tmp_path}/mnist?",
    )
    assert_message(
        lambda: call(tmp_path / "photographs"),
        DataError,
        f"{tmp_path}/photographs: there is no such file or folder",
    )


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert_message(
        lambda: load_data(tmp_path / "pipe"),
        DataError,
        f"{tmp_path}/pipe: must be a file, is a device or pipe",
    )


@pytest.mark.parametrize("size", [0, -3, True, (28,), (28, 0), (28, 28, 1), "28", 2.5])
def test_an_image_size_that_is_none_is_refused_before_anything_is_read(size):
    assert_message(
        lambda: load_data("nowhere", image_size=size),
        SettingError,
        f"image_size must be (height, width) in pixels, or one number for both, got {size!r}",
    )


def test_a_colour_mode_that_is_none_is_refused_before_anything_is_read():
    assert_message(
        lambda: load_data("nowhere", color_mode="gray"),
        SettingError,
        "color_mode must be 'grayscale', 'rgb', 'rgba' or None, got 'gray'",
    )


def test_only_images_from_a_folder_are_scaled_or_turned_into_others(tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(npz_bytes(x=X, y=Y))
    assert load_data(path, image_size=5, color_mode="grayscale").x_train.shape == (6, 1, 5, 5)
    assert_message(
        lambda: load_data(path, image_size=(5, 6)),
        DataError,
        f"{path}: its images have 5 × 5 pixels, image_size asks for 5 × 6: only images from a folder "
        f"are scaled",
    )
    assert_message(
        lambda: load_data(path, color_mode="rgb"),
        DataError,
        f"{path}: its images have 1 channel, color_mode='rgb' asks for 3: only images from a folder "
        f"are turned into "
        f"others",
    )


def test_what_does_not_fit_into_memory_is_said(tmp_path, monkeypatch):
    def no_room(*_, **__):
        raise MemoryError

    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(X))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(Y))
    monkeypatch.setattr("closedform.data.idx.as_images", no_room)
    assert_message(
        lambda: load_data(tmp_path),
        DataError,
        f"{tmp_path}: does not fit into memory: save it uncompressed as IDX or numpy.savez, which is "
        f"not read whole",
    )
