"""Errors carried forward where a solution goes on in its own way: by the taught line, or unrounded."""

import math
from fractions import Fraction

import numpy as np
import pytest

import closedform as cf
from closedform.checking.named import check_claims


def statuses(verdict):
    return [(step.name, step.status, step.follows_from) for step in verdict.steps]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


X = [[1, 2], [3, -1]]
W1, W2 = [[1, 0], [0, 1]], [[1, -1], [2, 1]]


def network(loss, outputs=2):
    last = cf.Dense(outputs, bias=False)
    return cf.Architecture((cf.Dense(2, bias=False), cf.ReLU(), last), (2,), loss)


SOFTMAX = network(cf.SoftmaxCrossEntropy())
NUMBERS = {"x": X, "weights": {"W1": W1, "W2": W2}, "y": [0, 1]}
T = np.eye(2)


def test_the_gradient_and_the_loss_of_wrong_probabilities():
    """They were worked out from the probabilities that are stated, though the derivation reads the logits."""
    A2 = [["1/4", "3/4"], ["1/2", "1/2"]]
    dZ2 = [["-3/8", "3/8"], ["1/4", "-1/4"]]  # (A2 - T)/2
    dW2 = [["3/8", "-3/4"], ["-3/8", "3/4"]]
    loss = -(math.log(1 / 4) + math.log(1 / 2)) / 2
    verdict = check_claims({"A2": A2, "L": loss, "dZ2": dZ2, "dW2": dW2}, SOFTMAX, **NUMBERS)
    assert statuses(verdict) == [
        ("A2", "wrong", ()), ("L", "carried", ("A2",)), ("dZ2", "carried", ("A2",)),
        ("dW2", "carried", ("dZ2",)),
    ]  # fmt: skip
    behind = check_claims({"A2": A2, "dW2": dW2}, SOFTMAX, **NUMBERS)
    assert statuses(behind) == [("A2", "wrong", ()), ("dW2", "carried", ("A2",))]
    wrong = check_claims({"A2": A2, "dZ2": [["-3/8", "3/8"], ["1/4", "-1/8"]]}, SOFTMAX, **NUMBERS)
    assert statuses(wrong)[1] == ("dZ2", "wrong", ())


def test_the_same_of_one_sigmoid():
    net = network(cf.SigmoidBinaryCrossEntropy(), 1)
    numbers = {"x": X, "weights": {"W1": W1, "W2": [[1, -1]]}, "y": [0, 1]}
    loss = "0.8370"  # -(log(3/4) + log(1/4))/2
    claims = {"A2": ["1/4", "1/4"], "L": loss, "dZ2": ["1/8", "-3/8"], "dW2": [-1, "1/4"]}
    verdict = check_claims(claims, net, **numbers)
    assert [step.status for step in verdict.steps] == ["wrong", "carried", "carried", "carried"]
    right = check_claims({"A2": ["1/4", "1/4"]} | {"dZ2": [0.134470710685, -0.023712937]}, net, **numbers)
    assert [step.status for step in right.steps] == ["wrong", "right"]


def test_probabilities_of_0_are_no_reason_to_fail():
    verdict = check_claims({"A2": [[0, 1], [1, 0]], "L": 3}, SOFTMAX, **NUMBERS)
    assert [step.status for step in verdict.steps] == ["wrong", "wrong"]


def rounded(array, digits=4):
    """As texts with so many decimals."""
    return [[f"{value:.{digits}f}" for value in row] for row in np.atleast_2d(array)]


@pytest.mark.parametrize("goes_on_with", ["all digits", "four digits"])
def test_what_follows_from_values_before_they_were_rounded(goes_on_with):
    scale = 97 if goes_on_with == "all digits" else 1  # which makes the difference show
    x = scale * np.array(X)
    A1 = np.maximum(x, 0)
    W = np.array(W2) / scale
    probabilities = softmax(A1 @ W.T)
    exact = [[Fraction(entry, scale) for entry in row] for row in W2]
    numbers = NUMBERS | {"x": x.tolist(), "weights": {"W1": W1, "W2": exact}}
    dZ2 = probabilities - T  # 1/N is missing
    if goes_on_with == "four digits":
        dZ2 = dZ2.round(4)
    dZ1 = dZ2 @ W * (x > 0)
    dW2 = dZ2.T @ A1
    claims = {
        "dZ2": rounded(dZ2), "dW2": rounded(dW2), "dZ1": rounded(dZ1), "dW1": rounded(dZ1.T @ x),
        "W2_new": rounded(W - dW2 / 2),
    }  # fmt: skip
    verdict = check_claims(claims, SOFTMAX, **numbers, learning_rate=Fraction(1, 2))
    assert statuses(verdict) == [
        ("dZ2", "wrong", ()), ("dW2", "carried", ("dZ2",)), ("dZ1", "carried", ("dZ2",)),
        ("dW1", "carried", ("dZ1",)), ("W2_new", "carried", ("dW2",)),
    ]  # fmt: skip
    assert verdict["dZ2"].mistakes == ("mean-missing",)
