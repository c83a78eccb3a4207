"""Images are varied anew in every epoch, each by what its own place in the training set draws."""

import numpy as np
import pytest

import closedform as cf
from closedform.random import philox

SEED = 2**32 * 7 + 11


def images(count=40, shape=(3, 6, 7), dtype=np.uint8):
    rng = np.random.default_rng(1)
    if dtype is np.uint8:
        return rng.integers(1, 256, (count, *shape), dtype=np.uint8)
    return rng.standard_normal((count, *shape)).astype(dtype)


def varied(image, position, epoch, shift=0, crop=0, flip=False, cutout=0):
    """One image, pixel by pixel, from the words of its block in their documented order."""
    block = philox((SEED % 2**32, SEED // 2**32), (position % 2**32, position // 2**32, epoch, 5 << 24))
    rows, columns, mirror, centre = block.tolist()
    most = shift or crop
    down, right = (word * (2 * most + 1) // 2**32 - most for word in (rows, columns))
    height, width = image.shape[1:]
    middle, half = divmod(centre * height * width // 2**32, width), cutout // 2
    result = np.zeros_like(image)
    for i in range(height):
        for j in range(width):
            row, column = i + down, (width - 1 - j if flip and mirror % 2 else j) + right
            if shift:
                row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            is_inside = 0 <= row < height and 0 <= column < width
            is_cut = 0 <= i - middle[0] + half < cutout and 0 <= j - middle[1] + half < cutout
            if is_inside and not is_cut:
                result[:, i, j] = image[:, row, column]
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
@pytest.mark.parametrize(
    "settings",
    [
        {"shift": 2},
        {"crop": 2},
        {"crop": 6},
        {"flip": True},
        {"cutout": 3},
        {"cutout": 4},
        {"cutout": 1},
        {"shift": 1, "flip": True, "cutout": 2},
        {"crop": 3, "flip": True, "cutout": 5},
        {},
    ],
    ids=str,
)
def test_each_image_is_varied_as_pixel_by_pixel(settings, dtype):
    x, positions = images(dtype=dtype), np.arange(40) * 7 + 3
    found = cf.Augmentation(**settings).apply(x, positions, SEED, 9)
    expected = [varied(image, int(n), 9, **settings) for image, n in zip(x, positions, strict=True)]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_positions_may_need_more_than_a_word():
    x, positions = images(3), np.array([5, 2**32 + 5, 2**40])
    found = cf.Augmentation(shift=3, flip=True).apply(x, positions, SEED, 0)
    expected = [varied(x[n], int(positions[n]), 0, shift=3, flip=True) for n in range(3)]
    np.testing.assert_array_equal(found, expected)


def test_what_an_image_gets_depends_on_neither_batch_nor_order():
    augmentation = cf.Augmentation(crop=2, flip=True, cutout=2)
    x, positions = images(), np.arange(40)
    whole = augmentation.apply(x, positions, SEED, 3)
    order = np.random.default_rng(0).permutation(40)
    for size in (1, 7, 40):
        for start in range(0, 40, size):
            chosen = order[start : start + size]
            part = augmentation.apply(x[chosen], chosen, SEED, 3)
            np.testing.assert_array_equal(part, whole[chosen])


def test_another_epoch_seed_or_position_varies_otherwise():
    augmentation = cf.Augmentation(shift=3, flip=True)
    x = np.repeat(images(1), 40, axis=0)
    found = [
        augmentation.apply(x, np.arange(40), SEED, 0),
        augmentation.apply(x, np.arange(40), SEED, 1),
        augmentation.apply(x, np.arange(40), SEED + 1, 0),
        augmentation.apply(x, np.arange(40), SEED + 2**32, 0),
        augmentation.apply(x, np.arange(40) + 40, SEED, 0),
    ]
    assert len({each.tobytes() for each in found}) == 5
    assert len({each.tobytes() for each in found[0]}) > 25


def test_every_move_and_mirror_comes_equally_often():
    """A single bright pixel shows where its image went; chi squared with 49 and with 81 cells at 1e-6."""
    count = 40_000
    x = np.zeros((count, 1, 9, 9), np.uint8)
    x[:, 0, 4, 3] = 1
    moved = cf.Augmentation(shift=3).apply(x, np.arange(count), 0, 0).sum(0)[0]
    assert moved[1:8, 0:7].sum() == count
    expected = count / 49
    assert ((moved[1:8, 0:7] - expected) ** 2).sum() / expected < 108
    mirrored = cf.Augmentation(flip=True).apply(x, np.arange(count), 0, 0).sum(0)[0]
    assert mirrored[4, 3] + mirrored[4, 5] == count
    assert abs(mirrored[4, 5] - count / 2) < 5 * np.sqrt(count / 4)
    cut = (cf.Augmentation(cutout=1).apply(x + 1, np.arange(count), 0, 0) == 0).sum(0)[0]
    assert cut.sum() == count
    assert ((cut - count / 81) ** 2).sum() / (count / 81) < 152


def test_moves_mirrors_and_cuts_are_independent():
    count = 40_000
    rows, columns = np.indices((9, 9)).astype(np.float32)
    x = np.broadcast_to(np.stack([rows, columns]), (count, 2, 9, 9))
    found = cf.Augmentation(shift=2, flip=True).apply(x, np.arange(count), 0, 0)
    drawn = np.stack(
        [found[:, 0, 4, 4] - 4, found[:, 1, 4, 4] - 4, (found[:, 1, 4, 5] < found[:, 1, 4, 4]) - 0.5]
    )
    correlation = np.corrcoef(drawn)
    assert np.abs(correlation - np.eye(3)).max() < 5 / np.sqrt(count)


def test_the_images_given_are_left_as_they_are(tmp_path):
    x = images()
    on_disk = np.memmap(tmp_path / "x.bin", np.uint8, "w+", shape=x.shape)
    on_disk[...] = x
    read = np.memmap(tmp_path / "x.bin", np.uint8, "r", shape=x.shape)
    for settings in ({}, {"flip": True}, {"cutout": 2}, {"crop": 1, "flip": True, "cutout": 3}):
        augmentation = cf.Augmentation(**settings)
        found = augmentation.apply(read[10:20], np.arange(10, 20), SEED, 0)
        np.testing.assert_array_equal(found, augmentation.apply(x[10:20], np.arange(10, 20), SEED, 0))
        assert not np.shares_memory(found, read)
    np.testing.assert_array_equal(read, x)


def test_no_images_give_none():
    found = cf.Augmentation(crop=1, flip=True).apply(images(0), np.arange(0), 0, 0)
    assert (found.shape, found.dtype) == ((0, 3, 6, 7), np.uint8)


def test_training_varies_its_images_and_no_others():
    x = images(8, (1, 8, 8))
    net = cf.Network(
        [cf.Flatten(), cf.Dense(2)], (1, 8, 8), cf.SoftmaxCrossEntropy(), seed=3, engine="reference"
    )
    augmentation = cf.Augmentation(shift=2, flip=True)
    start = {key: value.copy() for key, value in net.parameters.items()}
    labels = np.arange(8) % 2
    expected = augmentation.apply(x, np.arange(8), 3, 0)
    history = net.fit(x, labels, batch_size=8, augment=augmentation, optimizer=cf.SGD(0.1), verbose=0)
    other = cf.Network([cf.Flatten(), cf.Dense(2)], (1, 8, 8), cf.SoftmaxCrossEntropy(), engine="reference")
    other.parameters = start
    assert history["loss"][0] == pytest.approx(other.evaluate(expected, labels)["loss"], rel=1e-6)
    assert abs(history["loss"][0] - other.evaluate(x, labels)["loss"]) > 1e-4


def test_settings_come_back_from_plain_values():
    augmentation = cf.Augmentation(crop=4, flip=True)
    assert augmentation.to_dict() == {"crop": 4, "flip": True}
    assert cf.Augmentation.from_dict(augmentation.to_dict()) == augmentation
    assert cf.Augmentation.from_dict({}) == cf.Augmentation()
    assert repr(cf.Augmentation(shift=np.int64(2), flip=np.True_)) == (
        "Augmentation(shift=2, crop=0, flip=True, cutout=0)"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cf.Augmentation(shift=-1),
            "Augmentation: shift must be a number of pixels from 0 to 32767, got -1",
        ),
        (
            lambda: cf.Augmentation(crop=1.5),
            "Augmentation: crop must be a number of pixels from 0 to 32767, got 1.5",
        ),
        (
            lambda: cf.Augmentation(cutout=True),
            "Augmentation: cutout must be a number of pixels from 0 to 32767, got True",
        ),
        (lambda: cf.Augmentation(flip=1), "Augmentation: flip must be True or False, got 1"),
        (
            lambda: cf.Augmentation(shift=1, crop=1),
            "Augmentation: shift and crop both move the image: give one of them",
        ),
        (
            lambda: cf.Augmentation.from_dict({"shfit": 1}),
            "augment: unknown key 'shfit'; did you mean shift?",
        ),
        (
            lambda: cf.Augmentation.from_dict(["flip"]),
            "augment must be a table, as in { shift = 2, flip = true }, got ['flip']",
        ),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(cf.SettingError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("augmentation", "shape", "message"),
    [
        (
            cf.Augmentation(crop=6),
            (2, 3, 5, 7),
            "augment: crop = 6 is more than an image of 5×7 pixels has: give less",
        ),
        (
            cf.Augmentation(cutout=8),
            (2, 1, 9, 7),
            "augment: cutout = 8 is more than an image of 9×7 pixels has: give less",
        ),
        (
            cf.Augmentation(flip=True),
            (2, 7),
            "augment needs images (channels, height, width), got inputs of shape (7,)",
        ),
    ],
)
def test_images_that_are_too_small_or_none(augmentation, shape, message):
    with pytest.raises(cf.ShapeError) as caught:
        augmentation.apply(np.zeros(shape, np.float32), np.arange(2), 0, 0)
    assert str(caught.value) == message
