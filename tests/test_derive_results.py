"""What comes out of a derivation: its formula, its reasons, what it needs, whatever the sizes."""

import zlib
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from derivation_cases import LAYERS
from derivation_checks import check_text
from derivation_users import USERS

from closedform.errors import FormulaError, ShapeError
from closedform.formula.derive import derive, upstream_name
from closedform.formula.extents import solve
from closedform.formula.notation import text
from closedform.formula.syntax import parse

RULES = {
    "settings", "write out", "maximum", "chain rule", "linearity", "product rule", "point-wise", "rename",
    "cancel", "given", "recognise", "collect", "replace", "name", "unfold", "solve", "re-index", "fold",
    "take out",
}  # fmt: skip
CONV = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
GROUPED = (
    "Y[n,|q|*g+q,i,j] = b[|q|*g+q] + sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]"
)
GROUPED_SETTINGS = {"s1": 2, "s2": 3, "d1": 2, "d2": 3, "t1": 2, "t2": 3, "g": 2, "q": 3, "u": 3, "v": 2}
AVERAGE = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]"
INSIDE = (
    "Y[n,c,i,j] = (sum[u,v] X[n,c,s*i+u-t,s*j+v-t]) "
    "/ sum[u,v] [0 <= s*i+u-t < |X.2|] * [0 <= s*j+v-t < |X.3|]"
)
MAX = "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]"
SOFTMAX = "Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])"
DENSE = "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]"
CROSS_ENTROPY = "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))"
SIGMOID_LOSS = "L = -1/|n| * sum[n,k] (T[n,k]*log(sigmoid(X[n,k])) + (1-T[n,k])*log(1-sigmoid(X[n,k])))"
SQUARED_ERROR = "L = 1/(|n|*|k|) * sum[n,k] (X[n,k]-T[n,k])^2"
SQUARE = {"s": 2, "t": 1, "u": 3, "v": 3}
TILES = {"s": 2, "t": 0, "u": 2, "v": 2}
IMAGE, ROWS = (2, 4, 9, 11), (3, 5)


def derivation(line, by, shape, settings, facts=()):
    formula = parse(line)
    shapes = {"X": shape} | ({"T": shape} if "T" in formula.tensors else {})
    return derive(formula, by, solve(formula, shapes, settings), facts=facts)


# formula, settings, shape of X, tensor, result, what is kept from the forward pass
RESULTS = [
    (CONV, SQUARE | {"q": 3}, IMAGE, "X",
     "dX[n,p,a,b] = sum[q,u,v] dY[n,q,(a+t-u)/s,(b+t-v)/s] * W[q,p,u,v]", ("W",)),
    (CONV, SQUARE | {"q": 3, "s": 1}, IMAGE, "X",
     "dX[n,p,a,b] = sum[q,u,v] dY[n,q,a+t-u,b+t-v] * W[q,p,u,v]", ("W",)),
    (CONV, SQUARE | {"q": 3}, IMAGE, "W",
     "dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+u-t,s*j+v-t]", ("X",)),
    (CONV, SQUARE | {"q": 3}, IMAGE, "b", "db[q] = sum[n,i,j] dY[n,q,i,j]", ()),
    (GROUPED, GROUPED_SETTINGS, IMAGE, "X",
     "dX[n,|p|*g+p,a,b] = "
     "sum[q,u,v] dY[n,|q|*g+q,(a+t1-d1*u)/s1,(b+t2-d2*v)/s2] * W[|q|*g+q,p,u,v]", ("W",)),
    (GROUPED, GROUPED_SETTINGS, IMAGE, "W",
     "dW[|q|*g+q,p,u,v] = "
     "sum[n,i,j] dY[n,|q|*g+q,i,j] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]", ("X",)),
    (GROUPED, GROUPED_SETTINGS, IMAGE, "b", "db[|q|*g+q] = sum[n,i,j] dY[n,|q|*g+q,i,j]", ()),
    ("Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]", SQUARE | {"q": 3}, IMAGE,
     "X", "dX[n,p,a,b] = "
     "sum[q,u,v] dY[n,q,(a+t-u)/s,(b+t-v)/s] * W[(a+t-u)/s,(b+t-v)/s,q,p,u,v]", ("W",)),
    ("Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]", SQUARE | {"q": 3}, IMAGE,
     "W", "dW[i,j,q,p,u,v] = sum[n] dY[n,q,i,j] * X[n,p,s*i+u-t,s*j+v-t]", ("X",)),
    ("Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]", SQUARE | {"q": 3}, IMAGE,
     "X", "dX[n,p,a,b] = sum[q,u,v] dY[n,q,(a+t-u)/s,(b+t-v)/s] * W[q,u,v]", ("W",)),
    ("Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]", SQUARE | {"q": 3}, IMAGE,
     "W", "dW[q,u,v] = sum[n,i,j,p] dY[n,q,i,j] * X[n,p,s*i+u-t,s*j+v-t]", ("X",)),
    ("Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s*i+u-t,s*j+v-t]", SQUARE, IMAGE,
     "X", "dX[n,c,a,b] = sum[u,v] dY[n,c,(a+t-u)/s,(b+t-v)/s] * W[c,u,v]", ("W",)),
    ("Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s*i+u-t,s*j+v-t]", SQUARE, IMAGE,
     "W", "dW[c,u,v] = sum[n,i,j] dY[n,c,i,j] * X[n,c,s*i+u-t,s*j+v-t]", ("X",)),
    (AVERAGE, TILES, IMAGE, "X", "dX[n,c,a,b] = 1/(|u|*|v|) * dY[n,c,a//s,b//s]", ()),
    (AVERAGE, TILES | {"t": 1}, IMAGE, "X", "dX[n,c,a,b] = 1/(|u|*|v|) * dY[n,c,(a+t)//s,(b+t)//s]", ()),
    (AVERAGE, SQUARE, IMAGE, "X",
     "dX[n,c,a,b] = 1/(|u|*|v|) * sum[u,v] dY[n,c,(a+t-u)/s,(b+t-v)/s]", ()),
    (INSIDE, SQUARE, IMAGE, "X",
     "dX[n,c,a,b] = sum[u,v] dY[n,c,(a+t-u)/s,(b+t-v)/s] * R[(a+t-u)/s,(b+t-v)/s]", ("R",)),
    ("Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]", {}, IMAGE, "X",
     "dX[n,c,i,j] = 1/(|i|*|j|) * dY[n,c]", ()),
    (MAX, TILES, IMAGE, "X", "dX[n,c,a,b] = dY[n,c,a//s,b//s] * M[n,c,a//s,b//s,a % s,b % s]", ("M",)),
    (MAX, SQUARE, IMAGE, "X",
     "dX[n,c,a,b] = sum[u,v] dY[n,c,(a+t-u)/s,(b+t-v)/s] * M[n,c,(a+t-u)/s,(b+t-v)/s,u,v]", ("M",)),
    ("Y[n,c] = max[i,j] X[n,c,i,j]", {}, IMAGE, "X", "dX[n,c,i,j] = dY[n,c] * M[n,c,i,j]", ("M",)),
    (DENSE, {"o": 4}, ROWS, "X", "dX[n,f] = sum[o] dY[n,o] * W[o,f]", ("W",)),
    (DENSE, {"o": 4}, ROWS, "W", "dW[o,f] = sum[n] dY[n,o] * X[n,f]", ("X",)),
    (DENSE, {"o": 4}, ROWS, "b", "db[o] = sum[n] dY[n,o]", ()),
    ("Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]", {}, IMAGE, "X",
     "dX[n,c,i,j] = dY[n,|i|*|j|*c+|j|*i+j]", ()),
    ("Y[n,f] = relu(X[n,f])", {}, ROWS, "X", "dX[n,f] = dY[n,f] * step(X[n,f])", ("X",)),
    ("Y[n,f] = relu(X[n,f]) - k * relu(-X[n,f])", {"k": Fraction(1, 100)}, ROWS, "X",
     "dX[n,f] = dY[n,f] * (step(X[n,f]) + k * step(-X[n,f]))", ("X",)),
    ("Y[n,f] = sigmoid(X[n,f])", {}, ROWS, "X", "dX[n,f] = dY[n,f] * Y[n,f] * (1 - Y[n,f])", ("Y",)),
    ("Y[n,f] = tanh(X[n,f])", {}, ROWS, "X", "dX[n,f] = dY[n,f] * (1 - Y[n,f]^2)", ("Y",)),
    (SOFTMAX, {}, ROWS, "X", "dX[n,k] = Y[n,k] * (dY[n,k] - sum[k'] dY[n,k'] * Y[n,k'])", ("Y",)),
    ("Y[n,c,i,j] = exp(X[n,c,i,j]) / sum[m] exp(X[n,m,i,j])", {}, IMAGE, "X",
     "dX[n,c,i,j] = Y[n,c,i,j] * (dY[n,c,i,j] - sum[c'] dY[n,c',i,j] * Y[n,c',i,j])", ("Y",)),
    ("Y[n,k] = exp(X[n,k] - max[m] X[n,m]) / sum[j] exp(X[n,j] - max[m] X[n,m])", {}, ROWS, "X",
     "dX[n,k] = Y[n,k] * (dY[n,k] - sum[k'] dY[n,k'] * Y[n,k'])", ("Y",)),
    ("Y[n,f] = M[n,f] * X[n,f]", {}, ROWS, "X", "dX[n,f] = dY[n,f] * M[n,f]", ("M",)),
    (SIGMOID_LOSS, {}, ROWS, "X", "dX[n,k] = 1/|n| * (sigmoid(X[n,k]) - T[n,k])", ("X", "T")),
    (SQUARED_ERROR, {}, ROWS, "X", "dX[n,k] = 2/(|k|*|n|) * (X[n,k] - T[n,k])", ("X", "T")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "settings", "shape", "by", "result", "saved"), RESULTS)
def test_results_and_what_they_keep(line, settings, shape, by, result, saved):
    found = derivation(line, by, shape, settings)
    assert text(found.result) == result
    assert found.saved == saved
    assert found.gradient == "d" + by
    assert found.upstream == (None if line.startswith("L") else "dY")


def test_softmax_with_cross_entropy_ends_in_the_probabilities_less_the_labels():
    found = derivation(CROSS_ENTROPY, "X", ROWS, {}, facts=("T",))
    assert text(found.result) == "dX[n,k] = 1/|n| * (exp(X[n,k]) / sum[m] exp(X[n,m]) - T[n,k])"
    assert found.saved == ("X", "T")
    without = derivation(CROSS_ENTROPY, "X", ROWS, {})
    assert "sum[k'] T[n,k']" in text(without.result)  # what is not said is not known


def test_only_the_sum_over_a_row_of_labels_is_1():
    found = derivation("L = sum[k,m] T[k,k] * X[m,m]^3", "X", (3, 3), {}, facts=("T",))
    assert text(found.result) == "dX[m,a] = 3 * X[m,m]^2 * [a = m] * sum[k] T[k,k]"


USERS_RESULTS = {
    ("bilinear", "X"):
        "dX[n,q,a,b] = sum[u,v] dY[n,q,a-u,b-v] * A[q,u,v] * X[n,q,a-u,b-v] "
        "+ dY[n,q,a,b] * sum[u,v] A[q,u,v] * X[n,q,a+u,b+v]",
    ("a parameter twice", "W"):
        "dW[o,h] = sum[n,f] dY[n,o] * W[h,f] * X[n,f] + sum[n,o'] dY[n,o'] * W[o',o] * X[n,h]",
    ("relu in a convolution", "X"):
        "dX[n,p,a] = step(X[n,p,a]) * sum[q,u] dY[n,q,(a+t-u)/s] * W[q,p,u]",
    ("relu of a convolution", "X"): "dX[n,p,a] = sum[q,u] dY[n,q,(a+t-u)/s] * R[n,q,(a+t-u)/s] * W[q,p,u]",
    ("response norm", "X"):
        "dX[n,c,i] = dY[n,c,i] / sqrt(k + a * sum[m] X[n,c+m-h,i]^2) "
        "- a * X[n,c,i] * sum[m] dY[n,c+h-m,i] * Y[n,c+h-m,i] * R[n,c+h-m,i]",
    ("softmax pooling without overlap", "X"):
        "dX[n,a] = dY[n,a//s] * exp(X[n,a]) * R[n,a//s] * (1 + X[n,a] - Y[n,a//s])",
    ("transposed convolution", "X"): "dX[n,p,c,d] = sum[q,u,v] dY[n,q,s*c+u-t,s*d+v-t] * W[p,q,u,v]",
    ("transposed convolution", "W"): "dW[p,q,u,v] = sum[n,i,j] dY[n,q,s*i+u-t,s*j+v-t] * X[n,p,i,j]",
    ("diagonal", "X"): "dX[n,i,a] = dY[n,i] * [a = i]",
    ("depth to space", "X"): "dX[n,|a|*|b|*c+|b|*a+b,i,j] = dY[n,c,|a|*i+a,|b|*j+b]",
    ("windows that nothing guards", "X"): "dX[a] = sum[i] [0 <= a-2*i < |u|]",
    ("a flattened pool", "X"):
        "dX[n,c,a] = sum[u] dY[n,(|i|*s*c+a+t-u)/s] * [0 <= (a+t-u)/s < |i|] * [(a+t-u) % s = 0]",
    ("enlarged", "X"): "dX[n,c,b] = sum[r] dY[n,c,k*b+r]",
    ("enlarged and flattened", "X"): "dX[n,c,b] = sum[r] dY[n,|a|*c+k*b+r] * [0 <= k*b+r < |a|]",
    ("single entries", "X"): "dX[n,a] = dY[n] * ([a = 0] * X[n,2] + X[n,0] * [a = 2])",
    ("the same term over and over", "X"): "dX[n,k] = |i| * dY[n,k]",
    ("powers of sums", "W"): "dW[i] = sum[n] dY[n] * (sum[i'] X[n,i'])^2 * X[n,i]",
    ("unit length", "X"):
        "dX[n,i] = (dY[n,i] - Y[n,i] * sum[i'] dY[n,i'] * Y[n,i']) / sqrt(sum[j] X[n,j]^2)",
    ("variance", "X"): "dX[n,i] = dY[n] * (2/|i| * X[n,i] - 2/|i|^2 * sum[i'] X[n,i'])",
    ("softmax with a temperature of 1", "X"):
        "dX[n,k] = t * Y[n,k] * (dY[n,k] - sum[k'] dY[n,k'] * Y[n,k'])",
    ("dropout before a maximum", "X"): "dX[n,a] = dY[n,a//2] * M[n,a//2] * S[n,a//2,a % 2]",
    ("a tensor called dY", "X"): "dX[n,i] = dY2[n,i] * dY[n,i]",
    ("a tensor called dX", "X"): "dX2[n,i] = 2 * dY[n,i] * dX[n,i] * X[n,i]",
}  # fmt: skip


@pytest.mark.parametrize(("user", "by"), USERS_RESULTS)
def test_results_of_users(user, by):
    case = USERS[user]
    assert text(derive(case.formula, by, case.sizes).result) == USERS_RESULTS[user, by]


def test_definitions_say_what_their_names_stand_for():
    assert [*map(text, derivation(MAX, "X", IMAGE, SQUARE).definitions)] == [
        "M[n,c,i,j,u,v] = first[u,v] X[n,c,s*i+u-t,s*j+v-t]"
    ]
    assert [*map(text, derivation(INSIDE, "X", IMAGE, SQUARE).definitions)] == [
        "R[i,j] = 1 / sum[u,v] [0 <= s*i+u-t < |X.2|] * [0 <= s*j+v-t < |X.3|]"
    ]
    case = USERS["softmax pooling"]  # the same factor three times has one name
    assert [*map(text, derive(case.formula, "X", case.sizes).definitions)] == [
        "R[n,i] = 1 / sum[u] exp(X[n,s*i+u-t])"
    ]


# the way there


def test_the_steps_of_a_convolutions_gradient():
    found = derivation(CONV, "X", IMAGE, SQUARE | {"q": 3})
    assert [(step.rule, text(step.equation), step.reason) for step in found.steps] == [
        (
            "chain rule",
            "dX[n,p,a,b] = sum[n',q,i,j] dY[n',q,i,j] * ∂Y[n',q,i,j]/∂X[n,p,a,b]",
            "X[n,p,a,b] acts on the loss through every entry of Y.",
        ),
        (
            "linearity",
            "dX[n,p,a,b] = sum[n',q,i,j,p',u,v] dY[n',q,i,j] * W[q,p',u,v] "
            "* [n = n'] * [p = p'] * [a = s*i+u-t] * [b = s*j+v-t]",
            "X occurs once, as a factor: its derivative is what it is multiplied by, "
            "at the one place where the subscripts agree.",
        ),
        (
            "rename",
            "dX[n,p,a,b] = sum[q,i,j,u,v] dY[n,q,i,j] * W[q,p,u,v] * [a = s*i+u-t] * [b = s*j+v-t]",
            "Of each sum only the term with n' = n, p' = p is left.",
        ),
        (
            "solve",
            "dX[n,p,a,b] = sum[q,u,v] dY[n,q,(a+t-u)/s,(b+t-v)/s] * W[q,p,u,v]",
            "Of each sum only the term with i = (a+t-u)/s, j = (b+t-v)/s is left; where an index is not a "
            "whole number (zeros inserted) or leaves its range (padding), dY reads nothing and gives 0.",
        ),
    ]


REASONS = [
    (CONV, SQUARE | {"q": 3, "s": 1}, IMAGE, "X", "settings", "Here s = 1."),
    (GROUPED, GROUPED_SETTINGS, IMAGE, "b", "rename",
     "Equal numbers have equal digits, so that of each sum only the term with g' = g, q' = q is left."),
    (MAX, TILES, IMAGE, "X", "settings", "Here t = 0."),
    (MAX, TILES, IMAGE, "X", "maximum",
     "M is 1 at the first maximum in row order and 0 elsewhere, and does not change when X moves a little."),
    (MAX, TILES, IMAGE, "X", "fold",
     "Of s consecutive numbers exactly one is divisible by s: u = a % s, v = b % s."),
    (INSIDE, SQUARE, IMAGE, "X", "name",
     "What is not an entry of a tensor gets a name, "
     "R[i,j] = 1 / sum[u,v] [0 <= s*i+u-t < |X.2|] * [0 <= s*j+v-t < |X.3|], "
     "so that it is 0 outside its own range."),
    (SOFTMAX, {}, ROWS, "X", "product rule",
     "Where several factors of a product hold X, each in turn is differentiated, at the one place where the "
     "subscripts agree; from the table, exp'(x) = exp(x), (1/x)' = -1/x^2."),
    (SOFTMAX, {}, ROWS, "X", "recognise", "This is the formula of Y, which has been computed already."),
    (SOFTMAX, {}, ROWS, "X", "take out",
     "What a sum does not touch stands before it, and a common factor is written once."),
    (CROSS_ENTROPY, {}, ROWS, "X", "chain rule", "L is the loss itself, one number."),
    (CROSS_ENTROPY, {}, ROWS, "X", "cancel",
     "Equal factors become one power; above and below the line they cancel."),
    (CROSS_ENTROPY, {}, ROWS, "X", "given", "The labels T of one example sum to 1."),
    (SIGMOID_LOSS, {}, ROWS, "X", "point-wise",
     "From the table, log'(x) = 1/x, sigmoid'(x) = sigmoid(x)*(1 - sigmoid(x)), "
     "at the one place where the subscripts agree."),
    (SIGMOID_LOSS, {}, ROWS, "X", "collect", "Multiplied out, equal terms are added up."),
    (SIGMOID_LOSS, {}, ROWS, "T", "linearity",
     "Each term that holds T adds what T is multiplied by, at the one place where the subscripts agree."),
    ("Y[n,i] = X[n,i] / sqrt(1 + sum[m] X[n,i+m-h]^2)", {"m": 3, "h": 1}, ROWS, "X", "replace",
     "Wherever the brackets are not 0, i'+m-h = i."),
    ("Y[n,a] = X[n,a//k]", {"k": 2, "a": 9}, ROWS, "X", "unfold",
     "Rounding down gives b at a = k*b+r for every r below k."),
    ("Y[n,a] = sum[u] W[u] * X[n,(a+t-u)/s]", {"s": 2, "t": 1, "u": 3, "a": 9}, ROWS, "W", "re-index",
     "The sum runs over the entries that are read instead: a = s*i+u-t."),
    ("L = sum[i,u] X[s*i+u]", {"s": 2, "i": 3, "u": 3}, (9,), "X", "solve",
     "Of each sum only the term with u = a-s*i is left; a bracket keeps it in its range."),
    ("Y[n,|i|*c+i] = sum[u] X[n,c,s*i+u-t]", {"s": 2, "t": 1, "u": 3}, (2, 2, 5), "X", "solve",
     "Of each sum only the term with i = (a+t-u)/s is left; a bracket keeps it whole and in its range."),
    ("Y[n,k] = sum[i] (X[n,k] + W[i,k])", {"i": 3}, ROWS, "X", "linearity",
     "X occurs once, as a factor: its derivative is what it is multiplied by, at the one place where the "
     "subscripts agree; what does not depend on i is added up so many times."),
    ("Y[n,i] = [X[n,i] > 0] * X[n,i]", {}, ROWS, "X", "linearity",
     "X occurs once, as a factor: its derivative is what it is multiplied by, at the one place where the "
     "subscripts agree; a bracket has the derivative 0."),
    ("Y[n,i] = [X[n,i] > 0] * Z[n,i]", {}, ROWS, "X", "linearity",
     "What compares or selects entries of X has no derivative."),
]  # fmt: skip


@pytest.mark.parametrize(("line", "settings", "shape", "by", "rule", "reason"), REASONS)
def test_reasons(line, settings, shape, by, rule, reason):
    found = derivation(line, by, shape, settings, facts=("T",) if line == CROSS_ENTROPY else ())
    assert reason in {step.reason for step in found.steps if step.rule == rule}


def test_a_square_root_squared_is_said_to_be_what_stands_under_it():
    case = USERS["response norm"]
    steps = derive(case.formula, "X", case.sizes).steps
    assert "The square of a square root is what stands under it." in {step.reason for step in steps}


@pytest.mark.parametrize("user", USERS)
def test_every_step_has_a_rule_and_one_sentence_and_changes_something(user):
    case = USERS[user]
    for by in case.formula.tensors:
        found = derive(case.formula, by, case.sizes)
        equations = [found.of, *(step.equation for step in found.steps)]
        assert all(before != after for before, after in pairwise(equations))
        for step in found.steps:
            assert step.rule in RULES
            assert step.reason.endswith(".")
            assert ". " not in step.reason
            assert step.reason[0].isupper() or step.rule in ("chain rule", "linearity", "maximum")


def test_a_derivation_prints_its_steps_and_definitions():
    found = derivation("Y[n] = max[f] X[n,f]", "X", ROWS, {})
    assert repr(found) == "<Derivation in 4 steps: dX[n,f] = dY[n] * M[n,f]>"
    assert repr(found.steps[-1]) == "<Step rename: dX[n,f] = dY[n] * M[n,f]>"
    assert repr(found.of) == "Equation('Y[n] = max[f] X[n,f]')"
    assert str(found).splitlines()[0] == "formula      Y[n] = max[f] X[n,f]"
    assert str(found).splitlines()[-3:] == [
        "rename       dX[n,f] = dY[n] * M[n,f]",
        "             Of each sum only the term with n' = n, f' = f is left.",
        "where        M[n,f] = first[f] X[n,f]",
    ]
    lines = found.latex().splitlines()
    assert lines[0] == r"\begin{aligned}"
    assert lines[-1] == r"\end{aligned}"
    assert [line.split(r"\text{")[1].split("}")[0] for line in lines[1:-1]] == [
        "formula", "maximum", "chain rule", "linearity", "rename", "where",
    ]  # fmt: skip


# sizes


@pytest.mark.parametrize("name", [*LAYERS, *USERS])
def test_the_result_does_not_depend_on_sizes_that_happen_to_be_alike(name):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    case = LAYERS[name](rng) if name in LAYERS else USERS[name]
    shape = case.shapes["X"]
    results: dict[str, set[str]] = {by: set() for by in case.formula.tensors}
    tried = 0
    for _ in range(30):
        # small sizes, many of them 1 and many alike; a tensor that goes with X goes with it still
        other = tuple(int(extent) for extent in rng.integers(1, 7, len(shape)))
        shapes = {tensor: other if own == shape else own for tensor, own in case.shapes.items()}
        changed = replace(case, shapes=shapes)
        try:
            sizes = changed.sizes
        except ShapeError:
            continue
        tried += 1
        for by in results:
            found = derive(case.formula, by, sizes, facts=case.facts if by == "X" else ())
            results[by].add(text(found.result))
    assert tried > 0
    assert all(len(found) == 1 for found in results.values()), results


def test_a_window_as_wide_as_its_stride_folds_only_where_both_axes_do():
    line = "Y[n,c,i,j] = max[u,v] X[n,c,s1*i+u,s2*j+v]"

    def result(**settings):
        return text(derivation(line, "X", IMAGE, settings).result)

    assert result(s1=2, s2=3, u=2, v=3) == (
        "dX[n,c,a,b] = dY[n,c,a//s1,b//s2] * M[n,c,a//s1,b//s2,a % s1,b % s2]"
    )
    assert result(s1=2, s2=2, u=2, v=3) == (
        "dX[n,c,a,b] = sum[u,v] dY[n,c,(a-u)/s1,(b-v)/s2] * M[n,c,(a-u)/s1,(b-v)/s2,u,v]"
    )
    assert result(s1=2, s2=1, u=2, v=2) == (
        "dX[n,c,a,b] = sum[u,v] dY[n,c,(a-u)/s1,b-v] * M[n,c,(a-u)/s1,b-v,u,v]"
    )
    assert result(s1=2, s2=1, u=2, v=1) == "dX[n,c,a,b] = dY[n,c,a//s1,b] * M[n,c,a//s1,b,a % s1,0]"


# gradients of gradients


def again(line, by, then, shape, settings=None):
    return text(derivation(line, by, shape, settings or {}).derive(then).result)


def test_the_gradient_of_a_convolutions_gradient_is_a_convolution_again():
    settings = SQUARE | {"q": 3}
    assert again(CONV, "X", "dY", IMAGE, settings) == (
        "ddY[n,q,c,d] = sum[p,u,v] ddX[n,p,s*c+u-t,s*d+v-t] * W[q,p,u,v]"
    )
    assert again(CONV, "X", "W", IMAGE, settings) == (
        "dW[q,p,u,v] = sum[n,c,d] ddX[n,p,s*c+u-t,s*d+v-t] * dY[n,q,c,d]"
    )
    assert again(CONV, "W", "dY", IMAGE, settings) == (
        "ddY[n,q,i,j] = sum[p,u,v] ddW[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
    )
    assert again(AVERAGE, "X", "dY", IMAGE, TILES) == (
        "ddY[n,c,d,e] = 1/(|u|*|v|) * sum[r,f] ddX[n,c,s*d+r,s*e+f]"
    )


def test_what_a_definition_depends_on_is_differentiated():
    assert again("Y[n,f] = sigmoid(X[n,f])", "X", "X", ROWS) == (
        "dX2[n,f] = ddX[n,f] * dX[n,f] * (1 - 2 * Y[n,f])"
    )
    case = USERS["division of a window"]
    first = derive(case.formula, "X", case.sizes)
    assert text(first.result) == "dX[n,a] = sum[u] dY[n,(a+t-u)/s] * R[n,(a+t-u)/s]"
    found = first.derive("D")
    assert found.steps[0].rule == "write out"
    assert found.steps[0].reason == "R depends on D, and so must be written out."
    assert text(found.result) == "dD[n,b] = -dY[n,b] * (sum[u] ddX[n,s*b+u-t]) / D[n,b]^2"


def test_names_of_second_gradients_are_fresh():
    first = derivation("Y[n,f] = tanh(X[n,f])", "X", ROWS, {})
    second = first.derive("X")
    assert (first.gradient, first.upstream) == ("dX", "dY")
    assert (second.gradient, second.upstream) == ("dX2", "ddX")
    assert second.derive("X").gradient == "dX3"
    assert upstream_name(parse("Y[n] = dY[n] * X[n]")) == "dY2"


def test_definitions_come_with_all_that_they_need():
    case = USERS["softmax pooling"]
    third = derive(case.formula, "X", case.sizes).derive("X").derive("dY")
    defined = [definition.left.tensor for definition in third.definitions]
    for definition in third.definitions:
        check_text(definition)
        named = set(definition.tensors) & set(defined)
        assert all(defined.index(tensor) < defined.index(definition.left.tensor) for tensor in named)
    read = {tensor for step in third.steps for tensor in step.equation.tensors}
    given = {"X", "dY", "ddX", third.upstream, *(name for name in read if name.startswith("∂"))}
    assert read <= given | set(defined)


def test_a_second_derivative_that_is_0_is_said_to_be():
    found = derivation("Y[n,f] = relu(X[n,f])", "X", ROWS, {}).derive("X")
    assert text(found.result) == "dX2[n,f] = 0"
    assert found.saved == ()


# errors


def test_a_tensor_that_does_not_occur():
    line = "Y[n,f] = relu(X[n,f])"
    with pytest.raises(FormulaError) as error:
        derivation(line, "W", ROWS, {})
    assert str(error.value) == f"W does not occur in this formula, which reads X\n  {line}\n  ^"


def test_a_selection_does_not_count_as_an_occurrence():
    first = derivation("Y[n] = max[f] X[n,f]", "X", ROWS, {})
    with pytest.raises(FormulaError, match="X does not occur in this formula, which reads dY, M"):
        first.derive("X")
