"""Sizes follow from the shapes, with the arithmetic; contradictions are told with theirs."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from closedform.errors import ShapeError
from closedform.formula.extents import Sizes, solve
from closedform.formula.syntax import parse
from closedform.formula.tree import number

CONV = "Y[n,|q|*g+q,i,j] = b[|q|*g+q] + sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]"
LOCAL = "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
SUMMED = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
DEPTHWISE = "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s*i+u-t,s*j+v-t]"
AVERAGE = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]"
MAXIMUM = "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]"
GLOBAL = "Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]"
DENSE = "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]"
FLATTEN = "Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]"
SOFTMAX = "Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])"
LINE = "Y[i] = sum[u] W[u] * X[s*i+u-t]"


def sizes(line: str, shapes: dict[str, tuple[int, ...]], **bindings: int | Fraction) -> Sizes:
    return solve(parse(line), shapes, bindings)


def settings(**changes: int) -> dict[str, int]:
    return {"s1": 1, "s2": 1, "d1": 1, "d2": 1, "t1": 0, "t2": 0, "g": 1} | changes


def test_a_convolution_has_the_sizes_of_the_worksheet():
    # worksheet C.2: 28×28×1, 16 filters of 3×3, stride 2, padding 1
    found = sizes(CONV, {"X": (5, 1, 28, 28)}, **settings(s1=2, s2=2, t1=1, t2=1), u=3, v=3, q=16)
    assert found.shapes == {"X": (5, 1, 28, 28), "Y": (5, 16, 14, 14), "W": (16, 1, 3, 3), "b": (16,)}
    assert found.extents == {"n": 5, "g": 1, "q": 16, "i": 14, "j": 14, "p": 1, "u": 3, "v": 3}
    assert found.arithmetic["i"] == "(28 - 3 + 2*1)//2 + 1 = 14"
    assert found.arithmetic["j"] == "(28 - 3 + 2*1)//2 + 1 = 14"


def test_the_network_of_the_worksheet():
    pooled = sizes(MAXIMUM, {"X": (1, 16, 14, 14)}, s=2, t=0, u=2, v=2)
    assert pooled.shapes["Y"] == (1, 16, 7, 7)
    assert pooled.arithmetic == {"i": "(14 - 2)//2 + 1 = 7", "j": "(14 - 2)//2 + 1 = 7"}
    assert sizes(FLATTEN, {"X": (1, 16, 7, 7)}).shapes["Y"] == (1, 784)
    assert sizes(DENSE, {"X": (1, 784)}, o=32).shapes["W"] == (32, 784)  # 25,088 weights
    assert sizes(DENSE, {"X": (1, 32)}, o=5).shapes["W"] == (5, 32)  # 160 weights


@pytest.mark.parametrize(
    ("length", "changes", "extent", "arithmetic"),
    [
        (6, {"s": 1, "t": 0, "u": 3}, 4, "6 - 3 + 1 = 4"),
        (6, {"s": 1, "t": 1, "u": 3}, 6, "6 - 3 + 2*1 + 1 = 6"),
        (7, {"s": 2, "t": 0, "u": 3}, 3, "(7 - 3)//2 + 1 = 3"),
        (8, {"s": 2, "t": 0, "u": 3}, 3, "(8 - 3)//2 + 1 = 3"),
        (8, {"s": 3, "t": 2, "u": 5}, 3, "(8 - 5 + 2*2)//3 + 1 = 3"),
        (5, {"s": 1, "t": 0, "u": 5}, 1, "5 - 5 + 1 = 1"),
        (1, {"s": 4, "t": 0, "u": 1}, 1, "(1 - 1)//4 + 1 = 1"),
    ],
)
def test_stride_and_padding(length, changes, extent, arithmetic):
    found = sizes(LINE, {"X": (length,)}, **changes)
    assert found.extents["i"] == extent
    assert found.arithmetic == {"i": arithmetic}


def test_dilation():
    found = sizes(CONV, {"X": (1, 1, 10, 9)}, **settings(d1=2, d2=3), u=3, v=3, q=1)
    assert found.shapes["Y"] == (1, 1, 6, 3)
    assert found.arithmetic["i"] == "10 - (2*(3 - 1) + 1) + 1 = 6"
    assert found.arithmetic["j"] == "9 - (3*(3 - 1) + 1) + 1 = 3"


def test_groups():
    found = sizes(CONV, {"X": (1, 12, 5, 5)}, **settings(g=3), u=2, v=2, q=5)
    assert found.extents["p"] == 4
    assert found.arithmetic["p"] == "12/3 = 4"
    assert found.shapes["W"] == (15, 4, 2, 2)
    assert found.shapes["b"] == (15,)
    assert found.shapes["Y"] == (1, 15, 4, 4)


def test_sides_differ():
    found = sizes(CONV, {"X": (2, 3, 9, 7)}, **settings(s1=2, s2=3, t1=1, t2=0, d1=1, d2=2), u=2, v=3, q=4)
    # (9 - 2 + 2)//2 + 1 and (7 - 5)//3 + 1
    assert found.shapes["Y"] == (2, 4, 5, 1)


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        (LOCAL, {"W": (3, 2, 4, 3, 3, 4), "b": (4, 3, 2)}),
        (SUMMED, {"W": (4, 3, 4), "b": (4,)}),
    ],
)
def test_layers_with_windows(line, parameters):
    # (6 - 3 + 2)//2 + 1 and (5 - 4 + 2)//2 + 1
    found = sizes(line, {"X": (2, 3, 6, 5)}, s=2, t=1, u=3, v=4, q=4)
    assert found.shapes == {"X": (2, 3, 6, 5), "Y": (2, 4, 3, 2), **parameters}


def test_a_depthwise_convolution():
    found = sizes(DEPTHWISE, {"X": (2, 3, 6, 5)}, s=1, t=0, u=3, v=2)
    assert found.shapes == {"X": (2, 3, 6, 5), "Y": (2, 3, 4, 4), "W": (3, 3, 2), "b": (3,)}


def test_flatten_and_its_gradient():
    assert sizes(FLATTEN, {"X": (2, 3, 4, 5)}).shapes["Y"] == (2, 60)
    found = sizes("dX[n,c,i,j] = dY[n,|i|*|j|*c+|j|*i+j]", {"dY": (2, 60)}, i=4, j=5)
    assert found.shapes["dX"] == (2, 3, 4, 5)
    assert found.arithmetic == {"c": "60/20 = 3"}


def test_softmax_and_loss():
    assert sizes(SOFTMAX, {"X": (3, 10)}).extents == {"n": 3, "k": 10, "m": 10}
    loss = sizes("L = 1/|n| * sum[n,k] (X[n,k] - T[n,k])^2", {"X": (3, 2), "T": (3, 2)})
    assert loss.shapes["L"] == ()
    assert loss.extents == {"n": 3, "k": 2}


def test_global_pooling():
    found = sizes(GLOBAL, {"X": (2, 3, 5, 7)})
    assert found.shapes["Y"] == (2, 3)
    assert (found.values["|i|"], found.values["|j|"], found.values["|X.3|"]) == (5, 7, 7)


def test_same_padding_with_an_even_kernel_is_said_by_the_extent_of_the_output():
    even = {"s": 1, "t": 1, "u": 4}
    assert sizes(LINE, {"X": (6,)}, **even).extents["i"] == 5
    found = sizes(LINE, {"X": (6,)}, **even, i=6)
    assert found.shapes == {"X": (6,), "W": (4,), "Y": (6,)}
    assert found.arithmetic == {}


def test_the_shape_of_the_result_binds_the_indices_on_the_left():
    found = sizes(LINE, {"X": (6,), "Y": (6,)}, s=1, t=1, u=4)
    assert found.extents == {"i": 6, "u": 4}


def test_a_true_convolution_reaches_over_both_ends():
    # as numpy.convolve(x, w): 5 + 3 - 1
    found = sizes("Y[i] = sum[u] W[u] * X[i-u]", {"X": (5,)}, u=3)
    assert found.extents["i"] == 7
    assert found.arithmetic == {"i": "5 - 1 + 2 + 1 = 7"}
    # padded by u - 1 - t before and after: numpy.convolve's mode "same" for t = 1, "valid" for t = 2
    assert sizes("Y[i] = sum[u] W[u] * X[i-u+t]", {"X": (5,)}, u=3, t=1).arithmetic == {"i": "5 - 1 + 1 = 5"}
    assert sizes("Y[i] = sum[u] W[u] * X[i-u+t]", {"X": (5,)}, u=3, t=2).arithmetic == {
        "i": "5 - 1 - 2 + 1 = 3"
    }


def test_reads_with_an_offset():
    found = sizes("Y[n,i] = X[n,i+1] - X[n,i]", {"X": (2, 5)})
    assert found.extents["i"] == 4
    assert found.arithmetic == {"i": "5 - 1 - 1 + 1 = 4"}
    assert found.shapes["Y"] == (2, 4)
    assert sizes("Y[i] = X[i-2]", {"X": (5,)}).arithmetic == {"i": "5 - 1 + 2*2 + 1 = 9"}


def test_a_transposed_convolution_is_as_large_as_its_bound_extents():
    line = "Y[n,q,i,j] = sum[p,u,v] W[p,q,u,v] * X[n,p,(i+t-u)/s,(j+t-v)/s]"
    found = sizes(line, {"X": (2, 3, 4, 5)}, s=2, t=1, q=6, u=3, v=3, i=7, j=9)
    assert found.shapes["Y"] == (2, 6, 7, 9)
    assert found.shapes["W"] == (3, 6, 3, 3)


def test_a_sum_runs_over_the_whole_axis_that_it_walks():
    # u by W, although X is read at u too; i by X, although W ends before: what lies outside is 0
    assert sizes(LINE, {"X": (9,), "W": (3,)}, s=1, t=0).extents == {"u": 3, "i": 7}
    assert sizes("L = sum[i] X[i] * W[2*i]", {"X": (5,), "W": (3,)}).extents == {"i": 5}


def test_tensors_read_with_different_extents():
    # as large as every read allows
    found = sizes("Y[i] = X[i] * Z[2*i+1]", {"X": (6,), "Z": (8,)})
    assert found.extents["i"] == 4
    assert found.arithmetic == {"i": "(8 - 1 - 1)//2 + 1 = 4"}
    # a parameter is as large as it is read
    assert sizes("Y[n,i] = W[2*i+1] * W[i] * X[n,i]", {"X": (1, 5)}).shapes["W"] == (10,)


def test_a_parameter_read_at_rounded_places_is_as_large_as_it_is_read():
    found = sizes("Y[n,i] = W[i//k,i % k] * X[n,i]", {"X": (1, 8)}, k=3)
    assert found.shapes["W"] == (3, 3)
    assert sizes("Y[n,i] = W[i-k*(i//k)] * X[n,i]", {"X": (1, 8)}, k=3).shapes["W"] == (3,)


def test_gradients_have_the_sizes_of_what_they_are_gradients_of():
    shapes = {"X": (2, 3, 9, 9), "W": (4, 3, 3, 3), "dY": (2, 4, 5, 5)}
    d_weight = sizes(
        "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+u-t,s*j+v-t]", shapes, s=2, t=1, u=3, v=3
    )
    assert d_weight.shapes["dW"] == (4, 3, 3, 3)
    d_x = sizes(
        "dX[n,p,a,b] = sum[q,u,v] dY[n,q,(a+t-u)/s,(b+t-v)/s] * W[q,p,u,v]", shapes, s=2, t=1, a=9, b=9
    )
    assert d_x.shapes["dX"] == (2, 3, 9, 9)
    mean = sizes("dX[n,c,a,b] = 1/k^2 * dY[n,c,a//k,b//k]", {"dY": (1, 2, 3, 3)}, k=2, a=6, b=6)
    assert mean.shapes["dX"] == (1, 2, 6, 6)


def test_a_primed_index_has_the_extent_of_the_unprimed_one():
    found = sizes("dX[k] = sum[k'] dY[k'] * J[k',k]", {"dY": (7,)})
    assert found.extents == {"k": 7, "k'": 7}
    assert found.shapes == {"dY": (7,), "J": (7, 7), "dX": (7,)}
    only_primed = Sizes({"u": 3})
    assert (only_primed.extent("u'"), only_primed.knows("u'"), only_primed.knows("v'")) == (3, True, False)
    assert sizes("L = sum[u'] X[u'] / |u|", {"X": (3,)}).values["|u|"] == 3


def test_extents_may_be_bound_in_bars_and_settings_may_be_fractions():
    assert sizes("Y[i] = a * X[i] / |k|", {"X": (3,)}, **{"|k|": 2, "a": Fraction(1, 3)}).values == {
        "a": Fraction(1, 3), "|k|": 2, "|i|": 3, "|X.0|": 3, "|Y.0|": 3
    }  # fmt: skip


def test_sizes_can_be_extended():
    found = sizes("Y[i] = X[i]", {"X": (3,)}).extended(extents={"u": 2}, shapes={"dY": (3,)})
    assert found.extents == {"i": 3, "u": 2}
    assert found.shapes == {"X": (3,), "Y": (3,), "dY": (3,)}
    assert found.values["|dY.0|"] == 3


windows = st.tuples(
    st.integers(1, 33), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3)
)


@given(windows, windows, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_a_convolution_has_the_sizes_of_pytorch(torch, height, width, groups, per_group, filters):
    bindings = {"g": groups, "q": filters}
    for (length, window, stride, padding, dilation), axis, index in ((height, 1, "u"), (width, 2, "v")):
        assume(dilation * (window - 1) + 1 <= length + 2 * padding)
        bindings |= {f"s{axis}": stride, f"t{axis}": padding, f"d{axis}": dilation, index: window}
    shape = (2, groups * per_group, height[0], width[0])
    found = solve(parse(CONV), {"X": shape}, bindings)
    layer = torch.nn.Conv2d(
        groups * per_group, groups * filters, (height[1], width[1]), (height[2], width[2]),
        (height[3], width[3]), (height[4], width[4]), groups, device="meta",
    )  # fmt: skip
    assert found.shapes["Y"] == tuple(layer(torch.empty(shape, device="meta")).shape)
    assert found.shapes["W"] == tuple(layer.weight.shape)
    assert found.shapes["b"] == tuple(layer.bias.shape)
    assert (found.extents["i"], found.extents["j"]) == found.shapes["Y"][2:]


@given(
    st.integers(1, 33), st.integers(1, 33), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.data()
)
def test_pooling_has_the_sizes_of_pytorch(torch, height, width, u, v, stride, data):
    padding = data.draw(st.integers(0, min(u, v) // 2))
    assume(u <= height + 2 * padding and v <= width + 2 * padding)
    image = torch.empty(2, 3, height, width, device="meta")
    expected = tuple(torch.nn.functional.max_pool2d(image, (u, v), stride, padding).shape)
    for line in (MAXIMUM, AVERAGE):
        found = sizes(line, {"X": (2, 3, height, width)}, s=stride, t=padding, u=u, v=v)
        assert found.shapes["Y"] == expected


@given(windows)
def test_the_arithmetic_that_is_shown_is_true(window):
    length, extent, stride, padding, dilation = window
    assume(dilation * (extent - 1) + 1 <= length + 2 * padding)
    found = sizes(
        "Y[i] = sum[u] W[u] * X[s*i+d*u-t]", {"X": (length,)}, s=stride, d=dilation, t=padding, u=extent
    )
    shown, _, result = found.arithmetic["i"].rpartition(" = ")
    assert parse(f"L = {shown}").right == number(int(result))
    assert int(result) == found.extents["i"]


@pytest.mark.parametrize(
    ("line", "shapes", "bindings", "message"),
    [
        (LINE, {"X": (3,)}, {"s": 1, "t": 0, "u": 5},
         "i has no entries: a window of 5 does not fit into X's axis 0, 3 long: 3 - 5 + 1 = -1"),
        (LINE, {"X": (3,)}, {"s": 2, "t": 1, "u": 7},
         "i has no entries: a window of 7 does not fit into X's axis 0, 3 long and padded by 1 on either "
         "side: (3 - 7 + 2*1)//2 + 1 = 0"),
        ("Y[n,q,i] = sum[p,u] W[q,p,u] * X[n,p,i+d*u]", {"X": (1, 1, 8)}, {"d": 4, "u": 3, "q": 1},
         "i has no entries: a window of 9 does not fit into X's axis 2, 8 long: 8 - (4*(3 - 1) + 1) + 1 = 0"),
        ("Y[i] = X[i+4]", {"X": (3,)}, {},
         "i has no entries: a window of 1 does not fit into X's axis 0, 3 long, from entry 4 on: "
         "3 - 1 - 4 + 1 = -1"),
        ("Y[n,i] = X[n,i] + X2[n,i]", {"X": (2, 5), "X2": (2, 7)}, {},
         "the sizes disagree on i: X's axis 1 makes it 5, but X2's axis 1 makes it 7"),
        ("Y[n] = sum[i] X[n,i] * W[i]", {"X": (2, 5), "W": (4,)}, {},
         "the sizes disagree on i: X's axis 1 makes it 5, but W's axis 0 makes it 4"),
        ("Y[n] = sum[i] X[n,i] + sum[i'] W[i']", {"X": (2, 5), "W": (4,)}, {},
         "W's axis 0 has 4 entries, but i' runs over 5"),
        (LINE, {"X": (9,), "W": (3,)}, {"s": 1, "t": 0, "u": 5},
         "W's axis 0 has 3 entries, but u was given as 5"),
        (LINE, {"X": (9,), "Y": (6,)}, {"s": 1, "t": 0, "u": 3, "i": 7},
         "Y's axis 0 has 6 entries, but i was given as 7"),
        (DENSE, {"X": (2, 3, 4)}, {"o": 2},
         "X has 3 axes, (2, 3, 4), but the formula reads it with 2: X[n,f]"),
        (DENSE, {"X": (5,)}, {"o": 2}, "X has 1 axis, (5,), but the formula reads it with 2: X[n,f]"),
        (LINE, {"X": (9,)}, {"s": 1, "t": 0},
         "the shapes given do not decide the size of u: give u=..."),
        (CONV, {"X": (1, 4, 9, 9)}, settings(q=2),
         "the shapes given do not decide the size of u, v: give u=..., v=..."),
        (DENSE, {"X": (1, 4)}, {}, "the shapes given do not decide the size of o: give o=..."),
        ("Y[i] = X[(i+t)/s]", {"X": (5,)}, {"s": 2, "t": 1},
         "the shapes given do not decide the size of i: give i=..."),
        ("Y[n,i] = X[n,t-i]", {"X": (1, 5)}, {"t": 4},
         "the shapes given do not decide the size of i: give i=..."),
        (CONV, {"X": (1, 15, 9, 9)}, settings(g=2, q=2, u=3, v=3),
         "X's axis 1 has 15 entries, which is no multiple of 2, as |p|*g+p needs"),
        ("dX[n,c,i,j] = dY[n,|i|*|j|*c+|j|*i+j]", {"dY": (2, 61)}, {"i": 4, "j": 5},
         "dY's axis 1 has 61 entries, which is no multiple of 20, as |i|*|j|*c+|j|*i+j needs"),
        (CONV, {"X": (1, 16, 9, 9)}, settings(g=2, p=4, q=2, u=3, v=3),
         "X's axis 1 has 16 entries, but |p|*g+p runs over 2*4 = 8"),
        ("Y[i,j] = W[i] * X[i,j] + W[j]", {"X": (3, 4)}, {},
         "W's axis 0 is read by i, which has 3 values, and by j, which has 4"),
        (LINE, {"X": (9,)}, {"u": 3},
         "no value for s, t: give s=..., t=... to Y[i] = sum[u] W[u] * X[s*i+u-t]"),
        (LINE, {"X": (9,)}, {"s": 1, "t": 0, "u": 0},
         "the extent of u must be a whole number of 1 or more, got 0"),
        (LINE, {"X": (9,)}, {"s": 1, "t": 0, "u": -2},
         "the extent of u must be a whole number of 1 or more, got -2"),
        (LINE, {"X": (9,)}, {"s": 1, "t": 0, "u": Fraction(5, 2)},
         "the extent of u must be a whole number of 1 or more, got 5/2"),
        ("Y[i] = X[i] / |k|", {"X": (9,)}, {"|k|": 0},
         "the extent of k must be a whole number of 1 or more, got 0"),
        ("Y[i] = X[i] / |k|", {"X": (9,)}, {}, "|k| has no value: it follows from no shape that was given"),
        ("Y[i] = X[i] / |Z.1|", {"X": (9,)}, {},
         "|Z.1| has no value: it follows from no shape that was given"),
        ("Y[i] = X[i] * W[i+|Z.1|]", {"X": (9,)}, {},
         "|Z.1| has no value: it follows from no shape that was given"),
        (DENSE, {"X": (0, 4)}, {"o": 2},
         "X's axis 0 has length 0: every axis needs at least one entry (X is (0, 4))"),
        (MAXIMUM, {"X": (1, 3, 0, 8)}, {"s": 1, "t": 0, "u": 2, "v": 2},
         "X's axis 2 has length 0: every axis needs at least one entry (X is (1, 3, 0, 8))"),
        ("Y[i,j] = W[(i+j)//2] * X[i,j]", {"X": (200, 200)}, {},
         "the shape of the tensor that is read at (i+j)//2 must be given"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_arithmetic(line, shapes, bindings, message):
    with pytest.raises(ShapeError) as caught:
        solve(parse(line), shapes, bindings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("formula", "shape", "bindings", "message"),
    [
        (
            "Y[n,o] = X[n,s*o]",
            (2, 9),
            {"s": 1.5},
            "X's axis 1 is read at s*o, which s = 1.5 makes fractional: "
            "subscripts count entries, give s a whole number",
        ),
        (
            "Y[i] = X[i-t]",
            (4,),
            {"t": Fraction(1, 2)},
            "X's axis 0 is read at i-t, which t = 1/2 makes fractional: "
            "subscripts count entries, give t a whole number",
        ),
        (
            "Y[i] = X[i % s]",
            (4,),
            {"s": 0.75, "i": 3},
            "X's axis 0 is read at i % s, which s = 0.75 makes fractional: "
            "subscripts count entries, give s a whole number",
        ),
    ],
)
def test_a_setting_that_makes_a_subscript_fractional_is_refused(formula, shape, bindings, message):
    with pytest.raises(ShapeError) as error:
        solve(parse(formula), {"X": shape}, bindings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("formula", "bindings", "length"),
    [
        ("Y[i] = X[(i+t)/s]", {"s": 2, "t": 1, "i": 7}, 7),
        ("Y[i] = X[2*s*i]", {"s": 1.5}, 3),
        ("Y[i] = X[i//s]", {"s": 1.5, "i": 12}, 12),
        ("Y[i] = k * X[i]", {"k": 0.5}, 9),
    ],
)
def test_a_fractional_setting_may_give_whole_subscripts(formula, bindings, length):
    assert solve(parse(formula), {"X": (9,)}, bindings).shapes["Y"] == (length,)
