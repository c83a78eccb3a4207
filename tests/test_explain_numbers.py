"""An explanation in numbers: the sheets' results, expansions and fractions, and what PyTorch computes."""

from fractions import Fraction

import numpy as np
import pytest
from explanations import (
    WORKSHEETS,
    expansions,
    expansions_in_numbers,
    paragraphs,
    prose_text,
    reasons,
    section,
    shown,
    signs,
    taught,
    values,
)

import closedform as cf
from closedform.explanation.document import Paragraph
from closedform.explanation.explain import explain_worksheet
from closedform.worksheet import read_worksheet


@pytest.fixture(scope="module")
def c4():
    net = cf.Architecture([cf.Conv2d(1, 2, bias=False), cf.GlobalAvgPool2d()], (1, 3, 3))
    return cf.explain(
        net,
        x=[[2, 3, 4], [3, 1, 5], [4, -1, -2]],
        weights={"F": [[0, 3], [1, -2]]},
        names={"input": "X", "0.weight": "F", "0": "O", "1": "y"},
    )


# ---- C4: a convolution and the mean of its outputs


def test_c4_forward(c4):
    assert shown(c4, "forward-O") == [[["10", "3"], ["9", "18"]]]
    assert shown(c4, "forward-y") == [[["10"]]]
    assert signs(section(c4, "forward-O")) == ["∗", "="]
    assert expansions(c4, "forward-O") == {
        "o11": "f11·x11 + f12·x12 + f21·x21 + f22·x22",
        "o12": "f11·x12 + f12·x13 + f21·x22 + f22·x23",
        "o21": "f11·x21 + f12·x22 + f21·x31 + f22·x32",
        "o22": "f11·x22 + f12·x23 + f21·x32 + f22·x33",
    }
    assert expansions_in_numbers(c4, "forward-O")["o22"] == "0·1 + 3·5 + 1·(−1) + (−2)·(−2)"
    assert expansions(c4, "forward-y") == {"y": "1/4·(o11 + o12 + o21 + o22)"}
    assert expansions_in_numbers(c4, "forward-y") == {"y": "1/4·(10 + 3 + 9 + 18)"}


def test_c4_gradients_are_the_sheets_fractions(c4):
    assert shown(c4, "gradient-O") == [[["1/4", "1/4"], ["1/4", "1/4"]]]
    assert shown(c4, "gradient-F") == [[["9/4", "13/4"], ["7/4", "3/4"]]]
    assert shown(c4, "gradient-X") == [[["0", "3/4", "3/4"], ["1/4", "1/2", "1/4"], ["1/4", "−1/4", "−1/2"]]]


def test_c4_every_entry_of_the_gradients(c4):
    assert expansions(c4, "gradient-F")["df21"] == "∂y/∂o11·x21 + ∂y/∂o12·x22 + ∂y/∂o21·x31 + ∂y/∂o22·x32"
    assert expansions_in_numbers(c4, "gradient-F")["df21"] == "1/4·3 + 1/4·1 + 1/4·4 + 1/4·(−1)"
    assert expansions(c4, "gradient-X") == {
        "dx11": "∂y/∂o11·f11",
        "dx12": "∂y/∂o12·f11 + ∂y/∂o11·f12",
        "dx13": "∂y/∂o12·f12",
        "dx21": "∂y/∂o21·f11 + ∂y/∂o11·f21",
        "dx22": "∂y/∂o22·f11 + ∂y/∂o21·f12 + ∂y/∂o12·f21 + ∂y/∂o11·f22",
        "dx23": "∂y/∂o22·f12 + ∂y/∂o12·f22",
        "dx31": "∂y/∂o21·f21",
        "dx32": "∂y/∂o22·f21 + ∂y/∂o21·f22",
        "dx33": "∂y/∂o22·f22",
    }


def test_c4_the_taught_picture_of_the_gradient_in_x(c4):
    assert taught(c4, "gradient-X") == (
        "This is the full convolution of ∂y/∂O with F rotated by 180°: 1 zero on every side."
    )
    assert shown(c4, "gradient-X", 0) == [
        [
            ["·", "·", "·", "·"],
            ["·", "1/4", "1/4", "·"],
            ["·", "1/4", "1/4", "·"],
            ["·", "·", "·", "·"],
        ]
    ]
    assert shown(c4, "gradient-X", 1) == [[["−2", "1"], ["3", "0"]]]
    assert signs(section(c4, "gradient-X")) == ["∗", "="]
    assert taught(c4, "gradient-F") == "This is the convolution of X with ∂y/∂O."


def test_c4_what_is_differentiated_is_y_itself(c4):
    assert "There is no loss: y itself is one number, and is differentiated." in paragraphs(
        section(c4, "backward")
    )
    assert ("chain rule", "f[u,v] acts on y through every entry of O.") in reasons(c4, "gradient-F")
    assert not any("the loss" in reason for _, reason in reasons(c4, "gradient-X"))


# ---- the other sheets


def test_a_the_shared_kernel_gets_quarters_of_sums():
    net = cf.Architecture([cf.Conv2d(1, 2), cf.GlobalAvgPool2d()], (1, 3, 3))
    page = cf.explain(
        net,
        x=[[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        weights={"0.weight": [[1, 0], [0, 1]], "0.bias": 0},
        names={"0.weight": "w", "0": "h", "1": "p", "input": "x"},
    )
    # 1/4 · (1+2+4+5), 1/4 · (2+3+5+6), ...
    assert shown(page, "gradient-w") == [[["3", "4"], ["6", "7"]]]
    assert expansions_in_numbers(page, "gradient-w")["dw11"] == "1/4·1 + 1/4·2 + 1/4·4 + 1/4·5"
    assert expansions_in_numbers(page, "gradient-b") == {"db": "1/4 + 1/4 + 1/4 + 1/4"}
    assert shown(page, "gradient-b") == [[["1"]]]


def test_a_each_kernel_of_its_own_gets_a_quarter_of_its_window():
    net = cf.Architecture([cf.LocallyConnected2d(1, 2), cf.GlobalAvgPool2d()], (1, 3, 3))
    page = cf.explain(
        net, x=[[1, 2, 3], [4, 5, 6], [7, 8, 9]], weights={"0.weight": np.zeros((2, 2, 1, 1, 2, 2))}
    )
    assert shown(page, "gradient-W") == [
        [["1/4", "1/2"], ["1", "5/4"]],
        [["1/2", "3/4"], ["5/4", "3/2"]],
        [["1", "5/4"], ["7/4", "2"]],
        [["5/4", "3/2"], ["2", "9/4"]],
    ]
    assert shown(page, "gradient-b") == [[["1/4", "1/4"], ["1/4", "1/4"]]]


def test_c1_the_edge_filter():
    image = [[0, 0, 10, 0, 0]] * 5
    page = cf.explain(
        cf.Conv2d(1, 3, padding=1, bias=False), x=image, weights={"W": [[1, 1, 1], [1, -8, 1], [1, 1, 1]]}
    )
    edge = ["0", "20", "−70", "20", "0"]
    inside = ["0", "30", "−60", "30", "0"]
    assert shown(page, "forward-Y") == [[edge, inside, inside, inside, edge]]
    assert expansions_in_numbers(page, "forward-Y")["y12"] == "1·0 + (−8)·0 + 1·10 + 1·0 + 1·0 + 1·10"


def test_d_the_maximum_and_where_its_gradient_goes():
    page = explain_worksheet(read_worksheet(WORKSHEETS / "d2-pooling.toml"))
    assert shown(page, "forward-U") == [[["8", "5"], ["8", "10"]]]
    assert expansions_in_numbers(page, "forward-U")["u11"] == "max(0, 0, 0, 8)"
    assert shown(page, "gradient-T") == [
        [["0", "0", "0", "0"], ["0", "1", "0", "2"], ["0", "3", "4", "0"], ["0", "0", "0", "0"]]
    ]
    assert taught(page, "gradient-T") == "This is ∂L/∂U sent back to the first maximum of its window."


def test_d_softmax_and_cross_entropy_end_in_probabilities_minus_labels():
    page = cf.explain(cf.SoftmaxCrossEntropy(), x=[[0, 0]], y=[1])
    assert shown(page, "gradient-X") == [[["1/2", "−1/2"]]]
    assert taught(page, "gradient-X") == (
        "This is the probabilities minus the labels, divided by the number of examples."
    )


def test_e_step_of_gradient_descent():
    page = explain_worksheet(read_worksheet(WORKSHEETS / "e4.toml"))
    assert shown(page, "forward-F") == [[["8", "4", "0", "9"], ["3", "8", "7", "6"]]]
    assert shown(page, "gradient-W2") == [[["−5/4", "1", "7/4", "−3/4"]]]
    descent = section(page, "descent")
    assert "here with the rate η = 1/2" in paragraphs(descent)[0]


# ---- exact and rounded


def note(document):
    """What the opening says of the numbers."""
    opening = [prose_text(b.prose) for b in document.blocks if isinstance(b, Paragraph)]
    return [said for said in opening if "digits" in said or "exact" in said or "symbols" in said]


ONE_BY_ONE = cf.Conv2d(1, 1, bias=False)


@pytest.mark.parametrize(
    ("weight", "product", "said"),
    [
        (3, "6", "All numbers are exact."),
        (3.0, "6", "All numbers are exact."),
        ("1/3", "2/3", "All numbers are exact."),
        ("0.1", "1/5", "All numbers are exact."),
        (Fraction(-9, 8), "−9/4", "All numbers are exact."),
        (0.1, "0.2", "Some numbers are exact; the others are rounded to 4 digits."),
        (1 / 3, "0.6667", "Some numbers are exact; the others are rounded to 4 digits."),
    ],
)
def test_what_is_given_exactly_stays_exact(weight, product, said):
    page = cf.explain(ONE_BY_ONE, x=[[[2, 4]]], weights={"weight": weight}, dy=[[[1, 1]]])
    assert shown(page, "forward-Y")[0][0][0] == product
    assert note(page) == [said]


def test_digits_of_what_is_rounded():
    page = cf.explain(ONE_BY_ONE, x=[[[2, 4]]], weights={"weight": 1 / 3}, dy=[[[1, 1]]], digits=7)
    assert shown(page, "forward-Y") == [[["0.6666667", "1.333333"]]]
    assert note(page) == ["Some numbers are exact; the others are rounded to 7 digits."]


def test_exact_false_rounds_everything():
    page = cf.explain(ONE_BY_ONE, x=[[[2, 4]]], weights={"weight": "1/3"}, dy=[[[1, 1]]], exact=False)
    assert shown(page, "forward-Y") == [[["0.6667", "1.333"]]]
    assert note(page) == ["Numbers are rounded to 4 digits."]


def test_what_is_not_given_is_said_to_stay_in_symbols():
    assert note(cf.explain(ONE_BY_ONE)) == ["No numbers are given: entries are symbols."]
    page = cf.explain(ONE_BY_ONE, x=[[[2, 4]]], weights={"W": 3})
    assert note(page) == ["All numbers are exact. What cannot be computed from them is left in symbols."]
    assert shown(page, "forward-Y") == [[["6", "12"]]]
    assert shown(page, "gradient-X") == [[["∂L/∂x1", "∂L/∂x2"]]]


def test_large_networks_are_computed_in_floats():
    x = np.ones((1, 150, 150), int)
    page = cf.explain(cf.AvgPool2d(3), x=x, dy=np.ones((1, 50, 50), int))
    assert note(page)[-1] == "Numbers are rounded to 4 digits."
    assert shown(page, "gradient-X")[0][0][0] == "0.1111"


# ---- PyTorch


def test_a_network_agrees_with_pytorch(torch):
    net = cf.Network(
        [cf.Conv2d(2, 3, padding=1), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(3)],
        (1, 4, 4),
        loss=cf.SoftmaxCrossEntropy(),
        seed=1,
    )
    random = np.random.default_rng(5)
    x, y = random.normal(size=(2, 1, 4, 4)), np.array([2, 0])
    weights = {key: random.normal(size=array.shape) for key, array in net.parameters.items()}
    page = cf.explain(net, x=x, y=y, weights=weights)

    tensors = {key: torch.tensor(array, requires_grad=True) for key, array in weights.items()}
    inputs = torch.tensor(x, requires_grad=True)
    functional = torch.nn.functional
    h = functional.max_pool2d(
        functional.relu(functional.conv2d(inputs, tensors["0.weight"], tensors["0.bias"], padding=1)), 2
    )
    z = functional.linear(h.flatten(1), tensors["4.weight"], tensors["4.bias"])
    loss = functional.cross_entropy(z, torch.tensor(y))
    loss.backward()

    names = {"0.weight": "W1", "0.bias": "b1", "4.weight": "W2", "4.bias": "b2"}
    for key, name in names.items():
        agree(values(page, f"gradient-{name}"), tensors[key].grad)
    agree(values(page, "gradient-X"), inputs.grad)
    agree(values(page, "forward-Z2"), z.detach())


def agree(found, expected):
    np.testing.assert_allclose(np.array(found, float), expected.numpy().ravel(), rtol=1e-10, atol=1e-12)
