"""The packaged digits are the UCI set, always divided in the same way."""

import hashlib
import zipfile
from importlib import resources

import numpy as np
import pytest

from closedform.data import load_digits, stratified_split
from closedform.errors import DataError, SettingError

ARCHIVE = resources.files("closedform.data").joinpath("digits.npz")


def test_shapes_and_types():
    digits = load_digits()
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.y_train.shape == (1437,)
    assert digits.y_test.shape == (360,)
    assert digits.x_train.dtype == digits.x_test.dtype == np.float32
    assert digits.y_train.dtype == digits.y_test.dtype == np.int64


def test_pixels_are_sixteenths_from_0_to_1():
    digits = load_digits()
    pixels = np.concatenate([digits.x_train, digits.x_test]) * 16
    assert np.array_equal(np.unique(pixels), np.arange(17))


def test_no_image_is_lost_and_every_digit_is_in_proportion():
    digits = load_digits()
    # how often the UCI file has each digit
    frequencies = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(np.concatenate([digits.y_train, digits.y_test])).tolist() == frequencies
    # 360/1797 of these: 35.66 36.46 35.46 36.66 36.26 36.46 36.26 35.86 34.86 36.06
    assert np.bincount(digits.y_test).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]


def test_the_split_is_the_same_everywhere():
    digits = load_digits()
    pixels = (digits.x_test * 16).astype(np.uint8)
    assert (
        hashlib.sha256(pixels.tobytes()).hexdigest()
        == "21508a3a2f5162acd3d2cea462fa83e6ecc940cb02d38befbe66a88fede65ebf"
    )
    assert digits.y_test[:12].tolist() == [4, 7, 0, 5, 0, 6, 5, 8, 7, 1, 2, 7]


def test_the_archive_holds_images_and_labels_in_the_order_of_the_uci_file():
    with ARCHIVE.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert images.dtype == labels.dtype == np.uint8
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert images[0].tolist() == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
        [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0],
        [0, 4, 11, 0, 1, 12, 7, 0],
        [0, 2, 14, 5, 10, 12, 0, 0],
        [0, 0, 6, 13, 10, 0, 0, 0],
    ]


def test_the_archive_holds_no_time_of_writing():
    with ARCHIVE.open("rb") as file, zipfile.ZipFile(file) as archive:
        entries = [(entry.filename, entry.date_time) for entry in archive.infolist()]
    assert entries == [("images.npy", (1980, 1, 1, 0, 0, 0)), ("labels.npy", (1980, 1, 1, 0, 0, 0))]


def test_the_licence_lies_beside_the_archive():
    text = resources.files("closedform.data").joinpath("digits.LICENSE.txt").read_text(encoding="utf-8")
    for words in ("10.24432/C50P49", "Alpaydin", "CC BY 4.0", "scikit-learn"):
        assert words in text


@pytest.mark.parametrize(
    ("sizes", "count", "quotas"),
    [
        ([7, 2, 1], 5, [4, 1, 0]),  # 3.5 1 0.5: of equal remainders the smaller label
        ([5, 5, 5], 3, [1, 1, 1]),
        ([5, 5, 5], 4, [2, 1, 1]),
        ([10, 1], 1, [1, 0]),  # 0.91 0.09
        ([3, 6], 0, [0, 0]),
        ([3, 6], 9, [3, 6]),
    ],
)
def test_a_split_takes_from_every_class_in_proportion(sizes, count, quotas):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rest, taken = stratified_split(labels, count, seed=4)
    assert np.bincount(labels[taken], minlength=len(sizes)).tolist() == quotas
    assert np.all(np.diff(rest) > 0)
    assert np.all(np.diff(taken) > 0)
    assert sorted([*rest.tolist(), *taken.tolist()]) == list(range(len(labels)))


def test_the_seed_decides_who_is_taken():
    labels = np.arange(200) % 2
    taken = {seed: tuple(stratified_split(labels, 40, seed)[1].tolist()) for seed in range(3)}
    assert len(set(taken.values())) == 3
    assert taken[0] == tuple(stratified_split(labels, 40, 0)[1].tolist())
    # the classes are not shuffled alike
    assert {position // 2 for position in taken[0] if position % 2 == 0} != {
        position // 2 for position in taken[0] if position % 2 == 1
    }


@pytest.mark.parametrize(
    ("labels", "count", "error", "message"),
    [
        (
            np.eye(3),
            1,
            DataError,
            "labels must be a row (N,) of integers, got an array of float64 of shape (3, 3)",
        ),
        (
            [0.0, 1.0],
            1,
            DataError,
            "labels must be a row (N,) of integers, got an array of float64 of shape (2,)",
        ),
        (
            [0, 1],
            3,
            SettingError,
            "the examples to take must be a whole number from 0 to 2, as many as there are labels, got 3",
        ),
        (
            [0, 1],
            0.5,
            SettingError,
            "the examples to take must be a whole number from 0 to 2, as many as there are labels, got 0.5",
        ),
        (
            [0, 1],
            1,
            SettingError,
            "seed must be a whole number from 0 to 18446744073709551615, got -1",
        ),
    ],
)
def test_what_cannot_be_split_is_named(labels, count, error, message):
    with pytest.raises(error) as caught:
        stratified_split(labels, count, seed=-1 if "seed" in message else 0)
    assert str(caught.value) == message
