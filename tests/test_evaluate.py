"""The value of a formula is what the language says, in floating point and in exact fractions."""

import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from closedform.errors import DataError, FormulaError, SettingError, ShapeError
from closedform.formula.evaluate import evaluate, evaluate_exactly
from closedform.formula.extents import Sizes, solve
from closedform.formula.subscripts import Polynomial
from closedform.formula.syntax import parse
from closedform.formula.tree import Access, Equation, reduce

NAN, INF = float("nan"), float("inf")

CONVOLUTION = (
    "Y[n,|q|*g+q,i,j] = b[|q|*g+q] + sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]"
)
PLAIN = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,i+u-1,j+v-1]"
LOCAL = "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"
CHANNEL_SUMMED = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
DEPTHWISE = "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s*i+u-t,s*j+v-t]"
AVERAGE = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]"
AVERAGE_INSIDE = (
    "Y[n,c,i,j] = (sum[u,v] X[n,c,s*i+u-t,s*j+v-t])"
    " / sum[u,v] [0 <= s*i+u-t < |X.2|] * [0 <= s*j+v-t < |X.3|]"
)
MAXIMUM = "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]"
FIRST = "M[n,c,i,j,u,v] = first[u,v] X[n,c,s*i+u-t,s*j+v-t]"
TRANSPOSED = "Y[n,q,a,b] = sum[p,u,v] W[p,q,u,v] * X[n,p,(a+t-u)/s,(b+t-v)/s]"
SOFTMAX = "Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])"


def value(formula, arrays, evaluator=evaluate, **settings):
    """The formula's value for these arrays, its sizes solved from their shapes."""
    equation = parse(formula)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    sizes = solve(equation, {name: array.shape for name, array in arrays.items()}, settings)
    return evaluator(equation, arrays, sizes)


def both(formula, arrays, **settings):
    """The exact value, after the floating-point value has been held against it."""
    exact = value(formula, arrays, evaluate_exactly, **settings)
    np.testing.assert_allclose(value(formula, arrays, **settings), exact.astype(float), rtol=1e-14)
    return exact.tolist()


def draw(shapes, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


# ---- by hand


def test_the_edge_filter_in_fractions():
    image = np.zeros((5, 5), int)
    image[:, 2] = 10
    arrays = {"X": image, "W": [[1, 1, 1], [1, -8, 1], [1, 1, 1]]}
    edge, middle = [0, 20, -70, 20, 0], [0, 30, -60, 30, 0]
    assert both("Y[i,j] = sum[u,v] W[u,v] * X[i+u-1,j+v-1]", arrays) == [edge, middle, middle, middle, edge]


def test_a_worked_backward_pass_in_fractions():
    image, kernel = [[2, 3, 4], [3, 1, 5], [4, -1, -2]], [[0, 3], [1, -2]]
    forward = "O[i,j] = sum[u,v] F[u,v] * X[i+u,j+v]"
    assert both(forward, {"X": image, "F": kernel}) == [[10, 3], [9, 18]]
    assert both("y = 1/(|i|*|j|) * sum[i,j] O[i,j]", {"O": [[10, 3], [9, 18]]}) == 10
    quarters = np.full((2, 2), Fraction(1, 4))
    dkernel = "dF[u,v] = sum[i,j] dO[i,j] * X[i+u,j+v]"
    exact = value(dkernel, {"X": image, "dO": quarters}, evaluate_exactly).tolist()
    assert exact == [[Fraction(9, 4), Fraction(13, 4)], [Fraction(7, 4), Fraction(3, 4)]]
    dimage = "dX[a,b] = sum[u,v] dO[a-u,b-v] * F[u,v]"
    exact = value(dimage, {"dO": quarters, "F": np.array(kernel)}, evaluate_exactly, a=3, b=3)
    assert (exact * 4).tolist() == [[0, 3, 3], [1, 2, 1], [1, -1, -2]]


def test_the_maximum_and_its_place():
    image = [[0, 0, 0, 0], [0, 8, 0, 5], [0, 8, 10, 0], [0, 0, 0, 0]]
    arrays = {"X": image}
    assert both("Y[i,j] = max[u,v] X[2*i+u,2*j+v]", arrays, u=2, v=2) == [[8, 5], [8, 10]]
    marks = both("M[i,j,u,v] = first[u,v] X[2*i+u,2*j+v]", arrays, u=2, v=2, i=2, j=2)
    assert marks == [[[[0, 0], [0, 1]], [[0, 0], [0, 1]]], [[[0, 1], [0, 0]], [[1, 0], [0, 0]]]]


def test_equal_maxima_are_marked_once_in_row_order():
    assert both("M[i,u,v] = first[u,v] X[i+u,v]", {"X": np.ones((3, 2))}, i=2, u=2) == [
        [[1, 0], [0, 0]],
        [[1, 0], [0, 0]],
    ]


def test_a_sum_counts_a_term_for_every_value_of_its_indices():
    assert both("Y[i] = X[i] + sum[u] (W[u] + 2)", {"W": [1, 2], "X": [10, 20]}) == [17, 27]
    derived = Equation(Access("L", ()), reduce("sum", ("u", "v"), Access("W", (Polynomial.of("u"),))))
    for evaluator in (evaluate, evaluate_exactly):
        assert evaluator(derived, {"W": np.array([1, 2])}, Sizes({"u": 2, "v": 3})) == 9


def test_quotients_that_are_not_whole_read_nothing():
    assert both("Y[i] = X[(i-1)/2]", {"X": [5, 6]}, i=5) == [0, 5, 0, 6, 0]
    assert both("Y[i] = X[i//2] + 10*X[i%2]", {"X": [5, 6]}, i=5) == [55, 65, 56, 66, 50]


def test_reads_far_outside_cost_no_memory():
    assert both("Y[i] = X[i-3000000000] + X[i+1]", {"X": [5, 6, 7]}, i=3) == [6, 7, 0]
    assert both("Y[i] = X[i/3000000000]", {"X": np.arange(7, 12)}, i=3) == [7, 0, 0]


def test_digits_on_the_left():
    assert both("Y[|i|*c+i] = X[c,i]", {"X": [[1, 2, 3], [4, 5, 6]]}) == [1, 2, 3, 4, 5, 6]
    assert both("Y[c,|r|*i+r] = X[|r|*c+r,i]", {"X": [[1, 2], [3, 4], [5, 6], [7, 8]]}, r=2) == [
        [1, 3, 2, 4],
        [5, 7, 6, 8],
    ]


def test_entries_that_nothing_writes_are_zero():
    equation, image = parse("Y[i] = 2*X[i]"), np.array([1, 2])
    sizes = Sizes(extents={"i": 2}, shapes={"Y": (4,)})
    assert evaluate(equation, {"X": image}, sizes).tolist() == [2, 4, 0, 0]
    assert evaluate_exactly(equation, {"X": image}, sizes).tolist() == [2, 4, 0, 0]


def test_any_affine_subscript_may_stand_on_the_left_of_a_derived_formula():
    i = Polynomial.of("i")
    equation, image = Equation(Access("Y", (2 * i + 1,)), Access("X", (i,))), np.array([5, 6])
    for evaluator in (evaluate, evaluate_exactly):
        assert evaluator(equation, {"X": image}, Sizes({"i": 2})).tolist() == [0, 5, 0, 6]
    with pytest.raises(ShapeError) as caught:
        evaluate(Equation(Access("Y", (i - 1,)), Access("X", (i,))), {"X": image}, Sizes({"i": 2}))
    assert str(caught.value) == "the left side of Y[i-1] = X[i] is not everywhere an entry, counted from 0"


def test_brackets_compare_subscripts_and_values():
    arrays = {"X": [3, 1, 3]}
    assert both("Y[i,j] = [i < j] + 2*[X[i] = X[j]] + 4*[X[i] != 3]", arrays) == [
        [2, 1, 3],
        [4, 6, 5],
        [2, 0, 2],
    ]
    assert both("Y[i] = [1 <= i < |X.0|] + 10*[i <= X[i]]", arrays) == [10, 11, 11]


def test_jacobians_are_arrays_of_both_shapes():
    jacobian = np.arange(12).reshape(2, 2, 3)
    arrays = {"dY": [[1, 2], [3, 4]], "∂Y/∂X": jacobian.reshape(2, 2, 3), "dX": np.zeros(3)}
    assert both("dX[a] = sum[i,j] dY[i,j] * ∂Y[i,j]/∂X[a]", arrays) == [60, 70, 80]


def test_primed_indices_run_over_the_same_range():
    assert both("Y[u] = sum[u'] [u' <= u] * X[u']", {"X": [1, 10, 100]}, u=3) == [1, 11, 111]


def test_pointwise_functions_on_known_numbers():
    numbers = np.array([-1000.0, -2.0, 0.0, 3.0, 1000.0, NAN])
    expected = {
        "relu": [0, 0, 0, 3, 1000, NAN],
        "step": [0, 0, 0, 1, 1, 0],
        "abs": [1000, 2, 0, 3, 1000, NAN],
        "sigmoid": [0, 0.11920292202211755, 0.5, 0.9525741268224334, 1, NAN],
        "softplus": [0, 0.1269280110429725, 0.6931471805599453, 3.048587351573742, 1000, NAN],
        "tanh": [-1, -0.9640275800758169, 0, 0.9950547536867305, 1, NAN],
        "exp": [0, 0.1353352832366127, 1, 20.085536923187668, INF, NAN],
        "log": [NAN, NAN, -INF, 1.0986122886681098, 6.907755278982137, NAN],
        "sqrt": [NAN, NAN, 0, 1.7320508075688772, 31.622776601683793, NAN],
    }
    for name, numbers_out in expected.items():
        np.testing.assert_allclose(value(f"Y[i] = {name}(X[i])", {"X": numbers}), numbers_out, rtol=1e-15)
    exact = both("Y[i] = relu(X[i]) + 10*step(X[i]) + 100*abs(X[i])", {"X": [-2, 0, 3]})
    assert exact == [200, 0, 313]


# ---- the strong zero


@pytest.mark.parametrize(
    ("formula", "arrays", "expected"),
    [
        ("Y[i] = X[i-1] / V[i]", {"X": [1, 2], "V": [0, 4]}, [0, 0.25]),
        ("Y[i] = X[i-1]^-2", {"X": [2, 4]}, [0, 0.25]),
        ("Y[i] = V[i] / X[i-1]", {"X": [2, 4], "V": [3, 5]}, [0, 2.5]),
        ("Y[i] = X[i-1] * log(V[i])", {"X": [3, 4], "V": [0, 1]}, [0, 0]),
        ("Y[i] = X[i-1] * log(X[i-1])", {"X": [1, 2]}, [0, 0]),
        ("Y[i] = X[i-1] * exp(V[i])", {"X": [1, 2], "V": [1000, 0]}, [0, 1]),
        ("Y[i] = X[i/2] / V[i]", {"X": [6, 8], "V": [2, 0, 4]}, [3, 0, 2]),
        ("Y[i] = exp(X[i-1])", {"X": [0, 2]}, [1, 1]),
        ("Y[i] = 5 + X[i-1]", {"X": [1, 2]}, [5, 6]),
        ("Y[i] = [i != 0] * log(X[i])", {"X": [0, 1]}, [0, 0]),
        ("Y[i] = [0 < X[i]] / X[i]", {"X": [0, 4]}, [0, 0.25]),
        ("Y[i,u] = W[u] * X[i+u-1] / V[i]", {"W": [1, 2], "X": [3, 4], "V": [0, 1]}, [[0, INF], [3, 8]]),
        ("Y[i] = sum[u] W[u] * X[i-u] / V[i-u]", {"W": [1, 1], "X": [1, 1], "V": [1, 1]}, [1, 2]),
    ],
)
def test_a_product_with_a_read_outside_is_zero(formula, arrays, expected):
    arrays = {name: np.asarray(array, float) for name, array in arrays.items()}
    assert value(formula, arrays, i=len(expected)).tolist() == expected


@pytest.mark.parametrize(
    ("formula", "arrays"),
    [
        ("Y[i] = X[i-1] / V[i]", {"X": [1, 2], "V": [0, 4]}),
        ("Y[i] = V[i] / X[i-1]", {"X": [2, 4], "V": [3, 5]}),
        ("Y[i] = [0 < X[i]] / X[i]", {"X": [0, 4]}),
        ("dX[a] = sum[u] W[u] * dY[a-u] / V[a-u]", {"W": [2, 3], "dY": [1, 4], "V": [1, 2]}),
    ],
)
def test_the_strong_zero_is_exact_too(formula, arrays):
    both(formula, arrays, **({"a": 3} if "[a]" in formula else {"i": 2}))


# ---- maxima and what lies outside


def test_terms_outside_take_no_part_in_a_maximum():
    numbers = [-5, -3, -4]
    assert both("Y[i] = max[u] X[i+u-1]", {"X": numbers}, u=3) == [-3, -3, -3]
    assert both("Y[i] = max[u] W[u] * X[i+u-1]", {"X": numbers, "W": [1, 2, 3]}) == [-9, -5, -3]
    assert both("Y[i] = max[u] (X[i+u-1] - 1)", {"X": numbers}, u=3) == [-4, -4, -4]
    assert both("Y[i] = max[u] sum[p] X[p,i+u-1]", {"X": [numbers, numbers]}, u=3) == [-6, -6, -6]
    assert both("Y[i,j] = max[u] max[v] X[i+u-1,j+v-1]", {"X": [numbers]}, u=3, v=3) == [[-3, -3, -3]]
    assert both("M[i,u] = first[u] X[i+u-1]", {"X": numbers}, u=3, i=3) == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_nested_maximum_without_terms_is_a_term_outside():
    arrays = {"X": [[-5, -3, -4], [-1, -2, -9]]}
    assert both("Y[i,j] = max[u] max[v] X[i+u-2,j+v-1]", arrays, u=3, v=3, i=2) == [
        [-3, -3, -3],
        [-1, -1, -2],
    ]


def test_nan_is_a_maximum_and_minus_infinity_is_not_outside():
    numbers = np.array([1.0, NAN, NAN, 2.0, -INF, -INF])
    maxima = value("Y[i] = max[u] X[2*i+u]", {"X": numbers}, u=2)
    np.testing.assert_array_equal(maxima, [NAN, NAN, -INF])
    marks = value("M[i,u] = first[u] X[2*i+u]", {"X": numbers}, u=2, i=3)
    assert marks.tolist() == [[0, 1], [1, 0], [1, 0]]
    marks = value("M[i,u] = first[u] X[i+u-1]", {"X": np.full(2, -INF)}, u=3, i=2)
    assert marks.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("evaluator", [evaluate, evaluate_exactly])
def test_a_window_that_lies_outside_is_an_error(evaluator):
    with pytest.raises(ShapeError) as caught:
        value("Y[n,i] = max[u] X[n,i+u-t]", {"X": np.ones((2, 4))}, evaluator, u=2, t=3)
    where = "i = 0" if evaluator is evaluate else "n = 0, i = 0"
    assert str(caught.value) == (
        f"max[u] X[n,i+u-t] has no term at {where}: all of them read outside; "
        "give less padding or a larger window"
    )


# ---- against PyTorch


@pytest.mark.parametrize(
    ("shape", "filters", "groups", "stride", "padding", "dilation"),
    [
        ((2, 3, 7, 6), (4, 3, 3, 2), 1, (1, 1), (0, 0), (1, 1)),
        ((3, 4, 9, 8), (6, 2, 3, 3), 2, (2, 1), (1, 2), (1, 1)),
        ((1, 3, 11, 7), (3, 1, 2, 3), 3, (3, 2), (2, 1), (2, 2)),
        ((2, 1, 5, 5), (1, 1, 5, 5), 1, (1, 1), (0, 0), (1, 1)),
        ((2, 5, 4, 1), (7, 5, 1, 1), 1, (1, 1), (0, 0), (1, 1)),
    ],
)
def test_convolution(torch, shape, filters, groups, stride, padding, dilation):
    arrays = draw({"X": shape, "W": filters, "b": filters[:1]})
    given = dict(zip(["s1", "s2", "t1", "t2", "d1", "d2"], [*stride, *padding, *dilation], strict=True))
    x, weight, bias = (torch.from_numpy(arrays[name]) for name in "XWb")
    expected = torch.nn.functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    result = value(CONVOLUTION, arrays, g=groups, **given)
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-12, atol=1e-13)


def test_locally_connected(torch):
    arrays = draw({"X": (3, 2, 7, 6), "W": (4, 3, 5, 2, 3, 2), "b": (5, 4, 3)})
    x, weight, bias = (torch.from_numpy(arrays[name]) for name in "XWb")
    windows = torch.nn.functional.unfold(x, (3, 2), padding=(1, 0), stride=(2, 2)).reshape(3, 12, 4, 3)
    expected = torch.einsum("nkij,ijqk->nqij", windows, weight.reshape(4, 3, 5, 12)) + bias
    result = value(LOCAL, arrays, s1=2, s2=2, t1=1, t2=0)
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-12, atol=1e-13)


def test_channel_summed_and_depthwise(torch):
    convolve = torch.nn.functional.conv2d
    arrays = draw({"X": (2, 3, 6, 5), "W": (4, 3, 3), "b": (4,)})
    x, weight, bias = (torch.from_numpy(arrays[name]) for name in "XWb")
    expected = convolve(x.sum(1, keepdim=True), weight[:, None], bias, 2, 1)
    np.testing.assert_allclose(value(CHANNEL_SUMMED, arrays, s=2, t=1), expected.numpy(), rtol=1e-12)
    arrays = draw({"X": (2, 4, 6, 5), "W": (4, 3, 3), "b": (4,)})
    x = torch.from_numpy(arrays["X"])
    expected = convolve(x, weight[:, None], bias, 2, 1, groups=4)
    arrays["W"], arrays["b"] = weight.numpy(), bias.numpy()
    np.testing.assert_allclose(value(DEPTHWISE, arrays, s=2, t=1), expected.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)])
def test_pooling(torch, window, stride, padding):
    arrays = draw({"X": (2, 3, 9, 10)})
    pool, x = torch.nn.functional, torch.from_numpy(arrays["X"])
    given = {"u": window, "v": window, "s": stride, "t": padding}
    expected = pool.max_pool2d(x, window, stride, padding)
    np.testing.assert_array_equal(value(MAXIMUM, arrays, **given), expected.numpy())
    for formula, counted in [(AVERAGE, True), (AVERAGE_INSIDE, False)]:
        expected = pool.avg_pool2d(x, window, stride, padding, count_include_pad=counted)
        np.testing.assert_allclose(value(formula, arrays, **given), expected.numpy(), rtol=1e-12)


def test_transposed_convolution(torch):
    arrays = draw({"X": (2, 3, 4, 3), "W": (3, 2, 3, 3)})
    x, weight = torch.from_numpy(arrays["X"]), torch.from_numpy(arrays["W"])
    expected = torch.nn.functional.conv_transpose2d(x, weight, None, 2, 1)
    result = value(TRANSPOSED, arrays, s=2, t=1, a=7, b=5)
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-12, atol=1e-14)


def test_softmax_and_losses(torch):
    arrays = draw({"X": (4, 5)})
    x = torch.from_numpy(arrays["X"])
    np.testing.assert_allclose(value(SOFTMAX, arrays), torch.softmax(x, 1).numpy(), rtol=1e-13)
    labels = torch.softmax(torch.from_numpy(draw({"T": (4, 5)}, seed=1)["T"]), 1)
    loss = "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))"
    expected = torch.nn.functional.cross_entropy(x, labels).item()
    result = value(loss, {**arrays, "T": labels.numpy()})
    assert result.shape == ()
    assert result == pytest.approx(expected, rel=1e-13)
    loss = "L = -1/|n| * sum[n] (T[n]*log(sigmoid(Z[n])) + (1 - T[n])*log(1 - sigmoid(Z[n])))"
    z, t = x[:, 0], labels[:, 0]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(z, t).item()
    assert value(loss, {"Z": z.numpy(), "T": t.numpy()}) == pytest.approx(expected, rel=1e-13)


def test_formulas_with_several_sums(torch):
    functional = torch.nn.functional
    arrays = draw({"X": (3, 4, 6)})
    x = torch.from_numpy(arrays["X"])
    windows = functional.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1)
    response = "Y[n,c,i] = X[n,c,i] / (k + sum[u] X[n,c+u-t,i]^2)^2"
    expected = x / (2 + (windows**2).sum(-1)) ** 2
    np.testing.assert_allclose(value(response, arrays, u=3, t=1, k=2), expected.numpy(), rtol=1e-12)

    soft = "Y[n,c,i] = (sum[u] X[n,c,i+u]*exp(X[n,c,i+u])) / sum[u] exp(X[n,c,i+u])"
    windows = x.unfold(2, 3, 1)
    expected = (windows * windows.exp()).sum(-1) / windows.exp().sum(-1)
    np.testing.assert_allclose(value(soft, arrays, u=3), expected.numpy(), rtol=1e-12, atol=1e-14)

    centred = "(X[n,c,i] - 1/(|m|*|k|) * sum[m,k] X[m,c,k])"
    variance = "1/(|m|*|k|) * sum[m,k] (X[m,c,k] - 1/(|n|*|i|) * sum[o,l] X[o,c,l])^2"
    batch = f"Y[n,c,i] = G[c] * {centred} / sqrt(1/2 + {variance})"
    scale = draw({"G": (4,)}, seed=2)
    expected = functional.batch_norm(x, None, None, torch.from_numpy(scale["G"]), None, True, 0.1, 0.5)
    np.testing.assert_allclose(value(batch, arrays | scale), expected.numpy(), rtol=1e-12, atol=1e-13)

    dilation = "Y[n,c,i] = max[u] (X[n,c,i+u-1] + W[u])"
    kernel = draw({"W": (3,)}, seed=3)
    windows = functional.pad(x, (1, 1), value=-INF).unfold(2, 3, 1)
    expected = (windows + torch.from_numpy(kernel["W"])).amax(-1)
    np.testing.assert_array_equal(value(dilation, arrays | kernel), expected.numpy())


def test_products_of_many_tensors():
    arrays = draw({"A": (3, 4), "B": (4, 5), "C": (5, 3), "D": (3, 6), "E": (6,)})
    formula = "Y[i,l] = sum[j,k,m] A[i,j] * B[j,k] * C[k,i] * D[i,l] * E[m]"
    expected = np.einsum("ij,jk,ki,il,m->il", *arrays.values())
    np.testing.assert_allclose(value(formula, arrays), expected, rtol=1e-12)
    arrays = draw({"X": (3, 4, 4)})
    squares = arrays["X"] * arrays["X"].swapaxes(1, 2)
    np.testing.assert_array_equal(value("Y[n,i,j] = X[n,i,j] * X[n,j,i]", arrays), squares)
    diagonal = np.diagonal(arrays["X"], axis1=1, axis2=2)
    np.testing.assert_array_equal(value("Y[n,i] = X[n,i,i]", arrays), diagonal)


# ---- exact fractions and floating point agree

ON_WHOLE_NUMBERS = [
    (
        CONVOLUTION,
        {"X": (2, 4, 5, 4), "W": (6, 2, 2, 3)},
        {"g": 2, "s1": 2, "s2": 1, "t1": 1, "t2": 1, "d1": 2, "d2": 1},
    ),
    (LOCAL, {"X": (2, 2, 4, 5), "W": (4, 5, 2, 2, 3, 3)}, {"s1": 1, "s2": 1, "t1": 1, "t2": 1}),
    (CHANNEL_SUMMED, {"X": (2, 3, 4, 5), "W": (2, 3, 3)}, {"s": 2, "t": 1}),
    (DEPTHWISE, {"X": (2, 3, 4, 5), "W": (3, 3, 3)}, {"s": 2, "t": 1}),
    (MAXIMUM, {"X": (2, 2, 4, 5)}, {"s": 2, "t": 1, "u": 3, "v": 3}),
    (FIRST, {"X": (2, 2, 4, 5)}, {"s": 2, "t": 1, "u": 3, "v": 3, "i": 2, "j": 3}),
    (TRANSPOSED, {"X": (2, 3, 4, 3), "W": (3, 2, 3, 3)}, {"s": 2, "t": 1, "a": 7, "b": 6}),
    ("Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]", {"X": (2, 3, 4, 5)}, {}),
    (
        "dX[n,c,a,b] = dY[n,c,a//s,b//s] * M[n,c,a//s,b//s,a%s,b-s*(b//s)]",
        {"dY": (2, 3, 2, 2), "M": (2, 3, 2, 2, 2, 2)},
        {"s": 2, "a": 5, "b": 4},
    ),
    (
        "dX[n,p,a] = sum[n',q,i,p',u] dY[n',q,i] * W[i,q,p',u] * [n = n'] * [p = p'] * [a = s*i+u-t]",
        {"dY": (2, 2, 2), "W": (2, 2, 2, 3), "dX": (2, 2, 4)},
        {"s": 2, "t": 1},
    ),
    (
        "Y[n,q,i] = sum[p,u] (A[q,p,u]*X[n,p,i+u-1] + B[q,p,u]*relu(X[n,p,i+u-1])^2)",
        {"X": (2, 3, 4), "A": (2, 3, 3)},
        {},
    ),
    ("L = sum[i,u] X[i+u] * X[i] * [X[i] < X[i+u]]", {"X": (6,)}, {"u": 3}),
    ("Y[i] = max[u] sum[v] W[v] * X[i+u+v-2]", {"X": (6,), "W": (3,)}, {"u": 3, "i": 5}),
]


@pytest.mark.parametrize(("formula", "shapes", "given"), ON_WHOLE_NUMBERS)
def test_floating_point_is_exact_on_small_whole_numbers(formula, shapes, given):
    equation = parse(formula)
    sizes = solve(equation, shapes, given)
    generator = np.random.default_rng(1)
    arrays = {name: generator.integers(-4, 5, sizes.shapes[name]) for name in equation.tensors}
    exact = evaluate_exactly(equation, arrays, sizes)
    assert exact.dtype == object
    for dtype in (np.float16, np.float32, np.float64, np.longdouble):
        result = evaluate(equation, {name: array.astype(dtype) for name, array in arrays.items()}, sizes)
        assert result.dtype == dtype
        assert result.shape == exact.shape == sizes.shapes[equation.left.tensor]
        assert result.astype(float).tolist() == exact.tolist()


# ---- arrays in and out


def test_the_dtype_is_the_common_one():
    half, single, double = (np.ones(2, dtype) for dtype in (np.float16, np.float32, np.float64))
    formula = "Y[i] = X[i] * W[i]"
    assert value(formula, {"X": half, "W": single}).dtype == np.float32
    assert value(formula, {"X": double, "W": single}).dtype == np.float64
    assert value(formula, {"X": half, "W": np.array([True, False])}).dtype == np.float16
    assert value("Y[i] = X[i]/2", {"X": np.array([1, 2])}).tolist() == [0.5, 1]
    assert value("Y[i] = X[i]", {"X": np.ones(2, ">f4")}).dtype == np.dtype("=f4")
    assert value("Y[i] = s*X[i]", {"X": np.ones(1)}, s=10**400).tolist() == [INF]
    assert value("Y[i] = 1/3", {}, i=2).tolist() == [1 / 3, 1 / 3]


def test_half_precision_is_rounded_once():
    ones = np.full((4096, 2), 1.001, np.float16)
    mean = value("Y[c] = 1/|n| * sum[n] X[n,c]", {"X": ones})
    assert mean.dtype == np.float16
    assert mean.tolist() == ones[0].tolist()


def test_inputs_may_have_any_strides_and_stay_as_they_were():
    arrays = draw({"X": (2, 3, 6, 6), "W": (4, 3, 3, 3), "b": (4,)})
    expected = value(PLAIN, arrays)
    wide = np.zeros((2, 3, 12, 12))
    wide[..., ::2, ::-2] = arrays["X"]
    strided = {
        "X": wide[..., ::2, ::-2],
        "W": np.asfortranarray(arrays["W"]),
        "b": np.flip(np.flip(arrays["b"]).copy()),
    }
    copies = {name: array.copy() for name, array in strided.items()}
    for array in strided.values():
        array.flags.writeable = False
    np.testing.assert_allclose(value(PLAIN, strided), expected, rtol=1e-13)
    for name, array in strided.items():
        np.testing.assert_array_equal(array, copies[name])


@pytest.mark.parametrize(
    "formula",
    ["Y[n,i] = X[n,i]", "Y[i,n] = X[n,i]", "Y[n,i,k] = X[n,i]", "Y[|i|*n+i] = X[n,i]", "L = X[0,1]"],
)
def test_the_result_is_a_new_array(formula):
    image = np.arange(6.0).reshape(2, 3)
    result = value(formula, {"X": image}, **({"k": 2} if "k" in formula else {}))
    assert result.flags.c_contiguous
    result[...] = -1
    assert image.tolist() == [[0, 1, 2], [3, 4, 5]]


# ---- no loop in Python


def counted_calls(formula, shapes, given):
    """How many calls, into Python and out of it, one evaluation makes."""
    equation = parse(formula)
    sizes = solve(equation, shapes, given)
    arrays = draw({name: sizes.shapes[name] for name in equation.tensors}, np.float32)
    evaluate(equation, arrays, sizes)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        evaluate(equation, arrays, sizes)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    ("formula", "window"),
    [
        (PLAIN, {"q": 8, "u": 3, "v": 3}),
        (LOCAL, {"q": 4, "u": 3, "v": 3, "s1": 1, "s2": 1, "t1": 1, "t2": 1}),
        (DEPTHWISE, {"u": 3, "v": 3, "s": 1, "t": 1}),
        (AVERAGE, {"u": 3, "v": 3, "s": 2, "t": 1}),
        (MAXIMUM, {"u": 3, "v": 3, "s": 2, "t": 1}),
        ("Y[n,c,a,b] = X[n,c,a//2,b//2]", {}),
        ("Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j] / (1 + exp(X[n,c,i-1,j]))", {}),
    ],
)
def test_the_work_in_python_does_not_grow_with_the_arrays(formula, window):
    def calls(images, channels, size):
        output = {"a": 2 * size, "b": 2 * size} if "//" in formula else {}
        return counted_calls(formula, {"X": (images, channels, size, size)}, window | output)

    assert calls(8, 8, 32) < 1.2 * calls(2, 2, 8)


def test_a_batch_of_images_takes_about_as_long_as_by_hand():
    arrays = draw({"X": (8, 8, 64, 64), "W": (16, 8, 3, 3), "b": (16,)}, np.float32)
    equation = parse(PLAIN)
    sizes = solve(equation, {name: array.shape for name, array in arrays.items()})

    def by_hand():
        padded = np.pad(arrays["X"], ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
        product = np.einsum("qpuv,npijuv->nqij", arrays["W"], windows, optimize=True)
        return product + arrays["b"][:, None, None]

    def seconds(run):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    # float32 sums of 73 terms of size 1: a few units of 2**-24 each
    np.testing.assert_allclose(evaluate(equation, arrays, sizes), by_hand(), atol=73 * 2**-20)
    ours = min(seconds(lambda: evaluate(equation, arrays, sizes)) for _ in range(5))
    assert ours < 5 * min(seconds(by_hand) for _ in range(5))


# ---- what cannot be evaluated


@pytest.mark.parametrize("evaluator", [evaluate, evaluate_exactly])
@pytest.mark.parametrize(
    ("formula", "arrays", "sizes", "error", "message"),
    [
        ("Y[i] = X[i] * W[i]", {"X": [1, 2]}, Sizes({"i": 2}), ShapeError, "no array for W of {}"),
        (
            "Y[i] = X[i]",
            {"X": [[1, 2]]},
            Sizes({"i": 2}),
            ShapeError,
            "X has 2 axes (1, 2), the formula reads it with 1",
        ),
        (
            "Y[i] = X[i]",
            {"X": [1, 2]},
            Sizes({"i": 3}, shapes={"X": (3,)}),
            ShapeError,
            "X has shape (2,), but the sizes were solved for (3,)",
        ),
        ("Y[i] = X[i]", {"X": [1, 2]}, Sizes(), ShapeError, "the size of i in {} is not among the sizes"),
        ("Y[i] = X[s*i]", {"X": [1, 2]}, Sizes({"i": 2}), ShapeError, "no value for s of {}"),
        ("Y[i] = X[i]/|k|", {"X": [1, 2]}, Sizes({"i": 2}), ShapeError, "no value for |k| of 1/|k|"),
        (
            "Y[i] = X[i]",
            {"X": [1, 2]},
            Sizes({"i": 2}, shapes={"Y": (1,)}),
            ShapeError,
            "Y has shape (1,), but {} writes entries up to (2,)",
        ),
        ("Y[i] = X[i]/s", {"X": [1, 2]}, Sizes({"i": 2}, {"s": 0}), SettingError, "1/s divides by 0"),
    ],
)
def test_sizes_that_do_not_fit_are_errors(evaluator, formula, arrays, sizes, error, message):
    with pytest.raises(error) as caught:
        evaluator(parse(formula), {name: np.array(array) for name, array in arrays.items()}, sizes)
    assert str(caught.value) == message.format(parse(formula))


def test_what_is_no_number_is_an_error():
    with pytest.raises(DataError) as caught:
        value("Y[i] = X[i]", {"X": np.array([1j])})
    assert str(caught.value) == (
        "X holds complex128: evaluate takes real floating-point numbers, evaluate_exactly takes fractions"
    )
    with pytest.raises(DataError) as caught:
        value("Y[i] = X[i]", {"X": np.array([1, NAN])}, evaluate_exactly)
    assert str(caught.value) == "X[1] is nan, which is no fraction"
    with pytest.raises(DataError) as caught:
        value("Y[i] = 1/X[i]", {"X": np.array([1, 0])}, evaluate_exactly)
    assert str(caught.value) == "Y[i] = 1 / X[i] divides by 0 at i = 1"


def test_a_function_without_a_value_in_fractions_is_named():
    with pytest.raises(FormulaError) as caught:
        value("Y[i] = X[i] + exp(X[i])", {"X": np.array([1])}, evaluate_exactly)
    assert str(caught.value) == (
        "exp has no value in fractions: evaluate in floating point instead\n"
        "  Y[i] = X[i] + exp(X[i])\n"
        "                ^"
    )


# ---- brackets beside infinities


@pytest.mark.parametrize(
    ("formula", "x", "expected"),
    [
        ("Y[i] = relu(X[i]) + 1/2*X[i]*[X[i] <= 0]", [INF, -INF, NAN, -2], [INF, -INF, NAN, -1]),
        ("Y[i] = step(X[i]) + 1/2*[X[i] <= 0]", [INF, -INF, -2], [1, 1 / 2, 1 / 2]),
        ("Y[i] = [i != 1] * X[i]", [1, INF, NAN], [1, 0, NAN]),
        ("Y[i] = sum[u] [u != i] * X[u]", [1, 2, NAN], [NAN, NAN, 3]),
    ],
)
def test_a_product_with_a_bracket_that_does_not_hold_is_0(formula, x, expected):
    equation = parse(formula)
    x = np.array(x, float)
    sizes = Sizes({"i": len(x), "u": len(x)}, {}, {"X": x.shape, "Y": x.shape})
    np.testing.assert_array_equal(evaluate(equation, {"X": x}, sizes), expected)


def test_a_maximum_whose_terms_read_outside_along_several_indices():
    equation = parse("Y[i] = max[u,v] (10*X[i+u-1] + X[v-1] + X[v-2])")
    sizes = Sizes({"i": 3, "u": 2, "v": 4}, {}, {"X": (3,), "Y": (3,)})
    # of v only 2 and 3 are inside twice: 2 + 1 and 4 + 2
    assert evaluate(equation, {"X": np.array([1.0, 2, 4])}, sizes).tolist() == [16, 26, 46]
