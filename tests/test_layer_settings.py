"""A layer is its settings: shapes, formulas and gradients follow from them, and they can be written down."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_oracles import CASES, SMALL, examples, torch_value

import closedform as cf
from closedform.architecture import layer_from_dict
from closedform.errors import SettingError, ShapeError
from closedform.layers import LAYERS

ANY_CASE = st.one_of([case for kind, case in CASES.items() if kind in LAYERS])
FORMULA = cf.Formula(
    "Y[n,q,i] = a[q] + k * sum[p,u] W[q,p,u] * X[n,p,s*i+u]",
    q=8,
    u=3,
    s=2,
    k=0.5,
    initial={"a": "ones"},
    name="own",
)


# ---- written down and read back


def written_and_read(layer):
    values = {"type": type(layer).__name__, **layer.to_dict()}
    return layer_from_dict(json.loads(json.dumps(values)), 0)


@examples(100)
@given(ANY_CASE, st.sampled_from([None, "conv1", "a-b_2"]))
def test_a_layer_comes_back_from_plain_values(case, name):
    layer = dataclasses.replace(case.layer, name=name)
    assert written_and_read(layer) == layer


@pytest.mark.parametrize(
    "layer",
    [
        FORMULA,
        cf.Formula("Y[n,f] = k * X[n,f]", k=-7),
        cf.Formula("Y[n,f] = k * X[n,f]", k=1e-9),
        cf.Formula("Y[n,f] = k * X[n,f]", k="-1/3"),
        cf.LocallyConnected2d(2, 3, bias=np.False_),
        cf.LocallyConnected2d(2, 3, bias="shared"),
        cf.Conv2d(np.int64(2), (np.int32(3), 2), bias=np.True_),
        cf.MaxPool2d((2, 3), stride=(2, 3)),
        cf.MaxPool2d((2, 3), stride=2, padding="same"),
        cf.Dropout(np.float32(0.5)),
    ],
    ids=repr,
)
def test_unusual_settings_come_back_too(layer):
    assert written_and_read(layer) == layer


def test_only_settings_that_differ_from_their_defaults_are_written():
    assert cf.Conv2d(16, 3).to_dict() == {"out_channels": 16, "kernel_size": 3}
    assert cf.Conv2d(16, (3, 5), padding="same", name="first").to_dict() == {
        "name": "first",
        "out_channels": 16,
        "kernel_size": [3, 5],
        "padding": "same",
    }
    assert cf.MaxPool2d(2).to_dict() == {"kernel_size": 2}
    assert cf.ReLU().to_dict() == {}
    assert FORMULA.to_dict() == {
        "formula": "Y[n,q,i] = a[q] + k * sum[p,u] W[q,p,u] * X[n,p,s*i+u]",
        "settings": {"k": 0.5, "q": 8, "s": 2, "u": 3},
        "initial": {"a": "ones"},
        "name": "own",
    }


def test_a_layer_prints_as_the_call_that_makes_it():
    assert repr(cf.Conv2d(16, 3, padding=1)) == "Conv2d(out_channels=16, kernel_size=3, padding=1)"
    assert str(cf.AvgPool2d((2, 3))) == "AvgPool2d(kernel_size=(2, 3))"
    assert repr(cf.ReLU()) == "ReLU()"
    assert repr(cf.Dropout(0.2, name="drop")) == "Dropout(name='drop', p=0.2)"
    assert repr(cf.SoftmaxCrossEntropy()) == "SoftmaxCrossEntropy()"
    assert repr(FORMULA) == (
        "Formula('Y[n,q,i] = a[q] + k * sum[p,u] W[q,p,u] * X[n,p,s*i+u]', "
        "k=0.5, q=8, s=2, u=3, initial={'a': 'ones'}, name='own')"
    )


@examples(50)
@given(ANY_CASE)
def test_layers_are_frozen_and_equal_layers_are_one_key(case):
    again = dataclasses.replace(case.layer)
    assert again is not case.layer
    assert {case.layer: "found"}[again] == "found"
    for field in dataclasses.fields(case.layer):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(case.layer, field.name, None)


def test_layers_with_other_settings_or_names_differ():
    layers = [
        cf.Conv2d(2, 3),
        cf.Conv2d(3, 3),
        cf.Conv2d(2, 3, name="a"),
        cf.ChannelSummedConv2d(2, 3),
        cf.MaxPool2d(3),
        cf.AvgPool2d(3),
        cf.ReLU(),
        cf.Sigmoid(),
    ]
    assert len(set(layers)) == len(layers)


def test_settings_take_one_number_or_a_pair():
    assert cf.Conv2d(1, 3, stride=2, dilation=[1, 2]) == cf.Conv2d(1, (3, 3), stride=(2, 2), dilation=(1, 2))
    assert cf.Conv2d(1, 3, padding="valid") == cf.Conv2d(1, 3, padding=0)
    assert cf.MaxPool2d(2).stride == (2, 2)
    assert cf.MaxPool2d((2, 3)).stride == (2, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cf.Conv2d(0, 3), "Conv2d: out_channels must be a whole number from 1, got 0"),
        (lambda: cf.Conv2d(2.0, 3), "Conv2d: out_channels must be a whole number from 1, got 2.0"),
        (lambda: cf.Conv2d(True, 3), "Conv2d: out_channels must be a whole number from 1, got True"),
        (
            lambda: cf.Conv2d(2, (3, 3, 3)),
            "Conv2d: kernel_size must be a whole number or a pair (height, width), got (3, 3, 3)",
        ),
        (lambda: cf.Conv2d(2, 3, stride=0), "Conv2d: stride must be a whole number from 1, got 0"),
        (lambda: cf.Conv2d(2, 3, padding=-1), "Conv2d: padding must be a whole number from 0, got -1"),
        (
            lambda: cf.Conv2d(2, 3, padding="full"),
            'Conv2d: padding must be a whole number, a pair, "valid" or "same", got \'full\'',
        ),
        (
            lambda: cf.Conv2d(3, 3, groups=2),
            "Conv2d: groups must divide out_channels, got groups=2 and out_channels=3",
        ),
        (lambda: cf.Conv2d(2, 3, bias="shared"), "Conv2d: bias must be True or False, got 'shared'"),
        (
            lambda: cf.LocallyConnected2d(2, 3, bias="each"),
            "LocallyConnected2d: bias must be True, False or \"shared\", got 'each'",
        ),
        (
            lambda: cf.MaxPool2d(2, padding=2),
            "MaxPool2d: padding must be smaller than the kernel, or a window holds no entry of the image; "
            "got padding=2 and kernel_size=2",
        ),
        (
            lambda: cf.AvgPool2d(2, count_include_pad=1),
            "AvgPool2d: count_include_pad must be True or False, got 1",
        ),
        (lambda: cf.Dropout(1), "Dropout: p must be a number from 0 to below 1, got 1"),
        (lambda: cf.Dropout(float("nan")), "Dropout: p must be a number from 0 to below 1, got nan"),
        (lambda: cf.LeakyReLU(-0.1), "LeakyReLU: negative_slope must be a number from 0, got -0.1"),
        (
            lambda: cf.ReLU(name="1st"),
            "ReLU: a name begins with a letter, then letters, digits, - and _; got '1st'",
        ),
        (
            lambda: cf.Dense(3).gradient("Q"),
            "Dense has no tensor 'Q': its formula reads b, W, X",
        ),
    ],
)
def test_settings_outside_their_range_are_refused(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message


# ---- shapes


@pytest.mark.parametrize(
    ("layer", "input_shape", "output_shape", "parameter_shapes"),
    [
        (cf.Conv2d(16, 3), (1, 28, 28), (16, 26, 26), {"weight": (16, 1, 3, 3), "bias": (16,)}),
        (
            cf.Conv2d(6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(2, 3), groups=3, bias=False),
            (9, 12, 10),
            (6, 5, 7),
            {"weight": (6, 3, 3, 2)},
        ),
        (
            cf.Conv2d(4, 5, stride=2, padding="same"),
            (3, 7, 8),
            (4, 4, 4),
            {"weight": (4, 3, 5, 5), "bias": (4,)},
        ),
        (
            cf.LocallyConnected2d(4, (2, 3), stride=2),
            (3, 6, 7),
            (4, 3, 3),
            {"weight": (3, 3, 4, 3, 2, 3), "bias": (4, 3, 3)},
        ),
        (
            cf.LocallyConnected2d(4, 2, bias="shared"),
            (3, 3, 4),
            (4, 2, 3),
            {"weight": (2, 3, 4, 3, 2, 2), "bias": (4,)},
        ),
        (cf.ChannelSummedConv2d(4, (3, 2)), (5, 6, 6), (4, 4, 5), {"weight": (4, 3, 2), "bias": (4,)}),
        (
            cf.DepthwiseConv2d(3, stride=2, padding=1),
            (5, 7, 8),
            (5, 4, 4),
            {"weight": (5, 1, 3, 3), "bias": (5,)},
        ),
        (cf.AvgPool2d((2, 3)), (5, 7, 8), (5, 3, 2), {}),
        (cf.MaxPool2d(3, 2, padding=1), (5, 7, 8), (5, 4, 4), {}),
        (cf.MaxPool2d(3, 2, padding="same"), (5, 7, 8), (5, 4, 4), {}),
        (cf.GlobalAvgPool2d(), (5, 7, 8), (5,), {}),
        (cf.GlobalMaxPool2d(), (5, 7, 8), (5,), {}),
        (cf.Flatten(), (5, 7, 8), (280,), {}),
        (cf.Flatten(), (5,), (5,), {}),
        (cf.Dense(10), (280,), (10,), {"weight": (10, 280), "bias": (10,)}),
        (cf.Dense(10, bias=False), (280,), (10,), {"weight": (10, 280)}),
        (cf.ReLU(), (5, 7, 8), (5, 7, 8), {}),
        (cf.LeakyReLU(), (5,), (5,), {}),
        (cf.Sigmoid(), (5, 7), (5, 7), {}),
        (cf.Tanh(), (2, 3, 4, 5, 6), (2, 3, 4, 5, 6), {}),
        (cf.Softmax(), (5, 7, 8), (5, 7, 8), {}),
        (cf.Dropout(), (5, 7, 8), (5, 7, 8), {}),
        (FORMULA, (4, 11), (8, 5), {"a": (8,), "W": (8, 4, 3)}),
    ],
    ids=repr,
)
def test_shapes(layer, input_shape, output_shape, parameter_shapes):
    assert layer.output_shape(input_shape) == output_shape
    assert layer.parameter_shapes(input_shape) == parameter_shapes


@pytest.mark.parametrize(
    ("make", "layer", "input_shape"),
    [
        (
            lambda nn: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2),
            cf.Conv2d(6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2),
            (4, 9, 8),
        ),
        (
            lambda nn: nn.Conv2d(5, 5, 3, 2, 1, groups=5, bias=False),
            cf.DepthwiseConv2d(3, 2, 1, bias=False),
            (5, 9, 8),
        ),
        (lambda nn: nn.Linear(7, 3), cf.Dense(3), (7,)),
    ],
)
def test_parameters_have_pytorchs_names_and_shapes(torch, make, layer, input_shape):
    module = make(torch.nn)
    theirs = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    assert layer.parameter_shapes(input_shape) == theirs
    with torch.no_grad():
        assert module(torch.zeros(1, *input_shape)).shape[1:] == layer.output_shape(input_shape)


@examples(100)
@given(ANY_CASE)
def test_the_output_shape_is_pytorchs(torch, case):
    shapes = {"x": (case.batch, *case.input_shape)} | case.layer.parameter_shapes(case.input_shape)
    y = torch_value(torch, case, {name: torch.zeros(shape) for name, shape in shapes.items()})
    assert y.shape == (case.batch, *case.layer.output_shape(case.input_shape))


def test_the_largest_window_that_fits():
    assert cf.Conv2d(1, 5, padding=1).output_shape((1, 3, 3)) == (1, 1, 1)
    with pytest.raises(ShapeError) as caught:
        cf.Conv2d(1, 6, padding=1).output_shape((1, 3, 3))
    assert str(caught.value) == (
        "Conv2d: the window's height (6) is larger than the padded image's (3 + 2*1): "
        "(3 - 6 + 2*1)//1 + 1 = 0"
    )


# ---- formulas and gradients


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (cf.Conv2d(16, 3), "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+d*u-t,s*j+d*v-t]"),
        (
            cf.Conv2d(4, 3, stride=(2, 1), groups=2, bias=False),
            "Y[n,|q|*g+q,i,j] = sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d*u-t,s2*j+d*v-t]",
        ),
        (
            cf.LocallyConnected2d(2, 2),
            "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]",
        ),
        (
            cf.ChannelSummedConv2d(2, 2),
            "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]",
        ),
        (cf.DepthwiseConv2d(3), "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s*i+d*u-t,s*j+d*v-t]"),
        (cf.AvgPool2d(2), "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]"),
        (cf.MaxPool2d(2), "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]"),
        (cf.GlobalAvgPool2d(), "Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]"),
        (cf.GlobalMaxPool2d(), "Y[n,c] = max[i,j] X[n,c,i,j]"),
        (cf.Flatten(), "Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]"),
        (cf.Dense(2), "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]"),
        (cf.ReLU(), "Y[n,c,i,j] = relu(X[n,c,i,j])"),
        (cf.LeakyReLU(), "Y[n,c,i,j] = relu(X[n,c,i,j]) + k * X[n,c,i,j] * [X[n,c,i,j] <= 0]"),
        (cf.Dropout(), "Y[n,c,i,j] = M[n,c,i,j] * X[n,c,i,j]"),
    ],
    ids=repr,
)
def test_the_formula_is_the_layers_line(layer, formula):
    assert str(layer.formula) == formula


@pytest.mark.parametrize(
    ("layer", "tensor", "gradient"),
    [
        (
            cf.Conv2d(16, 3, stride=2, padding=1),
            "X",
            "dX[n,p,a,b] = sum[q,u,v] dY[n,q,(a+t-u)/s,(b+t-v)/s] * W[q,p,u,v]",
        ),
        (
            cf.Conv2d(16, 3, stride=2, padding=1),
            "W",
            "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+u-t,s*j+v-t]",
        ),
        (cf.Conv2d(16, 3, stride=2, padding=1), "b", "db[q] = sum[n,i,j] dY[n,q,i,j]"),
        (
            cf.LocallyConnected2d(2, 2),
            "X",
            "dX[n,p,a,b] = sum[q,u,v] dY[n,q,a-u,b-v] * W[a-u,b-v,q,p,u,v]",
        ),
        (
            cf.ChannelSummedConv2d(2, 2),
            "W",
            "dW[q,u,v] = sum[n,i,j,p] dY[n,q,i,j] * X[n,p,i+u,j+v]",
        ),
        (cf.GlobalAvgPool2d(), "X", "dX[n,c,i,j] = 1/(|i|*|j|) * dY[n,c]"),
        (cf.Dense(2), "X", "dX[n,f] = sum[o] dY[n,o] * W[o,f]"),
        (cf.Softmax(), "X", "dX[n,k] = Y[n,k] * (dY[n,k] - sum[k'] dY[n,k'] * Y[n,k'])"),
        (cf.Sigmoid(), "X", "dX[n,c,i,j] = dY[n,c,i,j] * Y[n,c,i,j] * (1 - Y[n,c,i,j])"),
        (
            cf.SoftmaxCrossEntropy(),
            "X",
            "dX[n,k] = 1/|n| * (exp(X[n,k]) / sum[m] exp(X[n,m]) - T[n,k])",
        ),
        (cf.SigmoidBinaryCrossEntropy(), "X", "dX[n,k] = 1/|n| * (sigmoid(X[n,k]) - T[n,k])"),
    ],
)
def test_the_gradient_in_symbols(layer, tensor, gradient):
    assert str(layer.gradient(tensor).result) == gradient


def test_gradients_are_asked_for_by_the_formulas_name_or_the_public_one():
    layer = cf.Conv2d(3, 2)
    for tensor, public in (("W", "weight"), ("b", "bias"), ("X", "input")):
        assert layer.gradient(public) == layer.gradient(tensor)
        assert layer.gradient(tensor).gradient == "d" + tensor


def test_a_gradient_has_steps_with_rules_and_reasons_and_latex():
    derivation = cf.Conv2d(3, 2).gradient("W")
    assert [step.rule for step in derivation.steps][1:3] == ["chain rule", "linearity"]
    assert all(step.reason.endswith(".") for step in derivation.steps)
    assert derivation.steps[-1].equation == derivation.result
    latex = cf.Dense(3).gradient("W").latex()
    assert r"\frac{\partial L}{\partial W_{o,f}}" in latex
    assert r"\sum_{n} \frac{\partial L}{\partial Y_{n,o}}\,X_{n,f}" in latex


GRADIENT_SETTINGS = [
    *(cf.Conv2d(3, kernel) for kernel in range(1, 16)),
    *(cf.Conv2d(3, 3, stride=stride, padding=1) for stride in range(1, 8)),
    *(cf.Conv2d(12, 2, stride=2, groups=groups) for groups in (1, 2, 3, 4, 6, 12)),
    *(cf.Conv2d(3, (kernel, 2), stride=(1, 3), dilation=(2, 1)) for kernel in range(1, 6)),
    *(cf.LocallyConnected2d(2, kernel, stride=stride) for kernel in (1, 2, 5) for stride in (1, 2, 6)),
    *(cf.ChannelSummedConv2d(2, kernel, padding=kernel // 2) for kernel in (1, 3, 7)),
    *(cf.DepthwiseConv2d(kernel, stride=stride, padding=1) for kernel in (2, 3) for stride in (1, 2, 5)),
    *(cf.AvgPool2d(kernel, stride) for kernel in (1, 2, 3) for stride in (1, 2, 3, 5)),
    *(cf.MaxPool2d(kernel, stride) for kernel in (1, 2, 3) for stride in (1, 2, 3, 5)),
    *(cf.MaxPool2d(3, stride, padding=1) for stride in (1, 2, 3)),
    *(cf.AvgPool2d(3, stride, padding=1, count_include_pad=False) for stride in (1, 2, 3)),
    *(cf.Dense(features) for features in (1, 2, 6, 7)),
    *(case.layer for case in SMALL.values()),
    FORMULA,
]


@pytest.mark.parametrize("layer", GRADIENT_SETTINGS, ids=repr)
def test_the_gradient_does_not_depend_on_the_shape_it_is_derived_at(layer):
    rank = len(layer.sample_input_shape)
    channels = getattr(layer, "groups", 1)
    if isinstance(layer, cf.SigmoidBinaryCrossEntropy):
        shapes = [(1,)]
    elif rank == 3:
        # sizes that coincide with each other and with the layer's own, among them
        shapes = [(channels, 40, 41), (3 * channels, 36, 36), (12, 33, 47), (12, 29, 29)]
        if hasattr(layer, "reach"):
            # one window alone, and two in one direction
            shapes += [(channels, *layer.reach), (channels, layer.reach[0] + layer.stride[0], layer.reach[1])]
    else:
        shapes = [(3, 12), (7, 9)] if rank == 2 else [(1,), (2,), (3,), (12,)]
    for tensor in layer.formula.tensors:
        symbols = layer.gradient(tensor)
        for shape in shapes:
            numbers = layer.gradient(tensor, shape)
            assert str(numbers.result) == str(symbols.result), shape
            assert list(map(str, numbers.definitions)) == list(map(str, symbols.definitions)), shape
