"""The first maximum of windows of any size: in row order, the first NaN, and where nothing else is left."""

import numpy as np
import pytest

from closedform.engine.maxima import first_maximum


@pytest.mark.parametrize("side", [4, 20])  # offset by offset, and by one search
def test_the_first_maximum_of_a_window(side):
    terms = np.zeros((5, side, side))
    terms[0, 1, 2] = terms[0, 2, 1] = 3  # a tie: the first in row order
    terms[1, 2, 2] = np.nan
    terms[1, 3, 3] = np.nan
    terms[2] = -np.inf
    terms[3, 0, 3] = np.inf
    places = [(1, 2), (2, 2), (1, 1), (0, 3), (0, 0)]
    allowed = np.ones_like(terms)
    allowed[2] = 0
    allowed[2, 1, 1:] = 1  # every term is minus infinity: the first that takes part
    found = first_maximum(terms, 2, allowed)
    expected = np.zeros_like(terms)
    for window, place in enumerate(places):
        expected[(window, *place)] = 1
    assert np.array_equal(found, expected)
