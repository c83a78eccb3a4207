"""Layers keep the dtype they are given, and float32 results are as exact as their number of terms allows.

Rounding to nearest changes a number by at most the factor 1 + u, u = 2⁻²⁴ in float32.  A sum of n products,
added in any order, has each of its products rounded at most n times, so that its error is at most

    gamma_n * sum of |products|,  gamma_n = n*u / (1 - n*u)

(N. Higham, "Accuracy and stability of numerical algorithms", 2002, section 3.1).  PyTorch gives both
numbers: the sum of |products| from absolute arrays, and n from arrays of ones.  The bounds of functions
count roundings likewise, with exp, log and tanh counted as FUNCTION.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from layer_oracles import (
    CASES,
    LINEAR,
    SELECTING,
    SMALL,
    Case,
    arrays_of,
    closedform_results,
    examples,
    in_dtype,
    torch_results,
)

import closedform as cf
from closedform.layers import Loss

U = 2.0**-24
# NumPy's float32 exp, log and tanh err by less than 4 units in the last place, each of at most 2u
FUNCTION = 8


def gamma(n, u=U):
    return n * u / (1 - n * u)


def linear_bounds(torch, case, arrays):
    """The bounds of a layer that adds products; a mean has two more roundings, of its divisor and by it."""
    absolute = torch_results(torch, case, {name: np.abs(array) for name, array in arrays.items()})
    ones = {name: np.ones_like(array) for name, array in arrays.items()}
    match case.layer:
        case cf.AvgPool2d():
            window = math.prod(case.layer.kernel_size)
        case cf.GlobalAvgPool2d():
            window = math.prod(case.input_shape[1:])
        case _:
            window = 1
    terms = {name: np.rint(array * window) for name, array in torch_results(torch, case, ones).items()}
    return {name: gamma(terms[name] + 2) * absolute[name] for name in absolute}


def selecting_bounds(torch, case, arrays):
    """A selected entry is exact, times a slope one rounding and the slope's own; gradients are added."""
    selected = torch_results(torch, case, arrays | {"dy": np.abs(arrays["dy"])})["x"]
    windows = torch_results(torch, case, arrays | {"dy": np.ones_like(arrays["dy"])})["x"]
    slopes = isinstance(case.layer, cf.LeakyReLU)
    value = torch_results(torch, case, arrays)["y"]
    return {
        "y": gamma(2 * slopes) * np.abs(value),
        "x": gamma(np.ceil(np.abs(windows)) + 2 * slopes) * np.abs(selected),
    }


def softmax_parts(x):
    """log-sum-exp relative to the maximum, the probabilities, and the roundings of a probability.

    Rounding x - max changes exp(x - max) by the factor 1 + u*|x - max|.
    """
    shifted = x - x.max(1, keepdims=True)
    total = np.exp(shifted).sum(1, keepdims=True)
    roundings = FUNCTION + np.abs(shifted).max() + x.shape[1]
    return shifted, np.log(total), np.exp(shifted) / total, roundings


def smooth_bounds(case, arrays):
    x, dy = arrays["x"], np.abs(arrays["dy"])
    match case.layer:
        case cf.Sigmoid():
            y = 1 / (1 + np.exp(-x))
            # exp above and below the line, one addition, one division
            value = 2 * FUNCTION + 2
            return {"y": gamma(value) * y, "x": gamma(2 * value + 3) * dy * y * (1 + y)}
        case cf.Tanh():
            y = np.tanh(x)
            return {"y": gamma(FUNCTION) * np.abs(y), "x": gamma(2 * FUNCTION + 3) * dy * (1 + y**2)}
        case cf.Softmax():
            _, _, y, roundings = softmax_parts(x)
            value = 2 * roundings + 1
            inner = (dy * y).sum(1, keepdims=True)
            return {
                "y": gamma(value) * y,
                "x": gamma(2 * value + x.shape[1] + 3) * y * (dy + inner),
            }
        case cf.SoftmaxCrossEntropy():
            shifted, logarithm, y, roundings = softmax_parts(x)
            targets, count = arrays["T"], len(x)
            # the logarithm errs by its own rounding and by the relative error of its argument
            size = (targets * (np.abs(shifted) + logarithm + 1)).sum() / count
            return {
                "y": gamma(roundings + FUNCTION + x.size + 5) * size,
                "x": gamma(2 * roundings + 4) * (y + targets) * dy / count,
            }
        case cf.SigmoidBinaryCrossEntropy():
            targets, count = arrays["T"], len(x)
            y = 1 / (1 + np.exp(-x))
            size = (targets * np.logaddexp(0, -x) + (1 - targets) * np.logaddexp(0, x)).sum() / count
            return {
                "y": gamma(2 * FUNCTION + count + 5) * size,
                "x": gamma(2 * FUNCTION + 6) * (y + targets) * dy / count,
            }
        case cf.MeanSquaredError():
            apart = np.abs(x) + np.abs(arrays["T"])
            return {
                "y": gamma(x.size + 6) * (apart**2).mean(),
                "x": gamma(5) * 2 * apart * dy / x.size,
            }
    raise AssertionError(f"no bound for {case.layer}")


def bounds(torch, case, arrays):
    kind = type(case.layer).__name__
    if kind in LINEAR:
        return linear_bounds(torch, case, arrays)
    return selecting_bounds(torch, case, arrays) if kind in SELECTING else smooth_bounds(case, arrays)


def float16_bounds(case, arrays, expected):
    """What float16 adds to the bounds of float32, in which it is computed.

    Results are rounded once, and so is what they are made of: dropout's mask, the output that a gradient
    reads, and a loss's gradient before it is multiplied by dy.
    """
    u = 2.0**-11
    roundings = dict.fromkeys(expected, 1)
    match case.layer:
        case cf.Dropout():
            roundings = dict.fromkeys(expected, 2)
        case Loss():
            roundings["x"] = 2
    # 2⁻²⁵ is half the smallest number above 0
    found = {name: gamma(roundings[name], u) * np.abs(array) + 2.0**-25 for name, array in expected.items()}
    y, dy = np.abs(expected["y"]), np.abs(arrays["dy"])
    match case.layer:
        case cf.Sigmoid():
            found["x"] += gamma(2, u) * dy * y
        case cf.Tanh():
            found["x"] += gamma(2, u) * dy * 2 * y**2
        case cf.Softmax():
            found["x"] += gamma(2, u) * y * (dy + 2 * (dy * y).sum(1, keepdims=True))
    return found


def check(results, expected, allowed):
    assert results.keys() == expected.keys() == allowed.keys()
    for name, array in expected.items():
        assert results[name].shape == array.shape, name
        error = np.abs(results[name].astype(float) - array)
        assert (error <= allowed[name]).all(), (
            f"{name}: the worst entry is off by {np.max(error - allowed[name])} more than its bound"
        )


@pytest.mark.parametrize("kind", CASES)
def test_float32_errs_by_no_more_than_its_roundings(torch, kind):
    @examples(15 if "2d" in kind else 8)
    @given(CASES[kind])
    def sweep(case):
        rounded = in_dtype(arrays_of(case), np.float32)
        exact = in_dtype(rounded, np.float64)
        results = closedform_results(case, rounded)
        assert {array.dtype for array in results.values()} == {np.dtype(np.float32)}
        check(results, torch_results(torch, case, exact), bounds(torch, case, exact))

    sweep()


# ---- dtypes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", SMALL)
def test_every_float_dtype_is_kept(torch, name, dtype):
    case = SMALL[name]
    rounded = in_dtype(arrays_of(case), dtype)
    results = closedform_results(case, rounded)
    assert {array.dtype for array in results.values()} == {np.dtype(dtype)}
    exact = in_dtype(rounded, np.float64)
    expected = torch_results(torch, case, exact)
    in_float32 = bounds(torch, case, exact)
    if dtype == np.float16:
        further = float16_bounds(case, exact, expected)
        allowed = {key: in_float32[key] + further[key] for key in expected}
    else:
        # gamma_n falls faster than u; longdouble is held against float64, in which PyTorch errs as well
        u = max(np.finfo(dtype).eps / 2, 2.0**-53)
        both = 2 if u == 2.0**-53 else 1
        allowed = {key: both * u / U * in_float32[key] for key in expected}
    check(results, expected, allowed)
    for key, array in expected.items():
        assert (allowed[key] < 0.1 * np.abs(array)).any(), f"{key}: the bound holds for any result"


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="longdouble is float64 on this platform")
def test_longdouble_is_computed_in_longdouble():
    tiny = np.longdouble(2) ** -60
    x = np.array([[1 + tiny, 1]], np.longdouble)
    weight = np.array([[1, -1]], np.longdouble)
    y, pullback = cf.Dense(1, bias=False).apply(x, {"weight": weight})
    assert y.tolist() == [[tiny]]
    dx, gradients = pullback(np.array([[tiny]]))
    assert dx.tolist() == [[tiny, -tiny]]
    assert gradients["weight"].tolist() == [[tiny * (1 + tiny), tiny]]


@pytest.mark.parametrize(
    ("given_dtypes", "expected"),
    [
        ((np.float32, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.float16, np.float32), np.float32),
        ((np.int64, np.int64), np.float64),
        ((np.uint8, np.float32), np.float32),
        ((bool, bool), np.float64),
        ((">f4", ">f4"), np.float32),
        ((">f8", "<f4"), np.float64),
    ],
)
def test_mixed_dtypes_are_computed_in_the_common_one(given_dtypes, expected):
    of_x, of_weight = given_dtypes
    x, weight = np.array([[1, 0, 1]], of_x), np.array([[1, 1, 1]], of_weight)
    y, pullback = cf.Dense(1, bias=False).apply(x, {"weight": weight})
    dx, gradients = pullback(np.array([[2]]))
    assert [y.tolist(), dx.tolist(), gradients["weight"].tolist()] == [[[2]], [[2, 2, 2]], [[2, 0, 2]]]
    assert y.dtype == dx.dtype == gradients["weight"].dtype == np.dtype(expected)
    assert y.dtype.isnative
    assert dx.dtype.isnative


# ---- extremes

HUGE = np.array([[1e4, -1e4, 0.0, 9999.5], [-1e4, -1e4, -1e4, -1e4], [1e4, 1e4, 1e4, 1e4]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", [cf.Softmax(), cf.Sigmoid(), cf.Tanh(), cf.SoftmaxCrossEntropy()], ids=repr)
def test_logits_of_ten_thousand_give_finite_values(torch, layer, dtype):
    case = Case(layer, (4,), 3, 0)
    arrays = in_dtype(arrays_of(case) | {"x": HUGE}, dtype)
    if "T" in arrays:
        arrays["T"] = np.eye(4, dtype=dtype)[[1, 2, 0]]
    results, expected = closedform_results(case, arrays), torch_results(torch, case, arrays)
    for name, array in expected.items():
        assert np.isfinite(results[name]).all(), name
        np.testing.assert_allclose(results[name], array, rtol=8 * np.finfo(dtype).eps, atol=1e-45)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_logit_of_ten_thousand_gives_a_finite_loss(torch, dtype):
    x = np.array([[1e4], [-1e4], [1e4], [-1e4], [0]], dtype)
    targets = np.array([[1], [0], [0], [1], [1]], dtype)
    arrays = {"x": x, "T": targets, "dy": np.array(1.0, dtype)}
    case = Case(cf.SigmoidBinaryCrossEntropy(), (1,), 5, 0)
    results, expected = closedform_results(case, arrays), torch_results(torch, case, arrays)
    assert results["y"] == pytest.approx((2e4 + math.log(2)) / 5, rel=1e-6)
    assert results["x"].ravel().tolist() == pytest.approx([0, 0, 0.2, -0.2, -0.1])
    np.testing.assert_allclose(results["x"], expected["x"], rtol=8 * np.finfo(dtype).eps, atol=1e-45)


@pytest.mark.parametrize("name", SMALL)
def test_nan_goes_where_it_goes_in_pytorch(torch, name):
    case = SMALL[name]
    reached = False
    for place in np.ndindex(case.input_shape):
        arrays = arrays_of(case)
        arrays["x"][(0, *place)] = np.nan
        results, expected = closedform_results(case, arrays), torch_results(torch, case, arrays)
        assert np.array_equal(np.isnan(results["y"]), np.isnan(expected["y"]))
        reached |= np.isnan(expected["y"]).any()
    assert reached
