"""Every layer and loss at several settings: PyTorch's numbers in the grids, and the numerical check."""

from fractions import Fraction

import numpy as np
import pytest
from explanations import groups, keys, paragraphs, section
from layer_oracles import Case, apart, arrays_of, normal, torch_results

import closedform as cf
from closedform.layers import LAYERS, LOSSES, Loss
from closedform.solution import Values

CASES = {
    "Conv2d": (cf.Conv2d(2, 2), (2, 3, 3)),
    "Conv2d, stride and padding": (cf.Conv2d(2, (2, 3), stride=(2, 1), padding=(1, 0)), (1, 4, 4)),
    "Conv2d, dilation": (cf.Conv2d(1, 2, dilation=2), (2, 4, 4)),
    "Conv2d, groups": (cf.Conv2d(4, 2, groups=2), (2, 3, 3)),
    "Conv2d, same": (cf.Conv2d(1, 2, padding="same"), (1, 3, 4)),
    "Conv2d, same with a stride": (cf.Conv2d(1, 3, padding="same", stride=2), (1, 4, 5)),
    "Conv2d, no bias": (cf.Conv2d(2, 1, bias=False), (3, 2, 2)),
    "LocallyConnected2d": (cf.LocallyConnected2d(1, 2), (1, 3, 3)),
    "LocallyConnected2d, stride": (cf.LocallyConnected2d(1, 2, stride=2, padding=1), (1, 2, 2)),
    "LocallyConnected2d, shared bias": (cf.LocallyConnected2d(1, 2, bias="shared"), (1, 3, 3)),
    "LocallyConnected2d, no bias": (cf.LocallyConnected2d(1, 2, bias=False), (1, 3, 3)),
    "ChannelSummedConv2d": (cf.ChannelSummedConv2d(2, 2), (2, 3, 3)),
    "ChannelSummedConv2d, stride": (cf.ChannelSummedConv2d(1, 2, stride=2, padding=1), (2, 4, 4)),
    "DepthwiseConv2d": (cf.DepthwiseConv2d(2), (2, 3, 3)),
    "DepthwiseConv2d, dilation": (cf.DepthwiseConv2d(2, dilation=2, padding=1), (2, 4, 4)),
    "AvgPool2d": (cf.AvgPool2d(2), (2, 4, 4)),
    "AvgPool2d, overlap": (cf.AvgPool2d(2, stride=1), (2, 3, 3)),
    "AvgPool2d, padding": (cf.AvgPool2d(3, stride=2, padding=1), (1, 4, 4)),
    "AvgPool2d, padding not counted": (
        cf.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        (1, 4, 4),
    ),
    "MaxPool2d": (cf.MaxPool2d(2), (2, 4, 4)),
    "MaxPool2d, overlap": (cf.MaxPool2d(2, stride=1), (1, 3, 3)),
    "MaxPool2d, padding": (cf.MaxPool2d(3, stride=2, padding=1), (1, 4, 4)),
    "GlobalAvgPool2d": (cf.GlobalAvgPool2d(), (2, 2, 3)),
    "GlobalMaxPool2d": (cf.GlobalMaxPool2d(), (2, 2, 3)),
    "Flatten": (cf.Flatten(), (2, 2, 2)),
    "Dense": (cf.Dense(3), (4,)),
    "Dense, no bias": (cf.Dense(1, bias=False), (4,)),
    "ReLU": (cf.ReLU(), (2, 2, 3)),
    "LeakyReLU": (cf.LeakyReLU(0.25), (2, 2, 3)),
    "Sigmoid": (cf.Sigmoid(), (4,)),
    "Tanh": (cf.Tanh(), (1, 2, 2)),
    "Softmax": (cf.Softmax(), (4,)),
    "SoftmaxCrossEntropy": (cf.SoftmaxCrossEntropy(), (3,)),
    "SigmoidBinaryCrossEntropy": (cf.SigmoidBinaryCrossEntropy(), (1,)),
    "MeanSquaredError": (cf.MeanSquaredError(), (3,)),
}

OWN_LINES = {
    "a power": cf.Formula("Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u,s*j+v]^2", q=1, u=2, v=2, s=2),
    "a quotient": cf.Formula("Y[n,k] = X[n,k] / (1 + sum[m] X[n,m]^2)"),
    "a setting that is a fraction": cf.Formula("Y[n,k] = r * X[n,k] + b[k]", r=Fraction(1, 3)),
    "a parameter in two places": cf.Formula("Y[n,k] = W[k] * X[n,k] + W[k]^2"),
    "functions": cf.Formula("Y[n,k] = exp(W[k] * X[n,k]) + tanh(X[n,k])"),
    "a maximum of a product": cf.Formula("Y[n,k] = max[m] W[k,m] * X[n,m]", k=2),
    "a bilinear form": cf.Formula("Y[n,k] = sum[a,c] W[k,a,c] * X[n,a] * X[n,c]", k=2),
    "one number": cf.Formula("Y[n] = sum[k] W[k] * X[n,k]"),
}


def agree_with_quotients(page):
    (said,) = paragraphs(section(page, "check"))
    assert "The difference quotients agree with the derived gradients to 10⁻" in said, said


def explained(name, batch=1):
    layer, shape = CASES[name]
    case = Case(layer, shape, batch, seed=7)
    ties = ("MaxPool2d", "GlobalMaxPool2d", "ReLU", "LeakyReLU")
    arrays = arrays_of(case, apart if type(layer).__name__ in ties else normal)
    weights = {name: array for name, array in arrays.items() if name not in ("x", "dy", "T")}
    if isinstance(layer, Loss):
        arrays["dy"] = np.ones(())
        return cf.explain(layer, x=arrays["x"], y=arrays["T"]), case, arrays
    return cf.explain(layer, x=arrays["x"], weights=weights, dy=arrays["dy"]), case, arrays


def result(page, key):
    """The numbers of a section's result where its grids show all of them."""
    grids = groups(section(page, key))[-1]
    return np.array([[[c.content.value for c in row] for row in grid.cells] for grid in grids], float).ravel()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_grids_hold_what_pytorch_computes(torch, name, batch):
    page, case, arrays = explained(name, batch)
    expected = torch_results(torch, case, arrays)
    letters = {"x": "X", "weight": "W", "bias": "b"}
    for key, array in expected.items():
        if key == "y":
            if isinstance(case.layer, Loss):
                continue
            found = "forward-Y"
        else:
            found = f"gradient-{letters[key]}"
        if array.size > 4 * 100 or sum(n > 1 for n in array.shape) > 4:
            continue
        grids = groups(section(page, found))[-1]
        if sum(len(grid.cells) * len(grid.cells[0]) for grid in grids) < array.size:
            continue  # shown in part
        np.testing.assert_allclose(result(page, found), array.ravel(), rtol=1e-9, atol=1e-12, err_msg=found)
    agree_with_quotients(page)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_explained_in_symbols_and_in_every_format(name):
    layer, shape = CASES[name]
    for first in (0, 1):
        page = cf.explain(layer, input_shape=shape, first_index=first)
        assert all((page.text(), page.html(), page.latex(), page.markdown()))
        agree_with_quotients(page)


@pytest.mark.parametrize("name", OWN_LINES)
def test_lines_of_ones_own(name):
    layer = OWN_LINES[name]
    shape = (1, 4, 4) if name == "a power" else (3,)
    x = np.random.default_rng(1).integers(1, 5, shape)
    page = cf.explain(layer, x=x, input_shape=shape)
    agree_with_quotients(page)
    agree_with_quotients(cf.explain(layer, input_shape=shape, first_index=0))
    parameters = layer.parameter_shapes(shape)
    gradients = [key for key in keys(page) if key.startswith("gradient-")]
    assert gradients == [f"gradient-{name}" for name in (*parameters, "X")]


def test_dropout_takes_its_mask_as_a_weight():
    page = cf.explain(cf.Dropout(0.5), x=[1, 2, 3], weights={"M": [2, 0, 2]}, dy=[1, 1, 1])
    assert result(page, "forward-Y").tolist() == [2, 0, 6]
    assert result(page, "gradient-X").tolist() == [2, 0, 2]
    agree_with_quotients(page)
    agree_with_quotients(cf.explain(cf.Dropout(0.5)))


def test_every_kind_of_layer_is_among_the_cases():
    kinds = {type(layer).__name__ for layer, _ in CASES.values()} | {"Formula", "Dropout"}
    assert kinds == {*LAYERS, *LOSSES}


# ---- the numerical check


X = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]


def checked(page):
    (said,) = paragraphs(section(page, "check"))
    return said


def test_the_check_says_what_was_changed():
    page = cf.explain(cf.Conv2d(1, 2), x=X, weights={"W": [[0, 3], [1, -2]], "b": 1}, dy=[[1, 1], [1, 1]])
    assert checked(page).startswith(
        "With these numbers, 14 entries of X, W, b were changed by ±10⁻⁵, one at a time. "
    )
    page = cf.explain(cf.Conv2d(1, 2), x=X, wrt="b")
    assert checked(page).startswith("With drawn numbers, 1 entry of b was changed by ±10⁻⁵. ")


def test_the_check_notices_a_wrong_gradient(monkeypatch):
    right = Values.__getitem__

    def wrong(self, name):
        value = right(self, name)
        if name == "dW" and value is not None:
            value = value.copy()
            value[0, 0, 1, 0] += 3
        return value

    monkeypatch.setattr(Values, "__getitem__", wrong)
    page = cf.explain(cf.Conv2d(1, 2, bias=False), x=X, weights={"W": [[0, 3], [1, -2]]}, dy=[[1, 1], [1, 1]])
    # the gradient there is 7, and 10 is said: 3/10 of what is said
    assert checked(page).endswith("The difference quotients differ from the derived gradients by up to 0.3.")


def test_corners_are_told_apart_from_mistakes():
    page = cf.explain(cf.ReLU(), x=[3, 0, -1], dy=[1, 1, 1])
    assert checked(page).endswith(
        "The difference quotients agree with the derived gradients to 10⁻⁸. "
        "1 entry lies at a corner of ReLU or a maximum, where quotients say nothing."
    )
    page = cf.explain(cf.MaxPool2d(2), x=[[1, 1], [0, 0]])
    assert checked(page).endswith(
        "2 entries lie at a corner of ReLU or a maximum, where quotients say nothing."
    )
