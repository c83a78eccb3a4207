"""What an explanation contains, and in which order; its options."""

import numpy as np
import pytest
from explanations import (
    WORKSHEETS,
    displayed,
    keys,
    paragraphs,
    prose_text,
    reasons,
    rules,
    section,
    shown,
    signs,
    table,
    taught,
    titles,
)

import closedform as cf
from closedform.explanation.document import Flow
from closedform.explanation.explain import explain_worksheet
from closedform.explanation.rendering.plain import math_text
from closedform.worksheet import read_worksheet

SHEET_E = [
    cf.Conv2d(1, 3),
    cf.ReLU(),
    cf.MaxPool2d(2),
    cf.Flatten(),
    cf.Dense(1),
]
HADAMARD = cf.Formula("Y[n,i,j] = W[i,j] * X[n,i,j]")
NAMES_E = {"3": "F", "target": "Y"}


@pytest.fixture(scope="module")
def binary():
    net = cf.Architecture(SHEET_E, (1, 6, 6), loss=cf.SigmoidBinaryCrossEntropy())
    return cf.explain(net, x=None, names=NAMES_E)


@pytest.fixture(scope="module")
def binary_of_three():
    return explain_worksheet(read_worksheet(WORKSHEETS / "e1.toml"))


# ---- the order


def test_the_parts_of_a_network_in_order(binary):
    assert titles(binary) == [
        "Sizes and parameters",
        "Forward",
        "The loss",
        "Backward",
        "What had to be kept",
        "Gradient descent",
        "Numerical check",
    ]
    assert keys(binary) == [
        "sizes", "forward", "forward-Z1", "forward-A1", "forward-P1", "forward-F", "forward-Z2", "loss",
        "backward", "chain", "gradient-Z2", "gradient-W2", "gradient-b2", "gradient-F", "gradient-P1",
        "gradient-A1", "gradient-Z1", "gradient-W1", "gradient-b1", "gradient-X", "kept", "descent", "check",
    ]  # fmt: skip


def test_the_parts_of_a_layer_in_order():
    page = cf.explain(cf.ReLU(), x=[1, -2], dy=[1, 1])
    assert titles(page) == [
        "Sizes and parameters",
        "Forward",
        "Backward",
        "What had to be kept",
        "Numerical check",
    ]


def test_the_parts_of_a_loss_in_order():
    page = cf.explain(cf.MeanSquaredError(), x=[[1, 2]], y=[[0, 0]])
    assert titles(page) == ["The loss", "Backward", "What had to be kept", "Numerical check"]


def test_the_data_flow_from_input_to_loss(binary):
    (flow,) = [b for b in binary.blocks if isinstance(b, Flow)]
    assert [(math_text(s.symbol), s.shape, s.step, s.about) for s in flow.stations] == [
        ("X", (6, 6), "Conv2d", "W1 3 × 3, b1 1"),
        ("Z1", (4, 4), "ReLU", ""),
        ("A1", (4, 4), "MaxPool2d", ""),
        ("P1", (2, 2), "Flatten", ""),
        ("F", (4,), "Dense", "W2 4, b2 1"),
        ("z2", (), "SigmoidBinaryCrossEntropy", ""),
        ("L", (), "", ""),
    ]


# ---- the formulas of sheet E


def test_each_layer_in_general_and_with_the_sizes_here(binary):
    assert displayed(section(binary, "forward-Z1")) == [
        "z1[n,q,i,j] = b1[q] + Σ[p,u,v] w1[q,p,u,v]·"
        "x[n,p,s(i − 1) + d(u − 1) − t + 1,s(j − 1) + d(v − 1) − t + 1]",
        "z1[i,j] = b1 + Σ[u=1..3, v=1..3] w1[u,v]·x[i + u − 1,j + v − 1]",
    ]
    assert paragraphs(section(binary, "forward-Z1"))[0] == "In general, here with s = 1, d = 1, t = 0:"
    assert displayed(section(binary, "forward-P1"))[1] == (
        "p1[i,j] = max[u=1..2, v=1..2] a1[2(i − 1) + u,2(j − 1) + v]"
    )
    assert displayed(section(binary, "forward-F"))[1] == "f[2(i − 1) + j] = p1[i,j]"
    assert displayed(section(binary, "loss")) == [
        "a2 = sigmoid(z2)",
        "L = −1/|n|·Σ[n,k] (y[n,k]·log(sigmoid(z2[n,k])) + (1 − y[n,k])·log(1 − sigmoid(z2[n,k])))",
        "L = −y·log(sigmoid(z2)) − (1 − y)·log(1 − sigmoid(z2))",
    ]


def test_the_chain_rule_factor_by_factor(binary, binary_of_three):
    assert displayed(section(binary, "chain")) == [
        "∂L/∂X = ∂L/∂a2·∂a2/∂z2·∂z2/∂F·∂F/∂P1·∂P1/∂A1·∂A1/∂Z1·∂Z1/∂X",
        "∂L/∂W1 = ∂L/∂a2·∂a2/∂z2·∂z2/∂F·∂F/∂P1·∂P1/∂A1·∂A1/∂Z1·∂Z1/∂W1",
        "∂L/∂b1 = ∂L/∂a2·∂a2/∂z2·∂z2/∂F·∂F/∂P1·∂P1/∂A1·∂A1/∂Z1·∂Z1/∂b1",
        "∂L/∂W2 = ∂L/∂a2·∂a2/∂z2·∂z2/∂W2",
        "∂L/∂b2 = ∂L/∂a2·∂a2/∂z2·∂z2/∂b2",
        "∂L/∂a2 = (a2 − y)/(a2·(1 − a2))",
        "∂a2/∂z2 = a2·(1 − a2)",
    ]
    assert displayed(section(binary_of_three, "chain"))[1:] == [
        "∂L/∂W1 = ∂L/∂A2·∂A2/∂Z2·∂Z2/∂F·∂F/∂P1·∂P1/∂A1·∂A1/∂Z1·∂Z1/∂W1",
        "∂L/∂b1 = ∂L/∂A2·∂A2/∂Z2·∂Z2/∂F·∂F/∂P1·∂P1/∂A1·∂A1/∂Z1·∂Z1/∂b1",
        "∂L/∂W2 = ∂L/∂A2·∂A2/∂Z2·∂Z2/∂W2",
        "∂L/∂b2 = ∂L/∂A2·∂A2/∂Z2·∂Z2/∂b2",
        "∂L/∂a2[n] = 1/3·(a2[n] − y[n])/(a2[n]·(1 − a2[n]))",
        "∂a2[n]/∂z2[n] = a2[n]·(1 − a2[n])",
    ]


def test_what_each_gradient_is_called(binary):
    assert {key: taught(binary, key) for key in keys(binary) if key.startswith("gradient-")} == {
        "gradient-Z2": "This is the probabilities minus the labels, divided by the number of examples.",
        "gradient-W2": "This is the matrix product of ∂L/∂z2 transposed and F.",
        "gradient-b2": "This is ∂L/∂z2.",
        "gradient-F": "This is the matrix product of ∂L/∂z2 and W2.",
        "gradient-P1": "This is ∂L/∂F, reshaped.",
        "gradient-A1": "This is ∂L/∂P1 sent back to the first maximum of its window.",
        "gradient-Z1": "This is ∂L/∂A1 times step(Z1), entry by entry.",
        "gradient-W1": "This is the convolution of X with ∂L/∂Z1.",
        "gradient-b1": "This is the sum of ∂L/∂Z1 over i, j.",
        "gradient-X": "This is the full convolution of ∂L/∂Z1 with W1 rotated by 180°: "
        "2 zeros on every side.",
    }


@pytest.mark.parametrize(
    ("layer", "shape", "examples", "key", "name", "sign"),
    [
        (cf.ChannelSummedConv2d(1, 2), (1, 3, 3), 1, "W", "the convolution of X with ∂L/∂Y", "∗"),
        (cf.ChannelSummedConv2d(1, 2), (2, 3, 3), 1, "W", "the convolution of X, summed over p, with ∂L/∂Y",
         "∗"),
        (cf.DepthwiseConv2d(2), (1, 3, 3), 1, "W", "the convolution of X with ∂L/∂Y", "∗"),
        (cf.DepthwiseConv2d(2), (2, 3, 3), 1, "W", "the convolution of X with ∂L/∂Y, for each c by itself",
         "∗"),
        (cf.Dense(2), (3,), 1, "b", "∂L/∂Y", "→"),
        (cf.Dense(2), (3,), 2, "b", "the sum of ∂L/∂Y over n", "→"),
        (cf.Dense(2), (3,), 1, "W", "the matrix product of ∂L/∂Y transposed and X", "·"),
        (HADAMARD, (2, 2), 1, "W", "∂L/∂Y times X", "⊙"),
        (HADAMARD, (2, 2), 2, "W", "the sum of ∂L/∂Y times X over n", "·"),
        (cf.GlobalAvgPool2d(), (1, 2, 1), 1, "X", "1/2 times ∂L/∂y, copied to every i", "→"),
    ],
)  # fmt: skip
def test_names_leave_out_indices_of_one_value(layer, shape, examples, key, name, sign):
    x, dy = np.ones((examples, *shape), int), np.ones((examples, *layer.output_shape(shape)), int)
    weights = {tensor: np.ones(size, int) for tensor, size in layer.parameter_shapes(shape).items()}
    page = cf.explain(layer, x=x, input_shape=shape, weights=weights, dy=dy)
    assert taught(page, f"gradient-{key}") == f"This is {name}."
    assert signs(section(page, f"gradient-{key}"))[0] == sign


def test_each_step_has_its_reason(binary):
    assert reasons(binary, "gradient-X") == [
        ("chain rule", "x[a,b] acts on the loss through every entry of Z1."),
        (
            "linearity",
            "X occurs once, as a factor: its derivative is what it is multiplied by, at the one place where "
            "the subscripts agree.",
        ),
        (
            "solve",
            "Of each sum only the term with i = a − u + 1, j = b − v + 1 is left; where an index leaves its "
            "range (padding), ∂L/∂Z1 reads nothing and gives 0.",
        ),
        (
            "rename",
            "Count the window from its other end: u = 4 − u′, v = 4 − v′. What comes from above is now read "
            "forwards, as in a convolution, and W1 backwards: rotated by 180°.",
        ),
    ]
    assert rules(binary, "gradient-A1") == [
        "maximum", "chain rule", "linearity", "solve", "fold", "where",
    ]  # fmt: skip
    assert (
        "point-wise",
        "From the table of derivatives, relu'(x) = step(x), at the one place where the subscripts agree.",
    ) in (reasons(binary, "gradient-Z1"))
    for key in keys(binary):
        if key.startswith("gradient-"):
            assert all(reason for rule, reason in reasons(binary, key) if rule != "where")


def test_no_reason_has_a_comma_left_over(binary_of_three):
    for key in keys(binary_of_three):
        if key.startswith("gradient-"):
            for _, reason in reasons(binary_of_three, key):
                assert ", is left" not in reason
                assert ", ," not in reason


def test_what_had_to_be_kept_and_why(binary):
    kept = section(binary, "kept")
    weight = "weights carry the gradient back; the old ones, before the update"
    factor = "the gradient of a weight is what the weight is multiplied by"
    assert table(kept) == [
        ["kept", "for", "because"],
        ["z2", "∂L/∂z2", "the derivative depends on this value"],
        ["y", "∂L/∂z2", "the gradient of the loss is a difference from it"],
        ["F", "∂L/∂W2", factor],
        ["W2", "∂L/∂F", weight],
        ["M1", "∂L/∂A1", "it says which entry was the maximum"],
        ["Z1", "∂L/∂Z1", "the derivative depends on this value"],
        ["X", "∂L/∂W1", factor],
        ["W1", "∂L/∂X", weight],
    ]
    assert paragraphs(kept, "note") == ["A1, P1 are read by no gradient and need not be kept."]


def test_nothing_is_kept_for_a_mean():
    page = cf.explain(cf.AvgPool2d(2), x=[[1, 2], [3, 4]])
    assert paragraphs(section(page, "kept")) == [
        "Nothing: the gradients here read only what comes from above."
    ]


def test_gradient_descent(binary):
    descent = section(binary, "descent")
    assert displayed(descent) == [
        "W1 new = W1 − η·∂L/∂W1",
        "b1 new = b1 − η·∂L/∂b1",
        "W2 new = W2 − η·∂L/∂W2",
        "b2 new = b2 − η·∂L/∂b2",
    ]
    assert paragraphs(descent) == [
        "Every parameter takes a small step against its gradient, as long as the rate η is small. All "
        "gradients belong to the old parameters: they are computed before the first is changed."
    ]


def test_gradient_descent_in_numbers():
    page = cf.explain(
        cf.Dense(1, bias=False), x=[2, 4], weights={"weight": [1, 1]}, dy=[1], learning_rate="1/8"
    )
    descent = section(page, "descent")
    assert paragraphs(descent)[0].startswith(
        "Every parameter takes a small step against its gradient, here with the rate η = 1/8. "
    )
    assert shown(page, "descent", 0) == [[["1", "1"]]]
    assert shown(page, "descent", 1) == [[["2", "4"]]]
    assert shown(page, "descent") == [[["3/4", "1/2"]]]


# ---- options


CONV = cf.Conv2d(1, 2)
X = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]


@pytest.mark.parametrize(
    ("wrt", "found"),
    [
        (None, ["gradient-W", "gradient-b", "gradient-X"]),
        ("W", ["gradient-W"]),
        ("0.weight", ["gradient-W"]),
        ("weight", ["gradient-W"]),
        ("X", ["gradient-X"]),
        ("input", ["gradient-X"]),
        (["bias", "X"], ["gradient-b", "gradient-X"]),
        ([], []),
    ],
)
def test_wrt_chooses_the_gradients(wrt, found):
    page = cf.explain(CONV, x=X, wrt=wrt)
    assert [key for key in keys(page) if key.startswith("gradient-")] == found
    assert ("check" in keys(page)) == bool(found)


def test_wrt_of_a_late_parameter_stops_there():
    page = explain_worksheet(read_worksheet(WORKSHEETS / "e2.toml"), wrt="W2")
    found = [key for key in keys(page) if key.startswith("gradient-")]
    assert found == ["gradient-Z2", "gradient-W2"]
    assert displayed(section(page, "chain"))[0] == "∂L/∂W2 = ∂L/∂a2·∂a2/∂z2·∂z2/∂W2"


def test_one_layer_of_a_worksheet():
    page = explain_worksheet(read_worksheet(WORKSHEETS / "e2.toml"), layer="0")
    assert titles(page) == ["Forward", "Backward", "What had to be kept"]
    assert keys(page) == [
        "forward", "forward-Z1", "backward", "gradient-W1", "gradient-b1", "gradient-X", "kept",
    ]  # fmt: skip


def test_names_of_ones_own_stand_everywhere():
    page = cf.explain(CONV, x=X, names={"input": "I", "0.weight": "K", "0.bias": "c", "0": "O"})
    text = page.text()
    assert "o[i,j] = c + Σ[u=1..2, v=1..2] k[u,v]·i[i + u − 1,j + v − 1]" in text
    assert taught(page, "gradient-I") == (
        "This is the full convolution of ∂L/∂O with K rotated by 180°: 1 zero on every side."
    )
    assert "K occurs once, as a factor" in text
    after = text.split("With the sizes here:", 1)[1]
    for old in (" X ", " W ", " Y ", "w11", "y11"):
        assert old not in after.replace("To the library", "")


def test_titles():
    assert cf.explain(CONV, x=X).title == "Conv2d, worked out"
    assert cf.explain(CONV, x=X, title="One filter").title == "One filter"
    net = cf.Architecture(SHEET_E, (1, 6, 6))
    assert cf.explain(net).title == "A network of 5 layers, worked out"
    assert cf.explain(cf.Architecture([CONV], (1, 3, 3))).title == "Conv2d, worked out"
    assert explain_worksheet(read_worksheet(WORKSHEETS / "c4.toml")).title == (
        "C4: backward through a convolution and the mean"
    )


def test_a_networks_own_parameters_are_used_with_numbers_and_not_without():
    net = cf.Network([cf.Dense(1, bias=False)], (2,), seed=3)
    transposed = [[f"{float(w):.4g}".replace("-", "−")] for w in net.parameters["0.weight"].ravel()]
    assert shown(cf.explain(net, x=[1, 1]), "forward-Y", 1) == [transposed]
    assert shown(cf.explain(net), "forward-Y", 1) == [[["w1"], ["w2"]]]
    assert shown(cf.explain(net, x=[1, 1], weights={"W": [5, 7]}), "forward-Y") == [[["12"]]]


def test_the_opening_says_what_convolution_means_only_where_there_is_one():
    assert prose_text(cf.explain(CONV, x=X).blocks[0].prose) == (
        "One layer, forward and backward: each step with its reason."
    )
    assert prose_text(cf.explain(CONV).blocks[0].prose) == (
        "One layer, forward and backward, on a small input as a sample: pass input_shape for another."
    )
    first = prose_text(cf.explain(CONV, x=X).blocks[1].prose)
    assert first == (
        "“Convolution” means cross-correlation, as in every deep-learning library: kernels are not flipped. "
        "Entries are counted from 1."
    )
    assert prose_text(cf.explain(cf.Dense(1), first_index=0).blocks[1].prose) == "Entries are counted from 0."


def test_every_format_is_made():
    page = cf.explain(CONV, x=X, weights={"W": [[1, 0], [0, 1]], "b": 0}, dy=np.ones((2, 2), int))
    assert page.text().startswith("worked solution\nConv2d, worked out\n")
    assert "# Conv2d, worked out" in page.markdown()
    assert page.latex().startswith(r"\documentclass")
    assert page.html().startswith("<!DOCTYPE html>")
    assert str(page) == page.text()
