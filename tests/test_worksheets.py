"""The five worksheets A to E: every number and every formula on them, as literals.

"Convolution" is cross-correlation throughout, as on the sheets.  Entries are counted from 1 in symbols
(``x11``), from 0 on sheet B and in arrays.
"""

import math
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from symbols import form, forms, in_symbols, names

import closedform as cf
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate, evaluate_exactly
from closedform.formula.extents import solve
from closedform.formula.syntax import parse

QUARTER = Fraction(1, 4)


def forward(layer, X, **parameters):
    """A layer's output in exact fractions; the parameters under the formula's own names."""
    shape = X.shape[1:]
    return evaluate_exactly(
        layer.formula_for(shape), {"X": X, **parameters}, layer.sizes(shape, batch=len(X))
    )


def gradient(layer, tensor, shape, **arrays):
    """The derived gradient in exact fractions, for inputs of this shape (N, ...)."""
    sizes = layer.sizes(shape[1:], batch=shape[0])
    return derived_value(derive(layer.formula_for(shape[1:]), tensor, sizes), arrays)


def derived_value(derivation, arrays):
    """A derivation's result in exact fractions."""
    known = dict(arrays)
    for equation in (*derivation.definitions, derivation.result):
        known[equation.left.tensor] = evaluate_exactly(equation, known, derivation.sizes)
    return known[derivation.gradient]


def derivation_of(formula, tensor, **shapes):
    """The derivation of one line's gradient."""
    equation = parse(formula)
    return derive(equation, tensor, solve(equation, shapes))


def batched(image):
    """One image with one channel, as (1, 1, height, width)."""
    return np.array(image)[None, None]


def convolved(image, kernel):
    """The sheets' ``*``: the kernel is laid on every window, and the products are added."""
    windows = sliding_window_view(image, kernel.shape)
    return (windows * kernel).sum((-2, -1))


def full(image, kernel):
    """The convolution of the image in a border of zeros: each entry of the kernel meets every entry."""
    return convolved(np.pad(image, [(k - 1, k - 1) for k in kernel.shape]), kernel)


def rotated(array):
    """By 180° in the last two axes."""
    return array[..., ::-1, ::-1]


def zero_inserted(array, stride):
    """s - 1 zeros between neighbours in the last two axes."""
    height, width = ((length - 1) * stride + 1 for length in array.shape[-2:])
    found = np.zeros((*array.shape[:-2], height, width), array.dtype)
    found[..., ::stride, ::stride] = array
    return found


def integers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-9, 10, shape)


def places_of_difference(one, other):
    return [place for place in np.ndindex(np.shape(one)) if np.array(one)[place] != np.array(other)[place]]


def losses(net, x, y, **settings):
    return net.fit(x, y, verbose=0, **settings)["loss"]


# ---- A: shared against unshared kernels

X_A = names("x", 3, 3)[None, None]
KERNELS_A = np.array([[names("v", 2, 2), names("w", 2, 2)], [names("y", 2, 2), names("z", 2, 2)]])
UNSHARED = KERNELS_A[:, :, None, None]  # (output row, output column, filters, channels, kernel row, column)
BIASES_A = names("b", 4).reshape(1, 2, 2)
COUNTED = batched([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def mean_gradient(shape):
    """∂p/∂h, where p is the mean of h."""
    return gradient(cf.GlobalAvgPool2d(), "X", (1, *shape), dY=np.array([[1]]))


def test_a_the_mean_gives_each_of_its_four_outputs_a_quarter():
    assert mean_gradient((1, 2, 2)).tolist() == [[[[QUARTER, QUARTER], [QUARTER, QUARTER]]]]


def test_a1_outputs_of_one_shared_kernel():
    h = in_symbols(
        lambda X, W, b: forward(cf.Conv2d(1, 2), X, W=W, b=b),
        X=X_A, W=names("w", 2, 2)[None, None], b=np.array(["b"], object),
    )  # fmt: skip
    assert h[0, 0].tolist() == forms(
        "w11*x11 + w12*x12 + w21*x21 + w22*x22 + b | w11*x12 + w12*x13 + w21*x22 + w22*x23 + b",
        "w11*x21 + w12*x22 + w21*x31 + w22*x32 + b | w11*x22 + w12*x23 + w21*x32 + w22*x33 + b",
    )


SHARED_KERNEL_GRADIENT = forms(
    "x11 + x12 + x21 + x22 | x12 + x13 + x22 + x23",
    "x21 + x22 + x31 + x32 | x22 + x23 + x32 + x33",
    factor=QUARTER,
)
SHARED_LINE = "p = 1/(|i|*|j|) * sum[i,j] (b[0] + sum[m,n] w[m,n] * x[i+m,j+n])"


def test_a1_gradient_in_the_shared_kernel_layer_by_layer():
    dw = in_symbols(
        lambda X: gradient(cf.Conv2d(1, 2), "W", X.shape, X=X, dY=mean_gradient((1, 2, 2))), X=X_A
    )
    assert dw[0, 0].tolist() == SHARED_KERNEL_GRADIENT


def test_a1_gradient_in_the_shared_kernel_from_one_line():
    derivation = derivation_of(SHARED_LINE, "w", x=(3, 3), w=(2, 2), b=(1,))
    assert str(derivation.result) == "dw[m,n] = 1/(|i|*|j|) * sum[i,j] x[i+m,j+n]"
    dw = in_symbols(lambda x: derived_value(derivation, {"x": x}), x=X_A[0, 0])
    assert dw.tolist() == SHARED_KERNEL_GRADIENT


def test_a1_gradient_in_the_shared_bias_is_four_quarters():
    db = gradient(cf.Conv2d(1, 2), "b", (1, 1, 3, 3), dY=mean_gradient((1, 2, 2)))
    assert db.tolist() == [QUARTER * (1 + 1 + 1 + 1)] == [1]
    derivation = derivation_of(SHARED_LINE, "b", x=(3, 3), w=(2, 2), b=(1,))
    assert derived_value(derivation, {}).tolist() == [1]


def test_a1_gradients_for_numbers():
    net = cf.Network([cf.Conv2d(1, 2), cf.GlobalAvgPool2d()], input_shape=(1, 3, 3))
    net.parameters = {"0.weight": [[[[1, -1], [2, 0]]]], "0.bias": [3]}
    p, pullback = net.apply(COUNTED)
    dx, gradients = pullback([[1]])
    # h = [[1 - 2 + 8, 2 - 3 + 10], [4 - 5 + 14, 5 - 6 + 16]] + 3
    assert p.tolist() == [[(10 + 12 + 16 + 18) / 4]]
    assert gradients["0.weight"].tolist() == [[[[3, 4], [6, 7]]]]
    assert gradients["0.bias"].tolist() == [1]
    # 1/4 of the sum of the weights that an entry meets
    assert (4 * dx).tolist() == [[[[1, 0, -1], [3, 2, -1], [2, 2, 0]]]]


def test_a2_outputs_of_unshared_kernels():
    h = in_symbols(
        lambda X, W, b: forward(cf.LocallyConnected2d(1, 2), X, W=W, b=b), X=X_A, W=UNSHARED, b=BIASES_A
    )
    assert h[0, 0].tolist() == forms(
        "v11*x11 + v12*x12 + v21*x21 + v22*x22 + b1 | w11*x12 + w12*x13 + w21*x22 + w22*x23 + b2",
        "y11*x21 + y12*x22 + y21*x31 + y22*x32 + b3 | z11*x22 + z12*x23 + z21*x32 + z22*x33 + b4",
    )


def unshared_gradients():
    """∂p/∂v, ∂p/∂w, ∂p/∂y, ∂p/∂z in symbols."""
    found = in_symbols(
        lambda X: gradient(cf.LocallyConnected2d(1, 2), "W", X.shape, X=X, dY=mean_gradient((1, 2, 2))), X=X_A
    )
    return found.reshape(4, 2, 2)


def test_a2_gradients_in_the_unshared_kernels():
    dv, dw, dy, dz = unshared_gradients().tolist()
    assert dv == forms("x11 | x12", "x21 | x22", factor=QUARTER)
    assert dw == forms("x12 | x13", "x22 | x23", factor=QUARTER)
    assert dy == forms("x21 | x22", "x31 | x32", factor=QUARTER)
    assert dz == forms("x22 | x23", "x32 | x33", factor=QUARTER)


def test_a2_every_unshared_bias_has_the_gradient_a_quarter():
    db = gradient(cf.LocallyConnected2d(1, 2), "b", (1, 1, 3, 3), dY=mean_gradient((1, 2, 2)))
    assert db.tolist() == [[[QUARTER, QUARTER], [QUARTER, QUARTER]]]


FIRST_WRITTEN = [
    ("x11 | x12", "x21 | x22"),
    ("x12 | x13", "x22 | x23"),
    ("x21 | x22", "x31 | x32"),
    ("x22 | x23", "x32 | x33"),
]


def test_a2_the_forgotten_quarter_is_wrong_in_every_entry_of_the_kernels_and_in_nothing_else():
    right = unshared_gradients()
    claim = [forms(*rows) for rows in FIRST_WRITTEN]
    assert places_of_difference(claim, right) == list(np.ndindex(4, 2, 2))
    corrected = [forms(*rows, factor=QUARTER) for rows in FIRST_WRITTEN]
    assert places_of_difference(corrected, right) == []
    biases = gradient(cf.LocallyConnected2d(1, 2), "b", (1, 1, 3, 3), dY=mean_gradient((1, 2, 2)))
    assert places_of_difference(np.full((1, 2, 2), QUARTER), biases) == []  # which the sheet has right


def test_a2_gradients_for_numbers():
    net = cf.Network([cf.LocallyConnected2d(1, 2), cf.GlobalAvgPool2d()], input_shape=(1, 3, 3))
    assert net.parameters["0.weight"].shape == (2, 2, 1, 1, 2, 2)
    assert net.parameters["0.bias"].shape == (1, 2, 2)
    _, pullback = net.apply(COUNTED)
    _, gradients = pullback([[1]])
    assert (4 * gradients["0.weight"]).reshape(4, 2, 2).tolist() == [
        [[1, 2], [4, 5]], [[2, 3], [5, 6]], [[4, 5], [7, 8]], [[5, 6], [8, 9]],
    ]  # fmt: skip
    assert gradients["0.bias"].tolist() == [[[0.25, 0.25], [0.25, 0.25]]]


@pytest.mark.parametrize("layer", [cf.Conv2d(1, 2), cf.LocallyConnected2d(1, 2)], ids=["shared", "unshared"])
def test_a_both_networks_train(layer):
    x = np.random.default_rng(0).uniform(-1, 1, (64, 1, 3, 3))
    y = x[:, 0, 1:, 1:].sum((1, 2)) + 2  # a kernel whose last weight is 4, and a bias of 2
    net = cf.Network([layer, cf.GlobalAvgPool2d()], input_shape=(1, 3, 3), loss=cf.MeanSquaredError())
    found = losses(net, x, y, epochs=30, batch_size=8, optimizer=cf.SGD(0.2))
    assert found[-1] < found[0] / 10


# ---- B: the general case

# h, w, k, s; s divides h - k and w - k in the first list and not in the second
EVEN = [(7, 9, 3, 2), (6, 6, 3, 1), (5, 8, 2, 3), (9, 5, 1, 4), (4, 6, 4, 2)]
UNEVEN = [(6, 9, 3, 2), (8, 10, 3, 4), (7, 6, 2, 3), (5, 7, 1, 3)]


def strided(h, w, k, s, channels=1, filters=1, batch=1):
    """A layer, its input, weights and dY in whole numbers."""
    layer = cf.Conv2d(filters, k, stride=s)
    X, W = integers(batch, channels, h, w, seed=1), integers(filters, channels, k, k, seed=2)
    dY = integers(batch, filters, (h - k) // s + 1, (w - k) // s + 1, seed=3)
    return layer, X, W, dY


def padded(dY, h, w, k, s):
    """The zero-inserted dY with k - 1 zeros on every side, and after it one more for each row left over."""
    after = [k - 1 + (length - k) % s for length in (h, w)]
    border = [(0, 0)] * (dY.ndim - 2) + [(k - 1, zeros) for zeros in after]
    return np.pad(zero_inserted(dY, s), border)


def test_b1_a_convolution_adds_the_products_that_the_hadamard_product_keeps_apart():
    letters = np.array([["a", "b"], ["c", "d"]], object)

    def of(formula):
        equation = parse(formula)

        def value(A, B):
            return evaluate_exactly(equation, {"A": A, "B": B}, solve(equation, {"A": (2, 2), "B": (2, 2)}))

        return in_symbols(value, A=letters, B=letters).tolist()

    assert of("Y[i,j] = sum[m,n] B[m,n] * A[i+m,j+n]") == forms("a*a + b*b + c*c + d*d")
    assert of("Y[i,j] = A[i,j] * B[i,j]") == forms("a*a | b*b", "c*c | d*d")


CHAIN = [cf.Conv2d(1, 3), cf.AvgPool2d(2), cf.Flatten()]


def test_b2_sizes_of_the_chain():
    net = cf.Network(CHAIN, input_shape=(1, 6, 6))
    assert net.architecture.shapes == ((1, 6, 6), (1, 4, 4), (1, 2, 2), (4,))
    assert cf.Conv2d(1, 3).sizes((1, 6, 6)).arithmetic["i"] == "6 - 3 + 1 = 4"
    assert cf.AvgPool2d(2).sizes((1, 4, 4)).arithmetic["i"] == "(4 - 2)//2 + 1 = 2"


def test_b2_numbers_through_the_chain():
    net = cf.Network(CHAIN, input_shape=(1, 6, 6))
    net.parameters = {"0.weight": np.ones((1, 1, 3, 3)), "0.bias": [0]}
    # the convolution of x = 6i + j is 9*(6i + j + 7), the mean of four of these 9*(12i + 2j + 10.5)
    assert net.forward(np.arange(36).reshape(1, 1, 6, 6)).tolist() == [[94.5, 112.5, 202.5, 220.5]]


def test_b2_the_chain_trains():
    x = np.random.default_rng(0).uniform(0, 0.2, (64, 1, 6, 6))
    y = np.arange(64) % 4
    for image, corner in zip(x[:, 0], y, strict=True):
        image[3 * (corner // 2) : 3 * (corner // 2) + 3, 3 * (corner % 2) : 3 * (corner % 2) + 3] += 1
    net = cf.Network(CHAIN, input_shape=(1, 6, 6), loss=cf.SoftmaxCrossEntropy())
    found = losses(net, x, y, epochs=20, batch_size=16, optimizer=cf.SGD(0.2))
    assert found[-1] < found[0] / 4


@pytest.mark.parametrize(("k", "size"), [(2, (4, 4)), (2, (6, 8)), (3, (6, 9))])
def test_b3_average_pooling_is_a_convolution_with_weights_one_over_k_squared(k, size):
    x = integers(2, 1, *size)
    weights = np.full((1, 1, k, k), Fraction(1, k * k))
    pool, convolution = cf.AvgPool2d(k), cf.Conv2d(1, k, stride=k, bias=False)
    expected = x.reshape(2, 1, size[0] // k, k, size[1] // k, k).sum((3, 5)) * Fraction(1, k * k)
    assert forward(pool, x).tolist() == expected.tolist()
    assert forward(convolution, x, W=weights).tolist() == expected.tolist()
    dY = integers(*expected.shape, seed=1)
    backward = gradient(pool, "X", x.shape, dY=dY)
    assert backward.tolist() == gradient(convolution, "X", x.shape, dY=dY, W=weights).tolist()
    for n, c, i, j in np.ndindex(*x.shape):
        assert backward[n, c, i, j] == Fraction(1, k * k) * dY[n, c, i // k, j // k]


def test_b3_gradient_of_average_pooling_as_a_formula():
    derivation = cf.AvgPool2d(2).gradient("X", (1, 4, 4))
    assert str(derivation.result) == "dX[n,c,a,b] = 1/(|u|*|v|) * dY[n,c,a//s,b//s]"
    assert str(derivation.name) == "1/(|u|*|v|) times each entry of dY copied to its window"


def test_b3_with_channels_it_is_a_convolution_of_each_channel_by_itself():
    x = integers(1, 3, 4, 6).astype(float)
    y, pullback = cf.AvgPool2d(2).apply(x, {})
    each, each_pullback = cf.DepthwiseConv2d(2, stride=2, bias=False).apply(
        x, {"weight": np.full((3, 1, 2, 2), 0.25)}
    )
    dy = integers(1, 3, 2, 3, seed=1)
    assert y.tolist() == each.tolist() == (x.reshape(1, 3, 2, 2, 3, 2).sum((3, 5)) / 4).tolist()
    assert pullback(dy)[0].tolist() == each_pullback(dy)[0].tolist()
    assert pullback(dy)[0].tolist() == (dy.repeat(2, 2).repeat(2, 3) / 4).tolist()
    together, _ = cf.Conv2d(1, 2, stride=2, bias=False).apply(x, {"weight": np.full((1, 3, 2, 2), 0.25)})
    assert together.tolist() == y.sum(1, keepdims=True).tolist() != y[:, :1].tolist()


@pytest.mark.parametrize(("h", "w", "k", "s"), EVEN + UNEVEN)
def test_b4_forward_is_what_the_sum_says(h, w, k, s):
    layer, X, W, dY = strided(h, w, k, s)
    found = forward(layer, X, W=W, b=np.array([5]))[0, 0]
    assert found.shape == dY.shape[2:]
    for i, j in np.ndindex(*found.shape):
        window = ((m, n) for m in range(k) for n in range(k))
        assert found[i, j] == 5 + sum(X[0, 0, s * i + m, s * j + n] * W[0, 0, m, n] for m, n in window)


@pytest.mark.parametrize(("h", "w", "k", "s"), EVEN + UNEVEN)
def test_b4_dx_is_the_padded_zero_inserted_dy_convolved_with_the_rotated_w(h, w, k, s):
    layer, X, W, dY = strided(h, w, k, s)
    expected = convolved(padded(dY, h, w, k, s)[0, 0], rotated(W)[0, 0]).tolist()
    assert gradient(layer, "X", X.shape, dY=dY, W=W)[0, 0].tolist() == expected
    _, pullback = layer.apply(X, {"weight": W, "bias": [0]})
    assert pullback(dY)[0][0, 0].tolist() == expected
    named = layer.gradient("X", X.shape[1:]).name
    assert named.recipe.execute({"dY": dY, "W": W})[0, 0].tolist() == expected


@pytest.mark.parametrize(("h", "w", "k", "s"), EVEN + UNEVEN)
def test_b4_dw_is_x_convolved_with_the_zero_inserted_dy(h, w, k, s):
    layer, X, _, dY = strided(h, w, k, s)
    covered = X[0, 0, : h - (h - k) % s, : w - (w - k) % s]
    expected = convolved(covered, zero_inserted(dY, s)[0, 0]).tolist()
    assert gradient(layer, "W", X.shape, dY=dY, X=X)[0, 0].tolist() == expected
    named = layer.gradient("W", X.shape[1:]).name
    assert named.recipe.execute({"dY": dY, "X": X})[0, 0].tolist() == expected


@pytest.mark.parametrize(("h", "w", "k", "s"), EVEN + UNEVEN)
def test_b4_dw_is_also_the_padded_zero_inserted_dy_convolved_with_x_and_rotated(h, w, k, s):
    layer, X, _, dY = strided(h, w, k, s)
    slid = convolved(padded(dY, h, w, k, s)[0, 0], X[0, 0])
    assert slid.shape == (k, k)
    assert gradient(layer, "W", X.shape, dY=dY, X=X)[0, 0].tolist() == rotated(slid).tolist()


@pytest.mark.parametrize(("h", "w", "k", "s"), EVEN + UNEVEN)
def test_b4_db_is_the_sum_of_dy(h, w, k, s):
    layer, X, _, dY = strided(h, w, k, s)
    assert gradient(layer, "b", X.shape, dY=dY).tolist() == [dY.sum()]


def test_b4_formulas_and_names_of_the_gradients():
    layer = cf.Conv2d(1, 3, stride=2)
    found = {tensor: layer.gradient(tensor, (1, 7, 7)) for tensor in "XWb"}
    assert {tensor: str(derivation.result) for tensor, derivation in found.items()} == {
        "X": "dX[n,p,a,b] = sum[q,u,v] dY[n,q,(a-u)/s,(b-v)/s] * W[q,p,u,v]",
        "W": "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+u,s*j+v]",
        "b": "db[q] = sum[n,i,j] dY[n,q,i,j]",
    }
    assert {tensor: str(derivation.name) for tensor, derivation in found.items()} == {
        "X": "full convolution of the zero-inserted dY with W rotated by 180°",
        "W": "convolution of X with the zero-inserted dY",
        "b": "the sum of dY over n, i, j",
    }
    assert found["X"].name.zeros == "dY: 1 zero between neighbours, 2 zeros on every side"


def test_b4_without_a_stride_no_zeros_are_inserted():
    layer = cf.Conv2d(1, 3)
    assert str(layer.gradient("X", (1, 6, 6)).name) == "full convolution of dY with W rotated by 180°"
    assert layer.gradient("X", (1, 6, 6)).name.zeros == "dY: 2 zeros on every side"
    assert str(layer.gradient("W", (1, 6, 6)).name) == "convolution of X with dY"


def test_b4_where_the_stride_leaves_rows_over_more_zeros_follow_than_precede():
    layer = cf.Conv2d(1, 3, stride=2)
    named = layer.gradient("X", (1, 6, 6)).name
    assert str(named) == (
        "full convolution of the zero-inserted dY with W rotated by 180°, with zeros where no window reaches"
    )
    assert named.zeros == (
        "dY: 1 zero between neighbours, "
        "2 rows of zeros above and 3 below, 2 columns of zeros left and 3 right"
    )
    dX = gradient(layer, "X", (1, 1, 6, 6), dY=np.full((1, 1, 2, 2), 1), W=np.full((1, 1, 3, 3), 1))[0, 0]
    assert dX.tolist() == [
        [1, 1, 2, 1, 1, 0],
        [1, 1, 2, 1, 1, 0],
        [2, 2, 4, 2, 2, 0],
        [1, 1, 2, 1, 1, 0],
        [1, 1, 2, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("s", [1, 2, 3, 4])
@pytest.mark.parametrize("k", range(1, 6))
def test_b4_sizes_of_the_output_and_of_the_padded_zero_inserted_dy(k, s):
    for h in range(k, 11):
        w = h + s  # another size that leaves as much over
        layer, left_over = cf.Conv2d(1, k, stride=s), (h - k) % s
        rows, columns = layer.output_shape((1, h, w))[1:]
        if left_over == 0:
            assert rows == Fraction(h - k, s) + 1
            assert rows + (s - 1) * Fraction(h - k, s) + 2 * (k - 1) == h + k - 1
        assert (rows, columns) == ((h - k) // s + 1, (h + s - k) // s + 1)
        recipe = layer.gradient("X", (1, h, w)).name.recipe
        (dY,) = (operand for operand in recipe.operands if operand.tensor == "dY")
        assert dY.pad[2:] == ((k - 1, k - 1 + left_over),) * 2
        assert dY.prepared(np.ones((1, 1, rows, columns))).shape == (1, 1, h + k - 1, w + k - 1)


def test_b5_channels_are_added_and_each_filter_has_its_bias():
    layer, X, W, _ = strided(7, 9, 3, 2, channels=2, filters=3)
    b = np.array([4, -7, 1])
    found = forward(layer, X, W=W, b=b)[0]
    for q in range(3):
        expected = b[q] + sum(convolved(X[0, p], W[q, p])[::2, ::2] for p in range(2))
        assert found[q].tolist() == expected.tolist()


def test_b5_gradients_with_channels():
    layer, X, W, dY = strided(7, 9, 3, 2, channels=2, filters=3)
    whole = padded(dY, 7, 9, 3, 2)[0]
    dX = gradient(layer, "X", X.shape, dY=dY, W=W)[0]
    dW = gradient(layer, "W", X.shape, dY=dY, X=X)
    db = gradient(layer, "b", X.shape, dY=dY)
    for p in range(2):
        assert dX[p].tolist() == sum(convolved(whole[q], rotated(W[q, p])) for q in range(3)).tolist()
        for q in range(3):
            assert dW[q, p].tolist() == rotated(convolved(whole[q], X[0, p])).tolist()
    assert db.tolist() == dY[0].sum((1, 2)).tolist()


def test_b5_gradients_with_channels_from_the_layer_itself():
    layer, X, W, dY = strided(7, 9, 3, 2, channels=2, filters=3)
    _, pullback = layer.apply(X, {"weight": W, "bias": np.zeros(3)})
    dx, gradients = pullback(dY)
    assert dx.tolist() == gradient(layer, "X", X.shape, dY=dY, W=W).tolist()
    assert gradients["weight"].tolist() == gradient(layer, "W", X.shape, dY=dY, X=X).tolist()
    assert gradients["bias"].tolist() == dY.sum((0, 2, 3)).tolist()


def test_b6_the_gradients_in_w_and_b_are_means_over_the_batch():
    shapes = {"X": (4, 2, 5, 5), "W": (3, 2, 2, 2), "C": (3, 4, 4)}
    line = "L = 1/|n| * sum[n,q,i,j] C[q,i,j] * (b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,i+u,j+v])"
    X, C = integers(4, 2, 5, 5, seed=1), integers(3, 4, 4, seed=2)
    derivation = derivation_of(line, "W", **shapes)
    assert str(derivation.result) == "dW[q,p,u,v] = 1/|n| * sum[n,i,j] C[q,i,j] * X[n,p,i+u,j+v]"
    each = [[[convolved(image[p], C[q]) for p in range(2)] for q in range(3)] for image in X]
    mean = sum(np.array(one) for one in each) * QUARTER
    assert derived_value(derivation, {"X": X, "C": C}).tolist() == mean.tolist()
    assert derived_value(derivation_of(line, "b", **shapes), {"C": C}).tolist() == C.sum((1, 2)).tolist()


def test_b6_the_networks_gradients_are_means_over_the_batch():
    net = cf.Network(
        [cf.Conv2d(2, 2), cf.Flatten()], input_shape=(1, 3, 3), loss=cf.MeanSquaredError(), seed=1
    )
    net.parameters = {"0.weight": integers(2, 1, 2, 2), "0.bias": [1, -1]}
    x, y = integers(4, 1, 3, 3, seed=1), integers(4, 8, seed=2)
    _, together = net.gradients(x, y)
    alone = [net.gradients(x[n : n + 1], y[n : n + 1])[1] for n in range(4)]
    for key in ("0.weight", "0.bias"):  # quarters and eighths of whole numbers, which float32 holds exactly
        assert together[key].tolist() == (sum(one[key] for one in alone) / 4).tolist()
        assert together[key].any()


def lines_of_python(work):
    """How many lines of Python run."""
    count, before = 0, sys.gettrace()

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_b7_no_loop_in_python_runs_over_images_channels_or_pixels():
    def lines(images, channels, size):
        x, weight = np.ones((images, channels, size, size)), np.ones((channels, channels, 3, 3))

        def work():
            y, pullback = cf.Conv2d(channels, 3, stride=2).apply(
                x, {"weight": weight, "bias": np.ones(channels)}
            )
            pullback(y)

        work()  # derives and plans, once for a shape
        return lines_of_python(work)

    small, large = lines(2, 2, 7), lines(16, 8, 31)
    # 648 products in the forward pass of the one, 2,073,600 in that of the other
    assert large - small < 16 - 2  # not one line for each further image


# ---- C: a filter by hand, sizes, 1×1, a worked backward pass

EDGE = np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]])
STRIPE = np.zeros((5, 5), int)
STRIPE[:, 2] = 10


def test_c1_edge_filter():
    found = forward(cf.Conv2d(1, 3, padding=1, bias=False), batched(STRIPE), W=batched(EDGE))
    assert found[0, 0].tolist() == [
        [0, 20, -70, 20, 0],
        [0, 30, -60, 30, 0],
        [0, 30, -60, 30, 0],
        [0, 30, -60, 30, 0],
        [0, 20, -70, 20, 0],
    ]
    page = np.array(found[0, 0])
    page[2] = [0, 40, -50, 40, 0]
    assert places_of_difference(page, found[0, 0]) == [(2, 1), (2, 2), (2, 3)]


def test_c1_edge_filter_by_the_layer():
    layer = cf.Conv2d(1, 3, padding="same", bias=False)
    y, _ = layer.apply(batched(STRIPE), {"weight": batched(EDGE)})
    assert y[0, 0, 2].tolist() == [0, 30, -60, 30, 0]
    assert y[0, 0, 4].tolist() == [0, 20, -70, 20, 0]


C2 = [
    cf.Conv2d(16, 3, stride=2, padding=1),
    cf.MaxPool2d(2, stride=2),
    cf.Flatten(),
    cf.Dense(32, bias=False),
    cf.Dense(5, bias=False),
]


def test_c2_sizes_and_weights_of_the_network():
    net = cf.Network(C2, input_shape=(1, 28, 28))
    assert net.architecture.shapes == ((1, 28, 28), (16, 14, 14), (16, 7, 7), (784,), (32,), (5,))
    assert net.parameters["3.weight"].size == 32 * 784 == 25_088
    assert net.parameters["4.weight"].size == 5 * 32 == 160


def test_c2_the_summary_writes_the_arithmetic_out(capsys):
    cf.Network(C2, input_shape=(1, 28, 28)).summary()
    assert capsys.readouterr().out == (
        "layer        output        parameters  arithmetic\n"
        "───────────  ────────────  ──────────  ──────────\n"
        "input        (1, 28, 28)\n"
        "0 Conv2d     (16, 14, 14)         160  (28 − 3 + 2·1)//2 + 1 = 14; 3·3·1·16 + 16 = 160\n"
        "1 MaxPool2d  (16, 7, 7)             0  (14 − 2)//2 + 1 = 7\n"
        "2 Flatten    (784,)                 0  16·7·7 = 784\n"
        "3 Dense      (32,)             25,088  784·32 = 25088\n"
        "4 Dense      (5,)                 160  32·5 = 160\n"
        "25,408 parameters\n"
    )
    assert C2[0].sizes((1, 28, 28)).arithmetic["i"] == "(28 - 3 + 2*1)//2 + 1 = 14"


def test_c2_the_pages_flatten_is_wrong_and_its_dense_layer_follows_from_it():
    net = cf.Network(C2, input_shape=(1, 28, 28))
    page_features, page_weights = 1848, 59_136
    assert net.architecture.shapes[3] == (784,) != (page_features,)
    carried_forward = cf.Dense(32, bias=False).parameter_shapes((page_features,))["weight"]
    assert carried_forward == (32, 1848)
    assert math.prod(carried_forward) == page_weights != net.parameters["3.weight"].size


def test_c2_padding_counted_once_is_hidden_by_the_floor_of_stride_2_alone():
    def rows(stride):
        return cf.Conv2d(16, 3, stride=stride, padding=1).output_shape((1, 28, 28))[1]

    assert rows(stride=2) == (28 - 3 + 1) // 2 + 1 == 14
    assert rows(stride=1) == 28 != (28 - 3 + 1) // 1 + 1


def test_c2_the_network_trains():
    digits = cf.load_digits()
    few = np.flatnonzero(digits.y_train < 5)[:80]
    # 8×8 pixels drawn three times as large, and a border of two
    x = np.pad(np.kron(digits.x_train[few], np.ones((3, 3))), ((0, 0), (0, 0), (2, 2), (2, 2)))
    net = cf.Network(C2, input_shape=(1, 28, 28), loss=cf.SoftmaxCrossEntropy())
    found = losses(net, x, digits.y_train[few], epochs=4, batch_size=8, optimizer=cf.SGD(0.05))
    assert found[-1] < found[0] / 2


def test_c3_a_1x1_convolution_reduces_depth_by_the_same_matrix_at_every_pixel():
    layer = cf.Conv2d(4, 1)
    assert layer.output_shape((16, 7, 7)) == (4, 7, 7)
    assert layer.parameter_shapes((16, 7, 7)) == {"weight": (4, 16, 1, 1), "bias": (4,)}
    X, W, b, dY = integers(1, 3, 2, 4), integers(2, 3, 1, 1, seed=1), np.array([1, -2]), integers(1, 2, 2, 4)
    reduced = cf.Conv2d(2, 1)
    y, dx = forward(reduced, X, W=W, b=b), gradient(reduced, "X", X.shape, dY=dY, W=W)
    for i, j in np.ndindex(2, 4):
        assert y[0, :, i, j].tolist() == (W[:, :, 0, 0] @ X[0, :, i, j] + b).tolist()
        assert dx[0, :, i, j].tolist() == (W[:, :, 0, 0].T @ dY[0, :, i, j]).tolist()
    assert str(reduced.gradient("X", (3, 2, 4)).name) == "1×1 convolution of dY with W transposed"


X_C = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]
X_SCAN = [[2, 3, 5], [3, 1, 5], [5, -1, -2]]
F_C = [[0, 3], [1, -2]]


def worked(image):
    """O, y, ∂y/∂O, ∂y/∂F and ∂y/∂X, all exact."""
    conv, X, F = cf.Conv2d(1, 2, bias=False), batched(image), batched(F_C)
    O = forward(conv, X, W=F)  # noqa: E741
    dO = mean_gradient(O.shape[1:])
    dF = gradient(conv, "W", X.shape, X=X, dY=dO)
    dX = gradient(conv, "X", X.shape, W=F, dY=dO)
    return O[0, 0], forward(cf.GlobalAvgPool2d(), O)[0, 0], dO[0, 0], dF[0, 0], dX[0, 0]


def test_c4_the_worked_backward_pass():
    O, y, dO, dF, dX = worked(X_C)  # noqa: E741
    assert O.tolist() == [[10, 3], [9, 18]]
    assert y == 10
    assert dO.tolist() == [[QUARTER, QUARTER], [QUARTER, QUARTER]]
    assert dF.tolist() == [[Fraction(9, 4), Fraction(13, 4)], [Fraction(7, 4), Fraction(3, 4)]]
    assert (4 * dX).tolist() == [[0, 3, 3], [1, 2, 1], [1, -1, -2]]


def test_c4_the_worked_backward_pass_by_a_network():
    net = cf.Network([cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()], input_shape=(1, 3, 3))
    net.parameters["0.weight"] = batched(F_C)
    y, pullback = net.apply(batched(X_C))
    dx, gradients = pullback([[1]])
    assert y.tolist() == [[10]]
    assert gradients["0.weight"].tolist() == [[[[9 / 4, 13 / 4], [7 / 4, 3 / 4]]]]
    assert dx.tolist() == [[[[0, 3 / 4, 3 / 4], [1 / 4, 2 / 4, 1 / 4], [1 / 4, -1 / 4, -2 / 4]]]]


def test_c4_the_gradient_in_x_in_symbols():
    dX = in_symbols(
        lambda dO, F: gradient(cf.Conv2d(1, 2, bias=False), "X", (1, 1, 3, 3), W=F, dY=dO),
        dO=names("o", 2, 2)[None, None], F=names("f", 2, 2)[None, None],
    )  # fmt: skip
    assert dX[0, 0].tolist() == forms(
        "o11*f11 | o11*f12 + o12*f11 | o12*f12",
        "o11*f21 + o21*f11 | o11*f22 + o12*f21 + o21*f12 + o22*f11 | o12*f22 + o22*f12",
        "o21*f21 | o21*f22 + o22*f21 | o22*f22",
    )


def test_c4_the_scans_wrong_entries_are_exactly_these():
    _, _, _, dF, dX = worked(X_C)
    scan_dF = np.array([[9, 13], [17, 13]]) * QUARTER
    scan_dX = np.array([[0, 13, 13], [1, 1, 1], [1, -1, -1]]) * QUARTER
    wrong = {place: (scan_dF[place], dF[place]) for place in places_of_difference(scan_dF, dF)}
    assert wrong == {
        (1, 0): (Fraction(17, 4), Fraction(7, 4)),
        (1, 1): (Fraction(13, 4), Fraction(3, 4)),
    }
    wrong = {place: (scan_dX[place], dX[place]) for place in places_of_difference(scan_dX, dX)}
    assert wrong == {
        (0, 1): (Fraction(13, 4), Fraction(3, 4)),
        (0, 2): (Fraction(13, 4), Fraction(3, 4)),
        (1, 1): (Fraction(1, 4), Fraction(2, 4)),
        (2, 2): (Fraction(-1, 4), Fraction(-2, 4)),
    }


def test_c4_the_scans_y_lacks_the_quarter_and_its_gradient_in_o_is_no_half():
    O, y, dO, _, _ = worked(X_C)  # noqa: E741
    assert O.sum() == 40 != y
    assert places_of_difference(np.full((2, 2), Fraction(1, 2)), dO) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_c4_right_answers_for_the_scans_misread_input():
    O, y, _, dF, dX = worked(X_SCAN)  # noqa: E741
    assert O.tolist() == [[10, 6], [10, 18]]
    assert y == 11
    assert (4 * dF).tolist() == [[9, 14], [8, 3]]
    assert (4 * dX).tolist() == [[0, 3, 3], [1, 2, 1], [1, -1, -2]]  # which does not depend on X


# ---- D: a classifier with channel-summed convolution

P_D = names("P", 3, 3, 3).transpose(2, 0, 1)[None]  # P(row, column, channel), as (1, channels, rows, columns)
AT = cf.ChannelSummedConv2d(1, 2, bias=False)


def at(X, F):
    """The sheet's ``@``: each filter applied to the sum over X's channels."""
    return np.array([convolved(X.sum(0), kernel) for kernel in F])


def test_d1_channel_summed_convolution_in_symbols():
    R = in_symbols(lambda X, W: forward(AT, X, W=W), X=P_D, W=names("F", 2, 2)[None])[0, 0]
    assert R[0, 0] == form(
        "F11*P111 + F11*P112 + F11*P113 + F12*P121 + F12*P122 + F12*P123"
        "+ F21*P211 + F21*P212 + F21*P213 + F22*P221 + F22*P222 + F22*P223"
    )
    assert R[0, 1] == form(
        "F11*P121 + F11*P122 + F11*P123 + F12*P131 + F12*P132 + F12*P133"
        "+ F21*P221 + F21*P222 + F21*P223 + F22*P231 + F22*P232 + F22*P233"
    )


def derivatives_in_the_filter(row, column):
    """∂R/∂F of one entry of R, in symbols."""
    dR = np.zeros((1, 1, 2, 2), int)
    dR[0, 0, row - 1, column - 1] = 1
    return in_symbols(lambda X: gradient(AT, "W", X.shape, X=X, dY=dR), X=P_D)[0]


def test_d1_derivative_of_r11():
    assert derivatives_in_the_filter(1, 1)[0, 0] == form("P111 + P112 + P113")


def test_d1_the_sheets_line_for_r12_has_the_window_of_r11():
    sheet = form("P121 + P122 + P123")
    assert derivatives_in_the_filter(1, 2)[0, 1] == form("P131 + P132 + P133") != sheet
    assert derivatives_in_the_filter(1, 1)[0, 1] == sheet


def test_d1_size_of_the_result():
    for x, y, z, x1, y1, z1 in [(3, 3, 3, 2, 2, 1), (8, 9, 4, 3, 2, 5), (6, 5, 1, 6, 1, 2)]:
        shape = cf.ChannelSummedConv2d(z1, (x1, y1)).output_shape((z, x, y))
        assert shape == (z1, x - x1 + 1, y - y1 + 1)


def test_d1_it_is_the_ordinary_convolution_whose_filters_are_the_same_for_every_channel():
    X, F = integers(1, 3, 4, 5), integers(2, 2, 2, seed=1)
    summed = forward(cf.ChannelSummedConv2d(2, 2, bias=False), X, W=F)
    ordinary = forward(cf.Conv2d(2, 2, bias=False), X, W=np.repeat(F[:, None], 3, axis=1))
    assert summed.tolist() == ordinary.tolist() == [at(image, F).tolist() for image in X]


def classifier(filters, activation):
    return [
        cf.ChannelSummedConv2d(filters, 3, bias=False),
        cf.ReLU(),
        cf.ChannelSummedConv2d(filters, 3, bias=False),
        cf.MaxPool2d(2),
        cf.Flatten(),
        cf.Dense(10),
        activation,
        cf.Dense(2),
    ]


def test_d2_sizes_of_the_diagram():
    net = cf.Network(classifier(4, cf.ReLU()), input_shape=(3, 14, 14))
    assert net.architecture.shapes == (
        (3, 14, 14), (4, 12, 12), (4, 12, 12), (4, 10, 10), (4, 5, 5), (100,), (10,), (10,), (2,),
    )  # fmt: skip
    assert {key: value.shape for key, value in net.parameters.items()} == {
        "0.weight": (4, 3, 3), "2.weight": (4, 3, 3),
        "5.weight": (10, 100), "5.bias": (10,), "7.weight": (2, 10), "7.bias": (2,),
    }  # fmt: skip


@pytest.mark.parametrize("activation", [cf.ReLU(), cf.Sigmoid()], ids=str)
def test_d2_the_network_trains_on_real_digits(activation):
    digits = cf.load_digits()
    chosen = np.flatnonzero(digits.y_train < 2)[:96]
    net = cf.Network(classifier(25, activation), input_shape=(1, 8, 8), loss=cf.SoftmaxCrossEntropy())
    assert net.architecture.shapes[5] == (100,)
    found = losses(
        net, digits.x_train[chosen], digits.y_train[chosen], epochs=8, batch_size=8, optimizer=cf.SGD(0.02)
    )
    assert found[-1] < found[0] / 2


class Pass:
    """The sheet's network for one example in float64; every gradient is from the layers' own pullbacks."""

    def __init__(self, activation):
        self.layers = classifier(4, activation)
        self.loss = cf.SoftmaxCrossEntropy()
        draw = np.random.default_rng(0).normal
        self.X = draw(size=(1, 3, 14, 14))
        self.parameters = {}
        x, pullbacks, values = self.X, [], []
        for position, layer in enumerate(self.layers):
            shapes = layer.parameter_shapes(x.shape[1:])
            own = {name: draw(0, 0.2, shape) for name, shape in shapes.items()}
            self.parameters |= {f"{position}.{name}": value for name, value in own.items()}
            x, pullback = layer.apply(x, own)
            values.append(x)
            pullbacks.append(pullback)
        self.T1, self.H1, self.T2, self.U2, self.x, self.t1, self.h1, self.t2 = values
        self.y = np.array([[0.0, 1.0]])
        self.E, pullback = self.loss.apply(self.t2, {"T": self.y})
        dx, _ = pullback(np.ones(()))
        upstream, self.gradients = [dx], {}
        for position in reversed(range(len(self.layers))):
            dx, own = pullbacks[position](dx)
            upstream.append(dx)
            self.gradients |= {f"{position}.{name}": value for name, value in own.items()}
        names = ("dt2", "dh1", "dt1", "dx", "dU2", "dT2", "dH1", "dT1", "dX")
        self.__dict__ |= dict(zip(names, upstream, strict=True))


ACTIVATIONS = {
    "relu": (cf.ReLU(), lambda t: (t > 0).astype(float)),
    "sigmoid": (cf.Sigmoid(), lambda t: np.exp(-t) / (1 + np.exp(-t)) ** 2),
    "tanh": (cf.Tanh(), lambda t: 1 / np.cosh(t) ** 2),
}


@pytest.fixture(scope="module", params=ACTIVATIONS)
def passed(request):
    activation, derivative = ACTIVATIONS[request.param]
    found = Pass(activation)
    found.derivative = derivative
    return found


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert np.any(found)


def test_d2_forward_as_the_sheet_writes_it(passed):
    F1, F2 = passed.parameters["0.weight"], passed.parameters["2.weight"]
    w1, w2 = passed.parameters["5.weight"].T, passed.parameters["7.weight"].T
    same(passed.T1[0], at(passed.X[0], F1))
    same(passed.H1, np.where(passed.T1 > 0, passed.T1, 0))
    same(passed.T2[0], at(passed.H1[0], F2))
    same(passed.U2, passed.T2.reshape(1, 4, 5, 2, 5, 2).max((3, 5)))
    same(passed.x, passed.U2.reshape(1, 100))
    same(passed.t1, passed.x @ w1 + passed.parameters["5.bias"])
    same(passed.t2, passed.h1 @ w2 + passed.parameters["7.bias"])
    z = np.exp(passed.t2) / np.exp(passed.t2).sum()
    same(passed.E, -np.log(z[0, 1]))


def test_d3_backward_through_the_dense_layers(passed):
    w1, w2 = passed.parameters["5.weight"].T, passed.parameters["7.weight"].T
    z = np.exp(passed.t2) / np.exp(passed.t2).sum()
    same(passed.dt2, z - passed.y)
    same(passed.gradients["7.weight"].T, passed.h1.T @ passed.dt2)
    same(passed.gradients["7.bias"], passed.dt2[0])
    same(passed.dh1, passed.dt2 @ w2.T)
    same(passed.dt1, passed.dh1 * passed.derivative(passed.t1))
    same(passed.gradients["5.weight"].T, passed.x.T @ passed.dt1)
    same(passed.gradients["5.bias"], passed.dt1[0])
    same(passed.dx, passed.dt1 @ w1.T)


def test_d3_backward_through_flatten_and_pooling(passed):
    same(passed.dU2, passed.dx.reshape(1, 4, 5, 5))
    largest = passed.U2.repeat(2, 2).repeat(2, 3) == passed.T2
    assert largest.sum() == 100  # no two entries of a window are equal
    same(passed.dT2, np.where(largest, passed.dU2.repeat(2, 2).repeat(2, 3), 0))


def test_d3_gradient_in_the_second_filters_is_h1_at_dt2(passed):
    same(passed.gradients["2.weight"], at(passed.H1[0], passed.dT2[0]))


def test_d3_gradient_in_h1_is_the_sum_of_full_convolutions_with_rotated_filters_for_every_channel(passed):
    F2 = passed.parameters["2.weight"]
    expected = sum(full(passed.dT2[0, f], rotated(F2[f])) for f in range(4))
    for channel in passed.dH1[0]:
        same(channel, expected)


def test_d3_gradients_before_the_first_filters(passed):
    same(passed.dT1, np.where(passed.T1 > 0, passed.dH1, 0))
    same(passed.gradients["0.weight"], at(passed.X[0], passed.dT1[0]))


def test_d3_reading_at_by_its_own_definition_gives_another_gradient_in_h1(passed):
    F2, dT2 = passed.parameters["2.weight"], passed.dT2[0]
    misread = np.array([full(dT2.sum(0), rotated(kernel)) for kernel in F2])
    assert misread.shape == passed.dH1[0].shape
    assert np.abs(misread - passed.dH1[0]).max() > 0.1 * np.abs(passed.dH1).max()


def test_d3_the_derivations_say_so_in_words():
    layer = cf.ChannelSummedConv2d(4, 3, bias=False)
    assert str(layer.gradient("W").result) == "dW[q,u,v] = sum[n,i,j,p] dY[n,q,i,j] * X[n,p,i+u,j+v]"
    assert str(layer.gradient("X").result) == "dX[n,p,a,b] = sum[q,u,v] dY[n,q,a-u,b-v] * W[q,u,v]"
    assert str(layer.gradient("W").name) == "convolution of X, summed over p, with dY"
    assert str(layer.gradient("X").name) == (
        "full convolution of dY with W rotated by 180°, the same for every p"
    )
    assert str(cf.SoftmaxCrossEntropy().gradient("X").name) == (
        "the probabilities minus the labels, divided by the number of examples"
    )


def test_d3_the_network_itself_gives_the_same_gradients(passed):
    net = cf.Network(passed.layers, input_shape=(3, 14, 14), loss=passed.loss)
    net.parameters = passed.parameters
    loss, gradients = net.gradients(passed.X, [1])
    # under 1,000 roundings to float32 lie between an input and any gradient
    bound = 1000 * 2.0**-24
    assert abs(loss - passed.E) <= bound * passed.E
    for key, found in gradients.items():
        assert np.abs(found - passed.gradients[key]).max() <= bound * np.abs(passed.gradients[key]).max()


POOLED = batched([[0, 0, 0, 0], [0, 8, 0, 5], [0, 8, 10, 0], [0, 0, 0, 0]])


def test_d_max_pooling_example():
    pool = cf.MaxPool2d(2)
    assert pool.output_shape((1, 4, 4)) == (1, 2, 2)
    assert forward(pool, POOLED)[0, 0].tolist() == [[8, 5], [8, 10]]
    dU = batched([[1, 2], [3, 4]])
    expected = [[0, 0, 0, 0], [0, 1, 0, 2], [0, 3, 4, 0], [0, 0, 0, 0]]
    assert gradient(pool, "X", POOLED.shape, X=POOLED, dY=dU)[0, 0].tolist() == expected
    y, pullback = pool.apply(POOLED, {})
    assert y[0, 0].tolist() == [[8, 5], [8, 10]]
    assert pullback(dU)[0][0, 0].tolist() == expected
    assert str(pool.gradient("X", (1, 4, 4)).name) == "dY sent back to the first maximum of its window"


# ---- E: a binary classifier and gradient descent

E1 = [cf.Conv2d(1, 3), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(1)]
# two images whose Z2 is 0, so that A2 = 1/2 and everything after it is a whole number of eighths
X_E = np.array([
    [[0, 2, 1, -1, -2, 1], [-2, 3, -1, 2, -2, 2], [3, 0, 2, 0, -1, -2],
     [2, -2, 1, 3, 3, -2], [0, -1, 3, 3, -1, 1], [0, 3, -2, 2, -2, -2]],
    [[-2, 2, 2, 2, -2, 1], [-2, -2, 3, 2, -1, -1], [-2, 2, 2, -2, 2, -2],
     [2, 1, 3, -1, -1, 1], [0, 0, 2, -2, 0, -2], [0, 1, -2, 1, 3, 3]],
])[:, None]  # fmt: skip
Y_E = np.array([1, 0])
W1_E, B1_E = np.array([[1, 1, -1], [2, -1, -1], [-1, 1, -1]]), -3
W2_E, B2_E = np.array([[-2, -2, 1, 3]]), -3
F_E = [[8, 4, 0, 9], [3, 8, 7, 6]]
DW1_E = np.array([[4, -6, -11], [0, -4, 4], [-8, 11, 25]]) / 4
DW2_E = np.array([[-5, 4, 7, -3]]) / 4


def binary_classifier():
    net = cf.Network(E1, input_shape=(1, 6, 6), loss=cf.SigmoidBinaryCrossEntropy())
    net.parameters = {
        "0.weight": batched(W1_E), "0.bias": [B1_E], "4.weight": W2_E, "4.bias": [B2_E],
    }  # fmt: skip
    return net


def test_e1_sizes():
    net = cf.Network(E1, input_shape=(1, 6, 6), loss=cf.SigmoidBinaryCrossEntropy())
    assert net.architecture.shapes == ((1, 6, 6), (1, 4, 4), (1, 4, 4), (1, 2, 2), (4,), (1,))
    assert net.parameters["0.weight"].shape == (1, 1, 3, 3)
    assert net.parameters["4.weight"].shape == (1, 4)


def test_e1_forward_and_the_mean_loss():
    net = binary_classifier()
    features = cf.Network(E1[:4], input_shape=(1, 6, 6))
    features.parameters = {"0.weight": batched(W1_E), "0.bias": [B1_E]}
    assert features.forward(X_E).tolist() == F_E
    assert net.forward(X_E).tolist() == [[0], [0]]
    assert net.predict(X_E).tolist() == [[0.5], [0.5]]
    net.parameters["4.bias"] = [B2_E + 1]
    a = 1 / (1 + math.exp(-1))
    assert net.evaluate(X_E, Y_E)["loss"] == pytest.approx(-(math.log(a) + math.log(1 - a)) / 2, rel=2**-20)


def test_e2_gradients_of_the_network_are_exact():
    loss, gradients = binary_classifier().gradients(X_E, Y_E)
    assert loss == pytest.approx(math.log(2), rel=2**-23)
    assert {key: value.tolist() for key, value in gradients.items()} == {
        "0.weight": [[DW1_E.tolist()]],
        "0.bias": [0.25],
        "4.weight": DW2_E.tolist(),
        "4.bias": [0],
    }


CROSS_ENTROPY = "L = -1/|n| * sum[n] (T[n]*log(A[n]) + (1-T[n])*log(1-A[n]))"


def test_e2_factor_dl_da2():
    derivation = derivation_of(CROSS_ENTROPY, "A", A=(4,), T=(4,))
    assert str(derivation.result) == "dA[n] = 1/|n| * (A[n] - T[n]) / A[n] / (1 - A[n])"
    A = np.array([Fraction(1, 2), Fraction(1, 3), Fraction(4, 5), Fraction(1, 7)])
    Y = np.array([1, 0, 1, 0])
    found = derived_value(derivation, {"A": A, "T": Y})
    assert found.tolist() == ((A - Y) / (A * (1 - A)) * QUARTER).tolist()


def test_e2_factor_da2_dz2():
    derivation = cf.Sigmoid().gradient("X", (1,))
    assert str(derivation.result) == "dX[n,f] = dY[n,f] * Y[n,f] * (1 - Y[n,f])"


def test_e2_the_first_two_factors_multiply_out_to_a2_minus_y():
    Z = np.array([[-1.5], [0.25], [3.0]])
    Y = np.array([0, 1, 1])
    A, pullback = cf.Sigmoid().apply(Z, {})
    loss = derivation_of(CROSS_ENTROPY, "A", A=(3,), T=(3,))
    factor = evaluate(loss.result, {"A": A[:, 0], "T": Y.astype(float)}, loss.sizes)
    dZ, _ = pullback(factor[:, None])
    same(dZ[:, 0], (1 / (1 + np.exp(-Z[:, 0])) - Y) / 3)
    _, fused = cf.SigmoidBinaryCrossEntropy().apply(Z, {"T": Y[:, None].astype(float)})
    same(fused(np.ones(()))[0], dZ)
    assert str(cf.SigmoidBinaryCrossEntropy().gradient("X").name) == (
        "the probabilities minus the labels, divided by the number of examples"
    )


def test_e2_dl_dw2_is_a2_minus_y_times_f_and_dl_db2_is_a2_minus_y():
    A_minus_Y = (np.array([0.5, 0.5]) - Y_E) / 2  # over the mean of two
    assert (A_minus_Y @ np.array(F_E)).tolist() == DW2_E[0].tolist()
    _, gradients = binary_classifier().gradients(X_E, Y_E)
    assert gradients["4.weight"].tolist() == [(A_minus_Y @ np.array(F_E)).tolist()]
    assert gradients["4.bias"].tolist() == [A_minus_Y.sum()]


def test_e2_the_chain_of_jacobians_multiplies_out_to_dl_dw1():
    total = np.zeros(9)
    for image, label in zip(X_E[:, 0], Y_E, strict=True):
        windows = sliding_window_view(image, (3, 3)).reshape(16, 9)
        Z1 = windows @ W1_E.ravel() + B1_E
        dA_dZ1 = np.diag((Z1 > 0).astype(float))  # (16, 16)
        A1 = np.maximum(Z1, 0)
        dP_dA1 = np.zeros((4, 16))
        for k, (row, column) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
            members = [4 * (row + u) + column + v for u in range(2) for v in range(2)]
            dP_dA1[k, max(members, key=lambda entry: A1[entry])] = 1
        dF_dP = np.eye(4)
        dZ2_dF = W2_E  # (1, 4)
        A2 = 1 / (1 + np.exp(-(W2_E @ dP_dA1 @ A1 + B2_E)))
        dL_dA2 = (A2 - label) / (A2 * (1 - A2)) / 2  # over the mean of two
        dA2_dZ2 = np.diag(A2 * (1 - A2))
        dZ1_dW1 = windows  # (16, 9)
        total += dL_dA2 @ dA2_dZ2 @ dZ2_dF @ dF_dP @ dP_dA1 @ dA_dZ1 @ dZ1_dW1
    _, gradients = binary_classifier().gradients(X_E, Y_E)
    assert total.reshape(3, 3).tolist() == gradients["0.weight"][0, 0].tolist() == DW1_E.tolist()


def test_e3_the_convolutions_own_step_in_symbols():
    dW = in_symbols(
        lambda X, dZ: gradient(cf.Conv2d(1, 2), "W", X.shape, X=X, dY=dZ),
        X=names("x", 3, 3)[None, None], dZ=names("z", 2, 2)[None, None],
    )  # fmt: skip
    assert dW[0, 0].tolist() == forms(
        "z11*x11 + z12*x12 + z21*x21 + z22*x22 | z11*x12 + z12*x13 + z21*x22 + z22*x23",
        "z11*x21 + z12*x22 + z21*x31 + z22*x32 | z11*x22 + z12*x23 + z21*x32 + z22*x33",
    )
    db = in_symbols(
        lambda dZ: gradient(cf.Conv2d(1, 2), "b", (1, 1, 3, 3), dY=dZ), dZ=names("z", 2, 2)[None, None]
    )
    assert db.tolist() == [form("z11 + z12 + z21 + z22")]


def test_e4_one_step_of_gradient_descent_by_hand():
    net, rate = binary_classifier(), 0.5
    net.fit(X_E, Y_E, epochs=1, batch_size=2, optimizer=cf.SGD(rate), verbose=0)
    assert {key: value.tolist() for key, value in net.parameters.items()} == {
        "0.weight": [[(W1_E - rate * DW1_E).tolist()]],
        "0.bias": [B1_E - rate * 0.25],
        "4.weight": (W2_E - rate * DW2_E).tolist(),
        "4.bias": [B2_E],
    }


def test_e4_the_loss_falls_with_every_step_on_real_digits():
    digits = cf.load_digits()
    chosen = np.flatnonzero(digits.y_train < 2)[:100]
    x, y = digits.x_train[chosen, :, 1:7, 1:7], digits.y_train[chosen]
    net = cf.Network(E1, input_shape=(1, 6, 6), loss=cf.SigmoidBinaryCrossEntropy(), seed=1)
    found = losses(net, x, y, epochs=60, batch_size=100, optimizer=cf.SGD(0.3))
    assert all(later < earlier for earlier, later in pairwise(found))
    assert found[-1] < found[0] / 4
    assert net.evaluate(x, y)["accuracy"] > 0.95
