"""The name of a gradient is true: its recipe gives the gradient, and its words say what the recipe does."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import require_torch

from closedform.errors import ShapeError
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import solve
from closedform.formula.naming import name_of
from closedform.formula.naming.affine import recipe_of
from closedform.formula.syntax import parse

CONV = "Y[n,|q|*g+q,i,j] = b[|q|*g+q] + sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]"
PLAIN_CONV = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+d*u-t,s*j+d*v-t]"
LOCAL = "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"
SUMMED = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"
DEPTHWISE = "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s1*i+d1*u-t1,s2*j+d2*v-t2]"
AVERAGE = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]"
UNPADDED_AVERAGE = (
    "Y[n,c,i,j] = (sum[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]) / "
    "sum[u,v] [0 <= s1*i+u-t1 < |X.2|] * [0 <= s2*j+v-t2 < |X.3|]"
)
MAXIMUM = "Y[n,c,i,j] = max[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]"
ROW_CONV = "Y[n,q,i] = b[q] + sum[p,u] W[q,p,u] * X[n,p,s*i+d*u-t]"
TRANSPOSED = "Y[n,q,a,b] = sum[p,u,v] W[p,q,u,v] * X[n,p,(a+t-u)/s,(b+t-v)/s]"
DENSE = "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]"
FLATTEN = "Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]"
CROSS_ENTROPY = "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))"
BINARY_CROSS_ENTROPY = "L = -1/|n| * sum[n] (T[n] * log(sigmoid(X[n])) + (1 - T[n]) * log(1 - sigmoid(X[n])))"

IMAGE = {"X": (2, 2, 7, 6)}
SQUARE = {"X": (2, 2, 8, 8)}


def derivation(text, shapes, by, facts=(), **bindings):
    formula = parse(text)
    return derive(formula, by, solve(formula, shapes, bindings), facts=facts)


# ---- words

# formula, shapes, bindings, tensor, words, zeros
WORDS = [
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution of dY with W rotated by 180°", "dY: 2 zeros on every side"),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "W",
     "convolution of X with dY", ""),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "b",
     "the sum of dY over n, i, j", ""),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 1, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution, cropped by the padding, of dY with W rotated by 180°", "dY: 1 zero on every side"),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 1, "q": 3, "u": 3, "v": 3}, "W",
     "convolution of the padded X with dY", "X: 1 zero on every side"),
    (PLAIN_CONV, {"X": (2, 2, 7, 7)}, {"s": 2, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution of the zero-inserted dY with W rotated by 180°",
     "dY: 1 zero between neighbours, 2 zeros on every side"),
    (PLAIN_CONV, {"X": (2, 2, 7, 7)}, {"s": 2, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "W",
     "convolution of X with the zero-inserted dY", ""),
    (PLAIN_CONV, {"X": (2, 2, 7, 7)}, {"s": 2, "d": 1, "t": 1, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution, cropped by the padding, of the zero-inserted dY with W rotated by 180°",
     "dY: 1 zero between neighbours, 1 zero on every side"),
    (PLAIN_CONV, {"X": (2, 2, 7, 7)}, {"s": 2, "d": 1, "t": 1, "q": 3, "u": 3, "v": 3}, "W",
     "convolution of the padded X with the zero-inserted dY", "X: 1 zero on every side"),
    # the stride leaves the last row and the last two columns of X uncovered
    (PLAIN_CONV, {"X": (2, 2, 7, 8)}, {"s": 3, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution of the zero-inserted dY with W rotated by 180°, with zeros where no window reaches",
     "dY: 2 zeros between neighbours, 2 rows of zeros above and 3 below, "
     "2 columns of zeros left and 4 right"),
    (PLAIN_CONV, {"X": (2, 2, 7, 8)}, {"s": 3, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "W",
     "convolution of the cropped X with the zero-inserted dY",
     "X: 1 row cut off below, 2 columns cut off right"),
    # it leaves a row of the padding uncovered: more zeros follow than precede
    (PLAIN_CONV, SQUARE, {"s": 2, "d": 1, "t": 1, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution, cropped by the padding, of the zero-inserted dY with W rotated by 180°",
     "dY: 1 zero between neighbours, 1 row of zeros above and 2 below, 1 column of zeros left and 2 right"),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 2, "t": 0, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution of dY with the dilated W rotated by 180°", "dY: 4 zeros on every side"),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 2, "t": 0, "q": 3, "u": 3, "v": 3}, "W",
     "convolution with stride 2 of X with dY", ""),
    (PLAIN_CONV, {"X": (2, 2, 9, 9)}, {"s": 2, "d": 2, "t": 1, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution, cropped by the padding, of the zero-inserted dY with the dilated W rotated by 180°",
     "dY: 1 zero between neighbours, 3 zeros on every side"),
    (CONV, {"X": (2, 4, 7, 7)},
     {"s1": 2, "s2": 2, "d1": 1, "d2": 1, "t1": 1, "t2": 1, "g": 2, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution, cropped by the padding, of the zero-inserted dY with W rotated by 180°, "
     "for each g by itself", "dY: 1 zero between neighbours, 1 zero on every side"),
    (CONV, {"X": (2, 4, 9, 5)},
     {"s1": 2, "s2": 1, "d1": 2, "d2": 1, "t1": 0, "t2": 0, "g": 1, "q": 3, "u": 3, "v": 2}, "W",
     "convolution with strides 2 and 1 of X with the zero-inserted dY", ""),
    (CONV, {"X": (2, 4, 9, 5)},
     {"s1": 2, "s2": 3, "d1": 1, "d2": 1, "t1": 0, "t2": 0, "g": 1, "q": 3, "u": 3, "v": 2}, "X",
     "full convolution of the zero-inserted dY with W rotated by 180°",
     "dY: 1 zero between rows and 2 zeros between columns, 2 rows of zeros above and 2 below, "
     "1 column of zeros left and 1 right"),
    (CONV, {"X": (2, 4, 9, 5)},
     {"s1": 1, "s2": 1, "d1": 1, "d2": 1, "t1": 0, "t2": 0, "g": 2, "q": 3, "u": 3, "v": 2}, "b",
     "the sum of dY over n, i, j", ""),
    # with a kernel of one entry no rotation is to be seen
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 0, "q": 3, "u": 1, "v": 1}, "X",
     "1×1 convolution of dY with W transposed", ""),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 0, "q": 3, "u": 1, "v": 1}, "W",
     "convolution of X with dY", ""),
    (PLAIN_CONV, {"X": (2, 2, 7, 7)}, {"s": 2, "d": 1, "t": 0, "q": 3, "u": 1, "v": 1}, "X",
     "1×1 convolution of the zero-inserted dY with W transposed", "dY: 1 zero between neighbours"),
    (PLAIN_CONV, SQUARE, {"s": 2, "d": 1, "t": 0, "q": 3, "u": 1, "v": 1}, "X",
     "1×1 convolution of the zero-inserted dY with W transposed, with zeros where no window reaches",
     "dY: 1 zero between neighbours, 1 row of zeros below, 1 column of zeros right"),
    (PLAIN_CONV, SQUARE, {"s": 1, "d": 1, "t": 1, "q": 3, "u": 1, "v": 1}, "X",
     "1×1 convolution, cropped by the padding, of dY with W transposed",
     "dY: 1 row cut off above and 1 below, 1 column cut off left and 1 right"),
    # one window covers the image, so that no zeros can stand between
    (PLAIN_CONV, {"X": (2, 2, 3, 3)}, {"s": 2, "d": 1, "t": 0, "q": 3, "u": 3, "v": 3}, "X",
     "full convolution of dY with W rotated by 180°", "dY: 2 zeros on every side"),
    (ROW_CONV, {"X": (2, 2, 8)}, {"s": 2, "d": 1, "t": 1, "q": 3, "u": 3}, "X",
     "full convolution, cropped by the padding, of the zero-inserted dY with W reversed",
     "dY: 1 zero between neighbours, 1 zero before and 2 after"),
    (ROW_CONV, {"X": (2, 2, 8)}, {"s": 1, "d": 1, "t": 1, "q": 3, "u": 1}, "X",
     "1-wide convolution, cropped by the padding, of dY with W transposed",
     "dY: 1 entry cut off before and 1 after"),
    ("Y[n,i,j,k] = sum[u,v,w] W[u,v,w] * X[n,i+u-1,j+v,k+w]", {"X": (2, 4, 4, 4)}, {"u": 3, "v": 2, "w": 1},
     "X", "full convolution, cropped by the padding, of dY with W reversed along every axis",
     "dY: along axis 1: 1 zero before and 1 after, along axis 2: 1 zero before and 1 after"),
    (DEPTHWISE, SQUARE, {"s1": 1, "s2": 1, "d1": 1, "d2": 1, "t1": 0, "t2": 0, "u": 3, "v": 3}, "X",
     "full convolution of dY with W rotated by 180°, for each c by itself", "dY: 2 zeros on every side"),
    (DEPTHWISE, SQUARE, {"s1": 1, "s2": 1, "d1": 1, "d2": 1, "t1": 1, "t2": 1, "u": 3, "v": 3}, "W",
     "convolution of the padded X with dY, for each c by itself", "X: 1 zero on every side"),
    (SUMMED, SQUARE, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "q": 3, "u": 2, "v": 2}, "X",
     "full convolution of dY with W rotated by 180°, the same for every p", "dY: 1 zero on every side"),
    (SUMMED, SQUARE, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "q": 3, "u": 2, "v": 2}, "W",
     "convolution of X, summed over p, with dY", ""),
    (LOCAL, SQUARE, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "q": 3, "u": 3, "v": 3}, "X",
     "each position's own W spread back by dY", "dY: 2 zeros on every side; W: 2 zeros on every side"),
    (LOCAL, {"X": (2, 2, 7, 7)}, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "q": 3, "u": 3, "v": 3}, "X",
     "each position's own W spread back by the zero-inserted dY, cropped by the padding",
     "dY: 1 zero between neighbours, 1 zero on every side; "
     "W: 1 zero between neighbours, 1 zero on every side"),
    (LOCAL, SQUARE, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "q": 3, "u": 3, "v": 3}, "W",
     "for each position, its window of X times dY, summed over n", ""),
    (LOCAL, {"X": (2, 2, 7, 7)}, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "q": 3, "u": 3, "v": 3}, "W",
     "for each position, its window of the padded X times dY, summed over n", "X: 1 zero on every side"),
    (LOCAL, {"X": (1, 1, 4, 4)}, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "q": 1, "u": 3, "v": 3}, "W",
     "for each position, its window of X times dY, summed over n", ""),
    (LOCAL, SQUARE, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "q": 3, "u": 3, "v": 3}, "b",
     "the sum of dY over n", ""),
    (AVERAGE, SQUARE, {"s1": 2, "s2": 2, "t1": 0, "t2": 0, "u": 2, "v": 2}, "X",
     "1/(|u|*|v|) times each entry of dY copied to its window", ""),
    (AVERAGE, IMAGE, {"s1": 2, "s2": 2, "t1": 0, "t2": 0, "u": 2, "v": 2}, "X",
     "1/(|u|*|v|) times each entry of dY copied to its window, with zeros where no window reaches",
     "dY: 1 row of zeros below"),
    (AVERAGE, SQUARE, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "u": 2, "v": 2}, "X",
     "1/(|u|*|v|) times each entry of dY copied to its window, cropped by the padding",
     "dY: 1 row cut off above and 1 below, 1 column cut off left and 1 right"),
    (AVERAGE, {"X": (2, 2, 7, 7)}, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "u": 3, "v": 3}, "X",
     "1/(|u|*|v|) times the full convolution, cropped by the padding, of the zero-inserted dY "
     "with a window of ones", "dY: 1 zero between neighbours, 1 zero on every side"),
    (AVERAGE, SQUARE, {"s1": 1, "s2": 1, "t1": 0, "t2": 0, "u": 3, "v": 3}, "X",
     "1/(|u|*|v|) times the full convolution of dY with a window of ones", "dY: 2 zeros on every side"),
    (AVERAGE, {"X": (2, 2, 7, 7)}, {"s1": 2, "s2": 2, "t1": 0, "t2": 0, "u": 1, "v": 1}, "X",
     "1/(|u|*|v|) times the zero-inserted dY", "dY: 1 zero between neighbours"),
    (UNPADDED_AVERAGE, {"X": (2, 2, 7, 7)}, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "u": 3, "v": 3}, "X",
     "full convolution, cropped by the padding, of the zero-inserted product of R and dY "
     "with a window of ones",
     "dY: 1 zero between neighbours, 1 zero on every side; "
     "R: 1 zero between neighbours, 1 zero on every side"),
    (UNPADDED_AVERAGE, SQUARE, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "u": 2, "v": 2}, "X",
     "each entry of the product of R and dY copied to its window, cropped by the padding",
     "dY: 1 row cut off above and 1 below, 1 column cut off left and 1 right; "
     "R: 1 row cut off above and 1 below, 1 column cut off left and 1 right"),
    (MAXIMUM, SQUARE, {"s1": 2, "s2": 2, "t1": 0, "t2": 0, "u": 2, "v": 2}, "X",
     "dY sent back to the first maximum of its window", ""),
    (MAXIMUM, {"X": (2, 2, 8, 8)}, {"s1": 3, "s2": 3, "t1": 0, "t2": 0, "u": 2, "v": 2}, "X",
     "dY sent back to the first maximum of its window",
     "dY: 2 zeros between neighbours, 1 zero on every side; M: 2 zeros between neighbours, "
     "1 zero on every side"),
    (MAXIMUM, {"X": (2, 2, 7, 7)}, {"s1": 2, "s2": 2, "t1": 1, "t2": 1, "u": 3, "v": 3}, "X",
     "dY sent back to the first maximum of each window, added where windows overlap",
     "dY: 1 zero between neighbours, 1 zero on every side; M: 1 zero between neighbours, "
     "1 zero on every side"),
    # a single window has no neighbour to overlap
    (MAXIMUM, {"X": (2, 2, 3, 3)}, {"s1": 2, "s2": 2, "t1": 0, "t2": 0, "u": 3, "v": 3}, "X",
     "dY sent back to the first maximum of its window",
     "dY: 2 zeros on every side; M: 2 zeros on every side"),
    ("Y[n,c] = max[i,j] X[n,c,i,j]", IMAGE, {}, "X", "dY sent back to the first maximum over i, j", ""),
    ("Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]", IMAGE, {}, "X",
     "1/(|i|*|j|) times dY, copied to every i, j", ""),
    (DENSE, {"X": (4, 5)}, {"o": 3}, "X", "matrix product of dY and W", ""),
    (DENSE, {"X": (4, 5)}, {"o": 3}, "W", "matrix product of dY transposed and X", ""),
    (DENSE, {"X": (4, 5)}, {"o": 3}, "b", "the sum of dY over n", ""),
    ("Y[n,o] = sum[f] X[n,f] * W[f,o]", {"X": (4, 5)}, {"o": 3}, "X",
     "matrix product of dY and W transposed", ""),
    ("Y[n,o] = sum[f] X[n,f] * W[f,o]", {"X": (4, 5)}, {"o": 3}, "W",
     "matrix product of X transposed and dY", ""),
    ("Y[o] = sum[f] W[o,f] * X[f]", {"X": (5,)}, {"o": 3}, "W", "outer product of dY and X", ""),
    ("Y[o] = sum[f] W[o,f] * X[f]", {"X": (5,)}, {"o": 3}, "X", "the sum of dY times W over o", ""),
    (FLATTEN, IMAGE, {}, "X", "dY, reshaped", ""),
    ("Y[n,c] = X[c,n]", {"X": (4, 5)}, {}, "X", "dY transposed", ""),
    ("Y[n,c] = X[n,c]", {"X": (4, 5)}, {}, "X", "dY itself", ""),
    ("Y[n,c] = -X[n,c]", {"X": (4, 5)}, {}, "X", "minus dY", ""),
    ("Y[n,c,i] = X[n,c,|i|-1-i]", {"X": (2, 3, 5)}, {"i": 5}, "X", "dY reversed along a", ""),
    ("Y[n,c,i] = X[n,c,i-1]", {"X": (2, 3, 5)}, {"i": 7}, "X", "the cropped dY",
     "dY: 1 entry cut off before and 1 after"),
    ("Y[n,c,i,j] = g[c] * X[n,c,i,j]", IMAGE, {}, "X", "dY times g along c", ""),
    ("Y[n,c,i,j] = g[c] * X[n,c,i,j]", IMAGE, {}, "g", "the sum of dY times X over n, i, j", ""),
    ("Y[n,c,i] = X[n,c,i//k]", {"X": (2, 3, 4)}, {"k": 2, "i": 8}, "X",
     "convolution with stride 2 of dY with a window of ones", ""),
    ("Y[n,f] = M[n,f] * X[n,f]", {"X": (3, 4), "M": (3, 4)}, {}, "X", "dY times M, entry by entry", ""),
    ("Y[n,f] = relu(X[n,f])", {"X": (3, 4)}, {}, "X", "dY times step(X), entry by entry", ""),
    ("Y[n,f] = relu(X[n,f]) - k * relu(-X[n,f])", {"X": (3, 4)}, {"k": Fraction(1, 100)}, "X",
     "dY times (step(X) + k * step(-X)), entry by entry", ""),
    ("Y[n,f] = relu(X[n,f]) + k * X[n,f] * [X[n,f] <= 0]", {"X": (3, 4)}, {"k": Fraction(1, 100)}, "X",
     "dY times (step(X) + k * [X <= 0]), entry by entry", ""),
    ("Y[n,f] = sigmoid(X[n,f])", {"X": (3, 4)}, {}, "X", "dY times Y * (1 - Y), entry by entry", ""),
    ("Y[n,f] = tanh(X[n,f])", {"X": (3, 4)}, {}, "X", "dY times (1 - Y^2), entry by entry", ""),
    ("Y[n,f] = log(X[n,f])", {"X": (3, 4)}, {}, "X", "dY divided by X, entry by entry", ""),
    ("Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])", {"X": (3, 4)}, {}, "X",
     "Y times the difference of dY and the sum of dY times Y over k, entry by entry", ""),
    ("Y[n,c,i,j] = exp(X[n,c,i,j]) / sum[m] exp(X[n,m,i,j])", IMAGE, {}, "X",
     "Y times the difference of dY and the sum of dY times Y over c, entry by entry", ""),
    (BINARY_CROSS_ENTROPY, {"X": (5,), "T": (5,)}, {}, "X",
     "the probabilities minus the labels, divided by the number of examples", ""),
    ("L = 1/(|n|*|k|) * sum[n,k] (X[n,k] - T[n,k])^2", {"X": (3, 4), "T": (3, 4)}, {}, "X",
     "twice the difference of X and T, divided by the number of entries", ""),
    ("L = 1/|n| * sum[n,k] (T[n,k] - X[n,k])^2", {"X": (3, 4), "T": (3, 4)}, {}, "X",
     "twice the difference of X and T, divided by the number of examples", ""),
    ("L = 1/2 * sum[n,k] (X[n,k] - T[n,k])^2", {"X": (3, 4), "T": (3, 4)}, {}, "X",
     "the difference of X and T", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shapes", "bindings", "by", "words", "zeros"), WORDS)
def test_words(text, shapes, bindings, by, words, zeros):
    name = derivation(text, shapes, by, **bindings).name
    assert (name.words, name.zeros) == (words, zeros)


def test_softmax_with_cross_entropy_ends_in_probabilities_minus_labels():
    name = derivation(CROSS_ENTROPY, {"X": (3, 4), "T": (3, 4)}, "X", facts=["T"]).name
    assert name.words == "the probabilities minus the labels, divided by the number of examples"
    assert name.recipe is None


@pytest.mark.parametrize(
    ("text", "by", "again", "words"),
    [
        (PLAIN_CONV, "X", "dY", "convolution with stride 2 of the padded ddX with W"),
        (PLAIN_CONV, "X", "W", "convolution of the padded ddX with the zero-inserted dY"),
        (PLAIN_CONV, "W", "dY", "convolution with stride 2 of the padded X with ddW"),
        (PLAIN_CONV, "W", "X", "full convolution, cropped by the padding, of ddW "
         "with the dilated dY rotated by 180°"),
        (PLAIN_CONV, "b", "dY", "ddb, copied to every n, i, j"),
    ],
)  # fmt: skip
def test_words_of_second_gradients(text, by, again, words):
    first = derivation(text, {"X": (2, 2, 7, 7)}, by, s=2, d=1, t=1, q=3, u=3, v=3)
    assert first.derive(again).name.words == words


NAMELESS = [
    # two terms
    ("Y[n,q,i,j] = sum[u,v] A[q,u,v] * X[n,q,i+u,j+v] * X[n,q,i,j]", "X", {"u": 2, "v": 2}),
    ("Y[n,c,i,j] = X[n,c,i,j] / (1 + sum[u] X[n,c+u-1,i,j]^2)", "X", {"u": 3}),
    # a product with what is no entry of a tensor
    ("Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,i+u,j+v]^2", "W", {"q": 2, "u": 2, "v": 2}),
    # a convolution with the kernel's rows and columns exchanged
    ("Y[n,i,j] = sum[p,u,v] W[p,v,u] * X[n,p,i+u,j+v]", "X", {"u": 2, "v": 2}),
    # each channel's result scaled by a tensor that the window does not read
    ("Y[n,c,i,j] = sum[u,v] g[c] * W[u,v] * X[n,c,i+u,j+v]", "X", {"u": 2, "v": 2}),
    # a convolution whose kernel depends on the place: no kernel of each position's own
    ("Y[n,c,i,j] = sum[u,v] W[i,u,v] * X[n,c,i+u,j+v]", "X", {"u": 2, "v": 2}),
]


@pytest.mark.parametrize(("text", "by", "bindings"), NAMELESS)
def test_nothing_is_said_where_no_name_fits(text, by, bindings):
    assert derivation(text, IMAGE, by, **bindings).name is None


# ---- recipes against PyTorch


def gradients(forward, arrays, upstream):
    """What PyTorch's autograd makes of a forward pass, by tensor."""
    torch = require_torch()
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    forward(**leaves).backward(torch.tensor(upstream))
    return {name: leaf.grad.numpy() for name, leaf in leaves.items()}


def assert_names_execute_to(forward, text, shapes, bindings, saved=None, seed=0):
    """Every gradient has a name, whose recipe gives PyTorch's gradient."""
    rng = np.random.default_rng(seed)
    formula = parse(text)
    sizes = solve(formula, shapes, bindings)
    arrays = {tensor: rng.normal(size=sizes.shapes[tensor]) for tensor in formula.tensors}
    upstream = rng.normal(size=sizes.shapes["Y"])
    expected = gradients(forward, arrays, upstream)
    known = {**arrays, "dY": upstream, **(saved(arrays["X"]) if saved else {})}
    for by in arrays:
        name = name_of(derive(formula, by, sizes))
        assert name is not None, by
        got = name.recipe.execute(known)
        assert got.shape == expected[by].shape
        np.testing.assert_allclose(got, expected[by], rtol=0, atol=1e-12 * max(1, np.abs(got).max()))


@st.composite
def windows(draw, dilation=3, padding=3):
    """An image and the strides, paddings, dilations and kernel of windows that fit it."""
    found = {}
    sizes = []
    for k, kernel in ((1, "u"), (2, "v")):
        found[f"s{k}"] = draw(st.integers(1, 3))
        found[f"d{k}"] = draw(st.integers(1, dilation))
        found[f"t{k}"] = draw(st.integers(0, padding))
        found[kernel] = draw(st.integers(1, 4))
        sizes.append(draw(st.integers(1, 9)))
        assume(sizes[-1] + 2 * found[f"t{k}"] >= found[f"d{k}"] * (found[kernel] - 1) + 1)
    return tuple(sizes), found


counts = st.integers(1, 3)


def pair(found, letter):
    return found[f"{letter}1"], found[f"{letter}2"]


def without_dilation(found):
    return {name: value for name, value in found.items() if name not in ("d1", "d2")}


@settings(max_examples=120)
@given(windows(), counts, counts, counts, counts)
def test_convolution(window, images, groups, inputs, outputs):
    conv2d = require_torch().nn.functional.conv2d
    size, found = window

    def forward(X, W, b):
        return conv2d(X, W, b, pair(found, "s"), pair(found, "t"), pair(found, "d"), groups)

    shapes = {"X": (images, groups * inputs, *size)}
    assert_names_execute_to(forward, CONV, shapes, {**found, "g": groups, "q": outputs})


@settings(max_examples=60)
@given(windows(dilation=1), counts, counts, counts)
def test_locally_connected(window, images, inputs, outputs):
    torch = require_torch()
    size, found = window
    kernel = (found["u"], found["v"])

    def forward(X, W, b):
        patches = torch.nn.functional.unfold(X, kernel, padding=pair(found, "t"), stride=pair(found, "s"))
        own = W.reshape(-1, outputs, patches.shape[1])
        return torch.einsum("nkl,lqk->nql", patches, own).reshape(images, *b.shape) + b

    shapes = {"X": (images, inputs, *size)}
    assert_names_execute_to(forward, LOCAL, shapes, {**without_dilation(found), "q": outputs})


@settings(max_examples=60)
@given(windows(dilation=1), counts, counts, counts)
def test_channel_summed(window, images, inputs, outputs):
    conv2d = require_torch().nn.functional.conv2d
    size, found = window

    def forward(X, W, b):
        return conv2d(X.sum(1, keepdim=True), W[:, None], b, pair(found, "s"), pair(found, "t"))

    shapes = {"X": (images, inputs, *size)}
    assert_names_execute_to(forward, SUMMED, shapes, {**without_dilation(found), "q": outputs})


@settings(max_examples=60)
@given(windows(), counts, counts)
def test_depthwise(window, images, channels):
    conv2d = require_torch().nn.functional.conv2d
    size, found = window

    def forward(X, W, b):
        strides, paddings, dilations = (pair(found, letter) for letter in "std")
        return conv2d(X, W[:, None], b, strides, paddings, dilations, channels)

    assert_names_execute_to(forward, DEPTHWISE, {"X": (images, channels, *size)}, found)


@st.composite
def pools(draw):
    """Windows as PyTorch pools them: at most half a kernel of padding; often without gap and overlap."""
    size, found = draw(windows(dilation=1, padding=2))
    assume(found["t1"] <= found["u"] // 2 and found["t2"] <= found["v"] // 2)
    if draw(st.booleans()):
        found["s1"], found["s2"] = found["u"], found["v"]
    return size, without_dilation(found)


@settings(max_examples=80)
@given(pools(), counts, counts, st.booleans())
def test_average_pooling(window, images, channels, count_include_pad):
    functional = require_torch().nn.functional
    size, found = window
    kernel = (found["u"], found["v"])

    def forward(X):
        return functional.avg_pool2d(
            X, kernel, pair(found, "s"), pair(found, "t"), count_include_pad=count_include_pad
        )

    def reciprocals(X):
        inside = windows_of(np.ones(size), found, 0.0).sum((2, 3))
        return {"R": 1 / inside}

    shapes = {"X": (images, channels, *size)}
    text = AVERAGE if count_include_pad else UNPADDED_AVERAGE
    assert_names_execute_to(forward, text, shapes, found, reciprocals)


@settings(max_examples=80)
@given(pools(), counts, counts)
def test_max_pooling(window, images, channels):
    functional = require_torch().nn.functional
    size, found = window
    kernel = (found["u"], found["v"])

    def forward(X):
        return functional.max_pool2d(X, kernel, pair(found, "s"), pair(found, "t"))

    def first_maxima(X):
        seen = windows_of(X, found, -np.inf)
        flat = seen.reshape(*seen.shape[:4], -1)
        chosen = np.arange(flat.shape[-1]) == flat.argmax(-1)[..., None]
        return {"M": chosen.reshape(seen.shape).astype(float)}

    assert_names_execute_to(forward, MAXIMUM, {"X": (images, channels, *size)}, found, first_maxima)


def windows_of(image, found, outside):
    """Every window of the last two axes, padded with `outside`."""
    around = [(0, 0)] * (image.ndim - 2) + [(found["t1"],) * 2, (found["t2"],) * 2]
    padded = np.pad(image, around, constant_values=outside)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (found["u"], found["v"]), (-2, -1))
    return seen[..., :: found["s1"], :: found["s2"], :, :]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 1)])
def test_dense(shape):
    linear = require_torch().nn.functional.linear
    assert_names_execute_to(lambda X, W, b: linear(X, W, b), DENSE, {"X": shape}, {"o": 3})


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5), (2, 1, 4, 1)])
def test_flatten_and_global_average(shape):
    assert_names_execute_to(lambda X: X.flatten(1), FLATTEN, {"X": shape}, {})
    average = "Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]"
    assert_names_execute_to(lambda X: X.mean((2, 3)), average, {"X": shape}, {})


@settings(max_examples=60)
@given(windows(dilation=1), counts, counts, counts)
def test_transposed_convolution(window, images, inputs, outputs):
    functional = require_torch().nn.functional
    (rows, columns), found = window
    s, t, u, v = found["s1"], min(found["t1"], found["u"] - 1, found["v"] - 1), found["u"], found["v"]
    height, width = (rows - 1) * s - 2 * t + u, (columns - 1) * s - 2 * t + v
    assume(height > 0 and width > 0)

    def forward(W, X):
        return functional.conv_transpose2d(X, W, stride=s, padding=t)

    bindings = {"s": s, "t": t, "u": u, "v": v, "q": outputs, "a": height, "b": width}
    assert_names_execute_to(forward, TRANSPOSED, {"X": (images, inputs, rows, columns)}, bindings)


# ---- the words, obeyed by somebody who has not seen the recipe


def spaced(array, steps):
    """Zeros between the entries of the last two axes."""
    rows, columns = array.shape[-2:]
    shape = (*array.shape[:-2], (rows - 1) * steps[0] + 1, (columns - 1) * steps[1] + 1)
    result = np.zeros(shape)
    result[..., :: steps[0], :: steps[1]] = array
    return result


def obeyed(words, arrays, found, result_size):
    """What "[full] convolution ... of ... with ..." says, step by step, on the last two axes."""
    pattern = (
        r"(?P<kind>full convolution|1×1 convolution|convolution)"
        r"( with strides? (?P<stride>\d)( and (?P<other>\d))?)?(?P<cut>, cropped by the padding,)? "
        r"of (the )?(?P<border>(padded |cropped )*)(?P<inserted>zero-inserted )?(?P<field>\w+) "
        r"with (the )?(?P<spaced>zero-inserted |dilated )?(?P<kernel>\w+)"
        r"(?P<transposed> transposed)?(?P<rotated> rotated by 180°)?"
        r"(?P<rest>, with zeros where no window reaches)?"
    )
    said = re.fullmatch(pattern, words)
    assert said, words
    strides, paddings, dilations = (pair(found, letter) for letter in "std")
    field, kernel = arrays[said["field"]], arrays[said["kernel"]]
    if said["inserted"]:
        field = spaced(field, strides)
    if said["spaced"]:
        kernel = spaced(kernel, dilations if said["spaced"] == "dilated " else strides)
    if said["rotated"]:
        kernel = kernel[..., ::-1, ::-1]
    over_outputs = said["field"] == "dY"
    full = said["kind"] != "convolution"
    if full:
        field = np.pad(field, [(0, 0)] * 2 + [(side - 1, side - 1) for side in kernel.shape[-2:]])
    if "padded" in said["border"]:
        field = np.pad(field, [(0, 0)] * 2 + [(t, t) for t in paddings])
    step = (int(said["stride"] or 1), int(said["other"] or said["stride"] or 1))
    if not full:
        # rows and columns at the end of X that no window reaches are cut off, where the words allow it
        needed = [
            (size - 1) * move + side
            for size, move, side in zip(result_size, step, kernel.shape[-2:], strict=True)
        ]
        spare = [have - need for have, need in zip(field.shape[-2:], needed, strict=True)]
        added = paddings if "padded" in said["border"] else (0, 0)
        cropped = [max(0, more - t) for more, t in zip(spare, added, strict=True)]
        assert min(spare) >= 0
        assert any(cropped) == ("cropped" in said["border"])
        field = field[..., : needed[0], : needed[1]]
    seen = np.lib.stride_tricks.sliding_window_view(field, kernel.shape[-2:], (-2, -1))
    seen = seen[..., :: step[0], :: step[1], :, :]
    result = np.einsum("nqabuv,qpuv->npab" if over_outputs else "npuvij,nqij->qpuv", seen, kernel)
    if full:
        assert said["transposed"] or kernel.shape[-2:] != (1, 1)
        if said["cut"]:
            result = result[..., paddings[0] :, paddings[1] :][..., : result_size[0], : result_size[1]]
        short = [size - have for size, have in zip(result_size, result.shape[-2:], strict=True)]
        assert min(short) >= 0
        assert any(short) == bool(said["rest"])
        result = np.pad(result, [(0, 0)] * 2 + [(0, more) for more in short])
    return result


@settings(max_examples=150)
@given(windows(), counts, counts, counts)
def test_words_of_a_convolutions_gradients_are_true(window, images, inputs, outputs):
    conv2d = require_torch().nn.functional.conv2d
    size, found = window
    formula = parse(CONV)
    sizes = solve(formula, {"X": (images, inputs, *size)}, {**found, "g": 1, "q": outputs})
    rng = np.random.default_rng(0)
    arrays = {tensor: rng.normal(size=sizes.shapes[tensor]) for tensor in ("X", "W", "Y")}
    arrays["dY"] = arrays.pop("Y")
    expected = gradients(
        lambda X, W: conv2d(X, W, None, pair(found, "s"), pair(found, "t"), pair(found, "d")),
        {"X": arrays["X"], "W": arrays["W"]},
        arrays["dY"],
    )
    for by in ("X", "W"):
        words = derive(formula, by, sizes).name.words
        got = obeyed(words, arrays, found, expected[by].shape[2:])
        np.testing.assert_allclose(got, expected[by], rtol=0, atol=1e-10, err_msg=words)


# ---- records


def test_record_of_the_convolution_of_worksheet_b():
    # h = 7, k = 3, s = 2: (h-k)/s + 1 = 3, with zeros inserted 5, padded 9 = h + k - 1
    result = derivation(PLAIN_CONV, {"X": (2, 3, 7, 7)}, "X", s=2, d=1, t=0, q=4, u=3, v=3)
    recipe = result.name.recipe
    upstream, kernel = recipe.operands
    assert (upstream.tensor, kernel.tensor) == ("dY", "W")
    assert upstream.insert == (0, 0, 1, 1)
    assert upstream.pad == ((0, 0), (0, 0), (2, 2), (2, 2))
    assert upstream.rotate == (False, False, False, False)
    assert upstream.prepared(np.ones((2, 4, 3, 3))).shape == (2, 4, 9, 9)
    assert [axis.walk for axis in upstream.axes] == [
        (("n", 1),), (("q", 1),), (("a", 1), ("u", 1)), (("b", 1), ("v", 1))
    ]  # fmt: skip
    assert kernel.insert == (0, 0, 0, 0)
    assert kernel.pad == ((0, 0),) * 4
    assert kernel.rotate == (False, False, True, True)
    assert recipe.factor == 1
    assert recipe.sum_over == ("q", "u", "v")
    assert recipe.backwards == ("u", "v")
    assert recipe.result == (("n",), ("p",), ("a",), ("b",))
    assert recipe.shape == (2, 3, 7, 7)


@pytest.mark.parametrize(
    ("h", "k", "s"), [(3, 3, 1), (5, 3, 2), (7, 3, 2), (9, 2, 7), (10, 4, 3), (28, 5, 1)]
)
def test_the_zero_inserted_padded_upstream_has_size_h_plus_k_minus_1(h, k, s):
    result = derivation(PLAIN_CONV, {"X": (1, 1, h, h)}, "X", s=s, d=1, t=0, q=1, u=k, v=k)
    upstream = result.name.recipe.operands[0]
    out = (h - k) // s + 1
    assert upstream.prepared(np.ones((1, 1, out, out))).shape == (1, 1, h + k - 1, h + k - 1)
    assert upstream.pad[2:] == ((k - 1, k - 1), (k - 1, k - 1))


@pytest.mark.parametrize(("h", "k", "s", "pad"), [(6, 3, 2, (2, 3)), (9, 3, 4, (2, 4)), (8, 1, 3, (0, 1))])
def test_more_zeros_follow_where_the_stride_does_not_divide(h, k, s, pad):
    result = derivation(PLAIN_CONV, {"X": (1, 1, h, h)}, "X", s=s, d=1, t=0, q=1, u=k, v=k)
    assert result.name.recipe.operands[0].pad[2:] == (pad, pad)


@pytest.mark.parametrize(("h", "s", "t"), [(7, 2, 0), (7, 2, 1), (8, 2, 1), (8, 3, 0), (5, 1, 2)])
def test_rotating_the_convolution_with_the_inserted_upstream_gives_dw(h, s, t):
    sizes = derivation(PLAIN_CONV, {"X": (2, 3, h, h)}, "W", s=s, d=1, t=t, q=4, u=3, v=3).sizes
    sheet = parse("dW[q,p,u,v] = sum[n,a,b] dY[n,q,(a+t-u)/s,(b+t-v)/s] * X[n,p,a,b]")
    sizes = solve(
        sheet, {"X": sizes.shapes["X"], "dY": sizes.shapes["Y"], "dW": sizes.shapes["W"]}, {"s": s, "t": t}
    )
    recipe = recipe_of(sheet, sizes)
    assert recipe.rotate == ("u", "v")
    assert all(operand.rotate == (False,) * 4 for operand in recipe.operands)
    rng = np.random.default_rng(0)
    x, w, dy = (rng.normal(size=sizes.shapes[tensor]) for tensor in ("X", "dW", "dY"))
    conv2d = require_torch().nn.functional.conv2d
    expected = gradients(lambda X, W: conv2d(X, W, None, s, t), {"X": x, "W": w}, dy)["W"]
    np.testing.assert_allclose(recipe.execute({"X": x, "dY": dy}), expected, rtol=0, atol=1e-12)
    if t == 0 and (h - 3) % s == 0:
        assert recipe.operands[0].prepared(dy).shape == (2, 4, h + 2, h + 2)


def test_fractions_stay_exact():
    # worksheet C.4: a convolution followed by the mean of its four outputs
    def exact(rows):
        return np.array([[[Fraction(entry) for entry in row] for row in rows]])[None]

    arrays = {
        "X": exact([[2, 3, 4], [3, 1, 5], [4, -1, -2]]),
        "W": exact([[0, 3], [1, -2]]),
        "dY": exact([[1, 1], [1, 1]]) / 4,
    }
    formula = "Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,i+u,j+v]"
    names = {by: derivation(formula, {"X": (1, 1, 3, 3)}, by, q=1, u=2, v=2).name for by in "WX"}
    got = {by: name.recipe.execute(arrays) for by, name in names.items()}
    assert got["W"].tolist() == (exact([[9, 13], [7, 3]]) / 4).tolist()
    assert got["X"].tolist() == (exact([[0, 3, 3], [1, 2, 1], [1, -1, -2]]) / 4).tolist()
    average = derivation(AVERAGE, {"X": (1, 1, 4, 4)}, "X", s1=2, s2=2, t1=0, t2=0, u=2, v=2)
    assert average.name.recipe.factor == Fraction(1, 4)
    quarters = average.name.recipe.execute({"dY": exact([[1, 2], [3, 4]])})
    half, whole = Fraction(1, 2), Fraction(1)
    quarter, three = Fraction(1, 4), Fraction(3, 4)
    assert quarters[0, 0].tolist() == [
        [quarter, quarter, half, half],
        [quarter, quarter, half, half],
        [three, three, whole, whole],
        [three, three, whole, whole],
    ]


def test_single_precision_stays_single():
    recipe = derivation(AVERAGE, IMAGE, "X", s1=1, s2=1, t1=0, t2=0, u=2, v=2).name.recipe
    assert recipe.execute({"dY": np.ones((2, 2, 6, 5), np.float32)}).dtype == np.float32


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W": np.ones((3, 5))}, "dY: expects an array of shape (4, 3), got none"),
        ({"W": np.ones((3, 5)), "dY": np.ones((3, 4))}, "dY: expects shape (4, 3), got (3, 4)"),
    ],
)
def test_wrong_arrays_are_refused(arrays, message):
    recipe = derivation(DENSE, {"X": (4, 5)}, "X", o=3).name.recipe
    with pytest.raises(ShapeError) as caught:
        recipe.execute(arrays)
    assert str(caught.value) == message


# ---- no recipe is false, those of second gradients included


def random_arrays(result, rng):
    """Values for everything that a gradient's formula reads; definitions computed."""
    defined = {definition.left.tensor for definition in result.definitions}
    reads = [result.result, *result.definitions]
    tensors = sorted({tensor for equation in reads for tensor in equation.tensors} - defined)
    arrays = {tensor: rng.normal(size=result.sizes.shapes[tensor]) for tensor in tensors}
    for definition in result.definitions:
        arrays[definition.left.tensor] = evaluate(definition, arrays, result.sizes)
    return arrays


@pytest.mark.parametrize("case", range(len(WORDS) + len(NAMELESS)))
def test_recipes_equal_the_formula_also_of_second_gradients(case):
    text, shapes, bindings = [
        *[(text, shapes, bindings) for text, shapes, bindings, *_ in WORDS],
        *[(text, IMAGE, bindings) for text, _, bindings in NAMELESS],
    ][case]
    formula = parse(text)
    sizes = solve(formula, shapes, bindings)
    rng = np.random.default_rng(case)
    for by in formula.tensors:
        first = derive(formula, by, sizes)
        for result in [first, *[first.derive(tensor) for tensor in first.result.tensors if tensor != "M"]]:
            recipes = {recipe_of(result.result, result.sizes), result.name and result.name.recipe} - {None}
            if not recipes:
                continue
            arrays = random_arrays(result, rng)
            expected = evaluate(result.result, arrays, result.sizes)
            for recipe in recipes:
                got = recipe.execute(arrays)
                assert got.shape == expected.shape
                np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10, err_msg=str(result.result))
