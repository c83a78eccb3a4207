"""Random numbers are a function of their place, and of nothing else."""

import numpy as np
import pytest

from closedform.errors import SettingError
from closedform.random import Domain, permutation, philox, uniform, uniform_array


def scalar_philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Philox4x32-10 on Python's integers, as figure 3 of the paper draws it."""
    (k0, k1), (x0, x1, x2, x3) = key, counter
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * x2, 2**32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [x0, x1, x2, x3]


# the file kat_vectors of the authors' library Random123
KNOWN_ANSWERS = [
    ((0, 0), (0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF,) * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("key", "counter", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(key, counter, answer):
    words = philox(key, counter)
    assert words.shape == (4,)
    assert words.dtype == np.uint32
    assert " ".join(f"{word:08x}" for word in words.tolist()) == answer
    assert [f"{word:08x}" for word in scalar_philox(key, counter)] == answer.split()


def test_philox_broadcasts_its_counters():
    # longer than what is computed at a time
    positions = np.arange(40_000)
    words = philox((5, 6), (positions, np.array([[7], [8]]), 9, 10))
    assert words.shape == (4, 2, 40_000)
    for row, position in [(0, 0), (1, 0), (0, 16_383), (0, 16_384), (1, 39_999)]:
        assert words[:, row, position].tolist() == scalar_philox((5, 6), (position, 7 + row, 9, 10))


def test_uniform_follows_the_documented_counter():
    seed = 0x0123456789ABCDEF
    numbers = uniform(seed, step=11, layer=3, images=3, entries=10)
    assert numbers.shape == (3, 10)
    assert numbers.dtype == np.float32
    for image in range(3):
        for entry in range(10):
            words = scalar_philox((0x89ABCDEF, 0x01234567), (entry // 4, image, 11, 2 << 24 | 3))
            assert numbers[image, entry] == (words[entry % 4] >> 8) / 2**24


def test_uniform_does_not_depend_on_how_much_is_drawn():
    numbers = uniform(7, step=1, layer=2, images=6, entries=33)
    assert np.array_equal(uniform(7, step=1, layer=2, images=2, entries=33), numbers[:2])
    assert np.array_equal(uniform(7, step=1, layer=2, images=6, entries=5), numbers[:, :5])
    assert np.array_equal(uniform(7, step=1, layer=2, images=3, entries=9, first_image=3), numbers[3:, :9])


def test_uniform_is_uniform():
    numbers = uniform(0, step=0, layer=0, images=64, entries=1600).astype(np.float64)
    count = numbers.size
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # five standard deviations of the mean and of a count; chi squared with 99 degrees of freedom at 1e-6
    assert abs(numbers.mean() - 0.5) < 5 * np.sqrt(1 / 12 / count)
    counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
    assert ((counts - count / 100) ** 2).sum() / (count / 100) < 177
    # neighbours in both directions are independent: five standard deviations of a product's mean
    centred = numbers - 0.5
    for product in (centred[:, 1:] * centred[:, :-1], centred[1:] * centred[:-1]):
        assert abs(product.mean()) < 5 / 12 / np.sqrt(product.size)


def test_uniform_array_follows_the_documented_counter():
    weights = uniform_array(2**32 + 9, 4, (3, 5), parameter=1)
    assert weights.shape == (3, 5)
    assert weights.dtype == np.float64
    for position, weight in enumerate(weights.ravel().tolist()):
        words = scalar_philox((9, 1), (position // 2, 1, 0, 1 << 24 | 4))
        low, high = words[2 * (position % 2) : 2 * (position % 2) + 2]
        assert weight == ((low + 2**32 * high) >> 11) / 2**53


def test_permutation_sorts_by_the_documented_counter():
    def key(position):
        words = scalar_philox((3, 0), (position // 2, 0, 8, 3 << 24))
        low, high = words[2 * (position % 2) : 2 * (position % 2) + 2]
        return low + 2**32 * high

    order = permutation(3, 8, 101)
    assert order.dtype == np.int64
    assert order.tolist() == sorted(range(101), key=key)


def test_permutation_differs_by_seed_epoch_and_use():
    orders = [
        permutation(0, 0, 50),
        permutation(1, 0, 50),
        permutation(0, 1, 50),
        permutation(2**32, 0, 50),
        permutation(0, 0, 50, domain=Domain.SPLIT),
    ]
    assert len({tuple(order.tolist()) for order in orders}) == 5


def test_nothing_is_drawn_of_nothing():
    assert uniform(0, step=0, layer=0, images=0, entries=3).shape == (0, 3)
    assert uniform(0, step=0, layer=0, images=3, entries=0).shape == (3, 0)
    assert permutation(0, 0, 0).shape == (0,)
    assert uniform_array(0, 0, (2, 0)).shape == (2, 0)
    assert uniform_array(0, 0, ()).shape == ()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: uniform(-1, step=0, layer=0, images=1, entries=1),
            "seed must be a whole number from 0 to 18446744073709551615, got -1",
        ),
        (
            lambda: permutation(2**64, 0, 1),
            "seed must be a whole number from 0 to 18446744073709551615, got 18446744073709551616",
        ),
        (lambda: permutation(0, 0.5, 1), "epoch must be a whole number from 0 to 4294967295, got 0.5"),
        (
            lambda: uniform(0, step=2**32, layer=0, images=1, entries=1),
            "step must be a whole number from 0 to 4294967295, got 4294967296",
        ),
        (
            lambda: uniform_array(0, 2**24, (1,)),
            "layer must be a whole number from 0 to 16777215, got 16777216",
        ),
        (
            lambda: uniform(0, step=0, layer=0, images=2, entries=1, first_image=2**32 - 2),
            "first_image must be a whole number from 0 to 4294967293, got 4294967294",
        ),
        (
            lambda: uniform_array(0, 0, (3, -1)),
            "each extent of the shape must be a whole number from 0 to 4294967295, got -1",
        ),
        (
            lambda: uniform_array(0, 0, (2**20, 2**20)),
            "the shape's number of entries must be a whole number from 0 to 4294967295, got 1099511627776",
        ),
    ],
)
def test_numbers_outside_their_range_are_named(draw, message):
    with pytest.raises(SettingError) as caught:
        draw()
    assert str(caught.value) == message
