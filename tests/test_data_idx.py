"""IDX files: every kind of number, the files that belong together, and what is said of wrong ones."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from bad import assert_message, bad
from data_files import PACKERS, idx_bytes, images, labels

from closedform.data.recognise import load_data, read_inputs
from closedform.errors import DataError

SHARED = Path(__file__).parents[2] / "shared" / "data"
X, Y = images(6), labels(6)


def mnist(folder, x=X, y=Y, test=True, ending="", name="{}-{}-idx{}-ubyte"):
    """A folder with MNIST's files."""
    files = {("train", "images", 3): x, ("train", "labels", 1): y}
    if test:
        files |= {("t10k", "images", 3): x[:3], ("t10k", "labels", 1): y[:3]}
    for parts, array in files.items():
        (folder / (name.format(*parts) + ending)).write_bytes(PACKERS[ending](idx_bytes(array)))
    return folder


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize(
    "name", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte", "emnist-digits-{}-{}-idx{}-ubyte"]
)
def test_a_folder_with_four_files_is_a_set_in_two_parts(tmp_path, ending, name):
    data = load_data(mnist(tmp_path, ending=ending, name=name))
    assert data.kind == "IDX"
    assert data.source == str(tmp_path)
    assert data.classes == ("0", "1", "2")
    assert data.x_train.dtype == np.uint8
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(data.x_test, X[:3, None])
    np.testing.assert_array_equal(data.y_test, [0, 1, 2])
    assert data.y_train.dtype == data.y_test.dtype == np.int64


@pytest.mark.parametrize(
    "file", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"]
)
def test_one_file_finds_the_others_beside_it(tmp_path, file):
    data = load_data(mnist(tmp_path) / file)
    assert (len(data.x_train), len(data.x_test)) == (6, 3)


def test_a_file_is_known_by_its_content_and_finds_labels_by_its_name(tmp_path):
    (tmp_path / "my-images.data").write_bytes(idx_bytes(X))
    (tmp_path / "my-labels.data.xz").write_bytes(PACKERS[".xz"](idx_bytes(Y)))
    data = load_data(tmp_path / "my-images.data")
    assert (data.x_train.shape, data.x_test, data.y_test) == ((6, 1, 5, 5), None, None)


def test_a_plain_file_is_taken_before_a_compressed_one(tmp_path):
    mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"no gzip")
    assert len(load_data(tmp_path).x_train) == 6


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("u1", "u1"), ("i1", "u1"), ("i2", "u1"), ("i4", "u1"), ("f4", "f4"), ("f8", "f4")],
)
def test_whole_numbers_to_255_become_bytes_and_other_numbers_float32(tmp_path, dtype, result):
    x = (X % 100).astype(dtype)
    data = load_data(mnist(tmp_path, x=x, test=False))
    assert data.x_train.dtype == result
    np.testing.assert_array_equal(data.x_train, x[:, None])


def test_whole_numbers_outside_a_byte_become_float32(tmp_path):
    x = X.astype("i2") - 1
    data = load_data(mnist(tmp_path, x=x, test=False))
    assert data.x_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_train, x[:, None])


def test_both_parts_have_one_type(tmp_path):
    data = load_data(mnist(tmp_path, x=np.concatenate([X[:3], X[3:].astype("i2") * 4])))
    assert (data.x_train.dtype, data.x_test.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(data.x_test, X[:3, None])


def test_channels_may_come_first_or_last(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 6), dtype=np.uint8)
    first = load_data(mnist(tmp_path, x=colours, test=False)).x_train
    last = load_data(mnist(tmp_path, x=colours.transpose(0, 2, 3, 1), test=False)).x_train
    np.testing.assert_array_equal(first, colours)
    np.testing.assert_array_equal(last, colours)
    assert last.flags.c_contiguous


def test_a_large_plain_file_is_mapped(tmp_path):
    count, side = 2, 5800  # 67.3 MB
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, count, side, side))
        file.truncate(16 + count * side * side)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x07")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels(2, 2)))
    x = load_data(tmp_path).x_train
    assert isinstance(x, np.memmap)
    assert (x.shape, x.dtype) == ((2, 1, 5800, 5800), np.uint8)
    assert (x[0, 0, 0, 0], x[1, 0, -1, -1]) == (0, 7)


def test_images_to_predict_have_names_and_the_labels_beside_them(tmp_path):
    mnist(tmp_path, ending=".gz")
    inputs = read_inputs(tmp_path / "t10k-images-idx3-ubyte.gz")
    assert inputs.names[2] == "t10k-images-idx3-ubyte.gz[2]"
    np.testing.assert_array_equal(inputs.y, [0, 1, 2])
    np.testing.assert_array_equal(inputs.x, X[:3, None])
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert read_inputs(tmp_path / "t10k-images-idx3-ubyte.gz").y is None


def test_of_a_folder_to_predict_the_part_to_test_on_is_taken(tmp_path):
    inputs = read_inputs(mnist(tmp_path))
    assert inputs.names == ("test[0]", "test[1]", "test[2]")


def header(*values):
    return struct.pack(">BBBBIII", 0, 0, *values)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
NAN = X.astype("f4")
NAN[4, 1, 2] = np.nan
WRONG = [
    bad(
        "promises-gigabytes",
        {IMAGES: header(8, 3, 60_000, 1000, 1000) + bytes(50)},
        DataError,
        "{}/train-images-idx3-ubyte: the header promises a file of 60,000,000,016 bytes, it has 66",
    ),
    bad(
        "cut-short",
        {IMAGES: idx_bytes(X)[:-1]},
        DataError,
        "{}/train-images-idx3-ubyte: the header promises a file of 166 bytes, it has 165",
    ),
    bad(
        "too-long",
        {IMAGES: idx_bytes(X) + b"\0"},
        DataError,
        "{}/train-images-idx3-ubyte: the header promises a file of 166 bytes, it has 167",
    ),
    bad(
        "header-cut-short",
        {IMAGES: header(8, 3, 6, 5, 5)[:9]},
        DataError,
        "{}/train-images-idx3-ubyte: is cut short: its header of 3 sizes ends after byte 9",
    ),
    bad(
        "no-idx",
        {LABELS: b"0123456789"},
        DataError,
        "{}/train-labels-idx1-ubyte: must be an IDX file, which begins with 00 00, the kind of number "
        "and the "
        "number of axes, got 30 31 32 33",
    ),
    bad(
        "axes",
        {IMAGES: bytes([0, 0, 8, 9]) + bytes(36)},
        DataError,
        "{}/train-images-idx3-ubyte: byte 3 promises 9 axes: images have 3 or 4, labels have 1",
    ),
    bad(
        "images-of-two-axes",
        {IMAGES: idx_bytes(X[0])},
        DataError,
        "{}/train-images-idx3-ubyte: images must have the shape (N, H, W), (N, C, H, W) or (N, H, W, C), got "
        "(5, 5): give each image its rows and columns, as in x.reshape(-1, 28, 28)",
    ),
    bad(
        "no-images",
        {IMAGES: idx_bytes(X[:0])},
        DataError,
        "{}/train-images-idx3-ubyte: holds no images, its shape is 0 × 5 × 5",
    ),
    bad(
        "labels-of-two-axes",
        {LABELS: idx_bytes(X[0])},
        DataError,
        "{}/train-labels-idx1-ubyte: labels must be a row (N,), byte 3 promises 2 axes: 5 × 5",
    ),
    bad(
        "counts",
        {LABELS: idx_bytes(Y[:5])},
        DataError,
        "{}/train-labels-idx1-ubyte: 5 labels for the 6 images of {}/train-images-idx3-ubyte: each "
        "image needs "
        "one label",
    ),
    bad("empty", {LABELS: b""}, DataError, "{}/train-labels-idx1-ubyte: is empty"),
    bad(
        "nan",
        {IMAGES: idx_bytes(NAN)},
        DataError,
        "{}/train-images-idx3-ubyte: image 4 has a pixel that is nan: pixels must be finite numbers "
        "in float32; "
        "leave the image out or replace the number (numpy.nan_to_num)",
    ),
    bad(
        "labels-from-1",
        {LABELS: idx_bytes(Y + 1)},
        DataError,
        "{}/train-labels-idx1-ubyte: labels begin at 1: subtract 1, class numbers count from 0",
    ),
    bad(
        "labels-from-5",
        {LABELS: idx_bytes(Y + 5)},
        DataError,
        "{}/train-labels-idx1-ubyte: labels begin at 5: numpy.unique(y, return_inverse=True)[1] "
        "numbers them so, "
        "class numbers count from 0",
    ),
    bad(
        "one-class",
        {LABELS: idx_bytes(Y * 0)},
        DataError,
        "{}/train-labels-idx1-ubyte: every label is 0: training needs images of at least two classes",
    ),
    bad(
        "negative",
        {LABELS: idx_bytes(Y.astype("i1") - 1)},
        DataError,
        "{}/train-labels-idx1-ubyte: label 0 is -1: labels must be whole numbers from 0 to the number "
        "of classes "
        "less 1, and no more than 65,535",
    ),
    bad(
        "fractions",
        {LABELS: idx_bytes(Y / np.float32(4))},
        DataError,
        "{}/train-labels-idx1-ubyte: label 1 is 0.25: labels must be whole numbers from 0 to the number of "
        "classes less 1, and no more than 65,535",
    ),
    bad(
        "other-classes",
        {"t10k-labels-idx1-ubyte": idx_bytes(Y[:3] + 1)},
        DataError,
        "{}/t10k-labels-idx1-ubyte: has images of class 3, of which the training set has none "
        "({}/train-labels-idx1-ubyte): leave them out, or train on such images too",
    ),
    bad(
        "other-size",
        {"t10k-images-idx3-ubyte": idx_bytes(images(3, 4, 4))},
        DataError,
        "{}/t10k-images-idx3-ubyte: images to test on must be as those to train on, 1 × 5 × 5 "
        "(channels × height "
        "× width), got 1 × 4 × 4",
    ),
    bad(
        "labels-missing",
        {LABELS: None},
        DataError,
        "{}/train-images-idx3-ubyte: has no labels beside it: there is no train-labels-idx1-ubyte in "
        "the folder, "
        "plain, .gz or .xz",
    ),
    bad(
        "two-sets",
        {"emnist-train-images-idx3-ubyte": b""},
        DataError,
        "{}: holds 2 sets, , emnist-: name one file of images",
    ),
]


@pytest.mark.parametrize(("files", "error", "message"), WRONG)
def test_a_wrong_file_is_named_with_its_place(tmp_path, files, error, message):
    mnist(tmp_path)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data) if data is not None else (tmp_path / name).unlink()
    assert_message(lambda: load_data(tmp_path), error, message.replace("{}", str(tmp_path)))


PACKED = [
    bad(
        "cut-short",
        lambda data: data[:-4],
        DataError,
        "is cut short: its gzip data end after byte 166 of the content",
    ),
    bad(
        "damaged",
        lambda data: data[:40] + bytes([data[40] ^ 255]) + data[41:],
        DataError,
        "is damaged: its gzip data are wrong after byte 0 of the content",
    ),
    bad(
        "too-long",
        lambda data: data + PACKERS[".gz"](b"more"),
        DataError,
        "the header promises a file of 166 bytes, it unpacks to another number",
    ),
]


@pytest.mark.parametrize(("damage", "error", "message"), PACKED)
def test_a_wrong_compressed_file_is_named_with_its_place(tmp_path, damage, error, message):
    path = mnist(tmp_path, ending=".gz") / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    assert_message(lambda: load_data(tmp_path), error, f"{path}: {message}")


def test_an_idx_file_whose_name_says_no_images_is_asked_for_its_labels(tmp_path):
    (tmp_path / "x.idx").write_bytes(idx_bytes(X))
    assert_message(
        lambda: load_data(tmp_path / "x.idx"),
        DataError,
        f"{tmp_path}/x.idx: an IDX file of images needs its labels beside it, in a file of the same "
        f"name with "
        f"labels for images, as in train-images-idx3-ubyte and train-labels-idx1-ubyte",
    )


if SHARED.is_dir():
    RAW = {  # the published files' own checksums, of train and test images
        "mnist": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
    }
    TRAIN_COUNTS = {
        "mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "fashion-mnist": [6000] * 10,
    }
    TEST_COUNTS = {
        "mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        "fashion-mnist": [1000] * 10,
    }

    @pytest.mark.parametrize("name", TRAIN_COUNTS)
    def test_published_sets_are_read_byte_for_byte(name):
        data = load_data(SHARED / name)
        assert (data.x_train.shape, data.x_test.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
        assert np.bincount(data.y_train).tolist() == TRAIN_COUNTS[name]
        assert np.bincount(data.y_test).tolist() == TEST_COUNTS[name]
        for x, checksum in zip((data.x_train, data.x_test), RAW.get(name, ()), strict=False):
            file = struct.pack(">BBBBIII", 0, 0, 8, 3, len(x), 28, 28) + x.tobytes()
            assert hashlib.sha256(file).hexdigest() == checksum
