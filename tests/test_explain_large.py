"""Large layers in symbols: only what is shown is worked out, and it is what all of it would show."""

import time
import tracemalloc

import numpy as np
import pytest

import closedform as cf
from closedform.explanation.building import difference, entries
from closedform.explanation.building.grids import prepared
from closedform.formula.naming.recipe import Axis, Operand

LAYERS = {
    "convolution": (cf.Conv2d(3, 3, padding=1, stride=2), (2, 14, 14)),
    "dense": (cf.Dense(5), (40,)),
    "mean": (cf.AvgPool2d(2), (2, 8, 8)),
    "mean of all": (cf.GlobalAvgPool2d(), (2, 20, 20)),
    "maximum of all": (cf.GlobalMaxPool2d(), (2, 12, 12)),
    "depthwise": (cf.DepthwiseConv2d(3), (3, 12, 12)),
    "squares": (cf.Formula("Y[n,k] = b[k] - 2 * sum[j] W[k,j] * X[n,j]^2", k=3), (30,)),
    "exponentials": (cf.Formula("Y[n] = sum[j] exp(-X[n,2*j])"), (30,)),
    "windows": (cf.Formula("Y[n] = sum[i,j] X[n,i+j] * W[i]", i=4, j=9), (12,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_sums_of_many_terms_are_written_as_those_of_few(monkeypatch, name):
    layer, shape = LAYERS[name]
    monkeypatch.setattr(entries, "_MANY", 10**9)
    expected = cf.explain(layer, input_shape=shape)
    monkeypatch.setattr(entries, "_MANY", -1)
    found = cf.explain(layer, input_shape=shape)
    assert found.text() == expected.text()
    assert found.latex() == expected.latex()


def test_an_image_of_four_million_pixels_is_explained_at_once():
    started = time.perf_counter()
    tracemalloc.start()
    try:
        text = cf.explain(cf.Conv2d(64, 3), input_shape=(3, 2000, 2000)).text()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 30
    assert most < 100_000_000
    assert "∂L/∂y[64,1998,1998]·x[3,2000,2000]" in text
    said = (
        "too large to be checked by difference quotients here: one pass takes about 10¹⁰ products and holds"
    )
    assert said in " ".join(text.split())


def test_more_work_means_fewer_entries_in_the_numerical_check(monkeypatch):
    page = cf.explain(cf.Dense(3), input_shape=(4,)).text()
    assert "19 entries of X, W, b" in page
    monkeypatch.setattr(difference, "_FEW_PRODUCTS", 10)
    assert "3 entries of X, W, b" in cf.explain(cf.Dense(3), input_shape=(4,)).text()


def test_numbers_that_need_more_memory_than_there_is(monkeypatch):
    monkeypatch.setattr("closedform.engine.memory.available", lambda: 1000)
    assert cf.explain(cf.Dense(3), input_shape=(4,)).text()
    with pytest.raises(cf.SettingError) as caught:
        cf.explain(cf.Dense(30), x=np.ones((1, 4)))
    assert str(caught.value).startswith("the numbers of this network need ")
    assert str(caught.value).endswith(
        " of memory, but 1.0 kB is available: take a smaller input, or leave the numbers out"
    )


AXES = [
    Axis((("i", 1),)),
    Axis((("i", 1),), insert=2, rotate=True, pad=(2, 1)),
    Axis((("i", 1),), repeat=3, insert=1, pad=(-2, 4)),
    Axis((("i", 1),), rotate=True, pad=(1, -2)),
]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    ("split", "merge"),
    [(((4,), (5,)), ((0,), (1,))), (((2, 3), (4,)), ((0, 2), (1,))), (((6,), (2, 2)), ((1, 0), (2,)))],
)
def test_an_entry_of_a_prepared_tensor_is_found_without_preparing_it(axis, split, merge):
    operand = Operand("X", split, merge, (axis, Axis((("j", 1),), pad=(1, 0))))
    picture = prepared(operand, "x")
    shape = operand.shape
    numbers = operand.prepared(np.arange(1, np.prod(shape) + 1).reshape(shape))
    assert picture.lengths == numbers.shape
    for place in np.ndindex(numbers.shape):
        number = int(numbers[place])
        expected = tuple(map(int, np.unravel_index(number - 1, shape))) if number else None
        assert picture.entry(place) == expected
