"""What `explain` says of input that it cannot use, word by word."""

import numpy as np
import pytest
from explanations import WORKSHEETS

import closedform as cf
from closedform.explanation.explain import explain_worksheet
from closedform.worksheet import read_worksheet

CONV = cf.Conv2d(1, 2, bias=False)
X = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]
W = {"weight": [[0, 3], [1, -2]]}
NET = cf.Architecture([CONV, cf.GlobalAvgPool2d()], (1, 3, 3))

SHAPES = {
    "weights of another shape": (
        (CONV,),
        {"x": X, "weights": {"weight": [[0, 3, 1], [1, -2, 1]]}},
        "W (0.weight): expects shape (1, 1, 2, 2), got (2, 3)",
    ),
    "an input of another shape than the network's": (
        (NET,),
        {"x": np.ones((4, 4))},
        "X (input): expects shape (1, 1, 3, 3), got (4, 4)",
    ),
    "an input that is not of the shape that was said": (
        (CONV,),
        {"x": [[1, 2], [3, 4]], "input_shape": (1, 3, 3)},
        "X (input): expects shape (1, 1, 3, 3), got (2, 2)",
    ),
    "a gradient of another shape": (
        (CONV,),
        {"x": X, "dy": [[1, 1, 1], [1, 1, 1]]},
        "dY (0): expects shape (1, 1, 2, 2), got (2, 3)",
    ),
    "an input that is one number": (
        (cf.Dense(2),),
        {"x": 5},
        "x must be an array that holds one input or several, got one number",
    ),
    "a window that does not fit": (
        (CONV,),
        {"input_shape": (1, 1, 1)},
        "layer 0 (Conv2d): the window's height (2) is larger than the padded image's (1 + 2*0): "
        "(1 - 2 + 2*0)//1 + 1 = 0 (x is (1, 1, 1), from the input)",
    ),
}

SETTINGS = {
    "what is no layer": (("conv",), {}, "explain takes a Network, an Architecture or a layer, got str"),
    "a layer's class": (
        (cf.Conv2d,),
        {},
        "explain takes a Network, an Architecture or a layer, got the class Conv2d",
    ),
    "y without a loss": (
        (CONV,),
        {"x": X, "y": [1]},
        "y needs a loss: give the network a loss, or pass dy, the gradient in the output",
    ),
    "dy with a loss": (
        (cf.SoftmaxCrossEntropy(),),
        {"x": [[1, 2]], "y": [1], "dy": 1},
        "dy is derived from the loss: pass y, or explain a network without a loss",
    ),
    "counting from 2": ((CONV,), {"first_index": 2}, "first_index must be 0 or 1, got 2"),
    "counting from True": ((CONV,), {"first_index": True}, "first_index must be 0 or 1, got True"),
    "counting from a text": ((CONV,), {"first_index": "1"}, "first_index must be 0 or 1, got '1'"),
    "no digits": ((CONV,), {"digits": 0}, "digits must be a whole number from 1 to 17, got 0"),
    "half a digit": ((CONV,), {"digits": 2.5}, "digits must be a whole number from 1 to 17, got 2.5"),
    "a misspelt weight": (
        (CONV,),
        {"x": X, "weights": {"wieght": [[0, 3], [1, -2]]}},
        "weights: there is no 'wieght'; did you mean 0.weight?",
    ),
    "a weight that the layer does not have": (
        (cf.ReLU(),),
        {"x": [1], "weights": {"weight": 1}},
        "weights: there is no 'weight'; there are no parameters",
    ),
    "a result among the weights": (
        (CONV,),
        {"x": X, "weights": {"dW": [[0, 3], [1, -2]]}},
        "weights: there is no 'dW'; did you mean W?",
    ),
    "weights that are a list": (
        (CONV,),
        {"x": X, "weights": [[0, 3], [1, -2]]},
        "weights must be a dict of arrays by key, got list",
    ),
    "a gradient in nothing": (
        (CONV,),
        {"wrt": "Q"},
        "the network has no quantity 'Q'; known are X, W, Y",
    ),
    "a name for nothing": (
        (CONV,),
        {"names": {"1.weight": "V"}},
        "names: there is no '1.weight' in the network; did you mean 0.weight?",
    ),
    "a shape beside a network": (
        (NET,),
        {"input_shape": (1, 4, 4)},
        "input_shape is the network's own, (1, 3, 3): leave it out",
    ),
    "several rates": (
        (CONV,),
        {"learning_rate": [1, 2]},
        "learning_rate must be one number, got [1, 2]",
    ),
}

NUMBERS = {
    "letters": (
        (CONV,),
        {"x": [["a"] * 3] * 3},
        "x at [0, 0] must be a finite number, or a text such as '9/4', got 'a'",
    ),
    "rows of different lengths": (
        (CONV,),
        {"x": [[1, 2], [3]]},
        "x must be one array, got parts of different shapes: make them alike",
    ),
    "a weight that is no number": (
        (CONV,),
        {"x": X, "weights": {"W": [[0, 3], [1, None]]}},
        "W (0.weight) at [1, 1] must be a finite number, or a text such as '9/4', got None",
    ),
    "a class that is not there": (
        (cf.SoftmaxCrossEntropy(),),
        {"x": [[1, 2]], "y": [2]},
        "labels must be from 0 to 1, got 2 at position 0: labels that begin at 1 need y - 1",
    ),
    "a rate in words": (
        (CONV,),
        {"learning_rate": "fast"},
        "learning_rate must be a finite number, or a text such as '9/4', got 'fast'",
    ),
}


def message(error, case):
    arguments, options, _ = case
    with pytest.raises(error) as caught:
        cf.explain(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("what", SHAPES)
def test_wrong_shapes(what):
    assert message(cf.ShapeError, SHAPES[what]) == SHAPES[what][2]


@pytest.mark.parametrize("what", SETTINGS)
def test_options_that_make_no_sense(what):
    assert message(cf.SettingError, SETTINGS[what]) == SETTINGS[what][2]


@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_that_are_none(what):
    assert message(cf.DataError, NUMBERS[what]) == NUMBERS[what][2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "conv"}, "there is no layer 'conv'; known are 0, 1, 2, 3, 4"),
        (
            {"wrt": "Q"},
            "the network has no quantity 'Q'; known are X, W1, b1, Z1, A1, P1, F, W2, b2, Z2, A2, Y, L",
        ),
        ({"first_index": 3}, "first_index must be 0 or 1, got 3"),
    ],
)
def test_options_of_a_worksheet(options, said):
    with pytest.raises(cf.SettingError) as caught:
        explain_worksheet(read_worksheet(WORKSHEETS / "e2.toml"), **options)
    assert str(caught.value) == said


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 3), (1, 1, 3, 3)])
def test_axes_of_one_entry_may_be_left_out(shape):
    page = cf.explain(CONV, x=np.reshape(X, shape), weights=W, dy=[[1, 1], [1, 1]])
    assert page == cf.explain(CONV, x=X, weights=W, dy=[[1, 1], [1, 1]])


@pytest.mark.parametrize("key", ["weight", "W", "0.weight"])
def test_a_weight_by_word_name_or_key(key):
    expected = cf.explain(CONV, x=X, weights=W, dy=[[1, 1], [1, 1]])
    assert cf.explain(CONV, x=X, weights={key: W["weight"]}, dy=[[1, 1], [1, 1]]) == expected


def test_what_is_given_is_not_changed():
    x, weight, dy = np.array(X, float), np.array(W["weight"], float), np.ones((2, 2))
    before = [array.copy() for array in (x, weight, dy)]
    for array in (x, weight, dy):
        array.flags.writeable = False
    cf.explain(CONV, x=x, weights={"weight": weight}, dy=dy).html()
    for array, old in zip((x, weight, dy), before, strict=True):
        np.testing.assert_array_equal(array, old)
