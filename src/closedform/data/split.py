"""Dividing labelled examples into two sets that hold every class in the same proportion."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from closedform.errors import DataError, SettingError
from closedform.random import Domain, permutation


class Split(NamedTuple):
    """A data set in two parts.

    Shapes: `x_train` (N, C, H, W) and `y_train` (N,) to learn from, `x_test` and `y_test` alike to test on;
    images are float32, labels int64.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]


def stratified_split(labels: ArrayLike, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take `count` examples at random, from every class in proportion.

    A class of n among N examples gives count·n/N, rounded down; the classes with the largest remainders (of
    equal ones, the smaller label) give one more each until there are `count`.  Within a class the seed
    decides.

    Parameters
    ----------
    labels : array of integers
        Shape (N,).
    count : int
        How many to take, from 0 to N.
    seed : int
        From 0 to 2⁶⁴−1.

    Returns
    -------
    rest, taken : arrays of int64
        Positions in `labels`, ascending: the N − count that stay and the `count` that are taken.

    Raises
    ------
    DataError
        If the labels are not a row of integers.
    SettingError
        If there are fewer than `count` examples, or the seed is outside its range.

    Examples
    --------
    >>> rest, taken = stratified_split([0, 0, 0, 0, 1, 1], 3, seed=0)
    >>> len(rest), len(taken)
    (3, 3)
    """
    classes: NDArray[Any] = np.asarray(labels)
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(
            f"labels must be a row (N,) of integers, got an array of {classes.dtype} of shape {classes.shape}"
        )
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 <= count <= len(classes):
        raise SettingError(
            f"the examples to take must be a whole number from 0 to {len(classes)}, "
            f"as many as there are labels, got {count!r}"
        )
    values, sizes = np.unique(classes, return_counts=True)
    numbers = [divmod(int(count) * int(size), len(classes)) for size in sizes]
    quotas = [quotient for quotient, _ in numbers]
    by_remainder = sorted(range(len(numbers)), key=lambda position: -numbers[position][1])
    for position in by_remainder[: int(count) - sum(quotas)]:
        quotas[position] += 1

    is_taken = np.zeros(len(classes), dtype=bool)
    for position, (value, quota) in enumerate(zip(values, quotas, strict=True)):
        members = np.flatnonzero(classes == value)
        order = permutation(seed, position, len(members), domain=Domain.SPLIT)
        is_taken[members[order[:quota]]] = True
    return np.flatnonzero(~is_taken).astype(np.int64), np.flatnonzero(is_taken).astype(np.int64)
