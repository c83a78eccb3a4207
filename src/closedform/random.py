"""Random numbers that are a function of what they are for: seed, use, step, layer, image, entry.

Nothing here has a state.  A number is computed from its place, so that neither the batch size, nor the
number of threads, nor the order in which layers run changes which number an entry gets.

The four 32-bit words of the counter are:

    word  uniform (dropout)   permutation      uniform_array (weights)   Augmentation
    0     entry // 4          position // 2    entry // 2                image, lower word
    1     image               0                parameter                 image, upper word
    2     step                epoch            0                         epoch
    3     domain, layer       domain           domain, layer             domain

The domain is the upper 8 bits of the last word, the layer the lower 24; the seed is the key.
"""

import operator
from dataclasses import dataclass
from enum import IntEnum
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from closedform.errors import SettingError

_ROUNDS = 10
# in the order of the words that they become: the third word, multiplied, becomes the first
_MULTIPLIERS = (0xCD9E8D57, 0xD2511F53)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
# entries of one state array that stay in a core's cache through the rounds
_CHUNK = 1 << 14


class Domain(IntEnum):
    """What numbers are drawn for; two uses never share a stream."""

    WEIGHTS = 1
    DROPOUT = 2
    PERMUTATION = 3
    SPLIT = 4
    AUGMENTATION = 5


def philox(
    key: tuple[int, int], counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]
) -> NDArray[np.uint32]:
    """Philox4x32-10: four random words for every key and counter.

    Parameters
    ----------
    key : tuple of two int
        Words from 0 to 2³²−1.
    counter : tuple of four arrays of integers
        Words from 0 to 2³²−1; the arrays are broadcast with each other.

    Returns
    -------
    array of uint32
        Shape (4, *broadcast shape of the counter).

    References
    ----------
    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.

    Examples
    --------
    >>> [hex(word) for word in philox((0, 0), (0, 0, 0, 0)).tolist()]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    words = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    shape, size = words[0].shape, words[0].size
    # words 0 and 2 get multiplied, words 1 and 3 are mixed into the products
    multiplied = np.stack([words[0], words[2]]).reshape(2, size)
    mixed = np.stack([words[1], words[3]]).reshape(2, size)
    result = np.empty((4, size), dtype=np.uint32)
    multipliers = np.array(_MULTIPLIERS, dtype=np.uint64)[:, None]
    round_keys = [
        np.array([(k + n * w) & _WORD for k, w in zip(key, _WEYL, strict=True)], dtype=np.uint64)[:, None]
        for n in range(_ROUNDS)
    ]
    low_word, word_bits = np.uint64(_WORD), np.uint64(32)
    products = np.empty((2, min(size, _CHUNK)), dtype=np.uint64)
    for start in range(0, size, _CHUNK):
        a, b = multiplied[:, start : start + _CHUNK], mixed[:, start : start + _CHUNK]
        product = products[:, : a.shape[1]]
        for round_key in round_keys:
            np.multiply(a[::-1], multipliers, out=product)
            np.right_shift(product, word_bits, out=a)
            np.bitwise_xor(a, b, out=a)
            np.bitwise_xor(a, round_key, out=a)
            np.bitwise_and(product, low_word, out=b)
        result[0::2, start : start + _CHUNK] = a
        result[1::2, start : start + _CHUNK] = b
    return result.reshape(4, *shape)


def uniform(
    seed: int, *, step: int, layer: int, images: int, entries: int, first_image: int = 0
) -> NDArray[np.float32]:
    """Uniform numbers in [0, 1) for the entries of a batch of images, as dropout needs them.

    The number of one (image, entry) does not depend on how many images or entries are drawn.

    Parameters
    ----------
    seed : int
        From 0 to 2⁶⁴−1.
    step : int
        Which update of the training this is, from 0 to 2³²−1.
    layer : int
        Position of the layer in its network, from 0 to 2²⁴−1.
    images, entries : int
        How many images, and how many numbers for each.
    first_image : int
        Position in the batch of the first image: ``uniform(…, images=2, first_image=3)`` is rows 3 and 4.

    Returns
    -------
    array of float32
        Shape (images, entries); multiples of 2⁻²⁴.

    Raises
    ------
    SettingError
        For a number outside its range.
    """
    key = _key(seed)
    step = _whole("step", step, 1 << 32)
    images, entries = _whole("images", images, 1 << 32), _whole("entries", entries, 1 << 32)
    first_image = _whole("first_image", first_image, (1 << 32) - images)
    blocks = -(-entries // 4)
    image = np.arange(first_image, first_image + images, dtype=np.uint64)[:, None]
    words = philox(key, (np.arange(blocks, dtype=np.uint64), image, step, _place(Domain.DROPOUT, layer)))
    words >>= np.uint32(8)
    result = np.empty((images, blocks, 4), dtype=np.float32)
    for word in range(4):
        np.multiply(words[word], np.float32(2.0**-24), out=result[:, :, word], casting="same_kind")
    return result.reshape(images, 4 * blocks)[:, :entries]


@dataclass(frozen=True)
class Draw:
    """What a layer draws its numbers with: the place in a training that `uniform` needs.

    Attributes
    ----------
    seed, step, layer : int
        As in `uniform`.
    """

    seed: int
    step: int = 0
    layer: int = 0

    def uniform(self, images: int, entries: int) -> NDArray[np.float32]:
        """Uniform numbers in [0, 1) of shape (images, entries)."""
        return uniform(self.seed, step=self.step, layer=self.layer, images=images, entries=entries)


def permutation(
    seed: int, epoch: int, count: int, *, domain: Domain = Domain.PERMUTATION
) -> NDArray[np.int64]:
    """A random order of `count` things, one for each seed and epoch.

    Parameters
    ----------
    seed : int
        From 0 to 2⁶⁴−1.
    epoch : int
        From 0 to 2³²−1; each has its own order.
    count : int
        How many things are put in order.
    domain : Domain
        What the order is for.

    Returns
    -------
    array of int64
        Shape (count,): every number from 0 to count − 1 once.

    Raises
    ------
    SettingError
        For a number outside its range.
    """
    key, epoch, count = _key(seed), _whole("epoch", epoch, 1 << 32), _whole("count", count, 1 << 32)
    keys = _words64(key, (0, epoch, _place(domain, 0)), count)
    # several times as fast as a stable sort, and the same where no two keys are equal
    order = np.argsort(keys)
    ascending = keys[order]
    if (ascending[1:] == ascending[:-1]).any():
        order = np.argsort(keys, kind="stable")
    return order.astype(np.int64, copy=False)


def uniform_array(
    seed: int, layer: int, shape: tuple[int, ...], *, parameter: int = 0
) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for a parameter's initial values, in row order.

    Only integer arithmetic and one exact product make them, so that every platform gives the same bits.

    Parameters
    ----------
    seed : int
        From 0 to 2⁶⁴−1.
    layer : int
        Position of the layer in its network, from 0 to 2²⁴−1.
    shape : tuple of int
        The parameter's shape.
    parameter : int
        Which of the layer's parameters this is, from 0 to 2³²−1.

    Returns
    -------
    array of float64
        Of the given shape; multiples of 2⁻⁵³.

    Raises
    ------
    SettingError
        For a number outside its range.
    """
    key, parameter = _key(seed), _whole("parameter", parameter, 1 << 32)
    size = 1
    for extent in shape:
        size *= _whole("each extent of the shape", extent, 1 << 32)
    words = _words64(
        key,
        (parameter, 0, _place(Domain.WEIGHTS, layer)),
        _whole("the shape's number of entries", size, 1 << 32),
    )
    return ((words >> np.uint64(11)).astype(np.float64) * np.float64(2.0**-53)).reshape(shape)


def _words64(key: tuple[int, int], place: tuple[int, int, int], count: int) -> NDArray[np.uint64]:
    """`count` random words of 64 bits; two from each block."""
    blocks = philox(key, (np.arange(-(-count // 2), dtype=np.uint64), *place)).astype(np.uint64)
    words = blocks[0::2] | (blocks[1::2] << np.uint64(32))  # (2, blocks)
    return words.T.reshape(-1)[:count]


def _place(domain: Domain, layer: int) -> int:
    return int(domain) << 24 | _whole("layer", layer, 1 << 24)


def _key(seed: int) -> tuple[int, int]:
    seed = _whole("seed", seed, 1 << 64)
    return seed & _WORD, seed >> 32


def _whole(name: str, value: SupportsIndex, limit: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < limit:
        raise SettingError(f"{name} must be a whole number from 0 to {limit - 1}, got {value!r}")
    return number
