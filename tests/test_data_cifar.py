"""CIFAR's binary version: batches in order, class names, and what is said of wrong records."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from bad import assert_message, bad
from data_files import PACKERS, cifar_bytes, labels

from closedform.data.recognise import load_data, read_inputs
from closedform.errors import DataError

SHARED = Path(__file__).parents[2] / "shared" / "data" / "cifar10"
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 3, 32, 32), dtype=np.uint8)
Y = labels(9)
TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar_10(folder, ending=""):
    """Three batches and a test batch; the tenth batch is there to be sorted after the second."""
    for name, part in (
        ("data_batch_1", slice(0, 3)),
        ("data_batch_10", slice(6, 9)),
        ("data_batch_2", slice(3, 6)),
        ("test_batch", slice(0, 3)),
    ):
        data = cifar_bytes(PIXELS[part], Y[part])
        (folder / f"{name}.bin{ending}").write_bytes(PACKERS[ending](data))
    return folder


def cifar_100(folder):
    coarse = np.arange(9) + 11
    for name, part in (("train", slice(0, 9)), ("test", slice(0, 3))):
        (folder / f"{name}.bin").write_bytes(cifar_bytes(PIXELS[part], coarse[part], Y[part]))
    return folder


@pytest.mark.parametrize("ending", PACKERS)
def test_batches_follow_each_other_by_their_numbers(tmp_path, ending):
    data = load_data(cifar_10(tmp_path, ending))
    assert (data.kind, data.classes, data.source) == ("CIFAR-10", TEN, str(tmp_path))
    np.testing.assert_array_equal(data.x_train, PIXELS)
    np.testing.assert_array_equal(data.x_test, PIXELS[:3])
    np.testing.assert_array_equal(data.y_train, [0, 1, 2, 0, 1, 2, 0, 1, 2])
    assert data.x_train.flags.c_contiguous
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int64)


def test_class_names_are_the_folders(tmp_path):
    (cifar_10(tmp_path) / "batches.meta.txt").write_text("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n")
    assert load_data(tmp_path).classes == tuple("abcdefghij")


def test_cifar_100_has_fine_labels_after_coarse_ones(tmp_path):
    data = load_data(cifar_100(tmp_path))
    assert (data.kind, data.classes[98:]) == ("CIFAR-100", ("98", "99"))
    np.testing.assert_array_equal(data.y_train, Y)
    np.testing.assert_array_equal(data.x_train, PIXELS)
    names = [f"class {k}" for k in range(100)]
    (tmp_path / "fine_label_names.txt").write_text("\n".join(names))
    assert load_data(tmp_path).classes == tuple(names)


@pytest.mark.parametrize("ending", PACKERS)
def test_one_file_of_any_name_is_known_by_the_length_of_its_records(tmp_path, ending):
    ten, hundred = tmp_path / f"some{ending}", tmp_path / f"other{ending}"
    ten.write_bytes(PACKERS[ending](cifar_bytes(PIXELS, Y)))
    hundred.write_bytes(PACKERS[ending](cifar_bytes(PIXELS, Y, Y + 90)))
    assert load_data(ten).kind == "CIFAR-10"
    data = load_data(hundred)
    assert data.kind == "CIFAR-100"
    assert data.x_test is None
    np.testing.assert_array_equal(data.y_train, Y + 90)
    np.testing.assert_array_equal(data.x_train, PIXELS)


def test_a_length_that_fits_both_is_told_by_the_labels(tmp_path):
    path = tmp_path / "both"
    path.write_bytes(bytes([3, 60]) + bytes(3072) + (bytes([2, 50]) + bytes(3072)) * 3072)
    assert load_data(path).kind == "CIFAR-100"
    path.write_bytes((bytes([3]) + bytes(3072) + bytes([2]) + bytes(3072)) * 1537)
    assert load_data(path).kind == "CIFAR-10"


def test_a_record_that_begins_as_idx_does_is_still_cifar(tmp_path):
    pixels = PIXELS.copy()
    pixels[0, 0, 0, :3] = 0, 8, 3
    path = tmp_path / "some.bin"
    path.write_bytes(cifar_bytes(pixels, Y))
    np.testing.assert_array_equal(load_data(path).x_train, pixels)


def test_one_large_plain_file_is_mapped(tmp_path):
    path = tmp_path / "train.bin"
    with path.open("wb") as file:
        file.truncate(3074 * 22_000)  # 67.6 MB
        file.seek(3074 * 21_999)
        file.write(cifar_bytes(PIXELS[:1], [0], [1]))
    data = load_data(path)
    assert isinstance(data.x_train, np.memmap)
    assert data.x_train.shape == (22_000, 3, 32, 32)
    np.testing.assert_array_equal(data.x_train[-1], PIXELS[0])
    assert (data.y_train[0], data.y_train[-1]) == (0, 1)


def test_images_to_predict_have_names_and_labels(tmp_path):
    path = cifar_10(tmp_path) / "test_batch.bin"
    inputs = read_inputs(path)
    assert (inputs.names[1], inputs.classes) == ("test_batch.bin[1]", TEN)
    np.testing.assert_array_equal(inputs.x, PIXELS[:3])
    np.testing.assert_array_equal(inputs.y, [0, 1, 2])
    np.testing.assert_array_equal(read_inputs(tmp_path).x, PIXELS[:3])


WHOLE = cifar_bytes(PIXELS[:3], Y[:3])
WRONG = [
    bad(
        "cut-short",
        {"data_batch_2.bin": WHOLE[:-5]},
        DataError,
        "{}/data_batch_2.bin: must be whole records of 3,073 bytes (CIFAR-10), got 9,214 bytes: "
        "record 2 is cut "
        "short after 3,068",
    ),
    bad(
        "label",
        {"data_batch_2.bin": cifar_bytes(PIXELS[:3], [0, 1, 10])},
        DataError,
        "{}/data_batch_2.bin: record 2 has the label 10 (byte 6,146), CIFAR-10's are 0 to 9",
    ),
    bad("empty", {"test_batch.bin": b""}, DataError, "{}/test_batch.bin: is empty"),
    bad(
        "names",
        {"batches.meta.txt": b"a\nb\na\n"},
        DataError,
        "{}/batches.meta.txt: must hold 10 different class names, one a line, got 3 lines with 2 "
        "different names",
    ),
    bad(
        "names-latin-1",
        {"batches.meta.txt": b"a\nb\xe9"},
        DataError,
        "{}/batches.meta.txt: must be text in UTF-8, byte 3 is not",
    ),
    bad(
        "one-class",
        {f"data_batch_{k}.bin": cifar_bytes(PIXELS[:1], [4]) for k in (1, 2, 10)},
        DataError,
        "{}: every label is deer: training needs images of at least two classes",
    ),
    bad(
        "other-classes",
        {"test_batch.bin": cifar_bytes(PIXELS[:1], [9])},
        DataError,
        "{}/test_batch.bin: has images of class truck, of which the training set has none ({}): leave "
        "them out, or "
        "train on such images too",
    ),
    bad(
        "nothing-to-train-on",
        {f"data_batch_{k}.bin": None for k in (1, 2, 10)},
        DataError,
        "{}: holds no images to train on: CIFAR-10's are in data_batch_1.bin to data_batch_5.bin, "
        "CIFAR-100's in "
        "train.bin",
    ),
]


@pytest.mark.parametrize(("files", "error", "message"), WRONG)
def test_a_wrong_file_is_named_with_its_place(tmp_path, files, error, message):
    cifar_10(tmp_path)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data) if data is not None else (tmp_path / name).unlink()
    assert_message(lambda: load_data(tmp_path), error, message.replace("{}", str(tmp_path)))


def test_a_coarse_label_that_there_is_not_is_named_with_its_byte(tmp_path):
    path = tmp_path / "train.bin"
    path.write_bytes(cifar_bytes(PIXELS, np.arange(9) + 12, Y))
    assert_message(
        lambda: load_data(tmp_path),
        DataError,
        f"{path}: record 8 has the label 20 (byte 24,592), CIFAR-100's are 0 to 19",
    )


if SHARED.is_dir():

    def test_published_batches_are_read_byte_for_byte():
        data = load_data(SHARED)
        assert (data.x_train.shape, data.x_test.shape) == ((30_000, 3, 32, 32), (10_000, 3, 32, 32))
        assert data.classes == TEN
        checksums = []
        parts = [(data.x_train[k : k + 10_000], data.y_train[k : k + 10_000]) for k in (0, 10_000, 20_000)]
        for x, y in (*parts, (data.x_test, data.y_test)):
            records = np.concatenate([y[:, None].astype(np.uint8), x.reshape(-1, 3072)], axis=1)
            checksums.append(hashlib.sha256(records.tobytes()).hexdigest())
        assert checksums == [
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        ]
