"""Every layer and loss gives PyTorch's and JAX's value and gradients, in float64 to 1e-12.

The error of an entry is measured against the size of what was added up to make it, because cancellation
leaves a rounding error of that size however the sum is done:

- linear layers: the sum of the absolute products, which is what PyTorch gives for absolute arrays;
- layers that select: values must be equal; gradients against the sum of the absolute gradients selected;
- the others: the largest magnitude of the result.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_oracles import (
    CASES,
    LINEAR,
    SELECTING,
    SMALL,
    Case,
    any_rank,
    arrays_of,
    closedform_results,
    convolutions,
    examples,
    jax_results,
    local_convolutions,
    mask_of,
    pools,
    torch_results,
)

import closedform as cf

TOLERANCE = 1e-12


def magnitudes(torch, case, arrays, expected):
    if type(case.layer).__name__ in LINEAR:
        return torch_results(torch, case, {name: np.abs(array) for name, array in arrays.items()})
    if type(case.layer).__name__ in SELECTING:
        return torch_results(torch, case, arrays | {"dy": np.abs(arrays["dy"])}) | {"y": np.array(0.0)}
    return {name: np.abs(array).max() for name, array in expected.items()}


def check(results, expected, magnitude, tolerance=TOLERANCE):
    assert results.keys() == expected.keys()
    for name, array in expected.items():
        assert results[name].shape == array.shape, name
        error, allowed = np.abs(results[name] - array), tolerance * magnitude[name]
        assert (error <= allowed).all(), f"{name}: {error.max()} where {np.min(allowed)} is allowed"


def check_with_torch(torch, case, arrays=None):
    arrays = arrays_of(case) if arrays is None else arrays
    expected = torch_results(torch, case, arrays)
    check(closedform_results(case, arrays), expected, magnitudes(torch, case, arrays, expected))


@pytest.mark.parametrize("kind", CASES)
def test_value_and_gradients_are_pytorchs(torch, kind):
    # convolutions have the most settings, and the point-wise layers none
    quick = 50 if kind == "Conv2d" else 25 if "2d" in kind else 12

    @examples(quick)
    @given(CASES[kind])
    def sweep(case):
        check_with_torch(torch, case)

    sweep()


@pytest.mark.parametrize("name", list(SMALL)[:6])
def test_convolutions_are_jaxs(torch, jax, name):
    case = SMALL[name]
    arrays = arrays_of(case)
    check(
        closedform_results(case, arrays),
        jax_results(jax, case, arrays),
        magnitudes(torch, case, arrays, {}),
    )


@examples(3)  # JAX compiles each shape anew
@given(st.one_of(convolutions(), local_convolutions()))
def test_random_convolutions_are_jaxs(torch, jax, case):
    arrays = arrays_of(case)
    check(
        closedform_results(case, arrays),
        jax_results(jax, case, arrays),
        magnitudes(torch, case, arrays, {}),
    )


# ---- places where implementations differ


@examples(25)
@given(st.one_of(pools(cf.MaxPool2d), any_rank(st.just(cf.GlobalMaxPool2d()), (4,))))
def test_the_gradient_of_equal_maxima_goes_to_the_first_as_in_pytorch(torch, case):
    # whole numbers: many windows hold their maximum more than once, and every sum is exact
    arrays = {name: np.rint(array) for name, array in arrays_of(case).items()}
    results, expected = closedform_results(case, arrays), torch_results(torch, case, arrays)
    assert np.array_equal(results["y"], expected["y"])
    assert np.array_equal(results["x"], expected["x"])


def test_the_first_maximum_is_the_first_in_row_order():
    x = np.array([[[[1.0, 7, 7], [7, 7, 0]]]])
    _, pullback = cf.GlobalMaxPool2d().apply(x, {})
    assert pullback(np.array([[5.0]]))[0].tolist() == [[[[0, 5, 0], [0, 0, 0]]]]
    _, pullback = cf.MaxPool2d(2, stride=1).apply(x, {})
    assert pullback(np.array([[[[1.0, 10]]]]))[0].tolist() == [[[[0, 11, 0], [0, 0, 0]]]]


@pytest.mark.parametrize(
    ("layer", "at_zero"), [(cf.ReLU(), 0.0), (cf.LeakyReLU(0.25), 0.25), (cf.LeakyReLU(2.0), 2.0)], ids=repr
)
def test_the_derivative_at_zero_is_pytorchs(torch, layer, at_zero):
    arrays = {"x": np.array([[0.0, -0.0]]), "dy": np.array([[1.0, 1.0]])}
    case = Case(layer, (2,), 1, 0)
    assert closedform_results(case, arrays)["x"].tolist() == [[at_zero, at_zero]]
    assert torch_results(torch, case, arrays)["x"].tolist() == [[at_zero, at_zero]]


def test_same_padding_puts_the_odd_row_after_the_image():
    x = np.arange(1.0, 5).reshape(1, 1, 1, 4)
    first, last = np.array([[[[1.0, 0]]]]), np.array([[[[0.0, 1]]]])
    layer = cf.Conv2d(1, (1, 2), padding="same", bias=False)
    assert layer.apply(x, {"weight": first})[0].tolist() == [[[[1, 2, 3, 4]]]]
    assert layer.apply(x, {"weight": last})[0].tolist() == [[[[2, 3, 4, 0]]]]
    halved = replace(layer, stride=2, kernel_size=(1, 4))
    weight = np.array([[[[1.0, 10, 100, 1000]]]])
    assert halved.apply(x, {"weight": weight})[0].tolist() == [[[[3210, 432]]]]
    assert halved.apply(x[..., :3], {"weight": weight})[0].tolist() == [[[[3210, 32]]]]


def test_convolution_is_cross_correlation():
    x = np.arange(1.0, 5).reshape(1, 1, 1, 4)
    weight = np.array([[[[1.0, 10]]]])
    assert cf.Conv2d(1, (1, 2), bias=False).apply(x, {"weight": weight})[0].tolist() == [[[[21, 32, 43]]]]


def test_average_pooling_at_a_border_divides_by_the_window_or_by_what_it_holds():
    x = np.array([[[[4.0, 8], [12, 16]]]])
    whole = cf.AvgPool2d(2, padding=1).apply(x, {})[0]
    inside = cf.AvgPool2d(2, padding=1, count_include_pad=False).apply(x, {})[0]
    assert whole.tolist() == [[[[1, 2], [3, 4]]]]
    assert inside.tolist() == [[[[4, 8], [12, 16]]]]


def test_rows_that_a_stride_leaves_uncovered_have_gradient_zero():
    x = np.ones((1, 1, 1, 5))
    _, pullback = cf.Conv2d(1, (1, 2), stride=3, bias=False).apply(x, {"weight": np.full((1, 1, 1, 2), 2.0)})
    assert pullback(np.array([[[[1.0, 10]]]]))[0].tolist() == [[[[2, 2, 0, 20, 20]]]]


# ---- dropout


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_divides_what_it_keeps(dtype):
    layer, x = cf.Dropout(0.2), np.ones((40, 250), dtype)
    y, pullback = layer.apply(x, {}, training=True, rng=7)
    mask = mask_of(layer, x.shape, 7).astype(dtype)
    assert np.array_equal(y, mask)
    assert np.array_equal(pullback(3 * x)[0], 3 * mask)
    assert set(np.unique(y).tolist()) == {0, float(dtype(1.25))}
    # 10,000 draws with probability 0.2: five standard deviations are 0.02
    assert abs((y == 0).mean() - 0.2) < 0.02


def test_dropout_changes_nothing_outside_training():
    x = np.arange(6.0).reshape(2, 3)
    y, pullback = cf.Dropout(0.9).apply(x, {})
    dx, gradients = pullback(x + 1)
    assert y.tolist() == x.tolist()
    assert dx.tolist() == (x + 1).tolist()
    assert gradients == {}


def test_the_mask_of_an_image_does_not_depend_on_the_batch():
    layer = cf.Dropout(0.5)
    many, _ = layer.apply(np.ones((5, 3, 4)), {}, training=True, rng=1)
    one, _ = layer.apply(np.ones((1, 3, 4)), {}, training=True, rng=1)
    assert np.array_equal(many[:1], one)
    assert not np.array_equal(many[0], many[1])


def test_dropout_draws_from_a_seed_or_a_generator():
    layer, x = cf.Dropout(0.5), np.ones((4, 50))

    def drawn(rng):
        return layer.apply(x, {}, training=True, rng=rng)[0].tolist()

    assert drawn(None) == drawn(0) != drawn(1)
    assert drawn(np.random.default_rng(3)) == drawn(np.random.default_rng(3)) != drawn(3)
    generator = np.random.default_rng(3)
    assert drawn(generator) != drawn(generator)
