"""Values in symbols: a polynomial of named entries, read off a function that only knows fractions."""

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np

# {("w11", "x12"): 1, ("b",): 1/4} is w11*x12 + 1/4*b
Form: TypeAlias = dict[tuple[str, ...], Fraction]


def names(letter: str, *shape: int) -> np.ndarray:
    """The entries' names, ``x11`` the first."""
    found = np.empty(shape, object)
    for place in np.ndindex(*shape):
        found[place] = letter + "".join(str(1 + number) for number in place)
    return found


def form(text: str, factor: Fraction | int = 1) -> Form:
    """A sum of products of names, ``"w11*x11 + b"``, times a number."""
    found: Counter[tuple[str, ...]] = Counter()
    for term in text.replace(" ", "").split("+"):
        found[tuple(sorted(term.split("*")))] += Fraction(factor)
    return dict(found)


def forms(*rows: str, factor: Fraction | int = 1) -> list[list[Form]]:
    """A matrix of forms: rows of entries with ``|`` between them."""
    return [[form(entry, factor) for entry in row.split("|")] for row in rows]


def in_symbols(value: Callable[..., np.ndarray], **letters: np.ndarray) -> np.ndarray:
    """The entries of ``value(X=..., W=...)`` as forms in the names that `letters` gives for each tensor.

    Each entry stands for a power of a large number, so chosen that every product of entries, at most one
    from each tensor, is a power of its own: the digits of an answer in that base are the coefficients.  A
    value that is no such polynomial fails the comparison at another place that follows.
    """
    powers, choices, step = {}, [], 1
    for tensor, array in letters.items():
        powers[tensor] = np.array([step * (1 + k) for k in range(array.size)]).reshape(array.shape)
        choices.append([None, *array.flat])
        step *= 1 + array.size
    # the first tensor's choice is the lowest digit of a product's number
    products = [[name for name in reversed(chosen) if name] for chosen in product(*reversed(choices))]
    answer = value(**{tensor: _each(lambda power: _BASE ** int(power), p) for tensor, p in powers.items()})
    found = _each(lambda number: _decoded(number, products), answer)
    _compare_elsewhere(value, letters, found)
    return found


_BASE = 1 << 64
_PARTS = 720720  # coefficients are whole numbers of these parts of 1


def _each(function: Callable[[Any], Any], array: np.ndarray) -> np.ndarray:
    found = np.empty(array.shape, object)
    for place in np.ndindex(*array.shape):
        found[place] = function(array[place])
    return found


def _decoded(number: Fraction, products: list[list[str]]) -> Form:
    found: Counter[tuple[str, ...]] = Counter()
    rest = int(number * _PARTS)
    for factors in products:
        digit = (rest + _BASE // 2) % _BASE - _BASE // 2
        rest = (rest - digit) // _BASE
        if digit:
            found[tuple(sorted(factors))] += Fraction(digit, _PARTS)
    return dict(found)


def _compare_elsewhere(
    value: Callable[..., np.ndarray], letters: Mapping[str, np.ndarray], found: np.ndarray
) -> None:
    known = sorted({name for array in letters.values() for name in array.flat})
    numbers = {name: (3 + k) ** 2 * (-1) ** k for k, name in enumerate(known)}
    answer = value(**{tensor: _each(numbers.__getitem__, array) for tensor, array in letters.items()})
    for place in np.ndindex(*found.shape):
        value_here = sum(c * prod(numbers[name] for name in factors) for factors, c in found[place].items())
        assert answer[place] == value_here, f"no sum of products of entries of different tensors at {place}"
