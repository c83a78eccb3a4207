"""Checking formulas: judged at several sizes, and right in whatever form they are written."""

import pytest

import closedform as cf
from closedform.checking import check
from closedform.errors import FormulaError, SettingError, ShapeError

CONV = cf.Conv2d(16, 3, stride=2, padding=1)
PLAIN = cf.Conv2d(4, 3)

RIGHT = [
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,(a+t-u)/s,(b+t-v)/s]"),
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,(a+1-u)/2,(b+1-v)/2]"),
    # the kernel rotated, each index counted from the other end
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,2-u,2-v] * dY[n,q,(a-1+u)/s,(b-1+v)/s]"),
    (CONV, "dX[n,p,a,b] = sum[q,r,w] W[q,p,|u|-1-r,2-w] * dY[n,q,(a-1+r)/s,(b-1+w)/s]"),
    # a sum over outputs instead of the kernel
    (PLAIN, "dX[n,p,a,b] = sum[q,i,j] dY[n,q,i,j] * W[q,p,a-i,b-j]"),
    (PLAIN, "dX[n,p,i,j] = sum[q,u,v] W[q,p,u,v] * dY[n,q,i-u,j-v]"),
    (PLAIN, "dX[n,p,a,b] = sum[q,u,v] weight[q,p,u,v] * dY[n,q,a-u,b-v]"),
    # sheet B's Rot180(InsertedGrad Y * X): the padded zero-inserted dY, slid over by X, rotated
    (CONV, "dW[q,p,u,v] = sum[n,a,b] X[n,p,a,b] * dY[n,q,(a+t-u)/s,(b+t-v)/s]"),
    (CONV, "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+u-t,s*j+v-t]"),
    (CONV, "dweight[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,2*i+u-1,2*j+v-1]"),
    (CONV, "db[q] = sum[n,i,j] dY[n,q,i,j]"),
    (CONV, "Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t] + b[q]"),
    (cf.DepthwiseConv2d(3), "dW[c,u,v] = sum[n,i,j] dY[n,c,i,j] * X[n,c,i+u,j+v]"),
    (cf.AvgPool2d(2), "dX[n,c,a,b] = 1/4 * dY[n,c,a//2,b//2]"),
    (cf.AvgPool2d(2), "dX[n,c,a,b] = 1/(|u|*|v|) * sum[u,v] dY[n,c,(a-u)/s,(b-v)/s]"),
    (cf.MaxPool2d(2), "dX[n,c,a,b] = dY[n,c,a//2,b//2] * [X[n,c,a,b] = Y[n,c,a//2,b//2]]"),
    (cf.MaxPool2d(2), "dX[n,c,a,b] = dY[n,c,a//2,b//2] * M[n,c,a//2,b//2,a % 2,b % 2]"),
    (cf.ReLU(), "dX[n,f] = dY[n,f] * step(X[n,f])"),
    (cf.ReLU(), "dX[n,c,i,j] = dY[n,c,i,j] * step(Y[n,c,i,j])"),
    (cf.Sigmoid(), "dX[n,f] = dY[n,f] * sigmoid(X[n,f]) * (1 - sigmoid(X[n,f]))"),
    (cf.Sigmoid(), "dX[n,f] = dY[n,f] * (Y[n,f] - Y[n,f]^2)"),
    (cf.Dense(5), "dX[n,f] = sum[o] W[o,f] * dY[n,o]"),
    (cf.Softmax(), "dX[n,k] = Y[n,k] * dY[n,k] - Y[n,k] * sum[m] dY[n,m] * Y[n,m]"),
    (cf.SoftmaxCrossEntropy(), "dX[n,k] = (Y[n,k] - T[n,k]) / |n|"),
    (cf.SigmoidBinaryCrossEntropy(), "dX[n,k] = 1/|n| * (sigmoid(X[n,k]) - T[n,k])"),
    (cf.MeanSquaredError(), "dX[n,k] = 2 * (X[n,k] - T[n,k]) / (|n|*|k|)"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "claim"), RIGHT)
def test_every_form_of_a_right_formula_is_right(layer, claim):
    found = check(claim, layer)
    assert found.right, found.text()
    assert found.mistakes == ()


WRONG = [
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,2-u,2-v] * dY[n,q,(a+t-u)/s,(b+t-v)/s]", "kernel-not-rotated"),
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,a+t-u,b+t-v]", "zeros-not-inserted"),
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,(a-u)/s,(b-v)/s]", "padding-not-cropped"),
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,(a+2*t-u)/s,(b+2*t-v)/s]", "padding-cropped-twice"),
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[p,q,u,v] * dY[n,q,(a+t-u)/s,(b+t-v)/s]", "channels-swapped"),
    (CONV, "dX[n,p,a,b] = sum[q,r,u,v] W[q,r,u,v] * dY[n,q,(a+t-u)/s,(b+t-v)/s]", "channels-summed"),
    (PLAIN, "dX[n,p,a,b] = sum[q,u,v] W[q,p,2-u,2-v] * dY[n,q,a+u,b+v]", "border-missing"),
    (CONV, "dX[n,p,a,b] = -sum[q,u,v] W[q,p,u,v] * dY[n,q,(a+t-u)/s,(b+t-v)/s]", "sign"),
    (CONV, "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,(a+t-u+1)/s,(b+t-v)/s]", "off-by-one"),
    (CONV, "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,i+u-t,j+v-t]", "zeros-not-inserted"),
    (CONV, "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+2-u-t,s*j+2-v-t]", "kernel-rotated"),
    (CONV, "dW[q,p,u,v] = sum[i,j] dY[0,q,i,j] * X[0,p,s*i+u-t,s*j+v-t]", "weights-not-summed-over-batch"),
    (CONV, "db[q] = sum[n,i,j] dY[n,q,i,j] / |n|", "mean-doubled"),
    (CONV, "db[q,i,j] = sum[n] dY[n,q,i,j]", "bias-not-summed-over-positions"),
    (CONV, "db[n,q] = sum[i,j] dY[n,q,i,j]", "bias-not-summed-over-batch"),
    (CONV, "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,2-u,2-v] * X[n,p,s*i+u-t,s*j+v-t]", "convolution-flipped"),
    (CONV, "Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]", "bias-missing"),
    (cf.AvgPool2d(2), "dX[n,c,a,b] = 1/2 * dY[n,c,a//2,b//2]", "pool-factor-wrong"),
    (cf.AvgPool2d(2), "dX[n,c,a,b] = dY[n,c,a//2,b//2]", "pool-factor-missing"),
    (cf.MaxPool2d(2), "dX[n,c,a,b] = dY[n,c,a//2,b//2]", "max-spread"),
    (cf.MaxPool2d(2), "dX[n,c,a,b] = dY[n,c,a/2,b/2]", "max-wrong-entry"),
    (cf.AvgPool2d(2), "dX[n,c,a,b] = 1/4 * dY[n,c,(a+1)//2,b//2]", "off-by-one"),
    (cf.AvgPool2d(3, stride=2), "dX[n,c,a,b] = 1/9 * sum[u,v] dY[n,c,a-u,b-v]", "zeros-not-inserted"),
    (cf.AvgPool2d(2), "Y[n,c,i,j] = sum[u,v] X[n,c,2*i+u,2*j+v]", "pool-factor-missing"),
    (cf.GlobalAvgPool2d(), "dX[n,c,i,j] = dY[n,c] / |i|", "pool-factor-wrong"),
    (cf.MaxPool2d(2), "Y[n,c,i,j] = max[u,v] X[n,c,2*i+u+1,2*j+v]", "off-by-one"),
    (cf.ReLU(), "dX[n,f] = dY[n,f]", "relu-mask-missing"),
    (cf.Flatten(), "dX[n,c,i,j] = dY[n,|c|*|j|*i+|c|*j+c]", "flatten-order"),
    (cf.ReLU(), "dX[n,f] = dY[n,f] * step(dY[n,f])", "relu-mask-wrong-array"),
    (cf.ReLU(), "dX[n,f] = sum[m] dY[n,m] * step(X[m,f])", "matrix-product"),
    (cf.Sigmoid(), "dX[n,f] = dY[n,f]", "sigmoid-derivative-missing"),
    (cf.Dense(5), "dX[n,f] = sum[o] W[f,o] * dY[n,o]", "transposed-operand"),
    (cf.Dense(5), "dX[n,f] = W[n,f] * dY[n,f]", "elementwise-product"),
    (cf.Softmax(), "dX[n,k] = dY[n,k] * Y[n,k] * (1 - Y[n,k])", "softmax-jacobian-diagonal"),
    (cf.SoftmaxCrossEntropy(), "dX[n,k] = Y[n,k] / |n|", "labels-not-subtracted"),
    (cf.SoftmaxCrossEntropy(), "dX[n,k] = Y[n,k] - T[n,k]", "mean-missing"),
    (cf.SoftmaxCrossEntropy(), "dX[n,k] = 1/|n|^2 * (Y[n,k] - T[n,k])", "mean-doubled"),
    # sheet D: reading @ by its own definition adds up the gradient over the filters first
    (cf.ChannelSummedConv2d(3, 2),
     "dX[n,p,a,b] = sum[q,r,u,v] W[q,u,v] * dY[n,r,a-u,b-v]", "channels-summed"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "claim", "mistake"), WRONG)
def test_a_wrong_formula_is_named(layer, claim, mistake):
    found = check(claim, layer)
    assert not found.right
    assert found.mistakes == (mistake,), found.text()
    assert found.first_wrong == found.name == claim.split("[")[0]


def test_mistakes_are_found_in_a_formula_of_ones_own_whatever_its_letters():
    layer = cf.Formula("Y[e,k,r,c] = sum[f,g,h] V[k,f,g,h] * X[e,f,2*r+g-1,2*c+h-1]", k=5, g=3, h=3)
    right = "dX[e,f,y,x] = sum[k,g,h] V[k,f,g,h] * dY[e,k,(y+1-g)/2,(x+1-h)/2]"
    assert check(right, layer).right
    for old, new, mistake in (
        ("V[k,f,g,h]", "V[k,f,2-g,2-h]", "kernel-not-rotated"),
        ("V[k,f,g,h]", "V[f,k,g,h]", "channels-swapped"),
        ("(y+1-g)/2,(x+1-h)/2", "y+1-g,x+1-h", "zeros-not-inserted"),
        ("(y+1-g)/2,(x+1-h)/2", "(y-g)/2,(x-h)/2", "padding-not-cropped"),
    ):
        assert check(right.replace(old, new), layer).mistakes == (mistake,)


def test_a_formula_that_is_right_only_for_equal_channels_is_wrong():
    claim = "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,a-u,b-v] * [p < 3]"
    assert not check(claim, PLAIN).right


def test_a_formula_can_be_judged_for_one_input_shape():
    claim = "dX[n,p,a,b] = sum[q,u,v] W[q,p,u,v] * dY[n,q,a-u,b-v]"
    assert check(claim, PLAIN, input_shape=(3, 6, 7)).right
    with pytest.raises(ShapeError, match=r"Conv2d: expects images \(channels, height, width\), got \(3,\)"):
        check(claim, PLAIN, input_shape=(3,))


# ---- formulas that are none


def message_of(error, claim, layer, **words):
    with pytest.raises(error) as caught:
        check(claim, layer, **words)
    return str(caught.value)


def test_a_tensor_that_is_not_there_has_a_caret():
    assert message_of(FormulaError, "dX[n,f] = dZ[n,f]", cf.ReLU()) == (
        "there is no tensor dZ here: a claim may read X, Y, dY\n  dX[n,f] = dZ[n,f]\n            ^"
    )


def test_a_name_that_is_neither_index_nor_setting_has_a_caret():
    assert message_of(FormulaError, "dX[n,f] = z * dY[n,f]", cf.ReLU()) == (
        "z is neither an index on the left, nor summed, nor a setting of the layer, which has none: "
        "sum over it (sum[z]) or write a number\n  dX[n,f] = z * dY[n,f]\n            ^"
    )


def test_a_tensor_with_too_few_subscripts_has_a_caret():
    assert message_of(FormulaError, "db[q] = sum[n,i] dY[n,q,i]", PLAIN).startswith(
        "dY has 4 axes, but is read with 3\n"
    )


def test_an_index_that_nothing_bounds_has_a_caret():
    assert message_of(FormulaError, "db[q] = sum[n,i,j,r] dY[n,q,i,j] * [r < 3]", PLAIN) == (
        "it is not clear how far r runs: no tensor is read at r alone; use the layer's own indices "
        "n, q, i, j, p, u, v\n  db[q] = sum[n,i,j,r] dY[n,q,i,j] * [r < 3]\n                    ^"
    )


def test_a_left_side_that_is_no_gradient_of_the_layer():
    assert message_of(FormulaError, "dV[n] = 1", PLAIN) == (
        "Conv2d has no dV: a claim is about one of Y, db, dW, dX\n  dV[n] = 1\n  ^"
    )


def test_a_left_side_that_contradicts_wrt():
    assert message_of(SettingError, "db[q] = sum[n,i,j] dY[n,q,i,j]", PLAIN, wrt="weight") == (
        "the claim defines db, but wrt='weight' asks for another: leave wrt out"
    )


def test_a_shape_that_no_mistake_explains():
    assert message_of(ShapeError, "db[u,v] = sum[n,q,i,j] W[q,0,u,v] * dY[n,q,i,j]", PLAIN) == (
        "Conv2d: db must have shape (4,), got (3, 3), which no known mistake explains"
    )


def test_a_formula_that_runs_over_far_more_than_is_needed():
    entries = [f"X[n{p},c{p},i{p},j{p}]" for p in ("'", "''", "'''", "''''")]
    indices = ",".join(entry[2:-1] for entry in entries)
    claim = f"dX[n,c,i,j] = dY[n,c,i,j] + sum[{indices}] exp({' + '.join(entries)})"
    reason = message_of(FormulaError, claim, cf.ReLU()).splitlines()[0]
    assert reason.startswith("this runs over ")
    assert reason.endswith(": that is too much to work out")


@pytest.mark.parametrize(
    "claim",
    [
        "__import__('os').system('true')",
        "dX[n,f] = __import__('os')",
        "dX[n,f] = dY[n,f] if X[n,f] > 0 else 0",
        "lambda X: X",
        "dX[n,f] = dY[n,f].T",
        "dX[n,f] = [x for x in dY]",
        "",
        "dX",
    ],
)
def test_python_is_no_formula(claim):
    with pytest.raises(FormulaError, match=r"\^$"):
        check(claim, cf.ReLU())
